package tally_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/eval"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/batchcheck"
	"github.com/tidegate/tidegate/internal/tally"
)

// watched is a rollout with a guardrail of each kind, one of them by segments.
func watched() *rolloutv1.Rollout {
	g := guardrails()
	g[0].SegmentBy = "country"
	return &rolloutv1.Rollout{Key: "r", Guardrails: g}
}

// report is what an SDK counted in a second.
func report(t testing.TB, mutate func(r *telemetryv1.ReportRequest)) *telemetryv1.ReportRequest {
	sdk := newSite(t, tally.Options{})
	sdk.begin(watched(), 5000)
	sdk.settle().cut()
	traffic(sdk, 200)
	b := sdk.cut()[0]
	r := &telemetryv1.ReportRequest{Environment: "production", Windows: b.GetWindows(), Tally: b.GetTally()}
	if mutate != nil {
		mutate(r)
	}
	return r
}

// traffic is exposures and observations of some users.
func traffic(s *site, users int) {
	random := rand.New(rand.NewPCG(8, uint64(users)))
	for i := range users {
		ctx := &eval.Context{TargetingKey: user(i), Attributes: eval.Map{"country": fmt.Sprint("c", i%3)}}
		r := s.snapshot.Eval().Evaluate("flag-r", ctx)
		s.tally.Exposed(&r, ctx)
		s.tally.Exposed(&r, ctx)
		observations := []*telemetryv1.Observation{
			number("cost", random.NormFloat64()), took("latency", time.Duration(random.ExpFloat64()*1e9)),
			outcome("fraud", &telemetryv1.Outcome{
				Prediction: &telemetryv1.Outcome_PredictedScore{PredictedScore: random.Float64()},
				Actual:     &telemetryv1.Outcome_ActualPositive{ActualPositive: random.IntN(2) == 0},
			}),
		}
		if i%10 == 0 {
			observations = append(observations, failed("errors"))
		}
		s.tally.Observe(&tally.Event{Context: ctx, Observations: observations}, s.now)
	}
}

// What an SDK counted comes out as it went in.
func TestMerge(t *testing.T) {
	r := report(t, nil)
	relay := newSite(t, tally.Options{})
	relay.begin(watched(), 5000)
	for range 2 {
		relay.must(relay.tally.Merge(r, 3))
	}
	batches := relay.cut()
	got := newLedger(t).add(batches...)
	want := newLedger(t).add(&telemetryv1.Batch{Environment: "production", Windows: r.GetWindows(), Tally: r.GetTally()})
	if got.counted != 2*want.counted || got.lost != 6 {
		t.Errorf("counted %d, lost %d; want %d and 6", got.counted, got.lost, 2*want.counted)
	}
	for at, c := range want.cells {
		c.Exposures, c.Subjects, c.NewSubjects = 2*c.GetExposures(), 2*c.GetSubjects(), 2*c.GetNewSubjects()
		if !proto.Equal(got.cells[at], c) {
			t.Errorf("%v: %v, want %v", at, got.cells[at], c)
		}
		for name, m := range want.metrics[at] {
			n := got.metrics[at][name]
			if n.GetCount() != 2*m.GetCount() || n.GetEvents() != 2*m.GetEvents() || math.Abs(n.GetSum()-2*m.GetSum()) > 1e-9 ||
				n.GetExposures() != 2*m.GetExposures() || n.GetSubjects() != 2*m.GetSubjects() ||
				n.GetConfusion().GetTruePositives() != 2*m.GetConfusion().GetTruePositives() || len(n.GetPredictions()) != len(m.GetPredictions()) {
				t.Errorf("%v %s: %v, want twice %v", at, name, n, m)
			}
		}
	}
	// The sketches, too.
	sketch := func(windows []*telemetryv1.Window) (n uint64) {
		for _, c := range windows[0].GetCells() {
			for _, m := range c.GetMetrics() {
				for _, b := range m.GetSketch().GetBins() {
					n += b
				}
			}
		}
		return n
	}
	if a, b := sketch(batches[0].GetWindows()), sketch(r.GetWindows()); a != 2*b || b == 0 {
		t.Errorf("sketches count %d, want twice %d", a, b)
	}
}

