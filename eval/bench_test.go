package eval_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// benchCase is one kind of evaluation; the benchmarks and the allocation gate share
// them.
type benchCase struct {
	name string
	env  *eval.Environment
	flag string
	ctx  *eval.Context
	want eval.Reason
}

func boolFlag(key string) *flagv1.Flag {
	return &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true,
		Variants:       []*flagv1.Variant{variant("on", true), variant("off", false)},
		OffVariant:     "off",
		DefaultOutcome: serve("off"),
	}
}

func benchCases(tb testing.TB) []benchCase {
	user := &eval.Context{TargetingKey: "user-1234567", Attributes: eval.Map{
		"email": "someone@mycompany.com", "country": "Canada", "age": 42, "plan": "pro",
		"version": "1.4.2", "since": "2026-03-01T12:00:00Z", "account": 900719925474,
		"groups": []string{"staff", "beta"}, "device": map[string]any{"os": "android"},
	}, Region: "eu-west", Now: 1_790_000_000}
	var cases []benchCase
	add := func(name string, want eval.Reason, f *flagv1.Flag, rest ...any) {
		cases = append(cases, benchCase{name, environment(tb, append(rest, f)...), f.GetKey(), user, want})
	}
	rule := func(name string, c *flagv1.Clause) {
		f := boolFlag("flag")
		f.Rules = []*flagv1.Rule{{Id: "first", Clauses: []*flagv1.Clause{c}, Outcome: serve("on")}}
		add(name, eval.ReasonTargetingMatch, f)
	}

	f := boolFlag("flag")
	f.Enabled = false
	add("off", eval.ReasonDisabled, f)
	add("static", eval.ReasonStatic, boolFlag("flag"))

	f = boolFlag("flag")
	f.DefaultOutcome = split("on", 1, "off", 99)
	add("split", eval.ReasonSplit, f)

	f = boolFlag("flag")
	f.DefaultOutcome = split("on", 1, "off", 99)
	f.DefaultOutcome.GetSplit().BucketBy = "email"
	add("split by string", eval.ReasonSplit, f)

	f = boolFlag("flag")
	f.DefaultOutcome = split("on", 1, "off", 99)
	f.DefaultOutcome.GetSplit().BucketBy = "account"
	add("split by number", eval.ReasonSplit, f)

	rule("rule", clause("email", flagv1.Operator_OPERATOR_ENDS_WITH, "@mycompany.com"))
	rule("in", clause("country", flagv1.Operator_OPERATOR_IN, "US", "Canada"))
	rule("in number", clause("age", flagv1.Operator_OPERATOR_IN, 41, 42))
	rule("in many", clause("country", flagv1.Operator_OPERATOR_IN, append(names("c", 1000), "Canada")...))
	rule("regex", clause("email", flagv1.Operator_OPERATOR_MATCHES, `^[a-z]+@my(company|firm)\.com$`))
	rule("less than", clause("age", flagv1.Operator_OPERATOR_LESS_THAN, 43))
	rule("semver", clause("version", flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN_OR_EQUAL, "1.4.0"))
	rule("date", clause("since", flagv1.Operator_OPERATOR_AFTER, "2026-02-28T00:00:00+01:00"))
	rule("list", clause("groups", flagv1.Operator_OPERATOR_IN, "beta"))
	rule("nested", clause("device.os", flagv1.Operator_OPERATOR_IN, "android"))
	rule("exists", clause("plan", flagv1.Operator_OPERATOR_EXISTS))
	rule("targeting key", clause("targetingKey", flagv1.Operator_OPERATOR_STARTS_WITH, "user-"))

	f = boolFlag("flag")
	f.Rules = []*flagv1.Rule{{
		Id: "first", Clauses: []*flagv1.Clause{clause("email", flagv1.Operator_OPERATOR_ENDS_WITH, "@mycompany.com")},
		Outcome: split("on", 50, "off", 50),
	}}
	add("rule and split", eval.ReasonSplit, f)

	f = boolFlag("flag")
	f.BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_3
	f.DefaultOutcome = split("on", 1, "off", 99)
	add("split, version 3", eval.ReasonSplit, f)

	rule("environmental", clause("$tidegate.region", flagv1.Operator_OPERATOR_IN, "eu-west"))

	f = boolFlag("flag")
	for i := range 10 {
		f.Rules = append(f.Rules, &flagv1.Rule{
			Id: fmt.Sprint("rule-", i),
			Clauses: []*flagv1.Clause{clause([]any{"email", "country", "plan"}[i%3].(string),
				flagv1.Operator_OPERATOR_IN, fmt.Sprint("a", i), fmt.Sprint("b", i), fmt.Sprint("c", i))},
			Outcome: serve("on"),
		})
	}
	add("ten rules", eval.ReasonDefault, f)

	for _, e := range expressionCases() {
		add("expression: "+e.name, eval.ReasonTargetingMatch, conditionFlag(e.text))
	}
	for _, e := range expressionOutcomes() {
		add("expression: "+e.name, eval.ReasonTargetingMatch, outcomeFlag(e.text))
		three := outcomeFlag(e.text)
		three.BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_3
		add("expression: "+e.name+", version 3", eval.ReasonTargetingMatch, three)
	}

	for _, s := range segmentCases() {
		last := &eval.Context{TargetingKey: s.keys[len(s.keys)-1], Attributes: user.Attributes}
		cases = append(cases, benchCase{s.name, s.environment(tb), "flag", last, eval.ReasonTargetingMatch})
	}

	f = boolFlag("flag")
	f.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "parent", Variants: []string{"on"}}}
	parent := boolFlag("parent")
	parent.DefaultOutcome = serve("on")
	add("prerequisite", eval.ReasonDefault, f, parent)

	chain := []any{parent}
	for i := range 30 {
		link := boolFlag("link-" + strconv.Itoa(i))
		link.DefaultOutcome = serve("on")
		link.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "parent", Variants: []string{"on"}}}
		if i > 0 {
			link.Prerequisites[0].FlagKey = "link-" + strconv.Itoa(i-1)
		}
		chain = append(chain, link)
	}
	f = boolFlag("flag")
	f.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "link-29", Variants: []string{"on"}}}
	add("chain of 31 prerequisites", eval.ReasonDefault, f, chain...)
	return cases
}

