package guardrail

import (
	"errors"
	"math"
	"testing"
)

// constantish is a sample of n units whose mean and variance are given.
func constantish(n int64, mean, variance float64) Sample {
	x := float64(n)
	return Sample{N: n, Sum: x * mean, SumSq: x*mean*mean + (x-1)*variance}
}

func TestSample(t *testing.T) {
	t.Parallel()
	s := Sample{}
	for _, x := range []float64{2, 4, 4, 4, 5, 5, 7, 9} {
		s = s.Add(Sample{N: 1, Sum: x, SumSq: x * x})
	}
	near(t, "mean", s.Mean(), 5, 1e-15)
	near(t, "variance", s.Variance(), 32.0/7, 1e-15)
	for _, s := range []Sample{{}, {N: 1, Sum: 3, SumSq: 9}, {N: 3, Sum: 0.3, SumSq: 0.03}} {
		if v := s.Variance(); !(v >= 0 && v < 1e-15) {
			t.Errorf("%+v has the variance %v", s, v)
		}
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
	}
	if m := (Sample{}).Mean(); m != 0 {
		t.Errorf("the mean of nothing is %v", m)
	}
}

// TestLinearize: per-user ratios that differ between the arms differ as linearized means do.
func TestLinearize(t *testing.T) {
	t.Parallel()
	c := PairedSample{N: 1000, SumY: 500, SumX: 5000, SumYY: 900, SumXX: 30000, SumXY: 3000}
	a := c
	a.SumY *= 1.2 // a fifth more clicks on as many views
	a.SumXY *= 1.2
	a.SumYY *= 1.44
	x := must[Sample](t)(a.Linearize(0.1, 5))
	y := must[Sample](t)(c.Linearize(0.1, 5))
	near(t, "difference", x.Mean()-y.Mean(), 0.02, 1e-12)
	within(t, "control", y.Mean(), 0, 1e-15)
	for _, bad := range [][2]float64{{math.NaN(), 5}, {0.1, 0}, {0.1, math.Inf(1)}} {
		if _, err := c.Linearize(bad[0], bad[1]); !errors.Is(err, ErrOptions) {
			t.Errorf("%v: %v, want ErrOptions", bad, err)
		}
	}
	if _, err := c.Adjust(math.NaN(), 0); !errors.Is(err, ErrOptions) {
		t.Errorf("theta NaN: %v, want ErrOptions", err)
	}
	if sum, want := a.Add(c), (PairedSample{
		N: 2000, SumY: 1100, SumX: 10000, SumYY: 900 * 2.44, SumXX: 60000, SumXY: 6600,
	}); sum != want {
		t.Errorf("the sum of both is %+v, want %+v", sum, want)
	}
	if err := (PairedSample{N: 2, SumX: 10, SumXX: 1}).Validate(); !errors.Is(err, ErrSample) {
		t.Errorf("x that cannot be: %v, want ErrSample", err)
	}
	bad := c
	bad.SumXY = 6000 // more than √(ΣxxΣyy)
	_, linear := bad.Linearize(0.1, 5)
	_, cuped := CUPED(a, bad)
	_, few := CUPED(a, PairedSample{N: 1, SumY: 1, SumX: 1, SumYY: 1, SumXX: 1, SumXY: 1})
	_, _, ratio := PairedSample{N: 5}.Ratio()
	for i, err := range []error{linear, cuped, few, ratio} {
		if !errors.Is(err, ErrSample) {
			t.Errorf("call %d: %v, want ErrSample", i, err)
		}
	}
}
