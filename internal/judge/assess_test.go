package judge

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// TestHeadlines: what people read, in the situations that there are.
func TestHeadlines(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	show := func(name string, r *rig, seconds int, telemetry func() *telemetryv1.Window) {
		for range seconds - 1 {
			r.apply(r.tick(telemetry()))
		}
		j, err := r.plan.Judge(r.inputs(telemetry()), GatedDwell{})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "# %s\n%s\n", name, j.Assessment().GetHeadline())
		for _, w := range j.Assessment().GetWaits() {
			fmt.Fprintf(&out, "- %s %s: %s; %v\n", w.GetReason(), w.GetGuardrail(), w.GetMessage(), w.GetUntil().AsDuration())
		}
		out.WriteString("\n")
	}
	steady := func(r *rig, t, c uint64) func() *telemetryv1.Window {
		return func() *telemetryv1.Window { return r.window(cellOf(1000, errorsOf(t)), cellOf(19_000, errorsOf(c))) }
	}
	r := newRig(t, at(canary(errorRate()), 1))
	show("nothing yet", r, 1, func() *telemetryv1.Window { return r.window(&telemetryv1.Cell{}, &telemetryv1.Cell{}) })
	r = newRig(t, at(canary(errorRate()), 1))
	show("dwell", r, 5, steady(r, 10, 190))
	r = newRig(t, at(canary(errorRate()), 1))
	show("advance", r, 10, steady(r, 10, 190))
	r = newRig(t, at(canary(errorRate()), 1))
	few := func() *telemetryv1.Window {
		n := uint64(r.now.Second())
		return r.window(cellOf(10, errorsOf(n%10/9)), cellOf(190, errorsOf(2)))
	}
	show("gate", r, 30, few)
	slow := canary(errorRate())
	slow.Stages[1].MinDwell = durationpb.New(10 * time.Minute)
	r = newRig(t, at(slow, 1))
	show("a gate that takes less than the stage", r, 30, few)
	tight := errorRate()
	tight.Name, tight.PromotionRatios = "few errors", []float64{5, 1.5}
	r = newRig(t, at(canary(errorRate(), tight), 1))
	show("two gates", r, 30, few)
	r = newRig(t, at(canary(errorRate()), 1))
	r.situation.Relays, r.situation.RelaysApplied, r.situation.RelaysFresh = 5, 4, 5
	show("one of five relays", r, 10, steady(r, 10, 190))
	r = newRig(t, at(canary(errorRate()), 1))
	show("rollback", r, 1, func() *telemetryv1.Window { return r.window(cellOf(261, errorsOf(23)), cellOf(4969, errorsOf(50))) })
	r = newRig(t, at(canary(errorRate()), 1))
	show("the control has none", r, 3, func() *telemetryv1.Window { return r.window(cellOf(10, errorsOf(8)), cellOf(190)) })
	r = newRig(t, at(canary(errorRate()), 1))
	r.situation.Relays, r.situation.RelaysApplied, r.situation.RelaysFresh = 0, 0, 0
	show("no relays", r, 10, steady(r, 10, 190))
	r = newRig(t, at(canary(errorRate(), meanLatency()), 1))
	show("no latency", r, 20, steady(r, 10, 190))
	d := newWorld(3)
	r = newRig(t, at(canary(meanLatency(), tailLatency()), 1))
	show("latency", r, 12, func() *telemetryv1.Window { return r.window(d.arm(20, 0, 0.12, 0), d.arm(380, 0, 0.1, 0)) })
	r = newRig(t, at(canary(meanLatency()), 1))
	show("slow", r, 12, func() *telemetryv1.Window { return r.window(d.arm(100, 0, 0.5, 0), d.arm(1900, 0, 0.1, 0)) })
	pp := errorRate()
	pp.Margin = points(2)
	r = newRig(t, at(canary(pp), 1))
	show("percentage points", r, 8, steady(r, 12, 190))
	r = newRig(t, at(canary(errorRate()), 3))
	show("a lack of subjects", r, 30, func() *telemetryv1.Window { return r.window(cellOf(70), cellOf(100)) })
	r = newRig(t, at(canary(errorRate()), 1))
	r.situation.RelaysApplied, r.situation.RelaysFresh, r.situation.FlagReady = 7, 3, false
	r.rollout.Status.State = rolloutv1.State_STATE_PAUSED
	show("everything at once", r, 10, steady(r, 10, 190))
	r = newRig(t, at(canary(errorRate()), 1))
	r.situation.FlagReady, r.situation.FlagDisabled = false, true
	show("a flag that is off", r, 10, steady(r, 10, 190))
	golden(t, "testdata/headlines.txt", out.String())
}

