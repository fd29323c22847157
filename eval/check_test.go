package eval_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func withPrerequisites(key string, prerequisites ...*flagv1.Prerequisite) *flagv1.Flag {
	f := boolFlag(key)
	f.Prerequisites = prerequisites
	return f
}

func inSegments(key string, segments ...any) *flagv1.Flag {
	f := ruleFlag(clause("plan", opExists), clause("", opInSegment, segments...))
	f.Key = key
	return f
}

// expectErrors compares 'field: part of the problem' with the errors, in order.
func expectErrors(t *testing.T, name string, err error, want ...string) {
	t.Helper()
	var got eval.Errors
	if err != nil && !errors.As(err, &got) {
		t.Errorf("%s: %v is not eval.Errors", name, err)
		return
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d errors, want %d: %v", name, len(got), len(want), err)
		return
	}
	for i, w := range want {
		field, part, _ := strings.Cut(w, ": ")
		if got[i].Field != field || !strings.Contains(got[i].Problem, part) {
			t.Errorf("%s: error %d is %q, want %q", name, i, got[i].Error(), w)
		}
	}
}

func TestCheck(t *testing.T) {
	sound := []any{
		boolFlag("leaf"), withPrerequisites("child", requires("leaf", "on")),
		withPrerequisites("grandchild", requires("child", "on", "off"), requires("leaf", "on")),
		segment("staff"), inSegments("member", "staff"),
	}
	for _, c := range []struct {
		name            string
		definitions     []any
		deletedFlags    []string
		deletedSegments []string
		flags, segments []string
		want            []string
	}{
		{name: "sound", definitions: sound},
		{name: "sound, some", definitions: sound, flags: []string{"leaf"}, segments: []string{"staff"}},
		{
			name: "unknown flag", definitions: []any{withPrerequisites("a", requires("leaf", "on"), requires("b", "on"))}, flags: []string{"a"},
			want: []string{`flags[a].prerequisites[0].flag_key: there is no flag "leaf"`, `flags[a].prerequisites[1].flag_key: no flag "b"`},
		},
		{
			name: "unknown variant", definitions: []any{boolFlag("leaf"), withPrerequisites("a", requires("leaf", "on", "red"))},
			want: []string{`flags[a].prerequisites[0].variants[1]: "red" is not a variant of the flag "leaf"; it has "on", "off"`},
		},
		{
			name: "deleted flag", definitions: sound, deletedFlags: []string{"leaf"}, flags: []string{"leaf"},
			want: []string{"flags[child].prerequisites[0].flag_key: no flag", "flags[grandchild].prerequisites[1].flag_key: no flag"},
		},
		{
			name: "deleted segment", definitions: sound, deletedSegments: []string{"staff"}, segments: []string{"staff"},
			want: []string{`flags[member].rules[0].clauses[1].values[0]: there is no segment "staff"`},
		},
		{
			name: "deleted segment, everything", definitions: sound, deletedSegments: []string{"staff"},
			want: []string{`flags[member].rules[0].clauses[1].values[0]: there is no segment "staff"`},
		},
		{
			name: "unknown segment", definitions: []any{segment("s"), inSegments("a", "s", "unknown")}, flags: []string{"a"},
			want: []string{`flags[a].rules[0].clauses[1].values[1]: no segment "unknown"`},
		},
		{
			name: "another flag's fault", definitions: append(sound, inSegments("broken", "unknown"), withPrerequisites("cracked", requires("leaf", "on"), requires("unknown", "on"))),
			flags: []string{"leaf"}, segments: []string{"staff"},
		},
		{
			name: "cycle of two", definitions: []any{withPrerequisites("a", requires("b", "on")), withPrerequisites("b", requires("a", "on"))},
			want: []string{"flags[a].prerequisites[0].flag_key: the prerequisites form a cycle: a -> b -> a"},
		},
		{
			name:        "cycle of three, as the flag given sees it",
			definitions: []any{withPrerequisites("a", requires("b", "on")), withPrerequisites("b", requires("c", "on")), withPrerequisites("c", requires("leaf", "on"), requires("a", "on")), boolFlag("leaf")},
			flags:       []string{"c"},
			want:        []string{"flags[c].prerequisites[1].flag_key: cycle: c -> a -> b -> c"},
		},
		{
			name:        "a cycle that the flag given is not on",
			definitions: []any{withPrerequisites("a", requires("b", "on")), withPrerequisites("b", requires("a", "on")), withPrerequisites("into", requires("a", "on"))},
			flags:       []string{"into"},
		},
		{
			name: "two cycles", definitions: []any{
				withPrerequisites("a", requires("b", "on"), requires("c", "on")),
				withPrerequisites("b", requires("a", "on")), withPrerequisites("c", requires("a", "on")),
			},
			want: []string{"flags[a].prerequisites[0].flag_key: a -> b -> a", "flags[a].prerequisites[1].flag_key: a -> c -> a"},
		},
		{
			name: "longest chain", definitions: chainOf(64),
		},
		{
			name: "too long a chain", definitions: chainOf(65),
			want: []string{"flags[link-65].prerequisites: the flag depends on more than 64 others"},
		},
		{
			name: "a chain made too long from below", definitions: chainOf(65), flags: []string{"link-0"},
			want: []string{"flags[link-65].prerequisites: the flag depends on more than 64 others"},
		},
	} {
		env := environment(t, c.definitions...).With(eval.Changes{DeletedFlags: c.deletedFlags, DeletedSegments: c.deletedSegments})
		expectErrors(t, c.name, env.Check(c.flags, c.segments), c.want...)
	}
}

func TestCheckOfLongCycle(t *testing.T) {
	definitions := chainOf(300)
	definitions[0] = withPrerequisites("link-0", requires("link-300", "on"))
	err := environment(t, definitions...).Check([]string{"link-0"}, nil)
	if err == nil || !strings.Contains(err.Error(), "link-0 -> link-300 -> link-299") || !strings.Contains(err.Error(), "link-1 -> link-0") {
		t.Errorf("the cycle is not named in full: %.200v", err)
	}
}

func TestDependants(t *testing.T) {
	var definitions []any
	var want []string
	for i := range 200 {
		key := "child-" + strconv.Itoa(i)
		definitions = append(definitions, withPrerequisites(key, requires("leaf", "on")))
		want = append(want, key)
	}
	slices.Sort(want)
	env := environment(t, definitions...)
	if got := env.Dependants("leaf"); !slices.Equal(got, want) {
		t.Errorf("dependants are %v", got)
	}
	env = env.With(eval.Changes{DeletedFlags: want[1:]})
	if got := env.Dependants("leaf"); !slices.Equal(got, want[:1]) {
		t.Errorf("dependants are %v", got)
	}
	env = env.With(changes(t, boolFlag(want[0])))
	if got := env.Dependants("leaf"); len(got) != 0 {
		t.Errorf("dependants are %v", got)
	}
}
