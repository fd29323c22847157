package guardrail

import (
	"fmt"
	"math"
)

// Confusion counts the outcomes of a binary model: predictions and labels that are known by
// now. Compare cohorts of the same age: labels that are late are not missing at random.
type Confusion struct{ TP, FP, FN, TN int64 }

// Validate returns an ErrCounts for negative counts, or more than MaxCount in all.
func (m Confusion) Validate() error {
	left := int64(MaxCount)
	for _, n := range [...]int64{m.TP, m.FP, m.FN, m.TN} {
		if n < 0 || n > left {
			return fmt.Errorf("%w: TP %d, FP %d, FN %d, TN %d: each must be at least 0, and all at most %d",
				ErrCounts, m.TP, m.FP, m.FN, m.TN, int64(MaxCount))
		}
		left -= n
	}
	return nil
}

// Accuracy is the share of right predictions; NaN without any, as of the others below.
func (m Confusion) Accuracy() float64 { return share(m.TP+m.TN, m.TP+m.FP+m.FN+m.TN) }

// Precision is the share of right ones among positive predictions.
func (m Confusion) Precision() float64 { return share(m.TP, m.TP+m.FP) }

// Recall is the share of positives that were predicted.
func (m Confusion) Recall() float64 { return share(m.TP, m.TP+m.FN) }

// F1 is the harmonic mean of precision and recall.
func (m Confusion) F1() float64 {
	return 2 * float64(m.TP) / (2*float64(m.TP) + float64(m.FP) + float64(m.FN))
}

func share(n, of int64) float64 { return float64(n) / float64(of) }

// Mispredictions are the Counts of wrong predictions of two models: a loss of accuracy is
// their rise.
func Mispredictions(t, c Confusion) Counts {
	return Counts{
		EventsT: t.FP + t.FN, ExposuresT: t.TP + t.FP + t.FN + t.TN,
		EventsC: c.FP + c.FN, ExposuresC: c.TP + c.FP + c.FN + c.TN,
	}
}

// FalseDiscoveries are the Counts of wrong ones among positive predictions: a loss of
// precision is their rise.
func FalseDiscoveries(t, c Confusion) Counts {
	return Counts{EventsT: t.FP, ExposuresT: t.TP + t.FP, EventsC: c.FP, ExposuresC: c.TP + c.FP}
}

// Misses are the Counts of positives that were not predicted: a loss of recall is their
// rise.
func Misses(t, c Confusion) Counts {
	return Counts{EventsT: t.FN, ExposuresT: t.TP + t.FN, EventsC: c.FN, ExposuresC: c.TP + c.FN}
}

// F1Sample returns the sample of the contrast Z = 2-2·f0 for each true positive, -f0 for
// each false one of either kind, and 0 otherwise. F1 ≥ f0 says
// 2TP ≥ f0·(2TP+FP+FN), which is E[Z] ≥ 0: F1 is no mean, but this is. Follow it with
// Difference.ObserveOne, where a fall (Decrease) is harm.
func (m Confusion) F1Sample(f0 float64) (Sample, error) {
	if err := m.Validate(); err != nil {
		return Sample{}, err
	}
	if !(f0 > 0 && f0 < 1) {
		return Sample{}, badOption("f0", f0, "between 0 and 1")
	}
	tp, wrong := float64(m.TP), float64(m.FP)+float64(m.FN)
	gain := 2 - 2*f0
	return Sample{
		N:     m.TP + m.FP + m.FN + m.TN,
		Sum:   float64(tp*gain) - float64(wrong*f0),
		SumSq: float64(tp*gain*gain) + float64(wrong*f0*f0),
	}, nil
}

// Proportions returns the share of each bin, with half a count added to each: a bin that
// happens to be empty does not make a divergence infinite.
func Proportions(counts []int64) ([]float64, error) {
	total := 0.0
	for i, n := range counts {
		if n < 0 || n > MaxCount {
			return nil, fmt.Errorf("%w: bin %d has %d: it must be between 0 and %d", ErrCounts, i, n, int64(MaxCount))
		}
		total += float64(n) + 0.5
	}
	p := make([]float64, len(counts))
	for i, n := range counts {
		p[i] = (float64(n) + 0.5) / total
	}
	return p, nil
}

func checkProportions(p, q []float64) error {
	if len(p) < 2 || len(p) != len(q) {
		return badOption("the numbers of bins", [2]int{len(p), len(q)}, "equal, and at least 2")
	}
	for _, shares := range [][]float64{p, q} {
		sum := 0.0
		for i, x := range shares {
			if !(x > 0 && x <= 1) {
				return badOption(fmt.Sprintf("the share of bin %d", i), x, "above 0, at most 1 (see Proportions)")
			}
			sum += x
		}
		if math.Abs(sum-1) > 1e-6 {
			return badOption("the sum of the shares", sum, "1")
		}
	}
	return nil
}

// PSI returns the population stability index Σ(q-p)ln(q/p) of a distribution of scores q
// against p. Compare it with PSIThreshold: without drift it is about (1/n+1/m)·χ², which at
// 200 against 200 and ten bins is 0.09 on average; a fixed 0.1 is noise there.
func PSI(p, q []float64) (float64, error) {
	if err := checkProportions(p, q); err != nil {
		return 0, err
	}
	sum := 0.0
	for i := range p {
		sum += float64((q[i] - p[i]) * log(q[i]/p[i]))
	}
	return sum, nil
}

// PSINull returns the mean of the PSI of n against m scores in so many bins if there is no
// drift, and the value it exceeds with probability alpha: (1/n+1/m) times those of a χ²
// with bins-1 degrees of freedom (B. Yurdakul, Statistical properties of population
// stability index, 2018). It is asymptotic, and for one look: divide alpha by the number of
// looks.
func PSINull(n, m int64, bins int, alpha float64) (mean, threshold float64, err error) {
	if err := checkAlpha(alpha); err != nil {
		return 0, 0, err
	}
	if n < 1 || m < 1 || bins < 2 {
		return 0, 0, badOption("n, m, bins", [3]int64{n, m, int64(bins)}, "at least 1, 1 and 2")
	}
	scale := 1/float64(n) + 1/float64(m)
	df := float64(bins - 1)
	return scale * df, scale * chiSquareUpper(df, alpha), nil
}

// JensenShannon returns the Jensen-Shannon divergence of two distributions in nats: 0 if
// they are equal, at most ln 2 (J. Lin, Divergence measures based on the Shannon entropy,
// 1991).
func JensenShannon(p, q []float64) (float64, error) {
	if err := checkProportions(p, q); err != nil {
		return 0, err
	}
	sum := 0.0
	for i := range p {
		m := (p[i] + q[i]) / 2
		sum += float64(p[i]*log(p[i]/m)) + float64(q[i]*log(q[i]/m))
	}
	return sum / 2, nil
}

// KolmogorovSmirnov returns the largest difference of two cumulative distributions, at the
// bins' edges.
func KolmogorovSmirnov(p, q []float64) (float64, error) {
	if err := checkProportions(p, q); err != nil {
		return 0, err
	}
	gap, most := 0.0, 0.0
	for i := range p {
		gap += q[i] - p[i]
		most = max(most, math.Abs(gap))
	}
	return most, nil
}
