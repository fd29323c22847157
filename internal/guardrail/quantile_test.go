package guardrail

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// sorted reads values as a sketch would: rounded to its accuracy.
type sorted struct {
	values []float64
	skew   float64 // what it multiplies each by
}

func (s sorted) Count() int64                   { return int64(len(s.values)) }
func (s sorted) ValueAtRank(rank int64) float64 { return s.values[rank-1] * s.skew }

// TestBandByScan compares the bisection with a scan of all ranks.
func TestBandByScan(t *testing.T) {
	t.Parallel()
	for _, p := range []float64{0.01, 0.5, 0.9, 0.999} {
		q := must[*Quantile](t)(NewQuantile(QuantileOptions{P: p, Alpha: 0.05, NOpt: 300}))
		for n := int64(0); n < 400; n += 1 + n/10 {
			want := RankBand{Lower: n + 1}
			for k := range n + 1 {
				if q.mixture.logE(float64(k), float64(n-k)) < q.threshold {
					want.Lower = min(want.Lower, k)
					want.Upper = k + 1
				}
			}
			if got := must[RankBand](t)(q.Band(n)); got != want {
				t.Fatalf("p=%v n=%d: %+v, want %+v", p, n, got, want)
			}
		}
	}
}

// TestBandOfMany: at a billion values the band is narrow, and as wide as theory says.
func TestBandOfMany(t *testing.T) {
	t.Parallel()
	q := must[*Quantile](t)(NewQuantile(QuantileOptions{P: 0.99, Alpha: 0.0125, NOpt: 1e9}))
	const n = 1_000_000_000
	b := must[RankBand](t)(q.Band(n))
	sd := math.Sqrt(n * 0.99 * 0.01)
	for side, z := range map[string]float64{"lower": (0.99*n - float64(b.Lower)) / sd, "upper": (float64(b.Upper) - 0.99*n) / sd} {
		// √(ln((V+η)/η) + 2ln(1/α)) is 3.4 at the tuning.
		if z < 3.2 || z > 3.6 {
			t.Errorf("%s is %v standard deviations away", side, z)
		}
	}
	if _, err := q.Band(MaxCount); err != nil {
		t.Error(err)
	}
	for _, n := range []int64{-1, MaxCount + 1} {
		if _, err := q.Band(n); !errors.Is(err, ErrCounts) {
			t.Errorf("%d: %v, want ErrCounts", n, err)
		}
	}
}

