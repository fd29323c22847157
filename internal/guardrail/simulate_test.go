package guardrail

import (
	"math"
	"math/rand/v2"
	"testing"
)

// binomial draws the number of successes of n trials, by inversion: for small n·p.
func binomial(r *rand.Rand, n int64, p float64) int64 {
	u, k := r.Float64(), int64(0)
	f := math.Pow(1-p, float64(n))
	for u > f && k < n {
		u -= f
		k++
		f *= float64(n-k+1) / float64(k) * p / (1 - p)
	}
	return k
}

// atMost fails if so many failures in so many runs are more than a probability of alpha
// explains: if the upper 95% bound of the true probability is above alpha.
func atMost(t *testing.T, what string, failures, runs int, alpha float64) {
	t.Helper()
	k, n := float64(failures), float64(runs)
	upper := boundary(0, 1, func(p float64) bool { return betaCDF(k+1, n-k, p, 1-p) < 0.95 })
	t.Logf("%s: %d of %d, upper bound %.4f, alpha %v", what, failures, runs, upper, alpha)
	if upper > alpha {
		t.Errorf("%s: %d of %d runs: the upper 95%% bound %.4f is above %v", what, failures, runs, upper, alpha)
	}
}

// world makes windows at a rate ratio, while the level of both arms moves and the share of
// traffic follows whatever the policy wants.
type world struct {
	r      *rand.Rand
	ratio  float64
	level  func(window int) float64 // control's rate
	policy func(window int, logE float64) float64
	size   int64 // exposures in a window
}

func (w world) window(n int, logE float64) Counts {
	p, share := w.level(n), w.policy(n, logE)
	t := binomial(w.r, w.size, share) // assignment is random as well
	return Counts{
		ExposuresT: t, ExposuresC: w.size - t,
		EventsT: binomial(w.r, t, p*w.ratio), EventsC: binomial(w.r, w.size-t, p),
	}
}

func diurnal(n int) float64 { return 0.01 * (1 + 0.8*math.Sin(float64(n)/12)) }

// outage hits both arms alike.
func outage(n int) float64 {
	if n >= 40 && n < 45 {
		return 0.2
	}
	return 0.01
}

// policies choose the share by what was seen: the bound holds for any of them.
var policies = map[string]func(n int, logE float64) float64{
	"half":         func(int, float64) float64 { return 0.5 },
	"canary":       func(int, float64) float64 { return 0.05 },
	"ramp":         func(n int, _ float64) float64 { return []float64{0.01, 0.05, 0.2, 0.5}[min(3, n/20)] },
	"drift":        func(n int, _ float64) float64 { return 0.02 + 0.9*float64(n)/100 },
	"double down":  func(_ int, logE float64) float64 { return map[bool]float64{true: 0.5, false: 0.02}[logE > 0] },
	"look closely": func(_ int, logE float64) float64 { return map[bool]float64{true: 0.02, false: 0.5}[logE > 0] },
}

// TestRateBreakerFalseAlarms looks at every window of rollouts that are as bad as they may
// be without harm.
func TestRateBreakerFalseAlarms(t *testing.T) {
	t.Parallel()
	const alpha, runs, windows = 0.05, 300, 100
	for name, policy := range policies {
		for ratio, level := range map[float64]func(int) float64{1.05: diurnal, 0.95: outage} {
			d := Increase
			if ratio < 1 {
				d = Decrease
			}
			b := breaker(t, d, ratio, Schedule{Horizon: 50, Tail: 0.1})
			w := world{r: rand.New(rand.NewPCG(7, uint64(len(name)))), ratio: ratio, level: level, policy: policy, size: 300}
			alarms := 0
			for range runs {
				var s RateBreakerState
				for n := range windows {
					if err := b.Observe(&s, w.window(n, s.LogE())); err != nil {
						t.Fatal(err)
					}
				}
				if s.LogPeak >= LogThreshold(alpha) {
					alarms++
				}
				if p := s.PValue(); (p <= alpha) != (s.LogPeak >= LogThreshold(alpha)) {
					t.Fatalf("p is %v at a peak of %v", p, s.LogPeak)
				}
			}
			atMost(t, name, alarms, runs, alpha)
		}
	}
}

