package judge

import (
	"math"
	"testing"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// TestLateEvents: events that are told in a window without exposures, or with fewer, count for
// as much as those that are told at once.
func TestLateEvents(t *testing.T) {
	t.Parallel()
	evidence := func(delay int) float64 {
		r := newRig(t, at(canary(errorRate()), 0))
		for i := range 40 {
			tc, cc := cellOf(0), cellOf(0)
			if i%2 == 0 {
				tc, cc = cellOf(4), cellOf(396)
			}
			if i%2 == delay { // two errors of four exposures; one of a hundred
				tc.Metrics = append(tc.Metrics, errorsOf(2))
				cc.Metrics = append(cc.Metrics, errorsOf(4))
			}
			r.tick(r.window(tc, cc))
		}
		harm, _ := r.state.guards[0].harm(r.plan.guards[0], stakesOf(1))
		return harm
	}
	atOnce, late := evidence(0), evidence(1)
	if atOnce < 20 || math.Abs(late-atOnce) > 0.1*atOnce {
		t.Errorf("evidence %v of events told at once, %v of those told later", atOnce, late)
	}
	r := newRig(t, at(canary(errorRate()), 0))
	r.tick(r.window(cellOf(2), cellOf(198)))
	if out := r.tick(r.window(cellOf(0, errorsOf(50)), cellOf(0, errorsOf(1)))); out.Verdict != rollback {
		t.Errorf("fifty errors of a few exposures: %v", out)
	}
}

// TestStepsBeginAnew: what is proven at a step is no proof of the next; harm that is remembered
// is; the last stage goes on from the one before, unless a person jumped to it.
func TestStepsBeginAnew(t *testing.T) {
	t.Parallel()
	prove := func(r *rig) *guardState {
		n := uint64(r.rollout.GetStatus().GetWeight())
		for range 6 {
			r.tick(r.window(cellOf(n, errorsOf(n/50)), cellOf(10_000-n, errorsOf((10_000-n)/20))))
		}
		g := &r.state.guards[0]
		if !g.proven(r.plan.guards[0]) {
			t.Fatal("it is not proven")
		}
		return g
	}
	r := newRig(t, at(canary(errorRate()), 2))
	g := prove(r)
	steady := g.segments[0].steady
	enter(r.rollout, 3, 5000, r.now)
	if out := r.tick(); g.proven(r.plan.guards[0]) || out.Waits[0].Reason != ReasonGate {
		t.Errorf("at the next step: %v", out)
	}
	if g.segments[0].steady != steady || g.segments[0].onset.Windows != 0 || g.segments[0].counts.ExposuresT != 0 {
		t.Errorf("at the next step: %+v", g.segments[0])
	}
	prove(r)
	enter(r.rollout, 4, 9800, r.now)
	if r.tick(); !g.proven(r.plan.guards[0]) {
		t.Error("the last stage does not go on from the one before")
	}
	for range 200 { // and harm takes it back
		r.tick(r.window(cellOf(9800, errorsOf(1960)), cellOf(200, errorsOf(10))))
	}
	if g.gateLogE(r.plan.guards[0]) > 0 {
		t.Errorf("four times the errors leave %v", g.gateLogE(r.plan.guards[0]))
	}
	jump := newRig(t, at(canary(errorRate()), 0))
	prove(jump)
	enter(jump.rollout, 4, 9800, jump.now)
	if jump.tick(); jump.state.guards[0].proven(jump.plan.guards[0]) {
		t.Error("what was proven of a ratio of 5 is taken for a proof of 1.5")
	}
}

// TestScoresShareTheBudgetOfSteps: what is compared anew at each step has a part of α at each, or
// a rollout of many steps would spend it many times.
func TestScoresShareTheBudgetOfSteps(t *testing.T) {
	t.Parallel()
	seconds := func(step uint64) int {
		f1 := &rolloutv1.Guardrail{
			Name: "f1", Metric: "outcome", Statistic: rolloutv1.Statistic_STATISTIC_F1, Reference: 0.75, Worse: rolloutv1.Direction_DIRECTION_DECREASE,
		}
		r := newRig(t, at(canary(f1), 2))
		r.rollout.Status.Step, r.rollout.Status.Steps[0].Step = step, step
		d := newWorld(12)
		for i := range 1000 {
			if r.tick(r.window(confusionArm(d, 50, 0.3), confusionArm(d, 50, 0.3))).Verdict == rollback {
				return i
			}
		}
		t.Fatalf("step %d: a low score is never found", step)
		return 0
	}
	if first, last := seconds(1), seconds(30); last <= first {
		t.Errorf("the first step is shut after %d s, the thirtieth after %d s", first, last)
	}
	sum := 0.0
	for k := range uint64(10_000) {
		sum += stakesOf(k + 1).share
	}
	if sum > 1 {
		t.Errorf("10,000 steps have %v of α", sum)
	}
}

// TestEdgesFollowControl: the edges of a quantile are fixed while a step lasts, and taken from
// control's values of the step before when the next begins.
func TestEdgesFollowControl(t *testing.T) {
	t.Parallel()
	d := newWorld(6)
	r := newRig(t, at(canary(tailLatency()), 3))
	q := &r.state.guards[0].quantile
	seconds := func(n int, latency float64) {
		for range n {
			r.tick(r.window(latencyArm(d, 200, latency), latencyArm(d, 200, latency)))
		}
	}
	seconds(4, 0.1)
	if q.frozen {
		t.Fatal("frozen before there are ten values above it")
	}
	seconds(3, 0.1)
	first := q.bins
	if at := edge(first[control]); !q.frozen || at < 0.35 || at > 0.6 {
		t.Fatalf("control's p99 of 0.46 s is taken for %v", at)
	}
	if ratio := edge(first[treatment]) / edge(first[control]); ratio < 1.1 || ratio > 1.1*gamma {
		t.Errorf("the treatment's edge is %v of control's", ratio)
	}
	seconds(20, 0.3)
	if q.bins != first {
		t.Error("an edge moved within a step")
	}
	enter(r.rollout, 4, 9800, r.now)
	r.tick()
	if at := edge(q.bins[control]); at < 1 || at > 1.9 {
		t.Errorf("in the next step the edge is %v, after a p99 of 1.4 s", at)
	}
}

// TestSegmentsShareTheEvidence: a segment's evidence is divided by how many there may be, however
// many there are.
func TestSegmentsShareTheEvidence(t *testing.T) {
	t.Parallel()
	g := errorRate()
	g.SegmentBy = "country"
	r := newRig(t, at(canary(g), 3))
	fr := func(events uint64) *telemetryv1.MetricCell {
		return &telemetryv1.MetricCell{Metric: "error", Segment: "fr", Count: events, Events: events, Exposures: 100, Subjects: 100}
	}
	for range 20 {
		r.tick(r.window(cellOf(10_000, errorsOf(500), fr(9)), cellOf(10_000, errorsOf(500), fr(2))))
	}
	s, plan := &r.state.guards[0], r.plan.guards[0]
	if len(s.segments) != 2 {
		t.Fatalf("%d segments", len(s.segments))
	}
	one := s.segments[1].rateHarm(stakesOf(1))
	harm, _ := s.harm(plan, stakesOf(1))
	if want := one - math.Log(2*maxSegments); one < 5 || math.Abs(harm-want) > 0.01 {
		t.Errorf("evidence %v of one segment makes %v, want %v", one, harm, want)
	}
}

// TestSuccessWaitsForBlocks: the success metric compares no windows that are too small for a
// variance.
func TestSuccessWaitsForBlocks(t *testing.T) {
	t.Parallel()
	for events, windows := range map[uint64]int{1: 10, 15: 4} { // ten events, a hundred units
		r := canary(errorRate())
		r.Success = &rolloutv1.Success{Metric: "signup", Statistic: rolloutv1.Statistic_STATISTIC_RATE, Denominator: rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS}
		g := newRig(t, at(r, 3))
		arm := func() *telemetryv1.Cell {
			return cellOf(30, &telemetryv1.MetricCell{Metric: "signup", Count: 30, Events: events})
		}
		for range 4 { // the scale
			g.tick(g.window(arm(), arm()))
		}
		for i := range 30 {
			g.tick(g.window(arm(), arm()))
			if got, want := g.state.success.difference.UnitsT, int64(30*windows*((i+1)/windows)); got != want {
				t.Fatalf("%d events of 30: after %d windows %d units are compared, want %d", events, i+1, got, want)
			}
		}
	}
}

// TestSketches: in pieces or at once, values are counted the same; no more bins are kept than
// there is room for, and no value is lost.
func TestSketches(t *testing.T) {
	t.Parallel()
	d := newWorld(12)
	for range 200 {
		var whole, kept sketch
		total := uint64(0)
		for range 1 + d.IntN(5) {
			p := &telemetryv1.Sketch{Offset: int32(d.IntN(900) - 450), Bins: make([]uint64, d.IntN(700)), Zeros: d.Uint64N(3)}
			total += p.GetZeros()
			for i := range p.GetBins() {
				p.Bins[i] = d.Uint64N(4)
				total += p.GetBins()[i]
			}
			before := bytesOf(t, p)
			var one sketch
			one.addProto(p)
			whole.addProto(p)
			kept.absorb(&one)
			if bytesOf(t, p) != before {
				t.Fatal("a message was changed")
			}
		}
		if len(kept.bins) > keptBins || kept.total != whole.total || uint64(kept.total) != total {
			t.Fatalf("%d bins of %d values, want %d", len(kept.bins), kept.total, total)
		}
		for bin := kept.offset; bin < kept.offset+len(kept.bins); bin++ {
			if kept.above(bin) != whole.above(bin) {
				t.Fatalf("above bin %d: %d of %d", bin, kept.above(bin), whole.above(bin))
			}
		}
		if at, ok := whole.quantileBin(0.99); ok && at > kept.offset {
			if got, _ := kept.quantileBin(0.99); got != at {
				t.Fatalf("the 99th percentile is in bin %d, not %d", got, at)
			}
		}
	}
	for _, bin := range []int{-300, -1, 0, 1, 7, 400} {
		if got := binFrom(edge(bin)); got != bin || math.Abs(edge(bin)/math.Pow(gamma, float64(bin))-1) > 1e-12 {
			t.Errorf("the edge of bin %d is %v, of bin %d", bin, edge(bin), got)
		}
	}
}
