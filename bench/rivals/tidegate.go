package main

import (
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// tidegate is a case for this project's engine.
type tidegate struct {
	env  *eval.Environment
	flag *eval.Flag
	ctx  *eval.Context
}

// newTidegate compiles the case into an environment that holds as many more flags as
// asked for.
func newTidegate(d definition, moreFlags int) (tidegate, error) {
	var c eval.Changes
	add := func(f flagSpec) error {
		compiled, err := eval.Compile(flagProto(f), 1)
		c.Flags = append(c.Flags, compiled)
		return err
	}
	for _, f := range append(d.other, d.flag) {
		if err := add(f); err != nil {
			return tidegate{}, err
		}
	}
	for i := range moreFlags {
		if err := add(flagSpec{key: fmt.Sprint("another-", i), serves: on}); err != nil {
			return tidegate{}, err
		}
	}
	for _, s := range d.sets {
		compiled, err := eval.CompileSegment(&flagv1.Segment{Key: s.key, Included: s.keys}, 1)
		if err != nil {
			return tidegate{}, err
		}
		c.Segments = append(c.Segments, compiled)
	}
	var empty *eval.Environment
	env := empty.With(c)
	return tidegate{env: env, flag: env.Flag(d.flag.key), ctx: tidegateContext(d.contextKey())}, nil
}

func tidegateContext(key string) *eval.Context {
	return &eval.Context{TargetingKey: key, Attributes: eval.Map{
		"email": attributes["email"], "country": attributes["country"], "plan": attributes["plan"],
		"device": attributes["device"], "language": attributes["language"],
	}}
}

func (t tidegate) evaluateFlag() bool {
	r := t.env.EvaluateFlag(t.flag, t.ctx)
	return r.Variant.Value.Bool
}

func (t tidegate) evaluate() bool {
	r := t.env.Evaluate("flag", t.ctx)
	return r.Variant.Value.Bool
}

func flagProto(f flagSpec) *flagv1.Flag {
	p := &flagv1.Flag{
		Key: f.key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: !f.disabled, OffVariant: "off",
		Variants: []*flagv1.Variant{
			{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)},
		},
		DefaultOutcome: outcomeProto(f.serves),
	}
	if f.prerequisite != "" {
		p.Prerequisites = []*flagv1.Prerequisite{{FlagKey: f.prerequisite, Variants: []string{"on"}}}
	}
	for i, r := range f.rules {
		p.Rules = append(p.Rules, &flagv1.Rule{
			Id: fmt.Sprint("rule-", i), Clauses: []*flagv1.Clause{clauseProto(r)}, Outcome: outcomeProto(r.serves),
		})
	}
	return p
}

func clauseProto(r ruleSpec) *flagv1.Clause {
	c := &flagv1.Clause{Attribute: r.attribute, Operator: flagv1.Operator_OPERATOR_IN}
	if r.operator == "endsWith" {
		c.Operator = flagv1.Operator_OPERATOR_ENDS_WITH
	}
	if len(r.segments) > 0 {
		c.Operator = flagv1.Operator_OPERATOR_IN_SEGMENT
	}
	for _, v := range append(r.values, r.segments...) {
		c.Values = append(c.Values, structpb.NewStringValue(v))
	}
	return c
}

func outcomeProto(s share) *flagv1.Outcome {
	if s.fixed {
		name := "off"
		if s.on > 0 {
			name = "on"
		}
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: name}}
	}
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{Variants: []*flagv1.WeightedVariant{
		{Variant: "on", Weight: uint32(s.on)}, {Variant: "off", Weight: uint32(100_000 - s.on)},
	}}}}
}