type expressionCase struct{ name, text string }

// expressionCases are true for the user of the benchmarks.
func expressionCases() []expressionCase {
	many, _ := json.Marshal(append(names("c", 1000), "Canada"))
	return []expressionCase{
		{"equal", `{"==": [{"var": "country"}, "Canada"]}`},
		{"strictly equal", `{"===": [{"var": "age"}, 42]}`},
		{"less", `{"<": [18, {"var": "age"}, 65]}`},
		{"in list", `{"in": [{"var": "country"}, ["US", "Canada"]]}`},
		{"in long list", `{"in": [{"var": "country"}, ` + string(many) + `]}`},
		{"in text", `{"in": ["@my", {"var": "email"}]}`},
		{"in attribute", `{"in": ["beta", {"var": "groups"}]}`},
		{"in computed list", `{"in": [{"var": "plan"}, [{"var": "country"}, "pro"]]}`},
		{"ends_with", `{"ends_with": [{"var": "email"}, "@mycompany.com"]}`},
		{"starts_with", `{"starts_with": [{"var": "targetingKey"}, "user-"]}`},
		{"sem_ver", `{"sem_ver": [{"var": "version"}, ">=", "1.4.0"]}`},
		{"and, or, not", `{"and": [{"or": [{"var": "nothing"}, {"!": {"var": "nothing"}}]}, {"!!": [{"var": "email"}]}]}`},
		{"nested", `{"==": [{"var": "device.os"}, "android"]}`},
		{"list element", `{"==": [{"var": "groups.1"}, "beta"]}`},
		{"default", `{"==": [{"var": ["nothing", 3]}, 3]}`},
		{"missing", `{"missing": ["email", "nothing", "device.model"]}`},
		{"missing_some", `{"!": {"missing_some": [1, ["email", "nothing"]]}}`},
		{"arithmetic", `{"==": [{"%": [{"+": [{"var": "age"}, 1, {"*": [2, 3]}]}, 7]}, 0]}`},
		{"max", `{">": [{"max": [{"var": "age"}, 1]}, {"min": [3, {"var": "account"}]}]}`},
		{"time", `{"and": [{">": [{"var": "$flagd.timestamp"}, 1789999999]}, {"<": [{"var": "$tidegate.weekday"}, 8]}, {"<": [{"var": "$tidegate.timeOfDay"}, 24]}]}`},
	}
}

