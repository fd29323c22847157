package rollout

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func relative(r float64) *rolloutv1.Margin {
	return &rolloutv1.Margin{Unit: &rolloutv1.Margin_Relative{Relative: r}}
}

func points(p float64) *rolloutv1.Margin {
	return &rolloutv1.Margin{Unit: &rolloutv1.Margin_PercentagePoints{PercentagePoints: p}}
}

func absolute(a float64) *rolloutv1.Margin {
	return &rolloutv1.Margin{Unit: &rolloutv1.Margin_Absolute{Absolute: a}}
}

// canary is a valid request.
func canary() *rolloutv1.Rollout {
	return &rolloutv1.Rollout{
		Key: "r", FlagKey: "f", Treatment: "on", Strategy: rolloutv1.Strategy_STRATEGY_CANARY,
		Guardrails: []*rolloutv1.Guardrail{{Name: "errors", Statistic: rolloutv1.Statistic_STATISTIC_RATE, Margin: relative(0.05)}},
	}
}

// flag serves off to everyone; a rule 'split' serves both, a rule 'many' three.
func flag() *flagv1.Flag {
	shares := func(of ...any) *flagv1.Outcome {
		s := &flagv1.Split{}
		for i := 0; i < len(of); i += 2 {
			s.Variants = append(s.Variants, &flagv1.WeightedVariant{Variant: of[i].(string), Weight: uint32(of[i+1].(int))})
		}
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: s}}
	}
	f := &flagv1.Flag{
		Key: "f", Type: flagv1.ValueType_VALUE_TYPE_STRING, Enabled: true, OffVariant: "off", Owner: "team",
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "off"}},
		Rules: []*flagv1.Rule{
			{Id: "split", Outcome: shares("on", 1, "off", 99)},
			{Id: "reversed", Outcome: shares("off", 99, "on", 1)},
			{Id: "many", Outcome: shares("on", 0, "off", 1, "other", 1)},
			{Id: "expression", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: structpb.NewStringValue("on")}}},
			{Id: "salted", Outcome: shares("off", 1)},
		},
	}
	f.Rules[4].Outcome.GetSplit().BucketBy = "account"
	f.Rules[4].Outcome.GetSplit().Salt = proto.String("salt")
	f.Rules[4].Outcome.GetSplit().BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_3
	for _, name := range []string{"on", "off", "other"} {
		f.Variants = append(f.Variants, &flagv1.Variant{Name: name, Value: structpb.NewStringValue(name)})
	}
	return f
}

