package eval_test

import (
	"math"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Whatever arrives on the wire, compiling it fails with named fields or gives a flag
// that can be evaluated for any context, and whose answers are well-formed.
func FuzzCompile(f *testing.F) {
	seed := func(flag *flagv1.Flag, segment *flagv1.Segment, ctx map[string]any) {
		s, err := structpb.NewStruct(ctx)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encode(f, flag), encode(f, segment), encode(f, s), "user-1")
	}
	clauses := []*flagv1.Clause{
		clause("email", opEndsWith, "@mycompany.com"), clause("a.b", opIn, 1, "x", true), clause("v", opVersionAtLeast, "1.2"),
		clause("d", opAfter, "2026-03-01T12:00:00Z"), clause("r", opMatches, "^a.*b{2,3}$"), clause("n", opLess, 2.5),
		clause("", opInSegment, "segment"),
	}
	full := ruleFlag(clauses...)
	full.Rules = append(full.Rules, &flagv1.Rule{Id: "split", Clauses: []*flagv1.Clause{clause("x", opExists)}, Outcome: split("on", 1, "off", 99)})
	full.Prerequisites = []*flagv1.Prerequisite{requires("parent", "on")}
	members := segment("segment", "user-1")
	members.Rules = []*flagv1.SegmentRule{{Clauses: clauses[:2]}}
	ctx := map[string]any{"email": "a@mycompany.com", "a": map[string]any{"b": []any{1, "x"}}, "v": "1.3.0", "d": 1e10, "n": 1}
	seed(full, members, ctx)
	seed(suitsFlag("suits"), segment("s"), nil)
	withExpressions := conditionFlag(`{"some": [{"var": "a.b"}, {"in": [{"var": ""}, [1, {"var": "email"}]]}]}`)
	withExpressions.Rules = append(withExpressions.Rules, outcomeFlag(`{"if": [{"sem_ver": [{"var": "v"}, "^", "1"]}, {"fractional": [{"var": "n"}, ["on", 1], ["off", {"var": "d"}]]}, null]}`).GetRules()...)
	withExpressions.Rules[1].Id = "outcome"
	withExpressions.BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_3
	seed(withExpressions, members, ctx)
	seed(valueFlag(object, map[string]any{"a": []any{nil, 1}}), members, ctx)
	seed(&flagv1.Flag{}, &flagv1.Segment{}, nil)
	f.Add([]byte{0x0a}, []byte{0xff}, []byte{}, "")

	f.Fuzz(func(t *testing.T, flagData, segmentData, contextData []byte, key string) {
		var flagDef flagv1.Flag
		var segmentDef flagv1.Segment
		var attributes structpb.Struct
		if proto.Unmarshal(flagData, &flagDef) != nil || proto.Unmarshal(segmentData, &segmentDef) != nil || proto.Unmarshal(contextData, &attributes) != nil {
			return
		}
		var c eval.Changes
		if flag, err := eval.Compile(&flagDef, 1); err == nil {
			c.Flags = append(c.Flags, flag)
		} else {
			checkErrors(t, err)
		}
		if segment, err := eval.CompileSegment(&segmentDef, 1); err == nil {
			c.Segments = append(c.Segments, segment)
		} else {
			checkErrors(t, err)
		}
		parent, err := eval.Compile(boolFlag("parent"), 1)
		if err != nil {
			t.Fatal(err)
		}
		var none *eval.Environment
		env := none.With(eval.Changes{Flags: []*eval.Flag{parent}}).With(c)
		if err := env.Check(nil, nil); err != nil {
			checkErrors(t, err)
		}
		for _, flag := range env.Flags() {
			for _, ctx := range []*eval.Context{
				nil,
				{TargetingKey: key, Attributes: eval.StructAttributes(&attributes)},
				{TargetingKey: key, Attributes: eval.Map(attributes.AsMap())},
			} {
				checkResult(t, flag, env.Evaluate(flag.Key(), ctx))
				sameAnswer(t, env, flag.Key(), ctx)
			}
			full := env.Evaluate(flag.Key(), &eval.Context{TargetingKey: key, Attributes: eval.StructAttributes(&attributes)})
			plain := env.Evaluate(flag.Key(), &eval.Context{TargetingKey: key, Attributes: eval.Map(attributes.AsMap())})
			if full != plain {
				t.Errorf("%+v with a Struct, %+v with a Map", full, plain)
			}
		}
	})
}

