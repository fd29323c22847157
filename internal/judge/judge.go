package judge

import (
	"slices"
	"time"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// Outcome is what came of judging.
type Outcome struct {
	Verdict rolloutv1.Verdict
	// Reason is what decided, or the most pressing of what is waited for; Guard the index of
	// the guardrail that it is about, -1 for none.
	Reason Reason
	Guard  int
	// Weight is that of the treatment from now on, Stage the stage that it is of.
	Weight uint32
	Stage  int
	// Proposed is what the policy wanted; HOLD where it was not asked, or failed. Rule is what
	// the shield overruled it by; empty: nothing.
	Proposed rolloutv1.Verdict
	Policy   string
	Rule     string
	// Waits is everything that is in the way of leaving the stage, the most pressing first.
	Waits []Wait
}

const (
	// freshShare is which share of the relays must have applied a step, and have told what
	// they counted, before a stage is left: nine of ten.
	freshNumerator, freshDenominator = 9, 10
)

// Judge takes in what was counted since and decides. The rollout's status says at which step;
// windows of other steps do not decide. Neither argument is kept or changed.
//
// Call it once a second, with or without windows. It does not block; BenchmarkJudge says what it
// costs.
func (s *State) Judge(status *rolloutv1.Status, windows []*telemetryv1.Window, situation *rolloutv1.Situation, policy Policy) Outcome {
	now := situation.GetNow().AsTime()
	stage := min(int(status.GetStage()), len(s.plan.stages)-1)
	if status.GetStep() != s.step {
		s.begin(status, stage)
	}
	s.count(status, windows, now)
	f := s.facts(status, situation, stage, now)
	out := Outcome{Policy: policy.Name(), Proposed: rolloutv1.Verdict_VERDICT_HOLD, Stage: stage, Weight: status.GetWeight(), Waits: f.waits}
	r, forced := f.forced()
	if !forced {
		out.Proposed = propose(policy, &Observation{
			Stage: stage, Stages: len(s.plan.stages),
			Dwell: dwelt(status, now), MinDwell: s.plan.dwell(stage), Elapsed: now.Sub(status.GetStartedAt().AsTime()),
			Ready: len(f.waits) == 0, Waits: slices.Clone(f.waits),
			state: s, status: status, situation: situation,
		})
		r = f.allow(out.Proposed)
	}
	out.Verdict, out.Reason, out.Guard, out.Rule = r.verdict, r.reason, r.guard, r.rule
	switch out.Verdict {
	case rolloutv1.Verdict_VERDICT_ADVANCE:
		out.Stage++
		out.Weight = s.plan.stages[out.Stage].weight
	case rolloutv1.Verdict_VERDICT_COMPLETE:
		out.Weight = fullWeight
	case rolloutv1.Verdict_VERDICT_ROLLBACK, rolloutv1.Verdict_VERDICT_GIVE_UP:
		out.Weight = 0
	}
	return out
}

// dwelt is how long the step is in force.
func dwelt(status *rolloutv1.Status, now time.Time) time.Duration {
	step, ok := stepOf(status, status.GetStep())
	if !ok {
		return 0
	}
	return now.Sub(step.GetBeganAt().AsTime())
}

func (s *State) facts(status *rolloutv1.Status, situation *rolloutv1.Situation, stage int, now time.Time) *facts {
	running := status.GetState() == rolloutv1.State_STATE_RUNNING
	f := &facts{
		over:   !running && status.GetState() != rolloutv1.State_STATE_PAUSED,
		breach: -1,
		trip:   s.trip(status, situation),
		last:   stage == len(s.plan.stages)-1,
	}
	f.lack = s.ratio.lacks(s.plan.sampleRatio, s.plan.stages)
	wait := func(r Reason, guard int) { f.waits = append(f.waits, Wait{Reason: r, Guard: guard}) }

	held := -1
	for i, g := range s.plan.guards {
		if !s.guards[i].breached(g, stakesOf(s.step)) {
			continue
		}
		switch {
		case g.shuts() && f.breach < 0:
			f.breach = i
		case !g.shuts() && held < 0:
			held = i
		}
	}
	if situation.GetFrozen() != nil {
		wait(ReasonFrozen, -1)
	}
	if !running {
		wait(ReasonPaused, -1)
	}
	if !situation.GetFlagReady() {
		wait(ReasonFlag, -1)
	}
	if held >= 0 {
		wait(ReasonBreach, held)
	}
	if s.ratio.logE() >= guardrail.LogThreshold(sampleRatioAlpha) {
		wait(ReasonSampleRatio, -1)
	}
	s.waitForTelemetry(situation, wait)
	s.waitForProof(status, wait)
	dwell := dwelt(status, now)
	if dwell < s.plan.dwell(stage) {
		wait(ReasonDwell, -1)
	}
	s.waitForPeople(f, stage, now.Sub(status.GetStartedAt().AsTime()), wait)
	return f
}

func (s *State) waitForTelemetry(situation *rolloutv1.Situation, wait func(Reason, int)) {
	for i, g := range s.plan.guards {
		if s.guards[i].unhealthy(g) {
			wait(ReasonControl, i)
			break
		}
	}
	most := func(n uint32) bool {
		return situation.GetRelays() > 0 && uint64(n)*freshDenominator >= uint64(situation.GetRelays())*freshNumerator
	}
	if !most(situation.GetRelaysApplied()) {
		wait(ReasonRelays, -1)
	}
	if !most(situation.GetRelaysFresh()) {
		wait(ReasonTelemetry, -1)
	}
}

// waitForProof looks at the gates. Where one of the variants is served to nobody there is
// nothing to compare: such a stage is left when its time is over.
func (s *State) waitForProof(status *rolloutv1.Status, wait func(Reason, int)) {
	if w := status.GetWeight(); w == 0 || w >= fullWeight {
		return
	}
	for i, g := range s.plan.guards {
		if !s.guards[i].proven(g) {
			wait(ReasonGate, i)
		}
	}
}

// waitForPeople looks for stages that evidence alone does not leave.
func (s *State) waitForPeople(f *facts, stage int, elapsed time.Duration, wait func(Reason, int)) {
	if s.plan.stages[stage].manual || f.last && s.plan.strategy == rolloutv1.Strategy_STRATEGY_FIXED {
		wait(ReasonManual, -1)
	}
	if !f.last || s.plan.strategy != rolloutv1.Strategy_STRATEGY_EXPERIMENT {
		return
	}
	wait(ReasonSuccess, -1)
	if s.plan.success == nil || s.plan.success.giveUpAfter == 0 {
		return
	}
	verdict, _ := s.plan.success.verdict(&s.success)
	f.giveUp = verdict == rolloutv1.SuccessVerdict_SUCCESS_VERDICT_UNDECIDED && elapsed >= s.plan.success.giveUpAfter
}

// trip returns the guardrail of a trip that stands for the step that is judged; -1: none. A
// trip that does not keep to the plan is no evidence.
func (s *State) trip(status *rolloutv1.Status, situation *rolloutv1.Situation) int {
	for _, t := range situation.GetTrips() {
		if t.GetRollout() != s.plan.key || t.GetStep() != status.GetStep() {
			continue
		}
		for i, g := range s.plan.guards {
			if g.name == t.GetGuardrail() && g.shuts() && g.edgeLogThreshold > 0 &&
				t.GetLogThreshold() >= g.edgeLogThreshold && t.GetLogE() >= t.GetLogThreshold() {
				return i
			}
		}
	}
	return -1
}
