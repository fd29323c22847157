package guardrail

import "math"

// The elementary functions of this package are its own, made of operations that IEEE 754
// defines to the last bit: +, -, *, / and the square root. The ones of package math are
// assembly on some architectures, and are compiled to fused multiply-adds on others. A
// verdict that is recorded on one machine must come out the same on another.
//
// For the same reason a product that is added to something is always rounded first:
// an explicit conversion forbids the compiler to fuse the two (Go specification,
// "Floating-point operators").

// madd returns x*y + z with a rounding after each operation.
func madd(x, y, z float64) float64 { return float64(x*y) + float64(z) }

const (
	// ln2Hi has so few bits that its product with any exponent is exact.
	ln2Hi = 0x1.62e42feep-1
	ln2Lo = math.Ln2 - ln2Hi
	// halfLn2Pi is ln(2π)/2.
	halfLn2Pi = 0.918938533204672741780329736405617639861397473637783412817151540
)

// atanhTail returns atanh(r)/r - 1 for z = r², z ≤ 0.03, by its Taylor series.
func atanhTail(z float64) float64 {
	s := 1.0 / 25
	s = madd(s, z, 1.0/23)
	s = madd(s, z, 1.0/21)
	s = madd(s, z, 1.0/19)
	s = madd(s, z, 1.0/17)
	s = madd(s, z, 1.0/15)
	s = madd(s, z, 1.0/13)
	s = madd(s, z, 1.0/11)
	s = madd(s, z, 1.0/9)
	s = madd(s, z, 1.0/7)
	s = madd(s, z, 1.0/5)
	s = madd(s, z, 1.0/3)
	return float64(s * z)
}

// log is the natural logarithm; -Inf at 0, NaN below.
func log(x float64) float64 {
	switch {
	case x < 0 || math.IsNaN(x):
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	case math.IsInf(x, 1):
		return x
	}
	f, e := math.Frexp(x)
	if f < math.Sqrt2/2 {
		f *= 2
		e--
	}
	k := float64(e)
	r := (f - 1) / (f + 1)
	low := madd(2*r, atanhTail(float64(r*r)), float64(k*ln2Lo))
	return float64(k*ln2Hi) + (2*r + low)
}

// log1p returns ln(1+x) without loss for small x; -Inf at -1, NaN below.
func log1p(x float64) float64 {
	if x > -0.25 && x < 0.25 {
		r := x / (2 + x)
		return madd(2*r, atanhTail(float64(r*r)), 2*r)
	}
	u := 1 + x
	if !(u > 0) || math.IsInf(u, 1) {
		return log(u)
	}
	return log(u) + (x-(u-1))/u // what rounding 1+x lost
}

// log1pmx returns ln(1+x) - x, to full relative precision for small x.
func log1pmx(x float64) float64 {
	if x > -0.25 && x < 0.25 {
		r := x / (2 + x)
		return madd(2*r, atanhTail(float64(r*r)), float64(-r*x))
	}
	return log1p(x) - x
}

// exp is e to the power of x.
func exp(x float64) float64 {
	switch {
	case math.IsNaN(x):
		return x
	case x > 709.782712893384:
		return math.Inf(1)
	case x < -745.2:
		return 0
	}
	k := math.Floor(madd(x, math.Log2E, 0.5))
	r := (x - float64(k*ln2Hi)) - float64(k*ln2Lo)
	s := 1.0 / 87178291200 // 1/14!
	s = madd(s, r, 1.0/6227020800)
	s = madd(s, r, 1.0/479001600)
	s = madd(s, r, 1.0/39916800)
	s = madd(s, r, 1.0/3628800)
	s = madd(s, r, 1.0/362880)
	s = madd(s, r, 1.0/40320)
	s = madd(s, r, 1.0/5040)
	s = madd(s, r, 1.0/720)
	s = madd(s, r, 1.0/120)
	s = madd(s, r, 1.0/24)
	s = madd(s, r, 1.0/6)
	s = madd(s, r, 1.0/2)
	s = madd(float64(s*r), r, r)
	return math.Ldexp(1+s, int(k))
}

// logAdd returns ln(e^a + e^b), without overflow.
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(a, 0) || math.IsInf(b, -1) {
		return a
	}
	return a + log1p(exp(b-a))
}

// logMeanExp returns the logarithm of the mean of e^v; -Inf for none.
func logMeanExp(v []float64) float64 {
	top := math.Inf(-1)
	for _, x := range v {
		top = max(top, x)
	}
	if math.IsInf(top, 0) {
		return top
	}
	sum := 0.0
	for _, x := range v {
		sum += exp(x - top)
	}
	return top + log(sum/float64(len(v)))
}

// largest returns the index of the largest value, the first of equals.
func largest(v []float64) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}

// boundary returns the point in [lo, hi] at which holds turns from true (at lo) to false
// (at hi), to the last bit; hi may be below lo. The result is on the true side.
func boundary(lo, hi float64, holds func(float64) bool) float64 {
	for {
		mid := lo + float64((hi-lo)/2)
		if mid == lo || mid == hi {
			return lo
		}
		if holds(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
}

// lastRank is boundary for integers: the last in [lo, hi] (or [hi, lo]) towards hi for
// which holds is true. It is true at lo.
func lastRank(lo, hi int64, holds func(int64) bool) int64 {
	if holds(hi) {
		return hi
	}
	for hi-lo > 1 || lo-hi > 1 {
		mid := lo + (hi-lo)/2
		if holds(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}
