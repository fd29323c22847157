package rollout

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidegate/tidegate/eval"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// guardrails checks those of a rollout that was completed; requested is what they were before.
func (c *checker) guardrails(r *rolloutv1.Rollout, requested []*rolloutv1.Guardrail) {
	guardrails := r.GetGuardrails()
	switch n := len(guardrails); {
	case n > maxGuardrails:
		c.add("guardrails", "must be at most %d, not %d", maxGuardrails, n)
		return
	case n == 0 && r.GetSuccess() == nil && hasAutomatic(r.GetStages()):
		c.add("guardrails", "are missing: name what must not get worse, or make all stages manual; nothing would stop the rollout")
	}
	seen := make(map[string]bool, len(guardrails))
	for i, g := range guardrails {
		field := fmt.Sprintf("guardrails[%d]", i)
		if seen[g.GetName()] && g.GetName() != "" {
			c.add(field+".name", "%q is given twice", shortened(g.GetName()))
		}
		seen[g.GetName()] = true
		for _, e := range checkGuardrail(g, len(requested[i].GetPromotionRatios()) == 0) {
			c.fields = append(c.fields, eval.FieldError{Field: field + "." + e.Field, Problem: e.Problem})
		}
	}
}

func hasAutomatic(stages []*rolloutv1.Stage) bool {
	for _, s := range stages {
		if !s.GetManual() {
			return true
		}
	}
	return false
}

// checkGuardrail checks one that was completed; made: its promotion ratios were filled in.
func checkGuardrail(g *rolloutv1.Guardrail, made bool) eval.Errors {
	var c checker
	c.metric("name", g.GetName())
	if g.GetMetric() != g.GetName() {
		c.metric("metric", g.GetMetric())
	}
	_, known := rolloutv1.Statistic_name[int32(g.GetStatistic())]
	switch {
	case g.GetStatistic() == rolloutv1.Statistic_STATISTIC_UNSPECIFIED:
		c.add("statistic", "is required: what is compared of the metric, such as STATISTIC_RATE")
		return c.fields
	case !known:
		c.add("statistic", "%d is not known", g.GetStatistic())
		return c.fields
	}
	c.worse(g)
	c.margin(g)
	c.ofStatistic(g)
	if !made {
		c.ratios(g)
	}
	if w := g.GetWeight(); !(w > 0 && w <= maxWeight) {
		c.add("weight", "must be above 0 and at most %d: its share of the budget relative to the others'; got %v", maxWeight, w)
	}
	_, known = rolloutv1.Action_name[int32(g.GetAction())]
	switch {
	case !known:
		c.add("action", "%d is not known: use ACTION_ROLLBACK or ACTION_HOLD", g.GetAction())
	case g.GetStatistic() == rolloutv1.Statistic_STATISTIC_DRIFT && g.GetAction() != rolloutv1.Action_ACTION_HOLD:
		c.add("action", "of STATISTIC_DRIFT must be ACTION_HOLD: other predictions are not worse ones")
	}
	if by := g.GetSegmentBy(); len(by) > maxAttribute || strings.ContainsFunc(by, isNoPartOfAttribute) {
		c.add("segment_by", "must be an attribute of the context, such as plan or device.os: at most %d bytes without spaces and commas; got %q", maxAttribute, shortened(by))
	}
	return c.fields
}

func isNoPartOfAttribute(r rune) bool {
	return r == ',' || unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError
}

func (c *checker) worse(g *rolloutv1.Guardrail) {
	c.direction("worse", g.GetWorse())
	decrease := g.GetWorse() == rolloutv1.Direction_DIRECTION_DECREASE
	switch g.GetStatistic() {
	case rolloutv1.Statistic_STATISTIC_RATE, rolloutv1.Statistic_STATISTIC_MEAN:
	case rolloutv1.Statistic_STATISTIC_F1:
		if !decrease {
			c.add("worse", "of STATISTIC_F1 is DIRECTION_DECREASE: a higher F1 is better")
		}
	default:
		if decrease {
			c.add("worse", "of %s is DIRECTION_INCREASE", g.GetStatistic())
		}
	}
}

