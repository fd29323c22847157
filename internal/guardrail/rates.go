package guardrail

import (
	"fmt"
	"math"
)

// The numbers of alternatives that are weighed against a hypothesis about a ratio r: the
// multiples 1.1, 1.25, 1.5, 2, 3, 5, 10, 20 and 50 of it for a RateBreaker, 0.9, 0.75,
// 0.5, 0.25 and 0.1 for a RateGate.
const (
	BreakerAlternatives = 9
	GateAlternatives    = 5
)

func breakerMultipliers() []float64 { return []float64{1.1, 1.25, 1.5, 2, 3, 5, 10, 20, 50} }
func gateMultipliers() []float64    { return []float64{0.9, 0.75, 0.5, 0.25, 0.1} }

// ratioTest is the likelihood ratio of one stratum against the rate ratio r (treatment to
// control), for the alternatives m·r. With q = r·e_t/(r·e_t+e_c), the share of the events
// that treatment has at r,
//
//	Λ = m^N_t / (1+q(m-1))^(N_t+N_c)
//
// It is that of the binomial distribution of N_t given N_t+N_c (J. Przyborowski,
// H. Wilenski, Homogeneity of results in testing samples from Poisson series, Biometrika
// 1940), and knows nothing of how high the rates are.
//
// E[Λ] ≤ 1 whatever each unit's own probability p_i is, given that units are independent
// and the mean rates keep the hypothesis: with s = 1/(1+q(m-1)), E[Λ] is the product of
// 1+p_i(ms-1) over treatment and 1+p_i(s-1) over control, and ln(1+x) ≤ x leaves
// ln E[Λ] ≤ e_t·p_t(ms-1) + e_c·p_c(s-1), which is 0 at p_t = r·p_c, and below 0 on the
// hypothesis' side of it. No approximation; where ln(1+x) is far from x, at rates above a
// tenth or so, it is conservative.
type ratioTest struct {
	ratio  float64
	swap   bool
	logM   []float64 // ln m
	excess []float64 // m - 1
}

func newRatioTest(d Direction, ratio float64, multipliers []float64) (ratioTest, error) {
	if err := d.validate(); err != nil {
		return ratioTest{}, err
	}
	if !(ratio >= 1e-3 && ratio <= 1e3) {
		return ratioTest{}, badOption("Ratio", ratio, "between 0.001 and 1000")
	}
	t := ratioTest{ratio: ratio, swap: d == Decrease}
	if t.swap {
		t.ratio = 1 / ratio
	}
	for _, m := range multipliers {
		t.logM = append(t.logM, log(m))
		t.excess = append(t.excess, m-1)
	}
	return t, nil
}

// alternative returns the j-th rate ratio, treatment to control.
func (t *ratioTest) alternative(j int) float64 {
	r := t.ratio * (1 + t.excess[j])
	if t.swap {
		return 1 / r
	}
	return r
}

// evidence is what a stratum says: events of the arm that is watched, of both, and q.
type evidence struct{ nt, n, q float64 }

func (t *ratioTest) evidence(c Counts) (evidence, error) {
	if err := c.Validate(); err != nil {
		return evidence{}, err
	}
	if c.ExposuresT == 0 || c.ExposuresC == 0 {
		return evidence{}, nil // with one arm alone there is nothing to compare
	}
	if t.swap {
		c = c.swap()
	}
	a := float64(t.ratio * float64(c.ExposuresT))
	return evidence{
		nt: float64(c.EventsT),
		n:  float64(c.EventsT) + float64(c.EventsC),
		q:  a / (a + float64(c.ExposuresC)),
	}, nil
}

func (t *ratioTest) logLambda(e evidence, j int) float64 {
	if e.n == 0 {
		return 0 // most windows of a small service
	}
	return madd(e.nt, t.logM[j], -float64(e.n*log1p(float64(e.q*t.excess[j]))))
}

