package follower

import (
	"context"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eval"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/fault"
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
			fault.Point(fault.FollowerBeforeSync)
			if err := d.journal.Sync(s.Environment()); err != nil {
				d.metrics.journalFailures.Inc()
				d.log.Error().Err(err).Str("environment", s.Environment()).Stringer("cursor", s.Cursor()).
					Msg("a change may not survive a power cut; it is not acknowledged")
				continue
			}
			fault.Point(fault.FollowerAfterSync)
			d.durable.put(s)
		}
	}
}

// acknowledge sends Acks until ctx ends or the stream does not take them.
func (d *durability) acknowledge(ctx context.Context, send func(*syncv1.StreamRequest) error) {
	for {
		states, err := d.durable.take(ctx)
		if err != nil {
			return
		}
		for _, s := range states {
			fault.Point(fault.FollowerBeforeAck)
			if send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Ack{Ack: ack(s)}}) != nil {
				return // the receiving side learns why
			}
		}
	}
}

const (
	// maxRejections is how many items one Ack names.
	maxRejections = 256
	// maxReason bounds what it says of each, in bytes.
	maxReason = 512
)

func ack(s *snapshot.Snapshot) *syncv1.Ack {
	a := &syncv1.Ack{Environment: s.Environment(), Cursor: s.Cursor().Proto()}
	rejections := s.Rejections()
	for _, r := range rejections[:min(len(rejections), maxRejections)] {
		reason := strings.ToValidUTF8(r.Err.Error(), "\uFFFD")
		if len(reason) > maxReason {
			reason = strings.ToValidUTF8(reason[:maxReason], "")
		}
		a.Rejections = append(a.Rejections, &syncv1.Rejection{
			Kind: r.Item.Kind, Key: r.Item.Key, ModRevision: r.Item.ModRevision,
			ErrorCode: string(eval.ParseError), Message: reason,
		})
	}
	return a
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
	n.mu.Lock()
	defer n.mu.Unlock()
	states := n.states
	n.states = make(map[string]*snapshot.Snapshot)
	return states, nil
}
