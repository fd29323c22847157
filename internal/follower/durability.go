package follower

import (
	"context"
	"sync"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// durability brings what was applied to disk, and then up for acknowledgement, off the
// receiving path. Of each environment it works on the newest state only.
type durability struct {
	journal  Journal
	observer Observer // may be nil
	log      zerolog.Logger
	metrics  *metrics
	applied  *newest
	durable  *newest

	// working is held while a state is on its way from applied to durable.
	working sync.Mutex
}

func newDurability(j Journal, log zerolog.Logger, m *metrics) *durability {
	d := &durability{journal: j, log: log, metrics: m, applied: newNewest(), durable: newNewest()}
	if j == nil {
		d.applied = d.durable // as durable as it gets
	}
	return d
}

// want asks for a state to be made durable and acknowledged. It never blocks.
func (d *durability) want(s *snapshot.Snapshot) { d.applied.put(s) }

// run syncs until ctx ends.
func (d *durability) run(ctx context.Context) {
	if d.journal == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.applied.wake:
		}
		for d.sync() {
		}
	}
}

// sync makes one state durable; false: there is none.
func (d *durability) sync() bool {
	d.working.Lock()
	defer d.working.Unlock()
	s := d.applied.pop()
	if s == nil {
		return false
	}
	if fault.Planted("ack-before-sync") {
		d.durable.put(s)
	}
	fault.Point(fault.FollowerBeforeSync)
	if err := d.journal.Sync(s.Environment()); err != nil {
		d.metrics.journalFailures.Inc()
		d.log.Error().Err(err).Str("environment", s.Environment()).Stringer("cursor", s.Cursor()).
			Msg("a change may not survive a power cut; it is not acknowledged")
		return true
	}
	fault.Point(fault.FollowerAfterSync)
	d.durable.put(s)
	return true
}

// forget drops what was wanted of an environment, and waits for what is under way: from
// then on nothing that was wanted before is made durable, nor acknowledged on a stream
// that is opened later.
func (d *durability) forget(environment string) {
	d.working.Lock()
	defer d.working.Unlock()
	d.applied.drop(environment)
	d.durable.drop(environment)
}

// newest holds the newest state of each environment until it is taken.
type newest struct {
	mu     sync.Mutex
	states map[string]*snapshot.Snapshot
	wake   chan struct{}
}

func newNewest() *newest {
	return &newest{states: make(map[string]*snapshot.Snapshot), wake: make(chan struct{}, 1)}
}

func (n *newest) put(s *snapshot.Snapshot) {
	n.mu.Lock()
	n.states[s.Environment()] = s
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// all takes what there is.
func (n *newest) all() map[string]*snapshot.Snapshot {
	n.mu.Lock()
	defer n.mu.Unlock()
	states := n.states
	n.states = make(map[string]*snapshot.Snapshot)
	return states
}

// pop takes one state; nil: there is none.
func (n *newest) pop() *snapshot.Snapshot {
	n.mu.Lock()
	defer n.mu.Unlock()
	for environment, s := range n.states {
		delete(n.states, environment)
		return s
	}
	return nil
}

func (n *newest) drop(environment string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.states, environment)
}