// expressionOutcomes name a variant for the user of the benchmarks.
func expressionOutcomes() []expressionCase {
	return []expressionCase{
		{"if", `{"if": [{"==": [{"var": "plan"}, "free"]}, "off", {"ends_with": [{"var": "email"}, "@mycompany.com"]}, "on", null]}`},
		{"fractional", `{"fractional": [["on", 25], ["off", 75]]}`},
		{"fractional by attribute", `{"fractional": [{"var": "email"}, ["on", 25], ["off", 75]]}`},
		{"fractional by salt", `{"fractional": [{"cat": ["salt", {"var": "email"}]}, ["on", 25], ["off", 75]]}`},
		{"fractional by key and number", `{"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "account"}]}, ["on", 25], ["off", 75]]}`},
		{"fractional by number or key", `{"fractional": [{"if": [{"var": "nothing"}, {"var": "age"}, {"var": "email"}]}, ["on"], ["off"]]}`},
		{"fractional with computed weights", `{"fractional": [["on", {"%": [{"var": "$flagd.timestamp"}, 100]}], [{"if": [true, "off"]}, 50]]}`},
		{"rule and fractional", `{"if": [{"ends_with": [{"var": "email"}, "@mycompany.com"]}, {"fractional": [["on", 50], ["off", 50]]}, "off"]}`},
	}
}

// segmentCase is a list of keys in one segment or several of the same size.
type segmentCase struct {
	name     string
	keys     []string
	segments int
}

func segmentCases() []segmentCase {
	long := stringsOf(names("user-1", 100_000))
	return []segmentCase{
		{"segment of 10,000", long[:10_000], 1},
		{"segment of 100,000", shortKeys(100_000), 1}, // longer ones take several segments
		{"4 segments of 25,000", long, 4},
	}
}

// environment has a flag that is on for the members of the segments.
func (c segmentCase) environment(tb testing.TB) *eval.Environment {
	var segments, keys []any
	for i := range c.segments {
		each := len(c.keys) / c.segments
		keys = append(keys, "segment-"+strconv.Itoa(i))
		segments = append(segments, segment(keys[i].(string), c.keys[i*each:(i+1)*each]...))
	}
	return environment(tb, append(segments, ruleFlag(clause("", opInSegment, keys...)))...)
}

// Every member in turn: unlike a single one, they do not all stay in the processor's
// cache.
func BenchmarkSegmentMembers(b *testing.B) {
	for _, c := range segmentCases() {
		env := c.environment(b)
		f := env.Flag("flag")
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var ctx eval.Context
			i := 0
			for b.Loop() {
				ctx.TargetingKey = c.keys[i]
				if r := env.EvaluateFlag(f, &ctx); r.Reason != eval.ReasonTargetingMatch {
					b.Fatal(r)
				}
				i = (i + 7919) % len(c.keys)
			}
		})
	}
}

func BenchmarkEvaluateFlag(b *testing.B) {
	for _, c := range benchCases(b) {
		b.Run(c.name, func(b *testing.B) {
			f := c.env.Flag(c.flag)
			b.ReportAllocs()
			for b.Loop() {
				if r := c.env.EvaluateFlag(f, c.ctx); r.Reason != c.want {
					b.Fatal(r)
				}
			}
		})
	}
}

func BenchmarkEvaluate(b *testing.B) {
	for _, c := range benchCases(b) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := c.env.Evaluate(c.flag, c.ctx); r.Reason != c.want {
					b.Fatal(r)
				}
			}
		})
	}
}

// The time does not depend on the number of flags.
func BenchmarkFlags(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		env := environmentOf(b, n)
		ctx := &eval.Context{TargetingKey: "user-1234567"}
		b.Run(fmt.Sprintf("%d/one", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := env.Evaluate("flag-7", ctx); r.Variant == nil {
					b.Fatal(r)
				}
			}
		})
		keys := stringsOf(names("flag-", n))
		b.Run(fmt.Sprintf("%d/all in turn", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if r := env.Evaluate(keys[i], ctx); r.Variant == nil {
					b.Fatal(r)
				}
				i = (i + 1) % n
			}
		})
	}
}

func environmentOf(tb testing.TB, n int) *eval.Environment {
	definitions := make([]any, n)
	for i := range definitions {
		f := boolFlag("flag-" + strconv.Itoa(i))
		f.DefaultOutcome = split("on", 1, "off", 99)
		definitions[i] = f
	}
	return environment(tb, definitions...)
}

// One change among many flags.
func BenchmarkWith(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		env := environmentOf(b, n)
		env.Flags()
		c := changes(b, boolFlag("flag-7"))
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				env.With(c)
			}
		})
		b.Run(strconv.Itoa(n)+" and their order", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				env.With(c).Flags()
			}
		})
	}
}

func BenchmarkWithEverything(b *testing.B) {
	all := eval.Changes{Flags: environmentOf(b, 100_000).Flags()}
	b.ReportAllocs()
	for b.Loop() {
		var none *eval.Environment
		none.With(all)
	}
}

func BenchmarkCompile(b *testing.B) {
	f := ruleFlag(clause("email", opEndsWith, "@mycompany.com"), clause("country", opIn, "Canada"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := eval.Compile(f, 1); err != nil {
			b.Fatal(err)
		}
	}
}
