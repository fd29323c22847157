package judge

import (
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// Bad telemetry never moves a decision the wrong way: what cannot be is refused, told, and
// leaves the evidence as it was.

// healthy runs a rollout until just before it would advance, and one that is being harmed until
// just before it would be shut: what is added must change neither.
func TestBadTelemetryIsRefused(t *testing.T) {
	t.Parallel()
	bad := func(change func(t *telemetryv1.Cell)) func(*telemetryv1.Window) {
		return func(w *telemetryv1.Window) { change(w.GetCells()[0]) }
	}
	metric := func(m *telemetryv1.MetricCell) func(*telemetryv1.Window) {
		return bad(func(c *telemetryv1.Cell) { c.Metrics = append(c.Metrics, m) })
	}
	latency := func(count uint64, sum, squares float64) *telemetryv1.MetricCell {
		return &telemetryv1.MetricCell{Metric: "latency", Count: count, Sum: sum, SumSquares: squares}
	}
	for name, c := range map[string]struct {
		spoil func(*telemetryv1.Window)
		want  string
	}{
		"NaN":                              {metric(latency(10, math.NaN(), 1)), "finite"},
		"infinite":                         {metric(latency(10, math.Inf(1), math.Inf(1))), "finite"},
		"squares below the sum":            {metric(latency(10, 100, 1)), "sum of squares"},
		"negative squares":                 {metric(latency(10, 0, -1)), "not negative"},
		"more events than observations":    {metric(&telemetryv1.MetricCell{Metric: "error", Count: 1, Events: 2}), "2 events of 1"},
		"more than can be counted":         {metric(&telemetryv1.MetricCell{Metric: "error", Count: 1 << 60, Events: 1 << 60}), "2^53"},
		"more exposures than there can be": {bad(func(c *telemetryv1.Cell) { c.Exposures = math.MaxUint64 }), "2^53"},
		"more subjects than exposures":     {bad(func(c *telemetryv1.Cell) { c.Subjects = c.Exposures + 1 }), "exposures of"},
		"more new ones than subjects":      {bad(func(c *telemetryv1.Cell) { c.NewSubjects = c.Subjects + 1 }), "of them new"},
		"no arm":                           {bad(func(c *telemetryv1.Cell) { c.Arm = 0 }), "its arm is"},
		"a forged arm":                     {bad(func(c *telemetryv1.Cell) { c.Arm = 77 }), "its arm is 77"},
		"a sketch of more than was observed": {metric(&telemetryv1.MetricCell{
			Metric: "latency", Count: 1, Sketch: &telemetryv1.Sketch{Bins: []uint64{1, 1}},
		}), "a sketch of more values"},
		"a sketch that is too wide": {metric(&telemetryv1.MetricCell{
			Metric: "latency", Count: 1, Sketch: &telemetryv1.Sketch{Bins: make([]uint64, 5000)},
		}), "5000 bins"},
		"a sketch out of this world": {metric(&telemetryv1.MetricCell{
			Metric: "latency", Count: 1, Sketch: &telemetryv1.Sketch{Offset: math.MaxInt32, Bins: []uint64{1}},
		}), "bins from"},
		"more outcomes than observations": {metric(&telemetryv1.MetricCell{
			Metric: "latency", Count: 1, Confusion: &telemetryv1.Confusion{TruePositives: math.MaxUint64, FalsePositives: 2},
		}), "outcomes"},
		"more predictions than there can be": {metric(&telemetryv1.MetricCell{
			Metric: "latency", Count: 1, Predictions: map[string]uint64{"a": 1, "b": math.MaxUint64},
		}), "predictions"},
		"a step that never was": {func(w *telemetryv1.Window) {
			for _, c := range w.GetCells() {
				c.Step = 99
			}
		}, "a step that never was"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, at(canary(errorRate(), meanLatency(), tailLatency()), 1))
			d := newWorld(1)
			for range 5 {
				r.tick(r.window(d.arm(20, 0.05, 0.1, 0), d.arm(380, 0.05, 0.1, 0)))
			}
			before := r.state.Evidence()
			// Nothing of the control's cell, either: it has no exposures.
			w := r.window(cellOf(1000, errorsOf(0)), &telemetryv1.Cell{})
			w.Cells[1].Metrics = nil
			c.spoil(w)
			if name != "a step that never was" {
				w.Cells = w.Cells[:1]
			}
			r.tick(w)
			after := r.state.Evidence()
			if after.GetRefused() == 0 || !strings.Contains(after.GetRefusal(), c.want) {
				t.Fatalf("refused %d: '%s', want '%s'", after.GetRefused(), after.GetRefusal(), c.want)
			}
			after.Refused, after.Refusal = 0, ""
			if !proto.Equal(before, after) {
				t.Errorf("it was counted:\n%v\n%v", before, after)
			}
		})
	}
}

