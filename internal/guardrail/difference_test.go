package guardrail

import (
	"errors"
	"math"
	"testing"
)

func difference(t *testing.T, o DifferenceOptions) *Difference {
	t.Helper()
	return must[*Difference](t)(NewDifference(o))
}

func TestBadSamples(t *testing.T) {
	t.Parallel()
	d := difference(t, DifferenceOptions{Eta: 1})
	b := meanBreaker(t, Increase)
	good := constantish(100, 5, 4)
	var s DifferenceState
	var bs MeanBreakerState
	if err := errors.Join(d.Observe(&s, good, good), b.Observe(&bs, good, good)); err != nil {
		t.Fatal(err)
	}
	before, breakerBefore := s, bs
	nan, inf := math.NaN(), math.Inf(1)
	for _, bad := range []Sample{
		{N: -1},
		{N: MaxCount + 1, Sum: 1, SumSq: 1},
		{N: 2, Sum: nan, SumSq: 1},
		{N: 2, Sum: inf, SumSq: inf},
		{N: 2, Sum: 1, SumSq: nan},
		{N: 2, Sum: 1, SumSq: -1},
		{N: 2, Sum: 1e61, SumSq: 1e61},
		{N: 2, Sum: 10, SumSq: 49}, // at least 50
		{N: 0, Sum: 1, SumSq: 1},
		{N: 0, SumSq: nan},
	} {
		_, _, ratioErr := PairedSample{N: bad.N, SumY: bad.Sum, SumYY: bad.SumSq, SumX: 1, SumXX: 1}.Ratio()
		for i, err := range []error{
			d.Observe(&s, bad, good), d.Observe(&s, good, bad), d.ObserveOne(&s, bad),
			b.Observe(&bs, bad, good), b.Observe(&bs, good, bad), ratioErr,
		} {
			if !errors.Is(err, ErrSample) {
				t.Errorf("%+v, call %d: %v, want ErrSample", bad, i, err)
			}
		}
		if s != before || bs != breakerBefore {
			t.Fatalf("%+v changed the state", bad)
		}
	}
}

func TestBadDifferenceOptions(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]DifferenceOptions{
		"no eta":            {},
		"infinite eta":      {Eta: math.Inf(1)},
		"NaN eta":           {Eta: math.NaN()},
		"direction":         {Eta: 1, Direction: 3},
		"negative relative": {Eta: 1, Relative: -0.1},
		"NaN relative":      {Eta: 1, Relative: math.NaN()},
		"all of it":         {Eta: 1, Direction: Decrease, Relative: 1},
		"negative units":    {Eta: 1, MinPerArm: -1},
	} {
		if _, err := NewDifference(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v, want ErrOptions", name, err)
		}
	}
	d := difference(t, DifferenceOptions{Eta: 1})
	var s DifferenceState
	for _, alpha := range []float64{0, 1, -1, math.NaN()} {
		_, one := d.OneSided(&s, alpha)
		_, two := d.TwoSided(&s, alpha)
		_, judge := d.Judge(&s, alpha, 0)
		_, growth := d.GrowthToSafe(&s, alpha, 0)
		_, eta := EtaTwoSided(1, alpha)
		_, eta1 := EtaOneSided(1, alpha)
		for i, err := range []error{one, two, judge, growth, eta, eta1} {
			if !errors.Is(err, ErrOptions) {
				t.Errorf("alpha %v, call %d: %v, want ErrOptions", alpha, i, err)
			}
		}
	}
	for _, margin := range []float64{-1, math.NaN()} {
		if _, err := d.Judge(&s, 0.05, margin); !errors.Is(err, ErrOptions) {
			t.Errorf("margin %v: %v, want ErrOptions", margin, err)
		}
	}
	if _, err := EtaTwoSided(0, 0.05); !errors.Is(err, ErrOptions) {
		t.Errorf("no variance: %v, want ErrOptions", err)
	}
	if _, err := EtaOneSided(1, 0.5); !errors.Is(err, ErrOptions) {
		t.Errorf("one side of level 0.5: %v, want ErrOptions", err)
	}
}

