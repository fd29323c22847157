package tally_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/tally"
)

func TestExposures(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()}, 2000)
	want := map[string]uint64{}
	for range 3 {
		for i := range 500 {
			want[s.expose("flag-r", user(i)).Name]++
		}
	}
	// Contexts that another rule serves, and flags that do not exist, are no part of it.
	guest := &eval.Context{TargetingKey: "guest", Attributes: eval.Map{"guest": true}}
	r := s.snapshot.Eval().Evaluate("flag-r", guest)
	s.tally.Exposed(&r, guest)
	r = s.snapshot.Eval().Evaluate("missing", guest)
	s.tally.Exposed(&r, guest)

	batches := s.cut()
	l := newLedger(t).add(batches...)
	for arm, variant := range map[telemetryv1.Arm]string{inControl: "off", inTreatment: "on"} {
		c := l.cell("r", 1, arm)
		if c.GetExposures() != want[variant] {
			t.Errorf("%s: %d exposures, want %d", arm, c.GetExposures(), want[variant])
		}
		// 500 subjects among 4,096 bits: some share theirs.
		if n := want[variant] / 3; c.GetSubjects() > n || c.GetSubjects() < n*8/10 || c.GetNewSubjects() < c.GetSubjects()*95/100 {
			t.Errorf("%s: %d subjects, %d new, want about %d", arm, c.GetSubjects(), c.GetNewSubjects(), n)
		}
	}
	if w := batches[0].GetWindows()[0]; !w.GetBeganAt().AsTime().Equal(start) || w.GetLength().AsDuration() != time.Second {
		t.Errorf("the window is from %s, of %s", w.GetBeganAt().AsTime(), w.GetLength().AsDuration())
	}
	if l.completeTo != start.Add(time.Second) || l.emitted != 1500 || l.lost != 0 {
		t.Errorf("complete to %s; emitted %d, lost %d", l.completeTo, l.emitted, l.lost)
	}

	// In the next window they are not new any more.
	for i := range 500 {
		s.expose("flag-r", user(i))
	}
	l = newLedger(t)
	l.counted = 1500
	l.add(s.cut()...)
	for _, arm := range []telemetryv1.Arm{inControl, inTreatment} {
		if c := l.cell("r", 1, arm); c.GetNewSubjects() != 0 || c.GetSubjects() == 0 {
			t.Errorf("%s: %d subjects, %d new", arm, c.GetSubjects(), c.GetNewSubjects())
		}
	}
}

// An answer belongs to the step that it was given at, however late it is counted.
func TestStepOfAnswer(t *testing.T) {
	s := newSite(t, tally.Options{Settling: 30 * time.Second})
	s.begin(&rolloutv1.Rollout{Key: "r"}, 1000)
	ctx := &eval.Context{TargetingKey: "u"}
	old := s.snapshot.Eval().Evaluate("flag-r", ctx)
	s.now = s.now.Add(5 * time.Second)
	s.widen("r", 10_000)
	s.tally.Exposed(&old, ctx)
	s.expose("flag-r", "u")
	l := newLedger(t).add(s.cut()...)
	if n := l.cell("r", 1, inControl).GetExposures() + l.cell("r", 1, inTreatment).GetExposures(); n != 1 {
		t.Errorf("%d exposures at step 1, want 1", n)
	}
	if n := l.cell("r", 2, inTreatment).GetExposures(); n != 1 {
		t.Errorf("%d exposures at step 2, want 1", n)
	}
	// Counters that nobody reads any more do not swallow anything.
	s.now = s.now.Add(time.Minute)
	l.add(s.cut()...)
	s.tally.Exposed(&old, ctx)
	l.add(s.cut()...)
	if a := s.tally.Account(); a.LostBy[tally.Late] != 1 || l.lost != 1 || l.emitted != 3 {
		t.Errorf("lost %d, of it late %d; emitted %d", l.lost, a.LostBy[tally.Late], l.emitted)
	}
}

