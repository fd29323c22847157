package tally_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/eval"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/tally"
)

// Everybody is attributed to what evaluation serves, at each step, now and afterwards, and
// nobody leaves the treatment as the weight rises.
func TestAttribution(t *testing.T) {
	users := 100_000
	if raceEnabled {
		users = 10_000
	}
	s := newSite(t, tally.Options{})
	weights := []uint32{100, 500, 2000, 5000, 10_000}
	served := make([][]bool, len(weights))
	times := make([]time.Time, len(weights))
	for i, weight := range weights {
		if i == 0 {
			s.begin(&rolloutv1.Rollout{Key: "r"}, weight)
		} else {
			s.widen("r", weight)
		}
		s.settle()
		times[i], served[i] = s.now, make([]bool, users)
		env := s.snapshot.Eval()
		for u := range users {
			ctx := &eval.Context{TargetingKey: user(u)}
			served[i][u] = env.Evaluate("flag-r", ctx).Variant.Name == "on"
			if i > 0 && served[i-1][u] && !served[i][u] {
				t.Fatalf("%s left the treatment at step %d", user(u), i+1)
			}
			if u%10 > 0 {
				continue
			}
			want := tally.Attributed{Verdict: "belongs", Step: uint64(i + 1), Treated: served[i][u]}
			if got := s.tally.Attribute("r", ctx, time.Time{}, s.now); got != want {
				t.Fatalf("%s: %+v, want %+v", user(u), got, want)
			}
		}
		s.settle()
	}
	for u := range users {
		for i := range weights {
			ctx := &eval.Context{TargetingKey: user(u)}
			want := tally.Attributed{Verdict: "belongs", Step: uint64(i + 1), Treated: served[i][u]}
			if got := s.tally.Attribute("r", ctx, times[i], s.now); got != want {
				t.Fatalf("%s at step %d: %+v, want %+v", user(u), i+1, got, want)
			}
		}
	}
}

// Around a change of weight, only those whose arm did not change can be attributed.
func TestAmbiguous(t *testing.T) {
	s := newSite(t, tally.Options{})
	began := s.now
	s.begin(&rolloutv1.Rollout{Key: "r"}, 1000)
	s.now = s.now.Add(10 * time.Minute)
	widened := s.now
	s.widen("r", 3000)
	always, moved, never := who(s, 0, 1000), who(s, 1000, 3000), who(s, 3000, 10_000)
	belongs := func(step uint64, treated bool) tally.Attributed {
		return tally.Attributed{Verdict: "belongs", Step: step, Treated: treated}
	}
	vague := func(step uint64, treated bool) tally.Attributed {
		return tally.Attributed{Verdict: "ambiguous", Step: step, Treated: treated}
	}
	ago := widened.Add
	for _, tc := range []struct {
		user      string
		after     time.Duration // of the change
		exposedAt time.Time
		want      tally.Attributed
	}{
		{always, 0, time.Time{}, belongs(2, true)},
		{never, 0, time.Time{}, belongs(2, false)},
		{moved, 0, time.Time{}, vague(2, true)},
		{moved, 59 * time.Second, time.Time{}, vague(2, true)},
		{moved, 61 * time.Second, time.Time{}, belongs(2, true)},
		{moved, time.Hour, ago(time.Second), vague(2, true)},
		{moved, time.Hour, ago(-time.Second), vague(1, false)},
		{moved, time.Hour, ago(3 * time.Second), belongs(2, true)},
		{moved, 5 * time.Second, ago(3 * time.Second), belongs(2, true)},
		{moved, time.Hour, ago(-3 * time.Second), belongs(1, false)},
		{always, time.Hour, ago(-time.Second), belongs(1, true)},
		{never, time.Hour, ago(time.Second), belongs(2, false)},
		// Before the first step everybody had the control.
		{always, time.Hour, began.Add(time.Second), vague(1, true)},
		{moved, time.Hour, began.Add(time.Second), belongs(1, false)},
		{never, time.Hour, began.Add(-time.Second), belongs(1, false)},
		{always, time.Hour, began.Add(-time.Second), vague(1, true)},
		{always, time.Hour, began.Add(-3 * time.Second), tally.Attributed{Verdict: "outside"}},
	} {
		got := s.tally.Attribute("r", &eval.Context{TargetingKey: tc.user}, tc.exposedAt, widened.Add(tc.after))
		if tc.want.Verdict == "outside" {
			got.Step, got.Treated = 0, false
		}
		if got != tc.want {
			t.Errorf("%s, %s after the change, exposed at %s: %+v, want %+v", tc.user, tc.after, tc.exposedAt, got, tc.want)
		}
	}
}

