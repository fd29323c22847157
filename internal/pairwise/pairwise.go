// Package pairwise makes covering arrays: few rows, in which every combination of values of
// any two parameters (or any three) occurs at least once. Most faults that depend on
// parameters depend on one or two of them, so these rows find what all combinations would,
// at a fraction of the runs.
//
// Requirements make some combinations impossible: these are in no row, and the result names
// them. The same model gives the same rows, on every machine.
package pairwise

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// MaxTuples is how many combinations a model may ask for: a few seconds of work.
const MaxTuples = 1_000_000

// The strengths there are: combinations of two and of three parameters.
const (
	MinStrength = 2
	MaxStrength = 3
)

// Parameter is something that takes one of its values in each row.
type Parameter struct {
	Name   string
	Values []string
	// Hidden parameters only carry requirements: they are not covered, and not in the rows,
	// but must have a value all the same.
	Hidden bool
}

// Requirement says that where a parameter has one of the values, another has one of those needed.
// Parameters and values are indexes.
type Requirement struct {
	Parameter int
	Values    []int
	Other     int
	Needed    []int
}

// Model is what a covering array is made for.
type Model struct {
	Parameters   []Parameter
	Requirements []Requirement
	// Strength is how many parameters a combination has; 0: two. With fewer parameters than
	// that, all their combinations are covered.
	Strength int
	// Seed chooses among arrays that are as good.
	Seed uint64
}

// Assignment is one value of one parameter, as indexes.
type Assignment struct{ Parameter, Value int }

// Array is a covering array.
type Array struct {
	// Columns are the parameters of the rows' elements: all that are not hidden, in order.
	Columns []int
	// Rows hold indexes of values.
	Rows [][]int
	// Covered is how many combinations there are in the rows; each is in at least one.
	Covered int
	// Impossible are the smallest combinations that the requirements rule out, in order; those
	// that contain one of them are left out, too.
	Impossible [][]Assignment
}

// ErrImpossible says that the requirements leave no row at all.
var ErrImpossible = errors.New("the requirements contradict each other: no combination is possible")

// Generate makes an array.
func Generate(m Model) (*Array, error) {
	g, err := newGenerator(m)
	if err != nil {
		return nil, err
	}
	if !g.rules.possible(nil) {
		return nil, ErrImpossible
	}
	a := &Array{Columns: g.columns, Impossible: g.exclude()}
	a.Covered = g.left
	// The array of one attempt is good; the best of some is better. How many depends on the
	// size of the model alone.
	const work = 20_000_000
	attempts := min(max(work/max(g.cost(), 1), 1), 50)
	for i := range attempts {
		random := rand.New(rand.NewPCG(m.Seed, uint64(i))) //nolint:gosec // repeatable, not secret
		if rows := g.attempt(random); i == 0 || len(rows) < len(a.Rows) {
			a.Rows = rows
		}
	}
	return a, nil
}

func newGenerator(m Model) (*generator, error) {
	g := &generator{strength: m.Strength}
	if g.strength == 0 {
		g.strength = MinStrength
	}
	if g.strength < MinStrength || g.strength > MaxStrength {
		return nil, fmt.Errorf("strength %d: expected %d or %d", m.Strength, MinStrength, MaxStrength)
	}
	for i, p := range m.Parameters {
		if len(p.Values) == 0 {
			return nil, fmt.Errorf("parameter %q has no values", p.Name)
		}
		if !p.Hidden {
			g.columns = append(g.columns, i)
			g.sizes = append(g.sizes, len(p.Values))
		}
	}
	if len(g.columns) == 0 {
		return nil, errors.New("there are no parameters")
	}
	g.strength = min(g.strength, len(g.columns))
	var err error
	if g.rules, err = newRules(m); err != nil {
		return nil, err
	}
	if err := g.layOut(); err != nil {
		return nil, err
	}
	return g, nil
}

// layOut gives every combination its number.
func (g *generator) layOut() error {
	tooMany := fmt.Errorf("there are more than %d combinations of %d: name fewer parameters, or a lower strength", MaxTuples, g.strength)
	if subsetCount(len(g.columns), g.strength, MaxTuples) > MaxTuples {
		return tooMany
	}
	g.index = newSubsets(len(g.columns), g.strength)
	total := 0
	for _, subset := range g.index.all {
		g.offsets = append(g.offsets, total)
		product := 1
		for _, column := range subset {
			product *= g.sizes[column]
		}
		if total += product; total > MaxTuples {
			return tooMany
		}
	}
	g.excluded = make([]bool, total)
	g.left = total
	return nil
}

// exclude marks the combinations that are impossible, and returns the smallest of them.
func (g *generator) exclude() [][]Assignment {
	if g.rules.none() {
		return nil
	}
	var smallest [][]Assignment
	for size := 1; size <= g.strength; size++ {
		for _, subset := range newSubsets(len(g.columns), size).all {
			g.eachTuple(subset, func(values []int) {
				tuple := make([]Assignment, size)
				for i, column := range subset {
					tuple[i] = Assignment{g.columns[column], values[i]}
				}
				known := slices.ContainsFunc(smallest, func(part []Assignment) bool { return contains(tuple, part) })
				if !known && g.rules.possible(tuple) {
					return
				}
				if !known {
					smallest = append(smallest, tuple)
				}
				if size == g.strength {
					g.excluded[g.number(subset, values)] = true
					g.left--
				}
			})
		}
	}
	return smallest
}

func contains(whole, part []Assignment) bool {
	for _, a := range part {
		if !slices.Contains(whole, a) {
			return false
		}
	}
	return true
}
