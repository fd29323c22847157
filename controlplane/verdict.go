package controlplane

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// Verdict is a decision to carry out.
type Verdict struct {
	// Decision is stored as it is, but for what only the write knows: environment, rollout,
	// number, time, verdict and headline must be set; from_weight, to_weight and previous_hash
	// are filled in. Numbers count the decisions of a rollout from 1 on, without a gap.
	Decision *rolloutv1.Decision
	// RolloutRevision is that of the rollout that was judged.
	RolloutRevision int64
	// FlagRevision is that of the flag that was judged; 0: whatever it is now. What ends at the
	// control need not wait for a new judgement because somebody edited a description.
	FlagRevision int64
	// Relays that follow the environment; 0: not known.
	Relays uint32
	// Trips are recorded before the decision.
	Trips []Trip
	// Caller is whom the audit trail names.
	Caller Caller
}

// PlannedVerdict is what carries a verdict out.
type PlannedVerdict struct {
	// Txn is to be committed whole, with whatever else belongs to it. It changes the rollout,
	// its flag, the claims on that, and adds the decision and the audit entries; it compares
	// everything that it was decided on. It happens once, however often it is committed.
	// Two of rollouts of one flag do not fit into one transaction.
	Txn store.Txn
	// Rollout as it will be.
	Rollout *rolloutv1.Rollout
	// Decision as it is stored.
	Decision *rolloutv1.Decision
}

// PlanVerdict works out what carries a verdict out, on what the store holds now. It writes
// nothing. The error is a *ConflictError if rollout or flag are no longer what was judged, a
// *PreconditionError if the verdict is not possible on them (the rollout is over, or a person
// paused it), a *FrozenError if it widens in an environment that is frozen at the decision's time, a
// *NotFoundError if the rollout is gone: judge again.
func (a *Authority) PlanVerdict(ctx context.Context, v Verdict) (*PlannedVerdict, error) {
	d := v.Decision
	if err := checkVerdict(v); err != nil {
		return nil, err
	}
	h, err := a.readRollout(ctx, d.GetEnvironment(), d.GetRollout())
	if err != nil {
		return nil, err
	}
	if h.revision != v.RolloutRevision {
		return nil, a.conflict(ctx, h.resource, v.RolloutRevision)
	}
	if v.FlagRevision != 0 && h.flagRevision != v.FlagRevision {
		return nil, a.conflict(ctx, h.flag, v.FlagRevision)
	}
	if number := h.rollout.GetStatus().GetDecision() + 1; d.GetNumber() != number {
		return nil, invalid("decision.number", fmt.Sprintf("must be %d, the next of rollout %q, not %d", number, h.key, d.GetNumber()))
	}
	next, verb, err := h.judged(v)
	if err != nil {
		return nil, unfit("decision", err)
	}
	var thawed []store.Compare
	if widens(d.GetVerdict()) {
		if thawed, err = a.checkThawed(ctx, d.GetEnvironment(), d.GetTime().AsTime()); err != nil {
			return nil, err
		}
	}
	status := next.Rollout.GetStatus()
	status.Decision, status.Headline = d.GetNumber(), d.GetHeadline()
	if !rollout.Active(next.Rollout) {
		status.Success = d.GetAssessment().GetSuccess()
	}
	d = proto.CloneOf(d)
	d.FromWeight, d.ToWeight = h.rollout.GetStatus().GetWeight(), status.GetWeight()
	stamp := &controlv1.AuditEntry{
		Actor: v.Caller.Actor, Peer: v.Caller.Peer, Reason: truncate(d.GetHeadline(), maxReason), Time: timestamppb.New(a.now()),
	}
	txn, err := a.verdictTxn(ctx, h, h.changes(next, verb), d, v.Trips, stamp)
	if err != nil {
		return nil, err
	}
	txn.Compares = append(txn.Compares, thawed...)
	return &PlannedVerdict{Txn: txn, Rollout: next.Rollout, Decision: d}, nil
}

func checkVerdict(v Verdict) error {
	d := v.Decision
	var check checker
	check.environment("decision.environment", d.GetEnvironment())
	check.key("decision.rollout", d.GetRollout())
	if d.GetNumber() == 0 || d.GetNumber() > maxDecision {
		check.add("decision.number", "must be 1 to %d, not %d", uint64(maxDecision), d.GetNumber())
	}
	if d.GetHeadline() == "" {
		check.add("decision.headline", "is required: it is what people read")
	}
	if len(d.GetPreviousHash()) > 0 {
		check.add("decision.previous_hash", "is filled in as it is written: leave it out")
	}
	return check.err()
}

// widens tells whether a verdict gives the treatment to more, which a frozen environment does not do.
func widens(v rolloutv1.Verdict) bool {
	return v == rolloutv1.Verdict_VERDICT_ADVANCE || v == rolloutv1.Verdict_VERDICT_COMPLETE
}

