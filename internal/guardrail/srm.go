package guardrail

import (
	"fmt"
	"math"
)

// SRM finds a sample ratio mismatch: users who come to the arms in other proportions than
// assignment intends. Assignment, delivery or counting is then broken, or one arm loses
// its users before they are counted, and no comparison means anything.
//
//	hypothesis:  users are independent and come to arm i with the intended share p_i
//	E = ∫ Π(q_i/p_i)^n_i dDirichlet(q | K·p),  multiplied over the stages
//
// Under it, the probability that E ever reaches 1/α is at most α, exactly, whatever the
// stages' shares and lengths are (M. Lindon, A. Malek, Anytime-valid inference for
// multinomial count data, arXiv:2011.03567). An alarm is due at E ≥ 1,000. A lack of
// treatment users may be crashes: to roll back for it should take a stricter level, of the
// breakers' budget.
//
// A user counts once, at the first exposure of the rollout, in the stage of that moment.
type SRM struct {
	// Concentration is K: how near the intended shares a mismatch is expected, as a number
	// of users. The shares that are weighed differ by about √(p(1-p)/K): half a percentage
	// point at 10,000 and a share of a half. Others are found as well, a little later.
	Concentration float64
}

// SRMState is the memory of an SRM. Begin it with StartStage.
type SRMState struct {
	LogClosed float64   // ln of the product of E over the stages that are over
	Shares    []float64 // intended in this stage, by arm; their sum is 1
	Counts    []int64   // users of this stage, by arm
}

// StartStage begins a stage with the intended shares, and closes the one before. Shares are
// copied. An ErrOptions leaves the state as it was.
func (m SRM) StartStage(s *SRMState, shares []float64) error {
	if !positive(m.Concentration) {
		return badOption("Concentration", m.Concentration, "a positive number of users")
	}
	if len(shares) < 2 {
		return badOption("shares", shares, "at least two")
	}
	sum := 0.0
	for _, p := range shares {
		if !(p > 0 && p < 1) {
			return badOption("shares", shares, "each between 0 and 1")
		}
		sum += p
	}
	if math.Abs(sum-1) > 1e-9 {
		return badOption("shares", shares, fmt.Sprintf("1 in all, not %v", sum))
	}
	s.LogClosed += m.logStage(s)
	s.Shares = append([]float64(nil), shares...)
	s.Counts = make([]int64, len(shares))
	return nil
}

// Observe adds users who were counted for the first time, by arm. An ErrCounts leaves the
// state as it was.
func (m SRM) Observe(s *SRMState, users []int64) error {
	if len(users) != len(s.Shares) {
		return fmt.Errorf("%w: %d arms: the stage has shares for %d", ErrCounts, len(users), len(s.Shares))
	}
	for i, n := range users {
		if n < 0 || n > MaxCount-s.Counts[i] {
			return fmt.Errorf("%w: arm %d has %d users: it must be at least 0, and at most %d in a stage", ErrCounts, i, n, int64(MaxCount))
		}
	}
	for i, n := range users {
		s.Counts[i] += n
	}
	return nil
}

// LogE returns ln E, the evidence of a mismatch in nats.
func (m SRM) LogE(s *SRMState) float64 { return s.LogClosed + m.logStage(s) }

func (m SRM) logStage(s *SRMState) float64 {
	if len(s.Shares) == 0 {
		return 0
	}
	total := 0.0
	for _, n := range s.Counts {
		total += float64(n)
	}
	prior := newLogDirichlet(m.Concentration)
	posterior := newLogDirichlet(m.Concentration + total)
	for i, p := range s.Shares {
		a := float64(m.Concentration * p)
		prior.add(a, p)
		posterior.add(a+float64(s.Counts[i]), p)
	}
	return posterior.sum - prior.sum
}

// Excess returns how many users more than intended the arm has in this stage; below 0 for
// a lack.
func (s *SRMState) Excess(arm int) float64 {
	total := 0.0
	for _, n := range s.Counts {
		total += float64(n)
	}
	return madd(-total, s.Shares[arm], float64(s.Counts[arm]))
}

// Validate returns an ErrOptions if no sequence of observations can lead to the state.
func (s *SRMState) Validate() error {
	if !finite(s.LogClosed) {
		return badOption("state.LogClosed", s.LogClosed, "finite")
	}
	if len(s.Shares) != len(s.Counts) {
		return badOption("state.Counts", s.Counts, fmt.Sprintf("of %d arms, as the shares", len(s.Shares)))
	}
	for i, n := range s.Counts {
		if n < 0 || n > MaxCount || !(s.Shares[i] > 0 && s.Shares[i] < 1) {
			return badOption("state", fmt.Sprintf("%d users at a share of %v", n, s.Shares[i]), "a count, and a share between 0 and 1")
		}
	}
	return nil
}
