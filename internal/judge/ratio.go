package judge

import "github.com/tidegate/tidegate/internal/guardrail"

const (
	// sampleRatioAlpha is the probability that a rollout is held for its sample ratio though
	// its subjects come as they should.
	sampleRatioAlpha = 0.001
	// sampleRatioUsers is guardrail.SRM.Concentration: mismatches of some percent of a variant's
	// subjects are what is worth finding before a rollout widens.
	sampleRatioUsers = 1000
)

// ratio is the sample ratio: whether subjects come to the variants as the split intends.
type ratio struct {
	closed float64 // evidence of the steps that are over, in nats
	// Of the step: the treatment's weight, the relays that there were when it began, and the
	// subjects, counted at their first exposure in the step.
	weight   uint32
	relays   uint32
	subjects [2]int64
}

// begin starts a step.
func (r *ratio) begin(weight, relays uint32) {
	logE, _ := r.logE()
	*r = ratio{closed: logE, weight: weight, relays: relays}
}

// logE returns the evidence that subjects do not come as the splits intend, in nats, and
// whether it is the treatment that lacks some at this step.
//
// Each relay counts a subject at its first exposure, so one that meets several relays is
// counted by each: its assignment is one draw, counted as many. Dividing by the number of
// relays that there were when the step began leaves no more draws than there are subjects,
// whatever their paths. That is far too careful where a subject keeps to one relay; there
// the evidence comes later.
//
// Steps are multiplied. That is exact for subjects who come at one step only. Those who come
// again do so with the same hash, so the steps' deviations are correlated, by about one half
// where weights grow as 5, 20, 50%. What each step pays for not knowing the deviation, about
// ½ln(1+n/K) nats, is more than that is worth.
func (r *ratio) logE() (logE float64, lack bool) {
	share := float64(r.weight) / fullWeight
	if !(share > 0 && share < 1) {
		return r.closed, false
	}
	relays := int64(max(r.relays, 1))
	test := guardrail.SRM{Concentration: sampleRatioUsers}
	state := guardrail.SRMState{
		LogClosed: r.closed,
		Shares:    []float64{treatment: share, control: 1 - share},
		Counts:    []int64{treatment: r.subjects[treatment] / relays, control: r.subjects[control] / relays},
	}
	return test.LogE(&state), state.Excess(treatment) < 0
}