// RateBreakerOptions are the hypothesis of a RateBreaker.
type RateBreakerOptions struct {
	Direction Direction
	// Ratio is the rate ratio, treatment to control, up to which (Increase) or down to
	// which (Decrease) there is no harm: 1.05 for "at most 5% more", 0.95 for "at most
	// 5% less". Between 0.001 and 1000.
	Ratio float64
	// Schedule says when harm may begin.
	Schedule Schedule
}

// RateBreaker watches a rate of events (errors, exceedances of a latency, mispredictions)
// for a rise, or a fall, of treatment over control.
//
//	hypothesis:  in every stratum, rate_t ≤ Ratio·rate_c  (Decrease: ≥)
//	R_j ← (R_j + w_n)·Λ_j,  E = mean_j R_j
//
// If it holds, the probability that E ever reaches 1/α is at most α: at whatever moment one
// looks, however often, without a least sample. That is exact for independent units, of
// whatever individual probabilities, and for shares of traffic that depend on the past in
// any way; the rates may move as they like while they move in both arms. Repeated events
// of one unit break it: see Counts.
//
// The method is an e-detector (J. Shin, A. Ramdas, A. Rinaldo, E-detectors: a nonparametric
// framework for sequential change detection, arXiv:2203.03532) with weights that bound the
// probability of a false alarm in place of its frequency; for conditional tests of event
// rates in deployments see M. Lindon, C. Sanden, V. Shirikian, Rapid Regression Detection
// in Software Deployments through Sequential Testing, arXiv:2205.14762.
//
// It is safe for concurrent use; a state belongs to one caller at a time.
type RateBreaker struct {
	test     ratioTest
	schedule Schedule
}

// RateBreakerState is the memory of a RateBreaker. The zero value has seen nothing.
type RateBreakerState struct {
	Windows int64                        // observed
	LogR    [BreakerAlternatives]float64 // ln R_j, if Windows > 0
	LogPeak float64                      // the largest log E so far, if Windows > 0
}

// NewRateBreaker returns an ErrOptions if a parameter is out of its range.
func NewRateBreaker(o RateBreakerOptions) (*RateBreaker, error) {
	test, err := newRatioTest(o.Direction, o.Ratio, breakerMultipliers())
	if err != nil {
		return nil, err
	}
	if err := o.Schedule.validate(); err != nil {
		return nil, err
	}
	return &RateBreaker{test: test, schedule: o.Schedule}, nil
}

// Observe takes in the next window. Windows come in their order, those without exposures
// too: they teach nothing but that time passes. An ErrCounts leaves the state as it was.
func (b *RateBreaker) Observe(s *RateBreakerState, c Counts) error {
	e, err := b.test.evidence(c)
	if err != nil {
		return err
	}
	w := b.schedule.logWeight(s.Windows + 1)
	for j, r := range s.LogR {
		s.LogR[j] = begin(r, s.Windows, w) + b.test.logLambda(e, j)
	}
	logE := logMeanExp(s.LogR[:])
	if s.Windows == 0 || logE > s.LogPeak {
		s.LogPeak = logE
	}
	s.Windows++
	return nil
}

// LogE returns ln E, the evidence of harm now in nats; -Inf before the first window. It
// trips at LogThreshold(α).
func (s *RateBreakerState) LogE() float64 {
	if s.Windows == 0 {
		return math.Inf(-1)
	}
	return logMeanExp(s.LogR[:])
}

// PValue returns the sequential p-value: the smallest α at which the breaker would have
// tripped by now.
func (s *RateBreakerState) PValue() float64 {
	if s.Windows == 0 {
		return 1
	}
	return min(1, exp(-s.LogPeak))
}

// Validate returns an ErrOptions if no sequence of observations can lead to the state: it
// was stored or sent wrongly. A NaN in it would blind the breaker.
func (s *RateBreakerState) Validate() error { return validateLogs(s.Windows, s.LogPeak, s.LogR[:]) }

