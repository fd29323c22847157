package clientsdk

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// TestModesAgree: whatever the attributes, a flag answers the same to a context read
// here and to one that went to a relay.
func TestModesAgree(t *testing.T) {
	environment := agreementFlags(t)
	rapid.Check(t, func(t *rapid.T) {
		c := NewContext(rapid.String().Draw(t, "targeting key"), map[string]any{"a": attributeValue(3).Draw(t, "a")})
		data, err := proto.Marshal(c.forWire())
		if err != nil {
			t.Fatalf("cannot be sent: %v", err)
		}
		arrived := &evaluationv1.EvaluationContext{}
		if err := proto.Unmarshal(data, arrived); err != nil {
			t.Fatalf("cannot be read: %v", err)
		}
		there := &eval.Context{TargetingKey: arrived.GetTargetingKey(), Attributes: eval.StructAttributes(arrived.GetAttributes())}
		for _, f := range environment.Flags() {
			local, remote := environment.EvaluateFlag(f, c.forEval()), environment.EvaluateFlag(f, there)
			if local.Variant != remote.Variant || local.Reason != remote.Reason || local.ErrorCode != remote.ErrorCode {
				t.Fatalf("flag %s for %v: here %+v, there %+v", f.Key(), c.Attributes(), local, remote)
			}
		}
	})
}

// attributeValue draws what a caller may pass.
func attributeValue(depth int) *rapid.Generator[any] {
	anyOf := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.SampledFrom([]any{"1", "1.0", "v1.2.3", "2026-01-02T03:04:05Z", "CA", "a\xffb", 1, 1.0, uint8(1), true}),
		rapid.String().AsAny(),
		rapid.Bool().AsAny(),
		rapid.Int64().AsAny(),
		rapid.Uint64().AsAny(),
		rapid.Int32Range(-3, 3).AsAny(),
		rapid.Float64().AsAny(),
		rapid.Float32().AsAny(),
		rapid.Custom(func(t *rapid.T) any { return time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "time"), 0) }),
	}
	if depth > 0 {
		anyOf = append(anyOf,
			rapid.SliceOfN(attributeValue(depth-1), 0, 3).AsAny(),
			rapid.MapOfN(rapid.SampledFrom([]string{"os", "b"}), attributeValue(depth-1), 0, 2).AsAny(),
		)
	}
	return rapid.OneOf(anyOf...)
}

// agreementFlags is a flag for each way in which an attribute can be read.
func agreementFlags(t *testing.T) *eval.Environment {
	t.Helper()
	var flags []*eval.Flag
	add := func(f *flagv1.Flag) {
		f.Type, f.Enabled = flagv1.ValueType_VALUE_TYPE_BOOLEAN, true
		f.Variants = []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)}}
		compiled, err := eval.Compile(f, 1)
		if err != nil {
			t.Fatal(err)
		}
		flags = append(flags, compiled)
	}
	variant := func(name string) *flagv1.Outcome {
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: name}}
	}
	clause := func(key, attribute string, op flagv1.Operator, values ...any) {
		list, err := structpb.NewList(values)
		if err != nil {
			t.Fatal(err)
		}
		add(&flagv1.Flag{Key: key, DefaultOutcome: variant("off"), Rules: []*flagv1.Rule{{
			Id: "r", Outcome: variant("on"), Clauses: []*flagv1.Clause{{Attribute: attribute, Operator: op, Values: list.GetValues()}},
		}}})
	}
	clause("in", "a", flagv1.Operator_OPERATOR_IN, "CA", "1", 1, 1.5, true)
	clause("nested", "a.os", flagv1.Operator_OPERATOR_IN, "CA", 1)
	clause("contains", "a", flagv1.Operator_OPERATOR_CONTAINS, "\uFFFD", "C")
	clause("matches", "a", flagv1.Operator_OPERATOR_MATCHES, "^[0-9]+$")
	clause("less", "a", flagv1.Operator_OPERATOR_LESS_THAN, 1)
	clause("before", "a", flagv1.Operator_OPERATOR_BEFORE, "2026-01-02T03:04:05Z")
	clause("semver", "a", flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN_OR_EQUAL, "1.2.0")
	clause("exists", "a", flagv1.Operator_OPERATOR_EXISTS)
	for _, by := range []string{"", "a", "a.os"} {
		add(&flagv1.Flag{Key: "split-by." + by, DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
			BucketBy: by, Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: 1}, {Variant: "off", Weight: 1}},
		}}}})
	}
	var none *eval.Environment
	return none.With(eval.Changes{Flags: flags})
}