func TestUniformBand(t *testing.T) {
	t.Parallel()
	b := must[*UniformBand](t)(NewUniformBand(UniformBandOptions{Alpha: 0.05, NMin: 100}))
	if r := b.Radius(99); !math.IsInf(r, 1) {
		t.Errorf("the radius before the start is %v", r)
	}
	for n, want := range map[int64]RankBand{
		0:  {0, 1},
		99: {0, 100},
		// 0.99 ± the radius 0.0820 of the reference, at 1000: 907.95 up to all.
		1000: {908, 1001},
	} {
		if got := must[RankBand](t)(b.Band(n, 0.99)); got != want {
			t.Errorf("n=%d: %+v, want %+v", n, got, want)
		}
	}
	// 0.5 ± 0.0820: 417.96 to 582.04.
	if got, want := must[RankBand](t)(b.Band(1000, 0.5)), (RankBand{418, 583}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	_, negative := b.Band(-1, 0.5)
	if !errors.Is(negative, ErrCounts) {
		t.Errorf("%v, want ErrCounts", negative)
	}
	_, level := b.Band(1000, 1)
	_, alpha := NewUniformBand(UniformBandOptions{Alpha: 1, NMin: 1})
	_, start := NewUniformBand(UniformBandOptions{Alpha: 0.05})
	_, p := NewQuantile(QuantileOptions{Alpha: 0.05, NOpt: 1})
	_, nOpt := NewQuantile(QuantileOptions{P: 0.5, Alpha: 0.05})
	_, qAlpha := NewQuantile(QuantileOptions{P: 0.5, NOpt: 10})
	for i, err := range []error{level, alpha, start, p, nOpt, qAlpha} {
		if !errors.Is(err, ErrOptions) {
			t.Errorf("call %d: %v, want ErrOptions", i, err)
		}
	}
}

// TestValues: whatever a sketch of an accuracy does to values, the true ones are inside.
func TestValues(t *testing.T) {
	t.Parallel()
	values := []float64{-100, -1, 0, 1, 100}
	const accuracy = 0.25
	for _, skew := range []float64{1 - accuracy, 1, 1 + accuracy} {
		r := sorted{values: values, skew: skew}
		for rank := int64(1); rank <= 5; rank++ {
			lower, upper, err := RankBand{Lower: rank, Upper: rank}.Values(r, accuracy)
			if err != nil {
				t.Fatal(err)
			}
			if x := values[rank-1]; lower > x || upper < x {
				t.Errorf("%v read as %v: [%v, %v]", x, x*skew, lower, upper)
			}
		}
	}
	// It is no wider than the accuracy asks for.
	lower, upper, err := RankBand{Lower: 4, Upper: 5}.Values(sorted{values, 1}, accuracy)
	if err != nil || lower != 0.8 || math.Abs(upper-400.0/3) > 1e-12 {
		t.Errorf("[%v, %v], %v", lower, upper, err)
	}
	lower, upper, err = RankBand{Lower: 0, Upper: 6}.Values(sorted{values, 1}, accuracy)
	if err != nil || !math.IsInf(lower, -1) || !math.IsInf(upper, 1) {
		t.Errorf("without bounds: [%v, %v], %v", lower, upper, err)
	}
	if _, _, err := (RankBand{Lower: 1, Upper: 2}).Values(sorted{values, math.NaN()}, accuracy); !errors.Is(err, ErrSample) {
		t.Errorf("%v, want ErrSample", err)
	}
	for _, bad := range []float64{-0.1, 1, math.NaN()} {
		if _, _, err := (RankBand{}).Values(sorted{values, 1}, bad); !errors.Is(err, ErrOptions) {
			t.Errorf("accuracy %v: %v, want ErrOptions", bad, err)
		}
	}
}

func TestCompareQuantiles(t *testing.T) {
	t.Parallel()
	q := must[*Quantile](t)(NewQuantile(QuantileOptions{P: 0.9, Alpha: 0.0125, NOpt: 10000}))
	arm := func(n int, scale float64) sorted {
		s := sorted{skew: 1}
		for i := range n {
			s.values = append(s.values, scale*-math.Log1p(-(float64(i)+0.5)/float64(n)))
		}
		slices.Sort(s.values)
		return s
	}
	control := arm(20000, 100)
	for _, c := range []struct {
		name         string
		treatment    sorted
		m            Margin
		breach, safe bool
	}{
		{"same", arm(20000, 100), Margin{}, false, false},
		{"same, with a margin", arm(20000, 100), Margin{Absolute: 50}, false, true},
		{"same, with a relative margin", arm(20000, 100), Margin{Relative: 0.2}, false, true},
		{"half as much again", arm(20000, 150), Margin{Absolute: 50}, true, false},
		{"half as much again, relative", arm(20000, 150), Margin{Relative: 0.2}, true, false},
		{"within an absolute margin", arm(20000, 150), Margin{Absolute: 150}, false, true},
		{"few", arm(10, 150), Margin{Absolute: 50}, false, false},
		{"none", arm(0, 1), Margin{Absolute: 50}, false, false},
	} {
		v := must[QuantileVerdict](t)(CompareQuantiles(q, c.treatment, control, 0.01, c.m))
		if v.Breach != c.breach || v.Safe != c.safe {
			t.Errorf("%s: %+v", c.name, v)
		}
		if truth := 100 * math.Log(10); v.LowerC > truth || v.UpperC < truth || v.UpperC-v.LowerC > 40 {
			t.Errorf("%s: control's band [%v, %v], the quantile is %v", c.name, v.LowerC, v.UpperC, truth)
		}
	}
	for _, m := range []Margin{{Relative: -1}, {Absolute: math.NaN()}} {
		if _, err := CompareQuantiles(q, control, control, 0.01, m); !errors.Is(err, ErrOptions) {
			t.Errorf("%v: %v, want ErrOptions", m, err)
		}
	}
	if _, err := CompareQuantiles(q, control, control, 2, Margin{}); !errors.Is(err, ErrOptions) {
		t.Errorf("%v, want ErrOptions", err)
	}
}
