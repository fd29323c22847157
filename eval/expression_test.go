package eval_test

import (
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// What an expression comes to, beside a value.
const (
	null   = "null"
	failed = "PARSE_ERROR"
	noName = "GENERAL"
)

// resultOf evaluates an expression as the outcome of a rule, and returns the variant that
// it names, which the flag has if it is the wanted one; null; or an error code.
func resultOf(t *testing.T, f *flagv1.Flag, ctx *eval.Context) string {
	t.Helper()
	r := environment(t, f).Evaluate(f.GetKey(), ctx)
	switch {
	case r.ErrorCode != "" && r.Reason == eval.ReasonError && r.Variant == nil && r.Rule == "rule":
		return string(r.ErrorCode)
	case r.Reason == eval.ReasonDefault && r.Rule == "":
		return null
	case r.Reason == eval.ReasonTargetingMatch && r.Rule == "rule" && r.ErrorCode == "":
		return r.Variant.Name
	}
	t.Fatalf("unexpected result %+v", r)
	return ""
}

// contexts returns the same attributes in both forms.
func contexts(t *testing.T, attributes string) []*eval.Context {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal([]byte(attributes), &m); err != nil {
		t.Fatal(err)
	}
	key, _ := m["targetingKey"].(string)
	s, err := structpb.NewStruct(m)
	if err != nil {
		t.Fatal(err)
	}
	return []*eval.Context{
		{TargetingKey: key, Attributes: eval.Map(m), Region: "eu-west", Now: 1_790_000_000},
		{TargetingKey: key, Attributes: eval.StructAttributes(s), Region: "eu-west", Now: 1_790_000_000},
	}
}

func expectResult(t *testing.T, text, attributes, want string) {
	t.Helper()
	for _, ctx := range contexts(t, attributes) {
		f := outcomeFlag(text)
		if want != null && want != failed && want != noName && want != "on" && want != "off" {
			f.Variants = append(f.Variants, variant(want, true))
		}
		if got := resultOf(t, f, ctx); got != want {
			t.Errorf("%s over %s: %s, want %s", text, attributes, got, want)
		}
	}
}

const someone = `{"targetingKey": "user-1", "email": "a@faas.com", "age": 42, "pro": true, "score": "7",
	"device": {"os": "android", "sizes": [5, 6.5]}, "groups": ["staff", "beta"], "none": null, "blank": " ",
	"people": [{"name": "ada", "age": 36, "tags": ["x"]}, {"name": "bob", "age": 17, "tags": []}], "numbers": [3, 1, 2], "empty": [],
	"liars": [{"$flagd": {"flagKey": "mine", "timestamp": 1}, "$flagdx": 1, "$tidegate": {"region": "mine"}}],
	"$flagd": {"flagKey": "mine", "timestamp": 1}, "$flagd.flagKey": "mine", "$tidegate.region": "mine", "$tidegate": {"region": "mine"}, "$flagdx": 1}`

// flagd.md, section 4: the operators that flagd's schema lists, as flagd's library
// evaluates them.
func TestExpressionOperators(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		// var
		{`{"var": "age"}`, "42"},
		{`{"var": ["age"]}`, "42"},
		{`{"var": "device.os"}`, "android"},
		{`{"var": "device.sizes.1"}`, "6.5"},
		{`{"var": "device.sizes.2"}`, null},
		{`{"var": "device.sizes.x"}`, null},
		{`{"var": "device..os."}`, "android"},
		{`{"var": "age.x"}`, null},
		{`{"var": ["nothing", "fallback"]}`, "fallback"},
		{`{"var": ["none", "fallback"]}`, "fallback"},
		{`{"var": ["device.x", {"var": "age"}]}`, "42"},
		{`{"var": {"cat": ["device", ".os"]}}`, "android"},
		{`{"var": {"merge": ["nothing", "fallback"]}}`, "fallback"},
		{`{"var": [{"var": "nothing"}]}`, failed},
		{`{"var": {"var": "nothing"}}`, null},
		{`{"var": {"var": "pro"}}`, failed},
		{`{"var": "targetingKey"}`, "user-1"},
		{`{"var": "targetingKey.0"}`, null},
		{`{"!!": {"var": ""}}`, "true"},
		{`{"!!": {"var": []}}`, "true"},
		{`{"var": ""}`, noName},
		{`{"var": null}`, null},
		{`{"var": 1}`, null},

		// missing, missing_some
		{`{"cat": {"missing": ["email", "nothing", "device.os", "device.x", "none"]}}`, "nothingdevice.xnone"},
		{`{"cat": {"missing": "nothing"}}`, "nothing"},
		{`{"cat": {"missing": {"merge": ["nothing", {"if": [{"var": "pro"}, ["other"], []]}]}}}`, "nothingother"},
		{`{"!!": {"missing": ["email"]}}`, "false"},
		{`{"missing": {"var": "pro"}}`, failed},
		{`{"cat": {"missing_some": [1, ["nothing", "other"]]}}`, "nothingother"},
		{`{"!!": {"missing_some": [1, ["nothing", "email"]]}}`, "false"},
		{`{"cat": {"missing_some": [2, ["nothing", "email"]]}}`, "nothing"},
		{`{"!!": {"missing_some": ["0", ["nothing"]]}}`, "false"},
		{`{"missing_some": [true, ["nothing"]]}`, failed},

		// if
		{`{"if": [true, "on", "off"]}`, "on"},
		{`{"if": [false, "on"]}`, null},
		{`{"if": []}`, null},
		{`{"if": ["only"]}`, "only"},
		{`{"if": [0, "a", "", "b", [], "c", null, "d", {"var": "empty"}, "e", "f"]}`, "f"},
		{`{"if": ["0", "on", "off"]}`, "on"},
		{`{"if": [{"var": "device"}, "on", "off"]}`, "on"},
		{`{"if": [true, "on", {"+": [true]}]}`, "on"},

		// == and ===
		{`{"==": [{"var": "score"}, 7]}`, "true"},
		{`{"==": [{"var": "pro"}, 1]}`, "true"},
		{`{"==": [{"var": "blank"}, 0]}`, "true"},
		{`{"==": ["a", 0]}`, "false"},
		{`{"==": ["1.0", "1"]}`, "false"},
		{`{"==": [{"var": "none"}, null]}`, "true"},
		{`{"==": [null, 0]}`, "false"},
		{`{"==": [[1], [1]]}`, "false"},
		{`{"===": [{"var": "score"}, 7]}`, "false"},
		{`{"===": [{"var": "score"}, "7"]}`, "true"},
		{`{"===": [null, {"var": "nothing"}]}`, "true"},
		{`{"!=": [{"var": "score"}, 7]}`, "false"},
		{`{"!==": [{"var": "score"}, 7]}`, "true"},

		// < <= > >=
		{`{"<": ["a", "b"]}`, "true"},
		{`{"<": ["10", "9"]}`, "true"},
		{`{"<": ["10", 9]}`, "false"},
		{`{"<": [null, 1]}`, "true"},
		{`{"<=": [null, 0]}`, "false"},
		{`{"<": ["x", 1]}`, "false"},
		{`{"<": [18, {"var": "age"}, 65]}`, "true"},
		{`{"<=": [42, {"var": "age"}, 42]}`, "true"},
		{`{">": [65, {"var": "age"}, 18]}`, "true"},
		{`{">=": [{"var": "age"}, 43]}`, "false"},
		{`{">=": [42, {"var": "age"}, 42]}`, "true"},

		// arithmetic
		{`{"+": [1, "2", 3.5]}`, "6.5"},
		{`{"+": "3.14"}`, "3.14"},
		{`{"+": ["abc"]}`, "0"},
		{`{"+": []}`, "0"},
		{`{"+": {"var": "numbers"}}`, "6"},
		{`{"+": [true]}`, failed},
		{`{"+": [{"var": "nothing"}]}`, failed},
		{`{"-": [5, 2, 1]}`, "2"},
		{`{"-": [5]}`, "-5"},
		{`{"*": [2, 3, "4"]}`, "24"},
		{`{"*": []}`, "1"},
		{`{"/": [9, 2]}`, "4.5"},
		{`{"/": [1, 0]}`, failed}, // no number in JSON
		{`{"%": [7, 3]}`, "1"},
		{`{"%": [-7, 3]}`, "-1"},
		{`{"max": [1, 3, "2"]}`, "3"},
		{`{"min": {"var": "numbers"}}`, "1"},
		{`{"max": []}`, null},
		{`{"min": 1}`, null},
		{`{"+": [0.1, 0.2]}`, "0.30000000000000004"},
		{`{"*": [1e21, 1]}`, "1e+21"},
		{`{"*": [1e-7, 1]}`, "1e-7"},

		// ! !! or and
		{`{"!": [true]}`, "false"},
		{`{"!": [[]]}`, "true"},
		{`{"!": []}`, "true"},
		{`{"!": {"var": "nothing"}}`, "true"},
		{`{"!": {"var": "numbers"}}`, "false"},
		{`{"!!": ["0"]}`, "true"},
		{`{"!!": [{"var": "empty"}]}`, "false"},
		{`{"or": [0, "", {"var": "email"}, "x"]}`, "a@faas.com"},
		{`{"or": [0, false]}`, "false"},
		{`{"or": []}`, null},
		{`{"and": [1, "a", {"var": "age"}]}`, "42"},
		{`{"and": [1, 0, {"+": [true]}]}`, "0"},

		// in
		{`{"in": ["@faas.com", {"var": "email"}]}`, "true"},
		{`{"in": ["beta", {"var": "groups"}]}`, "true"},
		{`{"in": [{"var": "age"}, [41, "42"]]}`, "true"},
		{`{"in": [{"var": "age"}, [[40, 50]]]}`, "true"},
		{`{"in": [{"var": "age"}, [[43, 50], 1]]}`, "false"},
		{`{"in": [{"var": "score"}, [7]]}`, "false"},
		{`{"in": [null, [1, null]]}`, "true"},
		{`{"in": [true, [true]]}`, "true"},
		{`{"in": ["a", {"var": "nothing"}]}`, "false"},
		{`{"in": [1, "123"]}`, failed},
		{`{"in": [1, [true, 1]]}`, failed},
		{`{"in": [1, [1, true]]}`, "true"},
		{`{"in": [{"var": "email"}, [{"var": "nothing"}, {"var": "email"}]]}`, "true"},

		// cat, substr, merge
		{`{"cat": ["I love ", 1, " pie "]}`, "I love 1 pie"},
		{`{"cat": [" x "]}`, " x "},
		{`{"cat": "x"}`, "x"},
		{`{"cat": ["a", null, "b"]}`, "ab"},
		{`{"cat": [true]}`, failed},
		{`{"cat": 1}`, failed},
		{`{"cat": {"var": "numbers"}}`, "312"},
		{`{"substr": ["jsonlogic", 4]}`, "logic"},
		{`{"substr": ["jsonlogic", -5]}`, "logic"},
		{`{"substr": ["jsonlogic", 1, 3]}`, "son"},
		{`{"substr": ["jsonlogic", 4, -2]}`, "log"},
		{`{"substr": ["jsonlogic", 5, -6]}`, failed},
		{`{"substr": ["jsonlogic", -20]}`, "jsonlogic"},
		{`{"substr": ["jsonlogic", 20]}`, "jsonlogic"},
		{`{"substr": ["äöü", 1, 1]}`, "ö"},
		{`{"substr": [12345, 1, 2]}`, "23"},
		{`{"cat": {"merge": [[1, 2], 3, {"var": "numbers"}, []]}}`, "123312"},
		{`{"cat": {"merge": "x"}}`, "x"},

		// map, filter, reduce, all, none, some
		{`{"cat": {"map": [{"var": "numbers"}, {"*": [{"var": ""}, 2]}]}}`, "624"},
		{`{"cat": {"map": [{"var": "people"}, {"var": "name"}]}}`, "adabob"},
		{`{"cat": {"map": [[{"x": 1}, {"x": 2}], {"var": "x"}]}}`, "12"},
		{`{"!!": {"map": [{"var": "nothing"}, 1]}}`, "false"},
		{`{"map": [{"var": "age"}, 1]}`, failed},
		{`{"cat": {"map": [{"filter": [{"var": "people"}, {">=": [{"var": "people_limit"}, 18]}]}, {"var": "name"}]}}`, ""},
		{`{"reduce": [{"var": "numbers"}, {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]}`, "6"},
		{`{"reduce": [{"var": "people"}, {"cat": [{"var": "accumulator"}, {"var": "current.name"}]}, ""]}`, "adabob"},
		{`{"reduce": [{"var": "numbers"}, {"var": "current"}, true]}`, "true"},
		{`{"reduce": [{"var": "nothing"}, {"var": "current"}, 5]}`, "0"},
		{`{"reduce": [{"var": "numbers"}, {"var": "valueType"}, "x"]}`, "string"},
		{`{"reduce": [{"var": "numbers"}, {"var": "current"}, null]}`, failed},
		{`{"all": [{"var": "numbers"}, {">": [{"var": ""}, 0]}]}`, "true"},
		{`{"all": [{"var": "empty"}, {">": [{"var": ""}, 0]}]}`, "false"},
		{`{"none": [{"var": "people"}, {"==": [{"var": "name"}, "eve"]}]}`, "true"},
		{`{"none": [{"var": "nothing"}, true]}`, "true"},
		{`{"some": [{"var": "people"}, {"==": [{"var": "name"}, "bob"]}]}`, "true"},
		{`{"some": [{"var": "people"}, {"some": [{"var": "tags"}, {"==": [{"var": ""}, "x"]}]}]}`, "true"},
		{`{"some": [{"var": "age"}, true]}`, failed},
		// What is around the list hides what is in it, but not from 'map' and 'reduce', nor
		// where the path begins with a dot.
		{`{"some": [{"var": "people"}, {"==": [{"var": "age"}, 36]}]}`, "false"},
		{`{"some": [{"var": "people"}, {"==": [{"var": ".age"}, 36]}]}`, "true"},
		{`{"in": [36, {"map": [{"var": "people"}, {"var": "age"}]}]}`, "true"},

		// results
		{`"on"`, "on"},
		{`true`, "true"},
		{`["on"]`, noName},
		{`{"var": "groups"}`, noName},
		{`"\"on\""`, "on"},
		{`"missing variant"`, noName},
	} {
		if c.want == "" {
			c.text, c.want = `{"==": [`+c.text+`, ""]}`, "true"
		}
		if c.text == `"missing variant"` {
			for _, ctx := range contexts(t, someone) {
				if got := resultOf(t, outcomeFlag(c.text), ctx); got != noName {
					t.Errorf("%s: %s", c.text, got)
				}
			}
			continue
		}
		expectResult(t, c.text, someone, c.want)
	}
}

