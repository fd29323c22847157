package eval_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// answer is what a test expects of a result.
type answer struct {
	variant string // empty: none
	reason  eval.Reason
	rule    string
	code    eval.ErrorCode
}

func answerOf(r eval.Result) answer {
	a := answer{reason: r.Reason, rule: r.Rule, code: r.ErrorCode}
	if r.Variant != nil {
		a.variant = r.Variant.Name
	}
	return a
}

func requires(key string, variants ...string) *flagv1.Prerequisite {
	return &flagv1.Prerequisite{FlagKey: key, Variants: variants}
}

func TestEvaluationOrder(t *testing.T) {
	rules := []*flagv1.Rule{
		{Id: "first", Clauses: []*flagv1.Clause{clause("plan", opIn, "pro")}, Outcome: serve("on")},
		{Id: "second", Clauses: []*flagv1.Clause{clause("plan", opIn, "pro", "free")}, Outcome: split("off", 1)},
	}
	everyone := []*flagv1.Rule{{Id: "everyone", Outcome: serve("on")}}
	met := []*flagv1.Prerequisite{requires("parent", "on")}
	unmet := []*flagv1.Prerequisite{requires("parent", "on"), requires("parent-off", "on")}
	for _, c := range []struct {
		name string
		edit func(*flagv1.Flag)
		ctx  *eval.Context
		want answer
	}{
		{"static", func(*flagv1.Flag) {}, nil, answer{"off", eval.ReasonStatic, "", ""}},
		{"no default outcome", func(f *flagv1.Flag) { f.DefaultOutcome = nil }, nil, answer{"", eval.ReasonDefault, "", ""}},
		{"disabled", func(f *flagv1.Flag) {
			f.Enabled, f.Rules, f.Prerequisites, f.OffVariant = false, everyone, met, "off"
		}, nil, answer{"off", eval.ReasonDisabled, "", ""}},
		{"disabled without off variant", func(f *flagv1.Flag) {
			f.Enabled, f.OffVariant = false, ""
		}, nil, answer{"", eval.ReasonDisabled, "", ""}},
		{"unmet prerequisite", func(f *flagv1.Flag) {
			f.Prerequisites, f.Rules, f.DefaultOutcome = unmet, everyone, serve("on")
		}, nil, answer{"off", eval.ReasonDefault, "", ""}},
		{"unmet prerequisite without off variant", func(f *flagv1.Flag) {
			f.Prerequisites, f.Rules, f.OffVariant = unmet, everyone, ""
		}, nil, answer{"", eval.ReasonDefault, "", ""}},
		{"met prerequisite", func(f *flagv1.Flag) { f.Prerequisites = met }, nil, answer{"off", eval.ReasonDefault, "", ""}},
		{"met prerequisite, then rules", func(f *flagv1.Flag) {
			f.Prerequisites, f.Rules = met, everyone
		}, nil, answer{"on", eval.ReasonTargetingMatch, "everyone", ""}},
		{
			"first match", func(f *flagv1.Flag) { f.Rules = rules },
			&eval.Context{Attributes: eval.Map{"plan": "pro"}},
			answer{"on", eval.ReasonTargetingMatch, "first", ""},
		},
		{
			"later match, split", func(f *flagv1.Flag) { f.Rules = rules },
			&eval.Context{TargetingKey: "a", Attributes: eval.Map{"plan": "free"}},
			answer{"off", eval.ReasonSplit, "second", ""},
		},
		{
			"split without a key", func(f *flagv1.Flag) { f.Rules = rules },
			&eval.Context{Attributes: eval.Map{"plan": "free"}},
			answer{"", eval.ReasonError, "second", eval.TargetingKeyMissing},
		},
		{"no match", func(f *flagv1.Flag) { f.Rules = rules }, nil, answer{"off", eval.ReasonDefault, "", ""}},
		{
			"no match, split", func(f *flagv1.Flag) { f.Rules, f.DefaultOutcome = rules, split("on", 1) },
			&eval.Context{TargetingKey: "a"},
			answer{"on", eval.ReasonSplit, "", ""},
		},
		{
			"default split", func(f *flagv1.Flag) { f.DefaultOutcome = split("on", 1) },
			&eval.Context{TargetingKey: "a"},
			answer{"on", eval.ReasonSplit, "", ""},
		},
		{
			"default split without a key", func(f *flagv1.Flag) { f.DefaultOutcome = split("on", 1) },
			&eval.Context{},
			answer{"", eval.ReasonError, "", eval.TargetingKeyMissing},
		},
		{"by an attribute that is missing", func(f *flagv1.Flag) {
			f.DefaultOutcome = split("on", 1)
			f.DefaultOutcome.GetSplit().BucketBy = "account"
		}, &eval.Context{TargetingKey: "a"}, answer{"", eval.ReasonError, "", eval.InvalidContext}},
	} {
		f := boolFlag("flag")
		c.edit(f)
		parent := boolFlag("parent")
		parent.DefaultOutcome = serve("on")
		env := environment(t, f, parent, boolFlag("parent-off"))
		r := env.Evaluate("flag", c.ctx)
		if got := answerOf(r); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if again := env.EvaluateFlag(env.Flag("flag"), c.ctx); again != r {
			t.Errorf("%s: EvaluateFlag answers %+v, Evaluate %+v", c.name, again, r)
		}
		if r.Flag != env.Flag("flag") {
			t.Errorf("%s: the result is of another flag", c.name)
		}
	}
}

