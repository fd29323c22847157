package guardrail

import (
	"fmt"
	"math"
)

// Sample holds the sums of one arm in one stratum: N units with the values x.
type Sample struct {
	N          int64
	Sum, SumSq float64 // Σx and Σx², in the metric's unit and its square
}

// Mean returns the mean; 0 if there is no unit.
func (a Sample) Mean() float64 {
	if a.N == 0 {
		return 0
	}
	return a.Sum / float64(a.N)
}

// Variance returns the unbiased variance of the units; 0 if there are fewer than two.
func (a Sample) Variance() float64 {
	if a.N < 2 {
		return 0
	}
	n := float64(a.N)
	return max(0, (a.SumSq-float64(a.Sum*(a.Sum/n)))/(n-1))
}

// Add returns the sums of both.
func (a Sample) Add(b Sample) Sample {
	return Sample{N: a.N + b.N, Sum: a.Sum + b.Sum, SumSq: a.SumSq + b.SumSq}
}

// limit bounds sums, so that products of a few of them stay finite.
const limit = 1e60

// Validate returns an ErrSample if no N numbers have these sums, or they are out of reach
// (beyond 1e60).
func (a Sample) Validate() error {
	n := float64(a.N)
	switch {
	case a.N < 0 || a.N > MaxCount:
		return fmt.Errorf("%w: N is %d: it must be between 0 and %d", ErrSample, a.N, int64(MaxCount))
	case !(math.Abs(a.Sum) <= limit && a.SumSq >= 0 && a.SumSq <= limit):
		return fmt.Errorf("%w: the sum is %v, that of the squares %v: they must be finite, and squares not negative", ErrSample, a.Sum, a.SumSq)
	case float64(a.Sum*a.Sum) > float64(n*a.SumSq)*(1+1e-9):
		return fmt.Errorf("%w: a sum of %v needs a sum of squares of at least %v with N = %d, not %v", ErrSample, a.Sum, a.Sum/n*a.Sum, a.N, a.SumSq)
	}
	return nil
}

// PairedSample holds the sums of one arm for units with two values: a numerator y and a
// denominator x of a ratio metric (clicks and views of a user), or an outcome y and a
// covariate x from before the rollout.
type PairedSample struct {
	N                   int64
	SumY, SumX          float64
	SumYY, SumXX, SumXY float64
}

// Validate is as Sample.Validate.
func (a PairedSample) Validate() error {
	if err := (Sample{N: a.N, Sum: a.SumY, SumSq: a.SumYY}).Validate(); err != nil {
		return fmt.Errorf("y: %w", err)
	}
	if err := (Sample{N: a.N, Sum: a.SumX, SumSq: a.SumXX}).Validate(); err != nil {
		return fmt.Errorf("x: %w", err)
	}
	if !(math.Abs(a.SumXY) <= math.Sqrt(a.SumXX)*math.Sqrt(a.SumYY)*(1+1e-9)) {
		return fmt.Errorf("%w: the sum of the products is %v: it must be at most %v", ErrSample, a.SumXY, math.Sqrt(a.SumXX)*math.Sqrt(a.SumYY))
	}
	return nil
}

// Add returns the sums of both.
func (a PairedSample) Add(b PairedSample) PairedSample {
	return PairedSample{
		N: a.N + b.N, SumY: a.SumY + b.SumY, SumX: a.SumX + b.SumX,
		SumYY: a.SumYY + b.SumYY, SumXX: a.SumXX + b.SumXX, SumXY: a.SumXY + b.SumXY,
	}
}

// variances returns s_y², s_x² and s_xy.
func (a PairedSample) variances() (yy, xx, xy float64) {
	n := float64(a.N)
	yy = Sample{N: a.N, Sum: a.SumY, SumSq: a.SumYY}.Variance()
	xx = Sample{N: a.N, Sum: a.SumX, SumSq: a.SumXX}.Variance()
	return yy, xx, (a.SumXY - float64(a.SumY*(a.SumX/n))) / (n - 1)
}

// Ratio returns R = Σy/Σx and its standard error by the delta method,
// √((s_y² - 2R·s_xy + R²·s_x²)/(N·x̄²)) (A. Deng, U. Knoblich, J. Lu, Applying the delta
// method in metric analytics, arXiv:1803.06336). Units are what is randomised: one row
// each. It is for showing; for evidence over time use Linearize.
func (a PairedSample) Ratio() (ratio, stdErr float64, err error) {
	if err := a.Validate(); err != nil {
		return 0, 0, err
	}
	if a.N < 2 || a.SumX == 0 {
		return 0, 0, fmt.Errorf("%w: %d units with the denominator %v: a ratio needs two, and a denominator that is not 0", ErrSample, a.N, a.SumX)
	}
	r := a.SumY / a.SumX
	yy, xx, xy := a.variances()
	n := float64(a.N)
	x := a.SumX / n
	v := yy - float64(2*float64(r*xy)) + float64(r*r*xx)
	return r, math.Sqrt(max(0, v)/n) / math.Abs(x), nil
}