// who returns a user whose bucket is in a range.
func who(s *site, from, to uint64) string {
	for i := range 100_000 {
		r := s.snapshot.Eval().Evaluate("flag-r", &eval.Context{TargetingKey: user(i)})
		if _, hash := r.Assignment(); eval.Bucket(hash, 10_000) >= from && eval.Bucket(hash, 10_000) < to {
			return user(i)
		}
	}
	s.tb.Fatal("nobody")
	return ""
}

// What is ambiguous is declared lost, and told apart.
func TestAmbiguousIsLost(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()}, 1000)
	s.now = s.now.Add(10 * time.Minute)
	s.cut()
	s.widen("r", 3000)
	s.observe(who(s, 1000, 3000), failed("errors"))
	l := newLedger(t).add(s.cut()...)
	m := l.metric("r", 2, inTreatment, "errors")
	if m.GetAmbiguous() != 1 || m.GetCount() != 0 || l.lost != 1 || l.emitted != 1 {
		t.Errorf("%v; emitted %d, lost %d", m, l.emitted, l.lost)
	}
	if a := s.tally.Account(); a.LostBy[tally.Ambiguous] != 1 {
		t.Errorf("lost %v", a.LostBy)
	}
}

// Whoever was served here since the weight changed is attributed at once: harm shows within
// seconds of a change, too.
func TestServedSinceTheChange(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()}, 1000)
	s.now = s.now.Add(10 * time.Minute)
	moved := who(s, 1000, 3000)
	s.expose("flag-r", moved)
	l := newLedger(t).add(s.cut()...)
	s.widen("r", 3000)
	attribute := func() tally.Attributed {
		return s.tally.Attribute("r", &eval.Context{TargetingKey: moved}, time.Time{}, s.now)
	}
	if got := attribute(); got.Verdict != "ambiguous" {
		t.Errorf("served before the change: %+v", got)
	}
	s.expose("flag-r", moved)
	if got, want := attribute(), (tally.Attributed{Verdict: "belongs", Step: 2, Treated: true}); got != want {
		t.Errorf("served since the change: %+v, want %+v", got, want)
	}
	s.observe(moved, failed("errors"))
	if m := l.add(s.cut()...).metric("r", 2, inTreatment, "errors"); m.GetEvents() != 1 || m.GetAmbiguous() != 0 {
		t.Errorf("counted %v", m)
	}
}

// A relay that missed a change for a while served the step before until it caught up.
func TestCaughtUp(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(&rolloutv1.Rollout{Key: "r"}, 1000)
	s.now = s.now.Add(time.Hour)
	r := s.rollouts["r"]
	s.widen("r", 3000)
	r.Status.Steps[1].BeganAt.Seconds -= 1800
	moved := &eval.Context{TargetingKey: who(s, 1000, 3000)}
	s.must(s.apply(r))
	if got := s.tally.Attribute("r", moved, time.Time{}, s.now.Add(time.Second)); got.Verdict != "ambiguous" {
		t.Errorf("just caught up: %+v", got)
	}
	if got := s.tally.Attribute("r", moved, s.now.Add(-10*time.Minute), s.now.Add(time.Second)); got.Step != 1 || got.Verdict != "belongs" {
		t.Errorf("while it was behind: %+v", got)
	}
}

