package eval_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func TestReadsTime(t *testing.T) {
	const in, exists = flagv1.Operator_OPERATOR_IN, flagv1.Operator_OPERATOR_EXISTS
	for _, test := range []struct {
		name string
		rule *flagv1.Rule
		want bool
	}{
		{"nothing", &flagv1.Rule{}, false},
		{"an attribute", &flagv1.Rule{Clauses: []*flagv1.Clause{clause("country", in, "CA")}}, false},
		{"the region", &flagv1.Rule{Clauses: []*flagv1.Clause{clause("$tidegate.region", in, "eu")}}, false},
		{"the weekday", &flagv1.Rule{Clauses: []*flagv1.Clause{clause("country", in, "CA"), clause("$tidegate.weekday", in, 1)}}, true},
		{"the time of day", &flagv1.Rule{Clauses: []*flagv1.Clause{clause("$tidegate.timeOfDay", exists)}}, true},
		{"the timestamp", &flagv1.Rule{Clauses: []*flagv1.Clause{clause("$flagd.timestamp", exists)}}, true},
		{"an expression", &flagv1.Rule{Expression: parsed(t, `{"and": [{"in": [{"var": "a.b"}, ["x"]]}, {"var": ["c", ""]}, {"missing": ["d"]}, {"missing_some": [1, ["e"]]}]}`)}, false},
		{"an expression with the region", &flagv1.Rule{Expression: parsed(t, `{"==": [{"var": "$tidegate.region"}, {"var": ["$flagd.flagKey"]}]}`)}, false},
		{"an expression with the time", &flagv1.Rule{Expression: parsed(t, `{"if": [{"<": [1, {"var": "$flagd.timestamp"}]}, true]}`)}, true},
		{"a path with empty elements", &flagv1.Rule{Expression: parsed(t, `{"var": "..$flagd..timestamp"}`)}, true},
		{"all that is provided", &flagv1.Rule{Expression: parsed(t, `{"var": "$tidegate"}`)}, true},
		{"the whole context", &flagv1.Rule{Expression: parsed(t, `{"!!": [{"var": ""}]}`)}, true},
		{"the whole context by no name", &flagv1.Rule{Expression: parsed(t, `{"!!": [{"var": []}]}`)}, true},
		{"a computed name", &flagv1.Rule{Expression: parsed(t, `{"var": {"cat": ["$tide", "gate.weekday"]}}`)}, true},
		{"computed missing names", &flagv1.Rule{Expression: parsed(t, `{"missing": {"merge": ["a"]}}`)}, true},
		{"a time in the outcome", &flagv1.Rule{Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{
			Expression: parsed(t, `{"if": [{"var": "$tidegate.weekday"}, "on", null]}`),
		}}}, true},
	} {
		f := boolFlag("a")
		test.rule.Id = "r"
		if test.rule.GetOutcome() == nil {
			test.rule.Outcome = serve("on")
		}
		f.Rules = []*flagv1.Rule{test.rule}
		env := environment(t, f)
		if got := env.ReadsTime(env.Flag("a")); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
	if (*eval.Environment)(nil).ReadsTime(nil) {
		t.Error("no flag reads the time")
	}
}