// Each who counts subjects at their first exposure says so once a step: the relay itself, and
// every SDK that reports to it.
func TestCountersAreTold(t *testing.T) {
	relay := newSite(t, tally.Options{})
	relay.begin(watched(), 5000)
	counters := func(what string, want uint64) {
		t.Helper()
		cells := 0
		for _, b := range relay.settle().cut() {
			for _, w := range b.GetWindows() {
				for _, c := range w.GetCells() {
					if cells++; c.GetNewCounters() != want {
						t.Errorf("%s: %d began to count in %s, want %d", what, c.GetNewCounters(), c.GetArm(), want)
					}
				}
			}
		}
		if cells != 2 {
			t.Errorf("%s: %d cells, want both arms", what, cells)
		}
	}
	traffic(relay, 100)
	relay.must(relay.tally.Merge(report(t, nil), 0))
	relay.must(relay.tally.Merge(report(t, nil), 0))
	counters("the relay and two SDKs", 3)
	traffic(relay, 200)
	counters("the relay goes on", 0)
	relay.widen("r", 7000)
	traffic(relay, 200)
	counters("the next step", 1)
}

// A report that cannot be is refused whole.
func TestMergeRefuses(t *testing.T) {
	cell := func(f func(*telemetryv1.Cell)) func(*telemetryv1.ReportRequest) {
		return func(r *telemetryv1.ReportRequest) { f(r.GetWindows()[0].GetCells()[1]) }
	}
	metric := func(name string, f func(*telemetryv1.MetricCell)) func(*telemetryv1.ReportRequest) {
		return cell(func(c *telemetryv1.Cell) {
			for _, m := range c.GetMetrics() {
				if m.GetMetric() == name && m.GetSegment() == "" {
					f(m)
					return
				}
			}
			t.Fatalf("no metric %s", name)
		})
	}
	for name, mutate := range map[string]func(*telemetryv1.ReportRequest){
		"counted":          func(r *telemetryv1.ReportRequest) { r.Tally.Counted++ },
		"no tally":         func(r *telemetryv1.ReportRequest) { r.Tally = nil },
		"no time":          func(r *telemetryv1.ReportRequest) { r.Windows[0].BeganAt = nil },
		"bad time":         func(r *telemetryv1.ReportRequest) { r.Windows[0].BeganAt = &timestamppb.Timestamp{Nanos: -1} },
		"short":            func(r *telemetryv1.ReportRequest) { r.Windows[0].Length = durationpb.New(time.Millisecond) },
		"long":             func(r *telemetryv1.ReportRequest) { r.Windows[0].Length = durationpb.New(2 * time.Hour) },
		"no length":        func(r *telemetryv1.ReportRequest) { r.Windows[0].Length = nil },
		"no arm":           cell(func(c *telemetryv1.Cell) { c.Arm = 0 }),
		"unknown arm":      cell(func(c *telemetryv1.Cell) { c.Arm = 3 }),
		"arm twice":        cell(func(c *telemetryv1.Cell) { c.Arm = inControl }),
		"no step":          cell(func(c *telemetryv1.Cell) { c.Step = 0 }),
		"no rollout":       cell(func(c *telemetryv1.Cell) { c.Rollout = "" }),
		"subjects":         cell(func(c *telemetryv1.Cell) { c.Subjects = c.GetExposures() + 1 }),
		"new subjects":     cell(func(c *telemetryv1.Cell) { c.NewSubjects = c.GetSubjects() + 1 }),
		"counters":         cell(func(c *telemetryv1.Cell) { c.NewCounters = c.GetNewSubjects() + 1 }),
		"too many":         cell(func(c *telemetryv1.Cell) { c.Exposures = 1 << 50 }),
		"metric twice":     cell(func(c *telemetryv1.Cell) { c.Metrics = append(c.Metrics, c.GetMetrics()[0]) }),
		"no metric":        metric("cost", func(m *telemetryv1.MetricCell) { m.Metric = "" }),
		"events":           metric("errors", func(m *telemetryv1.MetricCell) { m.Events = m.GetCount() + 1 }),
		"events of values": metric("cost", func(m *telemetryv1.MetricCell) { m.Events = 1 }),
		"sum of events":    metric("errors", func(m *telemetryv1.MetricCell) { m.Sum, m.SumSquares = 1, 1 }),
		"NaN":              metric("cost", func(m *telemetryv1.MetricCell) { m.Sum = math.NaN() }),
		"infinite":         metric("cost", func(m *telemetryv1.MetricCell) { m.SumSquares = math.Inf(1) }),
		"NaN of squares":   metric("cost", func(m *telemetryv1.MetricCell) { m.SumSquares = math.NaN() }),
		"negative squares": metric("cost", func(m *telemetryv1.MetricCell) { m.SumSquares = -1 }),
		"sum too large":    metric("cost", func(m *telemetryv1.MetricCell) { m.Sum = 1e6 }),
		"sum of nothing":   metric("cost", func(m *telemetryv1.MetricCell) { m.Count = 0 }),
		"huge sum":         metric("cost", func(m *telemetryv1.MetricCell) { m.Sum, m.SumSquares = 1e200, math.MaxFloat64 }),
		"sketch missing":   metric("latency", func(m *telemetryv1.MetricCell) { m.Sketch = nil }),
		"sketch count":     metric("latency", func(m *telemetryv1.MetricCell) { m.Sketch.Zeros++ }),
		"sketch size":      metric("latency", func(m *telemetryv1.MetricCell) { m.Sketch.Bins = make([]uint64, 5000) }),
		"confusion":        metric("fraud", func(m *telemetryv1.MetricCell) { m.Confusion.TruePositives = m.GetCount() + 1 }),
		"overflow":         metric("fraud", func(m *telemetryv1.MetricCell) { m.Confusion.TruePositives = math.MaxUint64 }),
		"predictions":      metric("fraud", func(m *telemetryv1.MetricCell) { m.Predictions = nil }),
		"labels": metric("fraud", func(m *telemetryv1.MetricCell) {
			for i := range 40 {
				m.Predictions[fmt.Sprint("l", i)] = 1
			}
		}),
		"label":            metric("fraud", func(m *telemetryv1.MetricCell) { m.Predictions["\xff"] = 1 }),
		"model of a rate":  metric("errors", func(m *telemetryv1.MetricCell) { m.Predictions = map[string]uint64{"a": 1} }),
		"segment":          metric("cost", func(m *telemetryv1.MetricCell) { m.Segment = "c1" }),
		"segment's counts": metric("errors", func(m *telemetryv1.MetricCell) { m.Exposures = 5 }),
	} {
		t.Run(name, func(t *testing.T) {
			relay := newSite(t, tally.Options{})
			relay.begin(watched(), 5000)
			if err := relay.tally.Merge(report(t, mutate), 1); !errors.Is(err, tally.ErrReport) {
				t.Fatalf("error %v", err)
			}
			if l := newLedger(t).add(relay.cut()...); l.emitted != 0 {
				t.Errorf("emitted %d", l.emitted)
			}
		})
	}
}

