package judge

import (
	"math"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// stakes are what the e-processes of a step begin with, as ln(1/stake): steady that which
// looks for harm that begins at any time, onset that for harm that begins with the step.
//
// share is that of a step where evidence begins anew with each and is held against α itself:
// that of scores.
type stakes struct{ steady, onset, share float64 }

// stakesOf returns those of the control plane. Most faults show when the treatment's share
// grows, and looking there first finds them sooner. steady goes on over all steps; onset is
// new with each, and begins at 1/(k(k+1)) in the k-th. Those of all steps are together at most
// 1 at the beginning, so whatever their number, with steady they spend one α.
func stakesOf(step uint64) stakes { return stakes{onset: logStake(step), share: stake(step)} }

// stake returns 1/(k(k+1)): the part of the k-th step, of 1 for all.
func stake(k uint64) float64 {
	x := float64(max(k, 1))
	return 1 / float64(x*(x+1))
}

// logStake returns ln(k(k+1)).
func logStake(k uint64) float64 { return guardrail.LogThreshold(stake(k)) }

// harm returns the evidence of harm of a guardrail in nats, -Inf for none, and the index of
// the segment that has most of it (0: all subjects). Over segments it is the mean of that of
// all subjects and that of the (at most 16) segments.
func (g *guardState) harm(plan *guard, st stakes) (float64, int) {
	switch plan.kind {
	case kindScore:
		return g.scoreHarm(plan, st.share), 0
	case kindDrift:
		return math.Inf(-1), 0
	}
	all := g.segmentHarm(plan, &g.segments[0], st)
	if !plan.segmented {
		return all, 0
	}
	var logs [maxSegments]float64
	for i := range logs {
		logs[i] = math.Inf(-1)
		if i+1 < len(g.segments) {
			logs[i] = g.segmentHarm(plan, &g.segments[i+1], st)
		}
	}
	worst, segments := guardrail.WorstSegment(logs[:])
	both := mean(all, segments)
	if worst+1 < len(g.segments) && logs[worst] > all {
		return both, worst + 1
	}
	return both, 0
}

func (g *guardState) segmentHarm(plan *guard, s *segmentState, st stakes) float64 {
	if plan.kind != kindMean {
		return s.rateHarm(st)
	}
	if g.scale.breaker == nil {
		return math.Inf(-1)
	}
	return g.scale.breaker.LogE(&s.mean) - st.steady
}

func (s *segmentState) rateHarm(st stakes) float64 {
	return mean(s.steady.LogE()-st.steady, s.onset.LogE()-st.onset)
}

// mean returns ln of the mean of e^a and e^b.
func mean(a, b float64) float64 {
	_, m := guardrail.WorstSegment([]float64{a, b})
	return m
}

// scoreHarm is +Inf if the score is below the reference with the guardrail's confidence, -Inf
// if not: a confidence sequence has no e-value of its own. It begins anew with each step, so
// each has its share of α.
func (g *guardState) scoreHarm(plan *guard, share float64) float64 {
	v, ok := g.contrastVerdict(plan, float64(plan.alpha*share))
	if ok && v.Breach {
		return math.Inf(1)
	}
	return math.Inf(-1)
}

func (g *guardState) contrastVerdict(plan *guard, alpha float64) (guardrail.Verdict, bool) {
	if g.contrast.test == nil {
		return guardrail.Verdict{}, false
	}
	margin := plan.absolute
	if plan.kind == kindScore {
		margin = 0 // it is in the reference
	}
	v, err := g.contrast.test.Judge(&g.contrast.difference, alpha, margin)
	return v, err == nil
}

// gateLogThreshold is what a gate's evidence must reach.
func gateLogThreshold() float64 { return guardrail.LogThreshold(gateAlpha) }

// gateLogE returns the evidence of safety, of what has such a value.
func (g *guardState) gateLogE(plan *guard) float64 {
	s := &g.segments[0]
	if plan.excess > 0 {
		return mean(s.gate.LogE(), s.excess.LogE())
	}
	return s.gate.LogE()
}

// silentUnits is how many of the treatment's subjects must have been told to have no event, by
// what control tells of its own, for silence to mean that nobody tells.
const silentUnits = 20

// silent says whether the treatment tells nothing of a metric of which control tells even that
// it did not happen: its events would not be told, either.
func (g *guardState) silent() bool {
	c := g.segments[0].counts
	if c.EventsT > 0 || g.notHappened[treatment] > 0 || c.ExposuresC == 0 {
		return false
	}
	return float64(g.notHappened[control])*float64(c.ExposuresT) >= float64(silentUnits*float64(c.ExposuresC))
}

// untold says whether the lack of events is a lack of telemetry: exposures are counted
// without any, and those without an event speak for a share of them.
func (g *guardState) untold(plan *guard) bool {
	return plan.ofExposures() && (!g.told || g.silent())
}

// proven says whether the guardrail lets the stage be left.
func (g *guardState) proven(plan *guard) bool {
	switch plan.kind {
	case kindCounts, kindQuantile:
		return g.gateLogE(plan) >= gateLogThreshold() && !g.untold(plan)
	case kindMean:
		v, ok := g.contrastVerdict(plan, gateAlpha)
		return ok && v.Safe
	case kindScore:
		v, ok := g.contrastVerdict(plan, gateAlpha)
		return ok && v.Won
	case kindDrift:
		stable, enough := g.drift(plan)
		return stable && enough
	}
	return false
}

// breached says whether the guardrail is violated.
func (g *guardState) breached(plan *guard, st stakes) bool {
	if plan.kind == kindDrift {
		stable, enough := g.drift(plan)
		return enough && !stable
	}
	e, _ := g.harm(plan, st)
	return e >= plan.logThreshold
}

// unhealthy says whether control itself is in trouble.
func (g *guardState) unhealthy(plan *guard) bool {
	if plan.direction == guardrail.Decrease {
		return g.level.collapsed()
	}
	return g.level.troubled()
}