// TestCheck: each rollout has exactly the one problem named.
func TestCheck(t *testing.T) {
	rate := rolloutv1.Statistic_STATISTIC_RATE
	guardrail := func(edit func(g *rolloutv1.Guardrail)) func(*rolloutv1.Rollout) {
		return func(r *rolloutv1.Rollout) { edit(r.GetGuardrails()[0]) }
	}
	stages := func(stages ...*rolloutv1.Stage) func(*rolloutv1.Rollout) {
		return func(r *rolloutv1.Rollout) { r.Strategy, r.Stages = 0, stages }
	}
	success := func(edit func(*rolloutv1.Rollout, *rolloutv1.Success)) func(*rolloutv1.Rollout) {
		return func(r *rolloutv1.Rollout) {
			r.Success = &rolloutv1.Success{Metric: "m", Statistic: rate}
			edit(r, r.Success)
		}
	}
	nan := math.NaN()
	for _, test := range []struct {
		name, want string
		edit       func(r *rolloutv1.Rollout)
	}{
		{"canary", "", func(*rolloutv1.Rollout) {}},
		{"status", "status: is written by the control plane alone: leave it out", func(r *rolloutv1.Rollout) { r.Status = &rolloutv1.Status{} }},
		{"size", ": takes", func(r *rolloutv1.Rollout) { r.Description = strings.Repeat("x", maxSize) }},
		{"key", "key: must be 1 to 128 characters", func(r *rolloutv1.Rollout) { r.Key = "a/b" }},
		{"no key", "key: is required", func(r *rolloutv1.Rollout) { r.Key = "" }},
		{"description", "description: takes 5000 bytes: at most 4096", func(r *rolloutv1.Rollout) { r.Description = strings.Repeat("x", 5000) }},
		{"owner", "owner: takes 300 bytes: at most 256", func(r *rolloutv1.Rollout) { r.Owner = strings.Repeat("x", 300) }},
		{"flag key", "flag_key: is required", func(r *rolloutv1.Rollout) { r.FlagKey = "" }},
		{"rule", "rule: must be 1 to 128 characters", func(r *rolloutv1.Rollout) { r.Rule = "a b" }},
		{"no treatment", "treatment: is required: the variant that shall be served", func(r *rolloutv1.Rollout) { r.Treatment = "" }},
		{"same variants", `treatment: must be another variant than the control, "on"`, func(r *rolloutv1.Rollout) { r.Control = "on" }},
		{"control characters", "control: must be the name of a variant", func(r *rolloutv1.Rollout) { r.Control = "a\nb" }},
		{"unknown strategy", "strategy: 9 is not known", func(r *rolloutv1.Rollout) { r.Strategy = 9 }},
		{"no stages", "stages: are missing: list them, or name a strategy", func(r *rolloutv1.Rollout) { r.Strategy = 0 }},
		{"33 stages", "stages: must be at most 32, not 33", func(r *rolloutv1.Rollout) {
			for i := range 33 {
				r.Stages = append(r.Stages, stage(uint32(i+1), time.Minute, false))
			}
		}},
		{"stages fall", "stages[1].weight: must be above the stage before, 500: weights rise; got 500", stages(stage(500, time.Minute, false), stage(500, time.Minute, false))},
		{"above 100%", "stages[0].weight: must be at most 10000 (100%), not 10001", stages(stage(10001, time.Minute, false))},
		{"0% alone", "stages[0].weight: must be above 0 in a rollout of one stage", stages(stage(0, time.Minute, true))},
		{"0% by evidence", "stages[0].weight: 0 shows nothing", stages(stage(0, time.Minute, false), stage(100, time.Minute, false))},
		{"0% by hand", "", stages(stage(0, time.Minute, true), stage(100, time.Minute, false))},
		{"dwell", "stages[0].min_dwell: must be 1s to 30d, not 500ms", stages(stage(100, time.Second/2, false))},
		{"no dwell", "", stages(&rolloutv1.Stage{Weight: 100})},
		{"dwell is none", "stages[0].min_dwell: is not a duration", stages(&rolloutv1.Stage{Weight: 100, MinDwell: &durationpb.Duration{Seconds: 1, Nanos: -1}})},
		{"holdback", "holdback: must be at most 2000 (20%), not 2001", func(r *rolloutv1.Rollout) { r.Holdback = proto.Uint32(2001) }},
		{"holdback below a stage", "holdback: of 2% leaves the last stage 98%, which is not above the stage before it, of 99%", stages(stage(9900, time.Minute, false), stage(10000, time.Minute, false))},
		{"bake", "bake: must be 1s to 30d, not 31d", func(r *rolloutv1.Rollout) { r.Bake = durationpb.New(31 * 24 * time.Hour) }},
		{"fixed by evidence", "stages[0].manual: must be true for STRATEGY_FIXED", func(r *rolloutv1.Rollout) {
			r.Strategy, r.Stages = rolloutv1.Strategy_STRATEGY_FIXED, []*rolloutv1.Stage{{Weight: 100}}
		}},
		{"fixed in two", "stages: STRATEGY_FIXED has one stage, not 2", func(r *rolloutv1.Rollout) {
			r.Strategy, r.Stages = rolloutv1.Strategy_STRATEGY_FIXED, []*rolloutv1.Stage{{Weight: 100, Manual: true}, {Weight: 200, Manual: true}}
		}},
		{"experiment without success", "success: is missing: it decides an experiment", func(r *rolloutv1.Rollout) { r.Strategy = rolloutv1.Strategy_STRATEGY_EXPERIMENT }},

		{"no guardrails", "guardrails: are missing", func(r *rolloutv1.Rollout) { r.Guardrails = nil }},
		{"no guardrails but a person", "", func(r *rolloutv1.Rollout) { r.Strategy, r.Guardrails = rolloutv1.Strategy_STRATEGY_FIXED, nil }},
		{"33 guardrails", "guardrails: must be at most 32, not 33", func(r *rolloutv1.Rollout) { r.Guardrails = make([]*rolloutv1.Guardrail, 33) }},
		{"twice", `guardrails[1].name: "errors" is given twice`, func(r *rolloutv1.Rollout) { r.Guardrails = append(r.Guardrails, r.GetGuardrails()[0]) }},
		{"name", "guardrails[0].name: must be 1 to 64 characters", guardrail(func(g *rolloutv1.Guardrail) { g.Name = strings.Repeat("x", 65) })},
		{"metric", "guardrails[0].metric: must be 1 to 64 characters", guardrail(func(g *rolloutv1.Guardrail) { g.Metric = "a b" })},
		{"no statistic", "guardrails[0].statistic: is required", guardrail(func(g *rolloutv1.Guardrail) { g.Statistic = 0 })},
		{"unknown statistic", "guardrails[0].statistic: 99 is not known", guardrail(func(g *rolloutv1.Guardrail) { g.Statistic = 99 })},
		{"unknown direction", "guardrails[0].worse: 9 is not known", guardrail(func(g *rolloutv1.Guardrail) { g.Worse = 9 })},
		{"quantile falls", "guardrails[0].worse: of STATISTIC_QUANTILE is DIRECTION_INCREASE", guardrail(func(g *rolloutv1.Guardrail) {
			g.Statistic, g.Quantile, g.Worse = rolloutv1.Statistic_STATISTIC_QUANTILE, 0.99, rolloutv1.Direction_DIRECTION_DECREASE
		})},
		{"F1 rises", "guardrails[0].worse: of STATISTIC_F1 is DIRECTION_DECREASE", guardrail(func(g *rolloutv1.Guardrail) {
			g.Statistic, g.Reference, g.Margin, g.Worse = rolloutv1.Statistic_STATISTIC_F1, 0.8, absolute(0), rolloutv1.Direction_DIRECTION_INCREASE
		})},
		{"no margin", "guardrails[0].margin: is required, with its unit", guardrail(func(g *rolloutv1.Guardrail) { g.Margin = nil })},
		{"margin without a unit", "guardrails[0].margin: is required, with its unit", guardrail(func(g *rolloutv1.Guardrail) { g.Margin = &rolloutv1.Margin{} })},
		{"negative margin", "guardrails[0].margin.relative: must be 0 to 100", guardrail(func(g *rolloutv1.Guardrail) { g.Margin = relative(-0.1) })},
		{"NaN margin", "guardrails[0].margin.relative: must be 0 to 100", guardrail(func(g *rolloutv1.Guardrail) { g.Margin = relative(nan) })},
		{"all of it", "guardrails[0].margin.relative: must be 0 to 0.99", guardrail(func(g *rolloutv1.Guardrail) {
			g.Margin, g.Worse = relative(1), rolloutv1.Direction_DIRECTION_DECREASE
		})},
		{"points of a mean", "guardrails[0].margin.percentage_points: are of rates", guardrail(func(g *rolloutv1.Guardrail) {
			g.Statistic, g.Margin = rolloutv1.Statistic_STATISTIC_MEAN, points(1)
		})},
		{"0 points", "guardrails[0].margin.percentage_points: must be above 0 and below 100", guardrail(func(g *rolloutv1.Guardrail) { g.Margin = points(0) })},
		{"absolute rate", "guardrails[0].margin.absolute: is of means and quantiles", guardrail(func(g *rolloutv1.Guardrail) { g.Margin = absolute(1) })},
		{"negative absolute", "guardrails[0].margin.absolute: must be 0 or more", guardrail(func(g *rolloutv1.Guardrail) {
			g.Statistic, g.Margin = rolloutv1.Statistic_STATISTIC_MEAN, absolute(-1)
		})},
		{"relative F1", "guardrails[0].margin.relative: is of rates, means and quantiles", guardrail(func(g *rolloutv1.Guardrail) {
			g.Statistic, g.Reference = rolloutv1.Statistic_STATISTIC_F1, 0.8
		})},
		{"F1 below 0", "guardrails[0].margin.absolute: must be below the reference", guardrail(func(g *rolloutv1.Guardrail) {
			g.Statistic, g.Reference, g.Margin = rolloutv1.Statistic_STATISTIC_F1, 0.8, absolute(0.9)
		})},
		{"F1 of 1", "guardrails[0].reference: of 1 without a margin", guardrail(func(g *rolloutv1.Guardrail) {
			g.Statistic, g.Reference, g.Margin = rolloutv1.Statistic_STATISTIC_F1, 1, &rolloutv1.Margin{Unit: &rolloutv1.Margin_Absolute{}}
		})},
		{"F1 without a reference", "guardrails[0].reference: must be above 0", guardrail(func(g *rolloutv1.Guardrail) {
			g.Statistic, g.Margin = rolloutv1.Statistic_STATISTIC_F1, absolute(0)
		})},
		{"a rate's reference", "guardrails[0].reference: is of STATISTIC_F1 alone", guardrail(func(g *rolloutv1.Guardrail) { g.Reference = 0.8 })},
		{"a rate's quantile", "guardrails[0].quantile: is of STATISTIC_QUANTILE alone", guardrail(func(g *rolloutv1.Guardrail) { g.Quantile = 0.99 })},
		{"median", "guardrails[0].quantile: must be above 0.5 and below 1", guardrail(func(g *rolloutv1.Guardrail) {
			g.Statistic, g.Quantile = rolloutv1.Statistic_STATISTIC_QUANTILE, 0.5
		})},
		{"a mean's denominator", "guardrails[0].denominator: is of STATISTIC_RATE alone", guardrail(func(g *rolloutv1.Guardrail) {
			g.Statistic, g.Denominator = rolloutv1.Statistic_STATISTIC_MEAN, rolloutv1.Denominator_DENOMINATOR_EXPOSURES
		})},
		{"unknown denominator", "guardrails[0].denominator: 7 is not known", guardrail(func(g *rolloutv1.Guardrail) { g.Denominator = 7 })},
		{"ratios of a mean", "guardrails[0].promotion_ratios: are of rates alone", guardrail(func(g *rolloutv1.Guardrail) {
			g.Statistic, g.PromotionRatios = rolloutv1.Statistic_STATISTIC_MEAN, []float64{2}
		})},
		{"ratio of 1", "guardrails[0].promotion_ratios[1]: must be above 1", guardrail(func(g *rolloutv1.Guardrail) { g.PromotionRatios = []float64{2, 1} })},
		{"ratio below the margin", "guardrails[0].promotion_ratios[0]: must not be below what the margin allows, 1.5; got 1.4", guardrail(func(g *rolloutv1.Guardrail) {
			g.Margin, g.PromotionRatios = relative(0.5), []float64{1.4}
		})},
		{"ratio below a falling margin", "guardrails[0].promotion_ratios[0]: must not be below what the margin allows, 2; got 1.5", guardrail(func(g *rolloutv1.Guardrail) {
			g.Margin, g.PromotionRatios, g.Worse = relative(0.5), []float64{1.5}, rolloutv1.Direction_DIRECTION_DECREASE
		})},
		{"weight", "guardrails[0].weight: must be above 0", guardrail(func(g *rolloutv1.Guardrail) { g.Weight = -1 })},
		{"unknown action", "guardrails[0].action: 9 is not known", guardrail(func(g *rolloutv1.Guardrail) { g.Action = 9 })},
		{"drift shuts", "guardrails[0].action: of STATISTIC_DRIFT must be ACTION_HOLD", guardrail(func(g *rolloutv1.Guardrail) {
			g.Statistic, g.Margin, g.Action = rolloutv1.Statistic_STATISTIC_DRIFT, nil, rolloutv1.Action_ACTION_ROLLBACK
		})},
		{"segment", "guardrails[0].segment_by: must be an attribute", guardrail(func(g *rolloutv1.Guardrail) { g.SegmentBy = "a, b" })},

		{"success metric", "success.metric: is required", success(func(_ *rolloutv1.Rollout, s *rolloutv1.Success) { s.Metric = "" })},
		{"success quantile", "success.statistic: must be STATISTIC_RATE or STATISTIC_MEAN", success(func(_ *rolloutv1.Rollout, s *rolloutv1.Success) {
			s.Statistic = rolloutv1.Statistic_STATISTIC_QUANTILE
		})},
		{"success alpha", "success.alpha: must be above 0 and at most 0.5", success(func(_ *rolloutv1.Rollout, s *rolloutv1.Success) { s.Alpha = 0.6 })},
		{"success difference", "success.relevant_difference: must be above 0", success(func(_ *rolloutv1.Rollout, s *rolloutv1.Success) { s.RelevantDifference = -1 })},
		{"success denominator of a mean", "success.denominator: is of STATISTIC_RATE alone", success(func(_ *rolloutv1.Rollout, s *rolloutv1.Success) {
			s.Statistic, s.Denominator = rolloutv1.Statistic_STATISTIC_MEAN, rolloutv1.Denominator_DENOMINATOR_EXPOSURES
		})},
		{"giving up a canary", "success.give_up_after: is of STRATEGY_EXPERIMENT alone", success(func(_ *rolloutv1.Rollout, s *rolloutv1.Success) { s.GiveUpAfter = durationpb.New(time.Hour) })},
		{"giving up an experiment", "", success(func(r *rolloutv1.Rollout, s *rolloutv1.Success) {
			r.Strategy, r.Guardrails, s.GiveUpAfter = rolloutv1.Strategy_STRATEGY_EXPERIMENT, nil, durationpb.New(time.Hour)
		})},

		{"unit", "unit: 7 is not known", func(r *rolloutv1.Rollout) { r.Unit = 7 }},
		{"budget", "false_rollback_budget: must be above 0 and at most 0.2", func(r *rolloutv1.Rollout) { r.FalseRollbackBudget = 0.3 }},
		{"NaN budget", "false_rollback_budget: must be above 0 and at most 0.2", func(r *rolloutv1.Rollout) { r.FalseRollbackBudget = nan }},
		{"edge", "edge_breaker.after: must be 6s to 1h, not 5s", func(r *rolloutv1.Rollout) {
			r.EdgeBreaker = &rolloutv1.EdgeBreaker{After: durationpb.New(5 * time.Second)}
		}},
		{"notify", `notify[1]: "a" is named twice`, func(r *rolloutv1.Rollout) { r.Notify = []string{"a", "a"} }},
	} {
		r := canary()
		test.edit(r)
		before := proto.CloneOf(r)
		errs := Check(r)
		switch {
		case test.want == "" && len(errs) > 0, test.want != "" && (len(errs) != 1 || !strings.HasPrefix(errs[0].Field+": "+errs[0].Problem, test.want)):
			t.Errorf("%s: got %q, want %q", test.name, errs.Error(), test.want)
		case !proto.Equal(before, r) && !strings.Contains(test.name, "NaN"):
			t.Errorf("%s: what was checked was changed", test.name)
		}
	}
}

