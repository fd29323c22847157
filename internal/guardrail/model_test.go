package guardrail

import (
	"errors"
	"math"
	"testing"
)

func TestConfusionCounts(t *testing.T) {
	t.Parallel()
	a, c := Confusion{TP: 1, FP: 20, FN: 300, TN: 4000}, Confusion{TP: 5, FP: 60, FN: 700, TN: 8000}
	for name, x := range map[string]struct{ got, want Counts }{
		"accuracy":  {Mispredictions(a, c), Counts{320, 760, 4321, 8765}},
		"precision": {FalseDiscoveries(a, c), Counts{20, 60, 21, 65}},
		"recall":    {Misses(a, c), Counts{300, 700, 301, 705}},
	} {
		if x.got != x.want {
			t.Errorf("%s: %+v, want %+v", name, x.got, x.want)
		}
	}
	if !math.IsNaN((Confusion{}).F1()) || !math.IsNaN((Confusion{TN: 3}).Precision()) {
		t.Error("a share of nothing is a number")
	}
	for _, m := range []Confusion{{TP: -1}, {FP: -1}, {FN: -1}, {TN: -1}, {TP: MaxCount, TN: 1}, {FP: math.MaxInt64, FN: math.MaxInt64}} {
		if _, err := m.F1Sample(0.5); !errors.Is(err, ErrCounts) {
			t.Errorf("%+v: %v, want ErrCounts", m, err)
		}
	}
	for _, f0 := range []float64{0, 1, math.NaN()} {
		if _, err := a.F1Sample(f0); !errors.Is(err, ErrOptions) {
			t.Errorf("f0 %v: %v, want ErrOptions", f0, err)
		}
	}
}

func TestDivergences(t *testing.T) {
	t.Parallel()
	p := must[[]float64](t)(Proportions([]int64{0, 3, 5}))
	for i, want := range []float64{0.5 / 9.5, 3.5 / 9.5, 5.5 / 9.5} {
		near(t, "share", p[i], want, 1e-15)
	}
	// As far apart as can be.
	a := must[[]float64](t)(Proportions([]int64{1e12, 0}))
	b := must[[]float64](t)(Proportions([]int64{0, 1e12}))
	near(t, "Jensen-Shannon", must[float64](t)(JensenShannon(a, b)), math.Ln2, 1e-9)
	near(t, "Kolmogorov-Smirnov", must[float64](t)(KolmogorovSmirnov(a, b)), 1, 1e-9)
	for name, f := range map[string]func(p, q []float64) (float64, error){
		"PSI": PSI, "Jensen-Shannon": JensenShannon, "Kolmogorov-Smirnov": KolmogorovSmirnov,
	} {
		if d := must[float64](t)(f(p, p)); d != 0 {
			t.Errorf("%s of equals is %v", name, d)
		}
		for _, bad := range [][2][]float64{
			{nil, nil},
			{{1}, {1}},
			{{0.5, 0.5}, {0.2, 0.3, 0.5}},
			{{0, 1}, {0.5, 0.5}},
			{{0.5, 0.5}, {0, 1}},
			{{0.5, math.NaN()}, {0.5, 0.5}},
			{{0.5, 0.6}, {0.5, 0.5}},
		} {
			if _, err := f(bad[0], bad[1]); !errors.Is(err, ErrOptions) {
				t.Errorf("%s %v: %v, want ErrOptions", name, bad, err)
			}
		}
	}
	for _, bad := range [][]int64{{-1, 2}, {1, math.MaxInt64}} {
		if _, err := Proportions(bad); !errors.Is(err, ErrCounts) {
			t.Errorf("%v: %v, want ErrCounts", bad, err)
		}
	}
	for _, bad := range []struct {
		n, m  int64
		bins  int
		alpha float64
	}{{0, 1, 2, 0.1}, {1, 0, 2, 0.1}, {1, 1, 1, 0.1}, {1, 1, 2, 0}} {
		if _, _, err := PSINull(bad.n, bad.m, bad.bins, bad.alpha); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v, want ErrOptions", bad, err)
		}
	}
}

// TestProbabilityGreater compares with the closed form for whole parameters, a sum of
// binomial terms, and with what symmetry demands.
func TestProbabilityGreater(t *testing.T) {
	t.Parallel()
	lb := func(a, b float64) float64 {
		x, _ := math.Lgamma(a)
		y, _ := math.Lgamma(b)
		z, _ := math.Lgamma(a + b)
		return x + y - z
	}
	for _, x := range [][2]Beta{
		{{1, 1}, {3, 2}},
		{{121, 881}, {101, 901}},
		{{2, 500}, {300, 200}},
		{{1000, 10}, {20, 3}},
		{{5, 5}, {4000, 4100}},
		{{1, 1000}, {2, 1000}},
	} {
		a, c := x[0], x[1]
		want := 0.0
		for i := range int(a.A) {
			k := float64(i)
			want += math.Exp(lb(c.A+k, c.B+a.B) - math.Log(a.B+k) - lb(1+k, a.B) - lb(c.A, c.B))
		}
		got := must[float64](t)(ProbabilityGreater(a, c))
		within(t, "closed form", got, want, 1e-9)
		within(t, "the other", must[float64](t)(ProbabilityGreater(c, a)), 1-want, 1e-9)
	}
	// 10 million against each other: the normal distribution.
	got := must[float64](t)(ProbabilityGreater(Beta{1e7 + 3000, 1e7}, Beta{1e7, 1e7}))
	within(t, "many", got, exp(logNormalCDF(3000/(2e7*2)*math.Sqrt(4*2e7)/math.Sqrt2)), 1e-3)
	// The ends of what is allowed.
	for _, x := range [][2]Beta{{{0.1, 0.1}, {1e9, 1e9}}, {{0.1, 1e9}, {0.1, 0.1}}, {{0.5, 0.5}, {0.5, 0.5}}} {
		p, q := must[float64](t)(ProbabilityGreater(x[0], x[1])), must[float64](t)(ProbabilityGreater(x[1], x[0]))
		within(t, "sum of both", p+q, 1, 1e-9)
	}
	within(t, "a wide one", must[float64](t)(ProbabilityGreater(Beta{0.1, 0.1}, Beta{1e9, 1e9})), 0.5, 1e-6)
	for _, bad := range []Beta{{0, 1}, {1, 0}, {math.NaN(), 1}, {1, 1e13}} {
		_, left := ProbabilityGreater(bad, Beta{1, 1})
		_, right := ProbabilityGreater(Beta{1, 1}, bad)
		if !errors.Is(left, ErrOptions) || !errors.Is(right, ErrOptions) {
			t.Errorf("%v: %v, %v, want ErrOptions", bad, left, right)
		}
	}
}
