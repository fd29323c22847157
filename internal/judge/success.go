package judge

import (
	"math"
	"time"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// How many units, and of a rate events, of each arm are compared at once: see blockUnits.
const (
	successBlock  = 100
	successEvents = 10
)

// success is the success metric, compiled.
type success struct {
	metric       string
	rate         bool
	observations bool
	direction    guardrail.Direction // of harm
	alpha        float64
	relevant     float64
	giveUpAfter  time.Duration // 0: never
}

func compileSuccess(r *rolloutv1.Success) (*success, error) {
	s := &success{
		metric:       r.GetMetric(),
		rate:         r.GetStatistic() == rolloutv1.Statistic_STATISTIC_RATE,
		observations: r.GetDenominator() == rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS,
		alpha:        r.GetAlpha(),
		relevant:     r.GetRelevantDifference(),
		giveUpAfter:  r.GetGiveUpAfter().AsDuration(),
	}
	if s.metric == "" {
		return nil, badRollout("success.metric", "empty", "the name of a metric")
	}
	if !s.rate && r.GetStatistic() != rolloutv1.Statistic_STATISTIC_MEAN {
		return nil, badRollout("success.statistic", r.GetStatistic(), "RATE or MEAN")
	}
	// What is better when it falls is harmed by a rise.
	s.direction = guardrail.Decrease
	if r.GetBetter() == rolloutv1.Direction_DIRECTION_DECREASE {
		s.direction = guardrail.Increase
	}
	if s.alpha == 0 {
		s.alpha = 0.05
	}
	if s.relevant == 0 {
		s.relevant = 0.05
	}
	if !(s.alpha > 0 && s.alpha <= 0.5) {
		return nil, badRollout("success.alpha", s.alpha, "above 0, at most 0.5")
	}
	if !(s.relevant > 0 && s.relevant <= 100) {
		return nil, badRollout("success.relevant_difference", s.relevant, "above 0, at most 100")
	}
	return s, nil
}

// observeSuccess takes in a stratum of any step: what was worth more at 5% is so at 50%.
func (c *contrast) observeSuccess(plan *success, st *stratum, units [2]int64, current bool) {
	var samples [2]guardrail.Sample
	for arm := range st.arms {
		m := st.arms[arm].find(plan.metric, "")
		samples[arm] = m.sample()
		if plan.rate {
			n := m.count
			if !plan.observations {
				n = units[arm]
			}
			events := float64(min(m.events, n))
			samples[arm] = guardrail.Sample{N: n, Sum: events, SumSq: events}
		}
	}
	if c.eta == 0 {
		c.eta = plan.eta(c, samples[control])
		_ = plan.build(c) // an eta that is not 0 is valid
		return
	}
	enough := func(t, ctl guardrail.Sample) bool {
		return t.N >= successBlock && ctl.N >= successBlock && (!plan.rate || t.Sum >= successEvents && ctl.Sum >= successEvents)
	}
	if current {
		c.observe(samples[treatment], samples[control], enough)
		return
	}
	// Late: a stratum of a step that is over counts by itself, if it is large enough.
	if enough(samples[treatment], samples[control]) {
		late := contrast{difference: c.difference, test: c.test}
		late.observe(samples[treatment], samples[control], enough)
		c.difference = late.difference
		for arm := range samples {
			c.total[arm] = join(c.total[arm], samples[arm])
		}
	}
}

// eta freezes the tuning from control's first units, which are not compared: bounds are
// tightest when the relevant difference is three standard errors. 0: not enough units yet.
func (s *success) eta(c *contrast, sample guardrail.Sample) float64 {
	c.pending[control] = join(c.pending[control], sample)
	first := c.pending[control]
	if first.N < scaleUnits {
		return 0
	}
	c.pending = [2]guardrail.Sample{}
	relevant := float64(s.relevant * math.Abs(first.Mean()))
	variance := first.Variance()
	v := float64(variance * 1e4)
	if relevant > 0 {
		v = float64(variance * min(9*variance/float64(relevant*relevant), 1e9))
	}
	eta, err := guardrail.EtaTwoSided(min(max(v, 1e-12), 1e50), s.alpha)
	if err != nil {
		return 1
	}
	return eta
}

// build makes the test from what is frozen.
func (s *success) build(c *contrast) error {
	if c.eta == 0 {
		return nil
	}
	var err error
	c.test, err = guardrail.NewDifference(guardrail.DifferenceOptions{Direction: s.direction, Eta: c.eta})
	return err
}

// verdict says what the success metric has come to.
func (s *success) verdict(c *contrast) (rolloutv1.SuccessVerdict, guardrail.Interval) {
	undecided := rolloutv1.SuccessVerdict_SUCCESS_VERDICT_UNDECIDED
	if c.test == nil {
		return undecided, guardrail.Interval{}
	}
	i, err := c.test.TwoSided(&c.difference, s.alpha)
	if err != nil {
		return undecided, guardrail.Interval{}
	}
	worse, better := i.Lower > 0, i.Upper < 0
	if s.direction == guardrail.Decrease {
		worse, better = better, worse
	}
	switch {
	case better:
		return rolloutv1.SuccessVerdict_SUCCESS_VERDICT_WON, i
	case worse:
		return rolloutv1.SuccessVerdict_SUCCESS_VERDICT_LOST, i
	}
	return undecided, i
}
