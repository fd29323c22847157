package pairwise

import (
	"fmt"
	"slices"
)

// rules tell which values fit together.
type rules struct {
	sizes []int
	// of each parameter, the requirements that bind it, from either side.
	of [][]*rule
}

// rule is a requirement, with what it needs as a table.
type rule struct {
	parameter, other int
	// bound: values that need something; needed: what they need.
	bound, needed []bool
}

func newRules(m Model) (*rules, error) {
	r := &rules{of: make([][]*rule, len(m.Parameters))}
	for _, p := range m.Parameters {
		r.sizes = append(r.sizes, len(p.Values))
	}
	for i, q := range m.Requirements {
		at := fmt.Sprintf("requirement %d", i+1)
		if q.Parameter < 0 || q.Parameter >= len(r.sizes) || q.Other < 0 || q.Other >= len(r.sizes) || q.Parameter == q.Other {
			return nil, fmt.Errorf("%s: expected two parameters of %d, got %d and %d", at, len(r.sizes), q.Parameter, q.Other)
		}
		bound, err := table(at, q.Values, r.sizes[q.Parameter])
		if err != nil {
			return nil, err
		}
		needed, err := table(at, q.Needed, r.sizes[q.Other])
		if err != nil {
			return nil, err
		}
		one := &rule{parameter: q.Parameter, other: q.Other, bound: bound, needed: needed}
		r.of[q.Parameter] = append(r.of[q.Parameter], one)
		r.of[q.Other] = append(r.of[q.Other], one)
	}
	return r, nil
}

func table(at string, values []int, size int) ([]bool, error) {
	t := make([]bool, size)
	for _, v := range values {
		if v < 0 || v >= size {
			return nil, fmt.Errorf("%s: there is no value %d", at, v)
		}
		t[v] = true
	}
	return t, nil
}

// none says that nothing is required.
func (r *rules) none() bool {
	return !slices.ContainsFunc(r.of, func(of []*rule) bool { return len(of) > 0 })
}

// unset is the value of a parameter that has none yet.
const unset = -1

// possible says whether there is a row with these values.
func (r *rules) possible(tuple []Assignment) bool {
	row := make([]int, len(r.sizes))
	for i := range row {
		row[i] = unset
	}
	for _, a := range tuple {
		row[a.Parameter] = a.Value
	}
	for _, a := range tuple {
		if !r.fits(row, a.Parameter) {
			return false
		}
	}
	return r.complete(row)
}

// fits says whether a parameter's value agrees with those that have one.
func (r *rules) fits(row []int, parameter int) bool {
	for _, q := range r.of[parameter] {
		v, other := row[q.parameter], row[q.other]
		if v != unset && other != unset && q.bound[v] && !q.needed[other] {
			return false
		}
	}
	return true
}

// complete says whether the parameters that are bound to those with a value, and those that
// are bound to them in turn, can have values that agree. Nothing is asked of others: they
// agree among themselves whatever these are. It leaves the row as it was.
func (r *rules) complete(row []int) bool {
	return r.solve(row, r.reached(row))
}

// reached lists what has no value and is bound, over any number of steps, to what has; all
// that is bound at all, if nothing has a value.
func (r *rules) reached(row []int) []int {
	var queue, open []int
	seen := make([]bool, len(row))
	none := !slices.ContainsFunc(row, func(v int) bool { return v != unset })
	for p, v := range row {
		if v != unset || none && len(r.of[p]) > 0 {
			seen[p] = true
			queue = append(queue, p)
		}
	}
	for i := 0; i < len(queue); i++ {
		p := queue[i]
		if row[p] == unset {
			open = append(open, p)
		}
		for _, q := range r.of[p] {
			for _, next := range []int{q.parameter, q.other} {
				if !seen[next] {
					seen[next] = true
					queue = append(queue, next)
				}
			}
		}
	}
	return open
}

// solve finds values for the open parameters, the one with the fewest choices first.
func (r *rules) solve(row, open []int) bool {
	if len(open) == 0 {
		return true
	}
	best, fewest := 0, -1
	for i, p := range open {
		if n := r.choices(row, p); fewest < 0 || n < fewest {
			best, fewest = i, n
		}
	}
	if fewest == 0 {
		return false
	}
	p := open[best]
	rest := slices.Delete(slices.Clone(open), best, best+1)
	defer func() { row[p] = unset }()
	for v := range r.sizes[p] {
		row[p] = v
		if r.fits(row, p) && r.solve(row, rest) {
			return true
		}
	}
	return false
}

// choices counts the values that a parameter may have.
func (r *rules) choices(row []int, p int) int {
	n := 0
	for row[p] = range r.sizes[p] {
		if r.fits(row, p) {
			n++
		}
	}
	row[p] = unset
	return n
}
