package judge

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

func TestCompileDefaults(t *testing.T) {
	t.Parallel()
	heavy, held := tailLatency(), meanLatency()
	heavy.Weight, held.Action = 3, rolloutv1.Action_ACTION_HOLD
	p, err := Compile(canary(errorRate(), heavy, held))
	if err != nil {
		t.Fatal(err)
	}
	// 1% of the budget is for a lack of subjects, a tenth of the rest for relays that are cut
	// off; a guardrail that holds takes nothing.
	for i, share := range []float64{0.25, 0.75} {
		want := math.Log(1 / (0.01 * 0.99 * share * 0.9))
		if got := p.guards[i].logThreshold; math.Abs(got-want) > 1e-9 {
			t.Errorf("threshold of guardrail %d: %v, want %v", i, got, want)
		}
		want = math.Log(1 / (0.01 * 0.99 * share * 0.1))
		if got := p.guards[i].edgeLogThreshold; math.Abs(got-want) > 1e-9 {
			t.Errorf("edge threshold of guardrail %d: %v, want %v", i, got, want)
		}
	}
	if g := p.guards[2]; g.edgeLogThreshold != 0 || math.Abs(g.logThreshold-math.Log(100)) > 1e-9 {
		t.Errorf("thresholds of a guardrail that holds: %v, %v", g.logThreshold, g.edgeLogThreshold)
	}
	// The last stage keeps the holdback, and is left by the proof of the one before.
	if p.stages[4].weight != 9800 || p.bake != 10*time.Second {
		t.Errorf("last stage %+v, bake %v", p.stages[4], p.bake)
	}
	if got, want := p.guards[0].ratios, []float64{5, 3, 2, 1.5, 1.5}; !equal(got, want) {
		t.Errorf("promotion ratios %v, want %v", got, want)
	}
	off := canary(errorRate())
	off.EdgeBreaker = &rolloutv1.EdgeBreaker{Disabled: true}
	if p, err = Compile(off); err != nil || math.Abs(p.guards[0].logThreshold-math.Log(1/0.0099)) > 1e-9 || p.guards[0].edgeLogThreshold != 0 {
		t.Errorf("without edge breakers the threshold is %v, at the edge %v (%v)", p.guards[0].logThreshold, p.guards[0].edgeLogThreshold, err)
	}
}

