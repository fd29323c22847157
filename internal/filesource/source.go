// Package filesource serves an environment from files, in the place of a control plane:
// it looks at them a few times a second, reads them when they have changed and are at
// rest, and publishes what differs to a replica, as a follower would what came from
// upstream.
//
// Promises: what is shown is the whole of the files, validated together, as they were
// between two looks that saw no change; files that cannot be read, or hold anything that
// is wrong, never replace what is shown. Within one epoch the revision, which counts the
// changes from 1, never goes back, over restarts too where there is a [Journal]. The age
// of what is shown is the time since the files were last found to say the same.
//
// The files are polled, which works alike on every file system and for every way to replace a
// file; where the file system tells that something has changed, they are looked at at once. See
// docs/adr/0013-serving-from-a-file.md.
package filesource

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/manifest"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// Journal keeps what is shown over restarts; statefile.Dir is one. Append is called
// before a change is shown, and so is Sync, which must make it survive a power cut. A
// Journal that fails does not stop the source: it logs, counts, and serves from memory.
type Journal interface {
	Append(next *snapshot.Snapshot, d snapshot.Delta) error
	Sync(environment string) error
}

// Options of a Source.
type Options struct {
	// Paths are files and folders, see manifest.Find; what they hold is merged. Required.
	Paths []string
	// Replica is published to, by the source alone; required. What a Journal kept must
	// have been restored to it before.
	Replica    *replica.Replica
	Journal    Journal // may be nil
	Logger     zerolog.Logger
	Registerer prometheus.Registerer // may be nil

	// pollOnly: the file system is not asked to tell; for tests that own the time.
	pollOnly bool
}

// State tells how the files were found.
type State struct {
	// Files there were at the last look.
	Files int
	// Err is why the files, as they are now, are not what is shown; nil if they are. Its
	// text has one line for each problem.
	Err error
	// Good is when they last were; zero if they never were in the life of this process.
	Good time.Time
}

// Source serves from files.
type Source struct {
	o       Options
	metrics *metrics
	state   atomic.Pointer[State]

	// What follows is used by one goroutine: that of Open, then that of Run.

	watcher
	// verdict on the content that was judged is nil if it is what is shown.
	verdict error
}

// Open reads the files, and publishes what they hold. If they cannot be served, it
// returns the error, unless the replica has what they held before: that is shown, and
// the error is the State's. It waits until the files are at rest. A Source that is not
// Run needs no closing.
func Open(ctx context.Context, o Options) (*Source, error) {
	switch {
	case len(o.Paths) == 0:
		return nil, errors.New("filesource: no path: name at least one file or folder")
	case o.Replica == nil:
		return nil, errors.New("filesource: no replica")
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	s := &Source{o: o, metrics: m}
	s.watcher = watcher{paths: o.Paths, calm: time.Now(), judge: s.judge, settled: s.settled, unsettled: s.unsettled}
	for s.state.Load() == nil {
		if err := s.step(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.State().Err; err != nil && s.shown() == nil {
		before := " "
		if many := (manifest.Errors{}); errors.As(err, &many) {
			before = "\n" // a line each
		}
		return nil, fmt.Errorf("the files cannot be served:%s%w", before, err)
	}
	return s, nil
}

// State returns the present state; one atomic load.
func (s *Source) State() State { return *s.state.Load() }

// Run looks at the files until ctx ends, and returns ctx's error, once no call of the
// Journal is under way any more. It is called once.
func (s *Source) Run(ctx context.Context) error {
	if !s.o.pollOnly {
		s.events = newEvents()
		defer s.events.close()
		s.events.cover(s.paths, s.seen.files)
	}
	for {
		if err := s.step(ctx); err != nil {
			return err
		}
	}
}

// judge shows what the files hold, or says why it does not.
func (s *Source) judge(files []File, err error) {
	if err == nil {
		err = s.load(files)
	}
	if err != nil {
		s.metrics.refused.Inc()
		if s.shown() != nil { // else Open returns it
			s.logProblems(err)
		}
	}
	s.verdict = err
}

// settled notes that the files are at rest, and still as they were judged.
func (s *Source) settled(now time.Time) {
	state := State{Files: len(s.seen.files), Err: s.verdict}
	if was := s.state.Load(); was != nil {
		state.Good = was.Good
	}
	if s.verdict == nil {
		state.Good = now
		s.o.Replica.Confirm(0)
	}
	s.enter(state)
}

// unsettled notes that the files find no rest.
func (s *Source) unsettled() {
	state := State{Files: len(s.seen.files), Err: errRestless}
	if was := s.state.Load(); was != nil {
		if errors.Is(was.Err, errRestless) {
			return
		}
		state.Good = was.Good
	}
	if s.shown() != nil {
		s.o.Logger.Warn().Err(errRestless).Strs("paths", s.o.Paths).Msg("the files are not read")
	}
	s.enter(state)
}

func (s *Source) enter(state State) {
	s.state.Store(&state)
	s.metrics.observe(state)
}
