package judge

import (
	"fmt"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// run judges seconds of telemetry, carries out what comes of it, and returns the last outcome:
// that which ends the rollout, if one does.
func (r *rig) run(seconds int, telemetry func(second int) *telemetryv1.Window) Outcome {
	var out Outcome
	for i := range seconds {
		out = r.tick(telemetry(i))
		if out.Verdict != hold && out.Verdict != advance {
			return out
		}
		r.apply(out)
	}
	return out
}

// split draws a second of traffic at the weight in force.
func (r *rig) split(d world, n uint64) (t, c uint64) {
	t = d.binomial(n, float64(r.rollout.GetStatus().GetWeight())/1e4)
	return t, n - t
}

// TestKinds: for each kind of guardrail, harm is shut, and no harm is promoted.
func TestKinds(t *testing.T) {
	t.Parallel()
	guard := func(s rolloutv1.Statistic, m *rolloutv1.Margin) *rolloutv1.Guardrail {
		return &rolloutv1.Guardrail{Name: "g", Metric: "outcome", Statistic: s, Margin: m}
	}
	f1 := guard(rolloutv1.Statistic_STATISTIC_F1, absolute(0.05))
	f1.Reference, f1.Worse = 0.75, rolloutv1.Direction_DIRECTION_DECREASE
	fall := guard(rolloutv1.Statistic_STATISTIC_RATE, points(5))
	fall.Worse, fall.Denominator = rolloutv1.Direction_DIRECTION_DECREASE, rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS
	ratio := guard(rolloutv1.Statistic_STATISTIC_RATE, relative(0.2))
	ratio.Worse, ratio.Denominator = rolloutv1.Direction_DIRECTION_DECREASE, rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS
	ratio.PromotionRatios = []float64{2, 1.5}
	rise := guard(rolloutv1.Statistic_STATISTIC_RATE, points(5))
	rise.Denominator = rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS
	mean := meanLatency()
	mean.Margin = relative(0.5)
	for name, c := range map[string]struct {
		guard      *rolloutv1.Guardrail
		cell       func(d world, n uint64, p float64) *telemetryv1.Cell
		good, harm float64 // of the treatment; control is good
	}{
		"rate":            {errorRate(), errorArm, 0.05, 0.2},
		"rise in points":  {rise, outcomeArm, 0.1, 0.25},
		"fall in points":  {fall, outcomeArm, 0.3, 0.15},
		"fall":            {ratio, outcomeArm, 0.3, 0.15},
		"mean":            {meanLatency(), latencyArm, 0.1, 0.4},
		"mean, relative":  {mean, latencyArm, 0.1, 0.4},
		"quantile":        {tailLatency(), latencyArm, 0.1, 0.3},
		"mispredictions":  {guard(rolloutv1.Statistic_STATISTIC_MISPREDICTION, relative(0.1)), outcomeArm, 0.1, 0.3},
		"false discovery": {guard(rolloutv1.Statistic_STATISTIC_FALSE_DISCOVERY, relative(0.1)), confusionArm, 0.1, 0.4},
		"misses":          {guard(rolloutv1.Statistic_STATISTIC_MISS, relative(0.1)), confusionArm, 0.1, 0.4},
		"score":           {f1, confusionArm, 0.1, 0.6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, harm := range []bool{false, true} {
				d := newWorld(11)
				r := newRig(t, at(canary(c.guard), 2)) // 20%
				p := c.good
				if harm {
					p = c.harm
				}
				advanced := false
				out := r.run(200, func(int) *telemetryv1.Window {
					advanced = advanced || r.rollout.GetStatus().GetStage() > 2
					nt, nc := r.split(d, 200)
					return r.window(c.cell(d, nt, p), c.cell(d, nc, c.good))
				})
				switch {
				case harm && (out.Verdict != rollback || out.Reason != ReasonBreach || out.Guard != 0):
					t.Errorf("harm: %v %s", out, headline(r))
				case !harm && (out.Verdict == rollback || !advanced):
					t.Errorf("no harm: %v %s", out, headline(r))
				}
			}
		})
	}
}