// TestRateGateFalsePasses looks at every window of rollouts that are exactly as bad as the
// gate must rule out.
func TestRateGateFalsePasses(t *testing.T) {
	t.Parallel()
	const alpha, runs, windows = 0.05, 800, 40
	for _, name := range []string{"ramp", "double down", "look closely"} {
		policy := policies[name]
		for _, ratio := range []float64{1.5, 0.8} {
			d := Increase
			if ratio < 1 {
				d = Decrease
			}
			g := must[*RateGate](t)(NewRateGate(RateGateOptions{Direction: d, Ratio: ratio}))
			w := world{r: rand.New(rand.NewPCG(9, uint64(len(name)))), ratio: ratio, level: diurnal, policy: policy, size: 300}
			passes := 0
			for range runs {
				var s RateGateState
				passed := false
				for n := range windows {
					if err := g.Observe(&s, w.window(n, s.LogE())); err != nil {
						t.Fatal(err)
					}
					passed = passed || s.LogE() >= LogThreshold(alpha)
				}
				if passed {
					passes++
				}
			}
			atMost(t, name, passes, runs, alpha)
		}
	}
}

// TestRateBreakerPower holds the breaker to what a rollout is promised: five times the
// errors at 5% of 200 requests a second.
func TestRateBreakerPower(t *testing.T) {
	t.Parallel()
	b := must[*RateBreaker](t)(NewRateBreaker(RateBreakerOptions{Ratio: 1.05, Schedule: Schedule{Horizon: 720, Tail: 0.1}}))
	const runs, healthy = 300, 60
	w := world{
		r: rand.New(rand.NewPCG(3, 3)), level: func(int) float64 { return 0.01 },
		policy: policies["canary"], size: 1000,
	}
	var waits []float64
	for range runs {
		var s RateBreakerState
		w.ratio = 1
		for n := range healthy {
			if err := b.Observe(&s, w.window(n, 0)); err != nil {
				t.Fatal(err)
			}
		}
		w.ratio = 5
		wait := 0
		for ; s.LogE() < LogThreshold(0.004) && wait < 100; wait++ {
			if err := b.Observe(&s, w.window(wait, 0)); err != nil {
				t.Fatal(err)
			}
		}
		waits = append(waits, float64(wait))
	}
	if m := median(waits); m > 9 {
		t.Errorf("half of the runs took more than %v windows of 5 s: 9 are 45 s and 450 treated requests", m)
	} else {
		t.Logf("median %v windows", m)
	}
}

// TestRateRatioCoverage looks at every window whether the true ratio is still kept, with a
// level and a share that move from stage to stage.
func TestRateRatioCoverage(t *testing.T) {
	t.Parallel()
	const alpha, runs = 0.05, 500
	r := rand.New(rand.NewPCG(5, 5))
	for _, ratio := range []float64{0.5, 3} {
		lost := 0
		for range runs {
			kept := true
			var closed []Counts
			for stage, share := range []float64{0.02, 0.2, 0.5} {
				w := world{
					r: r, ratio: ratio, size: 400, level: diurnal,
					policy: func(int, float64) float64 { return share },
				}
				var sum Counts
				for n := range 12 {
					x := w.window(12*stage+n, 0)
					sum.EventsT += x.EventsT
					sum.EventsC += x.EventsC
					sum.ExposuresT += x.ExposuresT
					sum.ExposuresC += x.ExposuresC
					var l ratioLikelihood
					for _, c := range append(closed, sum) {
						l.add(c, 20)
					}
					kept = kept && l.at(log(ratio)) < LogThreshold(alpha)
				}
				closed = append(closed, sum)
			}
			if !kept {
				lost++
			}
		}
		atMost(t, "ratio lost", lost, runs, alpha)
	}
}

