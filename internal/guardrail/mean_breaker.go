package guardrail

import (
	"fmt"
	"math"
)

// MaxShifts bounds the number of alternatives of a MeanBreaker.
const MaxShifts = 8

// maxTilt bounds how far, in standard errors of one window, an alternative of a MeanBreaker
// may be. The normal distribution describes a window's sum well up to about there, and not
// beyond: in the tails a skewed metric is more probable than a normal one. Larger harm is
// still found as fast as it can be believed: a window in which it is z standard errors
// brings z-½ nats.
const maxTilt = 1

// maxHarm bounds the standard errors of harm that are believed of one window. A single unit
// that tells of an hour where others tell of a second is as many as it likes; harm that is
// real is in the next window as well. Less evidence of harm is never invalid.
const maxHarm = 4

// MeanBreakerOptions are the hypothesis of a MeanBreaker.
type MeanBreakerOptions struct {
	Direction Direction
	// Relative is as in DifferenceOptions.
	Relative float64
	// Margin is the largest harmless change in the metric's unit, at least 0, besides
	// Relative.
	Margin float64
	// Shifts are the changes beyond the margin that are weighed against none, in the
	// metric's unit: 1 to MaxShifts positive numbers, such as 25, 50, 100, 200 and 400 ms.
	Shifts []float64
	// Schedule says when harm may begin.
	Schedule Schedule
	// MinPerArm is how many units each arm must have before a window can be judged; 0 is
	// 100.
	MinPerArm int64
}

// MeanBreaker watches the mean of a metric, such as a latency, for a sudden rise (or fall)
// of treatment over control.
//
//	hypothesis:  in every stratum, mean_t ≤ (1+Relative)·mean_c + Margin  (Decrease: ≥, −)
//	ln Λ_j = δ_j/σ²·(U - W·Margin) - δ_j²·W/(2σ²),  R_j ← (R_j + w_n)·Λ_j,  E = mean_j R_j
//
// U and W are the window's, as of a Difference. σ² is the variance of a unit, V/W, of the
// *earlier* windows, so that what is judged does not set its own scale; but at least that
// of control in the window itself, so that a bad hour of both arms is not taken for harm.
// An alternative is at most one standard error of the window, and of harm four are believed.
//
// If the hypothesis holds, E reaches 1/α with a probability of about at most α, whenever one
// looks: exact for normal metrics of known variance, asymptotic in the units of a window for
// others. For the method see RateBreaker.
//
// It is safe for concurrent use; a state belongs to one caller at a time.
type MeanBreaker struct {
	sign, factor, margin float64
	shifts               []float64
	schedule             Schedule
	minPerArm            int64
}

// MeanBreakerState is the memory of a MeanBreaker. The zero value has seen nothing.
type MeanBreakerState struct {
	Windows            int64              // observed
	LogR               [MaxShifts]float64 // ln R_j, if Windows > 0; as many as there are shifts
	LogPeak            float64            // the largest log E so far, if Windows > 0
	W, V               float64            // of earlier windows
	UnitsT, UnitsC     int64
	PendingT, PendingC Sample // see DifferenceState
}

// NewMeanBreaker returns an ErrOptions if a parameter is out of its range.
func NewMeanBreaker(o MeanBreakerOptions) (*MeanBreaker, error) {
	if !(o.Margin >= 0 && o.Margin <= limit) {
		return nil, badOption("Margin", o.Margin, "at least 0, and finite")
	}
	if len(o.Shifts) == 0 || len(o.Shifts) > MaxShifts {
		return nil, badOption("the number of Shifts", len(o.Shifts), fmt.Sprintf("between 1 and %d", MaxShifts))
	}
	for _, d := range o.Shifts {
		if !positive(d) || d > limit {
			return nil, badOption("Shifts", o.Shifts, "positive and finite")
		}
	}
	if err := o.Schedule.validate(); err != nil {
		return nil, err
	}
	b := &MeanBreaker{margin: o.Margin, shifts: append([]float64(nil), o.Shifts...), schedule: o.Schedule}
	var err error
	if b.sign, b.factor, b.minPerArm, err = contrast(o.Direction, o.Relative, o.MinPerArm); err != nil {
		return nil, err
	}
	return b, nil
}

// Observe takes in the next window. Windows come in their order, those without units too.
// An ErrSample leaves the state as it was.
func (b *MeanBreaker) Observe(s *MeanBreakerState, t, c Sample) error {
	t, c, ok, err := pool(&s.PendingT, &s.PendingC, t, c)
	if err != nil {
		return err
	}
	var x stratum
	scale := 0.0 // σ², 0 if it is not known
	if ok {
		x = compare(t, c, b.factor)
		if s.UnitsT >= b.minPerArm && s.UnitsC >= b.minPerArm {
			scale = max(s.V/s.W, b.controlVariance(t, c, x.h))
		}
		s.W += x.h
		s.V += x.v
		s.UnitsT = min(s.UnitsT+t.N, MaxCount)
		s.UnitsC = min(s.UnitsC+c.N, MaxCount)
	}
	b.weigh(s, x, scale)
	return nil
}

// controlVariance is V/W of the window if treatment varied as control does.
func (b *MeanBreaker) controlVariance(t, c Sample, h float64) float64 {
	v := c.Variance()
	return float64(h * (v/float64(t.N) + float64(b.factor*b.factor*v)/float64(c.N)))
}

func (b *MeanBreaker) weigh(s *MeanBreakerState, x stratum, scale float64) {
	weight := b.schedule.logWeight(s.Windows + 1)
	harm, tilt := 0.0, 0.0
	if scale > 0 {
		sd := math.Sqrt(scale) * math.Sqrt(x.h) // of U
		harm = min((float64(b.sign*x.u)-float64(x.h*b.margin))/sd, maxHarm)
		tilt = x.h / sd // standard errors per unit of the metric
	}
	for j, shift := range b.shifts {
		z := min(float64(shift*tilt), maxTilt)
		s.LogR[j] = begin(s.LogR[j], s.Windows, weight) + float64(z*(harm-float64(z/2)))
	}
	logE := logMeanExp(s.LogR[:len(b.shifts)])
	if s.Windows == 0 || logE > s.LogPeak {
		s.LogPeak = logE
	}
	s.Windows++
}

// LogE returns ln E, the evidence of harm now in nats; -Inf before the first window. It
// trips at LogThreshold(α).
func (b *MeanBreaker) LogE(s *MeanBreakerState) float64 {
	if s.Windows == 0 {
		return math.Inf(-1)
	}
	return logMeanExp(s.LogR[:len(b.shifts)])
}

// PValue is as RateBreakerState.PValue.
func (s *MeanBreakerState) PValue() float64 {
	if s.Windows == 0 {
		return 1
	}
	return min(1, exp(-s.LogPeak))
}

// EndStage is as DifferenceState.EndStage.
func (s *MeanBreakerState) EndStage() { s.PendingT, s.PendingC = Sample{}, Sample{} }

// Validate returns an ErrOptions if no sequence of observations can lead to the state: a
// NaN in it would blind the breaker.
func (s *MeanBreakerState) Validate() error {
	if err := validateLogs(s.Windows, s.LogPeak, s.LogR[:]); err != nil {
		return err
	}
	d := DifferenceState{W: s.W, V: s.V, UnitsT: s.UnitsT, UnitsC: s.UnitsC, PendingT: s.PendingT, PendingC: s.PendingC}
	return d.Validate()
}
