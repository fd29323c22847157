package guardrail

import "math"

// defaultMinPerArm is how many units each arm must have before sums count as normal.
const defaultMinPerArm = 100

// minPerStratum is how many units each arm needs in a stratum, for a variance.
const minPerStratum = 2

// DifferenceOptions are the contrast that a Difference follows.
type DifferenceOptions struct {
	Direction Direction
	// Relative is the harmless relative change m in the direction of harm: 0.05 for "5%
	// more" or "5% less". 0 compares means as they are, against a margin in the metric's
	// own unit.
	Relative float64
	// Eta is the tuning of the bounds: see NormalMixture. It is chosen once, before the
	// rollout: EtaOneSided(σ²·W, α), for the variance σ² of a unit in control's history and
	// the information W at which the bounds should be tightest (see Difference).
	Eta float64
	// MinPerArm is how many units each arm must have before anything is said; 0 is 100.
	MinPerArm int64
}

// Difference follows the difference of two means, compared within each stratum only.
//
//	h = n_t·n_c/(n_t+n_c)
//	U = Σ h·(x̄_t - (1+m)·x̄_c)     Decrease: 1-m
//	V = Σ h²·(s_t²/n_t + (1+m)²·s_c²/n_c)
//	W = Σ h
//	(U ± b(V))/W,  b of a NormalMixture
//
// The bounds hold at all times with probability 1-α, asymptotically: for independent units
// whose strata may have any level and any share of traffic (chosen by what was seen
// before), as V grows. The clock is W and not the number of units: at 1,000 against 99,000
// all the information is in the 1,000. A relative margin is tested as the contrast with
// 1+m, which needs no approximation of a ratio's variance.
//
// For proportions of rare events "not worse" is not to be had here: use a RateGate.
// Heavy tails should be cut (a latency capped at its timeout) before they are summed.
//
// For the bounds see NormalMixture; for differences within strata L. Miratrix, J. Sekhon,
// B. Yu, Adjusting treatment effect estimates by post-stratification in randomized
// experiments, JRSS B 2013. It is safe for concurrent use; a state belongs to one caller at
// a time.
type Difference struct {
	sign      float64 // +1 if a rise is harm
	factor    float64 // 1+m
	mixture   NormalMixture
	minPerArm int64
}

// DifferenceState is the memory of a Difference. The zero value has seen nothing.
type DifferenceState struct {
	U, W, V        float64
	UnitsT, UnitsC int64
	// Pending units wait until both arms have enough of them for a variance; they belong to
	// the current stage.
	PendingT, PendingC Sample
}

// NewDifference returns an ErrOptions if a parameter is out of its range.
func NewDifference(o DifferenceOptions) (*Difference, error) {
	if !positive(o.Eta) || o.Eta > limit {
		return nil, badOption("Eta", o.Eta, "positive, at most 1e60")
	}
	d := &Difference{mixture: NormalMixture{Eta: o.Eta}}
	var err error
	if d.sign, d.factor, d.minPerArm, err = contrast(o.Direction, o.Relative, o.MinPerArm); err != nil {
		return nil, err
	}
	return d, nil
}

func contrast(d Direction, relative float64, minPerArm int64) (sign, factor float64, least int64, err error) {
	if err := d.validate(); err != nil {
		return 0, 0, 0, err
	}
	if !(relative >= 0 && relative <= 1000) || d == Decrease && relative >= 1 {
		return 0, 0, 0, badOption("Relative", relative, "between 0 and 1000 (Decrease: below 1)")
	}
	if minPerArm < 0 {
		return 0, 0, 0, badOption("MinPerArm", minPerArm, "at least 0")
	}
	sign, factor = 1, 1+relative
	if d == Decrease {
		sign, factor = -1, 1-relative
	}
	if minPerArm == 0 {
		minPerArm = defaultMinPerArm
	}
	return sign, factor, max(minPerArm, minPerStratum), nil
}

// Observe takes in the next window of a stage. Windows with too few units for a variance
// are joined with the ones that follow. An ErrSample leaves the state as it was.
func (d *Difference) Observe(s *DifferenceState, t, c Sample) error {
	t, c, ok, err := pool(&s.PendingT, &s.PendingC, t, c)
	if err != nil || !ok {
		return err
	}
	x := compare(t, c, d.factor)
	s.U += x.u
	s.W += x.h
	s.V += x.v
	s.UnitsT = min(s.UnitsT+t.N, MaxCount)
	s.UnitsC = min(s.UnitsC+c.N, MaxCount)
	return nil
}

