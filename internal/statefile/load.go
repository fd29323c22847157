package statefile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// load is Dir.Load; the files are read once.
func (e *environment) load() (*snapshot.Snapshot, time.Time, error) {
	rewrite, err := e.loadOnce()
	if rewrite {
		// What cannot be written now is kept, and tried again by the maintenance.
		_ = e.rewrite()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.disk, e.confirmed, err
}

// loadOnce reads the files at its first call; rewrite: the log cannot be continued.
func (e *environment) loadOnce() (rewrite bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.loaded {
		return false, nil
	}
	e.loaded = true
	if e.forgottenLocked() {
		return false, nil
	}
	for _, name := range []string{e.snapshotFile, e.logFile} {
		// Left by a crash; in the way of nothing.
		_ = e.dir.files.Remove(temporary(name))
	}
	state, err := e.readSnapshot()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.dropOrphan()
		return false, nil
	case errors.Is(err, errDamaged), errors.Is(err, errTorn):
		e.dir.putAside(e.snapshotFile, err)
		e.dropOrphan()
		return false, nil
	case err != nil:
		return false, fmt.Errorf("statefile: read %s: %w", e.snapshotFile, err)
	}
	tail := e.replayLog(state)
	e.disk, e.shown, e.confirmed = state.snapshot, state.snapshot, state.confirmed
	return e.continueLog(state, tail), nil
}

// state is what the files hold, as far as they are read.
type state struct {
	snapshot  *snapshot.Snapshot
	confirmed time.Time
	updates   snapshot.Assembler
	// kept is of the change that comes next.
	kept snapshot.Kept
	// old: a file is of an earlier version.
	old bool
	// end is the offset after the last record that is part of the state.
	end int64
}