// TestUnknownTelemetryIsIgnored: other rollouts' cells, and metrics that nobody watches.
func TestUnknownTelemetryIsIgnored(t *testing.T) {
	t.Parallel()
	r := newRig(t, at(canary(errorRate()), 1))
	w := r.window(cellOf(20, &telemetryv1.MetricCell{Metric: "unknown", Count: 20, Events: 20}), cellOf(380))
	other := r.window(cellOf(20, errorsOf(20)), cellOf(380))
	for _, c := range other.GetCells() {
		c.Rollout = "other"
	}
	r.tick(w, other)
	e := r.state.Evidence()
	if e.GetRefused() != 0 || e.GetTreatmentExposures() != 20 {
		t.Errorf("refused %d, exposures %d", e.GetRefused(), e.GetTreatmentExposures())
	}
	if c := e.GetGuardrails()[0].GetSegments()[0].GetCounts(); c.GetTreatmentEvents() != 0 {
		t.Errorf("events were counted: %v", c)
	}
}

// TestWrongClockIsHarmless: what a relay whose clock is a day, or 200 years, off has counted is
// compared within itself; neither dwells nor freshness come from it.
func TestWrongClockIsHarmless(t *testing.T) {
	t.Parallel()
	d := newWorld(2)
	run := func(wrong bool) (Outcome, *rolloutv1.Evidence) {
		d := world{d.Rand}
		r := newRig(t, at(canary(errorRate()), 1))
		var out Outcome
		for i := range 9 {
			w := r.window(cellOf(20, errorsOf(1)), cellOf(380, errorsOf(19)))
			if wrong {
				w.BeganAt = timestamppb.New(r.now.Add(time.Duration(i-4) * 24 * time.Hour))
				if i == 8 {
					w.BeganAt, w.Length = &timestamppb.Timestamp{Seconds: -1 << 60, Nanos: -5}, durationpb.New(-1)
				}
			}
			out = r.tick(w)
		}
		_ = d
		return out, r.state.Evidence()
	}
	right, a := run(false)
	off, b := run(true)
	if right.Verdict != hold || off.Verdict != hold || !proto.Equal(a, b) {
		t.Errorf("%v and %v:\n%v\n%v", right, off, a, b)
	}
}

// TestLateTelemetryNeitherTripsNorPromotes: what was counted at a step that is over adds to what
// is shown.
func TestLateTelemetryNeitherTripsNorPromotes(t *testing.T) {
	t.Parallel()
	for name, events := range map[string]uint64{"bad": 1000, "good": 0} {
		r := newRig(t, at(canary(errorRate()), 0))
		enter(r.rollout, 1, 500, r.now)
		for range 15 {
			r.tick(r.window(cellOf(1), cellOf(19, &telemetryv1.MetricCell{Metric: "error", Count: 19})))
		}
		before := r.state.Evidence()
		out := r.tick(windowAt(r.now, 1, cellOf(1000, errorsOf(events)), cellOf(99_000, errorsOf(990))))
		if out.Verdict != hold || out.Reason != ReasonGate {
			t.Errorf("%s: %v", name, out)
		}
		after := r.state.Evidence()
		if got := after.GetGuardrails()[0].GetSteps()[0].GetCounts(); got.GetTreatmentEvents() != events || got.GetControlEvents() != 990 {
			t.Errorf("%s: it is not shown: %v", name, got)
		}
		after.Guardrails[0].Steps = before.GetGuardrails()[0].GetSteps()
		if !proto.Equal(before, after) {
			t.Errorf("%s: it is evidence:\n%v\n%v", name, before, after)
		}
	}
}

// TestSilenceNeverAdvances: no telemetry, no relays, none that is fresh or up to date, no metric
// of a guardrail.
func TestSilenceNeverAdvances(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set    func(*rig)
		cells  bool
		reason Reason
	}{
		"nothing is told":         {func(*rig) {}, false, ReasonGate},
		"no relay":                {func(r *rig) { r.situation.Relays, r.situation.RelaysApplied, r.situation.RelaysFresh = 0, 0, 0 }, true, ReasonRelays},
		"a step that few applied": {func(r *rig) { r.situation.RelaysApplied = 8 }, true, ReasonRelays},
		"few that told":           {func(r *rig) { r.situation.RelaysFresh = 8 }, true, ReasonTelemetry},
		"a flag that is disabled": {func(r *rig) { r.situation.FlagReady = false }, true, ReasonFlag},
		"paused":                  {func(r *rig) { r.rollout.Status.State = rolloutv1.State_STATE_PAUSED }, true, ReasonPaused},
		"a metric that nobody reports": {func(r *rig) {
			g := meanLatency()
			r.rollout.Guardrails = append(r.rollout.Guardrails, g)
			p, err := Compile(r.rollout)
			if err != nil {
				r.t.Fatal(err)
			}
			r.plan, r.state = p, p.NewState()
		}, true, ReasonGate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, at(canary(errorRate()), 1))
			c.set(r)
			for range 60 {
				var windows []*telemetryv1.Window
				if c.cells {
					windows = append(windows, r.window(cellOf(200, errorsOf(1)), cellOf(3800, errorsOf(190))))
				}
				if out := r.tick(windows...); out.Verdict != hold {
					t.Fatal(out)
				}
			}
			if out := r.tick(); out.Reason != c.reason {
				t.Errorf("waits for %v, want %s", out.Waits, c.reason)
			}
		})
	}
	r := newRig(t, at(canary(errorRate()), 1)) // and without any of these it does advance
	for range 60 {
		if out := r.tick(r.window(cellOf(200, errorsOf(1)), cellOf(3800, errorsOf(190)))); out.Verdict == advance {
			return
		}
	}
	t.Error("what is proven does not advance")
}

