package guardrail

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func breaker(t *testing.T, d Direction, ratio float64, s Schedule) *RateBreaker {
	t.Helper()
	return must[*RateBreaker](t)(NewRateBreaker(RateBreakerOptions{Direction: d, Ratio: ratio, Schedule: s}))
}

// TestScheduleBudget adds up the weights of every block: never more than 1, and what the
// doc comment says.
func TestScheduleBudget(t *testing.T) {
	t.Parallel()
	for _, s := range []Schedule{{1, 0}, {1, 0.5}, {3, 0.1}, {7, 0.9}, {360, 0.1}} {
		n, sum := int64(1), 0.0
		for ; n <= s.Horizon; n++ {
			sum += math.Exp(s.logWeight(n))
		}
		near(t, "within the horizon", sum, 1-s.Tail, 1e-12)
		for b := range 8 {
			for range s.Horizon << b {
				w := math.Exp(s.logWeight(n))
				if w > math.Exp(s.logWeight(n-1)) && n != s.Horizon+1 {
					t.Fatalf("%+v: the weight rises at %d", s, n)
				}
				sum += w
				n++
			}
			near(t, "after a block", sum, 1-s.Tail/float64(b+2), 1e-11)
		}
		if last := s.logWeight(math.MaxInt64); s.Tail > 0 && !finite(last) {
			t.Errorf("%+v: the last weight is %v", s, last)
		}
	}
}

// TestRestartByDefinition compares the recursion with Σ w_k Π Λ_i, multiplied out.
func TestRestartByDefinition(t *testing.T) {
	t.Parallel()
	b := breaker(t, Increase, 1.05, Schedule{Horizon: 5, Tail: 0.2})
	r := rand.New(rand.NewPCG(2, 2))
	var s RateBreakerState
	var lambdas [][BreakerAlternatives]float64
	for n := range 12 {
		c := Counts{EventsT: r.Int64N(4), EventsC: r.Int64N(8), ExposuresT: 20 + r.Int64N(50), ExposuresC: 300}
		e, err := b.test.evidence(c)
		if err != nil {
			t.Fatal(err)
		}
		var l [BreakerAlternatives]float64
		total := 0.0
		for j, m := range breakerMultipliers() {
			// The formula in its usual form, with r0 and r_j.
			r0, rj := 1.05, 1.05*m
			et, ec := float64(c.ExposuresT), float64(c.ExposuresC)
			l[j] = math.Pow(rj/r0, float64(c.EventsT)) * math.Pow((r0*et+ec)/(rj*et+ec), float64(c.EventsT+c.EventsC))
			near(t, "Λ", math.Exp(b.test.logLambda(e, j)), l[j], 1e-12)
		}
		lambdas = append(lambdas, l)
		if err := b.Observe(&s, c); err != nil {
			t.Fatal(err)
		}
		for j := range BreakerAlternatives {
			sum := 0.0
			for k := range lambdas {
				p := math.Exp(b.schedule.logWeight(int64(k + 1)))
				for i := k; i < len(lambdas); i++ {
					p *= lambdas[i][j]
				}
				sum += p
			}
			near(t, "R", math.Exp(s.LogR[j]), sum, 1e-11)
			total += sum
		}
		near(t, "E", math.Exp(s.LogE()), total/float64(BreakerAlternatives), 1e-11)
		if s.Windows != int64(n+1) {
			t.Errorf("%d windows", s.Windows)
		}
	}
}

// TestExpectation enumerates every outcome of small strata: E[Λ] ≤ 1 for each alternative,
// where the hypothesis holds; and for rare events it is not far from 1.
func TestExpectation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		d    Direction
		// r is the hypothesis, of a gate if gate is set.
		r    float64
		gate bool
	}{
		{"breaker", Increase, 1.05, false},
		{"breaker, fall", Decrease, 0.9, false},
		{"gate", Increase, 1.5, true},
		{"gate, fall", Decrease, 0.8, true},
	} {
		multipliers := breakerMultipliers()
		if c.gate {
			multipliers = gateMultipliers()
		}
		test, err := newRatioTest(c.d, c.r, multipliers)
		if err != nil {
			t.Fatal(err)
		}
		// On the hypothesis' side of the ratio: better for a breaker, worse for a gate.
		side := []float64{1, 0.7}
		if c.gate != (c.d == Decrease) {
			side = []float64{1, 1.2}
		}
		for _, exposures := range [][2]int64{{5, 5}, {2, 20}, {20, 2}} {
			for _, p := range []float64{1e-4, 0.05, 0.5} {
				for k, factor := range side {
					for j := range multipliers {
						got := expectation(t, &test, j, exposures[0], exposures[1], p*c.r*factor, p)
						if got > 1+1e-12 {
							t.Errorf("%s: E[Λ] = %v at %v exposures, rates %v and %v, alternative %d", c.name, got, exposures, p*c.r*factor, p, j)
						}
						if k == 0 && p == 1e-4 && got < 0.99 {
							t.Errorf("%s: E[Λ] = %v at the boundary with rare events: it should be almost 1", c.name, got)
						}
					}
				}
			}
		}
	}
}