// The time may come in through others, and go with them.
func TestReadsTimeThroughOthers(t *testing.T) {
	hours := []*flagv1.Clause{clause("$tidegate.timeOfDay", flagv1.Operator_OPERATOR_LESS_THAN, 12)}
	timed, office := boolFlag("timed"), segment("office")
	timed.Rules = []*flagv1.Rule{{Id: "r", Clauses: hours, Outcome: serve("on")}}
	office.Rules = []*flagv1.SegmentRule{{Clauses: hours}}
	dependant, member, alone := boolFlag("dependant"), boolFlag("member"), boolFlag("alone")
	dependant.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "timed", Variants: []string{"on"}}}
	member.Rules = []*flagv1.Rule{{
		Id: "r", Clauses: []*flagv1.Clause{clause("", flagv1.Operator_OPERATOR_IN_SEGMENT, "office")}, Outcome: serve("on"),
	}}
	requireReaders := func(when string, env *eval.Environment, want ...string) {
		t.Helper()
		var got []string
		for _, f := range env.Flags() {
			if env.ReadsTime(f) {
				got = append(got, f.Key())
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	env := environment(t, dependant, member, alone)
	requireReaders("neither is there", env)
	env = env.With(changes(t, timed))
	requireReaders("a flag", env, "dependant", "member", "timed")
	env = env.With(changes(t, timed, office, timed, office))
	env = env.With(eval.Changes{DeletedFlags: []string{"timed", "timed", "never"}})
	requireReaders("the segment is left", env, "dependant", "member")
	env = env.With(changes(t, segment("office")))
	requireReaders("the segment reads it no more", env)
	env = env.With(changes(t, office)).With(eval.Changes{DeletedSegments: []string{"office", "office", "never"}})
	requireReaders("all gone", env)
}

// What is said to read no time answers the same at all times.
func TestReadsTimeIsSafe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := boolFlag("a")
		f.Rules = []*flagv1.Rule{{Id: "r", Expression: value(drawLogic(t, 3)), Outcome: serve("on")}}
		compiled, err := eval.Compile(f, 1)
		if err != nil {
			return // not an expression
		}
		var none *eval.Environment
		env := none.With(eval.Changes{Flags: []*eval.Flag{compiled}})
		if env.ReadsTime(compiled) {
			return
		}
		attributes := eval.Map{"a": "$tidegate.weekday", "b": []any{"$flagd.timestamp", 1}, "list": []any{"x", "$flagd"}}
		before := env.Evaluate("a", &eval.Context{TargetingKey: "k", Attributes: attributes})
		for _, now := range []int64{1, 1_000_000_000, 1_795_600_000} {
			after := env.Evaluate("a", &eval.Context{TargetingKey: "k", Attributes: attributes, Now: now})
			if before.Variant != after.Variant || before.ErrorCode != after.ErrorCode {
				t.Fatalf("at %d: %+v, else %+v", now, after, before)
			}
		}
	})
}

// drawLogic draws expressions that look for the time in all ways, and some that do not.
func drawLogic(t *rapid.T, depth int) any {
	if depth == 0 || rapid.IntRange(0, 3).Draw(t, "leaf") == 0 {
		return rapid.SampledFrom([]any{
			"", "a", "b.0", "list", ".weekday", "tidegate", 0, 1, nil, true,
			[]any{"list", "a"},
			map[string]any{"var": "a"},
			map[string]any{"var": "list"},
			map[string]any{"var": "b.0"},
			map[string]any{"var": 0},
			map[string]any{"var": []any{"none", "$"}},
			map[string]any{"missing": []any{"a", "none"}},
			map[string]any{"var": ""},
			"$tidegate", "$flagd.timestamp",
			map[string]any{"var": "$tidegate.weekday"},
			map[string]any{"var": "$flagd"},
		}).Draw(t, "constant")
	}
	operator := rapid.SampledFrom([]struct {
		name        string
		least, most int
	}{
		{"var", 1, 2},
		{"missing", 1, 3},
		{"missing_some", 2, 2},
		{"cat", 1, 3},
		{"merge", 1, 3},
		{"==", 2, 2},
		{"in", 2, 2},
		{"if", 1, 3},
		{"!", 1, 1},
		{"map", 2, 2},
		{"some", 2, 2},
		{"reduce", 3, 3},
		{"and", 1, 3},
		{"or", 1, 3},
	}).Draw(t, "operator")
	operands := make([]any, rapid.IntRange(operator.least, operator.most).Draw(t, "operands"))
	for i := range operands {
		operands[i] = drawLogic(t, depth-1)
	}
	return map[string]any{operator.name: operands}
}

func parsed(t *testing.T, expression string) *structpb.Value {
	t.Helper()
	v := &structpb.Value{}
	if err := v.UnmarshalJSON([]byte(expression)); err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}