// margin checks that the unit fits the statistic.
func (c *checker) margin(g *rolloutv1.Guardrail) {
	s := g.GetStatistic()
	values := s == rolloutv1.Statistic_STATISTIC_MEAN || s == rolloutv1.Statistic_STATISTIC_QUANTILE
	switch m := g.GetMargin().GetUnit().(type) {
	case *rolloutv1.Margin_Relative:
		limit := float64(100)
		if g.GetWorse() == rolloutv1.Direction_DIRECTION_DECREASE {
			limit = 0.99 // all of it is no margin
		}
		switch {
		case !isShare(s) && !values:
			c.add("margin.relative", "is of rates, means and quantiles: the margin of %s is absolute", s)
		case !(m.Relative >= 0 && m.Relative <= limit):
			c.add("margin.relative", "must be 0 to %v: 0.05 is 5%% of the control's value; got %v", limit, m.Relative)
		}
	case *rolloutv1.Margin_PercentagePoints:
		switch {
		case !isShare(s):
			c.add("margin.percentage_points", "are of rates: the margin of %s is in its own unit or, of a mean or quantile, relative", s)
		case !(m.PercentagePoints > 0 && m.PercentagePoints < 100):
			c.add("margin.percentage_points", "must be above 0 and below 100: 0.5 allows an error rate of 1%% to become 1.5%%; got %v", m.PercentagePoints)
		}
	case *rolloutv1.Margin_Absolute:
		switch {
		case isShare(s):
			c.add("margin.absolute", "is of means and quantiles: a rate's margin is relative or in percentage points")
		case !(m.Absolute >= 0 && m.Absolute <= maxAbsolute):
			c.add("margin.absolute", "must be 0 or more, and at most 1e15, in the metric's own unit; got %v", m.Absolute)
		case m.Absolute > 1 && s == rolloutv1.Statistic_STATISTIC_F1:
			c.add("margin.absolute", "must be 0 to 1: F1 is; got %v", m.Absolute)
		}
	case *rolloutv1.Margin_Seconds:
		switch {
		case !values:
			c.add("margin.seconds", "are of means and quantiles of durations, not of %s", s)
		case !(m.Seconds >= 0 && m.Seconds <= maxAbsolute):
			c.add("margin.seconds", "must be 0 or more, and at most 1e15; got %v", m.Seconds)
		}
	default:
		c.add("margin", "is required, with its unit: how much worse the treatment may be")
	}
}

// ofStatistic checks what some statistics have and others do not.
func (c *checker) ofStatistic(g *rolloutv1.Guardrail) {
	s := g.GetStatistic()
	q := g.GetQuantile()
	switch {
	case s != rolloutv1.Statistic_STATISTIC_QUANTILE && q != 0:
		c.add("quantile", "is of STATISTIC_QUANTILE alone: leave it out")
	case s == rolloutv1.Statistic_STATISTIC_QUANTILE && !(q > 0.5 && q < 1):
		c.add("quantile", "must be above 0.5 and below 1, such as 0.99; got %v", q)
	}
	f := g.GetReference()
	switch {
	case s != rolloutv1.Statistic_STATISTIC_F1 && f != 0:
		c.add("reference", "is of STATISTIC_F1 alone: leave it out")
	case s == rolloutv1.Statistic_STATISTIC_F1 && !(f > 0 && f <= 1):
		c.add("reference", "must be above 0 and at most 1: the F1 to reach; got %v", f)
	case s == rolloutv1.Statistic_STATISTIC_F1 && f-g.GetMargin().GetAbsolute() >= 1:
		c.add("reference", "of 1 without a margin is a score that nothing can be shown to reach: lower it, or allow a margin")
	case s == rolloutv1.Statistic_STATISTIC_F1 && g.GetMargin().GetAbsolute() >= f:
		c.add("margin.absolute", "must be below the reference, %v: else every score passes; got %v", f, g.GetMargin().GetAbsolute())
	}
	c.denominator("denominator", g.GetDenominator())
	if s != rolloutv1.Statistic_STATISTIC_RATE && g.GetDenominator() != rolloutv1.Denominator_DENOMINATOR_UNSPECIFIED {
		c.add("denominator", "is of STATISTIC_RATE alone: leave it out")
	}
}

func (c *checker) ratios(g *rolloutv1.Guardrail) {
	ratios := g.GetPromotionRatios()
	switch {
	case len(ratios) == 0:
		return
	case !isShare(g.GetStatistic()):
		c.add("promotion_ratios", "are of rates alone: leave them out")
		return
	case len(ratios) > maxStages:
		c.add("promotion_ratios", "must be at most %d, one for each stage; got %d", maxStages, len(ratios))
		return
	}
	allowed := allowedRatio(g)
	for i, ratio := range ratios {
		field := fmt.Sprintf("promotion_ratios[%d]", i)
		switch {
		case !(ratio > 1 && ratio <= maxRatio):
			c.add(field, "must be above 1 and at most %d; got %v", maxRatio, ratio)
		case ratio < allowed:
			c.add(field, "must not be below what the margin allows, %.4g; got %v", allowed, ratio)
		}
	}
}
