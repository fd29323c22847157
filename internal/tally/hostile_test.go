package tally_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/eval"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/ddsketch"
	"github.com/tidegate/tidegate/internal/tally"
)

// What users call themselves does not cost a relay its batch: newLedger holds each to what
// the collector takes.
func TestHostileTexts(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(watched(), 5000)
	s.settle().cut()
	texts := []string{"line\nbreak", "\x00", "\u00a0", "\u200d", "\ufeffbom", "\xff", strings.Repeat("x", 65), tally.Other, "\u0085"}
	refused := 0
	for i, text := range texts {
		ctx := &eval.Context{TargetingKey: user(i), Attributes: eval.Map{"country": text}}
		r := s.snapshot.Eval().Evaluate("flag-r", ctx)
		s.tally.Exposed(&r, ctx)
		_, refusals := s.tally.Observe(&tally.Event{Context: ctx, Observations: []*telemetryv1.Observation{
			failed("errors"), outcome("fraud", &telemetryv1.Outcome{Prediction: &telemetryv1.Outcome_PredictedLabel{PredictedLabel: text}}),
		}}, s.now)
		refused += len(refusals)
		for _, x := range refusals {
			if !strings.Contains(x.GetMessage(), "predicted_label") {
				t.Errorf("%q: %s", text, x.GetMessage())
			}
		}
	}
	if refused != 5 {
		t.Errorf("%d labels were refused, want 5", refused)
	}
	l := newLedger(t).add(s.cut()...)
	var other uint64
	for _, arm := range []telemetryv1.Arm{inControl, inTreatment} {
		other += l.metric("r", 1, arm, "errors/"+tally.Other).GetExposures()
	}
	if other != 6 || l.emitted != uint64(len(texts)*3-refused) {
		t.Errorf("%d exposures of no country that can be told, %d emitted", other, l.emitted)
	}
}

// Numbers so small that their squares are nothing, and as large as they may be.
func TestExtremeNumbers(t *testing.T) {
	s := newSite(t, tally.Options{})
	r := watched()
	r.Unit = rolloutv1.Unit_UNIT_REQUEST
	s.begin(r, 5000)
	s.settle().cut()
	l := newLedger(t)
	for _, v := range []float64{2.6e-162, math.SmallestNonzeroFloat64, 1e20, -1e20, 0, math.Copysign(0, -1)} {
		for range 10 {
			if x := s.observe("u", number("cost", v), number("latency", v)); x != nil {
				t.Errorf("%v: %v", v, x)
			}
		}
		l.add(s.cut()...)
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1.1e20} {
		if x := s.observe("u", number("cost", v)); len(x) != 1 {
			t.Errorf("%v was taken", v)
		}
	}
	if l.emitted != 120 {
		t.Errorf("emitted %d", l.emitted)
	}
}

// What an SDK claims comes into no cell, and into no account, beyond what the collector takes: a
// stranger must not be able to have everything refused that this process counts.
func TestMergeBounds(t *testing.T) {
	claim := func(exposures, observations uint64) *telemetryv1.ReportRequest {
		return report(t, func(r *telemetryv1.ReportRequest) {
			r.Windows[0].Cells = []*telemetryv1.Cell{{
				Rollout: "r", Step: 1, Arm: inControl, Exposures: exposures,
				Metrics: []*telemetryv1.MetricCell{{Metric: "errors", Count: observations, Events: observations}},
			}}
			r.Tally.Counted = exposures + observations
		})
	}
	relay := newSite(t, tally.Options{})
	relay.begin(watched(), 5000)
	relay.settle().cut()
	l := newLedger(t)
	if err := relay.tally.Merge(claim(1<<36, 1), 0); !errors.Is(err, tally.ErrReport) {
		t.Errorf("a report of more than 2^36: %v", err)
	}
	if err := relay.tally.Merge(claim(1, 1), 1<<50); !errors.Is(err, tally.ErrReport) {
		t.Errorf("2^50 lost: %v", err)
	}
	var err error
	for n := 0; err == nil && n < 1000; n++ {
		err = relay.tally.Merge(claim(1<<35, 1<<35), 0)
		if n == 100 {
			l.add(relay.cut()...)
		}
	}
	if !errors.Is(err, tally.ErrFull) {
		t.Errorf("as much as one likes: %v", err)
	}
	relay.expose("flag-r", "u")
	l.add(relay.cut()...)
	if l.emitted > 1<<45+1 || l.counted == 0 || l.lost == 0 {
		t.Errorf("emitted %d, lost %d", l.emitted, l.lost)
	}
	x := &telemetryv1.Exposure{FlagKey: "flag-r", Variant: "on"}
	problem := relay.tally.Sum(x, "errors", relay.now, func(tally.Watched) (*telemetryv1.MetricCell, string) {
		return &telemetryv1.MetricCell{Metric: "errors", Count: 1 << 36, Events: 1 << 36}, ""
	})
	if !strings.Contains(problem, "2^45") {
		t.Errorf("an exporter has room: %q", problem)
	}
}

