package relay

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// everyOperator has a flag for every kind of operator, which reads the attribute "a", a
// split by it, prerequisites in a circle, and a segment.
func everyOperator(tb testing.TB) *publisher {
	tb.Helper()
	p := newPublisher(tb, production)
	messages := []proto.Message{
		boolFlag("plain", "Canada"), segmentFlag("segment", "beta"), &flagv1.Segment{Key: "beta", Included: []string{"user-1"}},
		valueFlag(tb, "object", flagv1.ValueType_VALUE_TYPE_OBJECT, map[string]any{"n": 1}),
		valueFlag(tb, "number", flagv1.ValueType_VALUE_TYPE_DOUBLE, 1.5),
	}
	for operator, value := range map[flagv1.Operator]*structpb.Value{
		flagv1.Operator_OPERATOR_IN: structpb.NewStringValue("1.2.3"), flagv1.Operator_OPERATOR_CONTAINS: structpb.NewStringValue("2"),
		flagv1.Operator_OPERATOR_ENDS_WITH: structpb.NewStringValue("3"), flagv1.Operator_OPERATOR_MATCHES: structpb.NewStringValue("^(1.)+3$"),
		flagv1.Operator_OPERATOR_LESS_THAN: structpb.NewNumberValue(5), flagv1.Operator_OPERATOR_GREATER_THAN: structpb.NewNumberValue(5),
		flagv1.Operator_OPERATOR_BEFORE: structpb.NewStringValue("2026-01-02T03:04:05Z"), flagv1.Operator_OPERATOR_AFTER: structpb.NewStringValue("2026-01-02T03:04:05Z"),
		flagv1.Operator_OPERATOR_SEMVER_EQUALS: structpb.NewStringValue("1.2.3"), flagv1.Operator_OPERATOR_SEMVER_SAME_MINOR: structpb.NewStringValue("1.2.3"),
	} {
		f := boolFlag(operator.String())
		f.Rules = []*flagv1.Rule{{Id: "a", Outcome: serve("on"), Clauses: []*flagv1.Clause{{
			Attribute: "a", Operator: operator, Values: []*structpb.Value{value},
		}}}}
		messages = append(messages, f)
	}
	split := boolFlag("split")
	split.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
		BucketBy: "a", Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: 1}, {Variant: "off", Weight: 99}},
	}}}
	one, two := boolFlag("one"), boolFlag("two")
	one.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "two", Variants: []string{"on"}}}
	two.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "one", Variants: []string{"on"}}}
	p.put(production, append(messages, split, one, two)...)
	for _, r := range p.replicas.Replica(production).Snapshot().Rejections() {
		tb.Fatalf("%s: %v", r.Item.Key, r.Err)
	}
	return p
}

// FuzzEvaluation: whatever a caller sends is answered, or refused as the caller's fault;
// an answer can be sent, and says the same for a flag whichever way it is asked.
func FuzzEvaluation(f *testing.F) {
	p := everyOperator(f)
	s := service(p)
	attributes, err := structpb.NewStruct(map[string]any{"a": "1.2.3", "country": "Canada", "l": []any{1, "x", nil, map[string]any{}}})
	if err != nil {
		f.Fatal(err)
	}
	seed := func(r *evaluationv1.EvaluateRequest) {
		data, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	subject := &evaluationv1.EvaluationContext{TargetingKey: "user-1", Attributes: attributes}
	for _, v := range []any{4, -1e300, true, nil, "1.2.9-rc.1", "2026-01-02", "2026-01-02T03:04:05.9+14:00"} {
		context, err := structpb.NewStruct(map[string]any{"a": v})
		if err != nil {
			f.Fatal(err)
		}
		seed(&evaluationv1.EvaluateRequest{FlagKey: "split", Context: &evaluationv1.EvaluationContext{Attributes: context}})
	}
	for _, flag := range s.environments[0].replica.Snapshot().Eval().Flags() {
		seed(&evaluationv1.EvaluateRequest{FlagKey: flag.Key(), Context: subject})
	}
	seed(&evaluationv1.EvaluateRequest{
		Environment: production, FlagKey: "plain", Context: subject, ExpectedType: flagv1.ValueType_VALUE_TYPE_INTEGER,
		MinRevision: 12, MaxAge: durationpb.New(1), StalePolicy: evaluationv1.StalePolicy_STALE_POLICY_ANSWER,
	})
	seed(&evaluationv1.EvaluateRequest{Environment: "dev", FlagKey: "plain"})
	f.Fuzz(func(t *testing.T, data []byte) {
		var r evaluationv1.EvaluateRequest
		if proto.Unmarshal(data, &r) != nil {
			return // the transport refuses it
		}
		a, err := s.Evaluate(t.Context(), &r)
		if err != nil {
			requireCallersFault(t, err)
			return
		}
		requireAnswer(t, r.GetFlagKey(), a)
		all, err := s.EvaluateAll(t.Context(), &evaluationv1.EvaluateAllRequest{FlagKeys: []string{r.GetFlagKey()}, Context: r.GetContext()})
		if err != nil {
			t.Fatalf("one flag is answered, as one of many: %v", err)
		}
		fresh := r.GetMinRevision() == 0 && r.GetMaxAge() == nil
		anyType := r.GetExpectedType() == flagv1.ValueType_VALUE_TYPE_UNSPECIFIED
		if same := all.GetEvaluations()[0]; fresh && anyType && !equalAnswer(a, same) {
			t.Errorf("alone %v, as one of many %v", a, same)
		}
		if all, err = s.EvaluateAll(t.Context(), &evaluationv1.EvaluateAllRequest{Context: r.GetContext()}); err != nil {
			t.Fatal(err)
		}
		for _, a := range all.GetEvaluations() {
			requireAnswer(t, a.GetFlagKey(), a)
		}
	})
}

func requireCallersFault(t *testing.T, err error) {
	t.Helper()
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition:
	default:
		t.Errorf("refused with %v", err)
	}
	if len(err.Error()) > 1<<10 {
		t.Errorf("an error of %d bytes: a trailer does not take it", len(err.Error()))
	}
}

func requireAnswer(t *testing.T, key string, a *evaluationv1.EvaluateResponse) {
	t.Helper()
	failed := a.GetReason() == "ERROR"
	if a.GetFlagKey() != key || a.GetReason() == "" || failed != (a.GetErrorCode() != "") || failed != (a.GetErrorMessage() != "") ||
		(a.GetVariant() == "") != (a.GetValue() == nil) || failed && a.GetValue() != nil {
		t.Errorf("the answer for %q makes no sense: %v", key, a)
	}
	if _, err := proto.Marshal(a); err != nil {
		t.Errorf("%v cannot be sent: %v", a, err)
	}
}
