package eval_test

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// sameAnswer checks that a flag is explained as it is evaluated, and that the steps lead to the
// answer.
func sameAnswer(t interface{ Errorf(string, ...any) }, env *eval.Environment, key string, ctx *eval.Context) {
	want := env.Evaluate(key, ctx)
	got, x := env.Explain(key, ctx)
	if got != want {
		t.Errorf("%s: explained as %+v, evaluated as %+v", key, got, want)
	}
	if x.Variant != want.Variant {
		t.Errorf("%s: the explanation serves %v, the flag %v", key, x.Variant, want.Variant)
	}
	stepsLead(t, env, x)
	if _, hash := want.Assignment(); hash != 0 {
		s := x.Split
		if x.Decided == eval.ByRule {
			s = x.Rules[len(x.Rules)-1].Split
		}
		if s == nil || s.Hash != hash || s.Variant != want.Variant {
			t.Errorf("%s: the split is explained as %+v, want hash %d", key, s, hash)
		}
	}
}

// stepsLead checks an explanation by itself.
func stepsLead(t interface{ Errorf(string, ...any) }, env *eval.Environment, x *eval.Explanation) {
	for i, p := range x.Prerequisites {
		if last := i == len(x.Prerequisites)-1; !p.Held && !last || p.Held && last && x.Decided == eval.ByPrerequisite {
			t.Errorf("%s: prerequisite %d of %d: held is %v, but %v decided", x.Key, i, len(x.Prerequisites), p.Held, x.Decided)
		}
		if p.Explanation != nil {
			stepsLead(t, env, p.Explanation)
			served := p.Explanation.Variant
			if held := served != nil && slices.Contains(p.Wanted, served.Name) && p.Explanation.Flag.Enabled(); p.Held && !held {
				t.Errorf("%s: prerequisite %s holds, with %v", x.Key, p.Key, served)
			}
		}
	}
	for i, r := range x.Rules {
		if last := i == len(x.Rules)-1; r.Matched != (last && x.Decided == eval.ByRule) {
			t.Errorf("%s: rule %d of %d: matched is %v, but %v decided", x.Key, i, len(x.Rules), r.Matched, x.Decided)
		}
		clausesLead(t, r.Clauses, r.Matched && r.Condition == nil)
	}
	for _, s := range splitsOf(x) {
		if s.Variant == nil {
			continue
		}
		i := slices.IndexFunc(s.Ranges, func(r eval.SplitRange) bool { return s.Bucket >= r.From && s.Bucket < r.End })
		if i < 0 || s.Ranges[i].Variant != s.Variant || s.Ranges[len(s.Ranges)-1].End != s.Total {
			t.Errorf("%s: bucket %d of %d gives %v, by the ranges %v", x.Key, s.Bucket, s.Total, s.Variant, s.Ranges)
		}
	}
}

func splitsOf(x *eval.Explanation) (all []*eval.SplitStep) {
	if x.Split != nil {
		all = append(all, x.Split)
	}
	for _, r := range x.Rules {
		if r.Split != nil {
			all = append(all, r.Split)
		}
	}
	return all
}

// clausesLead checks that all match but the last, and that the segments do as they say.
func clausesLead(t interface{ Errorf(string, ...any) }, steps []eval.ClauseStep, matched bool) {
	for i, c := range steps {
		if last := i == len(steps)-1; !c.Matched && (!last || matched) {
			t.Errorf("clause %d of %d did not match, where all did: %v", i, len(steps), matched)
		}
		for j, s := range c.Segments {
			if s.Belongs != (s.Membership == eval.Included || s.Membership == eval.ByItsRule) || s.Belongs && j < len(c.Segments)-1 {
				t.Errorf("segment %d of %d: %+v", j, len(c.Segments), s)
			}
			for k, r := range s.Rules {
				if r.Matched != (k == len(s.Rules)-1 && s.Membership == eval.ByItsRule) {
					t.Errorf("segment %s, rule %d of %d: %v", s.Key, k, len(s.Rules), r.Matched)
				}
				clausesLead(t, r.Clauses, r.Matched)
			}
		}
	}
}

var explainedOperators = []flagv1.Operator{
	opIn, opContains, opStartsWith, opEndsWith, opMatches, opLess, opLessOrEqual, opGreater, opGreaterOrEqual, opBefore, opAfter, opVersion, opExists,
}