// A segment has no more than its cell.
func TestMergeSegments(t *testing.T) {
	for _, forge := range []func(m *telemetryv1.MetricCell, c *telemetryv1.Cell){
		func(m *telemetryv1.MetricCell, c *telemetryv1.Cell) { m.Exposures = c.GetExposures() + 1 },
		func(m *telemetryv1.MetricCell, c *telemetryv1.Cell) {
			m.Exposures, m.Subjects = c.GetExposures(), c.GetSubjects()+1
		},
		func(m *telemetryv1.MetricCell, _ *telemetryv1.Cell) { m.Segment = "c\n1" },
	} {
		relay := newSite(t, tally.Options{})
		relay.begin(watched(), 5000)
		r := report(t, func(r *telemetryv1.ReportRequest) {
			c := r.GetWindows()[0].GetCells()[0]
			for _, m := range c.GetMetrics() {
				if m.GetSegment() == "c1" {
					forge(m, c)
				}
			}
		})
		if err := relay.tally.Merge(r, 0); !errors.Is(err, tally.ErrReport) {
			t.Errorf("error %v", err)
		}
		newLedger(t).add(relay.cut()...)
	}
}

// Where there is memory for a part of a cell only, nothing of it is counted.
func TestMergeOutOfMemory(t *testing.T) {
	r := watched()
	r.Guardrails = append(r.Guardrails, &rolloutv1.Guardrail{Name: "both", Metric: "latency", Statistic: rolloutv1.Statistic_STATISTIC_DRIFT})
	var sketch ddsketch.Sketch
	sketch.AddN(1, 5)
	all := []*rolloutv1.Rollout{r}
	for i := range 1023 { // with the kibibyte that each takes, there is none left
		all = append(all, &rolloutv1.Rollout{Key: fmt.Sprint("filler", i), Guardrails: guardrails()[:1]})
	}
	losses := map[uint64]int{}
	for left := 0; left < 3<<10; left += 256 {
		relay := newSite(t, tally.Options{MemoryBytes: 1<<20 + left})
		relay.beginAll(all, 5000)
		relay.settle().cut()
		x := &telemetryv1.Exposure{FlagKey: "flag-r", Variant: "on"}
		problem := relay.tally.Sum(x, "latency", relay.now, func(tally.Watched) (*telemetryv1.MetricCell, string) {
			return &telemetryv1.MetricCell{
				Metric: "latency", Count: 5, Sum: 5, SumSquares: 5, Sketch: sketch.Proto(), Predictions: map[string]uint64{"true": 1},
			}, ""
		})
		if problem != "" {
			t.Fatal(problem)
		}
		relay.tally.Observe(&tally.Event{Exposure: x, Observations: []*telemetryv1.Observation{took("latency", time.Second)}}, relay.now)
		l := newLedger(t).add(relay.cut()...)
		losses[l.lost]++
	}
	if len(losses) < 3 { // nothing, all but the second one, both
		t.Errorf("lost, how often: %v", losses)
	}
}

// A process that slept, or whose clock was set, tells of an hour at most.
func TestLongWindows(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(watched(), 5000)
	l := newLedger(t)
	for _, step := range []time.Duration{time.Hour, 25 * time.Hour, -25 * time.Hour, 400 * 24 * time.Hour, 0} {
		s.expose("flag-r", "u")
		s.now = s.now.Add(step)
		l.add(s.tally.Flush(s.now)...)
		s.expose("flag-r", "u")
		l.add(s.cut()...)
	}
	if l.emitted != 10 {
		t.Errorf("emitted %d", l.emitted)
	}
}
