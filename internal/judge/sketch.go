package judge

import (
	"fmt"
	"slices"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// Bins of a telemetryv1.Sketch.
const (
	// gamma is the ratio of a bin's ends.
	gamma = 1.01 / 0.99
	// lastBin bounds the indexes: beyond gamma^±20000 there are no values.
	lastBin = 20_000
	// mostBins is how many a window's sketch has; keptBins how many evidence keeps, of the
	// highest values: 512 bins span a factor of 28,000.
	mostBins = 4096
	keptBins = 512
)

// sketch counts values by bins. What is not above 0 is in low: quantiles above the middle of
// what guardrails watch are positive.
type sketch struct {
	low    int64
	offset int // bin index of bins[0]
	bins   []uint64
	// lent: bins are a message's, which is not to be changed.
	lent  bool
	total int64
}

func checkSketch(s *telemetryv1.Sketch, count uint64) string {
	if s == nil {
		return ""
	}
	if n := max(len(s.GetBins()), len(s.GetNegativeBins())); n > mostBins {
		return fmt.Sprintf("a sketch of %d bins: at most %d", n, mostBins)
	}
	if o := int(s.GetOffset()); o < -lastBin || o+len(s.GetBins()) > lastBin {
		return fmt.Sprintf("a sketch with bins from %d to %d: at most %d", o, o+len(s.GetBins()), lastBin)
	}
	left := count
	for _, bins := range [][]uint64{{s.GetZeros()}, s.GetBins(), s.GetNegativeBins()} {
		for _, n := range bins {
			if n > left {
				return fmt.Sprintf("a sketch of more values than its %d observations", count)
			}
			left -= n
		}
	}
	return ""
}

// addProto adds a sketch that was checked. It may keep the message's bins, to read.
func (s *sketch) addProto(p *telemetryv1.Sketch) {
	o := sketch{low: add(0, p.GetZeros()), offset: int(p.GetOffset()), bins: p.GetBins(), lent: true}
	for _, n := range p.GetNegativeBins() {
		o.low = add(o.low, n)
	}
	o.total = o.low
	for _, n := range o.bins {
		o.total = add(o.total, n)
	}
	s.merge(&o)
}

// merge adds the values of o. It may keep o's bins, to read.
func (s *sketch) merge(o *sketch) {
	s.low = add(s.low, uint64(o.low))
	s.total = add(s.total, uint64(o.total))
	switch {
	case len(o.bins) == 0:
		return
	case len(s.bins) == 0:
		s.offset, s.bins, s.lent = o.offset, o.bins, true
		return
	}
	s.span(o.offset, o.offset+len(o.bins))
	to := s.bins[o.offset-s.offset:]
	for i, n := range o.bins {
		to[i] = min(to[i]+n, guardrail.MaxCount)
	}
}

// span makes room for the bins from lo to hi-1, to be changed.
func (s *sketch) span(lo, hi int) {
	lo, hi = min(lo, s.offset), max(hi, s.offset+len(s.bins))
	if hi-lo == len(s.bins) && !s.lent {
		return
	}
	bins := make([]uint64, hi-lo)
	copy(bins[s.offset-lo:], s.bins)
	s.offset, s.bins, s.lent = lo, bins, false
}

// absorb adds the values of o, and keeps at most keptBins bins: values of lower ones go to the
// lowest that is kept.
func (s *sketch) absorb(o *sketch) {
	s.low = add(s.low, uint64(o.low))
	s.total = add(s.total, uint64(o.total))
	if len(o.bins) == 0 {
		return
	}
	lo, hi := o.offset, o.offset+len(o.bins)
	if len(s.bins) > 0 {
		lo, hi = min(lo, s.offset), max(hi, s.offset+len(s.bins))
	}
	lo = max(lo, hi-keptBins)
	if s.lent || s.offset != lo || len(s.bins) != hi-lo {
		before := *s
		s.offset, s.bins, s.lent = lo, make([]uint64, hi-lo), false
		s.fold(&before)
	}
	s.fold(o)
}

// fold adds o's bins, none of which is above those of s.
func (s *sketch) fold(o *sketch) {
	for i, n := range o.bins {
		at := max(o.offset+i-s.offset, 0)
		s.bins[at] = min(s.bins[at]+n, guardrail.MaxCount)
	}
}

// above counts the values in bins above bin.
func (s *sketch) above(bin int) int64 {
	n := int64(0)
	for i := max(0, bin+1-s.offset); i < len(s.bins); i++ {
		n = add(n, s.bins[i])
	}
	return min(n, s.total)
}

// quantileBin returns the bin that the quantile q is in; false if it is not above 0.
func (s *sketch) quantileBin(q float64) (int, bool) {
	rank := int64(q*float64(s.total-1)) + 1
	return s.binAtRank(rank)
}

func (s *sketch) binAtRank(rank int64) (int, bool) {
	n := s.low
	if rank <= n {
		return 0, false
	}
	for i, c := range s.bins {
		n = add(n, c)
		if rank <= n {
			return s.offset + i, true
		}
	}
	return s.offset + len(s.bins), len(s.bins) > 0
}

// Count and ValueAtRank are guardrail.RankReader.
func (s *sketch) Count() int64 { return s.total }

func (s *sketch) ValueAtRank(rank int64) float64 {
	bin, ok := s.binAtRank(rank)
	if !ok {
		return 0
	}
	return float64(edge(bin) * (2 / (1 + gamma)))
}

// edge returns the upper end of a bin, gamma^bin, by squaring: the same bits everywhere.
func edge(bin int) float64 {
	base, n := gamma, bin
	if n < 0 {
		base, n = 1/gamma, -n
	}
	v := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			v = float64(v * base)
		}
		base = float64(base * base)
	}
	return v
}

// binFrom returns the first bin whose upper end is at least v > 0.
func binFrom(v float64) int {
	lo, hi := -lastBin, lastBin
	for lo < hi {
		mid := lo + (hi-lo)/2
		if edge(mid) >= v {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

func (s *sketch) proto() *telemetryv1.Sketch {
	return &telemetryv1.Sketch{Offset: int32(s.offset), Zeros: uint64(s.low), Bins: slices.Clone(s.bins)}
}

var _ guardrail.RankReader = (*sketch)(nil)
