package guardrail

import (
	"errors"
	"math"
	"testing"
)

// TestSRMExpectation enumerates all arrivals of few users: E is 1 in expectation under the
// intended shares, for two arms and for three.
func TestSRMExpectation(t *testing.T) {
	t.Parallel()
	m := SRM{Concentration: 5}
	for _, shares := range [][]float64{{0.5, 0.5}, {0.1, 0.9}, {0.2, 0.3, 0.5}} {
		const n = 8
		total := 0.0
		var walk func(arm int, left int64, counts []int64, weight float64)
		walk = func(arm int, left int64, counts []int64, weight float64) {
			if arm == len(shares)-1 {
				var s SRMState
				if err := errors.Join(m.StartStage(&s, shares), m.Observe(&s, append(counts, left))); err != nil {
					t.Fatal(err)
				}
				total += weight * math.Pow(shares[arm], float64(left)) * math.Exp(m.LogE(&s))
				return
			}
			for k := range left + 1 {
				w := weight * math.Pow(shares[arm], float64(k))
				for i := range k {
					w *= float64(left-i) / float64(i+1)
				}
				walk(arm+1, left-k, append(counts[:arm:arm], k), w)
			}
		}
		walk(0, n, nil, 1)
		near(t, "E[E]", total, 1, 1e-12)
	}
}

func TestSRMStages(t *testing.T) {
	t.Parallel()
	m := SRM{Concentration: 10000}
	one := func(shares []float64, users ...int64) float64 {
		var s SRMState
		if err := errors.Join(m.StartStage(&s, shares), m.Observe(&s, users)); err != nil {
			t.Fatal(err)
		}
		return m.LogE(&s)
	}
	canary, half := []float64{0.05, 0.95}, []float64{0.5, 0.5}
	var s SRMState
	if e := m.LogE(&s); e != 0 {
		t.Errorf("log E of nothing is %v", e)
	}
	if err := errors.Join(
		m.StartStage(&s, canary), m.Observe(&s, []int64{200, 4000}), m.Observe(&s, []int64{250, 5000}),
		m.StartStage(&s, []float64{0.2, 0.8}), m.Observe(&s, []int64{2100, 7900}),
		m.StartStage(&s, half), m.Observe(&s, []int64{4700, 5300}),
	); err != nil {
		t.Fatal(err)
	}
	near(t, "log E", m.LogE(&s), one(canary, 450, 9000)+one([]float64{0.2, 0.8}, 2100, 7900)+one(half, 4700, 5300), 1e-12)
	near(t, "a lack of treatment", s.Excess(0), -300, 1e-12)
	near(t, "an excess of control", s.Excess(1), 300, 1e-12)
	// Users in other proportions than those of their stage are what it is about.
	if whole := one([]float64{0.25, 0.75}, 7250, 22200); math.Abs(whole-m.LogE(&s)) < 1 {
		t.Errorf("stages do not matter: %v", whole)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	// What was given stays the caller's.
	half[0] = 0.1
	if s.Shares[0] != 0.5 {
		t.Error("the state keeps the caller's slice")
	}
}

func TestSRMBadInput(t *testing.T) {
	t.Parallel()
	m := SRM{Concentration: 10000}
	var s SRMState
	if err := errors.Join(m.StartStage(&s, []float64{0.5, 0.5}), m.Observe(&s, []int64{MaxCount, 3})); err != nil {
		t.Fatal(err)
	}
	e := m.LogE(&s)
	if !finite(e) {
		t.Errorf("log E is %v", e)
	}
	for _, users := range [][]int64{nil, {1}, {1, 2, 3}, {0, -1}, {1, 0}, {0, math.MaxInt64}} {
		if err := m.Observe(&s, users); !errors.Is(err, ErrCounts) {
			t.Errorf("%v: %v, want ErrCounts", users, err)
		}
	}
	for _, shares := range [][]float64{nil, {1}, {0, 1}, {0.5, 0.6}, {1.5, -0.5}, {0.5, math.NaN()}} {
		if err := m.StartStage(&s, shares); !errors.Is(err, ErrOptions) {
			t.Errorf("%v: %v, want ErrOptions", shares, err)
		}
	}
	if err := (SRM{}).StartStage(&s, []float64{0.5, 0.5}); !errors.Is(err, ErrOptions) {
		t.Errorf("no concentration: %v, want ErrOptions", err)
	}
	if got := m.LogE(&s); got != e {
		t.Errorf("bad input changed log E from %v to %v", e, got)
	}
}
