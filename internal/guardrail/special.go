package guardrail

import "math"

// stirlingError returns lnΓ(a) - ((a-½)ln a - a + ½ln 2π) for a > 0: what Stirling's formula
// lacks (DLMF 5.11.1; below 10 by the recurrence of Γ).
func stirlingError(a float64) float64 {
	shift := 0.0
	for ; a < 10; a++ {
		shift += madd(a+0.5, log1p(1/a), -1)
	}
	z := 1 / float64(a*a)
	s := -691.0 / 360360
	s = madd(s, z, 1.0/1188)
	s = madd(s, z, -1.0/1680)
	s = madd(s, z, 1.0/1260)
	s = madd(s, z, -1.0/360)
	s = madd(s, z, 1.0/12)
	return shift + s/a
}

// logGamma returns lnΓ(a) for a > 0.
func logGamma(a float64) float64 {
	return madd(a-0.5, log(a), -a) + halfLn2Pi + stirlingError(a)
}

// deviance returns x ln(x/m) + m - x for x, m > 0, without the cancellation of the direct
// formula near x = m (C. Loader, Fast and Accurate Computation of Binomial Probabilities,
// 2000).
func deviance(x, m float64) float64 {
	d := (m - x) / x
	if d > -0.25 && d < 0.25 {
		return float64(-x * log1pmx(d))
	}
	return madd(x, log(x/m), m-x)
}

// logDirichlet accumulates ln( B(a) / Πp_i^a_i ), where B(a) = ΠΓ(a_i)/Γ(Σa_i). Written as
// deviances it stays accurate where the logarithms of the gamma functions, each of the
// size of a ln a, would cancel.
type logDirichlet struct{ sum, total float64 }

func newLogDirichlet(total float64) logDirichlet {
	return logDirichlet{sum: -float64(0.5*log(2*math.Pi/total)) - stirlingError(total), total: total}
}

// add adds a cell: its a_i > 0, and its share p_i > 0.
func (d *logDirichlet) add(a, p float64) {
	d.sum += deviance(a, float64(d.total*p)) + madd(0.5, log(2*math.Pi/a), stirlingError(a))
}

// logBeta2 is logDirichlet for two cells: ln( B(a,b) / (p^a q^b) ), p+q = 1.
func logBeta2(a, b, p, q float64) float64 {
	d := newLogDirichlet(a + b)
	d.add(a, p)
	d.add(b, q)
	return d.sum
}

// betaCDF returns P(X ≤ x) for X with a Beta(a, b) distribution, y = 1-x (given, so that an
// x near 1 loses nothing). By the continued fraction DLMF 8.17.22.
func betaCDF(a, b, x, y float64) float64 {
	switch {
	case x <= 0:
		return 0
	case y <= 0:
		return 1
	case x > (a+1)/(a+b+2):
		return 1 - betaTail(b, a, y, x)
	}
	return betaTail(a, b, x, y)
}

// betaTail is betaCDF where its fraction converges fast. It needs a number of terms in the
// order of √max(a, b).
func betaTail(a, b, x, y float64) float64 {
	const tiny = 1e-300
	f, c, d := 1.0, 1.0, 0.0
	term := func(t float64) float64 { // a step of Lentz's method
		d = madd(t, d, 1)
		if d == 0 {
			d = tiny
		}
		d = 1 / d
		c = 1 + t/c
		if c == 0 {
			c = tiny
		}
		step := float64(c * d)
		f *= step
		return math.Abs(step - 1)
	}
	for m := 0.0; m < 1e6; m++ {
		twice := a + 2*m
		term(-(a + m) / twice * ((a + b + m) / (twice + 1)) * x)
		if term((m+1)/(twice+1)*((b-m-1)/(twice+2))*x) < 1e-16 {
			break
		}
	}
	return min(1, exp(-logBeta2(a, b, x, y))/(a*f))
}

// gammaTail returns P(X > x) for X with a Gamma(a, 1) distribution (DLMF 8.11.4 and 8.9.2).
func gammaTail(a, x float64) float64 {
	if x <= 0 {
		return 1
	}
	front := exp(madd(a, log(x), -x) - logGamma(a))
	if x < a+1 {
		sum, term := 1/a, 1/a
		for k := 1.0; term > sum*1e-17; k++ {
			term = float64(term * (x / (a + k)))
			sum += term
		}
		return 1 - float64(front*sum)
	}
	// The fraction 1/(x+1-a- 1(1-a)/(x+3-a- 2(2-a)/(x+5-a- …))), by Lentz's method.
	b := x + 1 - a
	c, d := math.Inf(1), 1/b
	f := d
	for k := 1.0; k < 1e6; k++ {
		t := float64(-k * (k - a))
		b += 2
		d = 1 / madd(t, d, b)
		c = b + t/c
		step := float64(c * d)
		f *= step
		if math.Abs(step-1) < 1e-16 {
			break
		}
	}
	return float64(front * f)
}

// chiSquareUpper returns x with P(χ² > x) = alpha, for df degrees of freedom.
func chiSquareUpper(df, alpha float64) float64 {
	hi := df
	for gammaTail(df/2, hi/2) > alpha {
		hi *= 2
	}
	return boundary(0, hi, func(x float64) bool { return gammaTail(df/2, x/2) > alpha })
}

// logNormalCDF returns lnΦ(z).
func logNormalCDF(z float64) float64 {
	if z > -3 && z < 3 {
		// Φ = ½ + φ(z)(z + z³/3 + z⁵/(3·5) + …)
		sum, term := z, z
		for k := 3.0; math.Abs(term) > 1e-18*math.Abs(sum); k += 2 {
			term = float64(term * (z / k * z))
			sum += term
		}
		return log(madd(exp(madd(-0.5*z, z, -halfLn2Pi)), sum, 0.5))
	}
	// 1-Φ(|z|) = φ(z)/(|z| + 1/(|z| + 2/(|z| + …)))
	a := math.Abs(z)
	f := a
	for k := 120.0; k > 0; k-- {
		f = a + k/f
	}
	logTail := madd(-0.5*z, z, -halfLn2Pi) - log(f)
	if z < 0 {
		return logTail
	}
	return log1p(-exp(logTail))
}
