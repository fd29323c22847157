package tally_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/tally"
)

// watching is a rollout with an error rate.
func watching(key string) *rolloutv1.Rollout {
	return &rolloutv1.Rollout{Key: key, Guardrails: []*rolloutv1.Guardrail{{
		Name: "errors", Metric: "errors", Statistic: rolloutv1.Statistic_STATISTIC_RATE,
		Denominator: rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS,
	}}}
}

// cellsOf lists the cells of batches.
func cellsOf(batches []*telemetryv1.Batch) (cells []*telemetryv1.Cell) {
	for _, b := range batches {
		for _, w := range b.GetWindows() {
			cells = append(cells, w.GetCells()...)
		}
	}
	return cells
}

// Flush tells at once what was counted in the window under way, which goes on: a subject is
// counted once in it, and everything is told once.
func TestFlush(t *testing.T) {
	t.Parallel()
	s := newSite(t, tally.Options{})
	s.begin(watching("r"), 10_000)
	s.now = s.now.Add(10 * time.Millisecond)
	serve := func(user string) {
		ctx := eval.Context{TargetingKey: user}
		r := s.snapshot.Eval().Evaluate("flag-r", &ctx)
		s.tally.Exposed(&r, &ctx)
	}
	var exposures, subjects, fresh uint64
	add := func(batches []*telemetryv1.Batch) {
		for _, c := range cellsOf(batches) {
			exposures += c.GetExposures()
			subjects += c.GetSubjects()
			fresh += c.GetNewSubjects()
		}
	}
	serve("a")
	serve("b")
	first := s.tally.Flush(s.now)
	if w := first[0].GetWindows(); len(w) != 1 || !w[0].GetBeganAt().AsTime().Equal(start) || w[0].GetLength().AsDuration() != time.Second {
		t.Fatalf("the window under way is told as %v", w)
	}
	if first[0].GetTally().GetCounted() != 2 || !first[0].GetCompleteTo().AsTime().Equal(start) && first[0].GetCompleteTo() != nil {
		t.Errorf("%v", first[0])
	}
	add(first)
	serve("a")
	serve("c")
	add(s.tally.Flush(s.now.Add(100 * time.Millisecond)))
	if again := cellsOf(s.tally.Flush(s.now.Add(200 * time.Millisecond))); len(again) > 0 {
		t.Errorf("told twice: %v", again)
	}
	serve("d")
	add(s.tally.Cut(start.Add(time.Second)))
	if exposures != 5 || subjects != 4 || fresh != 4 {
		t.Errorf("%d exposures of %d subjects, %d of them new; want 5, 4, 4", exposures, subjects, fresh)
	}
	serve("a") // in the next window
	add(s.tally.Cut(start.Add(2 * time.Second)))
	if exposures != 6 || subjects != 5 || fresh != 4 {
		t.Errorf("with the next window: %d exposures of %d subjects, %d of them new; want 6, 5, 4", exposures, subjects, fresh)
	}
	if a := s.tally.Account(); a.Counted != 6 || a.Lost != 0 {
		t.Errorf("%+v", a)
	}
}

// Of sums that others have added up, what cannot be is refused, and the rest is counted.
func TestSum(t *testing.T) {
	t.Parallel()
	s := newSite(t, tally.Options{})
	s.begin(watching("r"), 5000)
	if s.tally.Watches("nothing") || !s.tally.Watches("errors") {
		t.Error("it does not say what is watched")
	}
	sum := func(flag, variant string, c *telemetryv1.MetricCell) string {
		return s.tally.Sum(&telemetryv1.Exposure{FlagKey: flag, Variant: variant}, "errors", s.now, func(w tally.Watched) (*telemetryv1.MetricCell, string) {
			if want := (tally.Watched{Happened: true, Observations: true}); w != want {
				t.Errorf("watched: %+v", w)
			}
			return proto.CloneOf(c), ""
		})
	}
	good := &telemetryv1.MetricCell{Metric: "errors", Count: 10, Events: 3}
	for _, c := range []struct {
		flag, variant string
		cell          *telemetryv1.MetricCell
		problem       string
	}{
		{"flag-r", "on", good, ""},
		{"flag-r", "off", good, ""},
		{"flag-r", "nobody", good, "no variant"},
		{"nobody", "on", good, "no flag"},
		{"flag-r", "on", &telemetryv1.MetricCell{Metric: "errors", Count: 3, Events: 10}, "10 events of 3"},
		{"flag-r", "on", &telemetryv1.MetricCell{Metric: "errors", Count: 3, Sum: 7, SumSquares: 100}, "sum is 7"},
	} {
		if got := sum(c.flag, c.variant, c.cell); !strings.Contains(got, c.problem) || (got == "") != (c.problem == "") {
			t.Errorf("%s, %s, %v: %q, want %q", c.flag, c.variant, c.cell, got, c.problem)
		}
	}
	var count, events uint64
	for _, c := range cellsOf(s.tally.Flush(s.now.Add(time.Millisecond))) {
		for _, m := range c.GetMetrics() {
			count += m.GetCount()
			events += m.GetEvents()
		}
	}
	if count != 20 || events != 6 {
		t.Errorf("%d of %d were counted, want 6 of 20", events, count)
	}
}

// A batch is of no more rollouts than receivers take.
func TestRolloutsOfABatch(t *testing.T) {
	t.Parallel()
	s := newSite(t, tally.Options{})
	var all []*rolloutv1.Rollout
	for i := range 100 {
		all = append(all, watching("r"+strings.Repeat("i", i)))
	}
	s.beginAll(all, 5000)
	for _, r := range all {
		ctx := eval.Context{TargetingKey: "a"}
		result := s.snapshot.Eval().Evaluate(r.GetFlagKey(), &ctx)
		s.tally.Exposed(&result, &ctx)
	}
	batches := s.tally.Cut(start.Add(time.Second))
	total := 0
	for _, b := range batches {
		rollouts := map[string]bool{}
		for _, c := range cellsOf([]*telemetryv1.Batch{b}) {
			rollouts[c.GetRollout()] = true
		}
		total += len(rollouts)
		if len(rollouts) > 32 {
			t.Errorf("a batch is of %d rollouts", len(rollouts))
		}
	}
	if total != 100 {
		t.Errorf("%d rollouts were told, want 100", total)
	}
}