func validateLogs(windows int64, peak float64, logs []float64) error {
	if windows < 0 {
		return badOption("state.Windows", windows, "at least 0")
	}
	if !finite(peak) {
		return badOption("state.LogPeak", peak, "finite")
	}
	for j, r := range logs {
		if !finite(r) {
			return badOption(fmt.Sprintf("state.LogR[%d]", j), r, "finite")
		}
	}
	return nil
}

// Strongest returns the alternative with the most evidence: the rate ratio that explains
// best what was seen of late.
func (b *RateBreaker) Strongest(s *RateBreakerState) float64 {
	return b.test.alternative(largest(s.LogR[:]))
}

// EventsToTrip returns how many more treatment events (Decrease: how many fewer) would
// bring E to e^logThreshold, if they fell into the given window and it came next. It is
// false if all of the window's treatment exposures would not do. Each is some 60
// observations of work: it is for people, not for every window.
func (b *RateBreaker) EventsToTrip(s *RateBreakerState, next Counts, logThreshold float64) (int64, bool, error) {
	if err := next.Validate(); err != nil {
		return 0, false, err
	}
	most := next.ExposuresT - next.EventsT
	if b.test.swap {
		most = next.EventsT
	}
	trips := func(k int64) bool {
		c, after := next, *s
		if b.test.swap {
			c.EventsT -= k
		} else {
			c.EventsT += k
		}
		return b.Observe(&after, c) == nil && after.LogE() >= logThreshold
	}
	if !trips(most) {
		return 0, false, nil
	}
	return lastRank(most, 0, trips), true, nil
}

// RateGateOptions are the hypothesis of a RateGate.
type RateGateOptions struct {
	Direction Direction
	// Ratio is the rate ratio, treatment to control, that must be ruled out: 1.5 for
	// "half as many again" (Increase), 0.8 for "a fifth less" (Decrease).
	Ratio float64
}

// RateGate proves that treatment is not worse than a rate ratio, so that a rollout may
// widen.
//
//	hypothesis:  in every stratum, rate_t ≥ Ratio·rate_c  (Decrease: ≤)
//	E = mean_j Π Λ_j over the strata,  alternatives better than Ratio
//
// If it holds, the probability that E ever reaches 1/α is at most α, under the same
// conditions and with the same exactness as a RateBreaker's. It passes at E ≥ 20 for
// α = 0.05. A normal approximation has no place here: at 1 in 1,000 errors and an
// allocation of 1% it lets harm through in nearly half of the cases.
//
// All evidence since the beginning counts, without restarts: a gate asks whether the whole
// was good. It is the same test, reversed: A. Turner, A. Ly, P. Grünwald, Generic
// E-variables for exact sequential k-sample tests that allow for optional stopping,
// arXiv:2106.02693, construct such tests in general.
type RateGate struct{ test ratioTest }

// RateGateState is the memory of a RateGate. The zero value has seen nothing: E is 1.
type RateGateState struct {
	Windows int64                     // observed
	LogR    [GateAlternatives]float64 // ln of the product of the Λ_j
}

// NewRateGate returns an ErrOptions if a parameter is out of its range.
func NewRateGate(o RateGateOptions) (*RateGate, error) {
	test, err := newRatioTest(o.Direction, o.Ratio, gateMultipliers())
	if err != nil {
		return nil, err
	}
	return &RateGate{test: test}, nil
}

// Observe takes in a stratum. An ErrCounts leaves the state as it was.
func (g *RateGate) Observe(s *RateGateState, c Counts) error {
	e, err := g.test.evidence(c)
	if err != nil {
		return err
	}
	for j := range s.LogR {
		s.LogR[j] += g.test.logLambda(e, j)
	}
	s.Windows++
	return nil
}

// LogE returns ln E, the evidence for "not worse" in nats. It passes at LogThreshold(α).
func (s *RateGateState) LogE() float64 { return logMeanExp(s.LogR[:]) }

// Validate is as RateBreakerState.Validate.
func (s *RateGateState) Validate() error { return validateLogs(s.Windows, 0, s.LogR[:]) }
