package judge

import (
	"slices"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// observation is a stratum as a guardrail sees it.
type observation struct {
	*stratum
	units   [2]int64 // exposures, in the rollout's unit
	unit    rolloutv1.Unit
	stage   int
	share   float64 // of the subjects that the step intends for the treatment
	current bool    // the step is the one that is judged
}

// compares says whether there are two arms to compare.
func (o *observation) compares() bool { return o.share > 0 && o.share < 1 }

func (g *guardState) observe(plan *guard, o observation) {
	switch plan.kind {
	case kindCounts:
		g.observeCounts(plan, o)
	case kindQuantile:
		g.observeQuantile(plan, o)
	case kindMean:
		g.observeMean(plan, o)
	case kindScore:
		g.observeScore(plan, o)
	case kindDrift:
		g.observeLabels(plan, o)
	}
}

// counts returns the events of a metric, and that of which they are a share.
func (g *guard) counts(o *observation, segment string) guardrail.Counts {
	t, c := o.arms[treatment].find(g.metric, segment), o.arms[control].find(g.metric, segment)
	switch g.statistic {
	case rolloutv1.Statistic_STATISTIC_MISPREDICTION:
		return guardrail.Counts{EventsT: t.events, EventsC: c.events, ExposuresT: t.count, ExposuresC: c.count}
	case rolloutv1.Statistic_STATISTIC_FALSE_DISCOVERY:
		return guardrail.FalseDiscoveries(t.confusion, c.confusion)
	case rolloutv1.Statistic_STATISTIC_MISS:
		return guardrail.Misses(t.confusion, c.confusion)
	}
	counts := guardrail.Counts{EventsT: t.events, EventsC: c.events, ExposuresT: t.count, ExposuresC: c.count}
	if !g.observations {
		counts.ExposuresT, counts.ExposuresC = o.units[treatment], o.units[control]
		if segment != "" {
			counts.ExposuresT, counts.ExposuresC = exposedMetric(t, o.unit), exposedMetric(c, o.unit)
		}
	}
	return counts
}

func (g *guardState) observeCounts(plan *guard, o observation) {
	counts := plan.counts(&o, "")
	// An event may be counted in a later window than the exposure that it came from: of a
	// window there may be more events than exposures.
	delayed := plan.ofExposures()
	g.addStep(o.key.step, counts)
	g.observeTold(plan, &o)
	if !o.current || !o.compares() {
		return
	}
	g.segments[0].observe(plan, counts, &o, delayed)
	g.level.observe(float64(counts.EventsC), float64(counts.ExposuresC))
	if plan.segmented {
		for _, name := range o.segments(plan.metric) {
			if i := g.segment(name); i > 0 {
				g.segments[i].observe(plan, plan.counts(&o, name), &o, delayed)
			}
		}
	}
}

// observeTold notes what is told of the metric of a share of exposures.
func (g *guardState) observeTold(plan *guard, o *observation) {
	for arm := range o.arms {
		m := o.arms[arm].find(plan.metric, "")
		g.told = g.told || m.count > 0
		if o.current {
			g.notHappened[arm] = add(g.notHappened[arm], uint64(m.count-m.events))
		}
	}
}

// segments returns the segments that were observed, sorted.
func (o *observation) segments(name string) []string {
	var names []string
	for arm := range o.arms {
		for i := range o.arms[arm].metrics {
			if k := o.arms[arm].metrics[i].key; k.name == name && k.segment != "" && !slices.Contains(names, k.segment) {
				names = append(names, k.segment)
			}
		}
	}
	slices.Sort(names)
	return names
}

func (g *guardState) addStep(step uint64, c guardrail.Counts) {
	if sum := g.stepCounts(step); sum != nil {
		accumulate(sum, c)
	}
}

func accumulate(sum *guardrail.Counts, c guardrail.Counts) {
	sum.EventsT = add(sum.EventsT, uint64(c.EventsT))
	sum.EventsC = add(sum.EventsC, uint64(c.EventsC))
	sum.ExposuresT = add(sum.ExposuresT, uint64(c.ExposuresT))
	sum.ExposuresC = add(sum.ExposuresC, uint64(c.ExposuresC))
}

// priorUnits is how many units the step's intended share counts for beside those that were
// counted.
const priorUnits = 1000

// observe takes in a window's counts.
//
// Where events are counted by themselves and exposures by themselves, an event is counted
// when it is told: seconds after its exposure, or a minute (a timeout). To compare the events
// of a window with the exposures of the same window would be to compare different subjects,
// and at a share of 1% many windows have an event and no exposure at all. The proportion of
// the arms' exposures is that of the step instead: intended and counted so far. Only the
// proportion enters the tests.
func (s *segmentState) observe(plan *guard, c guardrail.Counts, o *observation, delayed bool) {
	share := o.share
	accumulate(&s.counts, c)
	window := c
	if delayed {
		c.ExposuresT = s.counts.ExposuresT + int64(float64(priorUnits*share)+0.5)
		c.ExposuresC = s.counts.ExposuresC + int64(float64(priorUnits*(1-share))+0.5)
	}
	c.EventsT, c.EventsC = min(c.EventsT, c.ExposuresT), min(c.EventsC, c.ExposuresC)
	c.ExposuresT, c.ExposuresC = min(c.ExposuresT, guardrail.MaxCount), min(c.ExposuresC, guardrail.MaxCount)
	// Counts are valid by now, so the tests cannot refuse them.
	_ = plan.steady.Observe(&s.steady, c)
	_ = plan.onset.Observe(&s.onset, c)
	if plan.excess > 0 {
		multiples := breakerMultiples()
		allow(s.steady.LogR[:], multiples[:], plan, c, window)
		allow(s.onset.LogR[:], multiples[:], plan, c, window)
	}
	if s.name != "" {
		return // a gate for each segment would wait for the smallest
	}
	_ = plan.gates[o.stage].Observe(&s.gate, c)
	if plan.excess > 0 {
		_ = plan.excessGate.Observe(&s.excess, c)
		multiples := gateMultiples()
		allow(s.excess.LogR[:], multiples[:], plan, c, window)
	}
}

func (g *guardState) observeQuantile(plan *guard, o observation) {
	if !o.current || !o.compares() {
		return
	}
	t, c := o.arms[treatment].find(plan.metric, ""), o.arms[control].find(plan.metric, "")
	if g.quantile.frozen {
		counts := g.quantile.counts(t, c)
		g.addStep(o.key.step, counts)
		g.segments[0].observe(plan, counts, &o, false)
		g.level.observe(float64(counts.EventsC), float64(counts.ExposuresC))
	}
	if plan.segmented && g.quantile.frozen {
		for _, name := range o.segments(plan.metric) {
			if i := g.segment(name); i > 0 {
				t, c := o.arms[treatment].find(plan.metric, name), o.arms[control].find(plan.metric, name)
				g.segments[i].observe(plan, g.quantile.counts(t, c), &o, false)
			}
		}
	}
	for arm, m := range [...]*metric{treatment: t, control: c} {
		g.quantile.values[arm].absorb(&m.sketch)
	}
	if !g.quantile.frozen {
		g.quantile.freeze(plan)
	}
}

// counts counts the values beyond the edges.
func (q *quantileState) counts(t, c *metric) guardrail.Counts {
	return guardrail.Counts{
		EventsT: t.sketch.above(q.bins[treatment]), ExposuresT: t.sketch.total,
		EventsC: c.sketch.above(q.bins[control]), ExposuresC: c.sketch.total,
	}
}

// edgeEvents is how many of control's values must be beyond the quantile that an edge is
// taken from.
const edgeEvents = 10

// freeze takes control's quantile from the values of earlier windows, and the margin beyond
// it, as the edges to be watched from now on. Whatever the edges are, they are fixed before
// what is compared by them: that keeps the evidence valid.
func (q *quantileState) freeze(plan *guard) {
	values := &q.values[control]
	if float64(float64(values.total)*(1-plan.quantile)) < edgeEvents {
		return
	}
	bin, positive := values.quantileBin(plan.quantile)
	if !positive {
		return
	}
	at := edge(bin)
	limit := harmful(plan.direction,
		float64(at*(1+plan.relative))+plan.absolute, float64(at*(1-plan.relative))-plan.absolute)
	if !(limit > 0) || !finite(limit) {
		return
	}
	q.frozen = true
	q.bins = [2]int{treatment: bin, control: bin}
	if limit != at {
		q.bins[treatment] = binFrom(limit)
		if plan.direction == guardrail.Decrease && edge(q.bins[treatment]) > limit {
			q.bins[treatment]--
		}
	}
}
