package decider

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/collector"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/judge"
	"github.com/tidegate/tidegate/internal/version"
)

// Actor is who the audit trail says decided.
const Actor = "decider"

// carryOut adds to the round what a judgement comes to, if it changes something and there is
// room.
func (d *Decider) carryOut(ctx context.Context, r *round, s *subject) error {
	holds := s.outcome().Verdict == rolloutv1.Verdict_VERDICT_HOLD
	if holds {
		recorded, err := d.recorded(ctx, s)
		if err != nil {
			return err
		}
		if !worthRecording(s, recorded) {
			return d.recordTrips(ctx, r, s.id, s.trips)
		}
	}
	flag := id{s.Environment, s.Rollout.GetFlagKey()}
	if r.flags[flag] { // two changes of one flag do not fit one transaction
		r.carried[s.id] = s.trips
		return nil
	}
	v := controlplane.Verdict{
		Decision: d.decision(s), RolloutRevision: s.RolloutRevision, Relays: s.relays,
		Trips: d.unrecorded(s.id, s.trips), Caller: controlplane.Caller{Actor: Actor, Peer: d.o.InstanceID},
	}
	shuts := urgency(s) == 0
	if verdict := s.outcome().Verdict; verdict == rolloutv1.Verdict_VERDICT_ADVANCE || verdict == rolloutv1.Verdict_VERDICT_COMPLETE {
		v.FlagRevision = s.FlagRevision
	}
	p, err := d.o.Authority.PlanVerdict(ctx, v)
	var conflict *controlplane.ConflictError
	var gone *controlplane.NotFoundError
	var frozen *controlplane.FrozenError
	switch {
	case errors.As(err, &conflict), errors.As(err, &gone), errors.As(err, &frozen):
		return errRace
	case errors.Is(err, controlplane.ErrUnavailable):
		return err
	case err != nil:
		// The evidence is kept, so it is judged again in a second.
		d.o.Logger.Error().Err(err).Str("environment", s.Environment).Str("rollout", s.id.rollout).
			Str("verdict", word(v.Decision.GetVerdict())).Msg("a verdict cannot be carried out")
		r.carried[s.id] = s.trips
		return nil
	}
	more := collector.Effects{Compares: p.Txn.Compares, Ops: append(p.Txn.Ops, d.announce(s, p)...)}
	if !r.add(more) {
		if shuts && len(r.group.Batches) > 1 {
			return collector.ErrNoRoom // with fewer batches there is
		}
		r.carried[s.id] = s.trips
		return nil
	}
	r.flags[flag] = true
	r.record(s.id, v.Trips)
	r.verdicts = append(r.verdicts, verdict{s.id, p.Decision})
	return nil
}

// recordTrips adds trips that nothing follows from to the round, and to the audit trail. What
// is of no rollout is dropped.
func (d *Decider) recordTrips(ctx context.Context, r *round, of id, trips []controlplane.Trip) error {
	trips = d.unrecorded(of, trips)
	if len(trips) == 0 {
		return nil
	}
	txn, err := d.o.Authority.PlanTrips(ctx, of.environment, of.rollout, trips)
	var gone *controlplane.NotFoundError
	switch {
	case errors.As(err, &gone):
		return nil
	case errors.Is(err, controlplane.ErrUnavailable):
		return err
	case err == nil && r.add(collector.Effects{Compares: txn.Compares, Ops: txn.Ops}):
		r.record(of, trips)
		return nil
	}
	d.o.Logger.Warn().Err(err).Str("environment", of.environment).Str("rollout", of.rollout).Int("trips", len(trips)).
		Msg("trips of relays are not in the audit trail")
	return nil
}

// tripKey is one that is recorded once, and once more when it is lifted.
type tripKey struct {
	id
	relay, guardrail string
	step             uint64
	lifted           bool
}

// maxTripsKnown is how many trips are remembered for not being recorded again.
const maxTripsKnown = 10_000

func keyOf(of id, t controlplane.Trip) tripKey {
	return tripKey{of, t.Relay, t.GetGuardrail(), t.GetStep(), t.GetLiftedAt() != nil}
}

// unrecorded are those trips that are not in the audit trail yet: relays may tell them again.
func (d *Decider) unrecorded(of id, trips []controlplane.Trip) (fresh []controlplane.Trip) {
	for _, t := range distinct(of, trips) {
		if !d.recordedTrips[keyOf(of, t)] {
			fresh = append(fresh, t)
		}
	}
	return fresh
}