func expectation(t *testing.T, test *ratioTest, j int, et, ec int64, pt, pc float64) float64 {
	t.Helper()
	sum := 0.0
	for a := range et + 1 {
		for b := range ec + 1 {
			e, err := test.evidence(Counts{EventsT: a, EventsC: b, ExposuresT: et, ExposuresC: ec})
			if err != nil {
				t.Fatal(err)
			}
			sum += mass(et, a, pt) * mass(ec, b, pc) * math.Exp(test.logLambda(e, j))
		}
	}
	return sum
}

func mass(n, k int64, p float64) float64 {
	f := 1.0
	for i := range k {
		f *= float64(n-i) / float64(i+1)
	}
	return f * math.Pow(p, float64(k)) * math.Pow(1-p, float64(n-k))
}

// TestDirection: a fall is watched as a rise with the arms exchanged.
func TestDirection(t *testing.T) {
	t.Parallel()
	down := breaker(t, Decrease, 0.8, Schedule{Horizon: 10})
	up := breaker(t, Increase, 1/0.8, Schedule{Horizon: 10})
	c := Counts{EventsT: 5, EventsC: 500, ExposuresT: 1000, ExposuresC: 9000}
	var a, b RateBreakerState
	if err := errors.Join(down.Observe(&a, c), up.Observe(&b, c.swap())); err != nil {
		t.Fatal(err)
	}
	if a != b {
		t.Errorf("%+v, want %+v", a, b)
	}
	if a.LogE() < 3 {
		t.Errorf("0.5%% against 5.6%%: log E is only %v", a.LogE())
	}
	if r := down.Strongest(&a); !(r < 0.3 && r > 0.03) {
		t.Errorf("the strongest alternative is %v", r)
	}
	if r := up.Strongest(&b); math.Abs(r*down.Strongest(&a)-1) > 1e-12 {
		t.Errorf("the strongest alternative of the mirror is %v", r)
	}
}

// TestComplement: of a success rate near 1, the failures show a fall that the successes hide.
func TestComplement(t *testing.T) {
	t.Parallel()
	c := Counts{EventsT: 930, EventsC: 990, ExposuresT: 1000, ExposuresC: 1000}
	want := Counts{EventsT: 70, EventsC: 10, ExposuresT: 1000, ExposuresC: 1000}
	if c.Complement() != want {
		t.Fatalf("%+v", c.Complement())
	}
	successes, failures := breaker(t, Decrease, 1, Schedule{Horizon: 1}), breaker(t, Increase, 1, Schedule{Horizon: 1})
	var a, b RateBreakerState
	if err := errors.Join(successes.Observe(&a, c), failures.Observe(&b, c.Complement())); err != nil {
		t.Fatal(err)
	}
	if !(a.LogE() < 1 && b.LogE() > 15) {
		t.Errorf("log E by successes %v, by failures %v", a.LogE(), b.LogE())
	}
}

// TestSplitting: strata of the same share may be put together or taken apart, for a gate and
// for a breaker without restarts. Strata of different shares may not, and a restart makes
// each window count as one.
func TestSplitting(t *testing.T) {
	t.Parallel()
	whole := Counts{EventsT: 6, EventsC: 60, ExposuresT: 300, ExposuresC: 5700}
	same := []Counts{
		{EventsT: 1, EventsC: 50, ExposuresT: 100, ExposuresC: 1900},
		{EventsT: 5, EventsC: 10, ExposuresT: 200, ExposuresC: 3800},
	}
	other := []Counts{
		{EventsT: 1, EventsC: 50, ExposuresT: 10, ExposuresC: 1990},
		{EventsT: 5, EventsC: 10, ExposuresT: 290, ExposuresC: 3710},
	}
	g := must[*RateGate](t)(NewRateGate(RateGateOptions{Ratio: 2}))
	gate := func(windows ...Counts) float64 {
		var s RateGateState
		for _, c := range windows {
			if err := g.Observe(&s, c); err != nil {
				t.Fatal(err)
			}
		}
		return s.LogE()
	}
	rate := func(horizon int64, windows ...Counts) float64 {
		b := breaker(t, Increase, 1.05, Schedule{Horizon: horizon})
		var s RateBreakerState
		for _, c := range windows {
			if err := b.Observe(&s, c); err != nil {
				t.Fatal(err)
			}
		}
		return s.LogE()
	}
	near(t, "gate, same shares", gate(same...), gate(whole), 1e-12)
	near(t, "plain breaker, same shares", rate(1, same...), rate(1, whole), 1e-12)
	for name, d := range map[string]float64{
		"gate, other shares":          gate(other...) - gate(whole),
		"plain breaker, other shares": rate(1, other...) - rate(1, whole),
		"restarted breaker":           rate(10, same...) - rate(10, whole),
	} {
		if math.Abs(d) < 0.1 {
			t.Errorf("%s: the evidence differs by %v only", name, d)
		}
	}
}

