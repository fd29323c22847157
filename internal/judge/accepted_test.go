package judge_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/judge"
	"github.com/tidegate/tidegate/internal/rollout"
)

// wild draws rollouts as nobody would write them, mostly of values at the edge of what may be.
type wild struct{ *rand.Rand }

func pick[T any](w wild, of ...T) T { return of[w.IntN(len(of))] }

func (w wild) number() float64 {
	return pick(w, 0, 5e-324, 1e-300, 1e-9, 0.001, 0.05, 0.2, 0.5, 0.75, 0.99, 0.999, 1-1e-16, 1, 1.05, 2, 10, 99, 100, 1000, 1e9, 1e12, 1e15, -1, math.NaN(), math.Inf(1))
}

func (w wild) enum(n int) int32 { return int32(w.IntN(n + 1)) }

func (w wild) duration() *durationpb.Duration {
	if w.IntN(8) > 0 {
		return pick(w, nil, nil, durationpb.New(time.Second), durationpb.New(time.Minute), durationpb.New(30*24*time.Hour))
	}
	return pick(w, durationpb.New(-1), &durationpb.Duration{Seconds: math.MaxInt64})
}

func (w wild) guardrail() *rolloutv1.Guardrail {
	g := &rolloutv1.Guardrail{
		Name: pick(w, "a", "b", "c", "d"), Metric: pick(w, "", "m", "é"), Statistic: rolloutv1.Statistic(1 + w.enum(7)),
		Worse: rolloutv1.Direction(pick(w, 0, 0, w.enum(2))), Action: rolloutv1.Action(pick(w, 0, 0, w.enum(2))), Denominator: rolloutv1.Denominator(pick(w, 0, 0, w.enum(2))),
		SegmentBy: pick(w, "", "", "country"), Weight: pick(w, 0, w.number()),
	}
	switch w.IntN(4) {
	case 0:
		g.Margin = &rolloutv1.Margin{Unit: &rolloutv1.Margin_Relative{Relative: w.number()}}
	case 1:
		g.Margin = &rolloutv1.Margin{Unit: &rolloutv1.Margin_PercentagePoints{PercentagePoints: w.number()}}
	case 2:
		g.Margin = &rolloutv1.Margin{Unit: &rolloutv1.Margin_Absolute{Absolute: w.number()}}
	}
	switch g.GetStatistic() {
	case rolloutv1.Statistic_STATISTIC_QUANTILE:
		g.Quantile = pick(w, 0.95, 0.999, 1-1e-16, w.number())
	case rolloutv1.Statistic_STATISTIC_F1:
		g.Reference = pick(w, 1e-9, 0.5, 1, w.number())
		g.Margin = &rolloutv1.Margin{Unit: &rolloutv1.Margin_Absolute{Absolute: pick(w, 0, 0.1, w.number())}}
	}
	for range pick(w, 0, 0, 0, 0, 1, 3) {
		g.PromotionRatios = append(g.PromotionRatios, w.number())
	}
	return g
}

func (w wild) rollout() *rolloutv1.Rollout {
	r := &rolloutv1.Rollout{
		Key: "r", FlagKey: "f", Treatment: "on", Strategy: rolloutv1.Strategy(pick(w, 1, 1, w.enum(5))), Unit: rolloutv1.Unit(w.enum(2)),
		FalseRollbackBudget: pick(w, 0, w.number()), Bake: w.duration(),
	}
	for range pick(w, 0, 0, 0, 0, 1, 2, 5, 33) {
		r.Stages = append(r.Stages, &rolloutv1.Stage{Weight: pick(w, uint32(len(r.GetStages())), 10_000, 5000, 1+uint32(len(r.GetStages()))*300), MinDwell: w.duration(), Manual: w.IntN(2) == 0})
	}
	if w.IntN(2) == 0 {
		r.Holdback = new(pick(w, uint32(0), 1, 200, 2000, 2001))
	}
	for range pick(w, 1, 1, 1, 1, 1, 2, 3) {
		r.Guardrails = append(r.Guardrails, w.guardrail())
	}
	if w.IntN(4) == 0 {
		r.Success = &rolloutv1.Success{
			Metric: "s", Statistic: rolloutv1.Statistic(pick(w, 1, 2, w.enum(8))), Better: rolloutv1.Direction(w.enum(2)),
			Alpha: pick(w, 0, w.number()), RelevantDifference: pick(w, 0, w.number()), GiveUpAfter: pick(w, nil, w.duration()),
		}
	}
	return r
}

// TestWhatIsAcceptedIsJudged: a rollout that may be started can be judged. One that could not be
// would widen by hand alone, and nothing would shut it.
func TestWhatIsAcceptedIsJudged(t *testing.T) {
	t.Parallel()
	w := wild{rand.New(rand.NewPCG(5, 1))}
	accepted := make(map[rolloutv1.Statistic]int)
	for range 40_000 {
		r := w.rollout()
		if len(rollout.Check(r)) > 0 {
			continue
		}
		for _, g := range r.GetGuardrails() {
			accepted[g.GetStatistic()]++
		}
		if _, err := judge.Compile(rollout.Complete(r)); err != nil {
			t.Fatalf("accepted, and cannot be judged: %v\n%v", err, r)
		}
	}
	for s := range rolloutv1.Statistic_name {
		if s != 0 && accepted[rolloutv1.Statistic(s)] < 20 {
			t.Errorf("%d of %s were accepted: too few to say", accepted[rolloutv1.Statistic(s)], rolloutv1.Statistic(s))
		}
	}
}