func TestNilEnvironment(t *testing.T) {
	var env *eval.Environment
	if got := answerOf(env.Evaluate("flag", nil)); got != (answer{"", eval.ReasonError, "", eval.FlagNotFound}) {
		t.Errorf("%+v", got)
	}
	full := boolFlag("flag")
	full.Prerequisites = []*flagv1.Prerequisite{requires("parent", "on")}
	f := environment(t, full).Flag("flag")
	if got := answerOf(env.EvaluateFlag(f, nil)); got != (answer{"off", eval.ReasonDefault, "", ""}) {
		t.Errorf("%+v", got)
	}
	in := environment(t, ruleFlag(clause("", opInSegment, "s"))).Flag("flag")
	if got := answerOf(env.EvaluateFlag(in, nil)); got.variant != "off" {
		t.Errorf("%+v", got)
	}
	if env.Flag("a") != nil || env.Segment("a") != nil || env.Flags() != nil || env.Segments() != nil ||
		env.FlagCount() != 0 || env.SegmentCount() != 0 || env.Dependants("a") != nil || env.SegmentDependants("a") != nil ||
		env.Check(nil, nil) != nil || env.Check([]string{"a"}, []string{"b"}) != nil {
		t.Error("the nil environment is not empty")
	}
}

func TestPrerequisiteThatDoesNotHold(t *testing.T) {
	child := func() *flagv1.Flag {
		f := boolFlag("child")
		f.DefaultOutcome = serve("on")
		f.Prerequisites = []*flagv1.Prerequisite{requires("parent", "on", "off")} // whatever it serves
		return f
	}
	parent := func(edit func(*flagv1.Flag)) *flagv1.Flag {
		f := boolFlag("parent")
		edit(f)
		return f
	}
	for name, definitions := range map[string][]any{
		"missing":  {child()},
		"disabled": {child(), parent(func(f *flagv1.Flag) { f.Enabled = false })},
		"error":    {child(), parent(func(f *flagv1.Flag) { f.DefaultOutcome = split("on", 1) })},
		"nothing":  {child(), parent(func(f *flagv1.Flag) { f.DefaultOutcome = nil })},
		"its parent": {child(), parent(func(f *flagv1.Flag) {
			f.OffVariant, f.Prerequisites = "", []*flagv1.Prerequisite{requires("unknown", "on")}
		})},
	} {
		r := environment(t, definitions...).Evaluate("child", nil)
		if got := answerOf(r); got != (answer{"off", eval.ReasonDefault, "", ""}) {
			t.Errorf("%s: %+v", name, got)
		}
		if r.UnmetPrerequisite() != "parent" {
			t.Errorf("%s: the unmet prerequisite is %q", name, r.UnmetPrerequisite())
		}
	}
	r := environment(t, child(), parent(func(*flagv1.Flag) {})).Evaluate("child", nil)
	if r.Variant.Name != "on" || r.UnmetPrerequisite() != "" {
		t.Errorf("the prerequisite holds, but %+v", r)
	}
	// An off variant that an enabled flag serves, its own prerequisite being unmet, counts.
	r = environment(t, child(), parent(func(f *flagv1.Flag) {
		f.Prerequisites = []*flagv1.Prerequisite{requires("unknown", "on")}
	})).Evaluate("child", nil)
	if r.Variant.Name != "on" {
		t.Errorf("the parent serves its off variant, but %+v", r)
	}
}