// TestDifferenceFalseVerdicts: normal metrics at the margin, under a ramp.
func TestDifferenceFalseVerdicts(t *testing.T) {
	t.Parallel()
	const alpha, runs, windows, margin = 0.05, 500, 60, 10.0
	r := rand.New(rand.NewPCG(11, 1))
	eta := must[float64](t)(EtaOneSided(50*50*300, alpha))
	d := must[*Difference](t)(NewDifference(DifferenceOptions{Eta: eta}))
	breaches, safes := 0, 0
	for range runs {
		var s DifferenceState
		breach, safe := false, false
		for n := range windows {
			nt := []int64{1, 3, 15}[min(2, n/20)]
			level := 200 + 100*math.Sin(float64(n))
			if n%20 == 0 {
				s.EndStage()
			}
			if err := d.Observe(&s, normal(r, nt, level+margin, 50), normal(r, 30-nt, level, 50)); err != nil {
				t.Fatal(err)
			}
			v := must[Verdict](t)(d.Judge(&s, alpha, margin))
			breach, safe = breach || v.Breach, safe || v.Safe
		}
		if breach {
			breaches++
		}
		if safe {
			safes++
		}
	}
	atMost(t, "breaches", breaches, runs, alpha)
	atMost(t, "safe", safes, runs, alpha)
}

// normal draws n units of a normal metric.
func normal(r *rand.Rand, n int64, mean, sd float64) Sample {
	s := Sample{N: n}
	for range n {
		x := mean + sd*r.NormFloat64()
		s.Sum += x
		s.SumSq += x * x
	}
	return s
}

// skewed draws n latencies: a floor and an exponential part, capped.
func skewed(r *rand.Rand, n int64, floor, scale float64) Sample {
	s := Sample{N: n}
	for range n {
		x := floor + min(10*scale, scale*r.ExpFloat64())
		s.Sum += x
		s.SumSq += x * x
	}
	return s
}

// TestMeanBreakerFalseAlarms: skewed latencies at the margin, and an outage of both arms.
func TestMeanBreakerFalseAlarms(t *testing.T) {
	t.Parallel()
	const alpha, runs, windows, margin = 0.05, 900, 60, 20.0
	for name, size := range map[string]struct{ t, c int64 }{"half": {16, 16}, "canary": {8, 32}} {
		for _, scene := range []string{"steady", "outage"} {
			r := rand.New(rand.NewPCG(13, uint64(size.t)))
			b := must[*MeanBreaker](t)(NewMeanBreaker(MeanBreakerOptions{
				Margin: margin, Shifts: []float64{25, 50, 100, 200, 400}, Schedule: Schedule{Horizon: 60, Tail: 0.1},
			}))
			alarms := 0
			for range runs {
				var s MeanBreakerState
				for n := range windows {
					scale := 100.0
					if scene == "outage" && n >= 40 && n < 45 {
						scale = 2000
					}
					if err := b.Observe(&s, skewed(r, size.t, margin, scale), skewed(r, size.c, 0, scale)); err != nil {
						t.Fatal(err)
					}
				}
				if s.LogPeak >= LogThreshold(alpha) {
					alarms++
				}
			}
			atMost(t, name+" "+scene, alarms, runs, alpha)
		}
	}
}

// TestQuantileCoverage looks at every value whether the true quantile's rank is kept.
func TestQuantileCoverage(t *testing.T) {
	t.Parallel()
	const alpha, runs, values = 0.05, 400, 300
	r := rand.New(rand.NewPCG(17, 1))
	q := must[*Quantile](t)(NewQuantile(QuantileOptions{P: 0.9, Alpha: alpha, NOpt: 200}))
	lost := 0
	for range runs {
		below, kept := 0.0, true
		for n := 1.0; n <= values; n++ {
			if r.Float64() < 0.9 {
				below++
			}
			kept = kept && q.mixture.logE(below, n-below) < q.threshold
		}
		if !kept {
			lost++
		}
	}
	atMost(t, "quantile lost", lost, runs, alpha)
}

func median(v []float64) float64 {
	best := v[0]
	for _, x := range v {
		below, above := 0, 0
		for _, y := range v {
			if y < x {
				below++
			} else if y > x {
				above++
			}
		}
		if 2*below <= len(v) && 2*above <= len(v) {
			best = x
		}
	}
	return best
}