// TestPending: windows with too few units in an arm are joined with the next ones of their
// stage, and no others.
func TestPending(t *testing.T) {
	t.Parallel()
	d := difference(t, DifferenceOptions{Eta: 1})
	one, other, many := constantish(1, 7, 0), constantish(1, 9, 0), constantish(50, 5, 4)
	var joined, atOnce, ended DifferenceState
	observe := func(s *DifferenceState, a, c Sample) {
		t.Helper()
		if err := d.Observe(s, a, c); err != nil {
			t.Fatal(err)
		}
	}
	observe(&joined, one, many)
	if joined.W != 0 || joined.PendingT != one || joined.PendingC != many {
		t.Errorf("a window with one treatment unit: %+v", joined)
	}
	ended = joined
	observe(&joined, other, many)
	observe(&atOnce, one.Add(other), many.Add(many))
	if joined != atOnce {
		t.Errorf("joined %+v, at once %+v", joined, atOnce)
	}
	ended.EndStage()
	observe(&ended, one.Add(other), many)
	var fresh DifferenceState
	observe(&fresh, one.Add(other), many)
	if ended != fresh {
		t.Errorf("the units of the stage before are still there: %+v", ended)
	}
	near(t, "U", fresh.U, 2.0*50/52*(8-5), 1e-12)
	near(t, "W", fresh.W, 2.0*50/52, 1e-12)
	near(t, "V", fresh.V, 2.0*50/52*2.0*50/52*(2.0/2+4.0/50), 1e-12)
}

// TestReady: nothing is said before both arms have 100 units.
func TestReady(t *testing.T) {
	t.Parallel()
	for least, windows := range map[int64]int{0: 10, 30: 3, 1: 1} {
		d := difference(t, DifferenceOptions{Eta: 0.1, MinPerArm: least})
		var s DifferenceState
		for n := range windows {
			i := must[Interval](t)(d.OneSided(&s, 0.05))
			v := must[Verdict](t)(d.Judge(&s, 0.05, 1))
			if d.Ready(&s) || !math.IsInf(i.Lower, -1) || !math.IsInf(i.Upper, 1) || v != (Verdict{}) {
				t.Errorf("after %d windows: ready, %+v, %+v", n, i, v)
			}
			if err := d.Observe(&s, constantish(10, 100, 0.01), constantish(900, 5, 0.01)); err != nil {
				t.Fatal(err)
			}
		}
		if v := must[Verdict](t)(d.Judge(&s, 0.05, 1)); !d.Ready(&s) || !v.Breach {
			t.Errorf("MinPerArm %d: after %d windows: %+v", least, windows, v)
		}
		if least == 0 { // treatment's units do not stand in for control's
			var s DifferenceState
			if err := d.Observe(&s, constantish(900, 100, 0.01), constantish(99, 5, 0.01)); err != nil {
				t.Fatal(err)
			}
			if d.Ready(&s) {
				t.Error("ready with 99 units of control")
			}
		}
	}
}

