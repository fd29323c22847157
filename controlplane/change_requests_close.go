package controlplane

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// maxApprovers of one change request: where nobody is asked who they are, there is no end to
// names.
const maxApprovers = 100

// ApproveChangeRequest approves one that is open.
func (s *ChangeRequests) ApproveChangeRequest(ctx context.Context, c Caller, r *controlv1.ApproveChangeRequestRequest) (*controlv1.ApproveChangeRequestResponse, error) {
	check := checkNumber(r.GetEnvironment(), r.GetNumber())
	check.comment(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	if err := s.checkPerson(ctx, c, r.GetNumber()); err != nil {
		return nil, err
	}
	result, err := s.change(ctx, c, r, controlv1.Action_ACTION_APPROVED, func(next *controlv1.ChangeRequest) error {
		if samePerson(next.GetProposer(), party(c)) {
			return precluded("number", fmt.Sprintf("change request #%d was proposed by %s: somebody else has to approve it", r.GetNumber(), c.Actor))
		}
		if slices.ContainsFunc(next.GetApprovals(), func(a *controlv1.Approval) bool { return sameParty(a.GetBy(), party(c)) }) {
			return nil
		}
		// Of somebody with their name who is another identity: in its place.
		next.Approvals = slices.DeleteFunc(next.GetApprovals(), func(a *controlv1.Approval) bool { return samePerson(a.GetBy(), party(c)) })
		if len(next.GetApprovals()) == maxApprovers {
			return precluded("number", fmt.Sprintf("change request #%d has %d approvals, which is enough", r.GetNumber(), maxApprovers))
		}
		next.Approvals = append(next.Approvals, &controlv1.Approval{By: party(c), Time: timestamppb.New(s.authority.now()), Comment: r.GetReason()})
		return nil
	})
	if err != nil {
		return nil, err
	}
	settings, err := s.settings(ctx, r.GetEnvironment())
	if err != nil {
		return nil, err
	}
	resp := &controlv1.ApproveChangeRequestResponse{
		ChangeRequest: stateOf(result), Revision: result.revision, ApprovalsRequired: settings.GetApproval().GetApprovals(), Entry: result.entry,
	}
	if s.o.Identified {
		standing, err := s.authority.readStanding(ctx, resp.GetChangeRequest(), s.authority.now())
		if err != nil {
			return nil, err
		}
		resp.UncountedApprovals = standing.uncounted(resp.GetChangeRequest(), settings.GetProtected(), nil)
	}
	return resp, nil
}

// checkPerson refuses the approval of a service: who has its secret, and who could have used it,
// is not known of it.
func (s *ChangeRequests) checkPerson(ctx context.Context, c Caller, number int64) error {
	if !s.o.Identified {
		return nil
	}
	known, err := s.authority.readStanding(ctx, &controlv1.ChangeRequest{Proposer: party(c)}, s.authority.now())
	if err != nil || !known.isService(party(c)) {
		return err
	}
	return precluded("number", fmt.Sprintf("%s is a service, and a person has to approve #%d: log in as one ('tidegate login')", c.Actor, number))
}

// RejectChangeRequest ends one that is open.
func (s *ChangeRequests) RejectChangeRequest(ctx context.Context, c Caller, r *controlv1.RejectChangeRequestRequest) (*controlv1.RejectChangeRequestResponse, error) {
	check := checkNumber(r.GetEnvironment(), r.GetNumber())
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	result, err := s.change(ctx, c, r, controlv1.Action_ACTION_REJECTED, func(next *controlv1.ChangeRequest) error {
		s.finish(next, c, controlv1.ChangeRequest_STATE_REJECTED, r.GetReason())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.RejectChangeRequestResponse{ChangeRequest: stateOf(result), Revision: result.revision, Entry: result.entry}, nil
}

// WithdrawChangeRequest ends one that the caller has proposed.
func (s *ChangeRequests) WithdrawChangeRequest(ctx context.Context, c Caller, r *controlv1.WithdrawChangeRequestRequest) (*controlv1.WithdrawChangeRequestResponse, error) {
	check := checkNumber(r.GetEnvironment(), r.GetNumber())
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	result, err := s.change(ctx, c, r, controlv1.Action_ACTION_WITHDRAWN, func(next *controlv1.ChangeRequest) error {
		if !samePerson(next.GetProposer(), party(c)) {
			return precluded("number", fmt.Sprintf("change request #%d was proposed by %s, who alone can withdraw it: reject it", r.GetNumber(), next.GetProposer().GetName()))
		}
		s.finish(next, c, controlv1.ChangeRequest_STATE_WITHDRAWN, r.GetReason())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.WithdrawChangeRequestResponse{ChangeRequest: stateOf(result), Revision: result.revision, Entry: result.entry}, nil
}

// change makes of a change request that is open what step makes of it, whoever else changes it
// at the same time.
func (s *ChangeRequests) change(ctx context.Context, c Caller, r numberRequest, verb controlv1.Action, step func(next *controlv1.ChangeRequest) error) (*result, error) {
	w, err := s.authority.write(ctx, &plan{
		request: r, caller: c, environment: r.GetEnvironment(), tell: s.o.Announce,
		changes: []*change{s.stepping(r.GetEnvironment(), r.GetNumber(), verb, step)},
	})
	if err != nil {
		return nil, err
	}
	return w.results[0], nil
}

// stepping is the change of a change request that step makes of it.
func (s *ChangeRequests) stepping(environment string, number int64, verb controlv1.Action, step func(next *controlv1.ChangeRequest) error) *change {
	of := changeRequest(environment, number)
	stepped := &change{resource: of, field: "number", present: true, unchecked: true, verb: verb}
	stepped.content = func(current, _ version) (proto.Message, error) {
		held, ok := current.message.(*controlv1.ChangeRequest)
		if !ok {
			return nil, fmt.Errorf("%w: %s", ErrCorrupt, of)
		}
		if err := checkOpen(held); err != nil {
			return nil, err
		}
		next := proto.CloneOf(held)
		if err := step(next); err != nil {
			return nil, err
		}
		stepped.with = store.Txn{}
		if next.GetState() != controlv1.ChangeRequest_STATE_OPEN && next.GetApplyAt() != nil {
			stepped.with.Ops = []store.Op{store.Delete(dueKey(environment, number))}
		}
		return next, nil
	}
	return stepped
}

// finish says what became of a change request.
func (s *ChangeRequests) finish(r *controlv1.ChangeRequest, c Caller, state controlv1.ChangeRequest_State, why string) {
	r.State, r.ClosedBy, r.ClosedAt, r.ClosingReason = state, party(c), timestamppb.New(s.authority.now()), why
}

func stateOf(r *result) *controlv1.ChangeRequest {
	held, _ := r.message.(*controlv1.ChangeRequest)
	return held
}
