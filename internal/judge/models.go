package judge

import (
	"cmp"
	"maps"
	"slices"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// observeScore takes in what is known of the treatment's predictions.
func (g *guardState) observeScore(plan *guard, o observation) {
	if !o.current {
		return
	}
	t, c := o.arms[treatment].find(plan.metric, ""), o.arms[control].find(plan.metric, "")
	accumulate(&g.segments[0].counts, guardrail.Mispredictions(t.confusion, c.confusion))
	g.level.observe(float64(c.confusion.FP+c.confusion.FN), float64(c.count))
	sample, err := t.confusion.F1Sample(plan.reference)
	if err != nil || sample.N == 0 {
		return
	}
	if g.contrast.eta == 0 {
		g.contrast.eta = scoreEta
		_ = g.build(plan)
	}
	g.contrast.total[treatment] = join(g.contrast.total[treatment], sample)
	g.contrast.pending[treatment] = join(g.contrast.pending[treatment], sample)
	if g.contrast.pending[treatment].N < blockUnits {
		return
	}
	_ = g.contrast.test.ObserveOne(&g.contrast.difference, g.contrast.pending[treatment])
	g.contrast.pending[treatment] = guardrail.Sample{}
}

// scoreEta tunes the bounds of a score to about 1,000 outcomes: the contrast's variance is
// below 1.
const scoreEta = 100

func (g *guardState) observeLabels(plan *guard, o observation) {
	if !o.current {
		return
	}
	for arm := range o.arms {
		m := o.arms[arm].find(plan.metric, "")
		for _, label := range slices.Sorted(maps.Keys(m.predictions)) {
			n := g.label(label)
			n.counts[arm] = add(n.counts[arm], uint64(m.predictions[label]))
		}
	}
}

// label returns the counts of a label, to be added to. Beyond maxLabels there is one more for
// all others.
func (g *guardState) label(name string) *labelCount {
	find := func(name string) (int, bool) {
		return slices.BinarySearchFunc(g.labels, name, func(l labelCount, name string) int { return cmp.Compare(l.label, name) })
	}
	i, found := find(name)
	if !found && len(g.labels) >= maxLabels {
		name = otherLabel
		i, found = find(name)
	}
	if !found {
		g.labels = slices.Insert(g.labels, i, labelCount{label: name})
	}
	return &g.labels[i]
}

const otherLabel = "other"

const (
	// driftAlpha is the probability that one look takes chance for drift. Looks are one a
	// second at most, and drift only holds.
	driftAlpha = 1e-6
	// driftLimit is how large a stability index may be beyond chance, if the margin does not
	// say: what credit scoring calls no change worth acting on.
	driftLimit = 0.1
	driftUnits = 100
)

// distributions compares the predictions of both variants.
type distributions struct {
	n    [2]int64
	bins int
	psi  float64
}

// distributions returns false if there is too little to compare.
func (g *guardState) distributions() (distributions, bool) {
	d := distributions{bins: len(g.labels)}
	var counts [2][]int64
	for i := range g.labels {
		for arm, c := range g.labels[i].counts {
			d.n[arm] = add(d.n[arm], uint64(c))
			counts[arm] = append(counts[arm], c)
		}
	}
	if min(d.n[treatment], d.n[control]) < driftUnits {
		return d, false
	}
	if d.bins < 2 {
		return d, true // all have one label: there is no drift
	}
	p, err := guardrail.Proportions(counts[control])
	if err != nil {
		return d, false
	}
	q, err := guardrail.Proportions(counts[treatment])
	if err != nil {
		return d, false
	}
	d.psi, err = guardrail.PSI(p, q)
	return d, err == nil
}

func (g *guard) driftLimit() float64 {
	if g.absolute > 0 {
		return g.absolute
	}
	return driftLimit
}

// drift says whether the predictions of both variants have the same distribution, as far as
// the guardrail cares, and whether there are enough of them to say.
func (g *guardState) drift(plan *guard) (stable, enough bool) {
	d, ok := g.distributions()
	if !ok {
		return false, false
	}
	limit := plan.driftLimit()
	if d.psi <= limit {
		return true, true
	}
	chance, threshold, err := guardrail.PSINull(d.n[treatment], d.n[control], d.bins, driftAlpha)
	return err == nil && (d.psi <= threshold || d.psi-chance <= limit), err == nil
}
