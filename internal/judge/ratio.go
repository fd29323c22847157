package judge

import "github.com/tidegate/tidegate/internal/guardrail"

const (
	// sampleRatioAlpha is the probability that a stage is ever held for its sample ratio though
	// its subjects come as they should. It ends nothing, and is let go as more of them come.
	sampleRatioAlpha = 0.01
	// sampleRatioUsers is guardrail.SRM.Concentration: mismatches of some percent of a variant's
	// subjects are what is worth finding before a rollout widens.
	sampleRatioUsers = 1000
)

// ratio is the sample ratio of a step: whether subjects come to the variants as the split
// intends.
//
// Who counts, a relay or a process with an SDK, knows a subject at its first exposure there,
// and forgets all when it restarts: a subject that meets several is counted by each. Its
// assignment is one draw, counted as many. Divided by the number of those who have counted at
// this step, there are no more draws than there are subjects, whatever their paths. That is
// far too careful where a subject keeps to one of them; there the evidence comes later, and
// among hundreds hardly ever.
//
// The evidence of the steps before is left out. Subjects come again at the next step with the
// same hash, so the deviation is the same once more: a product of the steps' e-values, which
// guardrail.SRM is for, would take one chance deviation for many.
type ratio struct {
	weight uint32 // of the treatment
	// Subjects, counted at their first exposure in the step, and by how many who count.
	subjects, counters [2]int64
}

// logE returns the evidence that subjects do not come as the split intends, in nats.
func (r *ratio) logE() float64 {
	s, ok := r.state()
	if !ok {
		return 0
	}
	return guardrail.SRM{Concentration: sampleRatioUsers}.LogE(s)
}

func (r *ratio) state() (*guardrail.SRMState, bool) {
	share := float64(r.weight) / fullWeight
	if !(share > 0 && share < 1) {
		return nil, false
	}
	repeats := max(r.counters[treatment], r.counters[control], 1)
	return &guardrail.SRMState{
		Shares: []float64{treatment: share, control: 1 - share},
		Counts: []int64{treatment: r.subjects[treatment] / repeats, control: r.subjects[control] / repeats},
	}, true
}

// lacks tells whether the treatment lacks subjects beyond doubt: by a part of the budget of
// all stages, for that ends a rollout. A stage is one step, and has as much of it as can be
// found there: p(1-p) is the information of a subject. That holds however the stages depend
// on each other.
func (r *ratio) lacks(budget float64, stages []stage) bool {
	s, ok := r.state()
	if !ok || s.Excess(treatment) >= 0 {
		return false
	}
	all := 0.0
	for _, s := range stages {
		all += spread(s.weight)
	}
	part := min(spread(r.weight)/all, 1)
	return r.logE() >= guardrail.LogThreshold(float64(budget*part))
}

// spread is p(1-p) of the share of a weight.
func spread(weight uint32) float64 { return float64(float64(weight) * float64(fullWeight-weight)) }
