package eval_test

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Every number type reads as the same number.
func TestValueOfNumbers(t *testing.T) {
	env := environment(t, ruleFlag(clause("n", opIn, 7)))
	for _, n := range []any{
		7, int8(7), int16(7), int32(7), int64(7), uint(7), uint8(7), uint16(7), uint32(7), uint64(7),
		float32(7), float64(7), eval.NumberValue(7), eval.ValueOf(7),
	} {
		if !matches(t, env, &eval.Context{Attributes: eval.Map{"n": n}}) {
			t.Errorf("%T does not read as a number", n)
		}
	}
}

func TestValueExists(t *testing.T) {
	for _, v := range []any{"", 0, false, time.Time{}, []any{}, []string(nil), map[string]any(nil), eval.Map(nil), list{}} {
		want := true
		if _, own := v.(list); own { // becomes a value by ListValue only
			want = false
		}
		if got := eval.ValueOf(v).Exists(); got != want {
			t.Errorf("%T exists: %v", v, got)
		}
	}
	for _, v := range []any{nil, struct{}{}, []int{1}, new(string), eval.Value{}} {
		if eval.ValueOf(v).Exists() {
			t.Errorf("%T exists", v)
		}
	}
	if !eval.ListValue(list{}).Exists() || !eval.TimeValue(time.Time{}).Exists() || !eval.BoolValue(false).Exists() {
		t.Error("a value does not exist")
	}
}

func TestAnyValue(t *testing.T) {
	for want, v := range map[any]eval.VariantValue{
		true:     {Type: boolean, Bool: true},
		"a":      {Type: text, String: "a"},
		int64(7): {Type: integer, Int: 7},
		1.5:      {Type: double, Double: 1.5},
		nil:      {},
	} {
		if got := v.Any(); got != want {
			t.Errorf("%v is %v", want, got)
		}
	}
}

func TestManyVariantsAreNotAllNamed(t *testing.T) {
	f := boolFlag("flag")
	for _, n := range names("v", 10) {
		f.Variants = append(f.Variants, variant(n.(string), true))
	}
	f.DefaultOutcome = serve("red")
	_, err := eval.Compile(f, 1)
	expectErrors(t, "many variants", err,
		`default_outcome.variant: "red" is not a variant of this flag; it has "off", "on", "v0", "v1", "v2", "v3", "v4", "v5" and 4 more`)
}

func TestUnmetPrerequisiteOfError(t *testing.T) {
	if got := environment(t).Evaluate("missing", nil).UnmetPrerequisite(); got != "" {
		t.Errorf("an unknown flag has the unmet prerequisite %q", got)
	}
}

// Patterns that repeat without an end are no more costly than their text.
func TestUnboundedRepetition(t *testing.T) {
	env := environment(t, ruleFlag(clause("s", opMatches, "^(ab){2,}$")))
	for s, want := range map[string]bool{"ab": false, "abab": true, "ababab": true, "ababa": false} {
		if matches(t, env, &eval.Context{Attributes: eval.Map{"s": s}}) != want {
			t.Errorf("%q", s)
		}
	}
	_, err := eval.Compile(ruleFlag(clause("s", opMatches, "(abcdefghij){900,}")), 1)
	expectErrors(t, "least number", err, "rules[0].clauses[0].values[0]: too costly")
}

func TestVersionsThatAreNone(t *testing.T) {
	for _, s := range []string{"", "v", "a", "1.", "1.a", "1.2.", "1.2.a", "1.2.3.4", "01.2.3", "1.2-rc", "1.2.3-", "1.2.3-a..b", "1.2.3-01", "1.2.3-a_b", "1.2.3+", "1.2.3+a..b", " 1.2.3", "vv1.2.3"} {
		_, err := eval.Compile(ruleFlag(clause("a", flagv1.Operator_OPERATOR_SEMVER_EQUALS, s)), 1)
		if err == nil {
			t.Errorf("%q is a version", s)
		}
	}
}