func TestMetrics(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(&rolloutv1.Rollout{Key: "r", Unit: rolloutv1.Unit_UNIT_REQUEST, Guardrails: guardrails()}, 10_000)
	s.settle().cut()
	label := func(predicted, actual string) *telemetryv1.Observation {
		o := &telemetryv1.Outcome{Prediction: &telemetryv1.Outcome_PredictedLabel{PredictedLabel: predicted}, PositiveLabel: "cat"}
		if actual != "" {
			o.Actual = &telemetryv1.Outcome_ActualLabel{ActualLabel: actual}
		}
		return outcome("fraud", o)
	}
	score := func(p float64, actual bool) *telemetryv1.Observation {
		return outcome("fraud", &telemetryv1.Outcome{
			Prediction: &telemetryv1.Outcome_PredictedScore{PredictedScore: p}, Actual: &telemetryv1.Outcome_ActualPositive{ActualPositive: actual},
		})
	}
	refusals := s.observe("u",
		failed("errors"), failed("errors"), &telemetryv1.Observation{Metric: "errors", Value: &telemetryv1.Observation_Happened{}},
		number("cost", 1.5), number("cost", -2), took("latency", 250*time.Millisecond), took("latency", 0), number("latency", 3),
		label("cat", "cat"), label("cat", "dog"), label("dog", "cat"), label("dog", "bird"), label("dog", ""),
		score(0.5, true), score(0.49, true), score(1, false), score(0, false),
		failed("nobody watches this"),
	)
	if len(refusals) > 0 {
		t.Fatal(refusals)
	}
	batches := s.cut()
	l := newLedger(t).add(batches...)
	get := func(name string) *telemetryv1.MetricCell { return l.metric("r", 1, inTreatment, name) }
	if m := get("errors"); m.GetCount() != 3 || m.GetEvents() != 2 {
		t.Errorf("errors: %v", m)
	}
	if m := get("cost"); m.GetCount() != 2 || m.GetSum() != -0.5 || m.GetSumSquares() != 6.25 {
		t.Errorf("cost: %v", m)
	}
	if m := get("latency"); m.GetCount() != 3 || m.GetSum() != 3.25 {
		t.Errorf("latency: %v", m)
	}
	for _, m := range batches[0].GetWindows()[0].GetCells()[0].GetMetrics() {
		if want := m.GetMetric() == "latency"; (m.GetSketch() != nil) != want {
			t.Errorf("%s has the sketch %v", m.GetMetric(), m.GetSketch())
		}
	}
	m := get("fraud")
	x := m.GetConfusion()
	if m.GetCount() != 8 || m.GetEvents() != 5 || x.GetTruePositives() != 2 || x.GetFalsePositives() != 2 || x.GetFalseNegatives() != 2 || x.GetTrueNegatives() != 2 {
		t.Errorf("fraud: %v", m)
	}
	if want := map[string]uint64{"cat": 2, "dog": 3, "5": 1, "4": 1, "9": 1, "0": 1}; fmt.Sprint(m.GetPredictions()) != fmt.Sprint(want) {
		t.Errorf("predictions %v, want %v", m.GetPredictions(), want)
	}
	if l.emitted != 3+2+3+9 {
		t.Errorf("emitted %d", l.emitted)
	}
}

