package judge

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

const (
	hold     = rolloutv1.Verdict_VERDICT_HOLD
	advance  = rolloutv1.Verdict_VERDICT_ADVANCE
	complete = rolloutv1.Verdict_VERDICT_COMPLETE
	rollback = rolloutv1.Verdict_VERDICT_ROLLBACK
	giveUp   = rolloutv1.Verdict_VERDICT_GIVE_UP
)

func relative(m float64) *rolloutv1.Margin {
	return &rolloutv1.Margin{Unit: &rolloutv1.Margin_Relative{Relative: m}}
}

func points(m float64) *rolloutv1.Margin {
	return &rolloutv1.Margin{Unit: &rolloutv1.Margin_PercentagePoints{PercentagePoints: m}}
}

func absolute(m float64) *rolloutv1.Margin {
	return &rolloutv1.Margin{Unit: &rolloutv1.Margin_Absolute{Absolute: m}}
}

func errorRate() *rolloutv1.Guardrail {
	return &rolloutv1.Guardrail{Name: "errors", Metric: "error", Statistic: rolloutv1.Statistic_STATISTIC_RATE, Margin: relative(0.05)}
}

func meanLatency() *rolloutv1.Guardrail {
	return &rolloutv1.Guardrail{Name: "latency", Metric: "latency", Statistic: rolloutv1.Statistic_STATISTIC_MEAN, Margin: &rolloutv1.Margin{Unit: &rolloutv1.Margin_Seconds{Seconds: 0.1}}}
}

func tailLatency() *rolloutv1.Guardrail {
	return &rolloutv1.Guardrail{Name: "p99", Metric: "latency", Statistic: rolloutv1.Statistic_STATISTIC_QUANTILE, Quantile: 0.99, Margin: relative(0.1)}
}

// canary is a rollout of 1, 5, 20, 50 and 100%, ten seconds each at least.
func canary(guards ...*rolloutv1.Guardrail) *rolloutv1.Rollout {
	r := &rolloutv1.Rollout{Key: "r", Holdback: new(uint32(200)), Strategy: rolloutv1.Strategy_STRATEGY_CANARY, Guardrails: guards}
	for _, w := range []uint32{100, 500, 2000, 5000, 10_000} {
		r.Stages = append(r.Stages, &rolloutv1.Stage{Weight: w, MinDwell: durationpb.New(10 * time.Second)})
	}
	return r
}

// at has the rollout run at a stage.
func at(r *rolloutv1.Rollout, stage int) *rolloutv1.Rollout {
	r.Status = &rolloutv1.Status{State: rolloutv1.State_STATE_RUNNING, StartedAt: timestamppb.New(epoch), Relays: 1}
	enter(r, stage, min(r.GetStages()[stage].GetWeight(), 10_000-r.GetHoldback()), epoch)
	return r
}

func enter(r *rolloutv1.Rollout, stage int, weight uint32, now time.Time) {
	s := r.GetStatus()
	s.Stage, s.Weight = uint32(stage), weight
	s.Step++
	s.Steps = append(s.Steps, &rolloutv1.Step{Step: s.Step, Weight: weight, BeganAt: timestamppb.New(now)})
}

var epoch = time.Unix(1_800_000_000, 0)

// rig judges a rollout second by second.
type rig struct {
	t         *testing.T
	rollout   *rolloutv1.Rollout
	plan      *Plan
	state     *State
	now       time.Time
	situation *rolloutv1.Situation
	policy    Policy
}

func newRig(t *testing.T, r *rolloutv1.Rollout) *rig {
	t.Helper()
	plan, err := Compile(r)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{
		t: t, rollout: r, plan: plan, state: plan.NewState(), now: epoch, policy: GatedDwell{},
		situation: &rolloutv1.Situation{FlagReady: true, Relays: 10, RelaysApplied: 10, RelaysFresh: 10},
	}
}

// tick lets a second pass, and judges what was counted in it.
func (r *rig) tick(windows ...*telemetryv1.Window) Outcome {
	r.now = r.now.Add(time.Second)
	r.situation.Now = timestamppb.New(r.now)
	return r.state.Judge(r.rollout.GetStatus(), windows, r.situation, r.policy)
}

// window makes a window of this second and step.
func (r *rig) window(t, c *telemetryv1.Cell) *telemetryv1.Window {
	return windowAt(r.now, r.rollout.GetStatus().GetStep(), t, c)
}

func windowAt(at time.Time, step uint64, t, c *telemetryv1.Cell) *telemetryv1.Window {
	t.Arm, c.Arm = telemetryv1.Arm_ARM_TREATMENT, telemetryv1.Arm_ARM_CONTROL
	w := &telemetryv1.Window{BeganAt: timestamppb.New(at), Length: durationpb.New(time.Second)}
	for _, x := range []*telemetryv1.Cell{t, c} {
		x.Rollout, x.Step = "r", step
		w.Cells = append(w.Cells, x)
	}
	return w
}

// cell is an arm's second: n subjects, each exposed once and new.
func cellOf(n uint64, metrics ...*telemetryv1.MetricCell) *telemetryv1.Cell {
	return &telemetryv1.Cell{Exposures: n, Subjects: n, NewSubjects: n, Metrics: metrics}
}

func errorsOf(n uint64) *telemetryv1.MetricCell {
	return &telemetryv1.MetricCell{Metric: "error", Count: n, Events: n}
}

// world draws what happens.
type world struct{ *rand.Rand }

func newWorld(seed uint64) world { return world{rand.New(rand.NewPCG(seed, 1))} }

func (w world) binomial(n uint64, p float64) uint64 {
	k := uint64(0)
	for range n {
		if w.Float64() < p {
			k++
		}
	}
	return k
}

// arm draws a second of an arm: errors, latencies (exponential), mispredictions.
func (w world) arm(n uint64, errorRate, latency, wrong float64) *telemetryv1.Cell {
	sketch := &telemetryv1.Sketch{Offset: -400, Bins: make([]uint64, 800)}
	sum, squares := 0.0, 0.0
	for range n {
		v := latency * w.ExpFloat64()
		sum += v
		squares += v * v
		sketch.Bins[min(max(int(math.Ceil(math.Log(v)/math.Log(gamma)))+400, 0), 799)]++
	}
	return cellOf(n, errorsOf(w.binomial(n, errorRate)),
		&telemetryv1.MetricCell{Metric: "latency", Count: n, Sum: sum, SumSquares: squares, Sketch: sketch},
		&telemetryv1.MetricCell{Metric: "outcome", Count: n, Events: w.binomial(n, wrong)})
}

// apply carries out an outcome, as the decider does.
func (r *rig) apply(out Outcome) {
	if out.Verdict == advance {
		enter(r.rollout, out.Stage, out.Weight, r.now)
	}
}

// inputs are those of the next tick.
func (r *rig) inputs(windows ...*telemetryv1.Window) *rolloutv1.Inputs {
	r.now = r.now.Add(time.Second)
	r.situation.Now = timestamppb.New(r.now)
	return r.plan.Inputs(proto.CloneOf(r.rollout), r.state.Evidence(), windows, proto.CloneOf(r.situation))
}
