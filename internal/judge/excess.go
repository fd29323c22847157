package judge

import "github.com/tidegate/tidegate/internal/guardrail"

// The alternatives of guardrail's tests of rates, as multiples of the ratio that is tested.
func breakerMultiples() [guardrail.BreakerAlternatives]float64 {
	return [...]float64{1.1, 1.25, 1.5, 2, 3, 5, 10, 20, 50}
}

func gateMultiples() [guardrail.GateAlternatives]float64 {
	return [...]float64{0.9, 0.75, 0.5, 0.25, 0.1}
}

// allow turns the evidence that a window gave against the ratio 1 into evidence against a
// difference of rates d = plan.excess: "the rate rose by at most d".
//
// The test of the ratio 1 multiplies by Λ = s_t^N_t · s_c^N_c for an alternative m, with
//
//	q = e_t/(e_t+e_c),  s_t = m/(1+q(m-1)),  s_c = 1/(1+q(m-1)),  so e_t(s_t-1) = e_c(1-s_c)
//
// and E[Λ] ≤ exp(e_t·p_t(s_t-1) + e_c·p_c(s_c-1)) for independent units of whatever
// probabilities, because 1+x ≤ e^x. With p_t = p_c + d the exponent is e_t·d(s_t-1). So
//
//	Λ' = Λ · exp(-e_t·d·(s_t-1))
//
// has an expectation of at most 1 if the rate rose by at most d (m > 1, the breaker), or by
// at least d (m < 1, the gate): exact at any sample size, as the test of a ratio, and unlike
// a difference of means. Of a fall, control is the arm that has more.
//
// Exposures c are those whose proportion the test took; those of the window say how many
// events d allows in it.
func allow(logR, multiples []float64, plan *guard, c, window guardrail.Counts) {
	watched, other, exposed := c.ExposuresT, c.ExposuresC, window.ExposuresT
	if plan.direction == guardrail.Decrease {
		watched, other, exposed = other, watched, window.ExposuresC
	}
	if watched == 0 || other == 0 {
		return
	}
	q := float64(watched) / (float64(watched) + float64(other))
	allowed := float64(plan.excess * float64(exposed))
	for j, m := range multiples {
		s := m / (1 + float64(q*(m-1)))
		logR[j] -= float64(allowed * (s - 1))
	}
}
