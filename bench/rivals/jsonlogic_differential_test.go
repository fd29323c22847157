package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/diegoholiveira/jsonlogic/v3"
	"golang.org/x/mod/semver"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// The library that flagd evaluates with, beside the engine's expressions: random
// expressions of all operators over random contexts come to the same result, or fail in
// both.
//
// Where the engine means to differ, the generator does not go:
//
//   - Data is never evaluated. The library takes an object with one member, that comes
//     out of 'if' or is found by a 'var' within 'filter', 'all', 'none' or 'some', for an
//     operation: so a caller could write parts of a flag. (Objects in contexts have no or
//     several members here.)
//   - 'all', 'none', 'some' and 'reduce' evaluate whatever they are given; the library
//     fails on what is no operation, also where a 'var' was replaced by its value before.
//   - Within 'filter', 'all', 'none' and 'some', a 'var' that fails in the data around
//     fails the library also where it is never reached.
//   - A list to run over that is found as text in the data around is an error, as it is
//     elsewhere; the library takes it for an empty list.
//   - '-' and '/' of nothing are the number 0; the library's 0 is an int, which its other
//     operators fail on.
//   - Lengths and positions beyond what memory can hold are cut; in the library they are
//     what the processor makes of them.
//   - What is refused when a flag is compiled: unknown operators, objects with several
//     members, wrong numbers of operands, paths of 'var' that cannot be any.
func TestExpressionsAgreeWithFlagdsLibrary(t *testing.T) {
	rounds := 10_000
	if s := os.Getenv("ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	registerFlagdOperators()
	var met outcomes
	for seed := range uint64(rounds) {
		g := &generator{rand.New(rand.NewPCG(seed, 1))}
		context := g.context()
		expression := g.expression(g.IntN(4)+1, scopeContext)
		met.count(compare(t, seed, expression, context))
		if t.Failed() {
			t.FailNow()
		}
		// What the result is made of, if it is a list.
		met.count(compare(t, seed, joined(expression), context))
	}
	t.Logf("%+v", met)
	for what, n := range map[string]int{"failures": met.failed, "null": met.null, "lists and objects": met.compound, "scalars": met.scalar} {
		if n < rounds/50 {
			t.Errorf("%s: only %d", what, n)
		}
	}
}

// outcomes tells whether the test met everything.
type outcomes struct{ failed, null, compound, scalar int }

func (o *outcomes) count(result any, err error) {
	switch result.(type) {
	case []any, map[string]any:
		o.compound++
	case nil:
		if err != nil {
			o.failed++
		} else {
			o.null++
		}
	default:
		o.scalar++
	}
}

// joined makes one text of a list.
func joined(expression any) any {
	return operation("reduce", operation("merge", expression), operation("cat", variable("accumulator"), ",", operation("if", variable("current.b"), "object", variable("current"))), ".")
}

// compare evaluates an expression as the condition and as the outcome of a rule, and
// returns what the library makes of it.
func compare(t *testing.T, seed uint64, expression any, context map[string]any) (any, error) {
	t.Helper()
	want, err := jsonlogic.ApplyInterface(expression, context)
	describe := func() string {
		e, _ := json.Marshal(expression)
		c, _ := json.Marshal(context)
		return fmt.Sprintf("seed %d: %s over %s: %#v, %v", seed, e, c, want, err)
	}
	definition, e := structpb.NewValue(expression)
	if e != nil {
		t.Fatal(e)
	}
	attributes, e := structpb.NewStruct(withoutReserved(context))
	if e != nil {
		t.Fatal(e)
	}
	key, _ := context["targetingKey"].(string)
	for _, a := range []eval.Attributes{eval.StructAttributes(attributes), eval.Map(withoutReserved(context))} {
		ctx := &eval.Context{TargetingKey: key, Attributes: a, Now: timestamp}

		r := evaluateRule(t, describe, &flagv1.Rule{Id: "r", Expression: definition, Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "matched"}}}, ctx, "matched")
		switch {
		case err != nil:
			if r.ErrorCode != eval.ParseError {
				t.Errorf("%s: as condition: %+v", describe(), r)
			}
		case (r.Variant != nil) != truthy(want) || r.ErrorCode != "":
			t.Errorf("%s: as condition: %+v", describe(), r)
		}

		name, named := resultName(want)
		r = evaluateRule(t, describe, &flagv1.Rule{Id: "r", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: definition}}}, ctx, name)
		f, isNumber := want.(float64)
		switch {
		case err != nil, isNumber && (math.IsNaN(f) || math.IsInf(f, 0)):
			if r.ErrorCode != eval.ParseError {
				t.Errorf("%s: as outcome: %+v", describe(), r)
			}
		case want == nil:
			if r.Reason != eval.ReasonDefault {
				t.Errorf("%s: as outcome: %+v", describe(), r)
			}
		case !named:
			if r.ErrorCode != eval.General {
				t.Errorf("%s: as outcome: %+v", describe(), r)
			}
		case r.Variant == nil || r.Variant.Name != name || r.Reason != eval.ReasonTargetingMatch:
			t.Errorf("%s: as outcome, want %q: %+v (%s)", describe(), name, r, r.ErrorMessage())
		}
	}
	return want, err
}