// One subject in trouble is one piece of evidence, however often it tries.
func TestSubjectCountsOnce(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()}, 10_000)
	s.settle().cut()
	for range 50 {
		s.observe("u", failed("errors"), number("cost", 1))
		s.observe("v", failed("errors"))
	}
	l := newLedger(t).add(s.cut()...)
	if n := l.metric("r", 1, inTreatment, "errors").GetCount(); n != 2 {
		t.Errorf("%d errors of two users", n)
	}
	if n := l.metric("r", 1, inTreatment, "cost").GetCount(); n != 1 {
		t.Errorf("%d costs of one user", n)
	}
	if n := s.tally.Account().Folded; n != 147 {
		t.Errorf("%d folded", n)
	}
	s.now = s.now.Add(10 * time.Second)
	s.observe("u", failed("errors"), number("cost", 1)) // still in the same trouble
	l = l.add(s.cut()...)
	if n := l.metric("r", 1, inTreatment, "errors").GetCount(); n != 2 {
		t.Errorf("%d errors of two users, 10 s later", n)
	}
	if n := l.metric("r", 1, inTreatment, "cost").GetCount(); n != 2 {
		t.Errorf("%d costs of one user, 10 s later", n)
	}
	s.now = s.now.Add(time.Hour)
	s.observe("u", failed("errors"))
	// Labels that come together, of what was predicted over an hour.
	for i := range 6 {
		_, _ = s.tally.Observe(&tally.Event{
			Context: &eval.Context{TargetingKey: "w"}, ExposedAt: s.now.Add(-time.Duration(i*10) * time.Minute), Observations: []*telemetryv1.Observation{failed("errors")},
		}, s.now)
	}
	l.add(s.cut()...)
	if n := l.metric("r", 1, inTreatment, "errors").GetCount(); n != 2+7 {
		t.Errorf("%d errors", n)
	}
}

// Without a subject: what belongs to a variant as a whole.
func TestExposureEvents(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()}, 1000)
	s.now = s.now.Add(time.Hour)
	s.widen("r", 2000)
	s.cut()
	observe := func(variant string, at time.Time) []*telemetryv1.Refusal {
		_, refusals := s.tally.Observe(&tally.Event{
			Exposure:     &telemetryv1.Exposure{FlagKey: "flag-r", Variant: variant},
			ExposedAt:    at,
			Observations: []*telemetryv1.Observation{number("cost", 1)},
		}, s.now)
		return refusals
	}
	for range 3 {
		observe("on", time.Time{})
	}
	observe("off", s.now.Add(-30*time.Minute))
	observe("off", s.now.Add(-3*time.Hour)) // before the rollout
	if r := observe("none", time.Time{}); len(r) != 1 || !strings.Contains(r[0].GetMessage(), `no variant "none"`) {
		t.Errorf("an unknown variant: %v", r)
	}
	l := newLedger(t).add(s.cut()...)
	if n := l.metric("r", 2, inTreatment, "cost").GetCount(); n != 3 {
		t.Errorf("%d at step 2", n)
	}
	if n := l.metric("r", 1, inControl, "cost").GetCount(); n != 1 || l.emitted != 4 {
		t.Errorf("%d at step 1, emitted %d", n, l.emitted)
	}
}