// What is complete is valid, and stays as it is.
func TestComplete(t *testing.T) {
	for _, strategy := range []rolloutv1.Strategy{
		rolloutv1.Strategy_STRATEGY_CANARY, rolloutv1.Strategy_STRATEGY_BLUE_GREEN, rolloutv1.Strategy_STRATEGY_FIXED, rolloutv1.Strategy_STRATEGY_EXPERIMENT,
	} {
		r := canary()
		r.Strategy = strategy
		r.Success = &rolloutv1.Success{Metric: "m", Statistic: rolloutv1.Statistic_STATISTIC_RATE}
		r.Guardrails = append(r.Guardrails,
			&rolloutv1.Guardrail{Name: "drift", Statistic: rolloutv1.Statistic_STATISTIC_DRIFT},
			&rolloutv1.Guardrail{Name: "f1", Statistic: rolloutv1.Statistic_STATISTIC_F1, Reference: 0.8, Margin: absolute(0)})
		if errs := Check(r); len(errs) > 0 {
			t.Fatalf("%s: %v", strategy, errs)
		}
		once := Complete(r)
		if errs := Check(once); len(errs) > 0 {
			t.Errorf("%s, complete: %v", strategy, errs)
		}
		if twice := Complete(once); !proto.Equal(once, twice) {
			t.Errorf("%s: completed again, it is\n%v, was\n%v", strategy, twice, once)
		}
	}
	r := Complete(canary())
	g := r.GetGuardrails()[0]
	if r.GetHoldback() != 200 || StageWeight(r, 4) != 9800 || StageWeight(r, 3) != 5000 || len(r.GetStages()) != 5 ||
		r.GetBake().AsDuration() != DefaultBake || g.GetMetric() != "errors" || g.GetPromotionRatios()[3] != 1.5 {
		t.Errorf("canary: %v", r)
	}
	r = canary()
	r.Holdback = proto.Uint32(0)
	if r = Complete(r); r.GetHoldback() != 0 || StageWeight(r, 4) != TotalWeight {
		t.Errorf("a holdback of 0 was replaced: %v", r)
	}
	// A margin beyond a standard ratio raises it.
	r = canary()
	r.GetGuardrails()[0].Margin = relative(3)
	if got := Complete(r).GetGuardrails()[0].GetPromotionRatios(); got[0] != 5 || got[1] != 4 || got[3] != 4 {
		t.Errorf("ratios %v, want 5 4 4 4", got)
	}
}