// chainOf makes n+1 flags, link-0 to link-n, each with the one before as prerequisite.
func chainOf(n int) []any {
	var all []any
	for i := range n + 1 {
		f := boolFlag("link-" + strconv.Itoa(i))
		f.DefaultOutcome = serve("on")
		if i > 0 {
			f.Prerequisites = []*flagv1.Prerequisite{requires("link-"+strconv.Itoa(i-1), "on")}
		}
		all = append(all, f)
	}
	return all
}

func TestLongChain(t *testing.T) {
	env := environment(t, chainOf(64)...)
	if err := env.Check(nil, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 65 {
		if r := env.Evaluate("link-"+strconv.Itoa(i), nil); r.Variant.Name != "on" {
			t.Errorf("link %d serves %+v", i, r)
		}
	}
	last := boolFlag("link-0") // serves off: nobody's prerequisite holds
	env = env.With(changes(t, last))
	for i := range 65 {
		if r := env.Evaluate("link-"+strconv.Itoa(i), nil); r.Variant.Name != "off" {
			t.Errorf("link %d serves %+v", i, r)
		}
	}
}

// Flags that no check let through cost no more, and never hold too easily.
func TestTooLongChainDoesNotHold(t *testing.T) {
	env := environment(t, chainOf(5000)...)
	if r := env.Evaluate("link-5000", nil); r.Variant.Name != "off" || r.Reason != eval.ReasonDefault {
		t.Errorf("%+v", r)
	}
}

// 30 layers of two flags, each with both flags of the next layer as prerequisites:
// 2^29 ways from top to bottom, each flag evaluated once.
func TestManyWaysAreWalkedOnce(t *testing.T) {
	var all []any
	const layers = 30
	for i := range layers {
		for _, side := range []string{"a", "b"} {
			f := boolFlag(side + strconv.Itoa(i))
			f.DefaultOutcome = serve("on")
			if i > 0 {
				f.Prerequisites = []*flagv1.Prerequisite{requires("a"+strconv.Itoa(i-1), "on"), requires("b"+strconv.Itoa(i-1), "on")}
			} else {
				f.Rules = []*flagv1.Rule{{Id: "counted", Clauses: []*flagv1.Clause{clause("a", opExists)}, Outcome: serve("on")}}
			}
			all = append(all, f)
		}
	}
	env := environment(t, all...)
	if err := env.Check(nil, nil); err != nil {
		t.Fatal(err)
	}
	counted := &counting{lookups: map[string]int{}}
	if r := env.Evaluate("a"+strconv.Itoa(layers-1), &eval.Context{Attributes: counted}); r.Variant.Name != "on" {
		t.Errorf("%+v", r)
	}
	if n := counted.lookups["a"]; n != 2 {
		t.Errorf("the lowest layer was evaluated %d times", n)
	}
}

// No flag of a cycle holds, not even for what it serves when it is unmet; flags beside
// the cycle are not harmed.
func TestCyclesAreHarmless(t *testing.T) {
	flag := func(key string, prerequisites ...*flagv1.Prerequisite) *flagv1.Flag {
		f := boolFlag(key)
		f.DefaultOutcome = serve("on")
		f.Prerequisites = prerequisites
		return f
	}
	whatever := func(key string) *flagv1.Prerequisite { return requires(key, "on", "off") }
	env := environment(t,
		flag("a", whatever("b")), flag("b", whatever("c")), flag("c", whatever("a")),
		flag("x", whatever("y")), flag("y", whatever("x")),
		flag("into", whatever("a")),
		flag("past", whatever("into")),
		flag("free", whatever("leaf")), flag("leaf"),
		flag("both", whatever("free"), whatever("past")),
	)
	for key, want := range map[string]string{
		"a": "off", "b": "off", "c": "off", "x": "off", "y": "off",
		"into": "off", "past": "on", "free": "on", "both": "on",
	} {
		if r := env.Evaluate(key, nil); r.Variant.Name != want || r.ErrorCode != "" {
			t.Errorf("%s: %+v, want %s", key, answerOf(r), want)
		}
	}
}

// Random acyclic prerequisites, against the definition taken literally.
func TestPrerequisitesAgreeWithTheirDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "flags")
		defs := map[string]*flagv1.Flag{}
		var c eval.Changes
		for i := range n {
			f := boolFlag("f" + strconv.Itoa(i))
			f.Enabled = rapid.IntRange(0, 9).Draw(t, "enabled") > 0
			f.OffVariant = rapid.SampledFrom([]string{"off", "on", ""}).Draw(t, "off")
			f.DefaultOutcome = rapid.SampledFrom([]*flagv1.Outcome{serve("on"), serve("on"), serve("off"), nil, split("on", 1)}).Draw(t, "default")
			for _, j := range rapid.SliceOfNDistinct(rapid.IntRange(0, n), 0, min(i, 4), rapid.ID[int]).Draw(t, "prerequisites") {
				if j < i || j == n { // n: a flag that does not exist
					f.Prerequisites = append(f.Prerequisites, requires("f"+strconv.Itoa(j),
						rapid.SampledFrom([][]string{{"on"}, {"off"}, {"on", "off"}}).Draw(t, "variants")...))
				}
			}
			defs[f.Key] = f
			compiled, err := eval.Compile(f, 1)
			if err != nil {
				t.Fatal(err)
			}
			c.Flags = append(c.Flags, compiled)
		}
		var none *eval.Environment
		env := none.With(c)
		for key := range defs {
			if got, want := answerOf(env.Evaluate(key, nil)), naiveAnswer(defs, key); got != want {
				t.Fatalf("%s: %+v, want %+v", key, got, want)
			}
		}
	})
}