func TestMergeUnknown(t *testing.T) {
	relay := newSite(t, tally.Options{})
	relay.begin(watched(), 5000)
	ahead := report(t, func(r *telemetryv1.ReportRequest) { r.Windows[0].Cells[0].Step = 2 })
	if err := relay.tally.Merge(ahead, 0); !errors.Is(err, tally.ErrAhead) {
		t.Errorf("a step that is not known yet: %v", err)
	}
	// A rollout, or a metric, that is not counted here: declared lost.
	other := report(t, func(r *telemetryv1.ReportRequest) {
		for _, c := range r.GetWindows()[0].GetCells() {
			c.Rollout = "another"
		}
	})
	relay.must(relay.tally.Merge(other, 0))
	renamed := report(t, func(r *telemetryv1.ReportRequest) {
		r.Windows[0].Cells[0].Metrics[len(r.Windows[0].Cells[0].Metrics)-1].Metric = "another"
	})
	relay.must(relay.tally.Merge(renamed, 0))
	l := newLedger(t).add(relay.cut()...)
	if want := other.GetTally().GetCounted() + renamed.GetTally().GetCounted(); l.emitted != want || l.lost <= other.GetTally().GetCounted() {
		t.Errorf("emitted %d, want %d; lost %d", l.emitted, want, l.lost)
	}
	if a := relay.tally.Account(); a.LostBy[tally.Unknown] != l.lost {
		t.Errorf("lost %v", a.LostBy)
	}
}