func headline(r *rig) string {
	j, err := r.plan.Judge(r.inputs(), GatedDwell{})
	if err != nil {
		return err.Error()
	}
	return j.Assessment().GetHeadline()
}

func errorArm(d world, n uint64, p float64) *telemetryv1.Cell {
	return cellOf(n, errorsOf(d.binomial(n, p)))
}

func outcomeArm(d world, n uint64, p float64) *telemetryv1.Cell {
	return cellOf(n, &telemetryv1.MetricCell{Metric: "outcome", Count: n, Events: d.binomial(n, p)})
}

func latencyArm(d world, n uint64, p float64) *telemetryv1.Cell {
	c := d.arm(n, 0, p, 0)
	c.Metrics = c.GetMetrics()[1:2]
	return c
}

// confusionArm has half positives; p of them are missed, and of the negatives p called positive.
func confusionArm(d world, n uint64, p float64) *telemetryv1.Cell {
	fn, fp := d.binomial(n/2, p), d.binomial(n-n/2, p)
	return cellOf(n, &telemetryv1.MetricCell{
		Metric: "outcome", Count: n, Events: fn + fp,
		Confusion: &telemetryv1.Confusion{TruePositives: n/2 - fn, FalseNegatives: fn, FalsePositives: fp, TrueNegatives: n - n/2 - fp},
	})
}

// TestDriftHolds: another distribution of predictions holds, and shuts nothing.
func TestDriftHolds(t *testing.T) {
	t.Parallel()
	for shift, want := range map[float64]Reason{0: ReasonProven, 0.3: ReasonBreach} {
		g := &rolloutv1.Guardrail{Name: "drift", Metric: "outcome", Statistic: rolloutv1.Statistic_STATISTIC_DRIFT}
		d := newWorld(1)
		r := newRig(t, at(canary(g), 2))
		labels := func(n uint64, p float64) *telemetryv1.Cell {
			yes := d.binomial(n, p)
			return cellOf(n, &telemetryv1.MetricCell{Metric: "outcome", Count: n, Predictions: map[string]uint64{"yes": yes, "no": n - yes}})
		}
		var out Outcome
		for range 12 {
			nt, nc := r.split(d, 200)
			if out = r.tick(r.window(labels(nt, 0.5+shift), labels(nc, 0.5))); out.Verdict == advance {
				break
			}
		}
		if out.Reason != want {
			t.Errorf("shifted by %v: %v", shift, out)
		}
	}
}

// TestHoldAction: a violated guardrail that holds does not shut, and lets go when it is over.
func TestHoldAction(t *testing.T) {
	t.Parallel()
	g := errorRate()
	g.Action = rolloutv1.Action_ACTION_HOLD
	r := newRig(t, at(canary(g), 3))
	var out Outcome
	for range 10 {
		out = r.tick(r.window(cellOf(100, errorsOf(40)), cellOf(100, errorsOf(6))))
	}
	if out.Verdict != hold || out.Reason != ReasonBreach || out.Guard != 0 {
		t.Errorf("violated: %v", out)
	}
	for range 400 {
		if out = r.tick(r.window(cellOf(100, errorsOf(5)), cellOf(100, errorsOf(6)))); out.Verdict == advance {
			return
		}
	}
	t.Errorf("it never lets go: %v", out)
}

