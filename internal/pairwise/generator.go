package pairwise

import (
	"math/rand/v2"
	"slices"
)

// generator makes rows, greedily: each row starts from a combination that is not covered
// yet, and takes for each further column the value that covers most.
type generator struct {
	columns  []int // parameters
	sizes    []int // of the columns
	strength int
	rules    *rules

	index    *subsets
	offsets  []int  // of each subset, the number of its first tuple
	excluded []bool // impossible tuples, by number
	left     int    // that are possible
}

// cost is about how many steps an attempt takes.
func (g *generator) cost() int {
	return candidates * len(g.excluded) * max(len(g.columns), 1) / 4
}

// candidates are the rows that are made for each that is kept.
const candidates = 5

// number of a combination: the values of a subset's columns.
func (g *generator) number(subset, values []int) int {
	n := 0
	for i, column := range subset {
		n = n*g.sizes[column] + values[i]
	}
	return g.offsets[g.index.place(subset)] + n
}

// eachTuple calls f with all values of some columns.
func (g *generator) eachTuple(subset []int, f func(values []int)) {
	values := make([]int, len(subset))
	for {
		f(values)
		i := len(values) - 1
		for ; i >= 0; i-- {
			if values[i]++; values[i] < g.sizes[subset[i]] {
				break
			}
			values[i] = 0
		}
		if i < 0 {
			return
		}
	}
}

// attempt makes an array.
func (g *generator) attempt(random *rand.Rand) [][]int {
	covered := slices.Clone(g.excluded)
	tuples := g.tuples(random)
	var rows [][]int
	for left := g.left; left > 0; {
		for covered[tuples[0].number] {
			tuples = tuples[1:]
		}
		var best []int
		most := 0
		for range candidates {
			row := g.row(random, covered, tuples[0])
			if n := g.gain(covered, row); n > most {
				best, most = row, n
			}
		}
		g.cover(covered, best)
		left -= most
		rows = append(rows, best)
	}
	rows = g.prune(rows)
	slices.SortFunc(rows, slices.Compare)
	return rows
}

// tuple is a combination, and its number.
type tuple struct {
	number         int
	subset, values []int
}

// tuples are all combinations that are possible, in random order.
func (g *generator) tuples(random *rand.Rand) []tuple {
	list := make([]tuple, 0, g.left)
	for _, subset := range g.index.all {
		g.eachTuple(subset, func(values []int) {
			if n := g.number(subset, values); !g.excluded[n] {
				list = append(list, tuple{n, subset, slices.Clone(values)})
			}
		})
	}
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// row makes one around a combination.
func (g *generator) row(random *rand.Rand, covered []bool, start tuple) []int {
	full := make([]int, len(g.rules.sizes))
	for i := range full {
		full[i] = unset
	}
	set := slices.Clone(start.subset)
	for i, column := range start.subset {
		full[g.columns[column]] = start.values[i]
	}
	for _, column := range random.Perm(len(g.columns)) {
		p := g.columns[column]
		if full[p] != unset {
			continue
		}
		best, most := unset, -1
		for _, v := range random.Perm(g.sizes[column]) {
			full[p] = v
			n := g.gainOf(covered, full, set, column)
			if n > most && g.rules.fits(full, p) && g.rules.complete(full) {
				best, most = v, n
			}
		}
		full[p] = best // there is one: the row could be completed before
		at, _ := slices.BinarySearch(set, column)
		set = slices.Insert(set, at, column)
	}
	row := make([]int, len(g.columns))
	for i, p := range g.columns {
		row[i] = full[p]
	}
	return row
}

// gainOf counts what a column adds: the combinations, not covered yet, of its value with
// those of the columns of the set.
func (g *generator) gainOf(covered []bool, full, set []int, column int) int {
	n := 0
	subset, values := make([]int, g.strength), make([]int, g.strength)
	g.eachSubset(set, g.strength-1, func(part []int) {
		at, _ := slices.BinarySearch(part, column)
		copy(subset, part[:at])
		subset[at] = column
		copy(subset[at+1:], part[at:])
		for i, c := range subset {
			values[i] = full[g.columns[c]]
		}
		if !covered[g.number(subset, values)] {
			n++
		}
	})
	return n
}

// eachSubset calls f with the subsets of a size of an ascending set.
func (g *generator) eachSubset(set []int, size int, f func(part []int)) {
	var part [MaxStrength]int
	var grow func(from, n int)
	grow = func(from, n int) {
		if n == size {
			f(part[:size])
			return
		}
		for i := from; i < len(set); i++ {
			part[n] = set[i]
			grow(i+1, n+1)
		}
	}
	grow(0, 0)
}

// each calls f with the numbers of all combinations of a row.
func (g *generator) each(row []int, f func(number int)) {
	for i, subset := range g.index.all {
		n := 0
		for _, column := range subset {
			n = n*g.sizes[column] + row[column]
		}
		f(g.offsets[i] + n)
	}
}

func (g *generator) gain(covered []bool, row []int) int {
	n := 0
	g.each(row, func(number int) {
		if !covered[number] {
			n++
		}
	})
	return n
}

func (g *generator) cover(covered []bool, row []int) {
	g.each(row, func(number int) { covered[number] = true })
}

// prune removes rows whose combinations are all in others.
func (g *generator) prune(rows [][]int) [][]int {
	times := make([]int, len(g.excluded))
	for _, row := range rows {
		g.each(row, func(number int) { times[number]++ })
	}
	return slices.DeleteFunc(rows, func(row []int) bool {
		needed := false
		g.each(row, func(number int) { needed = needed || times[number] == 1 })
		if !needed {
			g.each(row, func(number int) { times[number]-- })
		}
		return !needed
	})
}
