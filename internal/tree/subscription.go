package tree

import (
	"time"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// maxReportedEnvironments bounds a Report by what makes it long: with the bounds on names
// it stays below what a server takes in one message.
const maxReportedEnvironments = 4000

// Subscription gathers what changes in a tree until it is taken. It is used by one
// goroutine.
type Subscription struct {
	tree *Tree
	// dirty relays, and how those of them went that are gone; guarded by the tree's mutex.
	dirty map[string]departure
	wake  chan struct{}
}

// Subscribe returns a subscription that has everything to tell. It must be closed.
func (t *Tree) Subscribe() *Subscription {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &Subscription{tree: t, dirty: make(map[string]departure), wake: make(chan struct{}, 1)}
	t.subscriptions[s] = struct{}{}
	for id, n := range t.nodes {
		if n.shown != nil {
			s.noteLocked(id, departure{}, true)
		}
	}
	return s
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	delete(s.tree.subscriptions, s)
}

// Changed signals that there is something to take at once. It stays silent while relays
// merely age: what only Take shows is to be looked for now and then.
func (s *Subscription) Changed() <-chan struct{} { return s.wake }

func (s *Subscription) noteLocked(id string, d departure, now bool) {
	s.dirty[id] = d
	if !now {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Take returns what changed since, as it is now: of much, a part, and more with each call.
// Nil: nothing.
func (s *Subscription) Take() *syncv1.Report {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	if len(s.dirty) == 0 {
		return nil
	}
	now, r, environments := time.Now(), &syncv1.Report{}, 0
	for id, d := range s.dirty {
		n := s.tree.nodes[id]
		if n == nil || n.shown == nil {
			r.Departures = append(r.Departures, &syncv1.RelayDeparture{InstanceId: id, Left: d.left, Revoked: d.revoked})
			environments += len(d.revoked)
		} else {
			r.Relays = append(r.Relays, n.status(now))
			environments += len(n.shown.has)
		}
		delete(s.dirty, id)
		if len(r.Relays) == MaxReport || len(r.Departures) == MaxReport || environments >= maxReportedEnvironments {
			break
		}
	}
	return r
}
