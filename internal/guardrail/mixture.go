package guardrail

import "math"

// Concentration returns K of a beta prior under which the confidence sequence of a binomial
// proportion is about tightest after nOpt trials, at the level alpha:
// nOpt/(2ln(1/α) + ln(1+2ln(1/α))) - 1, and at least 1 (S. Howard, A. Ramdas, Sequential
// estimation of quantiles with applications to A/B testing and best-arm identification,
// arXiv:1906.09712).
func Concentration(nOpt, alpha float64) (float64, error) {
	if err := checkAlpha(alpha); err != nil {
		return 0, err
	}
	if !positive(nOpt) {
		return 0, badOption("nOpt", nOpt, "a positive number of trials")
	}
	return max(1, nOpt/tuning(alpha)-1), nil
}

// tuning is 2ln(1/α) + ln(1+2ln(1/α)).
func tuning(alpha float64) float64 {
	l := float64(-2 * log(alpha))
	return l + log1p(l)
}

// BinomialMixture weighs the proportion Theta against all others, by a beta prior with the
// mean Theta and the concentration K (a number of trials).
//
//	hypothesis:  each of the trials succeeds with probability Theta
//	E = B(KΘ+a, K(1-Θ)+b) / B(KΘ, K(1-Θ)) / (Θ^a (1-Θ)^b),  a successes, b failures
//
// Under it, the probability that E ever reaches 1/α is at most α (H. Robbins, Statistical
// methods related to the law of the iterated logarithm, 1970).
type BinomialMixture struct{ Theta, K float64 }

// LogE returns ln E after so many successes and failures.
func (m BinomialMixture) LogE(successes, failures int64) (float64, error) {
	if err := m.validate(successes, failures); err != nil {
		return 0, err
	}
	return m.logE(float64(successes), float64(failures)), nil
}

// LogEGreater is LogE with the prior truncated to proportions above Theta: it weighs "at
// most Theta" against "more".
func (m BinomialMixture) LogEGreater(successes, failures int64) (float64, error) {
	if err := m.validate(successes, failures); err != nil {
		return 0, err
	}
	s, f := float64(successes), float64(failures)
	a, b := float64(m.K*m.Theta), float64(m.K*(1-m.Theta))
	// The part of the prior, and of the posterior, that is above Theta.
	prior := betaCDF(b, a, 1-m.Theta, m.Theta)
	posterior := betaCDF(b+f, a+s, 1-m.Theta, m.Theta)
	return m.logE(s, f) + log(posterior/prior), nil
}

func (m BinomialMixture) validate(successes, failures int64) error {
	switch {
	case !(m.Theta > 0 && m.Theta < 1):
		return badOption("Theta", m.Theta, "between 0 and 1")
	case !positive(m.K):
		return badOption("K", m.K, "a positive number of trials")
	}
	return Counts{EventsT: successes, ExposuresT: MaxCount, EventsC: failures, ExposuresC: MaxCount}.Validate()
}

// logE is LogE for numbers of trials that need not be whole.
func (m BinomialMixture) logE(successes, failures float64) float64 {
	return logBinomialMixture(successes, failures, m.Theta, 1-m.Theta, m.K)
}

// logBinomialMixture is ln E for the proportion p = 1-q, either of which may be tiny.
func logBinomialMixture(successes, failures, p, q, k float64) float64 {
	a, b := float64(k*p), float64(k*q)
	return logBeta2(a+successes, b+failures, p, q) - logBeta2(a, b, p, q)
}

// Interval is an estimate between its bounds, which may be infinite.
type Interval struct{ Estimate, Lower, Upper float64 }

// RateRatio returns a confidence sequence for the rate ratio, treatment to control, and its
// maximum likelihood estimate. With probability 1-alpha the true ratio is within its
// bounds at all times.
//
// Each element of stages is what a stage saw in all its windows: the share of traffic is
// constant within it. A stage's events are trials with the probability
// θ(r) = r·e_t/(r·e_t+e_c) to be treatment's; each is weighed by a BinomialMixture with the
// concentration k around the share of the exposures, and the product of these E is
// inverted: r is kept while E(r) < 1/α. The statement is exact for rare events of
// independent units if the exposures are in the proportion that assignment intends; with
// those that were counted it is so up to the noise of the share, which is far smaller than
// that of the events.
//
// Without any event it knows nothing: the estimate is 0, the bounds are 0 and +Inf. If the
// stages contradict each other so much that no one ratio is left, the bounds meet at the
// estimate.
func RateRatio(stages []Counts, k, alpha float64) (Interval, error) {
	if err := checkAlpha(alpha); err != nil {
		return Interval{}, err
	}
	if !positive(k) {
		return Interval{}, badOption("k", k, "a positive number of events")
	}
	var l ratioLikelihood
	for _, c := range stages {
		if err := c.Validate(); err != nil {
			return Interval{}, err
		}
		l.add(c, k)
	}
	return l.interval(-log(alpha)), nil
}

// ratioLikelihood is ln E(r) as a function of u = ln r: convex, with its minimum at the
// estimate.
type ratioLikelihood struct {
	stages  []ratioStage
	logE    float64 // at r = 1
	nt, sum float64 // treatment's events, all
}

// ratioStage has a stage's events, and the shares of treatment and control.
type ratioStage struct{ n, share, rest float64 }

func (l *ratioLikelihood) add(c Counts, k float64) {
	if c.ExposuresT == 0 || c.ExposuresC == 0 {
		return
	}
	nt, nc := float64(c.EventsT), float64(c.EventsC)
	et, ec := float64(c.ExposuresT), float64(c.ExposuresC)
	share, rest := et/(et+ec), ec/(et+ec)
	l.stages = append(l.stages, ratioStage{n: nt + nc, share: share, rest: rest})
	l.logE += logBinomialMixture(nt, nc, share, rest, k)
	l.nt += nt
	l.sum += nt + nc
}

// at returns ln E(e^u).
func (l *ratioLikelihood) at(u float64) float64 {
	v := l.logE - float64(l.nt*u)
	for _, s := range l.stages {
		v += float64(s.n * log(madd(s.share, exp(u), s.rest)))
	}
	return v
}

// falls says whether ln E still falls at u: fewer events are expected of treatment at e^u
// than it had.
func (l *ratioLikelihood) falls(u float64) bool {
	expected := 0.0
	for _, s := range l.stages {
		a := float64(s.share * exp(u))
		expected += float64(s.n * (a / (a + s.rest)))
	}
	return expected < l.nt
}

func (l *ratioLikelihood) interval(logThreshold float64) Interval {
	const widest = 100 // e^±100 are 0 and +Inf
	i := Interval{Upper: math.Inf(1)}
	if l.sum == 0 {
		return i
	}
	best := boundary(-widest, widest, l.falls)
	kept := func(u float64) bool { return l.at(u) < logThreshold }
	switch l.nt {
	case 0:
		best = -widest
	case l.sum:
		best, i.Estimate = widest, math.Inf(1)
	default:
		i.Estimate = exp(best)
	}
	if !kept(-widest) {
		i.Lower = exp(boundary(best, -widest, kept))
	}
	if !kept(widest) {
		i.Upper = exp(boundary(best, widest, kept))
	}
	return i
}
