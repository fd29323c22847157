package relay

import (
	"context"
	"math"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// structOf makes a context.
func structOf(tb testing.TB, fields map[string]any) *structpb.Struct {
	tb.Helper()
	s, err := structpb.NewStruct(fields)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// splitFlag serves on to half of the targeting keys.
func splitFlag(key string) *flagv1.Flag {
	f := boolFlag(key)
	f.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{Variants: []*flagv1.WeightedVariant{
		{Variant: "on", Weight: 1}, {Variant: "off", Weight: 1},
	}}}}
	return f
}

// expressionFlag serves what a JsonLogic expression names.
func expressionFlag(tb testing.TB, key, expression string) *flagv1.Flag {
	tb.Helper()
	f := boolFlag(key)
	f.Variants[0].Name, f.Variants[1].Name, f.OffVariant, f.DefaultOutcome = "true", "false", "false", serve("false")
	v := &structpb.Value{}
	if err := v.UnmarshalJSON([]byte(expression)); err != nil {
		tb.Fatal(err)
	}
	f.Rules = []*flagv1.Rule{{Id: "targeting", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: v}}}}
	return f
}

// flagdFlags are one of each kind.
func flagdFlags(tb testing.TB) []proto.Message {
	tb.Helper()
	disabled := boolFlag("disabled")
	disabled.Enabled, disabled.OffVariant = false, ""
	off := boolFlag("disabled-with-off")
	off.Enabled = false
	none := boolFlag("no-default")
	none.DefaultOutcome = nil
	described := boolFlag("described")
	described.Metadata = structOf(tb, map[string]any{"team": "web", "version": 2, "beta": true})
	other := boolFlag("other-set")
	other.Metadata = structOf(tb, map[string]any{flagSetID: "mine"})
	return []proto.Message{
		disabled, off, none, described, other, splitFlag("split"),
		expressionFlag(tb, "targeting", `{"if":[{"==":[{"var":"tier"},"none"]},null,{"==":[{"var":"tier"},"odd"]},"nobody",{"cat":[{"var":"tier"}]}]}`),
		expressionFlag(tb, "shorthand", `{"==":[{"var":"email"},"a@example.com"]}`),
		expressionFlag(tb, "region", `{"==":[{"var":"$tidegate.region"},"eu-west"]}`),
		boolFlag("static"), boolFlag("targeted", "Canada"),
		valueFlag(tb, "string", flagv1.ValueType_VALUE_TYPE_STRING, "hello"),
		valueFlag(tb, "int", flagv1.ValueType_VALUE_TYPE_INTEGER, 42),
		valueFlag(tb, "double", flagv1.ValueType_VALUE_TYPE_DOUBLE, -1.9),
		valueFlag(tb, "huge", flagv1.ValueType_VALUE_TYPE_DOUBLE, 1e300),
		valueFlag(tb, "object", flagv1.ValueType_VALUE_TYPE_OBJECT, map[string]any{"model": "m-1"}),
	}
}

// flagdAnswer is what either version answers, comparable.
type flagdAnswer struct {
	code            codes.Code
	message         string
	value           any // nil: none
	reason, variant string
	hasVariant      bool
	metadata        map[string]any
}

type answered interface {
	GetReason() string
	GetVariant() string
	GetMetadata() *structpb.Struct
}

func answerFrom(a answered, value any, hasVariant bool, err error) flagdAnswer {
	if err != nil {
		return flagdAnswer{code: status.Code(err), message: status.Convert(err).Message()}
	}
	return flagdAnswer{value: value, reason: a.GetReason(), variant: a.GetVariant(), hasVariant: hasVariant, metadata: a.GetMetadata().AsMap()}
}

func askV1(ctx context.Context, c flagdv1.ServiceClient, as, key string, subject *structpb.Struct) flagdAnswer {
	switch as {
	case "boolean":
		a, err := c.ResolveBoolean(ctx, &flagdv1.ResolveBooleanRequest{FlagKey: key, Context: subject})
		return answerFrom(a, a.GetValue(), true, err)
	case "string":
		a, err := c.ResolveString(ctx, &flagdv1.ResolveStringRequest{FlagKey: key, Context: subject})
		return answerFrom(a, a.GetValue(), true, err)
	case "float":
		a, err := c.ResolveFloat(ctx, &flagdv1.ResolveFloatRequest{FlagKey: key, Context: subject})
		return answerFrom(a, a.GetValue(), true, err)
	case "int":
		a, err := c.ResolveInt(ctx, &flagdv1.ResolveIntRequest{FlagKey: key, Context: subject})
		return answerFrom(a, a.GetValue(), true, err)
	}
	a, err := c.ResolveObject(ctx, &flagdv1.ResolveObjectRequest{FlagKey: key, Context: subject})
	return answerFrom(a, a.GetValue().AsMap(), true, err)
}