// TestSegments: harm in one segment of many is found, and named.
func TestSegments(t *testing.T) {
	t.Parallel()
	g := errorRate()
	g.SegmentBy = "country"
	d := newWorld(4)
	r := newRig(t, at(canary(g), 3))
	countries := []string{"at", "de", "fr", "it"}
	arm := func(n uint64, bad float64) *telemetryv1.Cell {
		c := cellOf(n)
		all := uint64(0)
		for _, name := range countries {
			p := 0.02
			if name == "fr" {
				p = bad
			}
			events := d.binomial(n/4, p)
			all += events
			c.Metrics = append(c.Metrics, &telemetryv1.MetricCell{Metric: "error", Segment: name, Count: events, Events: events, Exposures: n / 4, Subjects: n / 4})
		}
		c.Metrics = append(c.Metrics, errorsOf(all))
		return c
	}
	out := r.run(100, func(int) *telemetryv1.Window { return r.window(arm(100, 0.2), arm(100, 0.02)) })
	if out.Verdict != rollback {
		t.Fatal(out)
	}
	if _, worst := r.state.guards[0].harm(r.plan.guards[0], stakesOf(1)); r.state.guards[0].segments[worst].name != "fr" {
		t.Errorf("worst segment %d", worst)
	}
	for i := range 40 { // more than there is room for
		r.tick(r.window(cellOf(1, &telemetryv1.MetricCell{Metric: "error", Segment: fmt.Sprint(i), Exposures: 1, Subjects: 1}), cellOf(1)))
	}
	if n := len(r.state.guards[0].segments); n != maxSegments+1 {
		t.Errorf("%d segments", n)
	}
}

// TestBothDownHolds: an outage of both variants neither shuts nor widens; when it is over, the
// rollout goes on.
func TestBothDownHolds(t *testing.T) {
	t.Parallel()
	d := newWorld(9)
	r := newRig(t, at(canary(errorRate()), 1))
	r.rollout.Stages[1].MinDwell = durationpb.New(30 * time.Second)
	plan, err := Compile(r.rollout)
	if err != nil {
		t.Fatal(err)
	}
	r.plan, r.state = plan, plan.NewState()
	telemetry := func(p float64) *telemetryv1.Window {
		nt, nc := r.split(d, 400)
		return r.window(errorArm(d, nt, p), errorArm(d, nc, p))
	}
	for range 20 {
		r.tick(telemetry(0.02))
	}
	for range 60 {
		out := r.tick(telemetry(0.5))
		if out.Verdict != hold {
			t.Fatal(out)
		}
	}
	if out := r.tick(telemetry(0.5)); out.Reason != ReasonControl {
		t.Errorf("in the outage it waits for %v", out.Waits)
	}
	for range 120 {
		if out := r.tick(telemetry(0.02)); out.Verdict == advance {
			return
		}
	}
	t.Errorf("after the outage: %s", headline(r))
}

// TestControlLevel: a level that stays becomes the usual one; what must not fall collapses.
func TestControlLevel(t *testing.T) {
	t.Parallel()
	var l level
	for range 300 {
		l.observe(2, 200)
	}
	if l.troubled() || l.collapsed() {
		t.Fatalf("%+v", l)
	}
	after := 0
	for l.observe(20, 200); l.troubled() || after < 10; l.observe(20, 200) {
		if after++; after > 4*3600 {
			t.Fatal("ten times the rate is never the usual one")
		}
	}
	if after < 600 {
		t.Errorf("ten times the rate was the usual one after %d s", after)
	}
	fall := level{}
	for range 300 {
		fall.observe(60, 200)
	}
	for range 20 {
		fall.observe(5, 200)
	}
	if !fall.collapsed() {
		t.Errorf("a fall from 60 to 5: %+v", fall)
	}
}

// TestSampleRatio: a lack of subjects holds, and shuts when it is beyond doubt; an excess only
// holds; subjects that many have counted are not many.
func TestSampleRatio(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		t       uint64 // of 100 a second at 50%
		counts  uint64 // how many count
		verdict rolloutv1.Verdict
		reason  Reason
	}{
		{"as intended", 100, 1, hold, ReasonGate},
		{"an excess", 130, 1, hold, ReasonSampleRatio},
		{"a lack", 70, 1, rollback, ReasonLack},
		{"a lack that seventy have counted", 70, 70, hold, ReasonGate},
	} {
		r := newRig(t, at(canary(errorRate()), 3))
		var out Outcome
		for i := range 30 {
			t, ctl := cellOf(c.t), cellOf(100)
			if i == 0 {
				t.NewCounters, ctl.NewCounters = c.counts, c.counts
			}
			if out = r.tick(r.window(t, ctl)); out.Verdict == rollback {
				break
			}
		}
		if out.Verdict != c.verdict || out.Reason != c.reason {
			t.Errorf("%s: %v", c.name, out)
		}
	}
}