// ObserveOne takes in a window of a single arm whose mean is compared with 0, such as the
// contrast of Confusion.F1Sample: U = Σ n·x̄, V = Σ n·s², W = Σ n.
func (d *Difference) ObserveOne(s *DifferenceState, a Sample) error {
	if err := a.Validate(); err != nil {
		return err
	}
	a = s.PendingT.Add(a)
	if err := a.Validate(); err != nil {
		return err
	}
	if a.N < minPerStratum {
		s.PendingT = a
		return nil
	}
	s.PendingT = Sample{}
	n := float64(a.N)
	s.U += a.Sum
	s.W += n
	s.V += float64(n * a.Variance())
	s.UnitsT = min(s.UnitsT+a.N, MaxCount)
	s.UnitsC = s.UnitsT
	return nil
}

// EndStage forgets the pending units: what belongs to one stage is not joined with the
// next, where the share of traffic is another.
func (s *DifferenceState) EndStage() { s.PendingT, s.PendingC = Sample{}, Sample{} }

// pool adds a window to the pending units. When both arms have enough it returns them all,
// and true.
func pool(pendingT, pendingC *Sample, t, c Sample) (Sample, Sample, bool, error) {
	if err := t.Validate(); err != nil {
		return t, c, false, err
	}
	if err := c.Validate(); err != nil {
		return t, c, false, err
	}
	t, c = pendingT.Add(t), pendingC.Add(c)
	if err := t.Validate(); err != nil {
		return t, c, false, err
	}
	if err := c.Validate(); err != nil {
		return t, c, false, err
	}
	if t.N < minPerStratum || c.N < minPerStratum {
		*pendingT, *pendingC = t, c
		return t, c, false, nil
	}
	*pendingT, *pendingC = Sample{}, Sample{}
	return t, c, true, nil
}

// stratum is what one stratum adds to W, U and V.
type stratum struct{ h, u, v float64 }

func compare(t, c Sample, factor float64) stratum {
	nt, nc := float64(t.N), float64(c.N)
	h := nt / (nt + nc) * nc
	u := float64(h * (t.Mean() - float64(factor*c.Mean())))
	v := t.Variance()/nt + float64(factor*factor*c.Variance())/nc
	return stratum{h: h, u: u, v: float64(h * h * v)}
}

// Ready says whether both arms have enough units for anything to be said.
func (d *Difference) Ready(s *DifferenceState) bool {
	return s.UnitsT >= d.minPerArm && s.UnitsC >= d.minPerArm && s.W > 0
}

// OneSided returns the estimate of the contrast, in the metric's unit, and its lower and
// upper bound, each of level alpha by itself. Until Ready the bounds are infinite.
func (d *Difference) OneSided(s *DifferenceState, alpha float64) (Interval, error) {
	if err := checkAlpha(alpha); err != nil {
		return Interval{}, err
	}
	return d.interval(s, d.mixture.OneSided(s.V, alpha)), nil
}

// TwoSided is OneSided with bounds that hold together at the level alpha.
func (d *Difference) TwoSided(s *DifferenceState, alpha float64) (Interval, error) {
	if err := checkAlpha(alpha); err != nil {
		return Interval{}, err
	}
	return d.interval(s, d.mixture.TwoSided(s.V, alpha)), nil
}

func (d *Difference) interval(s *DifferenceState, b float64) Interval {
	i := Interval{Lower: math.Inf(-1), Upper: math.Inf(1)}
	if s.W > 0 {
		i.Estimate = s.U / s.W
	}
	if d.Ready(s) {
		i.Lower, i.Upper = (s.U-b)/s.W, (s.U+b)/s.W
	}
	return i
}

// Verdict is what bounds say about a margin, in the metric's unit and the direction of
// harm.
type Verdict struct {
	Breach bool // the harm is larger than the margin
	Safe   bool // the harm is smaller than the margin
	Won    bool // there is no harm but a gain: of a success metric, the goal
}

// Judge compares the harm with a margin of at least 0 (0, if Relative is the margin). Each
// of the three statements is false with a probability of at most alpha, ever. Won is a
// change opposite to Direction, whatever the margin.
func (d *Difference) Judge(s *DifferenceState, alpha, margin float64) (Verdict, error) {
	if !(margin >= 0) {
		return Verdict{}, badOption("margin", margin, "at least 0")
	}
	i, err := d.OneSided(s, alpha)
	if err != nil {
		return Verdict{}, err
	}
	lower, upper := i.Lower, i.Upper
	if d.sign < 0 {
		lower, upper = -upper, -lower
	}
	return Verdict{Breach: lower > margin, Safe: upper < margin, Won: upper < 0}, nil
}

// Validate returns an ErrOptions if no sequence of observations can lead to the state.
func (s *DifferenceState) Validate() error {
	if !finite(s.U) || !(s.W >= 0 && finite(s.W)) || !(s.V >= 0 && finite(s.V)) || s.UnitsT < 0 || s.UnitsC < 0 {
		return badOption("state (U, W, V, units)", [5]float64{s.U, s.W, s.V, float64(s.UnitsT), float64(s.UnitsC)},
			"finite, and at least 0 but for U")
	}
	if err := s.PendingT.Validate(); err != nil {
		return err
	}
	return s.PendingC.Validate()
}
