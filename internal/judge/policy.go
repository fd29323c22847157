package judge

import (
	"time"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// Policy proposes when to leave a stage. The shield disposes: a policy can only be more
// careful than the evidence asks for, and is not asked at all when a guardrail is violated.
//
// It must be a function of the observation alone, and answer at once: its proposals are
// computed again when a decision is replayed. One that panics has proposed HOLD.
type Policy interface {
	// Name names the policy with its version; it is recorded with each decision.
	Name() string
	// Propose returns HOLD or ADVANCE; anything else counts as HOLD.
	Propose(*Observation) rolloutv1.Verdict
}

// Observation is what a policy sees.
type Observation struct {
	Stage, Stages int
	// Dwell is how long the step is in force, MinDwell how long the stage lasts at least,
	// Elapsed how long ago the rollout began.
	Dwell, MinDwell, Elapsed time.Duration
	// Ready says that nothing but the policy is in the way; Waits is what else is.
	Ready bool
	Waits []Wait

	state     *State
	status    *rolloutv1.Status
	situation *rolloutv1.Situation
}

// GatedDwell is the default policy: it stays until the stage's least time is over and every
// gate is passed, and no longer.
type GatedDwell struct{}

// Name is Policy.
func (GatedDwell) Name() string { return "gated-dwell/1" }

// Propose is Policy.
func (GatedDwell) Propose(o *Observation) rolloutv1.Verdict {
	if o.Ready {
		return rolloutv1.Verdict_VERDICT_ADVANCE
	}
	return rolloutv1.Verdict_VERDICT_HOLD
}

func propose(p Policy, o *Observation) (v rolloutv1.Verdict) {
	defer func() {
		if recover() != nil {
			v = rolloutv1.Verdict_VERDICT_HOLD
		}
	}()
	return p.Propose(o)
}