// TestRatesStayRates: the bounds of a difference of rates are those of rates, however few events
// there are; and what is decided is not waited for.
func TestRatesStayRates(t *testing.T) {
	t.Parallel()
	g := errorRate()
	g.Margin = points(1)
	r := newRig(t, at(canary(g), 0))
	j, err := r.plan.Judge(r.inputs(r.window(cellOf(16, errorsOf(12)), cellOf(1456, errorsOf(1)))), GatedDwell{})
	if err != nil {
		t.Fatal(err)
	}
	a := j.Assessment()
	x := a.GetGuardrails()[0]
	if x.Upper == nil || x.GetUpper() > 1 || x.GetEstimate() > x.GetUpper() || x.GetLower() < -1 {
		t.Errorf("%v (%v to %v)", x.GetEstimate(), x.Lower, x.GetUpper())
	}
	if j.Verdict != rollback || a.GetUntil() != nil {
		t.Errorf("%v, and is waited for: %v", j.Verdict, a.GetUntil())
	}
}

// TestAssessment: all figures of a rollout with every kind of guardrail.
func TestAssessment(t *testing.T) {
	t.Parallel()
	d := newWorld(8)
	r := newRig(t, at(everything(), 2))
	for range 30 {
		r.tick(r.window(d.everyMetric(100), d.everyMetric(400)))
	}
	j, err := r.plan.Judge(r.inputs(r.window(d.everyMetric(100), d.everyMetric(400))), GatedDwell{})
	if err != nil {
		t.Fatal(err)
	}
	a := j.Assessment()
	for _, g := range a.GetGuardrails() {
		if g.GetStanding() == rolloutv1.Standing_STANDING_UNSPECIFIED || g.GetStanding() == rolloutv1.Standing_STANDING_NO_DATA {
			t.Errorf("%s is %v", g.GetName(), g.GetStanding())
		}
		if g.Lower != nil && g.Upper != nil && !(g.GetLower() <= g.GetEstimate() && g.GetEstimate() <= g.GetUpper()) {
			t.Errorf("%s: %v is not from %v to %v", g.GetName(), g.GetEstimate(), g.GetLower(), g.GetUpper())
		}
	}
	if size := len(bytesOf(t, a)); size > 8<<10 {
		t.Errorf("the assessment of ten guardrails is %d bytes", size)
	}
	if b, err := (protojson.MarshalOptions{}).Marshal(a); err != nil {
		t.Errorf("%v: %s", err, b)
	}
}

// TestEventsToBreach: so many events are a breach, and one fewer is none.
func TestEventsToBreach(t *testing.T) {
	t.Parallel()
	build := func() *rig {
		r := newRig(t, at(canary(errorRate()), 1))
		for range 20 {
			r.tick(r.window(cellOf(10), cellOf(190, errorsOf(2))))
		}
		return r
	}
	j, err := build().plan.Judge(build().inputs(), GatedDwell{})
	if err != nil {
		t.Fatal(err)
	}
	n := j.Assessment().GetGuardrails()[0].GetEventsToBreach()
	if n < 2 {
		t.Fatalf("%d events", n)
	}
	for events, want := range map[uint64]rolloutv1.Verdict{n: rollback, n - 1: hold} {
		r := build()
		if out := r.tick(r.window(cellOf(10, errorsOf(events)), cellOf(190, errorsOf(2)))); out.Verdict != want {
			t.Errorf("%d events of %d: %v", events, n, out)
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s, got:\n%s", file, got)
	}
}
