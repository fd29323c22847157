package eval_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

const (
	opIn             = flagv1.Operator_OPERATOR_IN
	opContains       = flagv1.Operator_OPERATOR_CONTAINS
	opStartsWith     = flagv1.Operator_OPERATOR_STARTS_WITH
	opEndsWith       = flagv1.Operator_OPERATOR_ENDS_WITH
	opMatches        = flagv1.Operator_OPERATOR_MATCHES
	opLess           = flagv1.Operator_OPERATOR_LESS_THAN
	opLessOrEqual    = flagv1.Operator_OPERATOR_LESS_THAN_OR_EQUAL
	opGreater        = flagv1.Operator_OPERATOR_GREATER_THAN
	opGreaterOrEqual = flagv1.Operator_OPERATOR_GREATER_THAN_OR_EQUAL
	opBefore         = flagv1.Operator_OPERATOR_BEFORE
	opAfter          = flagv1.Operator_OPERATOR_AFTER
	opVersion        = flagv1.Operator_OPERATOR_SEMVER_EQUALS
	opVersionLess    = flagv1.Operator_OPERATOR_SEMVER_LESS_THAN
	opVersionAtMost  = flagv1.Operator_OPERATOR_SEMVER_LESS_THAN_OR_EQUAL
	opVersionGreater = flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN
	opVersionAtLeast = flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN_OR_EQUAL
	opSameMajor      = flagv1.Operator_OPERATOR_SEMVER_SAME_MAJOR
	opSameMinor      = flagv1.Operator_OPERATOR_SEMVER_SAME_MINOR
	opInSegment      = flagv1.Operator_OPERATOR_IN_SEGMENT
	opExists         = flagv1.Operator_OPERATOR_EXISTS
)

// ruleFlag serves on to what matches all clauses, else off.
func ruleFlag(clauses ...*flagv1.Clause) *flagv1.Flag {
	f := boolFlag("flag")
	f.Rules = []*flagv1.Rule{{Id: "rule", Clauses: clauses, Outcome: serve("on")}}
	return f
}

func matches(t interface {
	Helper()
	Fatalf(string, ...any)
}, env *eval.Environment, ctx *eval.Context,
) bool {
	t.Helper()
	r := env.Evaluate("flag", ctx)
	switch {
	case r.Reason == eval.ReasonTargetingMatch && r.Rule == "rule" && r.Variant.Name == "on":
		return true
	case r.Reason == eval.ReasonDefault && r.Rule == "" && r.Variant.Name == "off":
		return false
	}
	t.Fatalf("unexpected result %+v", r)
	return false
}

// list is an implementation's own list.
type list []eval.Value

func (l list) Len() int            { return len(l) }
func (l list) At(i int) eval.Value { return l[i] }

