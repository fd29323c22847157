package guardrail

import "math"

// NormalMixture bounds a sum S whose variance so far is V (its intrinsic time), if S has no
// drift: with probability 1-α it stays within the bound at all times. It mixes over drifts
// with a normal distribution of the variance 1/Eta. Eta is in the unit of V; it decides
// when the bound is tight, never whether it is valid, and must not change on the way.
//
// For sums of normal increments the statement is exact; for others it holds as V grows
// (asymptotic confidence sequences: I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy,
// A. Ramdas, Time-uniform central limit theory and asymptotic confidence sequences,
// arXiv:2103.06476). The boundaries are those of S. Howard, A. Ramdas, J. McAuliffe,
// J. Sekhon, Time-uniform, nonparametric, nonasymptotic confidence sequences,
// arXiv:1810.08240.
type NormalMixture struct{ Eta float64 }

// EtaTwoSided returns the Eta for which the two-sided bound of level alpha is about
// tightest at V = vOpt: vOpt/(2ln(1/α) + ln(1+2ln(1/α))).
func EtaTwoSided(vOpt, alpha float64) (float64, error) {
	if err := checkAlpha(alpha); err != nil {
		return 0, err
	}
	if !positive(vOpt) {
		return 0, badOption("vOpt", vOpt, "a positive variance")
	}
	return vOpt / tuning(alpha), nil
}

// EtaOneSided is EtaTwoSided for the one-sided bound: that of 2·alpha, which must be below
// 1/2.
func EtaOneSided(vOpt, alpha float64) (float64, error) {
	if !(alpha > 0 && alpha < 0.5) {
		return 0, badOption("alpha", alpha, "between 0 and 1/2")
	}
	return EtaTwoSided(vOpt, 2*alpha)
}

// TwoSided returns b with P(|S| ≥ b ever) ≤ alpha: √((V+η) ln((V+η)/(ηα²))).
func (m NormalMixture) TwoSided(v, alpha float64) float64 {
	t := v + m.Eta
	return math.Sqrt(float64(t * (log(t/m.Eta) - float64(2*log(alpha)))))
}

// OneSided returns b with P(S ≥ b ever) ≤ alpha: √(2(V+η) ln(1 + √((V+η)/η)/(2α))), a
// closed form that is slightly above OneSidedExact.
func (m NormalMixture) OneSided(v, alpha float64) float64 {
	t := v + m.Eta
	return math.Sqrt(float64(2 * float64(t*log1p(math.Sqrt(t/m.Eta)/(2*alpha)))))
}

// OneSidedExact returns the least b with P(S ≥ b ever) ≤ alpha that the mixture over
// positive drifts gives: the S at which LogEPositive is ln(1/alpha).
func (m NormalMixture) OneSidedExact(v, alpha float64) float64 {
	threshold := LogThreshold(alpha)
	return boundary(0, m.OneSided(v, alpha)*2, func(s float64) bool { return m.LogEPositive(s, v) < threshold })
}

// LogE returns ln E of the mixture over all drifts: ½ln(η/(V+η)) + S²/(2(V+η)).
func (m NormalMixture) LogE(s, v float64) float64 {
	t := v + m.Eta
	return madd(0.5, log(m.Eta/t), s/t*s/2)
}

// LogEPositive returns ln E of the mixture over positive drifts: LogE + ln(2Φ(S/√(V+η))).
func (m NormalMixture) LogEPositive(s, v float64) float64 {
	return m.LogE(s, v) + math.Ln2 + logNormalCDF(s/math.Sqrt(v+m.Eta))
}
