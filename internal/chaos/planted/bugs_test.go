package main

import (
	"slices"
	"testing"

	"github.com/tidegate/tidegate/internal/fault"
)

// TestBugs: each bug has its scenario, and there is no other.
func TestBugs(t *testing.T) {
	var names []string
	for _, b := range bugs {
		names = append(names, b.name)
	}
	slices.Sort(names)
	if !slices.Equal(names, fault.Bugs) {
		t.Errorf("there are scenarios for %q; the bugs are %q", names, fault.Bugs)
	}
}