// naiveAnswer evaluates a flag without rules for the empty context.
func naiveAnswer(defs map[string]*flagv1.Flag, key string) answer {
	f := defs[key]
	if !f.Enabled {
		return answer{variant: f.OffVariant, reason: eval.ReasonDisabled}
	}
	for _, p := range f.Prerequisites {
		held := false
		if target := defs[p.FlagKey]; target != nil && target.Enabled {
			served := naiveAnswer(defs, p.FlagKey).variant
			for _, v := range p.Variants {
				held = held || v == served
			}
		}
		if !held {
			return answer{variant: f.OffVariant, reason: eval.ReasonDefault}
		}
	}
	switch {
	case f.DefaultOutcome == nil:
		return answer{reason: eval.ReasonDefault}
	case f.DefaultOutcome.GetSplit() != nil:
		return answer{reason: eval.ReasonError, code: eval.TargetingKeyMissing}
	case len(f.Prerequisites) > 0:
		return answer{variant: f.DefaultOutcome.GetVariant(), reason: eval.ReasonDefault}
	}
	return answer{variant: f.DefaultOutcome.GetVariant(), reason: eval.ReasonStatic}
}

// One environment is evaluated by many goroutines while others are made from it.
func TestConcurrentUse(t *testing.T) {
	definitions := append(chainOf(20), segment("s", "user-1"), ruleFlag(
		clause("email", opMatches, "^a.*z$"), clause("email", opEndsWith, "z"), clause("", opInSegment, "s")))
	env := environment(t, definitions...)
	ctx := &eval.Context{TargetingKey: "user-1", Attributes: eval.Map{"email": "abcz"}}
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 200 {
				if r := env.Evaluate("flag", ctx); r.Variant.Name != "on" {
					t.Errorf("%+v", answerOf(r))
				}
				if r := env.Evaluate("link-20", ctx); r.Variant.Name != "on" {
					t.Errorf("%+v", answerOf(r))
				}
				next := env.With(changes(t, boolFlag(fmt.Sprintf("more-%d-%d", g, i))))
				if len(next.Flags()) != len(env.Flags())+1 || len(next.Dependants("link-1")) != 1 {
					t.Error("the next environment is wrong")
				}
			}
		})
	}
	group.Wait()
}
