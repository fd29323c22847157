package statefile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// compactFrom is the size below which a log is left alone.
const compactFrom = 1 << 20

// environment is the files of one environment. Locks are taken in the order of the
// fields.
type environment struct {
	dir          *Dir
	name         string
	snapshotFile string
	logFile      string
	// forgottenFile is the snapshot file once the environment is to be forgotten: as long
	// as it is there, the other files are to be removed.
	forgottenFile string

	// rewriting is held while a new snapshot file is made.
	rewriting sync.Mutex
	// syncing is held while the log is synced or replaced.
	syncing sync.Mutex

	mu     sync.Mutex
	loaded bool
	// shown is the newest state that was appended, disk the one that the files hold; they
	// differ while failed is set, and while a snapshot file of a new epoch is made.
	shown, disk *snapshot.Snapshot
	// failed is why the last write failed; nil once everything is written.
	failed error
	// forgetting: not all files could be removed yet.
	forgetting bool
	// mustRewrite: the log cannot be continued, only a new snapshot file helps.
	mustRewrite bool
	// notFolded is why the log could not be replaced by a new snapshot.
	notFolded error
	confirmed time.Time
	log       file
	// unsynced: the log has grown since the last sync.
	unsynced              bool
	logSize, snapshotSize int64
}

func newEnvironment(d *Dir, name string) *environment {
	escaped := url.PathEscape(name)
	return &environment{
		dir: d, name: name,
		snapshotFile: escaped + ".snapshot", logFile: escaped + ".log", forgottenFile: escaped + ".forgotten",
	}
}

// append is Dir.Append.
func (e *environment) append(next *snapshot.Snapshot, delta snapshot.Delta) error {
	if _, _, err := e.load(); err != nil {
		e.dir.logger.Error().Err(err).Str("environment", e.name).Msg("state file cannot be read and is replaced")
	}
	if err := e.finishForgetting(); err != nil {
		return err
	}
	e.mu.Lock()
	if e.disk != nil && e.disk.Cursor().Epoch == next.Cursor().Epoch && next.Cursor().Revision < e.disk.Cursor().Revision {
		defer e.mu.Unlock()
		return fmt.Errorf("statefile: environment %q at revision %d, then at %d: %w",
			e.name, e.disk.Cursor().Revision, next.Cursor().Revision, snapshot.ErrRevision)
	}
	e.shown = next
	switch {
	case e.mustRewrite && e.failed != nil:
		// The maintenance writes it, and not more often than it makes sense.
		defer e.mu.Unlock()
		return e.failed
	case e.disk != nil && e.disk.Cursor().Epoch == next.Cursor().Epoch:
		defer e.mu.Unlock()
		return e.appendLocked(delta)
	}
	e.mustRewrite = true
	e.mu.Unlock()
	return e.rewrite()
}

// appendLocked brings the log from disk to shown, through delta if that is the way. What
// could not be written before is part of it.
func (e *environment) appendLocked(delta snapshot.Delta) error {
	if delta.Full || !delta.Base.SameState(e.disk.Cursor()) || delta.Target != e.shown.Cursor() {
		delta = snapshot.Diff(e.disk, e.shown)
	}
	kept := snapshot.KeptBetween(e.disk, e.shown)
	var frames []byte
	var err error
	if kept.Empty() && len(delta.Puts) == 0 && len(delta.Deletes) == 0 && delta.Target.Digest == e.disk.Cursor().Digest {
		frames = appendFrame(nil, mark{cursor: delta.Target, confirmed: e.confirmed}.encode(recordMark))
	} else if frames, err = appendKept(nil, kept); err == nil {
		frames, err = appendDelta(frames, delta)
	}
	if err == nil {
		err = e.writeLocked(frames)
	}
	if err != nil {
		return e.failLocked(err)
	}
	e.writtenLocked()
	return nil
}

// writeLocked writes to the log whole or not at all.
func (e *environment) writeLocked(frames []byte) error {
	if n, err := e.log.Write(frames); err != nil {
		if n > 0 {
			if err := e.log.Truncate(e.logSize); err != nil {
				e.mustRewrite = true
			}
		}
		return err
	}
	e.logSize += int64(len(frames))
	e.unsynced = true
	if e.logSize > max(compactFrom, e.snapshotSize) {
		e.dir.wakeUp()
	}
	return nil
}