func TestCompile(t *testing.T) {
	r := canary()
	r.Guardrails = append(r.Guardrails,
		&rolloutv1.Guardrail{Name: "slow", Statistic: rolloutv1.Statistic_STATISTIC_MEAN, Margin: absolute(1), Weight: 3},
		&rolloutv1.Guardrail{Name: "hold", Statistic: rolloutv1.Statistic_STATISTIC_MEAN, Margin: absolute(1), Action: rolloutv1.Action_ACTION_HOLD})
	next, err := Start(r, flag(), At{Time: noon})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(next.Rollout)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := p.Guardrails[0].Alpha, p.Guardrails[1].Alpha, p.Guardrails[2].Alpha
	if a != 0.0025 || b != 0.0075 || c != 0 || p.Stages[4].Weight != 9800 || p.EdgeAfter != DefaultEdgeWait {
		t.Errorf("%+v", p)
	}
	if g := p.Guardrails[0]; g.PromotionRatio(0) != 5 || g.PromotionRatio(9) != 1.5 || p.Guardrails[1].PromotionRatio(0) != 0 {
		t.Errorf("ratios of %v", g)
	}
	if next.Rollout.GetStatus() == nil {
		t.Error("Compile took the status away")
	}
	if _, err := Compile(&rolloutv1.Rollout{Key: "k"}); err == nil {
		t.Error("an empty rollout compiles")
	}
}

func problems(err error) string {
	var errs eval.Errors
	if err == nil || !errors.As(err, &errs) {
		return ""
	}
	return errs.Error()
}