func drawClause(t *rapid.T, segments bool) *flagv1.Clause {
	c := &flagv1.Clause{Negate: rapid.Bool().Draw(t, "negate")}
	if segments && rapid.IntRange(0, 3).Draw(t, "about segments") == 0 {
		c.Operator = opInSegment
		for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"s0", "s1", "none"}), 1, 3, rapid.ID).Draw(t, "segments") {
			c.Values = append(c.Values, value(key))
		}
		return c
	}
	c.Operator = rapid.SampledFrom(explainedOperators).Draw(t, "operator")
	c.Attribute = rapid.SampledFrom([]string{"a", "b", "a.b", "targetingKey", "$tidegate.region", "$flagd.timestamp"}).Draw(t, "attribute")
	for _, v := range drawOperands(t, c.GetOperator()) {
		c.Values = append(c.Values, value(v))
	}
	return c
}

func drawClauses(t *rapid.T, least int, segments bool) (all []*flagv1.Clause) {
	for range rapid.IntRange(least, 3).Draw(t, "clauses") {
		all = append(all, drawClause(t, segments))
	}
	return all
}

func drawOutcome(t *rapid.T, expressions bool) *flagv1.Outcome {
	switch kind := rapid.IntRange(0, 5).Draw(t, "outcome"); {
	case kind == 0 && expressions:
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: drawExpression(t)}}
	case kind <= 3:
		o := split("on", rapid.IntRange(0, 5).Draw(t, "weight"), "off", rapid.IntRange(1, 5).Draw(t, "rest"))
		o.GetSplit().BucketBy = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "by")
		o.GetSplit().BucketingVersion = rapid.SampledFrom([]flagv1.BucketingVersion{0, 2, 3}).Draw(t, "version")
		return o
	}
	return serve(rapid.SampledFrom([]string{"on", "off"}).Draw(t, "variant"))
}

func drawExpression(t *rapid.T) *structpb.Value {
	return expression(rapid.SampledFrom(append(expressionTexts(), `true`, `null`, `"on"`, `"other"`, `{"var": "a"}`, `{"var": "b"}`,
		`{"fractional": [["on", 1], ["off", 1]]}`, `{"if": [{"==": [{"var": "a"}, "a"]}, "on", null]}`, `{"+": [{"var": "a"}, 1]}`,
		`{"map": [{"var": "a"}, {"cat": [{"var": ""}, "x"]}]}`, bigProduct)).Draw(t, "expression"))
}

// drawExplainedFlag makes a flag that may need any of the others, itself through them too.
func drawExplainedFlag(t *rapid.T, i, n int) *flagv1.Flag {
	f := boolFlag(fmt.Sprint("f", i))
	f.Enabled = rapid.IntRange(0, 7).Draw(t, "enabled") > 0
	if rapid.Bool().Draw(t, "no off variant") {
		f.OffVariant = ""
	}
	for _, j := range rapid.SliceOfNDistinct(rapid.IntRange(0, n), 0, 3, rapid.ID).Draw(t, "prerequisites") {
		if j != i {
			f.Prerequisites = append(f.Prerequisites, requires(fmt.Sprint("f", j), rapid.SampledFrom([]string{"on", "off"}).Draw(t, "wanted")))
		}
	}
	for j := range rapid.IntRange(0, 3).Draw(t, "rules") {
		r := &flagv1.Rule{Id: fmt.Sprint("r", j), Outcome: drawOutcome(t, true)}
		if rapid.IntRange(0, 3).Draw(t, "condition") == 0 {
			r.Expression = drawExpression(t)
		} else {
			r.Clauses = drawClauses(t, 0, true)
		}
		f.Rules = append(f.Rules, r)
	}
	f.DefaultOutcome = drawOutcome(t, false)
	return f
}