func TestOperators(t *testing.T) {
	many := names("value-", 50)
	manyNumbers := []any{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11.5}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		operator  flagv1.Operator
		values    []any
		attribute any // nil: missing
		want      bool
	}{
		{opIn, []any{"a"}, "a", true},
		{opIn, []any{"a"}, "A", false},
		{opIn, []any{"a"}, "", false},
		{opIn, []any{""}, "", true},
		{opIn, []any{"a", "b"}, "b", true},
		{opIn, []any{"a"}, nil, false},
		{opIn, many, "value-49", true},
		{opIn, many, "value-50", false},
		{opIn, []any{1}, 1, true},
		{opIn, []any{1}, int64(1), true},
		{opIn, []any{1}, uint8(1), true},
		{opIn, []any{1}, float32(1), true},
		{opIn, []any{1}, "1", false},
		{opIn, []any{"1"}, 1, false},
		{opIn, []any{0}, math.Copysign(0, -1), true},
		{opIn, []any{1}, math.NaN(), false},
		{opIn, manyNumbers, 11.5, true},
		{opIn, manyNumbers, 10, true},
		{opIn, manyNumbers, 12, false},
		{opIn, []any{true}, true, true},
		{opIn, []any{true}, false, false},
		{opIn, []any{false}, false, true},
		{opIn, []any{false}, nil, false},
		{opIn, []any{1}, true, false},
		{opIn, []any{"a"}, true, false},
		{opIn, []any{"x", 7, true}, 7, true},
		{opIn, []any{"x", 7, true}, true, true},
		{opIn, append([]any{7, true}, many...), "value-3", true},
		{opIn, append([]any{7, true}, many...), 7, true},
		{opIn, []any{"2026-03-01T12:00:00Z"}, noon, false},
		{opIn, []any{"a"}, map[string]any{"a": "a"}, false},

		{opContains, []any{"ell"}, "hello", true},
		{opContains, []any{"x", "ell"}, "hello", true},
		{opContains, []any{"elo"}, "hello", false},
		{opContains, []any{"1"}, 1, false},
		{opContains, []any{"a"}, nil, false},
		{opStartsWith, []any{"x", "he"}, "hello", true},
		{opStartsWith, []any{"lo"}, "hello", false},
		{opStartsWith, []any{"he"}, true, false},
		{opEndsWith, []any{"x", "lo"}, "hello", true},
		{opEndsWith, []any{"he"}, "hello", false},
		{opEndsWith, []any{"hello and more"}, "hello", false},

		{opMatches, []any{"l+o"}, "hello", true},
		{opMatches, []any{"^l+o"}, "hello", false},
		{opMatches, []any{"^x", "^h"}, "hello", true},
		{opMatches, []any{"(?i)HELLO"}, "hello", true},
		{opMatches, []any{"1"}, 1, false},

		{opLess, []any{2}, 1, true},
		{opLess, []any{2}, 2, false},
		{opLessOrEqual, []any{2}, 2, true},
		{opLessOrEqual, []any{2}, 2.5, false},
		{opGreater, []any{2}, 2.5, true},
		{opGreater, []any{2}, 2, false},
		{opGreaterOrEqual, []any{2}, 2, true},
		{opGreaterOrEqual, []any{2}, 1, false},
		{opLess, []any{2}, "1", false},
		{opLess, []any{2}, math.NaN(), false},
		{opGreaterOrEqual, []any{2}, math.NaN(), false},
		{opGreater, []any{2}, math.Inf(1), true},
		{opLess, []any{2}, nil, false},
		{opLess, []any{2}, true, false},
		{opLess, []any{2}, noon, false},

		{opBefore, []any{"2026-03-01T12:00:00Z"}, "2026-03-01T11:59:59.999Z", true},
		{opBefore, []any{"2026-03-01T12:00:00Z"}, "2026-03-01T12:00:00Z", false},
		{opBefore, []any{"2026-03-01T12:00:00Z"}, "2026-03-01T13:00:00+02:00", true},
		{opAfter, []any{"2026-03-01T12:00:00Z"}, "2026-03-01t12:00:00.000000001z", true},
		{opAfter, []any{"2026-03-01T12:00:00Z"}, "2026-03-01T12:00:00Z", false},
		{opAfter, []any{"2026-03-01T12:00:00Z"}, noon, false},
		{opAfter, []any{"2026-03-01T12:00:00Z"}, noon.Add(1), true},
		{opBefore, []any{"2026-03-01T12:00:00Z"}, noon.Add(-1).In(time.FixedZone("", 3600)), true},
		{opBefore, []any{1772366400}, 1772366399.5, true},
		{opBefore, []any{1772366400}, noon, false},
		{opAfter, []any{1772366400}, noon.Add(1), true},
		{opAfter, []any{-0.5}, -0.25, true},
		{opAfter, []any{-0.5}, -0.75, false},
		{opBefore, []any{1772366400}, "yesterday", false},
		{opBefore, []any{1772366400}, "2026-02-30T00:00:00Z", false},
		{opBefore, []any{1772366400}, math.Inf(-1), false},
		{opBefore, []any{1772366400}, math.NaN(), false},
		{opBefore, []any{1772366400}, true, false},
		{opBefore, []any{1772366400}, nil, false},

		{opVersion, []any{"1.2.0"}, "v1.2", true},
		{opVersion, []any{"1.2.0+build"}, "1.2.0+other", true},
		{opVersion, []any{"2.0.0", "1.2.0"}, "1.2.0", true},
		{opVersion, []any{"1.2.0"}, "1.2.0-rc.1", false},
		{opVersionLess, []any{"1.2.0"}, "1.2.0-rc.1", true},
		{opVersionLess, []any{"1.10.0"}, "1.9.0", true},
		{opVersionLess, []any{"1.2.0"}, "1.2.0", false},
		{opVersionAtMost, []any{"1.2.0"}, "1.2.0", true},
		{opVersionAtMost, []any{"1.2.0"}, "1.2.1", false},
		{opVersionGreater, []any{"1.2.0"}, "1.2.1", true},
		{opVersionGreater, []any{"1.2.0-rc.2"}, "1.2.0-rc.10", true},
		{opVersionGreater, []any{"1.2.0"}, "1.2.0", false},
		{opVersionAtLeast, []any{"1.2.0"}, "1.2.0", true},
		{opVersionAtLeast, []any{"1.2.0"}, "1.1.9", false},
		{opSameMajor, []any{"1.2.0"}, "V1.9", true},
		{opSameMajor, []any{"1.2.0"}, "2.2.0", false},
		{opSameMinor, []any{"1.2.0"}, "1.2.9", true},
		{opSameMinor, []any{"1.2.0"}, "1.3.0", false},
		{opSameMinor, []any{"1.2.0"}, "2.2.0", false},
		{opVersionAtLeast, []any{"1.2.0"}, "latest", false},
		{opVersionAtLeast, []any{"1.2.0"}, 2, false},
		{opVersionAtLeast, []any{"1.2.0"}, nil, false},

		{opExists, nil, "", true},
		{opExists, nil, false, true},
		{opExists, nil, 0, true},
		{opExists, nil, noon, true},
		{opExists, nil, []any{}, true},
		{opExists, nil, map[string]any{}, true},
		{opExists, nil, nil, false},
		{opExists, nil, struct{}{}, false}, // of a type that is not known

		{opIn, []any{"a"}, []string{"x", "a"}, true},
		{opIn, []any{"a"}, []any{"x", "a"}, true},
		{opIn, []any{1}, []any{"x", 1}, true},
		{opIn, []any{true}, []any{nil, true}, true},
		{opIn, []any{"a"}, []any{}, false},
		{opIn, []any{"a"}, []any{[]any{"a"}}, false},
		{opIn, []any{"a"}, []any{map[string]any{"a": "a"}}, false},
		{opIn, []any{"a"}, eval.ListValue(list{eval.BoolValue(true), eval.StringValue("a")}), true},
		{opIn, []any{"a"}, eval.ListValue(list{eval.NumberValue(1)}), false},
		{opIn, []any{"a"}, eval.ListValue(nil), false},
		{opLess, []any{2}, []any{5, 1}, true},
		{opAfter, []any{1772366400}, []any{0, noon.Add(1)}, true},
		{opVersionAtLeast, []any{"2.0.0"}, []string{"1.0.0", "2.0.0"}, true},
		{opMatches, []any{"^b"}, []string{"a", "b"}, true},
		{opEndsWith, []any{"z"}, []string{"a", "b"}, false},
	} {
		for _, negate := range []bool{false, true} {
			def := clause("attribute", c.operator, c.values...)
			def.Negate = negate
			ctx := &eval.Context{TargetingKey: "key", Attributes: eval.Map{"attribute": c.attribute, "other": "a"}}
			if got := matches(t, environment(t, ruleFlag(def)), ctx); got != (c.want != negate) {
				t.Errorf("%v (%T) %s %v, negated %v: %v", c.attribute, c.attribute, c.operator, c.values, negate, got)
			}
		}
	}
}

