package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/judge"
)

// shutDecision is one that shuts a rollout whose treatment fails.
func shutDecision(t *testing.T) *rolloutv1.Decision {
	t.Helper()
	began := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	r := &rolloutv1.Rollout{
		Key: "r", Holdback: new(uint32(200)), Stages: []*rolloutv1.Stage{
			{Weight: 500, MinDwell: durationpb.New(time.Minute)}, {Weight: 10_000, MinDwell: durationpb.New(time.Minute)},
		},
		Guardrails: []*rolloutv1.Guardrail{{
			Name: "errors", Metric: "errors", Statistic: rolloutv1.Statistic_STATISTIC_RATE,
			Margin: &rolloutv1.Margin{Unit: &rolloutv1.Margin_Relative{Relative: 0.05}},
		}},
		Status: &rolloutv1.Status{
			State: rolloutv1.State_STATE_RUNNING, Weight: 500, Step: 1, StartedAt: timestamppb.New(began),
			Steps: []*rolloutv1.Step{{Step: 1, Weight: 500, BeganAt: timestamppb.New(began)}},
		},
	}
	cell := func(arm telemetryv1.Arm, n, bad uint64) *telemetryv1.Cell {
		return &telemetryv1.Cell{
			Rollout: "r", Step: 1, Arm: arm, Exposures: n, Subjects: n, NewSubjects: n,
			Metrics: []*telemetryv1.MetricCell{{Metric: "errors", Count: bad, Events: bad}},
		}
	}
	plan, err := judge.Compile(r)
	if err != nil {
		t.Fatal(err)
	}
	windows := []*telemetryv1.Window{{
		BeganAt: timestamppb.New(began), Length: durationpb.New(time.Second),
		Cells: []*telemetryv1.Cell{cell(telemetryv1.Arm_ARM_TREATMENT, 100, 30), cell(telemetryv1.Arm_ARM_CONTROL, 1900, 19)},
	}}
	j, err := plan.Judge(plan.Inputs(r, nil, windows, &rolloutv1.Situation{Now: timestamppb.New(began.Add(time.Second)), FlagReady: true, Relays: 3}), judge.GatedDwell{})
	if err != nil {
		t.Fatal(err)
	}
	d := j.Decision()
	d.Environment, d.Number, d.Decider, d.Revision = "production", 1, "control-1", 42
	return d
}

// A decision is told in words and in figures.
func TestExplainDecision(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := &client{clientOptions: newClientOptions()}
	c.writeDecision(&out, shutDecision(t))
	for _, part := range []string{
		"decision 1: rollback, 5% -> 0%", "the limit is 1.05x", "decided", "by control-1", "policy", "3 relays, 0 at the step, 0 fresh",
		"GUARDRAIL", "breach", "30 of 100 exposures", "19 of 1900 exposures", "5% of 2000 subjects were treated, 5% should be", "2e+03 exposures a second",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is not in\n%s", part, out.String())
		}
	}
}

// A replay says that a decision follows from its inputs, or what does not.
func TestReplayDecision(t *testing.T) {
	t.Parallel()
	d := shutDecision(t)
	var out bytes.Buffer
	c := &client{streams: &streams{out: &out}}
	if err := c.replay(d); err != nil || !strings.Contains(out.String(), "decision 1 of r: identical") {
		t.Errorf("%q, %v", out.String(), err)
	}
	forged := proto.CloneOf(d)
	forged.Assessment.Guardrails[0].Counts.TreatmentEvents--
	if err := c.replay(forged); err == nil || !strings.Contains(err.Error(), "decision 1 of r") || !strings.Contains(err.Error(), "assessment") {
		t.Errorf("a forged figure: %v", err)
	}
}

// A flag that is off serves nothing of its rollout, whatever the rollout's weight.
func TestStatusOfAFlagThatIsOff(t *testing.T) {
	t.Parallel()
	r := &rolloutv1.Rollout{
		Key: "r", FlagKey: "new-checkout", Treatment: "on", Stages: []*rolloutv1.Stage{{Weight: 2000}},
		Status: &rolloutv1.Status{State: rolloutv1.State_STATE_RUNNING, Weight: 2000},
	}
	c := &client{clientOptions: newClientOptions()}
	off := &rolloutv1.Assessment{Waits: []*rolloutv1.Wait{{Reason: "flag", Message: "the flag is off"}}}
	for want, a := range map[string]*rolloutv1.Assessment{
		`r is running: new-checkout serves "on" to 20%, at stage 1 of 1`:                              nil,
		`r is running, but the flag is off: new-checkout does not serve "on" to 20%, at stage 1 of 1`: off,
	} {
		var out bytes.Buffer
		c.writeRollout(&out, &controlv1.RolloutVersion{Rollout: r, Revision: 7}, a)
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	d := shutDecision(t)
	d.Inputs.Situation.FlagReady, d.Inputs.Situation.FlagDisabled = false, true
	var out bytes.Buffer
	c.writeDecision(&out, d)
	if strings.Contains(out.String(), "exposures a second") || !strings.Contains(out.String(), "the flag was off") {
		t.Errorf("of a flag that was off:\n%s", out.String())
	}
}
