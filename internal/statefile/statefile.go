// Package statefile keeps a relay's snapshots on disk, so that it starts without an
// upstream and never goes back: a snapshot file an environment (written beside, synced,
// renamed) and a log of the deltas since, each with its length and checksum.
//
// What is loaded is a state that was published: every record is verified by its
// checksum and every state by its digest. A log that ends within a record is cut there,
// as a killed process leaves it so. Any other damage (flipped bits, another version) is
// never used past the last record that verifies: the file is set aside as NAME.corrupt,
// with a clear error in the log.
//
// A write that fails (a full disk) leaves the files loadable, at the last state that
// they hold. From then on Append and Sync fail until a write succeeds again, which the
// Dir tries by itself as well; nothing is missing then.
//
// An environment may be forgotten: then nothing of it comes back, whatever crashes.
//
// Append and Confirm wait for the operating system, never for the disk, but where a
// first state or one of a new epoch makes a new snapshot file. Sync waits for the disk.
// A log that outgrows its snapshot is folded into a new one in the background.
package statefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// ErrClosed says that the Dir was closed.
var ErrClosed = errors.New("statefile: closed")

const instanceFile = "instance-id"

// Dir is a directory of state; it implements follower.Journal. One process at a time:
// Open takes a lock. Safe for concurrent use; the states of one environment are
// appended by one goroutine.
type Dir struct {
	files  files
	lock   io.Closer
	logger zerolog.Logger
	// retryMin and retryMax bound the wait between attempts to write what failed.
	retryMin, retryMax time.Duration

	mu           sync.Mutex
	environments map[string]*environment
	closed       bool

	wake chan struct{}
	stop chan struct{}
	done chan struct{}

	setAside, writeErrors, rewrites atomic.Uint64
}

// Open makes the directory if it is not there, and locks it (ErrLocked). From one that
// has become read-only everything is loaded; writing fails.
func Open(dir string, logger zerolog.Logger) (*Dir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("statefile: %w", err)
	}
	locked, err := lock(dir)
	if err != nil {
		return nil, fmt.Errorf("statefile: %w", err)
	}
	return open(osFiles(dir), locked, logger, time.Second), nil
}

func open(fsys files, locked io.Closer, logger zerolog.Logger, retry time.Duration) *Dir {
	d := &Dir{
		files: fsys, lock: locked, logger: logger,
		retryMin: retry, retryMax: 30 * retry,
		environments: map[string]*environment{},
		wake:         make(chan struct{}, 1),
		stop:         make(chan struct{}), done: make(chan struct{}),
	}
	go d.maintain()
	return d
}

// InstanceID returns the id kept in the directory, made at the first call.
func (d *Dir) InstanceID() (string, error) {
	id, err := d.readInstanceID()
	if err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errDamaged) {
		return id, err
	}
	if errors.Is(err, errDamaged) {
		d.putAside(instanceFile, err)
	}
	id = uuid.NewString()
	err = replaceFile(d.files, instanceFile, func(w io.Writer) error {
		_, err := io.WriteString(w, id+"\n")
		return err
	})
	if err != nil {
		return "", fmt.Errorf("statefile: write %s: %w", instanceFile, err)
	}
	return id, nil
}

func (d *Dir) readInstanceID() (string, error) {
	f, err := d.files.Open(instanceFile)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("statefile: read %s: %w", instanceFile, err)
	}
	id := strings.TrimSpace(string(text))
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return "", fmt.Errorf("%w: not a UUID: %.64q", errDamaged, id)
	}
	return id, nil
}

// Load returns an environment's last state, and when it was last known to be current
// (wall clock; zero if unknown); nil if there is none. Damage is not an error: it is
// logged and set aside, and what verifies is returned.
func (d *Dir) Load(environment string) (*snapshot.Snapshot, time.Time, error) {
	e, err := d.environment(environment)
	if err != nil {
		return nil, time.Time{}, err
	}
	return e.load()
}