// judged is what a verdict makes of a rollout and its flag. What is returned is the caller's to
// change.
func (h *heldRollout) judged(v Verdict) (rollout.Next, controlv1.Action, error) {
	at := rollout.At{Time: v.Decision.GetTime().AsTime(), Relays: v.Relays}
	status := h.rollout.GetStatus()
	verdict := v.Decision.GetVerdict()
	switch {
	case !rollout.Active(h.rollout):
		_, err := rollout.Pause(h.rollout) // says that it is over
		return rollout.Next{}, 0, err
	case widens(verdict) && status.GetState() != rolloutv1.State_STATE_RUNNING:
		return rollout.Next{}, 0, precluded("verdict", fmt.Sprintf("rollout %q is %s: it is not widened", h.key, rollout.StateWord(status.GetState())))
	case widens(verdict):
		if err := h.checkFlag(); err != nil {
			return rollout.Next{}, 0, err
		}
	}
	switch verdict {
	case rolloutv1.Verdict_VERDICT_HOLD:
		return rollout.Next{Rollout: proto.CloneOf(h.rollout)}, controlv1.Action_ACTION_HELD, nil
	case rolloutv1.Verdict_VERDICT_ADVANCE:
		stage := int(status.GetStage()) + 1
		if stage == len(h.rollout.GetStages()) {
			return rollout.Next{}, 0, precluded("verdict", fmt.Sprintf("rollout %q is at its last stage: it completes, or holds", h.key))
		}
		next, err := rollout.Advance(h.rollout, h.flagNow, stage, at)
		return next, controlv1.Action_ACTION_ADVANCED, err
	case rolloutv1.Verdict_VERDICT_COMPLETE:
		next, err := rollout.Advance(h.rollout, h.flagNow, len(h.rollout.GetStages()), at)
		return next, controlv1.Action_ACTION_COMPLETED, err
	case rolloutv1.Verdict_VERDICT_ROLLBACK, rolloutv1.Verdict_VERDICT_GIVE_UP:
		next, err := rollout.Finish(h.rollout, h.flagNow, rolloutv1.State_STATE_ROLLED_BACK, at)
		return next, controlv1.Action_ACTION_ROLLED_BACK, err
	}
	return rollout.Next{}, 0, precluded("verdict", fmt.Sprintf("%s is none", verdict))
}

// verdictTxn puts the changes, the decision and their entries together.
func (a *Authority) verdictTxn(ctx context.Context, h *heldRollout, changes []*change, d *rolloutv1.Decision, trips []Trip, stamp *controlv1.AuditEntry) (store.Txn, error) {
	previous := decisionKey(h.environment, h.key, d.GetNumber()-1)
	ranges := []store.Range{store.Key(previous)}
	for _, c := range changes {
		ranges = append(ranges, c.ranges()...)
	}
	results, _, err := a.store.Read(ctx, ranges...)
	if err != nil {
		return store.Txn{}, unavailable(err)
	}
	before := results[0].KVs
	switch {
	case len(before) > 0:
		d.PreviousHash = entryHash(before[0].Value)
	case d.GetNumber() > 1: // what shuts must not fail on it; VerifyDecisions finds the gap
		a.logger.Error().Uint64("decision", d.GetNumber()-1).Stringer("of", h.resource).Msg("a stored decision is missing: the chain of decisions has a gap")
	}
	results = results[1:]
	var t store.Txn
	for _, c := range changes {
		var draft *draft
		if draft, results, err = newDraft(c, results); err != nil {
			return t, err
		}
		if err := a.decide(ctx, draft); err != nil {
			return t, err
		}
		if draft.kind == rolloutKind {
			if err := draft.writeTrips(&t, trips, stamp.GetTime()); err != nil {
				return t, err
			}
		}
		if err := draft.writeTo(&t, stamp); err != nil {
			return t, err
		}
	}
	stored, err := marshal(d)
	if err != nil {
		return t, err
	}
	key := decisionKey(h.environment, h.key, d.GetNumber())
	t.Compares = append(t.Compares, store.Absent(key))
	t.Ops = append(t.Ops, store.Put(key, stored))
	return t, checkSize(t)
}

// CarryOut carries a verdict out, with more compares and ops in the same transaction, such as
// the fence of whoever decides, and the evidence. Where the outcome is not committed, something
// else came first: judge again. After an error that is ErrUnavailable the outcome is unknown:
// if the rollout's status has the decision's number then, it was carried out.
func (a *Authority) CarryOut(ctx context.Context, v Verdict, compares []store.Compare, ops []store.Op) (store.Outcome, error) {
	p, err := a.PlanVerdict(ctx, v)
	if err != nil {
		return store.Outcome{}, err
	}
	out, err := a.store.Commit(ctx, store.Txn{Compares: append(p.Txn.Compares, compares...), Ops: append(p.Txn.Ops, ops...)})
	if err != nil {
		return store.Outcome{}, unavailable(err)
	}
	return out, nil
}
