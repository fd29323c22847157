package main

import (
	"context"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// TestDraws: means and variances of the distributions.
func TestDraws(t *testing.T) {
	t.Parallel()
	d := newDraws(1, 1)
	const n = 20_000
	for _, c := range []struct {
		name           string
		mean, variance float64
		draw           func() int
	}{
		{"poisson 0.3", 0.3, 0.3, func() int { return d.poisson(0.3) }},
		{"poisson 200", 200, 200, func() int { return d.poisson(200) }},
		{"binomial 200 1%", 2, 1.98, func() int { return d.binomial(200, 0.01) }},
		{"binomial 200 20%", 40, 32, func() int { return d.binomial(200, 0.2) }},
		{"binomial 200 30%", 60, 42, func() int { return d.binomial(200, 0.3) }},
		{"binomial 200 50%", 100, 50, func() int { return d.binomial(200, 0.5) }},
		{"binomial 200 98%", 196, 3.92, func() int { return d.binomial(200, 0.98) }},
	} {
		sum, squares := 0.0, 0.0
		for range n {
			x := float64(c.draw())
			sum += x
			squares += (x - c.mean) * (x - c.mean)
		}
		mean, variance := sum/n, squares/n
		if math.Abs(mean-c.mean) > 5*math.Sqrt(c.variance/n) || math.Abs(variance/c.variance-1) > 0.1 {
			t.Errorf("%s: mean %v, variance %v", c.name, mean, variance)
		}
	}
	a := newAlias([]float64{1, 2, 0, 7})
	var counts [4]float64
	for range n {
		counts[a.draw(d)]++
	}
	for i, want := range []float64{0.1, 0.2, 0, 0.7} {
		if math.Abs(counts[i]/n-want) > 0.02 {
			t.Errorf("alias: %v", counts)
		}
	}
}

// TestLatencies: the median and the 99th percentile are those of the log-normal distribution.
func TestLatencies(t *testing.T) {
	t.Parallel()
	l, d := newLatencies(), newDraws(1, 2)
	v := make([]float64, 50_000)
	for i := range v {
		v[i] = l.values[l.alias.draw(d)]
	}
	slices.Sort(v)
	for q, want := range map[float64]float64{0.5: medianLatency, 0.99: medianLatency * math.Exp(2.3263*sigmaLatency)} {
		if got := v[int(q*float64(len(v)))]; math.Abs(got/want-1) > 0.05 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

// TestStatistics: published values.
func TestStatistics(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k, n         int
		lower, upper float64
	}{{0, 10, 0, 0.3085}, {10, 10, 0.6915, 1}, {5, 10, 0.1871, 0.8129}, {0, 10_000, 0, 0.000369}} {
		lower, upper := clopperPearson(c.k, c.n, 0.05)
		if math.Abs(lower-c.lower) > 1e-4 || math.Abs(upper-c.upper) > 1e-4 {
			t.Errorf("%d of %d: %v to %v", c.k, c.n, lower, upper)
		}
	}
	// R: qwilcox(0.01, 10, 10) is 20; qwilcox(0.025, 5, 6) is 4.
	if got := [2]int{mannWhitneyQuantile(10, 10, 0.01), mannWhitneyQuantile(5, 6, 0.025)}; got != [2]int{20, 4} {
		t.Errorf("quantiles of U: %v", got)
	}
	if high([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, []float64{1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5}) {
		t.Error("equal series differ")
	}
	if !high([]float64{21, 22, 23, 24, 25, 26, 27, 28, 29, 30}, []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) {
		t.Error("series apart do not differ")
	}
}

// TestSeed: a seed gives the same table, on however many cores; another seed another.
func TestSeed(t *testing.T) {
	t.Parallel()
	table := func(seed uint64) string {
		o := options{runs: 6, seed: seed}
		for _, s := range scenarios() {
			if s.name == "x20-at-5" || s.name == "x5-at-5" {
				o.scenarios = append(o.scenarios, s)
			}
		}
		o.methods = methods()
		var out strings.Builder
		if err := run(context.Background(), &out, io.Discard, o); err != nil {
			t.Fatal(err)
		}
		return strings.Replace(out.String(), "seed", "", 1)
	}
	a := table(1)
	if b := table(1); a != b {
		t.Errorf("%s\n%s", a, b)
	}
	if a[20:] == table(2)[20:] {
		t.Error("the seed is not heeded")
	}
	if strings.Count(a, "\n") != 5+2+5+2*len(methods()) && !strings.Contains(a, "tidegate, 5 s windows") {
		t.Error(a)
	}
}

// TestCore: the real judge in the simulated world, one run of each: a guard against a core that
// is wired wrongly.
func TestCore(t *testing.T) {
	t.Parallel()
	l := newLatencies()
	for _, s := range scenarios() {
		want, ok := map[string]state{"healthy": completed, "x5-at-5": rolledBack, "x20-at-5": rolledBack, "srm": rolledBack, "creep": rolledBack, "accuracy": rolledBack, "p99": rolledBack}[s.name]
		if !ok {
			continue
		}
		for _, m := range methods()[3:] {
			c, err := m.new()
			if err != nil {
				t.Fatal(err)
			}
			if r := rollout(newWorld(s, l, 5, 1), c); r.state != want || r.before {
				t.Errorf("%s, %s: %+v", s.name, m.name, r)
			}
		}
	}
}
