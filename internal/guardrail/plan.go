package guardrail

import "math"

// Traffic is what is expected of a rollout's next time: first-order averages, for telling
// people how long it takes. No verdict depends on it.
type Traffic struct {
	RateT, RateC float64 // events per exposure, between 0 and 1
	Share        float64 // of the exposures that are treatment's, between 0 and 1
}

func (t Traffic) validate() error {
	if !(t.RateT >= 0 && t.RateT <= 1) || !(t.RateC >= 0 && t.RateC <= 1) {
		return badOption("rates", [2]float64{t.RateT, t.RateC}, "between 0 and 1")
	}
	if !(t.Share > 0 && t.Share < 1) {
		return badOption("Share", t.Share, "between 0 and 1")
	}
	return nil
}

// Detection is how much a breaker must see, on average, to find harm of a size.
type Detection struct {
	Events             float64 // of both arms
	Exposures          float64 // of both arms; divided by the traffic: the seconds
	TreatmentExposures float64
}

// Detect returns what the breaker needs to trip at alpha if harm of the given traffic's
// rate ratio sets in within the Schedule's Horizon: ln(1/α) nats, and those for the window
// and for the alternative, at the rate of KL(θ1‖θ0) nats an event. θ1 is the share of
// events that are treatment's, θ0 what it is at the hypothesis' Ratio. All are +Inf if the
// traffic has no harm. It is about right if the ratio is near one of the alternatives; a
// ratio between two of them takes a little more.
func (b *RateBreaker) Detect(t Traffic, alpha float64) (Detection, error) {
	if err := t.validate(); err != nil {
		return Detection{}, err
	}
	if err := checkAlpha(alpha); err != nil {
		return Detection{}, err
	}
	events := b.nats(alpha) / b.divergence(t)
	exposures := events / madd(t.Share, t.RateT, float64((1-t.Share)*t.RateC))
	return Detection{Events: events, Exposures: exposures, TreatmentExposures: float64(t.Share * exposures)}, nil
}

func (b *RateBreaker) nats(alpha float64) float64 {
	return LogThreshold(alpha) - b.schedule.logWeight(1) + log(float64(len(b.test.logM)))
}

// divergence returns KL(θ1‖θ0) if the traffic has harm, 0 otherwise.
func (b *RateBreaker) divergence(t Traffic) float64 {
	watched, other := float64(t.Share*t.RateT), float64((1-t.Share)*t.RateC)
	null, rest := float64(b.test.ratio*t.Share), 1-t.Share
	if b.test.swap {
		watched, other = other, watched
		null, rest = float64(b.test.ratio*rest), t.Share
	}
	theta1, theta0 := watched/(watched+other), null/(null+rest)
	if !(theta1 > theta0) {
		return 0
	}
	kl := float64(theta1 * log(theta1/theta0))
	if theta1 < 1 {
		kl += float64((1 - theta1) * log((1-theta1)/(1-theta0)))
	}
	return kl
}

// DetectableRatio returns the rate ratio that so many exposures find, on average, at
// control's rate and the treatment's share of traffic; for a Decrease a ratio below 1. It
// is +Inf (0), if none is that large that rates allow.
func (b *RateBreaker) DetectableRatio(rateC, share, exposures, alpha float64) (float64, error) {
	if !(rateC > 0 && rateC <= 1) {
		return 0, badOption("rateC", rateC, "above 0, at most 1")
	}
	t := Traffic{RateC: rateC, RateT: rateC, Share: share}
	if _, err := b.Detect(t, alpha); err != nil {
		return 0, err
	}
	found := func(ratio float64) bool {
		t := t
		t.RateT = min(1, float64(ratio*rateC))
		d, err := b.Detect(t, alpha)
		return err == nil && d.Exposures <= exposures
	}
	most, none := 1/rateC, math.Inf(1)
	if b.test.swap {
		most, none = 0, 0
	}
	if !found(most) {
		return none, nil
	}
	return boundary(most, 1, found), nil
}

// ExposuresToPass returns how many more exposures, of both arms, the gate needs on average
// until its evidence reaches e^logThreshold at the given traffic; 0 if it is there, +Inf if
// it does not come nearer.
func (g *RateGate) ExposuresToPass(s *RateGateState, t Traffic, logThreshold float64) (float64, error) {
	if err := t.validate(); err != nil {
		return 0, err
	}
	if s.LogE() >= logThreshold {
		return 0, nil
	}
	// E is at least each alternative's part of it; the first to arrive decides.
	goal := logThreshold + log(float64(len(s.LogR)))
	best := math.Inf(1)
	for j, drift := range g.drifts(t) {
		if drift > 0 {
			best = min(best, max(0, goal-s.LogR[j])/drift)
		}
	}
	return best, nil
}

// drifts returns the mean of ln Λ_j of one exposure.
func (g *RateGate) drifts(t Traffic) []float64 {
	events := [2]float64{float64(t.Share * t.RateT), float64((1 - t.Share) * t.RateC)}
	a, rest := float64(g.test.ratio*t.Share), 1-t.Share
	if g.test.swap {
		events[0], events[1] = events[1], events[0]
		a, rest = float64(g.test.ratio*rest), t.Share
	}
	e := evidence{nt: events[0], n: events[0] + events[1], q: a / (a + rest)}
	drifts := make([]float64, len(g.test.logM))
	for j := range drifts {
		drifts[j] = g.test.logLambda(e, j)
	}
	return drifts
}

// GrowthToSafe returns by what factor the information W must grow until the harm is proven
// to be below the margin, if estimate and variance stay what they are: at constant traffic,
// the factor of the time so far. It is 1 if it is proven, +Inf if the estimate is not below
// the margin or if nothing is known yet.
func (d *Difference) GrowthToSafe(s *DifferenceState, alpha, margin float64) (float64, error) {
	v, err := d.Judge(s, alpha, margin)
	if err != nil {
		return 0, err
	}
	harm := math.Inf(1)
	if s.W > 0 {
		harm = float64(d.sign*s.U) / s.W
	}
	switch {
	case v.Safe:
		return 1, nil
	case !d.Ready(s) || !(harm < margin):
		return math.Inf(1), nil
	}
	gap := float64((margin - harm) * s.W) // grows with the factor, the bound with its root
	unsafe := func(x float64) bool { return float64(gap*x) <= d.mixture.OneSided(float64(s.V*x), alpha) }
	const most = 1e12
	if unsafe(most) {
		return math.Inf(1), nil
	}
	return boundary(1, most, unsafe), nil
}