// resultName is the name of the variant that a result chooses, if a variant can be
// called so.
func resultName(result any) (string, bool) {
	switch result.(type) {
	case string, float64, bool:
	default:
		return "other", false
	}
	text, err := json.Marshal(result)
	name := strings.ReplaceAll(string(text), `"`, "")
	if err != nil || name == "" || len(name) > 128 {
		return "other", false
	}
	return name, true
}

func evaluateRule(t *testing.T, describe func() string, r *flagv1.Rule, ctx *eval.Context, variants ...string) eval.Result {
	t.Helper()
	f := &flagv1.Flag{Key: flagKey, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, Rules: []*flagv1.Rule{r}}
	for _, name := range variants {
		f.Variants = append(f.Variants, &flagv1.Variant{Name: name, Value: structpb.NewBoolValue(true)})
	}
	compiled, err := eval.Compile(f, 1)
	if err != nil {
		t.Fatalf("%s: %v", describe(), err)
	}
	var none *eval.Environment
	return none.With(eval.Changes{Flags: []*eval.Flag{compiled}}).Evaluate(flagKey, ctx)
}

func truthy(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return false
}

const (
	flagKey   = "flag"
	timestamp = 1_790_000_000
)

func withoutReserved(context map[string]any) map[string]any {
	rest := make(map[string]any, len(context))
	for name, v := range context {
		if name != "$flagd" && name != "targetingKey" {
			rest[name] = v
		}
	}
	return rest
}

// registerFlagdOperators gives the library flagd's operators, written from their
// published behaviour.
func registerFlagdOperators() {
	jsonlogic.AddOperator("starts_with", func(values, _ any) any { return flagdAffix(values, strings.HasPrefix) })
	jsonlogic.AddOperator("ends_with", func(values, _ any) any { return flagdAffix(values, strings.HasSuffix) })
	jsonlogic.AddOperator("sem_ver", func(values, _ any) any { return flagdVersions(values) })
}

func flagdAffix(values any, has func(s, affix string) bool) any {
	list, _ := values.([]any)
	if len(list) != 2 {
		return nil
	}
	s, ok := list[0].(string)
	affix, affixOK := list[1].(string)
	if !ok || !affixOK {
		return nil
	}
	return has(s, affix)
}

func flagdVersions(values any) any {
	list, _ := values.([]any)
	if len(list) != 3 {
		return nil
	}
	version := func(v any) string {
		return "v" + strings.TrimPrefix(strings.TrimPrefix(fmt.Sprint(v), "v"), "V")
	}
	a, b := version(list[0]), version(list[2])
	if !semver.IsValid(a) || !semver.IsValid(b) {
		return nil
	}
	order := semver.Compare(a, b)
	switch list[1] {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	case "^":
		return semver.Major(a) == semver.Major(b)
	case "~":
		return semver.MajorMinor(a) == semver.MajorMinor(b)
	}
	return nil
}