// Linearize returns the sums of (y - r·x)/meanX per unit, whose mean differs between the
// arms by the difference of their ratios, near r. Difference takes them as any sample. The
// ratio r and the mean denominator are control's, and are frozen for a stage: a ratio of
// each window's own sums is biased by about 1/N, the small arm more, and adding up windows
// adds up the bias (R. Budylin, A. Drutsa, I. Katsev, V. Tsoy, Consistent transformation of
// ratio metrics for efficient online controlled experiments, WSDM 2018).
func (a PairedSample) Linearize(r, meanX float64) (Sample, error) {
	if !finite(r) || !finite(meanX) || meanX == 0 {
		return Sample{}, badOption("ratio and mean denominator", [2]float64{r, meanX}, "finite, and the denominator not 0")
	}
	return a.combine(r, 0, meanX)
}

// Adjust returns the sums of y - theta·(x - meanX) per unit: outcomes without what a
// covariate from before the rollout foretells (CUPED). Theta and meanX are frozen at the
// start; any values keep the mean difference what it is, CUPED's theta makes its variance
// least.
func (a PairedSample) Adjust(theta, meanX float64) (Sample, error) {
	if !finite(theta) || !finite(meanX) {
		return Sample{}, badOption("theta and mean covariate", [2]float64{theta, meanX}, "finite")
	}
	return a.combine(theta, float64(theta*meanX), 1)
}

// combine returns the sums of (y - k·x + c)/d.
func (a PairedSample) combine(k, c, d float64) (Sample, error) {
	if err := a.Validate(); err != nil {
		return Sample{}, err
	}
	n := float64(a.N)
	sum := a.SumY - float64(k*a.SumX)
	sq := a.SumYY - float64(2*float64(k*a.SumXY)) + float64(k*k*a.SumXX)
	sq = max(0, sq) + float64(2*float64(c*sum)) + float64(c*c*n)
	s := Sample{N: a.N, Sum: (sum + float64(c*n)) / d, SumSq: max(0, sq) / d / d}
	if n > 0 { // rounding must not leave less than a constant has
		s.SumSq = max(s.SumSq, float64(s.Sum*(s.Sum/n)))
	}
	return s, s.Validate()
}

// CUPEDResult is a difference of means, with and without what the covariate foretells.
type CUPEDResult struct {
	Theta                  float64 // s_xy/s_x², each pooled within the arms
	Raw, RawStdErr         float64 // mean_t - mean_c of y
	Adjusted, AdjustStdErr float64 // the same of y - Theta·x
}

// CUPED compares outcomes y adjusted by a covariate x from before the rollout, with the
// theta that is best for both arms together (A. Deng, Y. Xu, R. Kohavi, T. Walker, Improving
// the sensitivity of online controlled experiments by utilizing pre-experiment data, WSDM
// 2013). It is for one look, and for finding the theta to freeze for Adjust.
func CUPED(t, c PairedSample) (CUPEDResult, error) {
	for _, a := range []PairedSample{t, c} {
		if err := a.Validate(); err != nil {
			return CUPEDResult{}, err
		}
		if a.N < 2 {
			return CUPEDResult{}, fmt.Errorf("%w: an arm has %d units: it needs two", ErrSample, a.N)
		}
	}
	var r CUPEDResult
	_, xxT, xyT := t.variances()
	_, xxC, xyC := c.variances()
	dfT, dfC := float64(t.N-1), float64(c.N-1)
	if xx := madd(dfT, xxT, float64(dfC*xxC)); xx > 0 {
		r.Theta = madd(dfT, xyT, float64(dfC*xyC)) / xx
	}
	difference := func(theta float64) (float64, float64) {
		d, v := 0.0, 0.0
		for i, a := range []PairedSample{t, c} {
			yy, xx, xy := a.variances()
			n := float64(a.N)
			m := (a.SumY - float64(theta*a.SumX)) / n
			d += float64(float64(1-2*i) * m)
			v += max(0, yy-float64(2*float64(theta*xy))+float64(theta*theta*xx)) / n
		}
		return d, math.Sqrt(v)
	}
	r.Raw, r.RawStdErr = difference(0)
	r.Adjusted, r.AdjustStdErr = difference(r.Theta)
	return r, nil
}
