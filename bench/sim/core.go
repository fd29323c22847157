package main

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/judge"
)

// state is what became of a rollout.
type state int

const (
	running state = iota
	rolledBack
	completed
)

// controller is a way to decide on a rollout.
type controller interface {
	// observe takes in what happened in second t, at the weight that was in force, and returns
	// the weight from the next on.
	observe(t int, arms *[2]arm) (weight uint32, s state)
}

// latency of a decision: what happened in a second is judged lag seconds after it is over.
const lag = 1

// rolloutSpec is the rollout that the core decides on: the preset 'canary', four guardrails.
func rolloutSpec(dwell time.Duration) *rolloutv1.Rollout {
	r := &rolloutv1.Rollout{
		Key: "sim", Holdback: new(uint32(200)), Unit: rolloutv1.Unit_UNIT_SUBJECT, Strategy: rolloutv1.Strategy_STRATEGY_CANARY,
		Guardrails: []*rolloutv1.Guardrail{
			{
				Name: "errors", Metric: "error", Statistic: rolloutv1.Statistic_STATISTIC_RATE, Weight: 4,
				Margin: &rolloutv1.Margin{Unit: &rolloutv1.Margin_Relative{Relative: 0.05}},
			},
			{
				Name: "p99", Metric: "latency", Statistic: rolloutv1.Statistic_STATISTIC_QUANTILE, Weight: 2, Quantile: 0.99,
				Margin: &rolloutv1.Margin{Unit: &rolloutv1.Margin_Relative{Relative: 0.1}},
			},
			{
				Name: "latency", Metric: "latency", Statistic: rolloutv1.Statistic_STATISTIC_MEAN, Weight: 2,
				Margin: &rolloutv1.Margin{Unit: &rolloutv1.Margin_Absolute{Absolute: 0.1}},
			},
			{
				Name: "accuracy", Metric: "outcome", Statistic: rolloutv1.Statistic_STATISTIC_MISPREDICTION, Weight: 1,
				Margin: &rolloutv1.Margin{Unit: &rolloutv1.Margin_Relative{Relative: 0.05}},
			},
		},
	}
	for _, w := range weights {
		r.Stages = append(r.Stages, &rolloutv1.Stage{Weight: w, MinDwell: durationpb.New(dwell)})
	}
	return r
}

var weights = []uint32{100, 500, 2000, 5000, 10_000}

// core is the real judge with a real policy.
type core struct {
	plan    *judge.Plan
	state   *judge.State
	policy  judge.Policy
	status  *rolloutv1.Status
	length  int    // of a window, s
	sent    [2]arm // adds up until the window is over
	waiting []*telemetryv1.Window
	begin   time.Time
	// why is what rolled back.
	why string
	out judge.Outcome
}

func newCore(length int, dwell time.Duration, policy judge.Policy) (*core, error) {
	plan, err := judge.Compile(rolloutSpec(dwell))
	if err != nil {
		return nil, err
	}
	c := &core{plan: plan, state: plan.NewState(), policy: policy, length: length, begin: time.Unix(1_700_000_000, 0)}
	c.status = &rolloutv1.Status{
		State: rolloutv1.State_STATE_RUNNING, Relays: 1, StartedAt: timestamppb.New(c.begin),
	}
	c.enter(0, 0, weights[0])
	return c, nil
}

func (c *core) at(t int) time.Time { return c.begin.Add(time.Duration(t) * time.Second) }

func (c *core) enter(t, stage int, weight uint32) {
	c.status.Stage, c.status.Weight = uint32(stage), weight
	c.status.Step++
	c.status.Steps = append(c.status.Steps, &rolloutv1.Step{Step: c.status.Step, Weight: weight, BeganAt: timestamppb.New(c.at(t))})
}

func (c *core) observe(t int, arms *[2]arm) (uint32, state) {
	c.add(arms)
	var arrived []*telemetryv1.Window
	if (t+1)%c.length == 0 {
		c.waiting = append(c.waiting, c.close(t))
	} else if c.length == 1 {
		c.waiting = append(c.waiting, nil)
	}
	if len(c.waiting) > lag || c.length > 1 && len(c.waiting) > 0 && (t+1-lag)%c.length == 0 {
		arrived, c.waiting = c.waiting[:1:1], c.waiting[1:]
	}
	now := c.at(t + 1)
	c.out = c.state.Judge(c.status, arrived, &rolloutv1.Situation{
		Now: timestamppb.New(now), FlagReady: true, Relays: 1, RelaysApplied: 1, RelaysFresh: 1,
	}, c.policy)
	switch c.out.Verdict {
	case rolloutv1.Verdict_VERDICT_ROLLBACK:
		c.why = string(c.out.Reason)
		if c.out.Guard >= 0 {
			c.why = rolloutSpec(time.Second).GetGuardrails()[c.out.Guard].GetName()
		}
		return 0, rolledBack
	case rolloutv1.Verdict_VERDICT_COMPLETE:
		return c.status.Weight, completed
	case rolloutv1.Verdict_VERDICT_ADVANCE:
		// A window that is not over is cut when the step ends.
		if (t+1)%c.length != 0 {
			c.waiting = append(c.waiting, c.close(t))
		}
		c.enter(t+1, c.out.Stage, c.out.Weight)
	}
	return c.status.Weight, running
}

func (c *core) add(arms *[2]arm) {
	for i := range arms {
		a, b := &c.sent[i], &arms[i]
		a.exposures += b.exposures
		a.newUsers += b.newUsers
		a.errors += b.errors
		a.wrong += b.wrong
		a.sum += b.sum
		a.sumSquares += b.sumSquares
		for j, n := range &b.latency {
			a.latency[j] += n
		}
	}
}

// close makes a window of what was added up, as relays would.
func (c *core) close(t int) *telemetryv1.Window {
	w := &telemetryv1.Window{BeganAt: timestamppb.New(c.at(t + 1 - c.length)), Length: durationpb.New(time.Duration(c.length) * time.Second)}
	for i, name := range [...]telemetryv1.Arm{treatment: telemetryv1.Arm_ARM_TREATMENT, control: telemetryv1.Arm_ARM_CONTROL} {
		a := &c.sent[i]
		w.Cells = append(w.Cells, &telemetryv1.Cell{
			Rollout: "sim", Step: c.status.Step, Arm: name,
			Exposures: uint64(a.exposures), Subjects: uint64(a.exposures), NewSubjects: uint64(a.newUsers),
			Metrics: []*telemetryv1.MetricCell{
				{Metric: "error", Count: uint64(a.errors), Events: uint64(a.errors)},
				{
					Metric: "latency", Count: uint64(a.exposures), Sum: a.sum, SumSquares: a.sumSquares,
					Sketch: sketch(&a.latency),
				},
				{Metric: "outcome", Count: uint64(a.exposures), Events: uint64(a.wrong)},
			},
		})
		*a = arm{}
	}
	return w
}

func sketch(latency *[bins]uint64) *telemetryv1.Sketch {
	lo, hi := 0, bins
	for lo < hi && latency[lo] == 0 {
		lo++
	}
	for hi > lo && latency[hi-1] == 0 {
		hi--
	}
	return &telemetryv1.Sketch{Offset: int32(firstBin + lo), Bins: append([]uint64(nil), latency[lo:hi]...)}
}