// TestExperiment: it is won, lost or given up; it ends by a person or its time, and nothing else.
func TestExperiment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate    float64 // of the treatment's sign-ups, against 0.3
		want    rolloutv1.SuccessVerdict
		verdict rolloutv1.Verdict
	}{
		{0.45, rolloutv1.SuccessVerdict_SUCCESS_VERDICT_WON, hold},
		{0.15, rolloutv1.SuccessVerdict_SUCCESS_VERDICT_LOST, hold},
		{0.3, rolloutv1.SuccessVerdict_SUCCESS_VERDICT_UNDECIDED, giveUp},
	} {
		r := canary(errorRate())
		r.Strategy, r.Stages = rolloutv1.Strategy_STRATEGY_EXPERIMENT, []*rolloutv1.Stage{{Weight: 5000, MinDwell: durationpb.New(time.Second)}}
		r.Success = &rolloutv1.Success{
			Metric: "signup", Statistic: rolloutv1.Statistic_STATISTIC_RATE, Denominator: rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS,
			GiveUpAfter: durationpb.New(100 * time.Second),
		}
		g := newRig(t, at(r, 0))
		d := newWorld(21)
		arm := func(p float64) *telemetryv1.Cell {
			return cellOf(100, errorsOf(d.binomial(100, 0.05)), &telemetryv1.MetricCell{Metric: "signup", Count: 100, Events: d.binomial(100, p)})
		}
		seconds := 0
		out := g.run(130, func(i int) *telemetryv1.Window { seconds = i; return g.window(arm(c.rate), arm(0.3)) })
		verdict, interval := g.plan.success.verdict(&g.state.success)
		if verdict != c.want || out.Verdict != c.verdict || math.Abs(interval.Estimate-(c.rate-0.3)) > 0.03 {
			t.Errorf("%v against 0.3: %v %+v, %v", c.rate, verdict, interval, out)
		}
		if c.verdict == giveUp && (seconds != 99 || out.Weight != 0) {
			t.Errorf("given up after %d s at %d", seconds+1, out.Weight)
		}
		if c.verdict == hold && out.Reason != ReasonSuccess {
			t.Errorf("waits for %v", out.Waits)
		}
	}
}

