package controlplane

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// watchInterval is how often a watch looks: evidence changes once a second at most.
const watchInterval = time.Second

// WatchRollout sends a rollout and how its evidence stands, now and whenever that changes. It
// returns nil once it has sent one that is over.
func (s *Rollouts) WatchRollout(ctx context.Context, r *controlv1.WatchRolloutRequest, send func(*controlv1.WatchRolloutResponse) error) error {
	first, err := s.GetRollout(ctx, &controlv1.GetRolloutRequest{Environment: r.GetEnvironment(), Key: r.GetKey()})
	if err != nil {
		return err
	}
	began := s.epochOf(r.GetEnvironment())
	last := &controlv1.WatchRolloutResponse{Rollout: first.GetRollout(), Assessment: first.GetAssessment()}
	if err := send(last); err != nil {
		return err
	}
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for rollout.Active(last.GetRollout().GetRollout()) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if now := s.epochOf(r.GetEnvironment()); now != began {
			return fmt.Errorf("%w: the store began epoch %s: look again", ErrUnavailable, now)
		}
		next, err := s.watched(ctx, r)
		if err != nil {
			return err
		}
		// The replica may still be on its way to what the store had at first.
		if next.GetRollout().GetRevision() < last.GetRollout().GetRevision() || proto.Equal(next, last) {
			continue
		}
		if err := send(next); err != nil {
			return err
		}
		last = next
	}
	return nil
}

// epochOf is that of the revisions that the environment's replica shows.
func (s *Rollouts) epochOf(environment string) snapshot.Epoch {
	replica := s.authority.replicas.Replica(environment)
	if replica == nil || replica.Snapshot() == nil {
		return snapshot.Epoch{}
	}
	return replica.Snapshot().Cursor().Epoch
}

// watched is the rollout as this server has applied it: asking the store once a second for
// each watch would cost more than it is worth. Revision 0: it is not there yet.
func (s *Rollouts) watched(ctx context.Context, r *controlv1.WatchRolloutRequest) (*controlv1.WatchRolloutResponse, error) {
	replica := s.authority.replicas.Replica(r.GetEnvironment())
	if replica == nil || replica.Snapshot() == nil {
		return &controlv1.WatchRolloutResponse{}, nil
	}
	item, ok := replica.Snapshot().Item(rolloutKind.sync, r.GetKey())
	if !ok {
		return s.watchedGone(ctx, r)
	}
	held := new(rolloutv1.Rollout)
	if err := proto.Unmarshal(item.Data, held); err != nil {
		return nil, fmt.Errorf("%w: rollout %q: %w", ErrCorrupt, r.GetKey(), err)
	}
	return &controlv1.WatchRolloutResponse{
		Rollout:    &controlv1.RolloutVersion{Rollout: held, Revision: item.ModRevision},
		Assessment: s.assess(ctx, r.GetEnvironment(), held),
	}, nil
}

// watchedGone asks the store about a rollout that the replica does not have: it is not there
// yet, or it ended and was deleted between two looks.
func (s *Rollouts) watchedGone(ctx context.Context, r *controlv1.WatchRolloutRequest) (*controlv1.WatchRolloutResponse, error) {
	v, err := s.authority.get(ctx, rolloutKind, r.GetEnvironment(), r.GetKey())
	if err != nil {
		return nil, err
	}
	return &controlv1.WatchRolloutResponse{Rollout: rolloutVersion(v)}, nil
}
