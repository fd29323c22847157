package guardrail

import (
	"errors"
	"math"
	"testing"
)

// TestBinomialExpectation enumerates all outcomes: E is 1 in expectation at Theta; the
// one-sided one at most 1 below.
func TestBinomialExpectation(t *testing.T) {
	t.Parallel()
	m := BinomialMixture{Theta: 0.2, K: 6}
	const n = 15
	for _, p := range []float64{0.05, 0.2, 0.5} {
		two, greater := 0.0, 0.0
		for k := range int64(n + 1) {
			w := mass(n, k, p)
			two += w * math.Exp(must[float64](t)(m.LogE(k, n-k)))
			greater += w * math.Exp(must[float64](t)(m.LogEGreater(k, n-k)))
		}
		switch {
		case p == m.Theta:
			near(t, "two-sided", two, 1, 1e-12)
			near(t, "one-sided", greater, 1, 1e-12)
		case p < m.Theta && greater > 1, p > m.Theta && greater < 2:
			t.Errorf("p=%v: one-sided %v", p, greater)
		}
	}
	for _, bad := range []BinomialMixture{{0, 1}, {1, 1}, {math.NaN(), 1}, {0.5, 0}, {0.5, math.Inf(1)}} {
		_, two := bad.LogE(1, 1)
		_, greater := bad.LogEGreater(1, 1)
		if !errors.Is(two, ErrOptions) || !errors.Is(greater, ErrOptions) {
			t.Errorf("%+v: %v, %v, want ErrOptions", bad, two, greater)
		}
	}
	for _, bad := range [][2]int64{{-1, 0}, {0, -1}, {MaxCount + 1, 0}} {
		if _, err := m.LogE(bad[0], bad[1]); !errors.Is(err, ErrCounts) {
			t.Errorf("%v: %v, want ErrCounts", bad, err)
		}
	}
}

// TestRateRatioBounds: at its bounds E is the threshold, whatever the stages.
func TestRateRatioBounds(t *testing.T) {
	t.Parallel()
	const alpha, k = 0.05, 20
	stages := []Counts{
		{EventsT: 10, EventsC: 990, ExposuresT: 1000, ExposuresC: 99000},
		{EventsT: 210, EventsC: 200, ExposuresT: 5000, ExposuresC: 5000},
		{ExposuresC: 1000, EventsC: 800}, // control alone says nothing
	}
	i := must[Interval](t)(RateRatio(stages, k, alpha))
	var l ratioLikelihood
	for _, c := range stages {
		l.add(c, k)
	}
	for name, r := range map[string]float64{"lower": i.Lower, "upper": i.Upper} {
		near(t, name, l.at(math.Log(r)), LogThreshold(alpha), 1e-9)
	}
	if !(i.Lower < 1 && i.Estimate > 1 && i.Estimate < 1.1 && i.Upper < 1.6) {
		t.Errorf("%+v", i)
	}
	for _, d := range []float64{0.99, 1.01} {
		if l.at(math.Log(i.Estimate*d)) <= l.at(math.Log(i.Estimate)) {
			t.Errorf("%v is more likely than the estimate %v", i.Estimate*d, i.Estimate)
		}
	}
}

// TestRateRatioSimpson: a level that changes with the share is not an effect.
func TestRateRatioSimpson(t *testing.T) {
	t.Parallel()
	stages := []Counts{
		{EventsT: 20, EventsC: 1980, ExposuresT: 1000, ExposuresC: 99000},
		{EventsT: 5000, EventsC: 5000, ExposuresT: 50000, ExposuresC: 50000},
	}
	i := must[Interval](t)(RateRatio(stages, 100, 0.05))
	near(t, "estimate", i.Estimate, 1, 1e-9)
}

func TestRateRatioEdges(t *testing.T) {
	t.Parallel()
	inf := math.Inf(1)
	for name, c := range map[string]struct {
		stages []Counts
		check  func(Interval) bool
	}{
		"nothing":           {nil, func(i Interval) bool { return i == Interval{0, 0, inf} }},
		"no events":         {[]Counts{{ExposuresT: 5, ExposuresC: 5}}, func(i Interval) bool { return i == Interval{0, 0, inf} }},
		"none of treatment": {[]Counts{{EventsC: 50, ExposuresT: 500, ExposuresC: 500}}, func(i Interval) bool { return i.Estimate == 0 && i.Lower == 0 && i.Upper < 0.5 }},
		"none of control":   {[]Counts{{EventsT: 50, ExposuresT: 500, ExposuresC: 500}}, func(i Interval) bool { return i.Estimate == inf && i.Lower > 2 && i.Upper == inf }},
		"a single event":    {[]Counts{{EventsT: 1, ExposuresT: 500, ExposuresC: 500}}, func(i Interval) bool { return i.Lower == 0 || i.Lower < 0.1 }},
		"as many as can be": {[]Counts{{MaxCount, MaxCount, MaxCount, MaxCount}}, func(i Interval) bool {
			return math.Abs(i.Estimate-1) < 1e-6 && i.Lower <= i.Estimate && i.Upper >= i.Estimate
		}},
		"a single control unit":  {[]Counts{{3, 1, MaxCount, 1}}, func(i Interval) bool { return i.Estimate > 0 && i.Lower < i.Estimate && i.Upper > i.Estimate }},
		"a single treated unit":  {[]Counts{{1, 3, 1, MaxCount}}, func(i Interval) bool { return i.Estimate > 1e14 && i.Lower < i.Estimate && i.Upper > i.Estimate }},
		"stages that contradict": {[]Counts{{9000, 100, 10000, 10000}, {100, 9000, 10000, 10000}}, func(i Interval) bool { return i == Interval{i.Estimate, i.Estimate, i.Estimate} }},
	} {
		if i := must[Interval](t)(RateRatio(c.stages, 20, 0.01)); !c.check(i) {
			t.Errorf("%s: %+v", name, i)
		}
	}
	_, k := RateRatio(nil, 0, 0.01)
	_, alpha := RateRatio(nil, 20, 0)
	_, c := Concentration(10, 1)
	for i, err := range []error{k, alpha, c} {
		if !errors.Is(err, ErrOptions) {
			t.Errorf("call %d: %v, want ErrOptions", i, err)
		}
	}
	if k := must[float64](t)(Concentration(0.1, 0.05)); k != 1 {
		t.Errorf("the least concentration is %v", k)
	}
}