// TestJudge: a metric that went from 100 to 110, or to 90.
func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		d        Direction
		relative float64
		mean     float64
		margin   float64
		want     Verdict
	}{
		{"worse than the margin", Increase, 0, 110, 5, Verdict{Breach: true}},
		{"worse within the margin", Increase, 0, 110, 15, Verdict{Safe: true}},
		{"at the margin", Increase, 0, 110, 10, Verdict{}},
		{"better", Increase, 0, 90, 5, Verdict{Safe: true, Won: true}},
		{"relative, worse", Increase, 0.05, 110, 0, Verdict{Breach: true}},
		{"relative, at the margin", Increase, 0.1, 110, 0, Verdict{}},
		{"relative, within", Increase, 0.15, 110, 0, Verdict{Safe: true, Won: true}},
		{"fall, worse than the margin", Decrease, 0, 90, 5, Verdict{Breach: true}},
		{"fall, within the margin", Decrease, 0, 90, 15, Verdict{Safe: true}},
		{"fall, better", Decrease, 0, 110, 5, Verdict{Safe: true, Won: true}},
		{"fall, relative, worse", Decrease, 0.05, 90, 0, Verdict{Breach: true}},
		{"fall, relative, at the margin", Decrease, 0.1, 90, 0, Verdict{}},
	} {
		d := difference(t, DifferenceOptions{Direction: c.d, Relative: c.relative, Eta: 100})
		var s DifferenceState
		if err := d.Observe(&s, constantish(5000, c.mean, 100), constantish(5000, 100, 100)); err != nil {
			t.Fatal(err)
		}
		if got := must[Verdict](t)(d.Judge(&s, 0.01, c.margin)); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		one, two := must[Interval](t)(d.OneSided(&s, 0.01)), must[Interval](t)(d.TwoSided(&s, 0.02))
		if math.Abs(one.Lower/two.Lower-1) > 0.02 {
			t.Errorf("%s: two sides of 0.02 are %v, one of 0.01 is %v", c.name, two, one)
		}
	}
}

// TestObserveOne: the F1 of a model against a floor.
func TestObserveOne(t *testing.T) {
	t.Parallel()
	d := difference(t, DifferenceOptions{Direction: Decrease, Eta: 50})
	for f0, want := range map[float64]Verdict{0.6: {Safe: true, Won: true}, 0.7368: {}, 0.85: {Breach: true}} {
		var s DifferenceState
		for range 10 {
			z := must[Sample](t)(Confusion{TP: 70, FP: 20, FN: 30, TN: 880}.F1Sample(f0)) // F1 is 0.7368
			if err := d.ObserveOne(&s, z); err != nil {
				t.Fatal(err)
			}
		}
		if got := must[Verdict](t)(d.Judge(&s, 0.05, 0)); got != want {
			t.Errorf("f0 = %v: %+v, want %+v", f0, got, want)
		}
	}
	var a, b DifferenceState
	x, y := constantish(1, 3, 0), constantish(1, 5, 0)
	if err := errors.Join(d.ObserveOne(&a, x), d.ObserveOne(&a, y), d.ObserveOne(&b, x.Add(y))); err != nil {
		t.Fatal(err)
	}
	if a != b || a.W != 2 || a.U != 8 || a.V != 4 {
		t.Errorf("one by one %+v, together %+v", a, b)
	}
}

// TestGrowthToSafe: with the information times the factor, it is safe, and not before.
func TestGrowthToSafe(t *testing.T) {
	t.Parallel()
	for _, dir := range []Direction{Increase, Decrease} {
		d := difference(t, DifferenceOptions{Direction: dir, Eta: 1000})
		var s DifferenceState
		if err := d.Observe(&s, constantish(200, 100, 400), constantish(800, 100, 400)); err != nil {
			t.Fatal(err)
		}
		const margin = 2
		x := must[float64](t)(d.GrowthToSafe(&s, 0.05, margin))
		if !(x > 1.5 && x < 100) {
			t.Fatalf("factor %v", x)
		}
		for f, want := range map[float64]bool{x * 0.999: false, x * 1.001: true} {
			later := DifferenceState{U: s.U * f, W: s.W * f, V: s.V * f, UnitsT: s.UnitsT, UnitsC: s.UnitsC}
			if got := must[Verdict](t)(d.Judge(&later, 0.05, margin)).Safe; got != want {
				t.Errorf("at %v of the factor: safe is %v", f/x, got)
			}
		}
		if x := must[float64](t)(d.GrowthToSafe(&s, 0.05, 50)); x != 1 {
			t.Errorf("safe already, but the factor is %v", x)
		}
		for _, never := range []DifferenceState{{}, {U: s.W * 3 * (1 - 2*float64(dir)), W: s.W, V: s.V, UnitsT: 200, UnitsC: 800}} {
			if x := must[float64](t)(d.GrowthToSafe(&never, 0.05, margin)); !math.IsInf(x, 1) {
				t.Errorf("%+v: the factor is %v", never, x)
			}
		}
	}
}
