package main

import (
	"strings"
	"testing"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// A prerequisite that is nowhere never holds, and what contradicts itself is said to.
func TestMatrixOfUnmeetablePrerequisites(t *testing.T) {
	t.Parallel()
	f := &flagv1.Flag{
		Key: "a", Variants: []*flagv1.Variant{{Name: "on"}, {Name: "off"}}, OffVariant: "off",
		Prerequisites: []*flagv1.Prerequisite{{FlagKey: "nowhere", Variants: []string{"on"}}},
	}
	m, err := newMatrix([]*flagv1.Flag{f}, []string{"a"}, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.rows) != 1 || *m.rows[0][0] != "off" || len(m.Impossible) != 1 || *m.Impossible[0]["a"] != "on" {
		t.Errorf("got %+v", m)
	}
	if want := "a serves its off variant unless nowhere serves on"; strings.Join(m.Requirements, "\n") != want {
		t.Errorf("the reason is %q, want %q", m.Requirements, want)
	}
}
