package main

import (
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// newEvaluateFlag builds the case for this project's engine, with the flag in hand.
func newEvaluateFlag(d definition) (contender, error) {
	env, err := newEnvironment(d)
	if err != nil {
		return contender{}, err
	}
	flag, ctx := env.Flag(d.flag.key), tidegateContext(d.contextKey())
	return contender{decide: func() bool {
		r := env.EvaluateFlag(flag, ctx)
		return r.Variant.Value.Bool
	}}, nil
}

// newEvaluate is newEvaluateFlag with a look-up of the flag by its key.
func newEvaluate(d definition) (contender, error) {
	env, err := newEnvironment(d)
	if err != nil {
		return contender{}, err
	}
	key, ctx := d.flag.key, tidegateContext(d.contextKey())
	return contender{decide: func() bool {
		r := env.Evaluate(key, ctx)
		return r.Variant.Value.Bool
	}}, nil
}

// newExpression builds a flag whose only rule serves what the expression names.
func newExpression(e expression) (contender, error) {
	expression := &structpb.Value{}
	if err := expression.UnmarshalJSON([]byte(e.json)); err != nil {
		return contender{}, err
	}
	definition := flagProto(flagSpec{key: expressionFlag, serves: off})
	definition.Rules = []*flagv1.Rule{{
		Id: "targeting", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: expression}},
	}}
	flag, err := eval.Compile(definition, 1)
	if err != nil {
		return contender{}, err
	}
	var empty *eval.Environment
	env := empty.With(eval.Changes{Flags: []*eval.Flag{flag}})
	ctx := &eval.Context{TargetingKey: targetingKey, Attributes: eval.Map(expressionAttributes()), Now: now}
	return contender{decide: func() bool {
		r := env.EvaluateFlag(flag, ctx)
		return r.Variant != nil && r.Variant.Value.Bool
	}}, nil
}

// newEnvironment compiles the case and the flags beside it.
func newEnvironment(d definition) (*eval.Environment, error) {
	var c eval.Changes
	for _, f := range d.flags() {
		compiled, err := eval.Compile(flagProto(f), 1)
		if err != nil {
			return nil, err
		}
		c.Flags = append(c.Flags, compiled)
	}
	for _, s := range d.sets {
		compiled, err := eval.CompileSegment(&flagv1.Segment{Key: s.key, Included: s.keys}, 1)
		if err != nil {
			return nil, err
		}
		c.Segments = append(c.Segments, compiled)
	}
	var empty *eval.Environment
	return empty.With(c), nil
}

//go:noinline
func tidegateContext(key string) *eval.Context {
	return &eval.Context{TargetingKey: key, Attributes: eval.Map{
		"email": attributes["email"], "country": attributes["country"], "plan": attributes["plan"],
		"device": attributes["device"], "language": attributes["language"],
	}}
}

// now is the time in expressions.
const now = 1_795_000_000

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