// TestUnknownMetricIsNoProof: exposures are counted without anybody's telling, and those without an
// event speak for a share of them. Where nobody tells of the metric, by its name, or not of the
// treatment, the lack of events proves nothing.
func TestUnknownMetricIsNoProof(t *testing.T) {
	t.Parallel()
	fine := func(n uint64) *telemetryv1.MetricCell { return &telemetryv1.MetricCell{Metric: "error", Count: n} }
	renamed := fine(20)
	renamed.Metric = "errors"
	for name, c := range map[string]struct {
		t, c *telemetryv1.Cell
		want string // what is waited for; empty: nothing
	}{
		"nobody tells":                     {cellOf(20), cellOf(380), "nothing was told of errors"},
		"another name":                     {cellOf(20, renamed), cellOf(380, renamed), "nothing was told of errors"},
		"the treatment does not tell":      {cellOf(20), cellOf(380, fine(380)), "nothing was told of errors in the treatment"},
		"both tell":                        {cellOf(20, fine(20)), cellOf(380, fine(380)), ""},
		"of the treatment, failures alone": {cellOf(20), cellOf(380, errorsOf(4)), ""},
	} {
		g := errorRate()
		g.Margin = points(0.5)
		r := newRig(t, at(canary(g), 1))
		var out Outcome
		for i := range 120 {
			if out = r.tick(r.window(proto.CloneOf(c.t), proto.CloneOf(c.c))); out.Verdict != hold {
				break
			}
			if i == 60 { // as if another leader went on
				s, err := r.plan.Load(r.state.Evidence())
				if err != nil {
					t.Fatal(err)
				}
				r.state = s
			}
		}
		switch {
		case c.want == "":
			if out.Verdict != advance {
				t.Errorf("%s: %v", name, out)
			}
		case out.Verdict != hold || out.Reason != ReasonGate || !strings.HasPrefix(headline(r), "Held at 5%: "+c.want):
			t.Errorf("%s: %v: %s", name, out, headline(r))
		}
	}
}

// TestTripsMustKeepToThePlan: a relay's trip shuts; one that is forged or of the past does not.
func TestTripsMustKeepToThePlan(t *testing.T) {
	t.Parallel()
	r := newRig(t, at(canary(errorRate()), 1))
	threshold := r.plan.guards[0].edgeLogThreshold
	good := &telemetryv1.Trip{Rollout: "r", Step: 1, Guardrail: "errors", LogE: threshold + 3, LogThreshold: threshold + 2}
	for name, c := range map[string]struct {
		change func(*telemetryv1.Trip)
		want   rolloutv1.Verdict
	}{
		"good":                   {func(*telemetryv1.Trip) {}, rollback},
		"lifted meanwhile":       {func(x *telemetryv1.Trip) { x.LiftedAt = timestamppb.New(epoch) }, rollback},
		"of another step":        {func(x *telemetryv1.Trip) { x.Step = 7 }, hold},
		"of another rollout":     {func(x *telemetryv1.Trip) { x.Rollout = "q" }, hold},
		"of another guardrail":   {func(x *telemetryv1.Trip) { x.Guardrail = "q" }, hold},
		"below its threshold":    {func(x *telemetryv1.Trip) { x.LogE = threshold + 1 }, hold},
		"at too low a threshold": {func(x *telemetryv1.Trip) { x.LogThreshold = 1 }, hold},
		"NaN":                    {func(x *telemetryv1.Trip) { x.LogE = math.NaN() }, hold},
		"at a NaN":               {func(x *telemetryv1.Trip) { x.LogThreshold = math.NaN() }, hold},
	} {
		trip := proto.CloneOf(good)
		c.change(trip)
		r.situation.Trips = []*telemetryv1.Trip{trip}
		if out := r.tick(); out.Verdict != c.want || c.want == rollback && (out.Reason != ReasonTrip || out.Guard != 0) {
			t.Errorf("%s: %v", name, out)
		}
	}
}