// Age is how long ago a state that was loaded was confirmed. It is the only age that
// comes from the wall clock: a clock that was set forward or back in between makes it too
// high or too low by as much. One that was set back so far that the confirmation lies
// ahead counts as far as it lies ahead: such a state is not taken for a new one. It holds
// until an upstream says how old the state is.
func Age(confirmed, now time.Time) time.Duration {
	// Without the monotonic reading, which would not know of steps.
	return now.Round(0).Sub(confirmed.Round(0)).Abs()
}

// Append writes the state next, to which delta leads from the state before: it survives
// the process, not yet the machine.
func (d *Dir) Append(next *snapshot.Snapshot, delta snapshot.Delta) error {
	e, err := d.environment(next.Environment())
	if err != nil {
		return err
	}
	return e.append(next, delta)
}

// Sync makes what was appended survive the machine.
func (d *Dir) Sync(environment string) error {
	e, err := d.environment(environment)
	if err != nil {
		return err
	}
	return e.sync()
}

// Confirm notes that s, which must be the state last appended (its revision may be
// later), was current at the given time. It is as durable as Append.
func (d *Dir) Confirm(s *snapshot.Snapshot, at time.Time) error {
	e, err := d.environment(s.Environment())
	if err != nil {
		return err
	}
	return e.confirm(s, at)
}

// Stats count what happened since Open.
type Stats struct {
	// SetAside files were damaged.
	SetAside uint64
	// WriteErrors are failed attempts to write or sync.
	WriteErrors uint64
	// Rewrites are new snapshot files.
	Rewrites uint64
	// Bytes are on disk in the files in use.
	Bytes int64
	// Behind are the environments whose newest state is not on disk.
	Behind int
}

// Stats returns the counts.
func (d *Dir) Stats() Stats {
	s := Stats{SetAside: d.setAside.Load(), WriteErrors: d.writeErrors.Load(), Rewrites: d.rewrites.Load()}
	for _, e := range d.all() {
		e.mu.Lock()
		s.Bytes += e.snapshotSize + e.logSize
		if e.failed != nil {
			s.Behind++
		}
		e.mu.Unlock()
	}
	return s
}

// Close syncs what is not yet synced, and releases the lock.
func (d *Dir) Close() error {
	d.mu.Lock()
	closed := d.closed
	d.closed = true
	d.mu.Unlock()
	if closed {
		return nil
	}
	close(d.stop)
	<-d.done
	var errs []error
	for _, e := range d.all() {
		errs = append(errs, e.close())
	}
	return errors.Join(append(errs, d.lock.Close())...)
}

func (d *Dir) environment(name string) (*environment, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	e := d.environments[name]
	if e == nil {
		e = newEnvironment(d, name)
		d.environments[name] = e
	}
	return e, nil
}

func (d *Dir) all() []*environment {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*environment, 0, len(d.environments))
	for _, e := range d.environments {
		all = append(all, e)
	}
	return all
}

// putAside renames a file that cannot be used, for people to look at.
func (d *Dir) putAside(name string, why error) {
	d.setAside.Add(1)
	err := d.files.Rename(name, aside(name))
	d.logger.Error().Err(why).AnErr("rename_error", err).Str("file", name).Str("set_aside_as", aside(name)).
		Msg("state file cannot be used and was set aside")
}

// aside is the name of a file that was set aside.
func aside(name string) string { return name + ".corrupt" }

// wakeUp makes the maintenance look for work.
func (d *Dir) wakeUp() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// maintain folds logs into snapshots, and now and then tries again what failed, until the
// Dir is closed.
func (d *Dir) maintain() {
	defer close(d.done)
	timer := time.NewTimer(d.retryMin)
	timer.Stop()
	waiting, wait := false, d.retryMin
	for {
		retry := false
		select {
		case <-d.stop:
			return
		case <-d.wake:
		case <-timer.C:
			waiting, retry = false, true
			wait = min(2*wait, d.retryMax)
		}
		behind := false
		for _, e := range d.all() {
			if err := e.maintain(retry); err != nil {
				behind = true
			}
		}
		switch {
		case !behind:
			wait = d.retryMin
		case !waiting:
			waiting = true
			timer.Reset(wait)
		}
	}
}
