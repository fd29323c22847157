package streamlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// Log is the log of one process. It is a replica.Observer and a follower.Observer. A
// record that cannot be written does not stop the process: that is logged, and shows in
// the log as a gap. Safe for concurrent use. A nil Log is one that is not kept.
type Log struct {
	path   string
	run    string
	logger zerolog.Logger

	mu       sync.Mutex
	file     io.WriteCloser
	sequence uint64
	// failed: the last record did not come to be, or not whole.
	failed bool

	closing sync.Once
}

// Open opens the file, made if it is not there, to go on at its end; no path: no log. The
// file is one process's own. Begin is to be called before anything is shown.
func Open(path string, logger zerolog.Logger) (*Log, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("stream log: %w", err)
	}
	l := &Log{path: path, run: uuid.NewString(), logger: logger, file: f}
	if l.failed, err = endsTorn(f); err != nil {
		return nil, errors.Join(fmt.Errorf("stream log: %w", err), f.Close())
	}
	return l, nil
}

// endsTorn tells whether the last line was not finished.
func endsTorn(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("%s is not a regular file", f.Name())
	}
	var last [1]byte
	_, err = f.ReadAt(last[:], info.Size()-1)
	return last[0] != '\n', err
}

// Observer returns what a replica.Set is to be given.
func (l *Log) Observer() replica.Observer {
	if l == nil {
		return nil
	}
	return l
}

// Begin says whose log it is.
func (l *Log) Begin(p Process) {
	if l == nil {
		return
	}
	l.logger.Warn().Str("file", l.path).Msg("all that is shown is written to the stream log: it grows without bound, and takes a pass over all flags with each change")
	l.write(Record{Event: Start, Process: &p})
}

// Close ends the log; nothing may be shown afterwards.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	var err error
	l.closing.Do(func() {
		l.write(Record{Event: End})
		if err = l.file.Close(); err != nil {
			err = fmt.Errorf("stream log: %w", err)
		}
	})
	return err
}

var events = map[replica.Event]Event{
	replica.Restored: Restore, replica.Replaced: Full, replica.Changed: Delta,
	replica.Advanced: Advance, replica.Confirmed: Confirm, replica.Purged: Purge,
}

var sources = map[replica.AgeSource]string{
	replica.Store: FromStore, replica.Disk: FromDisk, replica.Arrival: FromArrival,
}

// Showing writes what a replica is about to show.
func (l *Log) Showing(v replica.View) {
	// The clock before the age: the moment that they come to is never too late.
	r := Record{Mono: Now(), Event: events[v.Event], Environment: v.Environment}
	if v.Snapshot != nil {
		r.Age, r.AgeFrom = max(int64(time.Since(v.Confirmed)), 0), sources[v.Source]
		r.Cursor = cursor(v.Snapshot.Cursor())
		r.Held = held(v.Snapshot).String()
	}
	if v.Event == replica.Changed {
		r.Base = cursor(v.Delta.Base)
		for _, i := range v.Delta.Puts {
			r.Puts = append(r.Puts, Item{Kind: int32(i.Kind), Key: i.Key, ModRevision: i.ModRevision})
		}
		for _, d := range v.Delta.Deletes {
			r.Deletes = append(r.Deletes, Item{Kind: int32(d.Kind), Key: d.Key, ModRevision: d.ModRevision})
		}
	}
	l.write(r)
}

// held computes the digest of the items that the snapshot has.
func held(s *snapshot.Snapshot) Sum {
	var sum Sum
	for i := range s.Items() {
		sum = sum.Plus(Of(int32(i.Kind), i.Key, i.ModRevision, i.Data))
	}
	return sum
}

// Resuming writes how a stream goes on.
func (l *Log) Resuming(d snapshot.Delta) {
	r := Record{Event: Resume, Environment: d.Environment, Cursor: cursor(d.Target), Mode: ModeFull}
	if !d.Full {
		r.Mode, r.Base = ModeDelta, cursor(d.Base)
		if d.Base.SameState(d.Target) {
			r.Mode = ModeNone
		}
	}
	l.write(r)
}

// Acknowledging writes what is about to be acknowledged.
func (l *Log) Acknowledging(s *snapshot.Snapshot) {
	l.write(Record{Event: Ack, Environment: s.Environment(), Cursor: cursor(s.Cursor())})
}

func cursor(c snapshot.Cursor) *Cursor {
	return &Cursor{Epoch: c.Epoch.String(), Revision: c.Revision, Digest: c.Digest.String()}
}

// last is the number of the newest record.
func (l *Log) last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sequence
}

// write numbers a record and hands it to the operating system.
func (l *Log) write(r Record) {
	if r.Mono == 0 {
		r.Mono = Now()
	}
	r.Run, r.Wall = l.run, time.Now().UTC().Format(time.RFC3339Nano)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sequence++
	r.Sequence = l.sequence
	line, err := json.Marshal(r)
	if err == nil {
		if l.failed {
			line = append([]byte{'\n'}, line...) // what came of the last one is a line of its own
		}
		_, err = l.file.Write(append(line, '\n'))
	}
	if err != nil && !l.failed {
		l.logger.Error().Err(err).Str("file", l.path).Msg("the stream log has a gap: something was shown that is not in it")
	}
	l.failed = err != nil
}
