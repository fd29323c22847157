package eval_test

import (
	"strconv"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Short forms of definitions, for the tests.

func value(v any) *structpb.Value {
	p, err := structpb.NewValue(v)
	if err != nil {
		panic(err)
	}
	return p
}

// expression reads JSON.
func expression(text string) *structpb.Value {
	v := &structpb.Value{}
	if err := v.UnmarshalJSON([]byte(text)); err != nil {
		panic(text + ": " + err.Error())
	}
	return v
}

// conditionFlag is on where the expression matches.
func conditionFlag(text string) *flagv1.Flag {
	f := boolFlag("flag")
	f.Rules = []*flagv1.Rule{{Id: "rule", Expression: expression(text), Outcome: serve("on")}}
	return f
}

// outcomeFlag serves the variant that the expression names: on, off, or one of others.
func outcomeFlag(text string, others ...string) *flagv1.Flag {
	f := boolFlag("flag")
	for _, name := range others {
		f.Variants = append(f.Variants, variant(name, true))
	}
	f.Rules = []*flagv1.Rule{{
		Id: "rule", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: expression(text)}},
	}}
	return f
}

func variant(name string, v any) *flagv1.Variant {
	return &flagv1.Variant{Name: name, Value: value(v)}
}

func serve(name string) *flagv1.Outcome {
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: name}}
}

// split takes names and weights in turn.
func split(shares ...any) *flagv1.Outcome {
	s := &flagv1.Split{}
	for i := 0; i < len(shares); i += 2 {
		s.Variants = append(s.Variants, &flagv1.WeightedVariant{
			Variant: shares[i].(string), Weight: uint32(shares[i+1].(int)),
		})
	}
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: s}}
}

func clause(attribute string, o flagv1.Operator, values ...any) *flagv1.Clause {
	c := &flagv1.Clause{Attribute: attribute, Operator: o}
	for _, v := range values {
		c.Values = append(c.Values, value(v))
	}
	return c
}

func segment(key string, included ...string) *flagv1.Segment {
	return &flagv1.Segment{Key: key, Included: included}
}

func names(prefix string, n int) []any {
	all := make([]any, n)
	for i := range all {
		all[i] = prefix + strconv.Itoa(i)
	}
	return all
}

// shortKeys makes keys of three characters, of which 100,000 fit into one segment.
func shortKeys(n int) []string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	all := make([]string, n)
	for i := range all {
		all[i] = string([]byte{digits[i/62/62], digits[i/62%62], digits[i%62]})
	}
	return all
}

func stringsOf(values []any) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = v.(string)
	}
	return all
}

// environment compiles flags and segments.
func environment(tb testing.TB, definitions ...any) *eval.Environment {
	tb.Helper()
	var none *eval.Environment
	return none.With(changes(tb, definitions...))
}

func changes(tb testing.TB, definitions ...any) eval.Changes {
	tb.Helper()
	var c eval.Changes
	for _, d := range definitions {
		var err error
		switch d := d.(type) {
		case *flagv1.Flag:
			var f *eval.Flag
			f, err = eval.Compile(d, 1)
			c.Flags = append(c.Flags, f)
		case *flagv1.Segment:
			var s *eval.Segment
			s, err = eval.CompileSegment(d, 1)
			c.Segments = append(c.Segments, s)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	return c
}
