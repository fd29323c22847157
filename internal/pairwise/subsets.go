package pairwise

// subsets are the sets of a size of the numbers below n, each in ascending order.
type subsets struct {
	n, size int
	all     [][]int
	// byRank is the place in all of the set of a rank.
	byRank []int32
}

func newSubsets(n, size int) *subsets {
	ranks := 1
	for range size {
		ranks *= n
	}
	s := &subsets{n: n, size: size, byRank: make([]int32, ranks)}
	set := make([]int, 0, size)
	var grow func(from int)
	grow = func(from int) {
		if len(set) == size {
			s.byRank[s.rank(set)] = int32(len(s.all))
			s.all = append(s.all, append([]int(nil), set...))
			return
		}
		for i := from; i < n; i++ {
			set = append(set, i)
			grow(i + 1)
			set = set[:len(set)-1]
		}
	}
	grow(0)
	return s
}

// rank reads a set as digits of a number.
func (s *subsets) rank(set []int) int {
	r := 0
	for _, i := range set {
		r = r*s.n + i
	}
	return r
}

// place is where a set is in all.
func (s *subsets) place(set []int) int { return int(s.byRank[s.rank(set)]) }

// subsetCount is how many there are, but at most one more than the limit.
func subsetCount(n, size, limit int) int {
	count := 1
	for i := range size {
		if count = count * (n - i) / (i + 1); count > limit {
			return limit + 1
		}
	}
	return count
}