func TestOver(t *testing.T) {
	s := newSite(t, tally.Options{Settling: 30 * time.Second})
	s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()}, 1000)
	s.expose("flag-r", "u")
	s.now = s.now.Add(2 * time.Minute)
	for i := range 3 { // what a window takes is given back with it
		s.observe(user(i), failed("errors"), took("latency", time.Second), outcome("fraud", &telemetryv1.Outcome{
			Prediction: &telemetryv1.Outcome_PredictedScore{PredictedScore: 1},
		}))
		s.tally.Turn(s.now)
		s.now = s.now.Add(10 * time.Second)
	}
	counted := s.tally.Cut(s.now)[0].GetTally().GetCounted()
	s.expose("flag-r", "u")
	s.finish("r", rolloutv1.State_STATE_ABORTED)
	s.expose("flag-r", "u") // of the same compiled flag
	s.observe("u", failed("errors"))
	l := newLedger(t)
	l.counted = counted
	l.add(s.cut()...)
	if counted != 10 || l.emitted != 11 {
		t.Errorf("counted %d before the end, emitted %d: what came after it was counted", counted, l.emitted)
	}
	s.now = s.now.Add(time.Minute)
	s.cut()
	if b := s.cut(); b != nil {
		t.Errorf("there is nothing to tell, but %v", b)
	}
	if n := s.tally.Account().MemoryBytes; n != 0 {
		t.Errorf("%d bytes are held for nothing", n)
	}

	// Its key may come again, with another rollout.
	s.must(s.delete(syncv1.Kind_KIND_ROLLOUT, "r"))
	s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()[:1]}, 5000)
	s.expose("flag-r", "u")
	s.now = s.now.Add(time.Second)
	again := proto.CloneOf(s.rollouts["r"])
	s.begin(again, 5000)
	s.expose("flag-r", "u")
	l = newLedger(t)
	l.counted = counted + 1
	l.add(s.cut()...)
	if a := s.tally.Account(); a.LostBy[tally.Late] != 1 || l.emitted != 13 {
		t.Errorf("lost %v, emitted %d", a.LostBy, l.emitted)
	}
}

// While there is a rollout, the decider learns that everything was told.
func TestEmptyBatch(t *testing.T) {
	s := newSite(t, tally.Options{})
	if b := s.cut(); b != nil {
		t.Errorf("there is no rollout, but %v", b)
	}
	s.begin(&rolloutv1.Rollout{Key: "r"}, 1000)
	for range 3 {
		b := s.cut()
		if len(b) != 1 || !b[0].GetCompleteTo().AsTime().Equal(s.now) || b[0].GetEnvironment() != "production" || b[0].GetTally() == nil {
			t.Fatalf("%v at %s", b, s.now)
		}
	}
}

// What was told of a rollout that cannot be counted, and that the others go on.
func TestUnusable(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*rolloutv1.Rollout, *flagv1.Flag)
		want   string
	}{
		"flag is missing": {func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.FlagKey = "none" }, `no usable flag "none"`},
		"no such rule":    {func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Rule = "none" }, "serves no split there"},
		"plain outcome":   {func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Rule = "guests" }, "serves no split there"},
		"one variant":     {func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Control = "on" }, "the same variant"},
		"other variants":  {func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Control = "maybe" }, "not one of"},
		"no steps":        {func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Status.Steps = nil }, "does not tell of its step"},
		"other total": {func(_ *rolloutv1.Rollout, f *flagv1.Flag) {
			f.DefaultOutcome.GetSplit().Variants[0].Weight = 7
		}, "add up to"},
		"treatment last": {func(_ *rolloutv1.Rollout, f *flagv1.Flag) {
			slices.Reverse(f.DefaultOutcome.GetSplit().Variants)
		}, "not one of"},
		"other weight": {func(_ *rolloutv1.Rollout, f *flagv1.Flag) {
			f.DefaultOutcome.GetSplit().Variants[0].Weight, f.DefaultOutcome.GetSplit().Variants[1].Weight = 1, 9999
		}, "splits with the weight 1"},
		"unknown statistic": {func(r *rolloutv1.Rollout, _ *flagv1.Flag) {
			r.Guardrails[0].Statistic = 99
		}, `guardrail "errors"`},
		"two attributes": {func(r *rolloutv1.Rollout, _ *flagv1.Flag) {
			r.Guardrails = append(guardrails(), guardrails()[0])
			r.Guardrails[0].SegmentBy, r.Guardrails[4].SegmentBy = "a", "b"
		}, "watched by one attribute"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, tally.Options{})
			s.begin(&rolloutv1.Rollout{Key: "sound", Guardrails: guardrails()}, 1000)
			s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()}, 1000)
			r, f := proto.CloneOf(s.rollouts["r"]), splitFlag("flag-r", 1000)
			r.Status.StartedAt.Seconds++
			tc.change(r, f)
			err := s.apply(r, f)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), `rollout "r"`) {
				t.Fatalf("error %v, want one with %q", err, tc.want)
			}
			s.expose("flag-r", "u")
			s.observe("u", failed("errors"))
			s.expose("flag-sound", "u")
			l := newLedger(t).add(s.cut()...)
			if n := l.cell("sound", 1, inControl).GetExposures() + l.cell("sound", 1, inTreatment).GetExposures(); n != 1 {
				t.Errorf("%d exposures of the sound one", n)
			}
		})
	}
}