// add takes one record.
func (s *state) add(payload []byte, end int64) error {
	if len(payload) == 0 {
		return fmt.Errorf("%w: empty record", errDamaged)
	}
	switch payload[0] {
	case recordMark:
		m, rest, err := parseMark(payload)
		if err != nil {
			return err
		}
		if len(rest) > 0 || s.updates.Open() || !s.kept.Empty() {
			return fmt.Errorf("%w: misplaced mark", errDamaged)
		}
		if err := s.mark(m); err != nil {
			return err
		}
		s.end = end
	case recordKept:
		if s.updates.Open() {
			return fmt.Errorf("%w: misplaced kept version", errDamaged)
		}
		return readKept(payload, &s.kept)
	case recordUpdate:
		u, err := readUpdate(payload)
		if err != nil {
			return err
		}
		d, done, err := s.updates.Add(u)
		if err != nil {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		if !done {
			return nil
		}
		if err := s.apply(d); err != nil {
			return err
		}
		s.end = end
	default:
		return fmt.Errorf("%w: record of unknown kind %q", errDamaged, payload[0])
	}
	return nil
}

// mark takes a mark of this state. A log that was about to be replaced begins before the
// snapshot: its older marks say nothing new.
func (s *state) mark(m mark) error {
	at := s.snapshot.Cursor()
	if m.cursor.Epoch == at.Epoch && m.cursor.Revision < at.Revision {
		return nil
	}
	if !m.cursor.SameState(at) {
		return fmt.Errorf("%w: mark of %s after %s", errDamaged, m.cursor, at)
	}
	s.snapshot = s.snapshot.Advance(m.cursor.Revision)
	if !m.confirmed.IsZero() {
		s.confirmed = m.confirmed
	}
	return nil
}

// apply takes a delta and what is kept with it, unless the state has it already.
func (s *state) apply(d snapshot.Delta) error {
	kept := s.kept
	s.kept = snapshot.Kept{}
	at := s.snapshot.Cursor()
	if d.Target == at || d.Target.Epoch == at.Epoch && d.Target.Revision < at.Revision {
		return nil
	}
	next, err := s.snapshot.Apply(d)
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if !kept.Empty() {
		next = next.Keep(kept)
	}
	s.snapshot = next
	return nil
}

// readSnapshot reads the snapshot file.
func (e *environment) readSnapshot() (*state, error) {
	f, err := e.dir.files.Open(e.snapshotFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := readSnapshot(bufio.NewReaderSize(f, snapshot.ChunkBytes), e.name)
	if err != nil {
		return nil, err
	}
	e.snapshotSize = s.end
	return s, nil
}

// readSnapshot reads a whole snapshot file: one that ends early or late is damaged.
func readSnapshot(r io.Reader, environment string) (*state, error) {
	frames, err := newFrameReader(r, snapshotMagic)
	if errors.Is(err, io.EOF) {
		err = errTorn
	}
	if err != nil {
		return nil, err
	}
	m, err := readHeader(frames, environment)
	if errors.Is(err, io.EOF) {
		err = errTorn
	}
	if err != nil {
		return nil, err
	}
	s := &state{snapshot: snapshot.New(environment, m.cursor.Epoch), confirmed: m.confirmed, old: frames.old}
	for {
		payload, err := frames.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = s.add(payload, frames.end)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case s.end != frames.end:
		return nil, errTorn
	case s.snapshot.Cursor() != m.cursor:
		return nil, fmt.Errorf("%w: holds %s, announced as %s", errDamaged, s.snapshot.Cursor(), m.cursor)
	}
	return s, nil
}

// errOtherEpoch: the log is older than a snapshot that replaced everything.
var errOtherEpoch = errors.New("log of another epoch")

// replayLog adds the log to the state; the error says how the log ends, nil if well.
func (e *environment) replayLog(s *state) error {
	f, err := e.dir.files.Open(e.logFile)
	if err != nil {
		return err
	}
	defer f.Close()
	return replayLog(bufio.NewReaderSize(f, snapshot.ChunkBytes), e.name, s)
}

func replayLog(r io.Reader, environment string, s *state) error {
	s.end, s.kept = 0, snapshot.Kept{}
	frames, err := newFrameReader(r, logMagic)
	if errors.Is(err, io.EOF) {
		err = errTorn
	}
	if err != nil {
		return err
	}
	m, err := readHeader(frames, environment)
	if errors.Is(err, io.EOF) {
		err = errTorn
	}
	if err != nil {
		return err
	}
	if m.cursor.Epoch != s.snapshot.Cursor().Epoch {
		return errOtherEpoch
	}
	s.end, s.old = frames.end, s.old || frames.old
	for {
		payload, err := frames.next()
		if errors.Is(err, io.EOF) {
			if s.updates.Open() || !s.kept.Empty() {
				return errTorn
			}
			return nil
		}
		if err == nil {
			err = s.add(payload, frames.end)
		}
		if err != nil {
			return err
		}
	}
}

// continueLog opens the log behind its last good record; rewrite: it cannot be used.
func (e *environment) continueLog(s *state, tail error) (rewrite bool) {
	logger := e.dir.logger.With().Str("environment", e.name).Int64("revision", s.snapshot.Cursor().Revision).Logger()
	switch {
	case tail == nil:
	case errors.Is(tail, errTorn) && s.end > 0:
		logger.Info().Str("file", e.logFile).Int64("at_byte", s.end).
			Msg("the last record of the state log was not finished and is dropped")
	case errors.Is(tail, errTorn), errors.Is(tail, errOtherEpoch), errors.Is(tail, fs.ErrNotExist):
		logger.Info().AnErr("reason", tail).Str("file", e.logFile).Msg("the state log was not begun; it is now")
		e.mustRewrite = true
	case errors.Is(tail, errDamaged):
		e.dir.putAside(e.logFile, tail)
		e.mustRewrite = true
	default:
		logger.Error().Err(tail).Str("file", e.logFile).Msg("the state log cannot be read")
		e.mustRewrite = true
	}
	if s.old {
		logger.Info().Msg("the state files are of an earlier version; they are written anew")
		e.mustRewrite = true
	}
	if e.mustRewrite {
		return true
	}
	f, err := e.dir.files.Append(e.logFile)
	if err == nil && tail != nil {
		if err = f.Truncate(s.end); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		logger.Error().Err(err).Str("file", e.logFile).Msg("the state log cannot be continued")
		e.mustRewrite = true
		return true
	}
	e.log, e.logSize, e.unsynced = f, s.end, true
	return false
}

// dropOrphan sets aside a log that has no snapshot to start from.
func (e *environment) dropOrphan() {
	if f, err := e.dir.files.Open(e.logFile); err == nil {
		_ = f.Close()
		e.dir.putAside(e.logFile, fmt.Errorf("%w: a log without its snapshot", errDamaged))
	}
}
