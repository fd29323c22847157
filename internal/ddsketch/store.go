package ddsketch

import "slices"

// store counts by bin, from the lowest to the highest that was ever counted.
type store struct {
	bins []uint64
	low  int // bin of bins[0]
}

// grain is what a store grows by at least, so that values that come from close by do not
// move it each time.
const grain = 16

func (s *store) add(bin int, n uint64) {
	if i := bin - s.low; i >= 0 && i < len(s.bins) {
		s.bins[i] += n
		return
	}
	if n > 0 {
		s.bins[s.reach(bin)] += n
	}
}

// reach makes room for a bin and returns its place: 0, that of the lowest, if it is out of
// reach below.
func (s *store) reach(bin int) int {
	if len(s.bins) == 0 {
		s.low, s.bins = bin, make([]uint64, 1, grain)
		return 0
	}
	if bin < s.low {
		lowest := max(bin, s.low+len(s.bins)-MaxBins)
		if lowest == s.low {
			return 0
		}
		s.bins = append(make([]uint64, s.low-lowest, s.low-lowest+len(s.bins)), s.bins...)
		s.low = lowest
		return 0
	}
	if lowest := bin - MaxBins + 1; lowest > s.low {
		s.collapse(lowest)
	}
	i := bin - s.low
	s.bins = slices.Grow(s.bins, max(i+1-len(s.bins), grain))[:i+1]
	return i
}

// collapse counts what is below a bin as if it were in it.
func (s *store) collapse(lowest int) {
	var below uint64
	for len(s.bins) > 0 && s.low < lowest {
		below += s.bins[0]
		s.bins = s.bins[1:]
		s.low++
	}
	s.low = lowest
	s.bins = slices.Clone(s.bins)
	if len(s.bins) == 0 {
		s.bins = make([]uint64, 1, grain)
	}
	s.bins[0] += below
}

func (s *store) merge(o *store) {
	if len(o.bins) == 0 {
		return
	}
	// The highest first: then what is out of reach is collapsed once.
	for i := len(o.bins) - 1; i >= 0; i-- {
		if o.bins[i] > 0 {
			s.add(o.low+i, o.bins[i])
		}
	}
}

func (s *store) count() uint64 {
	var n uint64
	for _, c := range s.bins {
		n += c
	}
	return n
}

// atRank returns the bin of a rank that there is, the first being 1.
func (s *store) atRank(rank uint64) int {
	for i, c := range s.bins {
		if rank <= c {
			return s.low + i
		}
		rank -= c
	}
	return s.low + len(s.bins) - 1
}

func (s *store) above(bin int) uint64 {
	var n uint64
	for i := max(bin+1-s.low, 0); i < len(s.bins); i++ {
		n += s.bins[i]
	}
	return n
}

// trimmed returns the bins from the first to the last that counts.
func (s *store) trimmed() (low int, bins []uint64) {
	low, bins = s.low, s.bins
	for len(bins) > 0 && bins[0] == 0 {
		bins = bins[1:]
		low++
	}
	for len(bins) > 0 && bins[len(bins)-1] == 0 {
		bins = bins[:len(bins)-1]
	}
	if len(bins) == 0 {
		low = 0
	}
	return low, bins
}
