package rollout

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// Complete fills in what a request left out: the stages of its strategy, and every default. It
// is what is stored, so that a rollout goes on meaning what it meant when it started, whatever
// the defaults of a later version. The control is filled in by [Start], which knows the flag.
func Complete(r *rolloutv1.Rollout) *rolloutv1.Rollout {
	r = proto.CloneOf(r)
	if len(r.GetStages()) == 0 {
		r.Stages = presetStages(r.GetStrategy())
	}
	for _, s := range r.GetStages() {
		if s != nil && s.MinDwell == nil {
			s.MinDwell = durationpb.New(DefaultDwell)
		}
	}
	completeEnd(r)
	for _, g := range r.GetGuardrails() {
		completeGuardrail(g)
	}
	completeSuccess(r.GetSuccess())
	if r.GetUnit() == rolloutv1.Unit_UNIT_UNSPECIFIED {
		r.Unit = rolloutv1.Unit_UNIT_SUBJECT
	}
	if r.GetFalseRollbackBudget() == 0 {
		r.FalseRollbackBudget = DefaultBudget
	}
	if r.GetEdgeBreaker() == nil {
		r.EdgeBreaker = &rolloutv1.EdgeBreaker{}
	}
	if r.GetEdgeBreaker().GetAfter() == nil {
		r.EdgeBreaker.After = durationpb.New(DefaultEdgeWait)
	}
	return r
}

// completeEnd fills in how the last stage is watched.
func completeEnd(r *rolloutv1.Rollout) {
	n := len(r.GetStages())
	if n == 0 {
		return
	}
	last := r.GetStages()[n-1]
	if r.Holdback == nil {
		r.Holdback = proto.Uint32(0)
		if last.GetWeight() == TotalWeight {
			r.Holdback = proto.Uint32(DefaultHoldback)
		}
	}
	if r.GetBake() == nil {
		r.Bake = last.GetMinDwell()
	}
}

func completeGuardrail(g *rolloutv1.Guardrail) {
	if g == nil {
		return
	}
	if g.GetMetric() == "" {
		g.Metric = g.GetName()
	}
	if g.GetWorse() == rolloutv1.Direction_DIRECTION_UNSPECIFIED {
		g.Worse = rolloutv1.Direction_DIRECTION_INCREASE
		if g.GetStatistic() == rolloutv1.Statistic_STATISTIC_F1 {
			g.Worse = rolloutv1.Direction_DIRECTION_DECREASE
		}
	}
	if g.GetStatistic() == rolloutv1.Statistic_STATISTIC_RATE && g.GetDenominator() == rolloutv1.Denominator_DENOMINATOR_UNSPECIFIED {
		g.Denominator = rolloutv1.Denominator_DENOMINATOR_EXPOSURES
	}
	if g.GetWeight() == 0 {
		g.Weight = 1
	}
	drift := g.GetStatistic() == rolloutv1.Statistic_STATISTIC_DRIFT
	if drift && g.GetMargin() == nil {
		g.Margin = &rolloutv1.Margin{Unit: &rolloutv1.Margin_Absolute{Absolute: DefaultDrift}}
	}
	if g.GetAction() == rolloutv1.Action_ACTION_UNSPECIFIED {
		g.Action = rolloutv1.Action_ACTION_ROLLBACK
		if drift {
			g.Action = rolloutv1.Action_ACTION_HOLD
		}
	}
	if isShare(g.GetStatistic()) && len(g.GetPromotionRatios()) == 0 {
		for _, ratio := range defaultRatios() {
			g.PromotionRatios = append(g.PromotionRatios, max(ratio, allowedRatio(g)))
		}
	}
}

func completeSuccess(s *rolloutv1.Success) {
	if s == nil {
		return
	}
	if s.GetBetter() == rolloutv1.Direction_DIRECTION_UNSPECIFIED {
		s.Better = rolloutv1.Direction_DIRECTION_INCREASE
	}
	if s.GetStatistic() == rolloutv1.Statistic_STATISTIC_RATE && s.GetDenominator() == rolloutv1.Denominator_DENOMINATOR_UNSPECIFIED {
		s.Denominator = rolloutv1.Denominator_DENOMINATOR_EXPOSURES
	}
	if s.GetAlpha() == 0 {
		s.Alpha = DefaultAlpha
	}
	if s.GetRelevantDifference() == 0 {
		s.RelevantDifference = DefaultDifference
	}
}

// isShare tells the statistics that count events of so many.
func isShare(s rolloutv1.Statistic) bool {
	switch s {
	case rolloutv1.Statistic_STATISTIC_RATE, rolloutv1.Statistic_STATISTIC_MISPREDICTION,
		rolloutv1.Statistic_STATISTIC_FALSE_DISCOVERY, rolloutv1.Statistic_STATISTIC_MISS:
		return true
	}
	return false
}

// allowedRatio is the ratio up to which a guardrail's margin allows the worse arm to be,
// relative to the better one: above 1. 1 where the margin is not relative, as it then depends
// on what the control has.
func allowedRatio(g *rolloutv1.Guardrail) float64 {
	m, ok := g.GetMargin().GetUnit().(*rolloutv1.Margin_Relative)
	switch {
	case !ok:
		return 1
	case g.GetWorse() == rolloutv1.Direction_DIRECTION_DECREASE:
		return 1 / (1 - m.Relative)
	}
	return 1 + m.Relative
}

// presetStages are those of a strategy; none for one that has none.
func presetStages(s rolloutv1.Strategy) []*rolloutv1.Stage {
	switch s {
	case rolloutv1.Strategy_STRATEGY_CANARY:
		return []*rolloutv1.Stage{
			stage(100, DefaultDwell, false), stage(500, DefaultDwell, false), stage(2_000, DefaultDwell, false),
			stage(5_000, DefaultDwell, false), stage(TotalWeight, DefaultBake, false),
		}
	case rolloutv1.Strategy_STRATEGY_BLUE_GREEN:
		return []*rolloutv1.Stage{stage(0, DefaultDwell, true), stage(TotalWeight, DefaultBake, false)}
	case rolloutv1.Strategy_STRATEGY_EXPERIMENT:
		return []*rolloutv1.Stage{stage(TotalWeight/2, DefaultBake, false)}
	case rolloutv1.Strategy_STRATEGY_FIXED:
		return []*rolloutv1.Stage{stage(TotalWeight/2, DefaultBake, true)}
	}
	return nil
}

func stage(weight uint32, dwell time.Duration, manual bool) *rolloutv1.Stage {
	return &rolloutv1.Stage{Weight: weight, MinDwell: durationpb.New(dwell), Manual: manual}
}
