package judge

import (
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// Reason is why a verdict is what it is: what decided, or what is waited for.
type Reason string

// The reasons, the most pressing first.
const (
	ReasonOver        Reason = "over"         // the rollout has ended
	ReasonBreach      Reason = "guardrail"    // a guardrail is violated
	ReasonTrip        Reason = "edge"         // a relay that was cut off has shut the rollout
	ReasonLack        Reason = "subjects"     // the treatment loses subjects
	ReasonGiveUp      Reason = "give-up"      // an experiment has had its time
	ReasonFrozen      Reason = "frozen"       // the environment is, by a person or a window
	ReasonPaused      Reason = "paused"       // by a person
	ReasonFlag        Reason = "flag"         // disabled, or changed beside the rollout
	ReasonSampleRatio Reason = "sample-ratio" // subjects do not come as the split intends
	ReasonControl     Reason = "control"      // control itself is in trouble
	ReasonRelays      Reason = "relays"       // too few relays have applied the step
	ReasonTelemetry   Reason = "telemetry"    // too few relays have told what they counted
	ReasonGate        Reason = "gate"         // safety is not proven
	ReasonDwell       Reason = "dwell"        // the stage's least time is not over
	ReasonManual      Reason = "manual"       // a person promotes this stage
	ReasonSuccess     Reason = "success"      // an experiment waits for its verdict, or a person
	ReasonPolicy      Reason = "policy"       // the policy proposed to stay
	ReasonProven      Reason = "proven"       // nothing is in the way
)

// Wait is one thing that is in the way of leaving a stage.
type Wait struct {
	Reason Reason
	// Guard is the index of the guardrail that it is about; -1: none.
	Guard int
}

// The shield's rules, as they are recorded.
const (
	ruleOver     = "nothing is decided about a rollout that is over"
	ruleBreach   = "a violated guardrail shuts, whatever the policy proposes"
	ruleTrip     = "a trip of a relay that was cut off shuts, whatever the policy proposes"
	ruleLack     = "a treatment that loses subjects is shut, whatever the policy proposes"
	ruleGiveUp   = "an experiment that is undecided when its time is over ends"
	ruleBlocked  = "no advance while something is waited for"
	ruleNonsense = "a proposal that is neither HOLD nor ADVANCE counts as HOLD"
)

// facts are all that the shield looks at.
type facts struct {
	over bool
	// breach is the index of a violated guardrail that shuts, trip that of the guardrail of a
	// relay's trip at the step that is judged; -1: none.
	breach, trip int
	// lack: subjects are missing in the treatment beyond doubt.
	lack bool
	// giveUp: an experiment is undecided and has had its time.
	giveUp bool
	last   bool
	// waits are in the order of the reasons.
	waits []Wait
}

// ruling is what becomes of a proposal.
type ruling struct {
	verdict rolloutv1.Verdict
	reason  Reason
	guard   int
	rule    string // empty: the policy had its way
}

// forced returns what is decided without asking the policy.
func (f *facts) forced() (ruling, bool) {
	switch {
	case f.over:
		return ruling{rolloutv1.Verdict_VERDICT_HOLD, ReasonOver, -1, ruleOver}, true
	case f.breach >= 0:
		return ruling{rolloutv1.Verdict_VERDICT_ROLLBACK, ReasonBreach, f.breach, ruleBreach}, true
	case f.trip >= 0:
		return ruling{rolloutv1.Verdict_VERDICT_ROLLBACK, ReasonTrip, f.trip, ruleTrip}, true
	case f.lack:
		return ruling{rolloutv1.Verdict_VERDICT_ROLLBACK, ReasonLack, -1, ruleLack}, true
	case f.giveUp:
		return ruling{rolloutv1.Verdict_VERDICT_GIVE_UP, ReasonGiveUp, -1, ruleGiveUp}, true
	}
	return ruling{}, false
}

// allow returns what becomes of a proposal, where nothing is forced. It lets a policy be more
// careful than the evidence asks for, never less.
func (f *facts) allow(proposed rolloutv1.Verdict) ruling {
	hold := ruling{verdict: rolloutv1.Verdict_VERDICT_HOLD, reason: ReasonPolicy, guard: -1}
	if len(f.waits) > 0 {
		hold.reason, hold.guard = f.waits[0].Reason, f.waits[0].Guard
	}
	switch {
	case proposed == rolloutv1.Verdict_VERDICT_HOLD:
		return hold
	case proposed != rolloutv1.Verdict_VERDICT_ADVANCE:
		hold.rule = ruleNonsense
		return hold
	case len(f.waits) > 0:
		hold.rule = ruleBlocked
		return hold
	case f.last:
		return ruling{verdict: rolloutv1.Verdict_VERDICT_COMPLETE, reason: ReasonProven, guard: -1}
	}
	return ruling{verdict: rolloutv1.Verdict_VERDICT_ADVANCE, reason: ReasonProven, guard: -1}
}
