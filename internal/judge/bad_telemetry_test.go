package judge_test

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/judge"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tally"
)

// street is a relay that counts and a decider that judges, with a rollout at 5% between them:
// what happens to telemetry on its whole way, but for the network.
type street struct {
	t        *testing.T
	rollout  *rolloutv1.Rollout
	snapshot *snapshot.Snapshot
	tally    *tally.Tally
	plan     *judge.Plan
	state    *judge.State
	random   *rand.Rand
	now      time.Time
	// refused are observations that were not taken.
	refused int
}

func newStreet(t *testing.T) *street {
	t.Helper()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := &street{t: t, now: now, random: rand.New(rand.NewPCG(17, 4))}
	s.rollout = &rolloutv1.Rollout{
		Key: "r", FlagKey: "f", Control: "off", Treatment: "on", Strategy: rolloutv1.Strategy_STRATEGY_CANARY, Unit: rolloutv1.Unit_UNIT_SUBJECT,
		Guardrails: []*rolloutv1.Guardrail{
			{Name: "errors", Metric: "errors", Statistic: rolloutv1.Statistic_STATISTIC_RATE, Margin: &rolloutv1.Margin{Unit: &rolloutv1.Margin_Relative{Relative: 0.05}}},
			{Name: "slow", Metric: "slow", Statistic: rolloutv1.Statistic_STATISTIC_MEAN, Margin: &rolloutv1.Margin{Unit: &rolloutv1.Margin_Absolute{Absolute: 0.1}}},
		},
		Status: &rolloutv1.Status{
			State: rolloutv1.State_STATE_RUNNING, StartedAt: timestamppb.New(now), Step: 1, Weight: 500, Relays: 1,
			Steps: []*rolloutv1.Step{{Step: 1, Weight: 500, BeganAt: timestamppb.New(now)}},
		},
	}
	for _, weight := range []uint32{500, 5000} {
		s.rollout.Stages = append(s.rollout.Stages, &rolloutv1.Stage{Weight: weight, MinDwell: durationpb.New(10 * time.Second)})
	}
	flag := &flagv1.Flag{
		Key: "f", Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, OffVariant: "off",
		Variants: []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{Variants: []*flagv1.WeightedVariant{
			{Variant: "on", Weight: 500}, {Variant: "off", Weight: 9500},
		}}}},
	}
	var err error
	if s.plan, err = judge.Compile(s.rollout); err != nil {
		t.Fatal(err)
	}
	s.state = s.plan.NewState()
	if s.tally, err = tally.New(tally.Options{Environment: "production"}); err != nil {
		t.Fatal(err)
	}
	s.tally.Turn(now)
	s.snapshot, _ = snapshot.New("production", snapshot.Epoch{Counter: 1}).Next(1, []snapshot.Item{
		{Kind: syncv1.Kind_KIND_FLAG, Key: "f", ModRevision: 1, Data: marshal(t, flag)},
		{Kind: syncv1.Kind_KIND_ROLLOUT, Key: "r", ModRevision: 1, Data: marshal(t, s.rollout)},
	}, nil)
	if err := s.tally.Apply(s.snapshot, now); err != nil {
		t.Fatal(err)
	}
	return s
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// serve has a subject served, and tells whether that was the treatment.
func (s *street) serve(user string) bool {
	ctx := &eval.Context{TargetingKey: user}
	r := s.snapshot.Eval().Evaluate("f", ctx)
	s.tally.Exposed(&r, ctx)
	return r.Variant.Name == "on"
}

// tell tells what was observed of a subject.
func (s *street) tell(user string, observations ...*telemetryv1.Observation) {
	s.event(&tally.Event{Context: &eval.Context{TargetingKey: user}, Observations: observations})
}

func (s *street) event(e *tally.Event) {
	_, refusals := s.tally.Observe(e, s.now)
	s.refused += len(refusals)
}

func happened(metric string, event bool) *telemetryv1.Observation {
	return &telemetryv1.Observation{Metric: metric, Value: &telemetryv1.Observation_Happened{Happened: event}}
}

func took(d time.Duration) *telemetryv1.Observation {
	return &telemetryv1.Observation{Metric: "slow", Value: &telemetryv1.Observation_Duration{Duration: durationpb.New(d)}}
}

// live lets a minute pass in which the treatment fails so often, and returns when what was
// decided. Each second, spoil may do its worst: as telemetry comes, and on what was counted.
func (s *street) live(failing float64, spoil func(*street), windows func(*telemetryv1.Window)) (rolloutv1.Verdict, int) {
	s.t.Helper()
	for second := range 60 {
		for range 1000 {
			user := "user-" + strconv.Itoa(s.random.IntN(1_000_000))
			rate := 0.02
			if s.serve(user) {
				rate = failing
			}
			s.tell(user, happened("errors", s.random.Float64() < rate), took(time.Duration(s.random.ExpFloat64()*1e8)))
		}
		if spoil != nil {
			spoil(s)
		}
		s.now = s.now.Add(time.Second)
		var counted []*telemetryv1.Window
		for _, b := range s.tally.Cut(s.now) {
			counted = append(counted, b.GetWindows()...)
		}
		for _, w := range counted {
			if windows != nil {
				windows(w)
			}
		}
		out := s.state.Judge(s.rollout.GetStatus(), counted, &rolloutv1.Situation{
			Now: timestamppb.New(s.now), FlagReady: true, Relays: 1, RelaysApplied: 1, RelaysFresh: 1,
		}, judge.GatedDwell{})
		if out.Verdict != rolloutv1.Verdict_VERDICT_HOLD {
			return out.Verdict, second
		}
	}
	return rolloutv1.Verdict_VERDICT_HOLD, 60
}