// distinct are trips without those that were told twice: a relay tells them again when it was
// started anew.
func distinct(of id, trips []controlplane.Trip) (list []controlplane.Trip) {
	seen := make(map[tripKey]bool)
	for _, t := range trips {
		if key := keyOf(of, t); !seen[key] {
			list = append(list, t)
			seen[key] = true
		}
	}
	return list
}

// record says that trips are in the audit trail once the round is committed.
func (r *round) record(of id, trips []controlplane.Trip) {
	for _, t := range trips {
		r.recordedTrips[keyOf(of, t)] = true
	}
}

// decision is the judgement with who made it.
func (d *Decider) decision(s *subject) *rolloutv1.Decision {
	decision := s.standing.decision()
	decision.Environment = s.Environment
	decision.Number = s.Rollout.GetStatus().GetDecision() + 1
	decision.FlagRevision = s.FlagRevision
	decision.Decider, decision.Term, decision.SoftwareVersion = d.o.InstanceID, int64(d.term), version.Version
	return decision
}

// recorded is the newest decision about a rollout; nil: there is none.
func (d *Decider) recorded(ctx context.Context, s *subject) (*rolloutv1.Decision, error) {
	number := s.Rollout.GetStatus().GetDecision()
	if number == 0 {
		return nil, nil
	}
	if known := d.newest[s.id]; known.GetNumber() == number {
		return known, nil
	}
	newest, err := d.o.Authority.ReadDecision(ctx, s.Environment, s.id.rollout, number)
	switch {
	case errors.Is(err, controlplane.ErrCorrupt): // at worst the same is recorded again
		d.o.Logger.Error().Err(err).Str("environment", s.Environment).Str("rollout", s.id.rollout).Msg("a stored decision cannot be used")
		newest = &rolloutv1.Decision{Number: number, Time: s.Rollout.GetStatus().GetStartedAt()}
	case err != nil:
		return nil, err
	}
	d.newest[s.id] = newest
	return newest, nil
}

const (
	// firstHold is the least time before a decision to hold, since the one before or the step's
	// beginning, and holdShare which part of the step's age it is at least.
	firstHold = 10 * time.Second
	holdShare = 10
	// pressingHold is the most that is waited before what is pressing is recorded.
	pressingHold = time.Minute
)

// worthRecording tells whether a judgement to hold says something new. It goes by what is
// stored alone, so that another leader decides the same.
func worthRecording(s *subject, newest *rolloutv1.Decision) bool {
	now, status := s.standing.at, s.Rollout.GetStatus()
	since := status.GetStartedAt().AsTime()
	if n := len(status.GetSteps()); n > 0 {
		since = status.GetSteps()[n-1].GetBeganAt().AsTime()
	}
	age := now.Sub(since)
	if newest.GetVerdict() == rolloutv1.Verdict_VERDICT_HOLD && newest.GetInputs().GetRollout().GetStatus().GetStep() == status.GetStep() {
		if waitOf(newest) == s.waitsFor() {
			return false
		}
		since = newest.GetTime().AsTime()
	}
	gap := max(firstHold, age/holdShare)
	switch s.outcome().Reason {
	case judge.ReasonBreach, judge.ReasonFlag, judge.ReasonSampleRatio, judge.ReasonControl, judge.ReasonPaused, judge.ReasonFrozen:
		gap = min(gap, pressingHold)
	}
	return now.Sub(since) >= gap
}

// wait is what is waited for.
type wait struct{ reason, guardrail string }

func (s *subject) waitsFor() wait {
	out := s.outcome()
	w := wait{reason: string(out.Reason)}
	if out.Guard >= 0 {
		w.guardrail = s.Rollout.GetGuardrails()[out.Guard].GetName()
	}
	return w
}

// waitOf is what a decision to hold waits for.
func waitOf(d *rolloutv1.Decision) wait {
	if waits := d.GetAssessment().GetWaits(); len(waits) > 0 {
		return wait{waits[0].GetReason(), waits[0].GetGuardrail()}
	}
	return wait{reason: d.GetDeciding()}
}

// word is such as 'rollback'.
func word(v rolloutv1.Verdict) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(v.String(), "VERDICT_")), "_", " ")
}
