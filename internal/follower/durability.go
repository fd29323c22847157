package follower

import (
	"context"
	"sync"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// durability brings what was applied to disk, and then up for acknowledgement, off the
// receiving path. Of each environment it works on the newest state only.
type durability struct {
	journal Journal
	log     zerolog.Logger
	metrics *metrics
	applied *newest
	durable *newest
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
		states, err := d.applied.take(ctx)
		if err != nil {
			return
		}
		for _, s := range states {
			if err := d.journal.Sync(s.Environment()); err != nil {
				d.metrics.journalFailures.Inc()
				d.log.Error().Err(err).Str("environment", s.Environment()).Stringer("cursor", s.Cursor()).
					Msg("a change may not survive a power cut; it is not acknowledged")
				continue
			}
			d.durable.put(s)
		}
	}
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

// take waits until there is something, and takes all there is.
func (n *newest) take(ctx context.Context) (map[string]*snapshot.Snapshot, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-n.wake:
	}
	return n.all(), nil
}

// all takes what there is.
func (n *newest) all() map[string]*snapshot.Snapshot {
	n.mu.Lock()
	defer n.mu.Unlock()
	states := n.states
	n.states = make(map[string]*snapshot.Snapshot)
	return states
}
