package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
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
	results, _, err := s.authority.store.Read(ctx, store.Key(requestKey(r.GetEnvironment(), r.GetRequestId())))
	if err != nil {
		return nil, unavailable(err)
	}
	if len(results[0].KVs) == 0 {
		return nil, nil
	}
	kv := results[0].KVs[0]
	rec, err := decodeRecord(kv.Value)
	if err != nil {
		return nil, err
	}
	digest, err := fingerprint(r)
	if err != nil {
		return nil, err
	}
	if rec.Fingerprint != digest || rec.Restored == nil {
		return nil, usedRequest(r.GetRequestId(), r.GetEnvironment(), kv.ModRevision)
	}
	return rec.Restored.response(kv.ModRevision), nil
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
	resp.Rollouts = p.owners
	size := 0
	for _, chunk := range p.chunks {
		for _, c := range chunk {
			result := &controlv1.ApplyResult{Kind: c.kind.control, Key: c.key, Action: c.action(), Revision: c.before.revision}
			if size < maxPageBytes {
				result.Changes = fieldChanges(pinned(c.before.message), c.after)
				size += proto.Size(result)
			}
			resp.Results = append(resp.Results, result)
		}
	}
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
	revision := int64(0)
	for i, chunk := range p.chunks {
		w := &plan{request: r, caller: c, environment: r.GetEnvironment(), unrecorded: i < len(p.chunks)-1, restored: p.counts}
		for _, change := range chunk {
			w.changes = append(w.changes, change.change)
		}
		done, err := s.authority.write(ctx, w)
		if err != nil {
			if i > 0 {
				err = fmt.Errorf("%w; %d of %d transactions were written: the same request again goes on from there", err, i, len(p.chunks))
			}
			return nil, err
		}
		if done.repeated { // the same request, at the same time
			return s.recorded(ctx, r)
		}
		revision = done.revision
	}
	if len(p.chunks) == 0 {
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

// action names what a change does for a preview.
func (r *restoring) action() controlv1.Action {
	switch {
	case r.after == nil:
		return controlv1.Action_ACTION_DELETED
	case r.before.revision == 0:
		return controlv1.Action_ACTION_CREATED
	}
	return controlv1.Action_ACTION_UPDATED
}

// count adds up what the changes are.
func (p *restoration) count() {
	p.counts.Transactions = int32(len(p.chunks))
	for c := range slices.Values(slices.Concat(p.chunks...)) {
		switch c.action() {
		case controlv1.Action_ACTION_CREATED:
			p.counts.Created++
		case controlv1.Action_ACTION_DELETED:
			p.counts.Deleted++
		default:
			p.counts.Updated++
		}
	}
}

// names lists what a group of changes is of.
func names(group []*restoring) []string {
	all := make([]string, 0, len(group))
	for _, c := range group {
		all = append(all, strings.TrimSpace(c.name()))
	}
	return all
}