func TestSegments(t *testing.T) {
	s := newSite(t, tally.Options{})
	g := guardrails()[:2]
	g[0].SegmentBy = "country"
	s.begin(&rolloutv1.Rollout{Key: "r", Unit: rolloutv1.Unit_UNIT_REQUEST, Guardrails: g}, 10_000)
	s.settle().cut()
	for i := range 40 {
		country := fmt.Sprintf("c%02d", min(i, 20))
		if i == 39 {
			country = strings.Repeat("x", 65)
		}
		ctx := &eval.Context{TargetingKey: user(i), Attributes: eval.Map{"country": country}}
		for range 2 {
			r := s.snapshot.Eval().Evaluate("flag-r", ctx)
			s.tally.Exposed(&r, ctx)
		}
		s.tally.Observe(&tally.Event{Context: ctx, Observations: []*telemetryv1.Observation{failed("errors"), number("cost", 1)}}, s.now)
	}
	s.expose("flag-r", "of no country")
	l := newLedger(t).add(s.cut()...)
	if c := l.cell("r", 1, inTreatment); c.GetExposures() != 81 || l.emitted != 81+80 {
		t.Errorf("%d exposures, emitted %d", c.GetExposures(), l.emitted)
	}
	segments := 0
	for key, m := range l.metrics[place{"r", 1, inTreatment}] {
		name, segment, found := strings.Cut(key, "/")
		if !found {
			continue
		}
		segments++
		want := uint64(1)
		if segment == tally.Other {
			want = 24
		}
		if name != "errors" || m.GetCount() != want || m.GetEvents() != want || m.GetExposures() != 2*want || m.GetSubjects() < want-1 || m.GetSubjects() > want {
			t.Errorf("%s: %v", key, m)
		}
	}
	if segments != 17 {
		t.Errorf("%d segments, want 16 and the others", segments)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(&rolloutv1.Rollout{Key: "r", Unit: rolloutv1.Unit_UNIT_REQUEST, Guardrails: guardrails()}, 10_000)
	s.settle().cut()
	for i := range 1000 {
		s.observe("u", outcome("fraud", &telemetryv1.Outcome{Prediction: &telemetryv1.Outcome_PredictedLabel{PredictedLabel: fmt.Sprint("l", i)}}))
	}
	l := newLedger(t).add(s.cut()...)
	m := l.metric("r", 1, inTreatment, "fraud")
	if len(m.GetPredictions()) != 33 || m.GetPredictions()[tally.Other] != 968 || m.GetCount() != 0 || l.emitted != 1000 {
		t.Errorf("%d labels, %d others, count %d, emitted %d", len(m.GetPredictions()), m.GetPredictions()[tally.Other], m.GetCount(), l.emitted)
	}
}

// What is wrong is said, and changes nothing; what is right beside it is taken.
func TestRefusals(t *testing.T) {
	long := strings.Repeat("x", 65)
	predicted := &telemetryv1.Outcome_PredictedLabel{PredictedLabel: "a"}
	for name, tc := range map[string]struct {
		observation *telemetryv1.Observation
		want        string
	}{
		"no metric":         {&telemetryv1.Observation{}, "metric is empty"},
		"long metric":       {failed(long), "takes 65 bytes"},
		"no value":          {&telemetryv1.Observation{Metric: "cost"}, "has no value"},
		"NaN":               {number("cost", math.NaN()), "must be finite"},
		"infinity":          {number("cost", math.Inf(-1)), "must be finite"},
		"huge":              {number("cost", 1.1e20), "at most 1e20"},
		"negative":          {took("latency", -1), "is negative"},
		"more than a year":  {took("latency", 366*24*time.Hour), "at most a year"},
		"bad duration":      {&telemetryv1.Observation{Metric: "latency", Value: &telemetryv1.Observation_Duration{Duration: &durationpb.Duration{Seconds: 1, Nanos: -1}}}, "not valid"},
		"no duration":       {&telemetryv1.Observation{Metric: "latency", Value: &telemetryv1.Observation_Duration{}}, "not valid"},
		"no outcome":        {outcome("fraud", nil), "no prediction"},
		"empty label":       {outcome("fraud", &telemetryv1.Outcome{Prediction: &telemetryv1.Outcome_PredictedLabel{}}), "predicted_label is empty"},
		"long label":        {outcome("fraud", &telemetryv1.Outcome{Prediction: predicted, Actual: &telemetryv1.Outcome_ActualLabel{ActualLabel: long}}), "actual_label takes 65"},
		"label of no text":  {outcome("fraud", &telemetryv1.Outcome{Prediction: predicted, PositiveLabel: "\xff"}), "not valid UTF-8"},
		"score":             {outcome("fraud", &telemetryv1.Outcome{Prediction: &telemetryv1.Outcome_PredictedScore{PredictedScore: 1.01}}), "it is a probability"},
		"score NaN":         {outcome("fraud", &telemetryv1.Outcome{Prediction: &telemetryv1.Outcome_PredictedScore{PredictedScore: math.NaN()}}), "it is a probability"},
		"rate of a number":  {number("errors", 1), "watches what happened of it, this is numbers"},
		"mean of happened":  {failed("cost"), "watches numbers or durations of it, this is what happened"},
		"F1 of a duration":  {took("fraud", 1), "watches outcomes of it, this is durations"},
		"unknown flag":      {&telemetryv1.Observation{Metric: "cost", FlagKey: "none", Value: &telemetryv1.Observation_Number{}}, `no flag "none"`},
		"rate of an outome": {outcome("errors", &telemetryv1.Outcome{Prediction: predicted}), "this is outcomes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, tally.Options{})
			s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()}, 10_000)
			s.settle().cut()
			refusals := s.observe("u", failed("errors"), tc.observation, number("cost", 2))
			if len(refusals) != 1 || refusals[0].GetObservation() != 1 || !strings.Contains(refusals[0].GetMessage(), tc.want) {
				t.Fatalf("%v, want one with %q", refusals, tc.want)
			}
			if l := newLedger(t).add(s.cut()...); l.emitted != 2 || l.lost != 0 {
				t.Errorf("emitted %d, lost %d", l.emitted, l.lost)
			}
		})
	}
}

