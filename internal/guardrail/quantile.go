package guardrail

import (
	"fmt"
	"math"
)

// RankBand says between which order statistics of n values a quantile is: at least the
// Lower-th smallest (0: no bound), at most the Upper-th (n+1: no bound).
type RankBand struct{ Lower, Upper int64 }

// QuantileOptions are the tuning of a Quantile.
type QuantileOptions struct {
	// P is the quantile's level, such as 0.99.
	P float64
	// Alpha is the level of the band, both sides together.
	Alpha float64
	// NOpt is the number of values at which the band should be about tightest.
	NOpt float64
}

// Quantile bands one quantile of values that come one after the other: with probability
// 1-Alpha it is within the bands of all n.
//
// If Q is the P-quantile, the number of values up to Q is a sum of trials with the
// probability P. Ranks k are kept while E(k) < 1/Alpha, E that of a BinomialMixture of
// Theta = P after k successes and n-k failures. It is exact for independent values of
// one continuous distribution, and needs no more than their ranks; within a stage only,
// for quantiles cannot be put together from strata. (S. Howard, A. Ramdas, Sequential
// estimation of quantiles with applications to A/B testing and best-arm identification,
// arXiv:1906.09712.)
//
// To find harm fast, count the values above an edge that control's quantile gave at the
// start, and watch them with a RateBreaker.
type Quantile struct {
	mixture   BinomialMixture
	threshold float64
}

// NewQuantile returns an ErrOptions if a parameter is out of its range.
func NewQuantile(o QuantileOptions) (*Quantile, error) {
	if !(o.P > 0 && o.P < 1) {
		return nil, badOption("P", o.P, "between 0 and 1")
	}
	k, err := Concentration(o.NOpt, o.Alpha)
	if err != nil {
		return nil, err
	}
	return &Quantile{mixture: BinomialMixture{Theta: o.P, K: k}, threshold: LogThreshold(o.Alpha)}, nil
}

// Band returns the ranks between which the quantile is after n values. It bisects: some 60
// steps for n = 1e9.
func (q *Quantile) Band(n int64) (RankBand, error) {
	if n < 0 || n > MaxCount {
		return RankBand{}, badValues(n)
	}
	kept := func(k int64) bool { return q.mixture.logE(float64(k), float64(n-k)) < q.threshold }
	middle := min(n, int64(math.Floor(madd(q.mixture.Theta, float64(n), 0.5))))
	return RankBand{Lower: lastRank(middle, 0, kept), Upper: lastRank(middle, n, kept) + 1}, nil
}

func badValues(n int64) error {
	return fmt.Errorf("%w: %d values: it must be between 0 and %d", ErrCounts, n, int64(MaxCount))
}

// UniformBandOptions are the tuning of a UniformBand.
type UniformBandOptions struct {
	// Alpha is the level of the band.
	Alpha float64
	// NMin is the number of values from which on the band holds.
	NMin int64
}

// UniformBand bands all quantiles at once: with probability 1-Alpha the empirical
// distribution function is within the radius of the true one, everywhere, at all n from
// NMin on.
//
//	radius = A·√((ln ln(e·n/NMin) + C)/n),  A = 0.85
//
// C solves α = inf over η of 4·e^(-γ²C)·(1 + 1/((γ²-1) ln η)), γ = √(2/η)·(A - √(2(η-1)/C))
// (Howard and Ramdas, as above, theorem 2). Exact for independent values. It is wider than
// Quantile's for any single one.
type UniformBand struct {
	c    float64
	nMin int64
}

// lilFactor is A.
const lilFactor = 0.85

// NewUniformBand returns an ErrOptions if a parameter is out of its range.
func NewUniformBand(o UniformBandOptions) (*UniformBand, error) {
	if err := checkAlpha(o.Alpha); err != nil {
		return nil, err
	}
	if o.NMin < 1 {
		return nil, badOption("NMin", o.NMin, "at least 1")
	}
	return &UniformBand{
		c:    boundary(1e4, 1, func(c float64) bool { return lilAlpha(c) <= o.Alpha }),
		nMin: o.NMin,
	}, nil
}

// lilAlpha returns the infimum over η, by golden section of ln(η-1).
func lilAlpha(c float64) float64 {
	at := func(u float64) float64 {
		e := exp(u)
		gamma := math.Sqrt(2/(1+e)) * (lilFactor - math.Sqrt(2*e/c))
		g2 := float64(gamma * gamma)
		if !(gamma > 1) {
			return math.Inf(1)
		}
		return 4 * exp(-g2*c) * (1 + 1/float64((g2-1)*log1p(e)))
	}
	const golden = 0.6180339887498949
	// To the left of the least the function is finite; lo, left, right, hi.
	lo, hi := -20.0, log(2*lilFactor*lilFactor-1)
	for range 100 {
		d := float64(golden * (hi - lo))
		if at(hi-d) <= at(lo+d) {
			hi = lo + d
		} else {
			lo = hi - d
		}
	}
	return at(lo)
}