// A clause means the same over any kind of attributes.
func TestOperatorsOverStruct(t *testing.T) {
	s, err := structpb.NewStruct(map[string]any{
		"string": "a", "number": 1, "bool": true, "null": nil, "list": []any{"x", 2, false},
		"object": map[string]any{"inner": map[string]any{"string": "b", "list": []any{"c"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Fields["empty"] = &structpb.Value{}
	s.Fields["none"] = nil
	for _, c := range []struct {
		clause *flagv1.Clause
		want   bool
	}{
		{clause("string", opIn, "a"), true},
		{clause("number", opIn, 1), true},
		{clause("bool", opIn, true), true},
		{clause("list", opIn, 2), true},
		{clause("list", opIn, "x"), true},
		{clause("list", opIn, "a"), false},
		{clause("null", opExists), false},
		{clause("empty", opExists), false},
		{clause("none", opExists), false},
		{clause("list", opExists), true},
		{clause("object", opExists), true},
		{clause("object.inner.string", opIn, "b"), true},
		{clause("object.inner.list", opIn, "c"), true},
		{clause("object.inner.missing", opExists), false},
		{clause("object.missing.string", opExists), false},
		{clause("string.inner", opExists), false},
		{clause("list.inner", opExists), false},
	} {
		ctx := &eval.Context{Attributes: eval.StructAttributes(s)}
		if got := matches(t, environment(t, ruleFlag(c.clause)), ctx); got != c.want {
			t.Errorf("%v: %v", c.clause, got)
		}
	}
	if matches(t, environment(t, ruleFlag(clause("a", opExists))), &eval.Context{Attributes: eval.StructAttributes(nil)}) {
		t.Error("a nil Struct has an attribute")
	}
}

func TestAttributePaths(t *testing.T) {
	inner := eval.ObjectValue(eval.Map{"leaf": "x"})
	for _, c := range []struct {
		path       string
		attributes eval.Attributes
		want       bool
	}{
		{"a", eval.Map{"a": "x"}, true},
		{"a.b", eval.Map{"a": map[string]any{"b": "x"}}, true},
		{"a.b", eval.Map{"a": eval.Map{"b": "x"}}, true},
		{"a.b.c", eval.Map{"a": eval.Map{"b": map[string]any{"c": "x"}}}, true},
		{"a.leaf", eval.Map{"a": inner}, true},
		{"a.b", eval.Map{"a.b": "x"}, false}, // dots lead into objects, always
		{"a.b", eval.Map{"a": "x"}, false},
		{"a.b", eval.Map{"a": []any{map[string]any{"b": "x"}}}, false},
		{"a.b", eval.Map{"a": eval.ObjectValue(nil)}, false},
		{"a", nil, false},
		{"targetingKey", nil, true},
		{"targetingKey", eval.Map{"targetingKey": "y"}, true}, // the attribute is ignored
		{"a.targetingKey", eval.Map{"a": eval.Map{"targetingKey": "x"}}, true},
	} {
		ctx := &eval.Context{TargetingKey: "x", Attributes: c.attributes}
		if got := matches(t, environment(t, ruleFlag(clause(c.path, opIn, "x"))), ctx); got != c.want {
			t.Errorf("%s of %v: %v", c.path, c.attributes, got)
		}
	}
	if matches(t, environment(t, ruleFlag(clause("targetingKey", opExists))), &eval.Context{}) {
		t.Error("an empty targeting key exists")
	}
}

// Attributes that several clauses test are looked up once, up to 8 of them; the answers
// are the same for more.
func TestManyClausesOverFewAttributes(t *testing.T) {
	attributes := eval.Map{}
	var clauses []*flagv1.Clause
	for i := range 24 {
		name := fmt.Sprint("attribute-", i%12)
		attributes[name] = i % 12
		clauses = append(clauses, clause(name, opIn, i%12))
	}
	counted := &counting{Map: attributes, lookups: map[string]int{}}
	if !matches(t, environment(t, ruleFlag(clauses...)), &eval.Context{Attributes: counted}) {
		t.Error("no match")
	}
	for i := range 12 {
		want := 1
		if i >= 8 {
			want = 2
		}
		if name := fmt.Sprint("attribute-", i); counted.lookups[name] != want {
			t.Errorf("%s was looked up %d times", name, counted.lookups[name])
		}
	}
}

type counting struct {
	eval.Map
	lookups map[string]int
}

func (c *counting) Attribute(name string) eval.Value {
	c.lookups[name]++
	return c.Map.Attribute(name)
}
