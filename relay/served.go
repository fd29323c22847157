package relay

import (
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
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
	var puts []snapshot.Item
	for _, split := range s.edge.shut() {
		if item, ok := controlled(s.base, split, puts); ok {
			puts = append(puts, item)
		}
	}
	s.shut = len(puts) > 0
	if !s.shut {
		return s.base
	}
	next, _ := s.base.Next(s.base.Cursor().Revision, puts, nil)
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

// splitOf names the outcome of a flag that a rollout owns, and the variant of it to serve.
type splitOf struct{ flag, rule, control string }

// controlled is the flag as it is in force, but that the outcome serves the control alone.
// Items made for other rollouts of the same flag go before.
func controlled(base *snapshot.Snapshot, of splitOf, made []snapshot.Item) (snapshot.Item, bool) {
	item, ok := flagInForce(base, of.flag)
	for _, m := range made {
		if m.Key == of.flag {
			item, ok = m, true
		}
	}
	if !ok {
		return item, false
	}
	f, err := item.Flag()
	if err != nil {
		return item, false
	}
	outcome := f.GetDefaultOutcome()
	for _, r := range f.GetRules() {
		if of.rule != "" && r.GetId() == of.rule {
			outcome = r.GetOutcome()
		}
	}
	if !serveControl(outcome, of.control) {
		return item, false
	}
	if item.Data, err = proto.Marshal(f); err != nil {
		return item, false
	}
	return item, true
}

// serveControl gives everybody the control. A split stays one, so that the answer's reason,
// and what a split demands of the context, are as before.
func serveControl(outcome *flagv1.Outcome, control string) bool {
	if outcome == nil {
		return false
	}
	split := outcome.GetSplit()
	var total uint32
	has := false
	for _, v := range split.GetVariants() {
		total += v.GetWeight()
		has = has || v.GetVariant() == control
	}
	if !has {
		outcome.Kind = &flagv1.Outcome_Variant{Variant: control}
		return true
	}
	for _, v := range split.GetVariants() {
		v.Weight = 0
		if v.GetVariant() == control {
			v.Weight = total
		}
	}
	return true
}

// flagInForce finds the version of a flag that is evaluated.
func flagInForce(s *snapshot.Snapshot, key string) (snapshot.Item, bool) {
	for _, r := range s.Rejections() {
		if r.Item.Kind == syncv1.Kind_KIND_FLAG && r.Item.Key == key {
			if r.Good == nil {
				return snapshot.Item{}, false
			}
			return *r.Good, true
		}
	}
	return s.Item(syncv1.Kind_KIND_FLAG, key)
}
