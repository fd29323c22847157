package controlplane

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// Restorer takes environments back to what they were. Its methods may be called from any
// goroutine.
type Restorer struct {
	authority *Authority
	rollouts  *Rollouts
}

// NewRestorer makes a Restorer.
func NewRestorer(rollouts *Rollouts) *Restorer {
	return &Restorer{authority: rollouts.authority, rollouts: rollouts}
}

// RestoreEnvironment makes the flags and segments of an environment what they were. What it
// writes is the difference to what there is; so one that was interrupted goes on when it is
// asked for again.
func (s *Restorer) RestoreEnvironment(ctx context.Context, c Caller, r *controlv1.RestoreEnvironmentRequest) (*controlv1.RestoreEnvironmentResponse, error) {
	if err := checkRestore(r); err != nil {
		return nil, err
	}
	if err := s.authority.checkEnvironment(ctx, r.GetEnvironment()); err != nil {
		return nil, err
	}
	if r.GetRequestId() == "" {
		r = proto.CloneOf(r)
		r.RequestId = uuid.NewString()
	}
	if !r.GetValidateOnly() {
		if first, err := s.recorded(ctx, r); first != nil || err != nil {
			return first, err
		}
	}
	p, err := s.plan(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.GetValidateOnly() {
		return p.preview(), nil
	}
	if len(p.owners) > 0 {
		aborted := p.owners
		if err := s.abort(ctx, c, r, aborted); err != nil {
			return nil, err
		}
		if p, err = s.plan(ctx, r); err != nil { // their flags changed with them
			return nil, err
		}
		if len(p.owners) > 0 {
			return nil, p.inTheWay()
		}
		p.counts.Rollouts = aborted
	}
	return s.carryOut(ctx, c, r, p)
}

func checkRestore(r *controlv1.RestoreEnvironmentRequest) error {
	var check checker
	check.environment("environment", r.GetEnvironment())
	switch {
	case r.GetTime() != nil && r.GetRevision() != 0:
		check.add("time", "is given, and so is revision: give one of them")
	case r.GetTime() == nil && r.GetRevision() <= 0:
		check.add("revision", "is required, or time: what the environment shall be restored to")
	case r.GetTime() != nil && !r.GetTime().IsValid():
		check.add("time", "is not a time")
	}
	check.revision("base_revision", r.GetBaseRevision())
	if !r.GetValidateOnly() {
		check.write(r)
	}
	return check.err()
}

// recorded returns the first answer to a request that was carried out before.
func (s *Restorer) recorded(ctx context.Context, r *controlv1.RestoreEnvironmentRequest) (*controlv1.RestoreEnvironmentResponse, error) {
	counts, revision, err := s.authority.recordedCounts(ctx, r.GetEnvironment(), r)
	if counts == nil {
		return nil, err
	}
	return counts.response(revision), nil
}

// response is the answer to a request that was carried out.
func (c *restoredCounts) response(revision int64) *controlv1.RestoreEnvironmentResponse {
	return &controlv1.RestoreEnvironmentResponse{
		RestoredRevision: c.AsOf, CurrentRevision: c.Base, Revision: revision, Transactions: c.Transactions,
		Created: c.Created, Updated: c.Updated, Deleted: c.Deleted,
		Rollouts: c.Rollouts, UnattendedRollouts: c.Unattended, Digest: c.Digest,
	}
}

// preview is the answer to a request that only asks.
func (p *restoration) preview() *controlv1.RestoreEnvironmentResponse {
	resp := p.counts.response(0)
	resp.Rollouts, resp.Results = p.owners, shownChanges(p.chunks)
	return resp
}

// abort ends the rollouts that are in the way.
func (s *Restorer) abort(ctx context.Context, c Caller, r *controlv1.RestoreEnvironmentRequest, rollouts []string) error {
	for _, key := range rollouts {
		_, err := s.rollouts.AbortRollout(ctx, c, &controlv1.AbortRolloutRequest{
			Environment: r.GetEnvironment(), Key: key, Reason: r.GetReason(), RequestId: abortID(r.GetRequestId(), key),
		})
		if err != nil {
			return fmt.Errorf("abort rollout %q: %w; nothing was restored", key, err)
		}
	}
	return nil
}

// carryOut writes what differs.
func (s *Restorer) carryOut(ctx context.Context, c Caller, r *controlv1.RestoreEnvironmentRequest, p *restoration) (*controlv1.RestoreEnvironmentResponse, error) {
	revision, repeated, err := s.authority.writeChunks(ctx, p.chunks, func() *plan {
		return &plan{request: r, caller: c, environment: r.GetEnvironment(), restored: p.counts}
	})
	switch {
	case err != nil:
		return nil, err
	case repeated: // the same request, at the same time
		return s.recorded(ctx, r)
	case len(p.chunks) == 0:
		return p.counts.response(0), nil
	}
	s.authority.logger.Warn().Str("environment", r.GetEnvironment()).Int64("as_of", p.counts.AsOf).Int("transactions", len(p.chunks)).
		Str("actor", c.Actor).Str("reason", r.GetReason()).Msg("an environment was restored")
	return p.counts.response(revision), nil
}

// inTheWay says which rollouts are under way.
func (p *restoration) inTheWay() error {
	return precluded("abort_rollouts", fmt.Sprintf(
		"rollout %s is under way and owns what would change: wait until it is over, or have it aborted by setting abort_rollouts", quoteList(p.owners)))
}