// Radius returns the radius after n values; +Inf before NMin.
func (b *UniformBand) Radius(n int64) float64 {
	if n < b.nMin {
		return math.Inf(1)
	}
	x := float64(n)
	return lilFactor * math.Sqrt((log(1+log(x/float64(b.nMin)))+b.c)/x)
}

// Band is as Quantile.Band, for the level p.
func (b *UniformBand) Band(n int64, p float64) (RankBand, error) {
	if n < 0 || n > MaxCount {
		return RankBand{}, badValues(n)
	}
	if !(p > 0 && p < 1) {
		return RankBand{}, badOption("p", p, "between 0 and 1")
	}
	if n < b.nMin {
		return RankBand{Lower: 0, Upper: n + 1}, nil
	}
	r, x := b.Radius(n), float64(n)
	return RankBand{
		Lower: max(0, int64(math.Ceil(float64((p-r)*x)))),
		Upper: min(n, int64(math.Floor(float64((p+r)*x)))) + 1,
	}, nil
}

// RankReader reads values by their rank, as a sketch does.
type RankReader interface {
	// Count returns the number of values n.
	Count() int64
	// ValueAtRank returns about the rank-th smallest value, rank between 1 and n.
	ValueAtRank(rank int64) float64
}

// Values returns the values at the ends of a band, widened by the relative accuracy of the
// sketch: it returns v for a true value x with |v - x| ≤ accuracy·|x| (0.01 for a DDSketch
// of 1%: C. Masson, J. Rim, H. Lee, DDSketch, arXiv:1908.10693). Without a bound an end is
// infinite.
func (b RankBand) Values(r RankReader, accuracy float64) (lower, upper float64, err error) {
	if !(accuracy >= 0 && accuracy < 1) {
		return 0, 0, badOption("accuracy", accuracy, "at least 0 and below 1")
	}
	lower, upper = math.Inf(-1), math.Inf(1)
	if b.Lower >= 1 {
		v := r.ValueAtRank(b.Lower)
		lower = min(v/(1+accuracy), v/(1-accuracy))
	}
	if b.Upper <= r.Count() {
		v := r.ValueAtRank(b.Upper)
		upper = max(v/(1+accuracy), v/(1-accuracy))
	}
	if math.IsNaN(lower) || math.IsNaN(upper) {
		return 0, 0, fmt.Errorf("%w: the sketch has no value at ranks %d to %d of %d", ErrSample, b.Lower, b.Upper, r.Count())
	}
	return lower, upper, nil
}

// Margin is what treatment may be worse by: mean or quantile_t ≤ (1+Relative)·control +
// Absolute.
type Margin struct{ Relative, Absolute float64 }

// QuantileVerdict compares a quantile of two arms.
type QuantileVerdict struct {
	LowerT, UpperT, LowerC, UpperC float64 // the bands, in the metric's unit
	Breach                         bool    // treatment's is above control's by more than the margin
	Safe                           bool    // it is not
}

// CompareQuantiles compares the arms' quantiles within a stage. Build q with an Alpha of
// half the level: each arm's band has it. Values are such that more is worse and, for a
// relative margin, not negative.
func CompareQuantiles(q *Quantile, t, c RankReader, accuracy float64, m Margin) (QuantileVerdict, error) {
	if !(m.Relative >= 0 && m.Absolute >= 0) {
		return QuantileVerdict{}, badOption("margin", m, "at least 0")
	}
	var v QuantileVerdict
	for _, arm := range []struct {
		r            RankReader
		lower, upper *float64
	}{{t, &v.LowerT, &v.UpperT}, {c, &v.LowerC, &v.UpperC}} {
		band, err := q.Band(arm.r.Count())
		if err != nil {
			return QuantileVerdict{}, err
		}
		if *arm.lower, *arm.upper, err = band.Values(arm.r, accuracy); err != nil {
			return QuantileVerdict{}, err
		}
	}
	v.Breach = v.LowerT > madd(1+m.Relative, v.UpperC, m.Absolute)
	v.Safe = v.UpperT <= madd(1+m.Relative, v.LowerC, m.Absolute)
	return v, nil
}
