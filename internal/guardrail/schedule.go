package guardrail

import (
	"math"
	"math/bits"
)

// Schedule spreads the evidence that a breaker begins with over the windows in which harm
// may begin. Window n (from 1) gets the weight w_n:
//
//	n ≤ T:                  (1-tail)/T
//	T·2^b < n ≤ T·2^(b+1):  tail/((b+1)(b+2)) · 1/(T·2^b),  b = 0, 1, 2, …
//
// Its sum never exceeds 1, however long the rollout: the first T windows have 1-tail; the
// b-th block after them has T·2^b windows and so tail/((b+1)(b+2)) in all; and
// Σ 1/((b+1)(b+2)) = Σ (1/(b+1) - 1/(b+2)) = 1. That sum is all that the false alarm bound
// of a breaker asks of the weights, so T is a plan and not an assumption: harm within it
// is found for the price of ln T nats, harm at a later window n for about
// ln n + 2 ln log2(n/T) more than ln(1/tail).
type Schedule struct {
	// Horizon is T, the number of windows that the rollout should take.
	Horizon int64
	// Tail is the share of the weight that is kept for later windows, at least 0 and
	// below 1. 0.1 costs 0.11 nats within the horizon. With 0 a breaker that has seen
	// much good after the horizon is slow to see the bad.
	Tail float64
}

func (s Schedule) validate() error {
	if s.Horizon < 1 || s.Horizon > MaxCount {
		return badOption("Horizon", s.Horizon, "a number of windows, at least 1")
	}
	if !(s.Tail >= 0 && s.Tail < 1) {
		return badOption("Tail", s.Tail, "at least 0 and below 1")
	}
	return nil
}

// logWeight returns ln w_n for n ≥ 1: -Inf if there is none.
func (s Schedule) logWeight(n int64) float64 {
	if n <= s.Horizon {
		return log((1 - s.Tail) / float64(s.Horizon))
	}
	block := bits.Len64(uint64((n-1)/s.Horizon)) - 1
	b := float64(block)
	return log(s.Tail / ((b + 1) * (b + 2)) / math.Ldexp(float64(s.Horizon), block))
}

// begin is the restart that breakers share, for each alternative j:
//
//	R_j ← (R_j + w_n)·Λ_j
//
// Λ_j is at most 1 in expectation under the hypothesis, given the past. With M_k the
// product of the Λ_j from window k on (and 1 before), R_j is at most Σ w_k M_k, which is a
// nonnegative supermartingale that begins at Σ w_k ≤ 1. So is the mean over j, and Ville's
// inequality bounds the probability that it ever reaches 1/α by α. Each window is thus a
// new start, and the good that went before cannot hide the bad.
//
// It returns ln(R_j + w_n), before the window's evidence is added.
func begin(logR float64, windows int64, logWeight float64) float64 {
	if windows == 0 {
		return logWeight
	}
	return logAdd(logR, logWeight)
}