// TestBadTelemetryNeverMovesADecision: whatever is told beside it, a rollout that is good advances
// and one that is bad is shut. Where what is bad can be refused, it makes no difference at all.
func TestBadTelemetryNeverMovesADecision(t *testing.T) {
	t.Parallel()
	const good, bad = 0.02, 0.4
	verdictOf := map[float64]rolloutv1.Verdict{good: rolloutv1.Verdict_VERDICT_ADVANCE, bad: rolloutv1.Verdict_VERDICT_ROLLBACK}
	when := make(map[float64]int)
	for failing, want := range verdictOf {
		verdict, second := newStreet(t).live(failing, nil, nil)
		if when[failing] = second; verdict != want {
			t.Fatalf("with nothing bad, at %v: %v after %d s", failing, verdict, second)
		}
	}
	for name, c := range map[string]struct {
		spoil   func(*street)
		windows func(*telemetryv1.Window)
		refused bool // what is told
		later   bool // what is told is no lie, and counts
		unsure  bool // so much that nothing can be shown of a good one
	}{
		"negative durations": {refused: true, spoil: func(s *street) {
			s.each(1000, func(user string, _ bool) { s.tell(user, took(-time.Hour)) })
		}},
		"NaN": {refused: true, spoil: func(s *street) {
			for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				s.each(300, func(user string, _ bool) {
					s.tell(user, &telemetryv1.Observation{Metric: "slow", Value: &telemetryv1.Observation_Number{Number: x}})
				})
			}
		}},
		"numbers beyond all sums": {refused: true, spoil: func(s *street) {
			for _, x := range []float64{1e40, -1e90, math.MaxFloat64} {
				s.each(300, func(user string, _ bool) {
					s.tell(user, &telemetryv1.Observation{Metric: "slow", Value: &telemetryv1.Observation_Number{Number: x}})
				})
			}
		}},
		"one who says an hour": {later: true, unsure: true, spoil: func(s *street) {
			s.each(40, func(user string, treated bool) {
				if treated && s.now.Second() == 5 {
					s.serve(user)
					s.tell(user, took(time.Hour))
				}
			})
		}},
		"unknown metric": {spoil: func(s *street) {
			s.each(1000, func(user string, treated bool) {
				s.tell(user, happened("error", treated), happened("errors ", !treated), happened("nobody-watches", true))
			})
		}},
		"a clock a day off": {
			refused: true,
			spoil: func(s *street) { // of those who tell: what was served tomorrow, or before the rollout
				for _, off := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
					s.each(500, func(user string, treated bool) {
						s.event(&tally.Event{Context: &eval.Context{TargetingKey: user}, ExposedAt: s.now.Add(off), Observations: []*telemetryv1.Observation{happened("errors", treated)}})
					})
				}
			},
			windows: func(w *telemetryv1.Window) { w.BeganAt = timestamppb.New(w.GetBeganAt().AsTime().Add(24 * time.Hour)) },
		},
		"ten million distinct users": {later: true, spoil: func(s *street) {
			users := 1_000_000 // a second
			if testing.Short() || raceEnabled {
				users = 20_000
			}
			first := int(s.now.Unix()) * users
			for i := range users {
				s.serve(strconv.Itoa(first + i))
			}
		}},
		"a forged variant": {refused: true, spoil: func(s *street) {
			for _, variant := range []string{"blue", "", "ON", "on\x00"} {
				for range 200 {
					s.event(&tally.Event{Exposure: &telemetryv1.Exposure{FlagKey: "f", Variant: variant}, Observations: []*telemetryv1.Observation{happened("errors", true)}})
				}
			}
		}, windows: func(w *telemetryv1.Window) {
			for _, arm := range []telemetryv1.Arm{0, 3, -1} {
				w.Cells = append(w.Cells, &telemetryv1.Cell{Rollout: "r", Step: 1, Arm: arm, Exposures: 1000, Subjects: 1000, Metrics: []*telemetryv1.MetricCell{{Metric: "errors", Count: 1000, Events: 1000}}})
			}
		}},
	} {
		for failing, want := range verdictOf {
			s := newStreet(t)
			verdict, second := s.live(failing, c.spoil, c.windows)
			if c.unsure && failing == good {
				want, second = rolloutv1.Verdict_VERDICT_HOLD, when[failing]
			}
			if verdict != want || second != when[failing] && !c.later || second > 20 {
				t.Errorf("%s, failing at %v: %v after %d s, want %v after %d s", name, failing, verdict, second, want, when[failing])
			}
			if (s.refused > 0) != c.refused {
				t.Errorf("%s: %d observations were refused", name, s.refused)
			}
		}
	}
}

// each calls told for a number of subjects who were served of late, with what they were served.
func (s *street) each(n int, told func(user string, treated bool)) {
	for i := range n {
		user := "user-" + strconv.Itoa(i)
		r := s.snapshot.Eval().Evaluate("f", &eval.Context{TargetingKey: user})
		told(user, r.Variant.Name == "on")
	}
}