// TestExplainAnswersAsEvaluate: whatever the flags, segments and contexts, among them cycles,
// flags that are missing, and expressions that fail.
func TestExplainAnswersAsEvaluate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c eval.Changes
		n := rapid.IntRange(1, 5).Draw(t, "flags")
		for i := range n {
			f, err := eval.Compile(drawExplainedFlag(t, i, n), 1)
			if err != nil {
				t.Skip(err)
			}
			c.Flags = append(c.Flags, f)
		}
		for i := range 2 {
			s := &flagv1.Segment{Key: fmt.Sprint("s", i), KeyAttribute: rapid.SampledFrom([]string{"", "a"}).Draw(t, "key attribute")}
			s.Included = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "1"}), 0, 2).Draw(t, "included")
			s.Excluded = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "1"}), 0, 2).Draw(t, "excluded")
			for range rapid.IntRange(0, 2).Draw(t, "segment rules") {
				s.Rules = append(s.Rules, &flagv1.SegmentRule{Clauses: drawClauses(t, 1, false)})
			}
			compiled, err := eval.CompileSegment(s, 1)
			if err != nil {
				t.Skip(err)
			}
			c.Segments = append(c.Segments, compiled)
		}
		var none *eval.Environment
		env := none.With(c)
		for range 4 {
			ctx := &eval.Context{
				TargetingKey: rapid.SampledFrom([]string{"", "a", "b", "c", "user-1"}).Draw(t, "key"),
				Attributes:   eval.Map(drawObject(t, 2)),
				Region:       rapid.SampledFrom([]string{"", "a"}).Draw(t, "region"),
				Now:          rapid.SampledFrom([]int64{0, 1_790_000_000}).Draw(t, "now"),
			}
			for i := range n + 1 {
				sameAnswer(t, env, fmt.Sprint("f", i), ctx)
			}
		}
	})
}

// TestExplainLongChains: at and beyond what a flag may depend on.
func TestExplainLongChains(t *testing.T) {
	for _, n := range []int{2, 64, 65, 66, 80} {
		var all []any
		for i := range n {
			f := boolFlag(fmt.Sprint("f", i))
			f.DefaultOutcome = serve("on")
			if i+1 < n {
				f.Prerequisites = []*flagv1.Prerequisite{requires(fmt.Sprint("f", i+1), "on")}
			}
			all = append(all, f)
		}
		env := environment(t, all...)
		for i := range n {
			sameAnswer(t, env, fmt.Sprint("f", i), &eval.Context{TargetingKey: "a"})
		}
	}
}

func TestExplain(t *testing.T) {
	f := ruleFlag(clause("", opInSegment, "staff"), clause("country", opIn, "CA"))
	f.Rules[0].Outcome = split("on", 20, "off", 80)
	f.Prerequisites = []*flagv1.Prerequisite{requires("parent", "off")}
	staff := segment("staff", "ann")
	staff.Rules = []*flagv1.SegmentRule{{Clauses: []*flagv1.Clause{clause("email", opEndsWith, "@mycompany.com")}}}
	env := environment(t, f, boolFlag("parent"), staff)
	_, x := env.Explain("flag", &eval.Context{TargetingKey: "bob", Attributes: eval.Map{"email": "bob@mycompany.com", "country": "CA"}})
	if len(x.Prerequisites) != 1 || !x.Prerequisites[0].Held || x.Prerequisites[0].Explanation.Decided != eval.ByDefault {
		t.Errorf("prerequisites: %+v", x.Prerequisites)
	}
	r := x.Rules[0]
	if s := r.Clauses[0].Segments[0]; s.Membership != eval.ByItsRule || s.Rules[0].Clauses[0].Value.Proto().GetStringValue() != "bob@mycompany.com" {
		t.Errorf("segment: %+v", s)
	}
	if got := r.Clauses[1]; !got.Matched || got.Value.Proto().GetStringValue() != "CA" {
		t.Errorf("country: %+v", got)
	}
	if s := r.Split; s == nil || s.Total != 100 || len(s.Ranges) != 2 || s.Ranges[0].End != 20 || s.Value.Proto().GetStringValue() != "bob" {
		t.Errorf("split: %+v", s)
	}
	_, x = env.Explain("flag", nil)
	if x.Decided != eval.ByDefault || x.Rules[0].Matched || len(x.Rules[0].Clauses) != 1 || x.Rules[0].Clauses[0].Segments[0].Membership != eval.NotListed {
		t.Errorf("for nobody: %+v", x)
	}
	if _, x := env.Explain("none", nil); x.Decided != eval.ByNothing || x.Flag != nil {
		t.Errorf("of no flag: %+v", x)
	}
}

func TestContextRead(t *testing.T) {
	ctx := &eval.Context{TargetingKey: "k", Region: "eu", Now: 10, Attributes: eval.Map{"a": map[string]any{"b": []any{1, "x"}}, "$flagd": "no"}}
	for path, want := range map[string]any{
		"targetingKey": "k", "a.b.1": "x", ".a.b.0": 1.0, "$flagd.flagKey": "f", "$tidegate.region": "eu", "$flagd.timestamp": 10.0, "$flagd": nil, "": nil, "none": nil,
	} {
		if got := ctx.Read("f", path).Proto().AsInterface(); got != want {
			t.Errorf("%q: %v, want %v", path, got, want)
		}
	}
}