func askV2(ctx context.Context, c flagdv2.ServiceClient, as, key string, subject *structpb.Struct) flagdAnswer {
	var a answered
	var value any
	var variant *string
	var err error
	switch as {
	case "boolean":
		var r *flagdv2.ResolveBooleanResponse
		if r, err = c.ResolveBoolean(ctx, &flagdv2.ResolveBooleanRequest{FlagKey: key, Context: subject}); err == nil {
			a, value, variant = r, present(r.Value), r.Variant
		}
	case "string":
		var r *flagdv2.ResolveStringResponse
		if r, err = c.ResolveString(ctx, &flagdv2.ResolveStringRequest{FlagKey: key, Context: subject}); err == nil {
			a, value, variant = r, present(r.Value), r.Variant
		}
	case "float":
		var r *flagdv2.ResolveFloatResponse
		if r, err = c.ResolveFloat(ctx, &flagdv2.ResolveFloatRequest{FlagKey: key, Context: subject}); err == nil {
			a, value, variant = r, present(r.Value), r.Variant
		}
	case "int":
		var r *flagdv2.ResolveIntResponse
		if r, err = c.ResolveInt(ctx, &flagdv2.ResolveIntRequest{FlagKey: key, Context: subject}); err == nil {
			a, value, variant = r, present(r.Value), r.Variant
		}
	default:
		var r *flagdv2.ResolveObjectResponse
		if r, err = c.ResolveObject(ctx, &flagdv2.ResolveObjectRequest{FlagKey: key, Context: subject}); err == nil {
			if a, variant = r, r.Variant; r.Value != nil {
				value = r.Value.AsMap()
			}
		}
	}
	return answerFrom(a, value, variant != nil, err)
}

func present[T any](v *T) any {
	if v == nil {
		return nil
	}
	return *v
}

// flagdCase is a row of flagd's decision table: what version 2 answers, and version 1
// where it cannot say the same.
type flagdCase struct {
	row     string
	as, key string
	context map[string]any
	v2      flagdAnswer
	v1      *flagdAnswer
}