func FuzzMerge(f *testing.F) {
	r := report(f, nil)
	seed, _ := proto.Marshal(r)
	f.Add(seed, uint64(0))
	r.Windows[0].Cells[0].Step = 3
	seed, _ = proto.Marshal(r)
	f.Add(seed, uint64(1))
	f.Fuzz(func(t *testing.T, data []byte, lost uint64) {
		r := &telemetryv1.ReportRequest{}
		if proto.Unmarshal(data, r) != nil {
			return
		}
		relay := newSite(t, tally.Options{})
		relay.begin(watched(), 5000)
		lost %= 1 << 40
		err := relay.tally.Merge(r, lost)
		l := newLedger(t).add(relay.cut()...)
		switch {
		case err != nil && l.emitted != 0:
			t.Fatalf("refused (%v), and yet counted: %d", err, l.emitted)
		case err == nil && l.emitted != r.GetTally().GetCounted()+lost:
			t.Fatalf("emitted %d, want %d and %d lost", l.emitted, r.GetTally().GetCounted(), lost)
		}
		for at, metrics := range l.metrics {
			for name, m := range metrics {
				if m.GetEvents() > m.GetCount() || math.IsNaN(m.GetSum()) || math.IsInf(m.GetSum(), 0) || !(m.GetSumSquares() >= 0) || math.IsInf(m.GetSumSquares(), 0) {
					t.Fatalf("%v %s: %v", at, name, m)
				}
			}
		}
	})
}

func FuzzObserve(f *testing.F) {
	for _, o := range []*telemetryv1.Observation{
		failed("errors"), number("cost", -1), took("latency", time.Second),
		outcome("fraud", &telemetryv1.Outcome{Prediction: &telemetryv1.Outcome_PredictedScore{PredictedScore: 0.7}}),
	} {
		seed, _ := proto.Marshal(&telemetryv1.Event{Observations: []*telemetryv1.Observation{o, o}, ExposedAt: timestamppb.New(start)})
		f.Add(seed, "user")
	}
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		m := &telemetryv1.Event{}
		if proto.Unmarshal(data, m) != nil {
			return
		}
		s := newSite(t, tally.Options{})
		s.begin(watched(), 5000)
		e := &tally.Event{Exposure: m.GetExposure(), Observations: m.GetObservations()}
		if m.GetExposure() == nil {
			e.Context = &eval.Context{TargetingKey: key, Attributes: eval.StructAttributes(m.GetContext().GetAttributes())}
		}
		if m.GetExposedAt() != nil {
			e.ExposedAt = m.GetExposedAt().AsTime()
		}
		taken, refusals := s.tally.Observe(e, s.now)
		if n := int(taken) + len(refusals); n != max(len(e.Observations), 1) {
			t.Fatalf("%d taken and %d refused of %d", taken, len(refusals), len(e.Observations))
		}
		l := newLedger(t).add(s.cut()...)
		if l.emitted > uint64(taken) {
			t.Fatalf("emitted %d of %d taken", l.emitted, taken)
		}
		for at, metrics := range l.metrics {
			for name, m := range metrics {
				if m.GetEvents() > m.GetCount() || math.IsNaN(m.GetSum()) || math.IsInf(m.GetSum(), 0) {
					t.Fatalf("%v %s: %v", at, name, m)
				}
			}
		}
	})
}

