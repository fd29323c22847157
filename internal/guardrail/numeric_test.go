package guardrail

import (
	"math"
	"math/rand/v2"
	"testing"
)

// near fails unless got is within the relative tolerance of want.
func near(t *testing.T, what string, got, want, rel float64) {
	t.Helper()
	if got == want {
		return
	}
	if !(math.Abs(got-want) <= rel*math.Max(math.Abs(want), 1e-300)) {
		t.Errorf("%s: got %.15g, want %.15g (relative error %.2g)", what, got, want, math.Abs(got-want)/math.Abs(want))
	}
}

func TestElementary(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		x := math.Ldexp(r.Float64()+0.5, r.IntN(2000)-1000)
		near(t, "log", log(x), math.Log(x), 4e-16)
		y := math.Ldexp(r.Float64()+0.5, r.IntN(60)-50)
		near(t, "log1p", log1p(y), math.Log1p(y), 5e-16)
		if y < 1 {
			near(t, "log1p of a negative", log1p(-y), math.Log1p(-y), 5e-16)
		}
		z := (r.Float64() - 0.5) * 1400
		near(t, "exp", exp(z), math.Exp(z), 5e-16)
		a := math.Ldexp(r.Float64()+0.5, r.IntN(40)-10)
		want, _ := math.Lgamma(a)
		if math.Abs(want) > 0.1 {
			near(t, "logGamma", logGamma(a), want, 2e-14)
		}
	}
}

func TestElementaryEdges(t *testing.T) {
	t.Parallel()
	inf := math.Inf(1)
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"log 0", log(0), -inf},
		{"log Inf", log(inf), inf},
		{"log 1", log(1), 0},
		{"log of the least", log(math.SmallestNonzeroFloat64), -744.4400719213812},
		{"log1p -1", log1p(-1), -inf},
		{"log1p Inf", log1p(inf), inf},
		{"exp 0", exp(0), 1},
		{"exp 1000", exp(1000), inf},
		{"exp -1000", exp(-1000), 0},
		{"exp -Inf", exp(-inf), 0},
		{"exp into the subnormals", exp(-740), math.Exp(-740)},
		{"logAdd of nothing", logAdd(-inf, -inf), -inf},
		{"logAdd with nothing", logAdd(-inf, 3), 3},
		{"logAdd with all", logAdd(inf, inf), inf},
		{"logAdd beyond exp", logAdd(1e6, 1e6), 1e6 + math.Ln2},
		{"logMeanExp of nothing", logMeanExp(nil), -inf},
		{"logMeanExp of zeros", logMeanExp([]float64{-inf, -inf}), -inf},
		{"logMeanExp beyond exp", logMeanExp([]float64{1e6, 1e6 + 1}), 1e6 + math.Log((1+math.E)/2)},
	} {
		near(t, c.name, c.got, c.want, 1e-15)
	}
	for _, x := range []float64{log(-1), log(math.NaN()), log1p(-2), exp(math.NaN())} {
		if !math.IsNaN(x) {
			t.Errorf("got %v, want NaN", x)
		}
	}
}

// mpmath, 40 digits.
func TestSpecial(t *testing.T) {
	t.Parallel()
	for _, c := range specialValues {
		near(t, c.name, c.got, c.want, 1e-12)
	}
}

func TestBoundary(t *testing.T) {
	t.Parallel()
	if got := boundary(0, 10, func(x float64) bool { return x*x <= 2 }); math.Abs(got-math.Sqrt2) > 4e-16 {
		t.Errorf("upwards: %v", got)
	}
	if got := boundary(10, 0, func(x float64) bool { return x*x >= 2 }); math.Abs(got-math.Sqrt2) > 4e-16 {
		t.Errorf("downwards: %v", got)
	}
	for want := int64(0); want < 20; want++ {
		if got := lastRank(0, 19, func(k int64) bool { return k <= want }); got != want {
			t.Errorf("up to %d: %d", want, got)
		}
		if got := lastRank(19, 0, func(k int64) bool { return k >= want }); got != want {
			t.Errorf("down to %d: %d", want, got)
		}
	}
}
