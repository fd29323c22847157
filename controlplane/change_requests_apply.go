package controlplane

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// ApplyChangeRequest writes what one says.
func (s *ChangeRequests) ApplyChangeRequest(ctx context.Context, c Caller, r *controlv1.ApplyChangeRequestRequest) (*controlv1.ApplyChangeRequestResponse, error) {
	check := checkNumber(r.GetEnvironment(), r.GetNumber())
	check.comment(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	held, err := s.read(ctx, r.GetEnvironment(), r.GetNumber())
	if err != nil {
		return nil, err
	}
	if err := checkTime(held.ChangeRequest, r, s.authority.now()); err != nil {
		return nil, err
	}
	w, err := s.apply(ctx, c, r, held, nil)
	if err != nil {
		return nil, err
	}
	resp := &controlv1.ApplyChangeRequestResponse{ChangeRequest: stateOf(w.results[0]), Revision: w.revision, Entry: w.results[0].entry}
	for _, result := range w.results[1:] {
		resp.Results = append(resp.Results, result.applied())
	}
	return resp, nil
}

// checkTime refuses to apply before its time what is open and scheduled, unless that is meant.
func checkTime(held *controlv1.ChangeRequest, r *controlv1.ApplyChangeRequestRequest, now time.Time) error {
	if held.GetState() != controlv1.ChangeRequest_STATE_OPEN || r.GetNow() || !early(held, now) {
		return nil
	}
	return precluded("number", fmt.Sprintf("change request #%d is to be applied at %s, and is by itself then; to apply it before: 'tidegate request apply %d --now' (now: true)",
		held.GetNumber(), held.GetApplyAt().AsTime().Format(time.RFC3339), held.GetNumber()))
}

// early tells whether the time of a change request that is scheduled is still to come.
func early(held *controlv1.ChangeRequest, now time.Time) bool {
	return held.GetApplyAt() != nil && now.Before(held.GetApplyAt().AsTime())
}

// heldRequest is a change request with what it would write, as it was read.
type heldRequest struct {
	*controlv1.ChangeRequest
	revision int64
}

// read reads a change request, and from the audit entry of its proposal what it would write.
func (s *ChangeRequests) read(ctx context.Context, environment string, number int64) (heldRequest, error) {
	of := changeRequest(environment, number)
	v, err := s.authority.get(ctx, changeRequestKind, environment, of.key)
	if err != nil {
		return heldRequest{}, err
	}
	kv, err := s.authority.readEntry(ctx, of, 1)
	if err != nil {
		return heldRequest{}, err
	}
	first, err := decodeEntry(kv)
	if err != nil {
		return heldRequest{}, err
	}
	held, _ := v.message.(*controlv1.ChangeRequest)
	if held.Change = first.GetChangeRequest().GetChange(); held.GetChange() == nil {
		return heldRequest{}, fmt.Errorf("%w: what %s would write", ErrCorrupt, of)
	}
	return heldRequest{ChangeRequest: held, revision: v.revision}, nil
}

// apply writes what a change request says; if there is a fence, because it is due, and if that
// holds besides.
func (s *ChangeRequests) apply(ctx context.Context, c Caller, r *controlv1.ApplyChangeRequestRequest, held heldRequest, fence []store.Compare) (*written, error) {
	p, err := s.planOf(ctx, c, r, held)
	if err != nil {
		// What is not possible now may be what this request did when it came first.
		if w, repeated := s.authority.repeated(ctx, c, r, r.GetEnvironment()); repeated {
			return w, nil
		}
		return nil, err
	}
	p.fence, p.unattended = fence, len(fence) > 0
	return s.authority.write(ctx, p)
}

// planOf is what applies a change request: that it is applied, then what it says.
func (s *ChangeRequests) planOf(ctx context.Context, c Caller, r *controlv1.ApplyChangeRequestRequest, held heldRequest) (*plan, error) {
	if err := checkOpen(held.ChangeRequest); err != nil {
		return nil, err
	}
	changes, err := s.changes(ctx, held)
	if err != nil {
		return nil, err
	}
	done := s.stepping(r.GetEnvironment(), r.GetNumber(), controlv1.Action_ACTION_APPLIED, func(next *controlv1.ChangeRequest) error {
		s.finish(next, c, controlv1.ChangeRequest_STATE_APPLIED, r.GetReason())
		next.AppliedEarly = r.GetNow() && early(next, next.GetClosedAt().AsTime())
		return nil
	})
	return &plan{
		request: r, caller: c, environment: r.GetEnvironment(), applied: held.ChangeRequest, identified: s.o.Identified,
		changes: append([]*change{done}, changes...), announce: s.o.Rollouts.o.Announce, tell: s.o.Announce,
	}, nil
}

// changes are those that a change request says.
func (s *ChangeRequests) changes(ctx context.Context, held heldRequest) ([]*change, error) {
	if p := held.GetRollout(); p != nil {
		return s.starting(ctx, held, p)
	}
	apply := applyOf(held.ChangeRequest)
	var check checker
	changes := append(check.applied(apply), s.authority.deleted(ctx, &check, apply)...)
	for _, c := range changes {
		c.present = false // what is gone is a conflict, as what has changed is
	}
	return changes, check.err()
}

// applyOf is what a change request would write, as FlagService.Apply takes it.
func applyOf(r *controlv1.ChangeRequest) *controlv1.ApplyRequest {
	apply := &controlv1.ApplyRequest{Environment: r.GetEnvironment()}
	for _, w := range r.GetWrites().GetSegments() {
		apply.Segments = append(apply.Segments, &controlv1.SegmentWrite{Segment: w.GetSegment(), BaseRevision: proto.Int64(w.GetBaseRevision())})
	}
	for _, w := range r.GetWrites().GetFlags() {
		apply.Flags = append(apply.Flags, &controlv1.FlagWrite{Flag: w.GetFlag(), BaseRevision: proto.Int64(w.GetBaseRevision())})
	}
	for _, d := range r.GetWrites().GetDeletes() {
		deleted := &controlv1.ResourceDelete{
			Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: d.GetFlagKey(), BaseRevision: d.GetBaseRevision(), Force: d.GetForce(),
		}
		if d.GetSegmentKey() != "" {
			deleted.Kind, deleted.Key = controlv1.ResourceKind_RESOURCE_KIND_SEGMENT, d.GetSegmentKey()
		}
		apply.Deletes = append(apply.Deletes, deleted)
	}
	return apply
}

// starting are the changes that start a rollout on the flag that was there when it was proposed.
func (s *ChangeRequests) starting(ctx context.Context, held heldRequest, p *controlv1.ProposedRollout) ([]*change, error) {
	flag := resource{environment: held.GetEnvironment(), kind: flagKind, key: p.GetRollout().GetFlagKey()}
	results, _, err := s.authority.store.Read(ctx, store.Key(flag.stateKey()))
	if err != nil {
		return nil, unavailable(err)
	}
	if flagKind.version(results[0]).revision != p.GetFlagRevision() {
		return nil, s.authority.conflict(ctx, flag, p.GetFlagRevision())
	}
	changes, err := s.o.Rollouts.starting(ctx, held.GetEnvironment(), p.GetRollout(), s.o.Rollouts.at(ctx, held.GetEnvironment()))
	if err != nil {
		return nil, err
	}
	changes[1].base = &p.FlagRevision
	return changes, nil
}
