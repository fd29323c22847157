package guardrail

import "math"

// Beta is a distribution of a success rate: after a successes and b failures on a uniform
// prior it is Beta{A: a+1, B: b+1}.
type Beta struct{ A, B float64 }

func (b Beta) validate() error {
	if !(b.A >= 0.1 && b.A <= 1e12 && b.B >= 0.1 && b.B <= 1e12) {
		return badOption("Beta", b, "between 0.1 and 1e12 in both parameters")
	}
	return nil
}

// ProbabilityGreater returns P(t > c) for independent t and c, to 1e-9 or better: the share
// of traffic that Thompson sampling gives to t (W. Thompson, On the likelihood that one
// unknown probability exceeds another in view of the evidence of two samples, Biometrika
// 1933). It is the posterior probability that treatment is better, and no test: one that
// looks at it again and again will be deceived.
//
// It integrates the narrower density times the other's distribution function over
// u = ln(x/(1-x)). There both are analytic and fall exponentially on both sides, so the
// trapezoidal rule converges geometrically (L. N. Trefethen, J. A. C. Weideman, The
// exponentially convergent trapezoidal rule, SIAM Review 2014). It may take
// √max(A, B) steps at each of a hundred points.
func ProbabilityGreater(t, c Beta) (float64, error) {
	if err := t.validate(); err != nil {
		return 0, err
	}
	if err := c.validate(); err != nil {
		return 0, err
	}
	if t == c {
		return 0.5, nil
	}
	if t.spread() < c.spread() {
		return t.above(c), nil
	}
	return 1 - c.above(t), nil
}

// spread returns about the standard deviation of ln(x/(1-x)).
func (b Beta) spread() float64 {
	return math.Sqrt(1/b.A + 1/b.B + 0.5/float64(b.A*b.A) + 0.5/float64(b.B*b.B))
}

// density returns x and 1-x at u = ln(x/(1-x)), and the density of u.
func (b Beta) density(u float64) (x, y, f float64) {
	e := exp(-math.Abs(u))
	x, y = 1/(1+e), e/(1+e)
	if u < 0 {
		x, y = y, x
	}
	if x == 0 || y == 0 {
		return x, y, 0
	}
	return x, y, exp(-logBeta2(b.A, b.B, x, y))
}

// above returns P(b > other).
func (b Beta) above(other Beta) float64 {
	center := log(b.A / b.B)
	step := min(b.spread()/3, 0.3)
	total, sum := 0.0, 0.0
	for _, side := range [...]float64{1, -1} {
		for k := 0.0; ; k++ {
			if k == 0 && side < 0 {
				continue
			}
			x, y, f := b.density(madd(side*k, step, center))
			if f == 0 || f < 1e-18*total {
				break
			}
			total += f
			sum += float64(f * betaCDF(other.A, other.B, x, y))
		}
	}
	return min(1, sum/total) // the rule's own total: its error cancels
}
