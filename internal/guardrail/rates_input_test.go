package guardrail

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func TestNothingLearned(t *testing.T) {
	t.Parallel()
	b := breaker(t, Increase, 1.05, Schedule{Horizon: 4})
	var s RateBreakerState
	if e, p := s.LogE(), s.PValue(); !math.IsInf(e, -1) || p != 1 {
		t.Errorf("before the first window: log E %v, p %v", e, p)
	}
	// One arm alone, nobody, no events: time passes and its weight is there.
	for i, c := range []Counts{{EventsC: 5, ExposuresC: 100}, {EventsT: 5, ExposuresT: 100}, {}, {ExposuresT: 50, ExposuresC: 50}} {
		if err := b.Observe(&s, c); err != nil {
			t.Fatal(err)
		}
		near(t, "E", math.Exp(s.LogE()), float64(i+1)/4, 1e-12)
	}
	g := must[*RateGate](t)(NewRateGate(RateGateOptions{Ratio: 2}))
	var gs RateGateState
	if err := g.Observe(&gs, Counts{EventsC: 5, ExposuresC: 100}); err != nil {
		t.Fatal(err)
	}
	if e := gs.LogE(); e != 0 || gs.Windows != 1 {
		t.Errorf("a gate learned %v from control alone", e)
	}
}

func TestBadCounts(t *testing.T) {
	t.Parallel()
	b := breaker(t, Increase, 1.05, Schedule{Horizon: 4})
	g := must[*RateGate](t)(NewRateGate(RateGateOptions{Ratio: 2}))
	good := Counts{EventsT: 3, EventsC: 10, ExposuresT: 100, ExposuresC: 900}
	var s RateBreakerState
	var gs RateGateState
	if err := errors.Join(b.Observe(&s, good), g.Observe(&gs, good)); err != nil {
		t.Fatal(err)
	}
	before, gateBefore := s, gs
	for _, c := range []Counts{
		{EventsT: -1, ExposuresT: 1, ExposuresC: 1},
		{EventsC: -1, ExposuresT: 1, ExposuresC: 1},
		{ExposuresT: -1, ExposuresC: 1},
		{ExposuresT: 1, ExposuresC: -1},
		{EventsT: 2, ExposuresT: 1, ExposuresC: 1},
		{EventsC: 2, ExposuresT: 1, ExposuresC: 1},
		{ExposuresT: MaxCount + 1, ExposuresC: 1},
		{ExposuresT: 1, ExposuresC: math.MaxInt64},
	} {
		_, ratioErr := RateRatio([]Counts{good, c}, 20, 0.05)
		_, _, tripErr := b.EventsToTrip(&s, c, 5)
		for _, err := range []error{b.Observe(&s, c), g.Observe(&gs, c), ratioErr, tripErr} {
			if !errors.Is(err, ErrCounts) {
				t.Errorf("%+v: %v, want ErrCounts", c, err)
			}
		}
		if s != before || gs != gateBefore {
			t.Fatalf("%+v changed the state", c)
		}
	}
}

func TestBadRateOptions(t *testing.T) {
	t.Parallel()
	good := RateBreakerOptions{Ratio: 1.05, Schedule: Schedule{Horizon: 10, Tail: 0.1}}
	for name, change := range map[string]func(*RateBreakerOptions){
		"direction":     func(o *RateBreakerOptions) { o.Direction = 2 },
		"no ratio":      func(o *RateBreakerOptions) { o.Ratio = 0 },
		"NaN ratio":     func(o *RateBreakerOptions) { o.Ratio = math.NaN() },
		"large ratio":   func(o *RateBreakerOptions) { o.Ratio = 1001 },
		"no horizon":    func(o *RateBreakerOptions) { o.Schedule.Horizon = 0 },
		"all tail":      func(o *RateBreakerOptions) { o.Schedule.Tail = 1 },
		"negative tail": func(o *RateBreakerOptions) { o.Schedule.Tail = -0.1 },
		"NaN tail":      func(o *RateBreakerOptions) { o.Schedule.Tail = math.NaN() },
	} {
		o := good
		change(&o)
		if _, err := NewRateBreaker(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v, want ErrOptions", name, err)
		}
	}
	if _, err := NewRateGate(RateGateOptions{}); !errors.Is(err, ErrOptions) {
		t.Errorf("gate: %v, want ErrOptions", err)
	}
}

// TestRoundTrip: a state that was stored after every window goes on to the same bits.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	b := breaker(t, Increase, 1.05, Schedule{Horizon: 20, Tail: 0.1})
	r := rand.New(rand.NewPCG(4, 4))
	var kept, stored RateBreakerState
	for range 100 {
		c := Counts{EventsT: r.Int64N(9), EventsC: r.Int64N(50), ExposuresT: 100, ExposuresC: 900}
		raw, err := json.Marshal(stored)
		if err != nil {
			t.Fatal(err)
		}
		stored = RateBreakerState{}
		if err := json.Unmarshal(raw, &stored); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(stored.Validate(), b.Observe(&kept, c), b.Observe(&stored, c)); err != nil {
			t.Fatal(err)
		}
		if stored != kept {
			t.Fatalf("%+v, want %+v", stored, kept)
		}
	}
}

func TestBadState(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for name, err := range map[string]error{
		"windows":      (&RateBreakerState{Windows: -1}).Validate(),
		"peak":         (&RateBreakerState{LogPeak: math.Inf(1)}).Validate(),
		"R":            (&RateBreakerState{LogR: [BreakerAlternatives]float64{3: nan}}).Validate(),
		"gate":         (&RateGateState{LogR: [GateAlternatives]float64{nan}}).Validate(),
		"mean":         (&MeanBreakerState{LogR: [MaxShifts]float64{nan}}).Validate(),
		"mean V":       (&MeanBreakerState{V: -1}).Validate(),
		"U":            (&DifferenceState{U: nan}).Validate(),
		"W":            (&DifferenceState{W: -1}).Validate(),
		"V":            (&DifferenceState{V: math.Inf(1)}).Validate(),
		"units":        (&DifferenceState{UnitsC: -1}).Validate(),
		"SRM":          (&SRMState{LogClosed: nan}).Validate(),
		"SRM arms":     (&SRMState{Counts: []int64{1}}).Validate(),
		"SRM count":    (&SRMState{Shares: []float64{0.5, 0.5}, Counts: []int64{1, -1}}).Validate(),
		"SRM share":    (&SRMState{Shares: []float64{0.5, nan}, Counts: []int64{1, 1}}).Validate(),
		"SRM no share": (&SRMState{Shares: []float64{0, 1}, Counts: []int64{1, 1}}).Validate(),
	} {
		if !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v, want ErrOptions", name, err)
		}
	}
	if err := (&DifferenceState{PendingT: Sample{N: -1}}).Validate(); !errors.Is(err, ErrSample) {
		t.Errorf("pending: %v, want ErrSample", err)
	}
	if err := (&DifferenceState{PendingC: Sample{Sum: 1}}).Validate(); !errors.Is(err, ErrSample) {
		t.Errorf("pending: %v, want ErrSample", err)
	}
}