func equal(a, b []float64) bool {
	for i := range a {
		if len(a) != len(b) || a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

func TestPromotionRatios(t *testing.T) {
	t.Parallel()
	fall := errorRate()
	fall.Worse, fall.PromotionRatios = rolloutv1.Direction_DIRECTION_DECREASE, []float64{2, 1.01}
	wide := errorRate()
	wide.Name, wide.Margin = "wide", relative(1)
	p, err := Compile(canary(fall, wide))
	if err != nil {
		t.Fatal(err)
	}
	// Never nearer to 1 than the margin: a fall of 5% is allowed, and so is a doubling.
	if got, want := p.guards[0].ratios, []float64{0.5, 0.95, 0.95, 0.95, 0.95}; !equal(got, want) {
		t.Errorf("of a fall: %v, want %v", got, want)
	}
	if got, want := p.guards[1].ratios, []float64{5, 3, 2, 2, 2}; !equal(got, want) {
		t.Errorf("of a wide margin: %v, want %v", got, want)
	}
}

func TestCompileErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*rolloutv1.Rollout)
		want   string
	}{
		{"no stages", func(r *rolloutv1.Rollout) { r.Stages = nil }, "number of stages is 0"},
		{"a weight too large", func(r *rolloutv1.Rollout) { r.Stages[4].Weight = 10_001 }, "stages[4].weight is 10001"},
		{"weights that fall", func(r *rolloutv1.Rollout) { r.Stages[2].Weight = 400 }, "stages[2].weight is 400"},
		{"no dwell", func(r *rolloutv1.Rollout) { r.Stages[1].MinDwell = nil }, "stages[1].min_dwell is 0s"},
		{"a holdback too large", func(r *rolloutv1.Rollout) { r.Holdback = new(uint32(2001)) }, "holdback is 2001"},
		{"a holdback below the stage before", func(r *rolloutv1.Rollout) { r.Stages[3].Weight = 9900 }, "holdback is 200: it must be below 100"},
		{"a negative bake", func(r *rolloutv1.Rollout) { r.Bake = durationpb.New(-1) }, "bake is -1ns"},
		{"a budget too large", func(r *rolloutv1.Rollout) { r.FalseRollbackBudget = 0.21 }, "false_rollback_budget is 0.21"},
		{"a budget that is no number", func(r *rolloutv1.Rollout) { r.FalseRollbackBudget = math.NaN() }, "false_rollback_budget is NaN"},
		{"a name twice", func(r *rolloutv1.Rollout) { r.Guardrails = append(r.Guardrails, errorRate()) }, "guardrails[1].name is 'errors'"},
		{"no metric", func(r *rolloutv1.Rollout) { r.Guardrails[0].Metric = "" }, "'errors': judge: bad rollout: metric is empty"},
		{"no statistic", func(r *rolloutv1.Rollout) { r.Guardrails[0].Statistic = 0 }, "statistic is STATISTIC_UNSPECIFIED"},
		{"a negative weight", func(r *rolloutv1.Rollout) { r.Guardrails[0].Weight = -1 }, "weights of the guardrails"},
		{"a negative margin", func(r *rolloutv1.Rollout) { r.Guardrails[0].Margin = relative(-0.1) }, "margin is relative -0.1"},
		{"a margin that is no number", func(r *rolloutv1.Rollout) { r.Guardrails[0].Margin = points(math.NaN()) }, "margin is NaN percentage points"},
		{"seconds of a rate", func(r *rolloutv1.Rollout) { r.Guardrails[0].Margin = absolute(0.1) }, "margin is absolute 0.1"},
		{"points of a mean", func(r *rolloutv1.Rollout) { r.Guardrails[0] = meanLatency(); r.Guardrails[0].Margin = points(1) }, "margin is 1 percentage points"},
		{"points of a quantile", func(r *rolloutv1.Rollout) { r.Guardrails[0] = tailLatency(); r.Guardrails[0].Margin = points(1) }, "margin is 1 percentage points"},
		{"all of what must not fall", func(r *rolloutv1.Rollout) {
			r.Guardrails[0].Worse, r.Guardrails[0].Margin = rolloutv1.Direction_DIRECTION_DECREASE, relative(1)
		}, "margin is relative 1"},
		{"a median", func(r *rolloutv1.Rollout) { r.Guardrails[0] = tailLatency(); r.Guardrails[0].Quantile = 0.5 }, "quantile is 0.5"},
		{"a ratio of nothing", func(r *rolloutv1.Rollout) { r.Guardrails[0].PromotionRatios = []float64{0} }, "promotion_ratios is [0]"},
		{"no reference", func(r *rolloutv1.Rollout) {
			r.Guardrails[0].Statistic = rolloutv1.Statistic_STATISTIC_F1
			r.Guardrails[0].Margin = nil
		}, "reference minus the margin is 0"},
		{"success without a metric", func(r *rolloutv1.Rollout) { r.Success = &rolloutv1.Success{} }, "success.metric is empty"},
		{"success of a quantile", func(r *rolloutv1.Rollout) {
			r.Success = &rolloutv1.Success{Metric: "m", Statistic: rolloutv1.Statistic_STATISTIC_QUANTILE}
		}, "success.statistic is STATISTIC_QUANTILE"},
		{"success without doubt", func(r *rolloutv1.Rollout) {
			r.Success = &rolloutv1.Success{Metric: "m", Statistic: rolloutv1.Statistic_STATISTIC_MEAN, Alpha: 0.6}
		}, "success.alpha is 0.6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := canary(errorRate())
			c.change(r)
			if _, err := Compile(r); !errors.Is(err, ErrRollout) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want '%s'", err, c.want)
			}
		})
	}
}