func (e *environment) failLocked(err error) error {
	e.dir.writeErrors.Add(1)
	if e.failed == nil {
		e.dir.logger.Error().Err(err).Str("environment", e.name).
			Msg("state cannot be written; it is kept in memory and tried again")
	}
	e.failed = fmt.Errorf("statefile: write state of environment %q: %w", e.name, err)
	e.dir.wakeUp()
	return e.failed
}

// writtenLocked notes that the files hold the newest state.
func (e *environment) writtenLocked() {
	if e.failed != nil {
		e.dir.logger.Info().Str("environment", e.name).Msg("state is written again")
	}
	e.disk, e.failed = e.shown, nil
}

// continues tells whether a cursor is that of s, at its revision or a later one.
func continues(s *snapshot.Snapshot, c snapshot.Cursor) bool {
	return c.SameState(s.Cursor()) && c.Revision >= s.Cursor().Revision
}

// confirm is Dir.Confirm.
func (e *environment) confirm(s *snapshot.Snapshot, at time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shown == nil {
		return e.failed // it was forgotten meanwhile
	}
	e.confirmed = at
	if e.failed != nil || e.disk == nil || e.disk != e.shown || !continues(e.disk, s.Cursor()) {
		return e.failed
	}
	frame := appendFrame(nil, mark{cursor: s.Cursor(), confirmed: at}.encode(recordMark))
	e.shown = s
	if err := e.writeLocked(frame); err != nil {
		return e.failLocked(err)
	}
	e.disk = s
	return nil
}

// sync is Dir.Sync.
func (e *environment) sync() error {
	e.syncing.Lock()
	defer e.syncing.Unlock()
	e.mu.Lock()
	failed, f, unsynced := e.failed, e.log, e.unsynced
	e.unsynced = false
	e.mu.Unlock()
	if failed != nil || !unsynced {
		return failed
	}
	if err := f.Sync(); err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		// What a failed sync has left on disk is unknown, and a second one may succeed
		// without having written it.
		e.mustRewrite = true
		return e.failLocked(err)
	}
	return nil
}

// maintain folds the log into a new snapshot if it is due, and tries again what failed
// if retry is set. The error is what is left to be tried again.
func (e *environment) maintain(retry bool) error {
	if retry {
		if err := e.finishForgetting(); err != nil {
			return err
		}
	}
	e.mu.Lock()
	failed := e.failed
	if failed == nil {
		failed = e.notFolded
	}
	switch {
	case failed == nil && e.logSize <= max(compactFrom, e.snapshotSize), failed != nil && !retry, e.shown == nil:
		defer e.mu.Unlock()
		return failed
	case e.failed != nil && !e.mustRewrite:
		defer e.mu.Unlock()
		return e.appendLocked(snapshot.Diff(e.disk, e.shown))
	}
	e.mu.Unlock()
	return e.rewrite()
}

// rewrite makes a new snapshot file and a new log. At every moment the two files on disk
// lead to the newest state written: until the log is replaced, the old one contains what
// the new snapshot does, and is skipped up to there. If it fails where the old log can
// be continued, only the log stays long.
func (e *environment) rewrite() error {
	e.rewriting.Lock()
	defer e.rewriting.Unlock()
	for done := false; !done; {
		var err error
		if done, err = e.tryRewrite(); err != nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.mustRewrite || e.failed != nil {
				return e.failLocked(err)
			}
			e.dir.writeErrors.Add(1)
			e.dir.logger.Warn().Err(err).Str("environment", e.name).
				Msg("the state log cannot be folded into a snapshot; it grows until it can")
			e.notFolded = err
			return err
		}
	}
	return nil
}

// tryRewrite is rewrite, unless an epoch begins meanwhile: then it is false.
func (e *environment) tryRewrite() (bool, error) {
	e.mu.Lock()
	s, confirmed := e.shown, e.confirmed
	e.mu.Unlock()
	if s == nil {
		return true, nil // it was forgotten meanwhile
	}
	if confirmed.IsZero() {
		// It has just come, and nothing better is known yet.
		confirmed = fault.Now()
	}
	size, err := e.writeSnapshot(s, mark{cursor: s.Cursor(), confirmed: confirmed})
	if err != nil {
		return false, err
	}
	e.dir.rewrites.Add(1)
	return e.startLog(s, size)
}

