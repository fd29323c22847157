package relay

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// This file is the joint between the wire and the engine: a request's context on the
// way in, a result on the way out. Direct methods have their own, to the same effect:
// request.go and encode.go.

// contextOf makes the engine's context; p is not copied and must not change while it is
// in use.
func contextOf(p *evaluationv1.EvaluationContext) eval.Context {
	return eval.Context{
		TargetingKey: p.GetTargetingKey(),
		Attributes:   eval.StructAttributes(p.GetAttributes()),
	}
}

// answerOf makes the response for one flag, without environment_revision and age. Object
// values and metadata are those of the flag, shared by all responses: they must not be
// modified.
func answerOf(key string, r eval.Result) *evaluationv1.EvaluateResponse {
	a := &evaluationv1.EvaluateResponse{FlagKey: key, Reason: string(r.Reason), Rule: r.Rule, UnmetPrerequisite: r.UnmetPrerequisite()}
	if r.Flag != nil {
		a.FlagRevision = r.Flag.Revision()
		a.FlagMetadata = r.Metadata()
	}
	if r.Reason == eval.ReasonError {
		a.ErrorCode, a.ErrorMessage = string(r.ErrorCode), r.ErrorMessage()
		return a
	}
	if r.Variant == nil {
		return a
	}
	a.Variant = r.Variant.Name
	switch v := &r.Variant.Value; v.Type {
	case flagv1.ValueType_VALUE_TYPE_BOOLEAN:
		a.Value = &evaluationv1.EvaluateResponse_BoolValue{BoolValue: v.Bool}
	case flagv1.ValueType_VALUE_TYPE_STRING:
		a.Value = &evaluationv1.EvaluateResponse_StringValue{StringValue: v.String}
	case flagv1.ValueType_VALUE_TYPE_INTEGER:
		a.Value = &evaluationv1.EvaluateResponse_IntValue{IntValue: v.Int}
	case flagv1.ValueType_VALUE_TYPE_DOUBLE:
		a.Value = &evaluationv1.EvaluateResponse_DoubleValue{DoubleValue: v.Double}
	case flagv1.ValueType_VALUE_TYPE_OBJECT:
		a.Value = &evaluationv1.EvaluateResponse_ObjectValue{ObjectValue: v.Proto}
	}
	return a
}

// sameAnswer tells whether a caller would see the same value, variant, reason, rule,
// unmet prerequisite and error.
func sameAnswer(a, b eval.Result) bool {
	if a.Reason != b.Reason || a.Rule != b.Rule || a.ErrorCode != b.ErrorCode ||
		a.UnmetPrerequisite() != b.UnmetPrerequisite() || (a.Variant == nil) != (b.Variant == nil) {
		return false
	}
	if a.Reason == eval.ReasonError && a.ErrorMessage() != b.ErrorMessage() {
		return false
	}
	return a.Variant == nil || a.Variant == b.Variant ||
		a.Variant.Name == b.Variant.Name && sameValue(&a.Variant.Value, &b.Variant.Value)
}

func sameValue(a, b *eval.VariantValue) bool {
	return a.Type == b.Type && a.Bool == b.Bool && a.String == b.String && a.Int == b.Int &&
		a.Double == b.Double && sameObject(a.Proto, b.Proto)
}

func sameObject(a, b *structpb.Struct) bool { return a == b || proto.Equal(a, b) }