func flagdCases() []flagdCase {
	set := map[string]any{flagSetID: production}
	answer := func(value any, reason eval.Reason, variant string) flagdAnswer {
		return flagdAnswer{value: value, reason: string(reason), variant: variant, hasVariant: true, metadata: set}
	}
	nothing := func(reason eval.Reason) flagdAnswer { return flagdAnswer{reason: string(reason), metadata: set} }
	failure := func(code codes.Code, message string) flagdAnswer { return flagdAnswer{code: code, message: message} }
	zero := func(value any) *flagdAnswer {
		return &flagdAnswer{value: value, reason: "DISABLED", hasVariant: true, metadata: set}
	}
	notFound := failure(codes.NotFound, "Flag not found")
	mismatch := failure(codes.InvalidArgument, "Type mismatch error")
	noKey := failure(codes.FailedPrecondition, `flag "split" splits by the targeting key, which the context lacks; set a targeting key`)
	described := answer(true, eval.ReasonStatic, "on")
	described.metadata = map[string]any{flagSetID: production, "team": "web", "version": 2.0, "beta": true}
	other := answer(true, eval.ReasonStatic, "on")
	other.metadata = map[string]any{flagSetID: "mine"}
	canada, chile := map[string]any{"country": "Canada"}, map[string]any{"country": "Chile"}
	user := func(key any) map[string]any { return map[string]any{"targetingKey": key} }
	return []flagdCase{
		{"1. not found: FLAG_NOT_FOUND", "boolean", "nobody", nil, notFound, nil},
		{"1. no key: FLAG_NOT_FOUND", "string", "", nil, notFound, nil},
		{"2. DISABLED: no value, no variant; v1 zero", "boolean", "disabled", nil, nothing(eval.ReasonDisabled), zero(false)},
		{"2. DISABLED comes before the type", "string", "disabled", nil, nothing(eval.ReasonDisabled), zero("")},
		{"2. DISABLED, an int", "int", "disabled", nil, nothing(eval.ReasonDisabled), zero(int64(0))},
		{"2. DISABLED, a float", "float", "disabled", nil, nothing(eval.ReasonDisabled), zero(0.0)},
		{"2. DISABLED, an object", "object", "disabled", nil, nothing(eval.ReasonDisabled), zero(map[string]any{})},
		{"2. disabled with an off variant serves it", "boolean", "disabled-with-off", nil, answer(false, eval.ReasonDisabled, "off"), nil},
		{"3. no match: defaultVariant, DEFAULT", "boolean", "targeted", chile, answer(false, eval.ReasonDefault, "off"), nil},
		{"3. a match: TARGETING_MATCH", "boolean", "targeted", canada, answer(true, eval.ReasonTargetingMatch, "on"), nil},
		{"3. never SPLIT, on", "boolean", "split", user("user-4"), answer(true, eval.ReasonTargetingMatch, "on"), nil},
		{"3. never SPLIT, off", "boolean", "split", user("user-1"), answer(false, eval.ReasonTargetingMatch, "off"), nil},
		{"3. null: defaultVariant, DEFAULT", "boolean", "targeting", map[string]any{"tier": "none"}, answer(false, eval.ReasonDefault, "false"), nil},
		{"3. a name: TARGETING_MATCH", "boolean", "targeting", map[string]any{"tier": "true"}, answer(true, eval.ReasonTargetingMatch, "true"), nil},
		{"3. all quotes are removed", "boolean", "targeting", map[string]any{"tier": `"tr"ue`}, answer(true, eval.ReasonTargetingMatch, "true"), nil},
		{"3. true becomes its name", "boolean", "shorthand", map[string]any{"email": "a@example.com"}, answer(true, eval.ReasonTargetingMatch, "true"), nil},
		{"3. false becomes its name", "boolean", "shorthand", nil, answer(false, eval.ReasonTargetingMatch, "false"), nil},
		{"3. no such variant: GENERAL", "boolean", "targeting", map[string]any{"tier": "odd"}, failure(codes.Unknown, "General error"), nil},
		{"3. JsonLogic failure: PARSE_ERROR", "boolean", "targeting", map[string]any{"tier": map[string]any{"a": 1}}, failure(codes.DataLoss, "Error parsing input or configuration"), nil},
		{"the relay's region", "boolean", "region", map[string]any{"$tidegate": map[string]any{"region": "mars"}}, answer(true, eval.ReasonTargetingMatch, "true"), nil},
		{"4. no targeting: defaultVariant, STATIC", "boolean", "static", nil, answer(true, eval.ReasonStatic, "on"), nil},
		{"4. no defaultVariant: code default, DEFAULT; v1 FLAG_NOT_FOUND", "boolean", "no-default", nil, nothing(eval.ReasonDefault), &notFound},
		{"5. wrong type: TYPE_MISMATCH", "string", "static", nil, mismatch, nil},
		{"5. a number is no boolean", "boolean", "int", nil, mismatch, nil},
		{"5. a number is no object", "object", "double", nil, mismatch, nil},
		{"5. a string is no number", "float", "string", nil, mismatch, nil},
		{"5. an object is no int", "int", "object", nil, mismatch, nil},
		{"a string", "string", "string", nil, answer("hello", eval.ReasonStatic, "only"), nil},
		{"an object", "object", "object", nil, answer(map[string]any{"model": "m-1"}, eval.ReasonStatic, "only"), nil},
		{"numbers are one type: int as int", "int", "int", nil, answer(int64(42), eval.ReasonStatic, "only"), nil},
		{"numbers are one type: int as float", "float", "int", nil, answer(42.0, eval.ReasonStatic, "only"), nil},
		{"numbers are one type: float as float", "float", "double", nil, answer(-1.9, eval.ReasonStatic, "only"), nil},
		{"ResolveInt truncates", "int", "double", nil, answer(int64(-1), eval.ReasonStatic, "only"), nil},
		{"ResolveInt of more than an int64 holds", "int", "huge", nil, answer(int64(math.MaxInt64), eval.ReasonStatic, "only"), nil},
		{"metadata: the set's overlaid by the flag's", "boolean", "described", nil, described, nil},
		{"metadata: a flag's flagSetId overrides the set's", "boolean", "other-set", nil, other, nil},
		{"a split without a targeting key", "boolean", "split", nil, noKey, nil},
		{"a split with a targeting key that is no string", "boolean", "split", user(7), noKey, nil},
	}
}