// TestMonotone: each more treatment event is more evidence of harm, and less of safety; each
// more control event the other way.
func TestMonotone(t *testing.T) {
	t.Parallel()
	b := breaker(t, Increase, 1.05, Schedule{Horizon: 10})
	g := must[*RateGate](t)(NewRateGate(RateGateOptions{Ratio: 1.5}))
	at := func(nt, nc int64) (float64, float64) {
		var s RateBreakerState
		var gs RateGateState
		c := Counts{EventsT: nt, EventsC: nc, ExposuresT: 300, ExposuresC: 700}
		if err := errors.Join(b.Observe(&s, c), g.Observe(&gs, c)); err != nil {
			t.Fatal(err)
		}
		return s.LogE(), gs.LogE()
	}
	for n := range int64(100) {
		harm, safe := at(n, 50)
		moreHarm, lessSafe := at(n+1, 50)
		if !(moreHarm > harm && lessSafe < safe) {
			t.Fatalf("event %d of treatment: harm %v to %v, safe %v to %v", n+1, harm, moreHarm, safe, lessSafe)
		}
		harm, safe = at(50, n)
		lessHarm, moreSafe := at(50, n+1)
		if !(lessHarm < harm && moreSafe > safe) {
			t.Fatalf("event %d of control: harm %v to %v, safe %v to %v", n+1, harm, lessHarm, safe, moreSafe)
		}
	}
}

// TestNeverStuck: after the greatest good that there can be, harm is found at once.
func TestNeverStuck(t *testing.T) {
	t.Parallel()
	for _, s := range []Schedule{{Horizon: 10}, {Horizon: 3, Tail: 0.1}} {
		b := breaker(t, Increase, 1.05, s)
		var st RateBreakerState
		for range 8 {
			if err := b.Observe(&st, Counts{EventsC: MaxCount, ExposuresT: MaxCount, ExposuresC: MaxCount}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Observe(&st, Counts{EventsT: 80, EventsC: 10, ExposuresT: 1000, ExposuresC: 1000}); err != nil {
			t.Fatal(err)
		}
		if st.LogE() < LogThreshold(0.01) {
			t.Errorf("%+v: log E is %v", s, st.LogE())
		}
	}
}

func TestEventsToTrip(t *testing.T) {
	t.Parallel()
	const threshold = 5.5
	for _, d := range []Direction{Increase, Decrease} {
		b := breaker(t, d, 1, Schedule{Horizon: 100})
		var s RateBreakerState
		next := Counts{EventsT: 100, EventsC: 100, ExposuresT: 1000, ExposuresC: 1000}
		for range 5 {
			if err := b.Observe(&s, next); err != nil {
				t.Fatal(err)
			}
		}
		before := s
		k, ok, err := b.EventsToTrip(&s, next, threshold)
		if err != nil || !ok || k < 5 || k > 100 {
			t.Fatalf("%v: %d, %v, %v", d, k, ok, err)
		}
		if s != before {
			t.Error("the state changed")
		}
		for _, x := range []int64{k - 1, k} {
			c, after := next, s
			c.EventsT += x * (1 - 2*int64(d))
			if err := b.Observe(&after, c); err != nil {
				t.Fatal(err)
			}
			if trips := after.LogE() >= threshold; trips != (x == k) {
				t.Errorf("%v: %d events: trips is %v", d, x, trips)
			}
		}
		if _, ok, err := b.EventsToTrip(&s, Counts{EventsT: 1, EventsC: 1, ExposuresT: 2, ExposuresC: 2}, threshold); ok || err != nil {
			t.Errorf("%v: a window of two cannot trip: %v, %v", d, ok, err)
		}
		if k, ok, err := b.EventsToTrip(&s, next, -100); k != 0 || !ok || err != nil {
			t.Errorf("%v: tripped already: %d, %v, %v", d, k, ok, err)
		}
	}
}
