package relay

import (
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/preview"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tally"
)

// served is what callers are answered from: what the upstream says of an environment, but
// for the rollouts that this relay has shut by itself. Of those the flag serves the control,
// as if that had come from upstream: to every protocol, to prerequisites, and as a change to
// whoever watches. What is passed on to followers is the upstream's alone.
//
// It is fed by the followed replica, before that shows anything, and so tells the tally what
// to count before anybody is answered from it.
type served struct {
	environment string
	logger      zerolog.Logger
	tally       *tally.Tally
	to          *replica.Replica
	edge        *edge
	// subjects are those of the environment; may be nil.
	subjects *preview.Sampler

	mu   sync.Mutex // taken after the followed replica's
	base *snapshot.Snapshot
	// shut: what is shown is not base.
	shut bool
	// problem was logged: what cannot be counted.
	problem string
}

// served observes the followed replicas.
type servedSet map[string]*served

// Showing implements [replica.Observer].
func (set servedSet) Showing(v replica.View) {
	if s := set[v.Environment]; s != nil {
		s.follow(v)
	}
}

// follow shows what the followed replica is about to show.
func (s *served) follow(v replica.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base = v.Snapshot
	if s.base != nil {
		s.subjects.Follow(s.base.Cursor().Epoch, time.Now())
	}
	age := time.Since(v.Confirmed)
	switch v.Event {
	case replica.Purged:
		s.edge.follow(nil, time.Now())
		s.count(nil)
		s.to.Purge()
		s.shut = false
		return
	case replica.Restored:
		s.edge.follow(s.base, time.Now())
		next := s.next()
		s.count(next)
		s.to.Restore(next, age)
	case replica.Replaced, replica.Changed:
		s.edge.follow(s.base, time.Now())
		s.show(v.Delta)
	}
	if v.Source == replica.Store {
		s.to.Observe(v.Snapshot.Cursor().Revision, age)
	}
}

// refresh shows what follows from other trips.
func (s *served) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.base != nil {
		s.show(s.base.Full())
	}
}

// show shows the base as it is to be served; d leads to the base. mu is held.
func (s *served) show(d snapshot.Delta) {
	shut := s.shut
	next := s.next()
	s.count(next)
	if shut || s.shut {
		d = next.Full()
	}
	if err := s.to.Publish(next, d); err != nil {
		// It follows a replica that checks the same.
		s.logger.Error().Err(err).Msg("a state is served as a whole")
		s.to.Purge()
		if err := s.to.Publish(next, next.Full()); err != nil {
			s.logger.Error().Err(err).Msg("a state cannot be served")
		}
	}
}

// next is the base, but for the rollouts that are shut; mu is held.
func (s *served) next() *snapshot.Snapshot {
	next := s.base.Controlled(s.edge.shut())
	s.shut = next != s.base
	return next
}

// count makes the tally count for a snapshot.
func (s *served) count(next *snapshot.Snapshot) {
	problem := ""
	if err := s.tally.Apply(next, time.Now()); err != nil {
		problem = err.Error()
	}
	if problem != s.problem && problem != "" && !s.shut {
		s.logger.Warn().Str("problem", problem).Msg("some telemetry is not counted")
	}
	s.problem = problem
}
