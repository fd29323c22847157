package eval_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func TestCompileExpression(t *testing.T) {
	nested := func(levels int) string {
		return strings.Repeat(`{"!": `, levels) + "true" + strings.Repeat("}", levels)
	}
	for _, c := range []struct {
		text string
		want []string
	}{
		{`{"==": [{"var": "a"}, 1]}`, nil},
		{`{"startsWith": ["a", "b"]}`, []string{`: "startsWith" is not an operator; did you mean "starts_with"?`}},
		{`{"semver": ["a", "=", "b"]}`, []string{`: did you mean "sem_ver"?`}},
		{`{"iff": [true, "a"]}`, []string{`: did you mean "if"?`}},
		{`{"?:": [true, "a"]}`, []string{`: did you mean "if"?`}},
		{`{"fractionalEvaluation": []}`, []string{`: did you mean "fractional"?`}},
		{`{"rollout": [1]}`, []string{`: "rollout" is not an operator; there are ! !! != !== % * + - / < <= == === > >= all and cat ends_with`}},
		{`{"": 1}`, []string{`: "" is not an operator; there are !`}},
		{`{"$ref": "isFaas"}`, []string{`: "$ref" is resolved when a flagd file is imported`}},
		{`{}`, []string{": is an object with 0 members; an operation has one"}},
		{`{"var": "a", "==": [1, 1]}`, []string{": is an object with 2 members"}},
		{`{"if": [true, {"and": [1, {"or": [{"x-y-z-w": 1}]}]}]}`, []string{`.if[1].and[1].or[0]: "x-y-z-w" is not an operator`}},
		{`{"!": {"==": 1}}`, []string{".!.==: takes a list of operands: exactly 2"}},
		{`{"==": [1]}`, []string{".==: has 1 operands; it takes exactly 2"}},
		{`{"<": [1, 2, 3, 4]}`, []string{".<: has 4 operands; it takes 2 to 3"}},
		{`{"fractional": []}`, []string{".fractional: has 0 operands; it takes 1 or more"}},
		{`{"if": {"var": "a"}}`, []string{".if: takes a list of operands: any number"}},
		{`{"and": true}`, []string{".and: takes a list of operands: any number"}},
		{`{"filter": [[1]]}`, []string{".filter: has 1 operands; it takes exactly 2"}},
		{`{"reduce": [[1], 1]}`, []string{".reduce: has 2 operands; it takes exactly 3"}},
		{`{"sem_ver": ["1", "="]}`, []string{".sem_ver: has 2 operands; it takes exactly 3"}},
		{`{"var": ["a", 1, 2]}`, []string{".var: has 3 operands; it takes 0 to 2"}},
		{`{"var": true}`, []string{".var: is a boolean; 'var' takes the path of an attribute"}},
		{`{"var": [1]}`, []string{".var[0]: is a number"}},
		{`{"var": [null, 1]}`, []string{".var[0]: is null"}},
		{`{"var": [["a"]]}`, []string{".var[0]: is a list"}},
		{`{"fractional": [["a", {"min": 1}], [{"vra": "x"}, 1]]}`, []string{`.fractional[1][0]: did you mean "var"?`}},
		{`{"map": [[{"a": {"no": "operator"}, "b": 1}], {"var": "a"}]}`, nil}, // data
		{`{"map": [[{"no": "operator"}], {"no-operator": "x"}]}`, []string{`.map[1]: "no-operator" is not an operator`}},
		{nested(63), nil},
		{nested(64), []string{strings.Repeat(".!", 64) + ": is nested too deep; at most 64 levels are allowed"}},
		{nested(1000), []string{strings.Repeat(".!", 64) + ": is nested too deep"}},
	} {
		f := conditionFlag(c.text)
		_, err := eval.Compile(f, 1)
		expectErrors(t, c.text, err, prefixed("rules[0].expression", c.want)...)

		f = outcomeFlag(c.text)
		_, err = eval.Compile(f, 1)
		expectErrors(t, c.text, err, prefixed("rules[0].outcome.expression", c.want)...)
	}
}

func prefixed(prefix string, all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = prefix + s
	}
	return out
}

func TestCompileExpressionValues(t *testing.T) {
	for _, c := range []struct {
		name string
		v    *structpb.Value
		want []string
	}{
		{"NaN", structpb.NewNumberValue(math.NaN()), []string{": NaN is not a finite number"}},
		{"broken text", structpb.NewStringValue("a\xff"), []string{": UTF-8"}},
		{"no kind", &structpb.Value{}, []string{": is missing"}},
		{"no kind in a list", structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{nil}}), []string{"[0]: is missing"}},
		{"NaN in data", structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"map": value([]any{[]any{math.Inf(1)}, true})}}), []string{".map[0][0]: +Inf is not a finite number"}},
		{"broken operator", structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"a\xff": value(1)}}), []string{`: "a\xff" is not an operator`}},
	} {
		f := conditionFlag(`true`)
		f.Rules[0].Expression = c.v
		_, err := eval.Compile(f, 1)
		expectErrors(t, c.name, err, prefixed("rules[0].expression", c.want)...)
	}
}

func TestCompileRuleWithExpression(t *testing.T) {
	f := conditionFlag(`true`)
	f.Rules[0].Clauses = []*flagv1.Clause{clause("a", opExists)}
	_, err := eval.Compile(f, 1)
	expectErrors(t, "both", err, "rules[0].expression: is given beside clauses; a rule has one or the other")

	f = conditionFlag(`true`)
	f.Rules[0].Outcome = nil
	_, err = eval.Compile(f, 1)
	expectErrors(t, "no outcome", err, "rules[0].outcome: is missing")

	f = boolFlag("flag")
	f.DefaultOutcome = outcomeFlag(`"on"`).GetRules()[0].GetOutcome()
	_, err = eval.Compile(f, 1)
	expectErrors(t, "default outcome", err, "default_outcome.expression: is given for the default outcome; only a rule's outcome may be an expression")

	f = outcomeFlag(`"on"`)
	f.Rules[0].Outcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{}}
	_, err = eval.Compile(f, 1)
	expectErrors(t, "no expression", err, "rules[0].outcome.expression: is missing")

	f = outcomeFlag(`"on"`)
	f.BucketingVersion = 1
	_, err = eval.Compile(f, 1)
	expectErrors(t, "bucketing version", err, "bucketing_version: 1 is not a version that is known here; use BUCKETING_VERSION_2 or BUCKETING_VERSION_3")
}

func TestVariantNames(t *testing.T) {
	for _, c := range []struct {
		name string
		want string
	}{
		{"my variant", ""},
		{"größe/2 <b>", ""},
		{"true", ""},
		{`"`, ""},
		{strings.Repeat("ü", 64), ""},
		{strings.Repeat("ü", 65), fmt.Sprintf("%q... takes 130 bytes; use 1 to 128 bytes", strings.Repeat("ü", 32))},
		{"", "is empty; use 1 to 128 bytes"},
		{"a\nb", `"a\nb" has a control character`},
		{"a\u0085b", `has a control character`},
		{"a\xffb", "UTF-8"},
	} {
		f := boolFlag("flag")
		f.Variants = append(f.Variants, variant(c.name, true))
		f.Prerequisites = []*flagv1.Prerequisite{requires("parent", c.name)}
		var want []string
		if c.want != "" {
			want = []string{"variants[2].name: " + c.want, "prerequisites[0].variants[0]: " + c.want}
		}
		_, err := eval.Compile(f, 1)
		expectErrors(t, c.name, err, want...)
	}
}
