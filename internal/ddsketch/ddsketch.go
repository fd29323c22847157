// Package ddsketch summarises values so that every quantile is known to 1%, in counts that
// add up: DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch
// with relative-error guarantees", VLDB 2019), with the logarithmic mapping and integer
// counts of telemetryv1.Sketch.
//
// Bin i counts values in (Gamma^(i-1), Gamma^i]; the middle of a bin is within 1% of all that
// it counts. There are at most [MaxBins] bins of either sign, next to each other: 2,048 of
// them reach over 17 orders of magnitude. What lies further below the largest value is counted
// in the lowest bin (the paper's collapsing), so that the quantiles that this costs accuracy
// are the lowest ones.
//
// Merging sketches gives what one sketch of all values would be, in any order. A sketch is
// used by one goroutine at a time.
package ddsketch

import "math"

// The mapping's constants.
const (
	// Accuracy is the relative accuracy.
	Accuracy = 0.01
	// Gamma is the ratio of a bin's edges.
	Gamma = (1 + Accuracy) / (1 - Accuracy)
	// MaxBins is how many bins there are at most, of either sign.
	MaxBins = 2048
	// Smallest is the size below which a value counts as zero: a nanosecond, in seconds.
	Smallest = 1e-9

	logGamma = 0.0200006667066695240317 // natural logarithm of Gamma
	minBin   = -1036                    // of Smallest
	maxBin   = 35488                    // of the largest float64
)

// Bin returns the bin of a positive, finite value.
func Bin(v float64) int { return int(math.Ceil(math.Log(v) / logGamma)) }

// Edge returns the upper edge of a bin: the largest value that it counts.
func Edge(bin int) float64 { return math.Exp(float64(bin) * logGamma) }

// Value returns the value that stands for a bin: within [Accuracy] of all that it counts.
func Value(bin int) float64 { return Edge(bin) * (1 - Accuracy) }

// Sketch is a DDSketch. The zero Sketch is empty.
type Sketch struct {
	positive, negative store
	zeros              uint64
}

// Add counts a value. NaN and infinities are not counted.
func (s *Sketch) Add(v float64) { s.AddN(v, 1) }

// AddN counts a value n times.
func (s *Sketch) AddN(v float64, n uint64) {
	switch size := math.Abs(v); {
	case n == 0:
	case size < Smallest:
		s.zeros += n
	case size > math.MaxFloat64 || v != v:
	case v > 0:
		s.positive.add(Bin(v), n)
	default:
		s.negative.add(Bin(size), n)
	}
}

// Merge adds all that o counts.
func (s *Sketch) Merge(o *Sketch) {
	s.zeros += o.zeros
	s.positive.merge(&o.positive)
	s.negative.merge(&o.negative)
}

// Bytes is about what the sketch takes in memory.
func (s *Sketch) Bytes() int { return 8 * (cap(s.positive.bins) + cap(s.negative.bins)) }

// Count is the number of values.
func (s *Sketch) Count() uint64 { return s.zeros + s.positive.count() + s.negative.count() }

// Quantile returns the value of rank ceil(q*n), for q in 0 to 1, to within [Accuracy] of
// itself; NaN if there are no values.
func (s *Sketch) Quantile(q float64) float64 {
	n := s.Count()
	if n == 0 {
		return math.NaN()
	}
	rank := min(max(uint64(math.Ceil(q*float64(n))), 1), n)
	return s.AtRank(rank)
}

// AtRank returns the value of a rank, the first being 1, to within [Accuracy] of itself; NaN
// if there is no such rank.
func (s *Sketch) AtRank(rank uint64) float64 {
	n := s.negative.count()
	switch {
	case rank == 0 || rank > s.Count():
		return math.NaN()
	case rank <= n:
		return -Value(s.negative.atRank(n - rank + 1))
	case rank <= n+s.zeros:
		return 0
	}
	return Value(s.positive.atRank(rank - n - s.zeros))
}

// BinAtRank is AtRank for who counts by edges: the bin of the value of a rank. ok is false
// where the value is not positive, or there is no such rank.
func (s *Sketch) BinAtRank(rank uint64) (bin int, ok bool) {
	below := s.negative.count() + s.zeros
	if rank <= below || rank > s.Count() {
		return 0, false
	}
	return s.positive.atRank(rank - below), true
}

// CountAbove is the number of values above a bin's edge: exact, as long as the bins that far
// down were not collapsed.
func (s *Sketch) CountAbove(bin int) uint64 { return s.positive.above(bin) }
