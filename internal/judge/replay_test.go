package judge

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// everything is a rollout with a guardrail of each kind.
func everything() *rolloutv1.Rollout {
	segmented := errorRate()
	segmented.Name, segmented.SegmentBy = "errors-by-country", "country"
	fall := &rolloutv1.Guardrail{
		Name: "signups", Metric: "signup", Statistic: rolloutv1.Statistic_STATISTIC_RATE, Margin: points(2),
		Worse: rolloutv1.Direction_DIRECTION_DECREASE, Denominator: rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS,
	}
	r := canary(errorRate(), meanLatency(), tailLatency(), segmented, fall,
		&rolloutv1.Guardrail{Name: "accuracy", Metric: "outcome", Statistic: rolloutv1.Statistic_STATISTIC_MISPREDICTION, Margin: relative(0.1)},
		&rolloutv1.Guardrail{Name: "f1", Metric: "outcome", Statistic: rolloutv1.Statistic_STATISTIC_F1, Reference: 0.6, Worse: rolloutv1.Direction_DIRECTION_DECREASE},
		&rolloutv1.Guardrail{Name: "precision", Metric: "outcome", Statistic: rolloutv1.Statistic_STATISTIC_FALSE_DISCOVERY, Margin: relative(0.1)},
		&rolloutv1.Guardrail{Name: "recall", Metric: "outcome", Statistic: rolloutv1.Statistic_STATISTIC_MISS, Margin: relative(0.1)},
		&rolloutv1.Guardrail{Name: "drift", Metric: "outcome", Statistic: rolloutv1.Statistic_STATISTIC_DRIFT},
	)
	r.Success = &rolloutv1.Success{Metric: "signup", Statistic: rolloutv1.Statistic_STATISTIC_RATE, Denominator: rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS}
	return r
}

// everyMetric draws a second of an arm with every kind of metric.
func (w world) everyMetric(n uint64) *telemetryv1.Cell {
	c := w.arm(n, 0.05, 0.1, 0)
	for _, country := range []string{"de", "fr"} {
		events := w.binomial(n/2, 0.05)
		c.Metrics = append(c.Metrics, &telemetryv1.MetricCell{Metric: "error", Segment: country, Count: events, Events: events, Exposures: n / 2, Subjects: n / 2})
	}
	c.Metrics = append(c.Metrics, &telemetryv1.MetricCell{Metric: "signup", Count: n, Events: w.binomial(n, 0.3)})
	tp, fp, fn := w.binomial(n/2, 0.8), w.binomial(n/4, 0.3), w.binomial(n/4, 0.3)
	m := c.GetMetrics()[2]
	m.Events = fp + fn
	m.Confusion = &telemetryv1.Confusion{TruePositives: tp, FalsePositives: fp, FalseNegatives: fn, TrueNegatives: n - tp - fp - fn}
	m.Predictions = map[string]uint64{"true": tp + fp, "false": n - tp - fp}
	return c
}

