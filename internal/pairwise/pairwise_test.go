package pairwise_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/pairwise"
)

// parameters makes some with so many values each.
func parameters(sizes ...int) []pairwise.Parameter {
	list := make([]pairwise.Parameter, len(sizes))
	for i, size := range sizes {
		list[i].Name = fmt.Sprintf("p%d", i)
		for v := range size {
			list[i].Values = append(list[i].Values, fmt.Sprintf("v%d", v))
		}
	}
	return list
}

func repeated(size, n int) []int { return slices.Repeat([]int{size}, n) }

func generate(t *testing.T, m pairwise.Model) *pairwise.Array {
	t.Helper()
	a, err := pairwise.Generate(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// allRows are all rows that meet the requirements, hidden parameters included.
func allRows(m pairwise.Model) [][]int {
	rows := [][]int{{}}
	for _, p := range m.Parameters {
		var longer [][]int
		for _, row := range rows {
			for v := range p.Values {
				longer = append(longer, append(slices.Clone(row), v))
			}
		}
		rows = longer
	}
	return slices.DeleteFunc(rows, func(row []int) bool {
		return slices.ContainsFunc(m.Requirements, func(r pairwise.Requirement) bool {
			return slices.Contains(r.Values, row[r.Parameter]) && !slices.Contains(r.Needed, row[r.Other])
		})
	})
}

// combinations of a strength that are in rows, as text.
func combinations(rows [][]int, columns []int, strength int) map[string]bool {
	set := map[string]bool{}
	var visit func(row, chosen []int, from int)
	visit = func(row, chosen []int, from int) {
		if len(chosen) == strength {
			var b strings.Builder
			for _, i := range chosen {
				fmt.Fprintf(&b, "%d=%d ", columns[i], row[i])
			}
			set[b.String()] = true
			return
		}
		for i := from; i < len(row); i++ {
			visit(row, append(slices.Clip(chosen), i), i+1)
		}
	}
	for _, row := range rows {
		visit(row, nil, 0)
	}
	return set
}

func drawModel(t *rapid.T) pairwise.Model {
	sizes := rapid.SliceOfN(rapid.IntRange(1, 4), 1, 5).Draw(t, "sizes")
	m := pairwise.Model{
		Parameters: parameters(sizes...), Strength: rapid.IntRange(2, 3).Draw(t, "strength"),
		Seed: rapid.Uint64().Draw(t, "seed"),
	}
	for i := range m.Parameters[1:] {
		m.Parameters[i+1].Hidden = rapid.IntRange(0, 4).Draw(t, "hidden") == 0
	}
	if len(sizes) == 1 {
		return m
	}
	values := func(size int) []int {
		return rapid.SliceOfDistinct(rapid.IntRange(0, size-1), rapid.ID).Draw(t, "values")
	}
	for range rapid.IntRange(0, 5).Draw(t, "requirements") {
		of := rapid.SliceOfNDistinct(rapid.IntRange(0, len(sizes)-1), 2, 2, rapid.ID).Draw(t, "of")
		m.Requirements = append(m.Requirements, pairwise.Requirement{
			Parameter: of[0], Values: values(sizes[of[0]]), Other: of[1], Needed: values(sizes[of[1]]),
		})
	}
	return m
}

// Every combination that is possible is in a row, every row is possible, and what is said to
// be impossible is, and explains all that is left out.
func TestCovers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		possible := allRows(m)
		a, err := pairwise.Generate(m)
		if len(possible) == 0 {
			if !errors.Is(err, pairwise.ErrImpossible) {
				t.Fatalf("nothing is possible: got %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		shown := map[string]bool{}
		projected := make([][]int, len(possible))
		for i, row := range possible {
			for _, p := range a.Columns {
				projected[i] = append(projected[i], row[p])
			}
			shown[fmt.Sprint(projected[i])] = true
		}
		for _, row := range a.Rows {
			if !shown[fmt.Sprint(row)] {
				t.Fatalf("the row %v breaks a requirement", row)
			}
		}
		strength := min(m.Strength, len(a.Columns))
		want, got := combinations(projected, a.Columns, strength), combinations(a.Rows, a.Columns, strength)
		if len(want) != a.Covered || len(got) != len(want) {
			t.Fatalf("%d combinations are possible, %d are covered; it says %d", len(want), len(got), a.Covered)
		}
		checkImpossible(t, m, a, strength, want)
	})
}

func checkImpossible(t *rapid.T, m pairwise.Model, a *pairwise.Array, strength int, possible map[string]bool) {
	holds := func(row []int, part []pairwise.Assignment) bool {
		return !slices.ContainsFunc(part, func(s pairwise.Assignment) bool { return row[s.Parameter] != s.Value })
	}
	for _, part := range a.Impossible {
		if slices.ContainsFunc(allRows(m), func(row []int) bool { return holds(row, part) }) {
			t.Fatalf("%v is said to be impossible", part)
		}
		for _, other := range a.Impossible {
			if len(other) < len(part) && !slices.ContainsFunc(other, func(s pairwise.Assignment) bool { return !slices.Contains(part, s) }) {
				t.Fatalf("%v follows from %v", part, other)
			}
		}
	}
	free := m
	free.Requirements = nil
	for _, row := range allRows(free) {
		shown := []int{}
		for _, p := range a.Columns {
			shown = append(shown, row[p])
		}
		explained := slices.ContainsFunc(a.Impossible, func(part []pairwise.Assignment) bool { return holds(row, part) })
		for c := range combinations([][]int{shown}, a.Columns, strength) {
			if !possible[c] && !explained {
				t.Fatalf("%s is left out, and nothing says why", c)
			}
		}
	}
}

func TestSameSeedSameRows(t *testing.T) {
	t.Parallel()
	m := pairwise.Model{Parameters: parameters(3, 2, 4, 2, 3, 2), Seed: 7}
	first := generate(t, m)
	if again := generate(t, m); !slices.EqualFunc(first.Rows, again.Rows, slices.Equal) {
		t.Errorf("twice, and different:\n%v\n%v", first.Rows, again.Rows)
	}
	m.Seed = 8
	if other := generate(t, m); slices.EqualFunc(first.Rows, other.Rows, slices.Equal) {
		t.Errorf("the seed makes no difference: %v", first.Rows)
	}
}

// kleitmanSpencer is the smallest array of pairs of so many parameters of two values: the
// smallest n with (n-1 over n/2 rounded up) of at least as many. Kleitman and Spencer, and
// Katona, 1973.
func kleitmanSpencer(parameters int) int {
	for n := 2; ; n++ {
		choose := 1.0
		k := (n + 1) / 2
		for i := range k {
			choose = choose * float64(n-1-i) / float64(i+1)
		}
		if math.Round(choose) >= float64(parameters) {
			return n
		}
	}
}

// Arrays are nearly as small as they can be. What each may have is what it had when this was
// written: a change of the algorithm shall not make them larger unnoticed.
func TestSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		sizes    []int
		strength int
		// smallest: of two values and of pairs it is proven; of the others it is the product of
		// the largest sizes, below which there can be none.
		smallest, most int
	}{
		{"2^3", repeated(2, 3), 2, kleitmanSpencer(3), 4},
		{"2^4", repeated(2, 4), 2, kleitmanSpencer(4), 5},
		{"2^10", repeated(2, 10), 2, kleitmanSpencer(10), 7},
		{"2^30", repeated(2, 30), 2, kleitmanSpencer(30), 11},
		{"3^4", repeated(3, 4), 2, 9, 9},
		{"3^13", repeated(3, 13), 2, 9, 19},
		{"4^5", repeated(4, 5), 2, 16, 19},
		{"5*3*2*2", []int{5, 3, 2, 2}, 2, 15, 15},
		{"6*2^8", append(repeated(2, 8), 6), 2, 12, 13},
		{"2^4 of three", repeated(2, 4), 3, 8, 8},
		{"2^8 of three", repeated(2, 8), 3, 8, 12},
		{"one", []int{3}, 2, 3, 3},
		{"two", []int{3, 2}, 3, 6, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := len(generate(t, pairwise.Model{Parameters: parameters(c.sizes...), Strength: c.strength, Seed: 1}).Rows)
			if n < c.smallest || n > c.most {
				t.Errorf("%d rows; expected %d at best, and at most %d", n, c.smallest, c.most)
			}
			t.Logf("%d rows; none has less than %d", n, c.smallest)
		})
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	two := parameters(2, 2)
	hidden := parameters(2)
	hidden[0].Hidden = true
	for _, c := range []struct {
		m    pairwise.Model
		says string
	}{
		{pairwise.Model{}, "there are no parameters"},
		{pairwise.Model{Parameters: hidden}, "there are no parameters"},
		{pairwise.Model{Parameters: parameters(2, 0)}, `parameter "p1" has no values`},
		{pairwise.Model{Parameters: two, Strength: 1}, "strength 1: expected 2 or 3"},
		{pairwise.Model{Parameters: two, Strength: 4}, "strength 4: expected 2 or 3"},
		{pairwise.Model{Parameters: parameters(repeated(2, 1000)...)}, "more than 1000000 combinations of 2"},
		{pairwise.Model{Parameters: parameters(repeated(1, 3000)...), Strength: 3}, "more than 1000000 combinations of 3"},
		{pairwise.Model{Parameters: two, Requirements: []pairwise.Requirement{{Parameter: 0, Other: 0}}}, "requirement 1: expected two parameters"},
		{pairwise.Model{Parameters: two, Requirements: []pairwise.Requirement{{Parameter: 0, Other: 2}}}, "requirement 1: expected two parameters"},
		{pairwise.Model{Parameters: two, Requirements: []pairwise.Requirement{{Other: 1, Values: []int{2}}}}, "requirement 1: there is no value 2"},
		{pairwise.Model{Parameters: two, Requirements: []pairwise.Requirement{{Other: 1, Needed: []int{-1}}}}, "requirement 1: there is no value -1"},
	} {
		if _, err := pairwise.Generate(c.m); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want an error that says %q", err, c.says)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	for _, c := range []struct {
		name     string
		sizes    []int
		strength int
	}{{"2^20", repeated(2, 20), 2}, {"2^100", repeated(2, 100), 2}, {"3^30 of three", repeated(3, 30), 3}} {
		b.Run(c.name, func(b *testing.B) {
			var rows int
			for b.Loop() {
				a, err := pairwise.Generate(pairwise.Model{Parameters: parameters(c.sizes...), Strength: c.strength})
				if err != nil {
					b.Fatal(err)
				}
				rows = len(a.Rows)
			}
			b.ReportMetric(float64(rows), "rows")
		})
	}
}