func TestRefusedEvents(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()}, 10_000)
	s.settle().cut()
	ctx, one := &eval.Context{TargetingKey: "u"}, []*telemetryv1.Observation{failed("errors")}
	on := &telemetryv1.Exposure{FlagKey: "flag-r", Variant: "on"}
	other := failed("errors")
	other.FlagKey = "another"
	for name, tc := range map[string]struct {
		event tally.Event
		want  string
	}{
		"nothing":       {tally.Event{}, "no observations"},
		"too many":      {tally.Event{Context: ctx, Observations: make([]*telemetryv1.Observation, 65)}, "at most 64"},
		"nobody":        {tally.Event{Observations: one}, "neither context nor exposure"},
		"both":          {tally.Event{Context: ctx, Exposure: on, Observations: one}, "both context and exposure"},
		"in the future": {tally.Event{Context: ctx, ExposedAt: s.now.Add(61 * time.Second), Observations: one}, "1m1s ahead"},
		"long ago":      {tally.Event{Context: ctx, ExposedAt: s.now.Add(-31 * 24 * time.Hour), Observations: one}, "at most 30 days ago"},
		"flag":          {tally.Event{Exposure: &telemetryv1.Exposure{FlagKey: "none"}, Observations: one}, `no flag "none"`},
		"another flag":  {tally.Event{Exposure: on, Observations: []*telemetryv1.Observation{other}}, "but the exposure is of flag"},
	} {
		taken, refusals := s.tally.Observe(&tc.event, s.now)
		if taken != 0 || len(refusals) != max(len(tc.event.Observations), 1) || !strings.Contains(refusals[0].GetMessage(), tc.want) {
			t.Errorf("%s: %d taken, %.3v, want %q", name, taken, refusals, tc.want)
		}
	}
	taken, refusals := s.tally.Observe(&tally.Event{Context: ctx, ExposedAt: s.now.Add(59 * time.Second), Observations: one}, s.now)
	if taken != 1 || len(refusals) > 0 {
		t.Errorf("a clock that is a little ahead: %d taken, %v", taken, refusals)
	}
}

// Several rollouts watch one metric: it counts for each that it fits, or for one flag's.
func TestSeveralRollouts(t *testing.T) {
	s := newSite(t, tally.Options{})
	for i, key := range []string{"a", "b", "c", "d", "e", "f"} {
		g := guardrails()[:1]
		if i == 5 {
			g[0].Statistic = rolloutv1.Statistic_STATISTIC_MEAN
		}
		s.begin(&rolloutv1.Rollout{Key: key, Guardrails: g}, 10_000)
	}
	s.settle().cut()
	only := failed("errors")
	only.FlagKey = "flag-b"
	if r := s.observe("u", failed("errors")); len(r) > 0 {
		t.Error(r)
	}
	if r := s.observe("v", only); len(r) > 0 {
		t.Error(r)
	}
	l := newLedger(t).add(s.cut()...)
	for key, want := range map[string]uint64{"a": 1, "b": 2, "c": 1, "d": 1, "e": 1, "f": 0} {
		if n := l.metric(key, 1, inTreatment, "errors").GetCount(); n != want {
			t.Errorf("%s: %d, want %d", key, n, want)
		}
	}
}
