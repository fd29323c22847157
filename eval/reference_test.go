package eval_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/semver"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Random clauses over random attributes, against a reference that takes flag.proto's
// comments literally.
func TestClausesAgreeWithReference(t *testing.T) {
	operators := []flagv1.Operator{
		opIn, opContains, opStartsWith, opEndsWith, opMatches, opLess, opLessOrEqual, opGreater, opGreaterOrEqual,
		opBefore, opAfter, opVersion, opVersionLess, opVersionAtMost, opVersionGreater, opVersionAtLeast,
		opSameMajor, opSameMinor, opExists,
	}
	rapid.Check(t, func(t *rapid.T) {
		attributes := drawObject(t, 2)
		s, err := structpb.NewStruct(attributes)
		if err != nil {
			t.Fatal(err)
		}
		contexts := []*eval.Context{
			{TargetingKey: "aa", Attributes: eval.Map(attributes)},
			{TargetingKey: "aa", Attributes: eval.StructAttributes(s)},
		}
		var defs []*flagv1.Clause
		want := true
		for range rapid.IntRange(1, 4).Draw(t, "clauses") {
			def := &flagv1.Clause{
				Attribute: rapid.SampledFrom([]string{"a", "b", "c", "a.b", "b.a", "a.a.a", "targetingKey"}).Draw(t, "attribute"),
				Operator:  rapid.SampledFrom(operators).Draw(t, "operator"),
				Negate:    rapid.Bool().Draw(t, "negate"),
			}
			for _, v := range drawOperands(t, def.Operator) {
				def.Values = append(def.Values, value(v))
			}
			defs = append(defs, def)
			want = want && referenceMatch(def, attributes, "aa")
		}
		f, err := eval.Compile(ruleFlag(defs...), 1)
		if err != nil {
			t.Fatal(err)
		}
		var none *eval.Environment
		env := none.With(eval.Changes{Flags: []*eval.Flag{f}})
		for _, ctx := range contexts {
			if got := matches(t, env, ctx); got != want {
				t.Fatalf("%v over %v: %v", defs, attributes, got)
			}
		}
	})
}

var (
	someStrings = []any{"", "a", "b", "aa", "ab", "ba", "abc", "A", "1", "true"}
	someNumbers = []any{0.0, 1.0, 1.5, -1.0, 2.0, 1772366400.0, 1772366400.25}
	someDates   = []any{"2026-03-01T12:00:00Z", "2026-03-01T13:00:00+01:00", "2026-03-01T12:00:00.25Z", "1970-01-01T00:00:01Z"}
	someTexts   = []any{"1.0.0", "v1.0.0", "1.0.0-rc.1", "1", "1.1", "2.0.0+b", "1.1.0"}
)

func drawScalar(t *rapid.T) any {
	all := slices.Concat(someStrings, someNumbers, someDates, someTexts, []any{true, false, nil})
	return rapid.SampledFrom(all).Draw(t, "scalar")
}

func drawValue(t *rapid.T, depth int) any {
	switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
	case kind == 0 && depth > 0:
		return drawObject(t, depth-1)
	case kind <= 2 && depth > 0:
		var l []any
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			l = append(l, drawValue(t, depth-1))
		}
		return l
	}
	return drawScalar(t)
}

func drawObject(t *rapid.T, depth int) map[string]any {
	o := map[string]any{}
	for _, name := range []string{"a", "b", "c"} {
		if rapid.IntRange(0, 3).Draw(t, "present") > 0 {
			o[name] = drawValue(t, depth)
		}
	}
	return o
}

func drawOperands(t *rapid.T, o flagv1.Operator) []any {
	from := func(least, most int, values ...[]any) []any {
		return rapid.SliceOfN(rapid.SampledFrom(slices.Concat(values...)), least, most).Draw(t, "values")
	}
	switch o {
	case opExists:
		return nil
	case opIn:
		return from(1, 30, someStrings, someNumbers, []any{true, false})
	case opContains, opStartsWith, opEndsWith:
		return from(1, 3, someStrings[1:])
	case opMatches:
		return from(1, 2, []any{"^a", "b$", "a.c", "[0-9]", "^$"})
	case opLess, opLessOrEqual, opGreater, opGreaterOrEqual:
		return from(1, 1, someNumbers)
	case opBefore, opAfter:
		return from(1, 1, someNumbers, someDates)
	case opVersion:
		return from(1, 3, someTexts)
	}
	return from(1, 1, someTexts)
}

func referenceMatch(c *flagv1.Clause, attributes map[string]any, key string) bool {
	var v any = attributes
	if c.Attribute == "targetingKey" {
		v = key
	} else {
		for _, name := range strings.Split(c.Attribute, ".") {
			o, _ := v.(map[string]any)
			v = o[name]
		}
	}
	matched := false
	if l, ok := v.([]any); ok && c.Operator != opExists {
		for _, e := range l {
			matched = matched || referenceMatchOne(c, e)
		}
	} else {
		matched = referenceMatchOne(c, v)
	}
	return matched != c.Negate
}

func referenceMatchOne(c *flagv1.Clause, v any) bool {
	if c.Operator == opExists {
		return v != nil
	}
	for _, operand := range c.Values {
		if referenceCompare(c.Operator, v, operand.AsInterface()) {
			return true
		}
	}
	return false
}

func referenceCompare(o flagv1.Operator, v, operand any) bool {
	switch v.(type) {
	case string, float64, bool:
	default:
		return false
	}
	s, isString := v.(string)
	text, _ := operand.(string)
	f, isNumber := v.(float64)
	number, _ := operand.(float64)
	x, y := "v"+strings.TrimPrefix(s, "v"), "v"+strings.TrimPrefix(text, "v")
	at, isDate := referenceTime(v)
	then, _ := referenceTime(operand)
	isVersion := isString && semver.IsValid(x)
	switch o {
	case opIn:
		return v == operand
	case opContains:
		return isString && strings.Contains(s, text)
	case opStartsWith:
		return isString && strings.HasPrefix(s, text)
	case opEndsWith:
		return isString && strings.HasSuffix(s, text)
	case opMatches:
		return isString && regexp.MustCompile(text).MatchString(s)
	case opLess:
		return isNumber && f < number
	case opLessOrEqual:
		return isNumber && f <= number
	case opGreater:
		return isNumber && f > number
	case opGreaterOrEqual:
		return isNumber && f >= number
	case opBefore:
		return isDate && at.Before(then)
	case opAfter:
		return isDate && at.After(then)
	case opVersion:
		return isVersion && semver.Compare(x, y) == 0
	case opVersionLess:
		return isVersion && semver.Compare(x, y) < 0
	case opVersionAtMost:
		return isVersion && semver.Compare(x, y) <= 0
	case opVersionGreater:
		return isVersion && semver.Compare(x, y) > 0
	case opVersionAtLeast:
		return isVersion && semver.Compare(x, y) >= 0
	case opSameMajor:
		return isVersion && semver.Major(x) == semver.Major(y)
	case opSameMinor:
		return isVersion && semver.MajorMinor(x) == semver.MajorMinor(y)
	}
	return false
}

func referenceTime(v any) (time.Time, bool) {
	switch v := v.(type) {
	case string:
		t, err := time.Parse(time.RFC3339, v)
		return t, err == nil
	case float64:
		return time.UnixMilli(int64(v * 1000)), true // quarters of seconds are exact
	}
	return time.Time{}, false
}
