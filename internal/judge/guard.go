package judge

import (
	"fmt"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// kind is how a guardrail is judged.
type kind uint8

const (
	// kindCounts compares events of both variants.
	kindCounts kind = iota
	// kindQuantile compares the values above control's quantile, as events.
	kindQuantile
	kindMean
	// kindScore compares the treatment's F1 with a reference.
	kindScore
	kindDrift
)

// guard is a guardrail, compiled.
type guard struct {
	name, metric string
	kind         kind
	statistic    rolloutv1.Statistic
	direction    guardrail.Direction
	hold         bool // a breach holds, it does not shut
	observations bool // events are a share of observations
	segmented    bool
	alpha        float64
	logThreshold float64
	// edgeLogThreshold is that of all relays together; 0: relays do not judge.
	edgeLogThreshold float64

	// Of counts and quantiles. steady looks for harm that begins at any time, onset for that
	// which begins with a step. excess is the margin as a difference of rates, 0 if it is a
	// ratio.
	steady, onset *guardrail.RateBreaker
	excess        float64
	limit         float64   // harmless ratio, treatment to control
	ratios        []float64 // to disprove, by stage
	gates         []*guardrail.RateGate
	excessGate    *guardrail.RateGate

	// Of quantiles, means and scores.
	relative, absolute float64
	// timed: what is absolute is in seconds.
	timed     bool
	quantile  float64
	reference float64
	schedule  guardrail.Schedule
}

// shuts says whether a breach ends the rollout, and so takes a part of the budget.
func (g *guard) shuts() bool { return !g.hold && g.kind != kindDrift }

// ofExposures says whether events are a share of exposures, which are counted whether or not
// anybody tells of the metric.
func (g *guard) ofExposures() bool {
	return g.statistic == rolloutv1.Statistic_STATISTIC_RATE && !g.observations
}

func defaultRatios() []float64 { return []float64{5, 3, 2, 1.5} }

func compileGuard(r *rolloutv1.Guardrail, horizon int64, stages []stage) (*guard, error) {
	g := &guard{
		name: r.GetName(), metric: r.GetMetric(), statistic: r.GetStatistic(),
		hold:         r.GetAction() == rolloutv1.Action_ACTION_HOLD,
		observations: r.GetDenominator() == rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS,
		segmented:    r.GetSegmentBy() != "",
		schedule:     guardrail.Schedule{Horizon: horizon, Tail: tail},
		// A guardrail that holds spends nothing of the budget of rollbacks.
		alpha:        defaultBudget,
		logThreshold: guardrail.LogThreshold(defaultBudget),
	}
	if r.GetWorse() == rolloutv1.Direction_DIRECTION_DECREASE {
		g.direction = guardrail.Decrease
	}
	if r.GetMetric() == "" {
		return nil, badRollout("metric", "empty", "the name of a metric")
	}
	margin, err := g.margin(r.GetMargin())
	if err != nil {
		return nil, err
	}
	switch r.GetStatistic() {
	case rolloutv1.Statistic_STATISTIC_RATE, rolloutv1.Statistic_STATISTIC_MISPREDICTION,
		rolloutv1.Statistic_STATISTIC_FALSE_DISCOVERY, rolloutv1.Statistic_STATISTIC_MISS:
		g.kind = kindCounts
		if g.absolute > 0 {
			return nil, badRollout("margin", margin, "relative, or in percentage points: it is that of a share")
		}
		return g, g.compileCounts(r, stages)
	case rolloutv1.Statistic_STATISTIC_QUANTILE:
		g.kind = kindQuantile
		g.quantile = r.GetQuantile()
		if !(g.quantile > 0.5 && g.quantile < 1) {
			return nil, badRollout("quantile", g.quantile, "above 0.5, below 1")
		}
		if g.excess > 0 {
			return nil, badRollout("margin", margin, "relative, or absolute in the metric's unit")
		}
		return g, g.compileCounts(r, stages)
	case rolloutv1.Statistic_STATISTIC_MEAN:
		g.kind = kindMean
		if g.excess > 0 {
			return nil, badRollout("margin", margin, "relative, or absolute in the metric's unit")
		}
	case rolloutv1.Statistic_STATISTIC_F1:
		g.kind = kindScore
		g.reference = r.GetReference() - g.absolute
		if !(g.reference > 0 && g.reference < 1) || g.excess > 0 || g.relative > 0 {
			return nil, badRollout("reference minus the margin", g.reference, "a score between 0 and 1, and the margin absolute")
		}
	case rolloutv1.Statistic_STATISTIC_DRIFT:
		g.kind = kindDrift
	default:
		return nil, badRollout("statistic", r.GetStatistic(), "one of those that are listed")
	}
	return g, nil
}

// margin reads the margin, and returns it for messages.
func (g *guard) margin(m *rolloutv1.Margin) (string, error) {
	var value float64
	var text string
	switch u := m.GetUnit().(type) {
	case *rolloutv1.Margin_Relative:
		value, text = u.Relative, fmt.Sprintf("relative %v", u.Relative)
		g.relative = value
	case *rolloutv1.Margin_PercentagePoints:
		value, text = u.PercentagePoints, fmt.Sprintf("%v percentage points", u.PercentagePoints)
		g.excess = value / 100
		if value > 100 {
			return "", badRollout("margin", text, "at most 100 percentage points")
		}
	case *rolloutv1.Margin_Absolute:
		value, text = u.Absolute, fmt.Sprintf("absolute %v", u.Absolute)
		g.absolute = value
	case *rolloutv1.Margin_Seconds:
		value, text = u.Seconds, fmt.Sprintf("%v seconds", u.Seconds)
		g.absolute, g.timed = value, true
	}
	const most = 1e15
	if !(value >= 0 && value <= most) {
		return "", badRollout("margin", text, "not negative, and at most 1e15")
	}
	if g.relative > 100 || g.direction == guardrail.Decrease && g.relative >= 1 {
		return "", badRollout("margin", text, "at most 100 times; of what must not fall, below 1")
	}
	return text, nil
}

// keepGateFrom is the weight above which control is too small for a gate to be passed anew in
// any time that one would wait. There, in the last stage, gates go on from what the stage
// before has proven; harm that begins now takes it back.
const keepGateFrom = 9_000

func keepsGate(stages []stage, i int) bool {
	return i == len(stages)-1 && stages[i].weight > keepGateFrom
}

// sameGate says whether two stages are left by the same proof.
func (g *guard) sameGate(a, b int) bool {
	return len(g.ratios) == 0 || a < len(g.ratios) && g.ratios[a] == g.ratios[b]
}

// compileCounts prepares the tests of rates. A margin in percentage points is tested as the
// ratio 1 with an allowance (see excess.go); its gate passes with either proof, that of the
// ratio or that of the margin.
func (g *guard) compileCounts(r *rolloutv1.Guardrail, stages []stage) error {
	if n := len(r.GetPromotionRatios()); n > 32 {
		return badRollout("the number of promotion_ratios", n, "at most 32")
	}
	g.limit = 1
	if g.kind == kindCounts { // a quantile's margin is in its edge
		g.limit = harmful(g.direction, 1+g.relative, 1-g.relative)
	}
	var err error
	options := guardrail.RateBreakerOptions{Direction: g.direction, Ratio: g.limit, Schedule: g.schedule}
	if g.steady, err = guardrail.NewRateBreaker(options); err != nil {
		return fmt.Errorf("%w: margin: %w", ErrRollout, err)
	}
	options.Schedule = guardrail.Schedule{Horizon: onsetWindows, Tail: onsetTail}
	if g.onset, err = guardrail.NewRateBreaker(options); err != nil {
		return fmt.Errorf("%w: margin: %w", ErrRollout, err)
	}
	if g.excessGate, err = guardrail.NewRateGate(guardrail.RateGateOptions{Direction: g.direction, Ratio: 1}); err != nil {
		return fmt.Errorf("%w: %w", ErrRollout, err)
	}
	ladder := r.GetPromotionRatios()
	if len(ladder) == 0 {
		ladder = defaultRatios()
	}
	for i := range stages {
		ratio := ladder[min(i, len(ladder)-1)]
		if i > 0 && keepsGate(stages, i) {
			ratio = ladder[min(i-1, len(ladder)-1)]
		}
		if !(ratio > 0 && ratio <= 1000) {
			return badRollout("promotion_ratios", ladder, "between 1 and 1000")
		}
		if g.direction == guardrail.Decrease {
			ratio = min(1/ratio, g.limit)
		} else {
			ratio = max(ratio, g.limit)
		}
		gate, err := guardrail.NewRateGate(guardrail.RateGateOptions{Direction: g.direction, Ratio: ratio})
		if err != nil {
			return fmt.Errorf("%w: promotion_ratios: %w", ErrRollout, err)
		}
		g.ratios = append(g.ratios, ratio)
		g.gates = append(g.gates, gate)
	}
	return nil
}

func harmful[T any](d guardrail.Direction, increase, decrease T) T {
	if d == guardrail.Decrease {
		return decrease
	}
	return increase
}