// Whatever JSON is given for an expression and a context, an expression that compiles is
// evaluated to a well-formed answer, the same one for both forms of attributes.
func FuzzExpression(f *testing.F) {
	for _, text := range append(expressionTexts(), bigProduct, `{"if": []}`, `[{"var": ["a", {"missing": {"var": "x"}}]}]`,
		`{"fractional": [{"var": "device"}, ["on", {"var": "age"}], [{"cat": ["o", "ff"]}, 1.5]]}`, `{"substr": ["jsonlogic", -2, -1]}`,
		`{"reduce": [{"var": "numbers"}, {"max": [{"var": "current"}, {"var": "accumulator"}]}, 1e308]}`, `{"var": "$flagd"}`, `{`) {
		f.Add(text, someone, "user-1", int64(1_790_000_000), false)
	}
	f.Fuzz(func(t *testing.T, text, attributes, key string, now int64, version3 bool) {
		var v structpb.Value
		var s structpb.Struct
		if v.UnmarshalJSON([]byte(text)) != nil || s.UnmarshalJSON([]byte(attributes)) != nil {
			return
		}
		def := conditionFlag("true")
		def.Rules[0].Expression = &v
		def.Rules = append(def.Rules, &flagv1.Rule{Id: "outcome", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: &v}}})
		def.Variants = append(def.Variants, variant("1", true), variant("true", true))
		if version3 {
			def.BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_3
		}
		for range def.GetRules() {
			flag, err := eval.Compile(def, 1)
			if err != nil {
				checkErrors(t, err)
				return
			}
			var none *eval.Environment
			env := none.With(eval.Changes{Flags: []*eval.Flag{flag}})
			full := env.Evaluate("flag", &eval.Context{TargetingKey: key, Now: now, Attributes: eval.StructAttributes(&s)})
			sameAnswer(t, env, "flag", &eval.Context{TargetingKey: key, Now: now, Attributes: eval.StructAttributes(&s)})
			plain := env.Evaluate("flag", &eval.Context{TargetingKey: key, Now: now, Attributes: eval.Map(s.AsMap())})
			checkResult(t, flag, full)
			if full != plain {
				t.Errorf("%+v with a Struct, %+v with a Map", full, plain)
			}
			checkResult(t, flag, env.Evaluate("flag", nil))
			def.Rules = def.GetRules()[1:] // the outcome alone
		}
	})
}

func expressionTexts() []string {
	var texts []string
	for _, c := range append(expressionCases(), expressionOutcomes()...) {
		texts = append(texts, c.text)
	}
	return texts
}

func encode(tb testing.TB, m proto.Message) []byte {
	data, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func checkErrors(t *testing.T, err error) {
	problems, ok := err.(eval.Errors) //nolint:errorlint // the type itself is promised
	if !ok || len(problems) == 0 {
		t.Fatalf("%T: %v", err, err)
	}
	for _, p := range problems {
		if p.Problem == "" || !utf8.ValidString(p.Error()) {
			t.Errorf("a problem without words, or not valid UTF-8: %q", p.Error())
		}
	}
}

func checkResult(t *testing.T, flag *eval.Flag, r eval.Result) {
	if r.Flag != flag || (r.Reason == eval.ReasonError) != (r.ErrorCode != "") || (r.ErrorMessage() == "") != (r.ErrorCode == "") {
		t.Errorf("result %+v", r)
	}
	if v := r.Variant; v != nil {
		if flag.Variant(v.Name) != v || v.Value.Type != flag.Type() || v.Value.Any() == nil || math.IsNaN(v.Value.Double) {
			t.Errorf("variant %+v", v)
		}
	}
	for _, want := range []flagv1.ValueType{boolean, text, integer, double, object} {
		as := r.As(want)
		if as.Variant != nil && as.Variant.Value.Type != want {
			t.Errorf("as %s: %+v", want, as)
		}
	}
}
