package guardrail

import (
	"cmp"
	"math"
	"slices"
)

// LogThreshold returns ln(1/alpha): the evidence in nats at which a test of level alpha
// trips or passes.
func LogThreshold(alpha float64) float64 { return -log(alpha) }

// Allocate splits an error budget: alpha_g = total·w_g/Σw. The probability that any of the
// tests fails falsely is at most total, however they depend on each other (weighted
// Bonferroni). Nothing of it is spent by looking often or by having many stages.
//
// Split the budget of the breakers, any of which may end a rollout; and that of success
// metrics, any of which may be celebrated. Gates must all be passed: each keeps its alpha
// (M. Schultzberg, S. Ankargren, M. Frånberg, Risk-aware product decisions in A/B tests
// with multiple metrics, arXiv:2402.11609).
func Allocate(total float64, weights []float64) ([]float64, error) {
	if err := checkAlpha(total); err != nil {
		return nil, err
	}
	sum := 0.0
	for _, w := range weights {
		if !positive(w) {
			return nil, badOption("weight", w, "positive")
		}
		sum += w
	}
	if math.IsInf(sum, 1) {
		return nil, badOption("the sum of the weights", sum, "finite")
	}
	alphas := make([]float64, len(weights))
	for i, w := range weights {
		alphas[i] = float64(total*w) / sum
	}
	return alphas, nil
}

// Discoveries returns the indices, in ascending order, of the hypotheses that may be
// reported as false so that the expected share of wrong ones among them is at most alpha,
// given ln E of each: those of the k largest, k the most with e_(k) ≥ m/(αk). It is valid
// however the hypotheses depend on each other (e-BH: R. Wang, A. Ramdas, False discovery
// rate control with e-values, arXiv:2009.02824).
//
// The E must be those of one moment that was not chosen for each by its own outcome, such
// as now, or when each rollout ended: not the largest that each has ever reached.
func Discoveries(logE []float64, alpha float64) ([]int, error) {
	if err := checkAlpha(alpha); err != nil {
		return nil, err
	}
	order := make([]int, len(logE))
	for i, e := range logE {
		if math.IsNaN(e) {
			return nil, badOption("logE", e, "a number")
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(logE[b], logE[a]) })
	m := float64(len(logE))
	for k := len(order); k > 0; k-- {
		if logE[order[k-1]] >= log(m/float64(alpha*float64(k))) {
			found := order[:k]
			slices.Sort(found)
			return found, nil
		}
	}
	return nil, nil
}

// WorstSegment combines the evidence ln E of a metric's segments (countries, versions)
// against one and the same level: it returns the segment with the most evidence of harm,
// and the evidence that some segment is harmed, which trips at LogThreshold(α). It is -1
// and -Inf for no segments.
//
// The combination is the mean of the E, an e-process if each of them is one, however they
// depend on each other (V. Vovk, R. Wang, E-values: calibration, combination and
// applications, arXiv:1912.06116). It is at least the largest E divided by the number of
// segments, so it trips whenever a budget split evenly over the segments would.
func WorstSegment(logE []float64) (worst int, combined float64) {
	if len(logE) == 0 {
		return -1, math.Inf(-1)
	}
	return largest(logE), logMeanExp(logE)
}