// TestMergeEvaluations: what an SDK served and what was served here is told once, whether a
// rollout counts it or not; what is not known here is passed over.
func TestMergeEvaluations(t *testing.T) {
	sdk := newSite(t, tally.Options{EvaluationsEvery: 5 * time.Second, Reported: true})
	relay := newSite(t, tally.Options{EvaluationsEvery: 5 * time.Second})
	for _, s := range []*site{sdk, relay} {
		s.begin(&rolloutv1.Rollout{Key: "r"}, 5000)
		s.must(s.apply(splitFlag("plain", 3000)))
		s.cut()
	}
	sdk.must(sdk.apply(splitFlag("deleted", 3000)))
	want := map[string]uint64{}
	for i := range 300 {
		for _, key := range []string{"plain", "flag-r"} {
			for _, s := range []*site{sdk, relay} {
				want[key+"/"+s.expose(key, user(i)).Name]++
			}
		}
		sdk.expose("deleted", user(i))
	}
	nobody := sdk.snapshot.Eval().Evaluate("plain", nil)
	sdk.tally.Exposed(&nobody, nil)
	want["plain/"]++

	reported := uint64(0)
	for range 10 {
		for _, b := range sdk.cut() {
			reported += uint64(len(b.GetEvaluations()))
			err := relay.tally.Merge(&telemetryv1.ReportRequest{Windows: b.GetWindows(), Tally: b.GetTally(), Evaluations: b.GetEvaluations()}, 0)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if reported != 5 { // both variants of plain and deleted, and none
		t.Errorf("%d evaluations reported, want 5", reported)
	}
	relay.must(relay.tally.Merge(&telemetryv1.ReportRequest{
		Evaluations: []*telemetryv1.Evaluations{{FlagKey: "plain", Variant: "unheard of", Count: 7}},
	}, 0))
	l := newLedger(t)
	for range 10 {
		l.add(relay.cut()...)
	}
	if fmt.Sprint(l.evaluations) != fmt.Sprint(want) {
		t.Errorf("evaluations %v, want %v", l.evaluations, want)
	}
}

// TestMergeTooManyEvaluations: nothing of a report is counted that cannot be.
func TestMergeTooManyEvaluations(t *testing.T) {
	s := newSite(t, tally.Options{EvaluationsEvery: time.Second})
	s.must(s.apply(splitFlag("plain", 3000)))
	s.cut()
	err := s.tally.Merge(&telemetryv1.ReportRequest{Evaluations: []*telemetryv1.Evaluations{
		{FlagKey: "plain", Variant: "on", Count: 1}, {FlagKey: "plain", Variant: "off", Count: 1<<36 + 1},
	}}, 0)
	if !errors.Is(err, tally.ErrReport) {
		t.Errorf("merged: %v", err)
	}
	if l := newLedger(t).add(s.cut()...); len(l.evaluations) > 0 {
		t.Errorf("counted %v", l.evaluations)
	}
	// As often as there may be: still a number that the collector takes.
	for range 20 {
		s.must(s.tally.Merge(&telemetryv1.ReportRequest{Evaluations: []*telemetryv1.Evaluations{{FlagKey: "plain", Variant: "on", Count: 1 << 36}}}, 0))
	}
	for _, b := range s.cut() {
		if err := batchcheck.Batch(b); err != nil {
			t.Error(err)
		}
	}
}