// flagd.md, section 4: flagd's own operators. What they cannot take gives null.
func TestFlagdOperators(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"starts_with": [{"var": "email"}, "a@"]}`, "true"},
		{`{"starts_with": [{"var": "email"}, "A@"]}`, "false"},
		{`{"starts_with": [{"var": "age"}, "4"]}`, null},
		{`{"ends_with": [{"var": "email"}, "@faas.com"]}`, "true"},
		{`{"ends_with": ["x", ""]}`, "true"},
		{`{"ends_with": [{"var": "nothing"}, "x"]}`, null},

		{`{"sem_ver": ["1.2.3", "=", "1.2.3"]}`, "true"},
		{`{"sem_ver": ["1.2.3", "!=", "1.2.4"]}`, "true"},
		{`{"sem_ver": ["1.2.3", "<", "1.10.0"]}`, "true"},
		{`{"sem_ver": ["1.2.3", "<=", "1.2.3"]}`, "true"},
		{`{"sem_ver": ["1.2.3", ">", "1.2.3-rc.1"]}`, "true"},
		{`{"sem_ver": ["1.2.3", ">=", "1.2.4"]}`, "false"},
		{`{"sem_ver": ["1.2.3", "^", "1.9.0"]}`, "true"},
		{`{"sem_ver": ["1.2.3", "^", "2.0.0"]}`, "false"},
		{`{"sem_ver": ["1.2.3", "~", "1.2.9"]}`, "true"},
		{`{"sem_ver": ["1.2.3", "~", "1.3.0"]}`, "false"},
		{`{"sem_ver": ["v1.2.3", "=", "V1.2.3"]}`, "true"},
		{`{"sem_ver": ["1", "=", "1.0.0"]}`, "true"},
		{`{"sem_ver": ["1.2", "=", "1.2.0+build"]}`, "true"},
		{`{"sem_ver": [{"var": "age"}, ">", "41.9.9"]}`, "true"},
		{`{"sem_ver": [{"var": "score"}, {"var": "nothing"}, "7"]}`, null},
		{`{"sem_ver": ["1.2.3", {"cat": ["<", "="]}, {"cat": ["1.2", ".4"]}]}`, "true"},
		{`{"sem_ver": ["1.2.3", "<>", "1.2.3"]}`, null},
		{`{"sem_ver": ["one", "=", "1.2.3"]}`, null},
		{`{"sem_ver": [{"var": "pro"}, "=", "1.2.3"]}`, null},
	} {
		expectResult(t, c.text, someone, c.want)
	}
}

// flagd.md, section 3: decision order, step 3.
func TestExpressionDecides(t *testing.T) {
	ctx := contexts(t, someone)[0]
	f := outcomeFlag(`{"if": [{"var": "nothing"}, "on", null]}`)
	f.Rules = append(f.Rules, &flagv1.Rule{Id: "next", Outcome: serve("on")})
	if r := environment(t, f).Evaluate("flag", ctx); r.Rule != "next" || r.Variant.Name != "on" {
		t.Errorf("null does not lead to the next rule: %+v", r)
	}

	// A condition, then a plain outcome, a split, or another expression.
	f = conditionFlag(`{"ends_with": [{"var": "email"}, "@faas.com"]}`)
	f.Rules[0].Outcome = split("on", 1, "off", 0)
	if r := environment(t, f).Evaluate("flag", ctx); r.Reason != eval.ReasonSplit || r.Variant.Name != "on" {
		t.Errorf("condition and split: %+v", r)
	}
	f.Rules[0].Outcome = outcomeFlag(`{"if": [{"var": "pro"}, "on"]}`).GetRules()[0].GetOutcome()
	if r := environment(t, f).Evaluate("flag", ctx); r.Reason != eval.ReasonTargetingMatch || r.Variant.Name != "on" || r.Rule != "rule" {
		t.Errorf("two expressions: %+v", r)
	}
	f.Rules[0].Expression = expression(`{"var": "nothing"}`)
	if r := environment(t, f).Evaluate("flag", ctx); r.Reason != eval.ReasonDefault {
		t.Errorf("a condition that does not hold: %+v", r)
	}

	// Clauses, then an expression.
	f = outcomeFlag(`"on"`)
	f.Rules[0].Clauses = []*flagv1.Clause{clause("email", opEndsWith, "@faas.com")}
	if r := environment(t, f).Evaluate("flag", ctx); r.Variant.Name != "on" {
		t.Errorf("clauses and an expression: %+v", r)
	}
	f.Rules[0].Clauses[0].Negate = true
	if r := environment(t, f).Evaluate("flag", ctx); r.Reason != eval.ReasonDefault {
		t.Errorf("clauses that do not hold: %+v", r)
	}
}

func TestExpressionErrors(t *testing.T) {
	ctx := contexts(t, someone)[0]
	for _, c := range []struct{ name, got, want string }{
		{
			"a name that is no variant", environment(t, outcomeFlag(`{"var": "email"}`)).Evaluate("flag", ctx).ErrorMessage(),
			`flag "flag" (rule "rule"): the result of its expression is "a@faas.com", which is not the name of a variant; it has "on", "off"`,
		},
		{
			"a list", environment(t, outcomeFlag(`{"var": "groups"}`)).Evaluate("flag", ctx).ErrorMessage(),
			`flag "flag" (rule "rule"): the result of its expression is no text, number or boolean that names a variant; it has "on", "off"`,
		},
		{
			"an operand", environment(t, conditionFlag(`{"%": [{"var": "groups"}, 2]}`)).Evaluate("flag", ctx).ErrorMessage(),
			`flag "flag" (rule "rule"): its expression failed for this context: the operator '%' met a value of a type that it does not take`,
		},
		{
			"too much work", environment(t, conditionFlag(bigProduct)).Evaluate("flag", manyNumbers(2000)).ErrorMessage(),
			`flag "flag" (rule "rule"): its expression failed for this context: it took too many steps; give it a smaller context`,
		},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, c.got, c.want)
		}
	}
}

// bigProduct looks at each pair of numbers.
const bigProduct = `{"some": [{"var": "list"}, {"some": [{"var": "list"}, {"<": [{"var": ""}, 0]}]}]}`

func manyNumbers(n int) *eval.Context {
	list := make([]any, n)
	for i := range list {
		list[i] = float64(i)
	}
	return &eval.Context{Attributes: eval.Map{"list": list}}
}

// However large the context, an expression ends soon, and makes no more than it may.
func TestExpressionWorkIsBounded(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	texts := make([]any, 2000)
	for i := range texts {
		texts[i] = strings.Repeat("y", 1<<10) + string(rune('a'+i%26))
	}
	ctx := manyNumbers(2000)
	ctx.Attributes.(eval.Map)["long"] = long
	ctx.Attributes.(eval.Map)["longer"] = long + "y"
	ctx.Attributes.(eval.Map)["texts"] = texts
	objects, ranges, wide := make([]any, 2000), make([]any, 2000), map[string]any{}
	for i := range objects {
		objects[i], ranges[i] = map[string]any{"a": 1.0}, []any{1.0, 2.0}
		wide[strings.Repeat("z", i)] = 1.0
	}
	ctx.Attributes.(eval.Map)["objects"] = objects
	ctx.Attributes.(eval.Map)["ranges"] = ranges
	ctx.Attributes.(eval.Map)["wide"] = wide
	ctx.Attributes.(eval.Map)["digits"] = []any{strings.Repeat("1", 1<<18), "1"}
	ctx.Attributes.(eval.Map)["paths"] = []any{strings.Repeat("a.", 1<<16)}
	for _, text := range []string{
		bigProduct,
		`{"reduce": [{"var": "list"}, {"cat": [{"var": "accumulator"}, {"var": "accumulator"}]}, "ab"]}`,
		`{"filter": [{"var": "list"}, {"var": "long"}]}`, // charged by the length of what is read
		`{"some": [{"var": "list"}, {"in": ["z", {"var": "long"}]}]}`,
		`{"filter": [{"var": "list"}, {"==": [{"var": "long"}, {"cat": [{"var": "long"}]}]}]}`,
		`{"filter": [{"var": "list"}, {"starts_with": [{"var": "longer"}, {"var": "long"}]}]}`,
		`{"some": [{"var": "list"}, {"+": [{"var": "long"}]}]}`,
		`{"some": [{"var": "texts"}, {"in": [{"cat": [{"var": ""}, "!"]}, {"var": "texts"}]}]}`,
		`{"filter": [{"var": "list"}, {"merge": [{"var": "list"}, {"var": "list"}]}]}`,
		`{"filter": [{"var": "list"}, {"missing": {"var": "texts"}}]}`,
		`{"filter": [{"var": "list"}, {"fractional": [{"var": "long"}, ["a", 1]]}]}`,
		`{"filter": [{"var": "list"}, {"substr": [{"var": "long"}, 1]}]}`,
		`{"filter": [{"var": "list"}, {"sem_ver": [{"var": "long"}, "=", "1"]}]}`,
		`{"filter": [{"var": "list"}, {"max": {"var": "list"}}]}`,

		// constants are operands too, and take time by their length
		`{"map": [{"var": "list"}, [{"var": ""}, ` + repeated("null", 1000) + `]]}`,
		`{"some": [{"var": "list"}, {"in": [-1, [{"var": ""}, ` + repeated("0", 1000) + `]]}]}`,
		`{"filter": [{"var": "list"}, {"+": [1, {"var": ""}, ` + repeated("0", 1000) + `]}]}`,
		`{"filter": [{"var": "list"}, {"or": [` + repeated("null", 1000) + `, {"var": ""}]}]}`,
		`{"filter": [{"var": "list"}, {"if": [` + repeated("null", 1000) + `, {"var": ""}]}]}`,
		`{"filter": [{"var": "list"}, {"==": [{"var": ""}, "` + strings.Repeat("1", 1<<17) + `"]}]}`,
		`{"filter": [{"var": "list"}, {"substr": ["` + strings.Repeat("1", 1<<17) + `", 0, {"var": ""}]}]}`,
		`{"filter": [{"var": "objects"}, {"fractional": ["` + strings.Repeat("1", 1<<17) + `", ["a", 1], ["b", {"var": ""}]]}]}`,

		// what a list holds is looked at by its length
		`{"filter": [{"var": "list"}, {"+": {"var": "digits"}}]}`,
		`{"filter": [{"var": "list"}, {"min": {"var": "digits"}}]}`,
		`{"some": [{"var": "list"}, {"in": ["x", [{"var": "digits"}]]}]}`,
		`{"in": [{"var": "long"}, {"var": "ranges"}]}`,

		// paths
		`{"filter": [{"var": "list"}, {"missing": {"var": "paths"}}]}`,
		`{"filter": [{"var": "list"}, {"var": "` + strings.Repeat("a.", 1<<14) + `"}]}`,
		`{"filter": [{"var": "list"}, {"missing": ["` + strings.Repeat("a.", 1<<14) + `"]}]}`,

		// what is hashed in whole
		`{"filter": [{"var": "objects"}, {"fractional": [{"var": "wide"}, ["a", 1]]}]}`,
	} {
		f := outcomeFlag(text)
		f.BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_3
		if got := resultOf(t, f, ctx); got != failed {
			t.Errorf("%.200s: %s", text, got)
		}
	}
}

// repeated lists a text.
func repeated(text string, n int) string { return strings.Repeat(text+", ", n-1) + text }
