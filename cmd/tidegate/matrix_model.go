package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/pairwise"
)

// matrix is combinations of flags' variants; a variant that is null is the caller's default.
type matrix struct {
	Flags        []string             `json:"flags"`
	Strength     int                  `json:"strength"`
	Seed         uint64               `json:"seed"`
	Combinations []map[string]*string `json:"combinations"`
	// Covered is how many pairs (or triples) there are.
	Covered int `json:"covered"`
	// Impossible pairs, and single variants, in no combination.
	Impossible []map[string]*string `json:"impossible"`
	// Requirements say why, in words.
	Requirements []string `json:"requirements"`

	// The same, in the order of Flags.
	rows       [][]*string
	impossible [][]matrixVariant
}

type matrixVariant struct {
	flag    string
	variant *string
}

// matrixModel turns flags and their prerequisites into parameters and requirements.
type matrixModel struct {
	pairwise.Model
	flags  map[string]*flagv1.Flag
	index  map[string]int
	values [][]*string
	words  []string
}

// newMatrix makes the matrix of some of the flags.
func newMatrix(flags []*flagv1.Flag, keys []string, strength int, seed uint64) (*matrix, error) {
	m := &matrixModel{flags: map[string]*flagv1.Flag{}, index: map[string]int{}}
	for _, f := range flags {
		m.flags[f.GetKey()] = f
	}
	missing := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return m.flags[key] != nil })
	if len(missing) > 0 {
		return nil, fmt.Errorf("no such flag: %s", strings.Join(missing, ", "))
	}
	for _, key := range keys {
		m.add(m.flags[key], false)
	}
	for i := 0; i < len(m.Parameters); i++ { // it grows
		m.require(m.flags[m.Parameters[i].Name])
	}
	m.Strength, m.Seed = strength, seed
	array, err := pairwise.Generate(m.Model)
	switch {
	case errors.Is(err, pairwise.ErrImpossible):
		return nil, fmt.Errorf("no combination is possible: %s", strings.Join(m.words, "; "))
	case err != nil:
		return nil, err
	}
	return m.matrix(array), nil
}

// add makes a parameter of a flag, if it is none yet.
func (m *matrixModel) add(f *flagv1.Flag, hidden bool) int {
	if i, ok := m.index[f.GetKey()]; ok {
		return i
	}
	p := pairwise.Parameter{Name: f.GetKey(), Hidden: hidden}
	var values []*string
	for _, v := range f.GetVariants() {
		name := v.GetName()
		p.Values, values = append(p.Values, name), append(values, &name)
	}
	if len(f.GetPrerequisites()) > 0 && f.GetOffVariant() == "" {
		p.Values, values = append(p.Values, ""), append(values, nil)
	}
	i := len(m.Parameters)
	m.index[f.GetKey()] = i
	m.Parameters, m.values = append(m.Parameters, p), append(m.values, values)
	return i
}

// require adds what a flag's prerequisites ask: all but what it serves without them needs
// each to serve one of its variants.
func (m *matrixModel) require(f *flagv1.Flag) {
	at := m.index[f.GetKey()]
	var bound []int
	for i, v := range m.values[at] {
		if v != nil && *v != f.GetOffVariant() {
			bound = append(bound, i)
		}
	}
	for _, p := range f.GetPrerequisites() {
		otherwise := "its off variant"
		if f.GetOffVariant() == "" {
			otherwise = "the caller's default"
		}
		m.words = append(m.words, fmt.Sprintf("%s serves %s unless %s serves %s",
			f.GetKey(), otherwise, p.GetFlagKey(), alternatives(p.GetVariants())))
		other := m.flags[p.GetFlagKey()]
		if other == nil { // it never holds
			other = &flagv1.Flag{Key: p.GetFlagKey(), Variants: []*flagv1.Variant{{}}}
			m.flags[other.GetKey()] = other
		}
		i := m.add(other, true)
		var needed []int
		for v, name := range m.values[i] {
			if name != nil && slices.Contains(p.GetVariants(), *name) {
				needed = append(needed, v)
			}
		}
		m.Requirements = append(m.Requirements, pairwise.Requirement{Parameter: at, Values: bound, Other: i, Needed: needed})
	}
}

// matrix turns indexes into variants.
func (m *matrixModel) matrix(a *pairwise.Array) *matrix {
	x := &matrix{
		Strength: m.Strength, Seed: m.Seed, Covered: a.Covered,
		Combinations: []map[string]*string{}, Impossible: []map[string]*string{}, Requirements: []string{},
	}
	for _, p := range a.Columns {
		x.Flags = append(x.Flags, m.Parameters[p].Name)
	}
	for _, row := range a.Rows {
		named, variants := map[string]*string{}, make([]*string, len(row))
		for i, v := range row {
			variants[i] = m.values[a.Columns[i]][v]
			named[x.Flags[i]] = variants[i]
		}
		x.rows, x.Combinations = append(x.rows, variants), append(x.Combinations, named)
	}
	for _, combination := range a.Impossible {
		named := map[string]*string{}
		var variants []matrixVariant
		for _, s := range combination {
			v := matrixVariant{m.Parameters[s.Parameter].Name, m.values[s.Parameter][s.Value]}
			variants = append(variants, v)
			named[v.flag] = v.variant
		}
		x.impossible, x.Impossible = append(x.impossible, variants), append(x.Impossible, named)
	}
	if len(a.Impossible) > 0 {
		x.Requirements = m.words
	}
	return x
}
