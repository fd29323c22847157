package judge

import (
	"math"

	"github.com/tidegate/tidegate/internal/guardrail"
)

const (
	// scaleUnits is how many of control's units the scale of a mean is taken from.
	scaleUnits = 100
	// blockUnits is how many units of each arm are compared at once. In smaller ones the variance
	// is not known independently of the mean: where most values are equal (rare events) a low
	// mean comes with a low variance, and safety looks proven when it is not.
	blockUnits = 50
)

func (g *guardState) observeMean(plan *guard, o observation) {
	if !o.current || !o.compares() {
		return
	}
	t, c := o.arms[treatment].find(plan.metric, ""), o.arms[control].find(plan.metric, "")
	g.level.observe(math.Abs(c.sum), float64(c.count))
	if g.scale.breaker == nil {
		// Control's first units set the scale of what is looked for; they are not compared, so
		// that the scale does not depend on what is judged by it.
		g.scale.control = join(g.scale.control, c.sample())
		if g.scale.control.N >= scaleUnits {
			g.scale.freeze(plan)
			g.contrast.eta = g.scale.eta(plan)
			_ = g.build(plan) // what freeze chose is valid
		}
		return
	}
	_ = g.scale.breaker.Observe(&g.segments[0].mean, t.sample(), c.sample())
	g.contrast.observe(t.sample(), c.sample(), func(t, c guardrail.Sample) bool {
		return t.N >= blockUnits && c.N >= blockUnits
	})
	if !plan.segmented {
		return
	}
	for _, name := range o.segments(plan.metric) {
		if i := g.segment(name); i > 0 {
			t, c := o.arms[treatment].find(plan.metric, name), o.arms[control].find(plan.metric, name)
			_ = g.scale.breaker.Observe(&g.segments[i].mean, t.sample(), c.sample())
		}
	}
}

// join adds up samples; what is beyond a sample's bounds stays out.
func join(a, b guardrail.Sample) guardrail.Sample {
	if sum := a.Add(b); sum.Validate() == nil {
		return sum
	}
	return a
}

// freeze sets the changes that are looked for: parts and multiples of the margin, and of the
// metric's spread, for margins that are far below it.
func (s *scale) freeze(plan *guard) {
	spread := math.Sqrt(s.control.Variance())
	margin := plan.harmless(&s.control)
	add := func(unit float64, factors ...float64) {
		for _, f := range factors {
			if shift := float64(unit * f); shift > 0 && shift <= 1e60 {
				s.shifts = append(s.shifts, shift)
			}
		}
	}
	add(margin, 0.25, 0.5, 1, 2, 4)
	add(spread, 0.5, 1, 2)
	if len(s.shifts) == 0 { // a constant, and no margin: any change counts
		s.shifts = []float64{max(float64(math.Abs(s.control.Mean())*0.01), 1e-9)}
	}
}

// harmless is the margin in the metric's unit.
func (g *guard) harmless(control *guardrail.Sample) float64 {
	if g.relative > 0 {
		return float64(g.relative * math.Abs(control.Mean()))
	}
	return g.absolute
}

// eta tunes the bounds of the gate to be tightest when the margin can just be told from
// nothing: W = 9σ²/margin² (three standard errors), and not before a block is compared.
func (s *scale) eta(plan *guard) float64 {
	variance := s.control.Variance()
	margin := plan.harmless(&s.control)
	if margin == 0 {
		margin = float64(0.05 * math.Abs(s.control.Mean()))
	}
	w := 1e4
	if margin > 0 {
		w = min(max(9*variance/float64(margin*margin), blockUnits), 1e9)
	}
	eta, err := guardrail.EtaOneSided(min(max(float64(variance*w), 1e-12), 1e50), gateAlpha)
	if err != nil {
		return 1
	}
	return eta
}

// build makes the tests from what is frozen.
func (g *guardState) build(plan *guard) error {
	var err error
	if len(g.scale.shifts) > 0 {
		if g.scale.breaker, err = guardrail.NewMeanBreaker(guardrail.MeanBreakerOptions{
			Direction: plan.direction, Relative: plan.relative, Margin: plan.absolute, Shifts: g.scale.shifts, Schedule: plan.schedule,
		}); err != nil {
			return err
		}
	}
	if g.contrast.eta > 0 {
		g.contrast.test, err = guardrail.NewDifference(guardrail.DifferenceOptions{
			Direction: plan.direction, Relative: plan.relative, Eta: g.contrast.eta,
		})
	}
	return err
}

// observe compares the arms once there is enough of both.
func (c *contrast) observe(t, ctl guardrail.Sample, enough func(t, c guardrail.Sample) bool) {
	for arm, sample := range [...]guardrail.Sample{treatment: t, control: ctl} {
		c.pending[arm] = join(c.pending[arm], sample)
		c.total[arm] = join(c.total[arm], sample)
	}
	if !enough(c.pending[treatment], c.pending[control]) {
		return
	}
	_ = c.test.Observe(&c.difference, c.pending[treatment], c.pending[control])
	c.pending = [2]guardrail.Sample{}
}
