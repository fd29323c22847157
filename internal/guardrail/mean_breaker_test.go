package guardrail

import (
	"errors"
	"math"
	"testing"
)

func meanBreaker(t *testing.T, d Direction) *MeanBreaker {
	t.Helper()
	return must[*MeanBreaker](t)(NewMeanBreaker(MeanBreakerOptions{
		Direction: d, Margin: 20, Shifts: []float64{25, 50, 100, 200, 400}, Schedule: Schedule{Horizon: 360, Tail: 0.1},
	}))
}

// TestMeanBreakerFormula compares a window with the formula of the type's comment.
func TestMeanBreakerFormula(t *testing.T) {
	t.Parallel()
	for _, d := range []Direction{Increase, Decrease} {
		b := must[*MeanBreaker](t)(NewMeanBreaker(MeanBreakerOptions{
			Direction: d, Margin: 20, Relative: 0.1, Shifts: []float64{1, 4, 500}, Schedule: Schedule{Horizon: 5},
		}))
		sign, factor := 1.0, 1.1
		if d == Decrease {
			sign, factor = -1, 0.9
		}
		var s MeanBreakerState
		observe := func(a, c Sample) {
			t.Helper()
			if err := b.Observe(&s, a, c); err != nil {
				t.Fatal(err)
			}
		}
		if !math.IsInf(b.LogE(&s), -1) || s.PValue() != 1 {
			t.Errorf("before the first window: %v, %v", b.LogE(&s), s.PValue())
		}
		observe(constantish(150, 300, 900), constantish(850, 200, 400)) // sets the scale only
		near(t, "E", math.Exp(b.LogE(&s)), 0.2, 1e-12)
		h := 150.0 * 850 / 1000
		v := h * (900.0/150 + factor*factor*400/850)
		near(t, "V/W", s.V/s.W, v, 1e-12)
		observe(constantish(50, 210, 1e6), constantish(950, 200, 100)) // control varies less than before
		w := 50.0 * 950 / 1000
		u := sign * w * (210 - factor*200)
		total := 0.0
		for j, shift := range []float64{1, 4, 500} {
			shift = min(shift, math.Sqrt(v/w)) // one standard error
			want := 0.4 * math.Exp(shift/v*(u-20*w)-shift*shift*w/(2*v))
			near(t, "R", math.Exp(s.LogR[j]), want, 1e-11)
			total += want
		}
		near(t, "E", math.Exp(b.LogE(&s)), total/3, 1e-11)
		near(t, "peak", s.LogPeak, math.Max(math.Log(0.2), math.Log(total/3)), 1e-10)
	}
}

// TestMeanBreakerScale: a bad hour of both arms is no harm; of treatment alone it is.
func TestMeanBreakerScale(t *testing.T) {
	t.Parallel()
	b := meanBreaker(t, Increase)
	healthy := func() MeanBreakerState {
		var s MeanBreakerState
		for range 20 {
			if err := b.Observe(&s, constantish(50, 200, 1e4), constantish(950, 200, 1e4)); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	// 10 times the level and 100 times the spread, in both; treatment happens to be 1.5
	// standard errors worse.
	s := healthy()
	for range 3 {
		if err := b.Observe(&s, constantish(50, 2200, 1e8), constantish(950, 200, 1e8)); err != nil {
			t.Fatal(err)
		}
	}
	if b.LogE(&s) > 4 {
		t.Errorf("an outage of both arms: log E is %v", b.LogE(&s))
	}
	s = healthy()
	for range 5 {
		if err := b.Observe(&s, constantish(50, 300, 2e4), constantish(950, 200, 1e4)); err != nil {
			t.Fatal(err)
		}
	}
	if b.LogE(&s) < LogThreshold(0.002) {
		t.Errorf("100 ms more: log E is %v", b.LogE(&s))
	}
	if p := s.PValue(); p > 0.002 {
		t.Errorf("p is %v", p)
	}
}

// TestMeanBreakerBelievesSoMuch: one unit that tells of an hour is no reason to shut, however many
// standard errors that is; what is slow in window after window is.
func TestMeanBreakerBelievesSoMuch(t *testing.T) {
	t.Parallel()
	b := meanBreaker(t, Increase)
	var s MeanBreakerState
	observe := func(a Sample) {
		t.Helper()
		if err := b.Observe(&s, a, constantish(950, 200, 1e4)); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		observe(constantish(50, 200, 1e4))
	}
	before := b.LogE(&s)
	observe(constantish(50, 200, 1e4).Add(Sample{N: 1, Sum: 3.6e6, SumSq: 3.6e6 * 3.6e6}))
	if after := b.LogE(&s); after > 0 {
		t.Errorf("an hour: log E goes from %v to %v", before, after)
	}
}

// TestMeanBreakerLeast: windows set the scale, and are not judged, until both arms have 100
// units.
func TestMeanBreakerLeast(t *testing.T) {
	t.Parallel()
	b := meanBreaker(t, Increase)
	for name, first := range map[string][2]int64{"treatment": {99, 900}, "control": {900, 99}, "none": {100, 100}} {
		var s MeanBreakerState
		before := 0.0
		for range 2 {
			before = b.LogE(&s)
			if err := b.Observe(&s, constantish(first[0], 900, 1e4), constantish(first[1], 200, 1e4)); err != nil {
				t.Fatal(err)
			}
		}
		if judged := b.LogE(&s) > before+2; judged != (name == "none") {
			t.Errorf("%s has too few: judged is %v", name, judged)
		}
	}
}

func TestMeanBreakerPending(t *testing.T) {
	t.Parallel()
	b := meanBreaker(t, Increase)
	var s MeanBreakerState
	one, many := constantish(1, 200, 0), constantish(50, 200, 1e4)
	if err := b.Observe(&s, one, many); err != nil {
		t.Fatal(err)
	}
	if s.W != 0 || s.Windows != 1 || s.PendingT != one || s.PendingC != many {
		t.Errorf("%+v", s)
	}
	s.EndStage()
	if s.PendingT != (Sample{}) || s.PendingC != (Sample{}) {
		t.Errorf("%+v", s)
	}
}

func TestBadMeanBreakerOptions(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*MeanBreakerOptions){
		"direction":   func(o *MeanBreakerOptions) { o.Direction = 2 },
		"margin":      func(o *MeanBreakerOptions) { o.Margin = -1 },
		"NaN margin":  func(o *MeanBreakerOptions) { o.Margin = math.NaN() },
		"no shifts":   func(o *MeanBreakerOptions) { o.Shifts = nil },
		"many shifts": func(o *MeanBreakerOptions) { o.Shifts = make([]float64, 9) },
		"zero shift":  func(o *MeanBreakerOptions) { o.Shifts = []float64{0} },
		"NaN shift":   func(o *MeanBreakerOptions) { o.Shifts = []float64{math.NaN()} },
		"horizon":     func(o *MeanBreakerOptions) { o.Schedule.Horizon = 0 },
		"relative":    func(o *MeanBreakerOptions) { o.Relative = -1 },
	} {
		o := MeanBreakerOptions{Shifts: []float64{1}, Schedule: Schedule{Horizon: 1}}
		change(&o)
		if _, err := NewMeanBreaker(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v, want ErrOptions", name, err)
		}
	}
}