// A flag that comes broken leaves its last version in force: it serves the step before.
func TestLastKnownGood(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()}, 1000)
	s.now = s.now.Add(time.Minute)
	r := s.rollouts["r"]
	r.Status.Step, r.Status.Weight = 2, 5000
	r.Status.Steps = append(r.Status.Steps, &rolloutv1.Step{Step: 2, Weight: 5000})
	broken := splitFlag("flag-r", 5000)
	broken.OffVariant = "none"
	if err := s.apply(r, broken); err == nil {
		t.Error("nothing is said about it")
	}
	s.expose("flag-r", "u")
	s.observe("u", failed("errors"))
	l := newLedger(t).add(s.cut()...)
	if len(l.cells) != 1 || l.cell("r", 2, inControl) != nil || l.cell("r", 2, inTreatment) != nil {
		t.Errorf("counted as %v", l.cells)
	}
	s.must(s.apply(splitFlag("flag-r", 5000)))
	s.expose("flag-r", "u")
	l.add(s.cut()...)
	if l.cell("r", 2, inControl) == nil && l.cell("r", 2, inTreatment) == nil {
		t.Errorf("counted as %v", l.cells)
	}
}

// What all flags served, whether they have a rollout or not.
func TestEvaluations(t *testing.T) {
	s := newSite(t, tally.Options{EvaluationsEvery: 5 * time.Second})
	s.begin(&rolloutv1.Rollout{Key: "r"}, 5000)
	plain := splitFlag("plain", 3000)
	s.must(s.apply(plain))
	l := newLedger(t).add(s.cut()...)
	want := map[string]uint64{}
	for i := range 300 {
		for _, key := range []string{"plain", "flag-r"} {
			want[key+"/"+s.expose(key, user(i)).Name]++
		}
	}
	nobody := s.snapshot.Eval().Evaluate("plain", nil)
	s.tally.Exposed(&nobody, nil)
	want["plain/"]++
	// A flag whose variants change, and one that goes, lose nothing.
	plain.Variants = append(plain.Variants, proto.CloneOf(plain.Variants[0]))
	plain.Variants[2].Name = "third"
	slices.Reverse(plain.Variants)
	s.must(s.apply(plain))
	for i := range 300 {
		want["plain/"+s.expose("plain", user(i)).Name]++
	}
	s.must(s.delete(syncv1.Kind_KIND_FLAG, "plain"))
	for range 5 {
		l.add(s.cut()...)
	}
	if fmt.Sprint(l.evaluations) != fmt.Sprint(want) {
		t.Errorf("evaluations %v, want %v", l.evaluations, want)
	}
	if l.emitted != 300 {
		t.Errorf("emitted %d: evaluations are not part of the account", l.emitted)
	}
}

// Batches are bounded; both arms of a step are in the same one.
func TestLargeCut(t *testing.T) {
	s := newSite(t, tally.Options{BatchBytes: 1024})
	for i := range 60 {
		s.begin(&rolloutv1.Rollout{Key: fmt.Sprintf("r%02d", i), Guardrails: guardrails()}, 5000)
	}
	s.settle().cut()
	for i := range 60 {
		for u := range 50 {
			s.expose(fmt.Sprintf("flag-r%02d", i), user(u))
		}
	}
	batches := s.cut()
	l := newLedger(t).add(batches...)
	if len(batches) < 3 || l.emitted != 3000 {
		t.Fatalf("%d batches, emitted %d", len(batches), l.emitted)
	}
	for i, b := range batches {
		if n := proto.Size(b); n > 1024+256 {
			t.Errorf("batch %d has %d bytes", i, n)
		}
		if last := i == len(batches)-1; b.GetCompleteTo().AsTime().Equal(s.now) != last {
			t.Errorf("batch %d of %d is complete to %s", i, len(batches), b.GetCompleteTo().AsTime())
		}
		arms := map[string]int{}
		for _, c := range b.GetWindows()[0].GetCells() {
			arms[c.GetRollout()]++
		}
		for key, n := range arms {
			if n != 2 {
				t.Errorf("batch %d has %d arms of %s", i, n, key)
			}
		}
	}
}

// Windows get longer, and nothing is lost, where nobody takes them; the clock may do what it
// likes.
func TestWindows(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(&rolloutv1.Rollout{Key: "r"}, 5000)
	for range 100 {
		s.expose("flag-r", "u")
		s.now = s.now.Add(time.Second)
		s.tally.Turn(s.now)
	}
	if w := s.tally.Turn(s.now.Add(999 * time.Millisecond)); w != nil {
		t.Errorf("a window ended within a second: %v", w)
	}
	l := newLedger(t).add(s.cut()...)
	l.add(s.cut()...)
	s.expose("flag-r", "u")
	s.now = s.now.Add(-24 * time.Hour)
	l.add(s.cut()...)
	s.expose("flag-r", "u")
	s.now = s.now.Add(48 * time.Hour)
	l.add(s.cut()...)
	if l.emitted != 102 {
		t.Errorf("emitted %d, want 102", l.emitted)
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]tally.Options{
		"no environment": {},
		"settling":       {Environment: "e", Settling: -1},
		"memory":         {Environment: "e", MemoryBytes: 1},
		"batch":          {Environment: "e", BatchBytes: 1},
	} {
		if _, err := tally.New(o); !errors.Is(err, tally.ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