// startLog replaces the log by one that starts from s and leads to the state shown by
// now; false if that one is of another epoch. Appending goes on meanwhile and waits for
// no sync: what has come since the last one may be lost with the machine, and nothing
// can be synced while this runs.
func (e *environment) startLog(s *snapshot.Snapshot, snapshotSize int64) (bool, error) {
	e.syncing.Lock()
	defer e.syncing.Unlock()
	e.mu.Lock()
	target, confirmed := e.shown, e.confirmed
	e.mu.Unlock()
	if target.Cursor().Epoch != s.Cursor().Epoch {
		return false, nil
	}
	content := appendHeader([]byte(logMagic), e.name, mark{cursor: s.Cursor(), confirmed: confirmed})
	content, err := appendChange(content, s, target)
	if err != nil {
		return false, err
	}
	f, err := writeTemporary(e.dir.files, e.logFile, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	if err != nil {
		return false, err
	}
	done, err := e.switchLog(f, target, int64(len(content)), snapshotSize)
	if !done || err != nil {
		return false, errors.Join(err, f.Close())
	}
	if err := e.dir.files.SyncDir(); err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.mustRewrite = true
		return false, err
	}
	return true, nil
}

// switchLog puts the log, which leads to target, in the place of the old one; false if
// the state shown is of another epoch by now.
func (e *environment) switchLog(f file, target *snapshot.Snapshot, size, snapshotSize int64) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shown.Cursor().Epoch != target.Cursor().Epoch {
		return false, nil
	}
	rest, err := appendChange(nil, target, e.shown)
	if err == nil && len(rest) > 0 {
		_, err = f.Write(rest)
	}
	fault.Point(fault.StatefileBeforeLogCut)
	if err == nil {
		err = e.dir.files.Rename(temporary(e.logFile), e.logFile)
	}
	if err != nil {
		// A rename that failed may have happened.
		e.mustRewrite = true
		return false, err
	}
	if e.log != nil {
		if err := e.log.Close(); err != nil {
			e.dir.logger.Warn().Err(err).Str("environment", e.name).Msg("closing the old state log")
		}
	}
	e.log, e.logSize, e.unsynced = f, size+int64(len(rest)), len(rest) > 0
	e.snapshotSize, e.mustRewrite, e.notFolded = snapshotSize, false, nil
	e.writtenLocked()
	return true, nil
}

// appendChange appends what leads from one state to another, if anything does.
func appendChange(b []byte, from, to *snapshot.Snapshot) ([]byte, error) {
	if from == to {
		return b, nil
	}
	b, err := appendKept(b, snapshot.KeptBetween(from, to))
	if err != nil {
		return nil, err
	}
	return appendDelta(b, snapshot.Diff(from, to))
}

// writeSnapshot writes the snapshot file and returns its size.
func (e *environment) writeSnapshot(s *snapshot.Snapshot, m mark) (int64, error) {
	size := int64(0)
	err := replaceFile(e.dir.files, e.snapshotFile, func(file io.Writer) error {
		w := bufio.NewWriterSize(file, snapshot.ChunkBytes)
		emit := func(b []byte) error {
			n, err := w.Write(b)
			size += int64(n)
			return err
		}
		if err := emit(appendHeader([]byte(snapshotMagic), e.name, m)); err != nil {
			return err
		}
		frame, err := appendKept(nil, snapshot.KeptBetween(snapshot.New(e.name, s.Cursor().Epoch), s))
		if err != nil {
			return err
		}
		if err := emit(frame); err != nil {
			return err
		}
		for u := range s.Updates() {
			if frame, err = appendUpdate(frame[:0], recordUpdate, u); err != nil {
				return err
			}
			if err := emit(frame); err != nil {
				return err
			}
		}
		return w.Flush()
	})
	return size, err
}

// close syncs and closes the log.
func (e *environment) close() error {
	e.rewriting.Lock()
	defer e.rewriting.Unlock()
	e.syncing.Lock()
	defer e.syncing.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	err, f := e.failed, e.log
	e.failed, e.mustRewrite, e.log = ErrClosed, true, nil
	if f == nil {
		return err
	}
	if e.unsynced {
		err = errors.Join(err, f.Sync())
	}
	return errors.Join(err, f.Close())
}
