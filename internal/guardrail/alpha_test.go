package guardrail

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestAllocateBadInput(t *testing.T) {
	t.Parallel()
	for _, w := range [][]float64{{0}, {1, -1}, {math.NaN()}, {math.Inf(1)}, {math.MaxFloat64, math.MaxFloat64}} {
		if _, err := Allocate(0.01, w); !errors.Is(err, ErrOptions) {
			t.Errorf("%v: %v, want ErrOptions", w, err)
		}
	}
	for _, alpha := range []float64{0, 1, math.NaN()} {
		_, split := Allocate(alpha, []float64{1})
		_, found := Discoveries([]float64{1}, alpha)
		if !errors.Is(split, ErrOptions) || !errors.Is(found, ErrOptions) {
			t.Errorf("alpha %v: %v, %v, want ErrOptions", alpha, split, found)
		}
	}
	if _, err := Discoveries([]float64{1, math.NaN()}, 0.1); !errors.Is(err, ErrOptions) {
		t.Errorf("%v, want ErrOptions", err)
	}
}

func TestDiscoveries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		e    []float64
		want []int
	}{
		{"none", nil, nil},
		{"one at the threshold", []float64{10}, []int{0}},
		{"one below", []float64{9.99}, nil},
		// Thresholds for 4 at 0.1: 40, 20, 13.3, 10. Three alone fail, four pass.
		{"strength in numbers", []float64{10.5, 12, 11, 13}, []int{0, 1, 2, 3}},
		{"in the order given", []float64{1, 50, 0, 45}, []int{1, 3}},
	} {
		logs := make([]float64, len(c.e))
		for i, e := range c.e {
			logs[i] = math.Log(e)
			if e == 10 {
				logs[i] += 1e-12
			}
		}
		if got := must[[]int](t)(Discoveries(logs, 0.1)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestWorstSegment: it trips whenever an even split of the budget would.
func TestWorstSegment(t *testing.T) {
	t.Parallel()
	if worst, e := WorstSegment(nil); worst != -1 || !math.IsInf(e, -1) {
		t.Errorf("no segments: %d, %v", worst, e)
	}
	worst, e := WorstSegment([]float64{-3, 7, 2, 7})
	if worst != 1 {
		t.Errorf("the worst is %d", worst)
	}
	near(t, "mean", math.Exp(e), (math.Exp(-3)+2*math.Exp(7)+math.Exp(2))/4, 1e-12)
	r := rand.New(rand.NewPCG(6, 6))
	for range 1000 {
		logs := make([]float64, 1+r.IntN(20))
		for i := range logs {
			logs[i] = r.NormFloat64() * 5
		}
		if _, e := WorstSegment(logs); e < slices.Max(logs)-math.Log(float64(len(logs)))-1e-12 {
			t.Fatalf("%v: %v", logs, e)
		}
	}
}