// TestEnds: stages that a person leaves, shares that stay, stages with nobody to compare, and
// how a rollout completes.
func TestEnds(t *testing.T) {
	t.Parallel()
	quiet := func(r *rig) func(int) *telemetryv1.Window {
		return func(int) *telemetryv1.Window {
			n := uint64(r.rollout.GetStatus().GetWeight())
			return r.window(cellOf(n, errorsOf(n/40)), cellOf(10_000-n, errorsOf((10_000-n)/20)))
		}
	}
	manual := at(canary(errorRate()), 3)
	manual.Stages[3].Manual = true
	if r := newRig(t, manual); r.run(100, quiet(r)).Reason != ReasonManual {
		t.Error("a manual stage was left")
	}
	fixed := at(canary(errorRate()), 4)
	fixed.Strategy = rolloutv1.Strategy_STRATEGY_FIXED
	if r := newRig(t, fixed); r.run(100, quiet(r)).Reason != ReasonManual {
		t.Error("a fixed share was left")
	}
	dark := canary(errorRate())
	dark.Stages = append([]*rolloutv1.Stage{{MinDwell: durationpb.New(5 * time.Second)}}, dark.GetStages()[4])
	r := newRig(t, at(dark, 0))
	for range 4 {
		if out := r.tick(); out.Verdict != hold || out.Reason != ReasonDwell {
			t.Fatal(out)
		}
	}
	if out := r.tick(); out.Verdict != advance || out.Weight != 9800 {
		t.Errorf("a stage that serves nobody, after its time: %v", out)
	}
	whole := canary(errorRate())
	whole.Holdback = new(uint32(0))
	r = newRig(t, at(whole, 4))
	if out := r.run(100, func(int) *telemetryv1.Window { return r.window(cellOf(100), &telemetryv1.Cell{}) }); out.Verdict != complete || out.Weight != 10_000 {
		t.Errorf("at 100%%, when it has baked: %v", out)
	}
	// With a holdback, what the stage before has proven holds until the contrary is.
	r = newRig(t, at(canary(errorRate()), 3))
	d := newWorld(1)
	if out := r.run(300, func(int) *telemetryv1.Window {
		nt, nc := r.split(d, 400)
		return r.window(errorArm(d, nt, 0.05), errorArm(d, nc, 0.05))
	}); out.Verdict != complete {
		t.Errorf("a healthy rollout: %v %s", out, headline(r))
	}
	for _, s := range []rolloutv1.State{rolloutv1.State_STATE_COMPLETED, rolloutv1.State_STATE_ROLLED_BACK, rolloutv1.State_STATE_ABORTED, 0} {
		r.rollout.Status.State = s
		if out := r.tick(r.window(cellOf(100, errorsOf(100)), cellOf(100))); out.Verdict != hold || out.Reason != ReasonOver {
			t.Errorf("%v: %v", s, out)
		}
	}
}

// TestAllow: the expectation of the evidence for a margin in percentage points is at most 1 at
// the margin, by summing over all that can happen, for any share, and near 1 where events are
// rare: the test spends what it has.
func TestAllow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		nt, nc    int64
		pc, d     float64
		direction guardrail.Direction
		least     float64
	}{
		{10, 90, 0.01, 0.02, guardrail.Increase, 0.5},
		{50, 50, 0.3, 0.05, guardrail.Increase, 0},
		{90, 10, 0.001, 0.01, guardrail.Increase, 0.1},
		{40, 60, 0.5, 0.1, guardrail.Decrease, 0},
		{20, 80, 0.03, 0.02, guardrail.Decrease, 0.5},
	} {
		g := &guard{excess: c.d, direction: c.direction}
		pt := harmful(c.direction, c.pc+c.d, c.pc-c.d)
		options := guardrail.RateBreakerOptions{Direction: c.direction, Ratio: 1, Schedule: guardrail.Schedule{Horizon: 1}}
		breaker, err := guardrail.NewRateBreaker(options)
		if err != nil {
			t.Fatal(err)
		}
		gate, err := guardrail.NewRateGate(guardrail.RateGateOptions{Direction: c.direction, Ratio: 1})
		if err != nil {
			t.Fatal(err)
		}
		var harm, safe float64
		breakers, gates := breakerMultiples(), gateMultiples()
		for nt := range c.nt + 1 {
			for nc := range c.nc + 1 {
				counts := guardrail.Counts{EventsT: nt, EventsC: nc, ExposuresT: c.nt, ExposuresC: c.nc}
				p := binomial(c.nt, nt, pt) * binomial(c.nc, nc, c.pc)
				var b guardrail.RateBreakerState
				var s guardrail.RateGateState
				if breaker.Observe(&b, counts) != nil || gate.Observe(&s, counts) != nil {
					t.Fatal("counts were refused")
				}
				allow(b.LogR[:], breakers[:], g, counts, counts)
				allow(s.LogR[:], gates[:], g, counts, counts)
				harm += p * math.Exp(b.LogE())
				safe += p * math.Exp(s.LogE())
			}
		}
		if harm > 1+1e-9 || safe > 1+1e-9 || harm < c.least || safe < c.least {
			t.Errorf("%+v: expectations %v and %v", c, harm, safe)
		}
	}
}

func binomial(n, k int64, p float64) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return math.Exp(a - b - c + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}