// shuffled splits a window into those of several relays, in any order.
func (w world) shuffled(windows []*telemetryv1.Window) []*telemetryv1.Window {
	var out []*telemetryv1.Window
	for _, x := range windows {
		for _, c := range x.GetCells() {
			out = append(out, &telemetryv1.Window{BeganAt: x.GetBeganAt(), Length: x.GetLength(), Cells: []*telemetryv1.Cell{c}})
		}
	}
	w.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func bytesOf(t *testing.T, m proto.Message) string {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDeterminism: the same inputs give the same bytes; so do windows in another order, a state
// that was stored and loaded in between, and inputs that were added up before.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	runs, seconds := 40, 25 // 1,000 judgements, each in three ways
	for seed := range uint64(runs) {
		d := newWorld(seed)
		r := newRig(t, at(everything(), int(seed)%5))
		for range seconds {
			var windows []*telemetryv1.Window
			for range 1 + d.IntN(3) { // relays
				nt := 1 + d.Uint64N(200)
				windows = append(windows, r.window(d.everyMetric(nt), d.everyMetric(200)))
			}
			in := r.inputs(windows...)
			raw := proto.CloneOf(in)
			raw.Windows = d.shuffled(windows)
			a, b, c := judged(t, r, in), judged(t, r, raw), r.state.Judge(in.GetRollout().GetStatus(), in.GetWindows(), in.GetSituation(), GatedDwell{})
			if want, got := bytesOf(t, a.State.Evidence()), bytesOf(t, b.State.Evidence()); want != got {
				t.Fatalf("seed %d: another order, other evidence:\n%v\n%v", seed, a.State.Evidence(), b.State.Evidence())
			}
			if bytesOf(t, a.State.Evidence()) != bytesOf(t, r.state.Evidence()) {
				t.Fatalf("seed %d: stored and loaded, the evidence is another", seed)
			}
			if fmt.Sprint(a.Outcome) != fmt.Sprint(b.Outcome) || fmt.Sprint(a.Outcome) != fmt.Sprint(c) {
				t.Fatalf("seed %d: %v, %v, %v", seed, a.Outcome, b.Outcome, c)
			}
			if err := Replay(wire(t, a.Decision())); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if c.Verdict == rollback {
				break
			}
			r.apply(c)
		}
	}
}

func judged(t *testing.T, r *rig, in *rolloutv1.Inputs) *Judgement {
	t.Helper()
	before := bytesOf(t, in)
	j, err := r.plan.Judge(in, GatedDwell{})
	if err != nil {
		t.Fatal(err)
	}
	if bytesOf(t, in) != before {
		t.Fatal("judging changed its inputs")
	}
	return j
}

// wire writes and reads a decision, as the store does.
func wire(t *testing.T, d *rolloutv1.Decision) *rolloutv1.Decision {
	t.Helper()
	out := &rolloutv1.Decision{}
	if err := proto.Unmarshal([]byte(bytesOf(t, d)), out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestReplayFindsTampering: whatever is changed in a decision or its inputs is found.
func TestReplayFindsTampering(t *testing.T) {
	t.Parallel()
	d := newWorld(7)
	r := newRig(t, at(canary(errorRate(), meanLatency()), 1))
	for range 20 {
		r.tick(r.window(d.arm(20, 0.05, 0.1, 0), d.arm(380, 0.05, 0.1, 0)))
	}
	j := judged(t, r, r.inputs(r.window(cellOf(40, errorsOf(40)), cellOf(380, errorsOf(10)))))
	if j.Verdict != rollback {
		t.Fatalf("40 errors of 40: %v", j.Outcome)
	}
	good := j.Decision()
	if err := Replay(wire(t, good)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*rolloutv1.Decision){
		"verdict":     func(d *rolloutv1.Decision) { d.Verdict = hold },
		"deciding":    func(d *rolloutv1.Decision) { d.Deciding = "latency" },
		"from_weight": func(d *rolloutv1.Decision) { d.FromWeight++ },
		"to_weight":   func(d *rolloutv1.Decision) { d.ToWeight = 10 },
		"proposed":    func(d *rolloutv1.Decision) { d.Proposed = advance },
		"shield":      func(d *rolloutv1.Decision) { d.Shield = "" },
		"headline":    func(d *rolloutv1.Decision) { d.Headline = "fine" },
		"assessment":  func(d *rolloutv1.Decision) { *d.Assessment.Guardrails[0].LogE += 1e-12 },
		"policy":      func(d *rolloutv1.Decision) { d.Policy = "another" },
		"evidence":    func(d *rolloutv1.Decision) { d.Inputs.Evidence.Guardrails[0].Segments[0].Steady.LogR[3] += 50 },
		"windows":     func(d *rolloutv1.Decision) { d.Inputs.Windows = nil },
		"rollout":     func(d *rolloutv1.Decision) { d.Inputs.Rollout.Guardrails[0].Margin = relative(0.5) },
		"situation":   func(d *rolloutv1.Decision) { d.Inputs.Situation.FlagReady = false },
	} {
		bad := wire(t, good)
		change(bad)
		if err := Replay(bad); !errors.Is(err, ErrReplay) {
			t.Errorf("%s changed: %v", name, err)
		} else if name != "evidence" && name != "windows" && name != "rollout" && name != "situation" && !strings.Contains(err.Error(), name) {
			t.Errorf("%s changed: the error does not say so: %v", name, err)
		}
	}
	broken := wire(t, good)
	broken.Inputs.Evidence.Guardrails[0].Name = "other"
	if err := Replay(broken); !errors.Is(err, ErrEvidence) {
		t.Errorf("evidence of another guardrail: %v", err)
	}
	broken.Inputs.Rollout.Stages = nil
	if err := Replay(broken); !errors.Is(err, ErrRollout) {
		t.Errorf("a rollout without stages: %v", err)
	}
}

// TestEvidenceIsSmall: five guardrails, a day of traffic, twenty steps.
func TestEvidenceIsSmall(t *testing.T) {
	t.Parallel()
	five := everything()
	five.Guardrails = five.Guardrails[:5]
	d := newWorld(3)
	r := newRig(t, at(five, 3))
	for i := range 200 {
		if i%10 == 0 {
			enter(r.rollout, 3, 5000, r.now)
		}
		c := d.everyMetric(200)
		c.Exposures, c.Subjects = 1<<40, 1<<40 // a large fleet's
		for _, m := range c.GetMetrics()[:2] {
			m.Count = 1 << 40
			for b := range m.GetSketch().GetBins() {
				m.Sketch.Bins[b] = 1 << 30
			}
		}
		r.tick(r.window(d.everyMetric(200), c))
	}
	if size := len(bytesOf(t, r.state.Evidence())); size > 10<<10 {
		t.Errorf("the evidence of five guardrails is %d bytes", size)
	}
}

// FuzzEvidence: whatever is stored, it is refused or judged by; no breaker is left blind.
func FuzzEvidence(f *testing.F) {
	d := newWorld(5)
	r := &rig{rollout: at(everything(), 1), now: epoch, policy: GatedDwell{}, situation: &rolloutv1.Situation{FlagReady: true, Relays: 1, RelaysApplied: 1, RelaysFresh: 1}}
	plan, err := Compile(r.rollout)
	if err != nil {
		f.Fatal(err)
	}
	r.plan, r.state = plan, plan.NewState()
	for range 8 {
		r.tick(r.window(d.everyMetric(20), d.everyMetric(200)))
	}
	for _, e := range []*rolloutv1.Evidence{nil, r.state.Evidence()} {
		b, err := proto.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, []byte{})
	}
	b, err := proto.Marshal(r.window(d.everyMetric(20), d.everyMetric(200)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, b)
	f.Fuzz(func(t *testing.T, stored, window []byte) {
		e, w := &rolloutv1.Evidence{}, &telemetryv1.Window{}
		if proto.Unmarshal(stored, e) != nil || proto.Unmarshal(window, w) != nil {
			return
		}
		if len(stored) == 0 {
			e = nil
		}
		in := &rolloutv1.Inputs{Rollout: r.rollout, Evidence: e, Windows: []*telemetryv1.Window{w}, Situation: r.situation}
		j, err := plan.Judge(in, GatedDwell{})
		if err != nil {
			if !errors.Is(err, ErrEvidence) {
				t.Fatal(err)
			}
			return
		}
		for i, g := range plan.guards {
			if harm, _ := j.State.guards[i].harm(g, stakesOf(j.State.step)); harm != harm {
				t.Fatalf("'%s' is blind", g.name)
			}
		}
		if _, err := plan.Load(j.State.Evidence()); err != nil {
			t.Fatalf("its own evidence is refused: %v", err)
		}
		_ = j.Decision()
	})
}

// busy is a rollout with five guardrails: all kinds of tests, with a sketch of 800 bins an arm; and
// a second of its telemetry.
func busy(b *testing.B) (*rig, *telemetryv1.Window) {
	b.Helper()
	five := everything()
	five.Guardrails = append(five.Guardrails[:3], five.Guardrails[4:6]...)
	r := &rig{rollout: at(five, 3), now: epoch, policy: GatedDwell{}, situation: &rolloutv1.Situation{FlagReady: true, Relays: 1, RelaysApplied: 1, RelaysFresh: 1}}
	plan, err := Compile(five)
	if err != nil {
		b.Fatal(err)
	}
	r.plan, r.state = plan, plan.NewState()
	d := newWorld(1)
	return r, r.window(d.everyMetric(100), d.everyMetric(100))
}

// BenchmarkJudge is a second of a busy rollout.
func BenchmarkJudge(b *testing.B) {
	r, w := busy(b)
	b.ReportAllocs()
	for b.Loop() {
		r.tick(w)
	}
}

// BenchmarkAssessment is to say how its evidence stands, after ten seconds.
func BenchmarkAssessment(b *testing.B) {
	r, w := busy(b)
	for range 10 {
		r.tick(w)
	}
	j, err := r.plan.Judge(r.inputs(w), GatedDwell{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = j.Assessment()
	}
}
