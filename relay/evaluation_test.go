package relay

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// value makes a flag that serves one value of a type.
func valueFlag(tb testing.TB, key string, t flagv1.ValueType, value any) *flagv1.Flag {
	tb.Helper()
	v, err := structpb.NewValue(value)
	if err != nil {
		tb.Fatal(err)
	}
	return &flagv1.Flag{
		Key: key, Type: t, Enabled: true,
		Variants:       []*flagv1.Variant{{Name: "only", Value: v}},
		DefaultOutcome: serve("only"),
	}
}

// service serves what the publisher has put.
func service(p *publisher) *evaluationService {
	return newEvaluationService(p.replicas, p.replicas.Environments())
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production, staging)
	disabled := boolFlag("disabled")
	disabled.Enabled = false
	gone := boolFlag("disabled-without-off")
	gone.Enabled, gone.OffVariant = false, ""
	described := boolFlag("described")
	described.Metadata = &structpb.Struct{Fields: map[string]*structpb.Value{"team": structpb.NewStringValue("checkout")}}
	p.put(production,
		boolFlag("bool", "Canada"), disabled, gone, described,
		valueFlag(t, "string", flagv1.ValueType_VALUE_TYPE_STRING, "hello"),
		valueFlag(t, "int", flagv1.ValueType_VALUE_TYPE_INTEGER, 42),
		valueFlag(t, "double", flagv1.ValueType_VALUE_TYPE_DOUBLE, 1.5),
		valueFlag(t, "object", flagv1.ValueType_VALUE_TYPE_OBJECT, map[string]any{"model": "m-1"}),
	)
	s := service(p)
	object := &structpb.Struct{Fields: map[string]*structpb.Value{"model": structpb.NewStringValue("m-1")}}
	for _, c := range []struct {
		key      string
		expected flagv1.ValueType
		context  *evaluationv1.EvaluationContext
		want     *evaluationv1.EvaluateResponse
	}{
		{key: "bool", context: canada(t), want: &evaluationv1.EvaluateResponse{
			Value: &evaluationv1.EvaluateResponse_BoolValue{BoolValue: true}, Variant: "on", Reason: "TARGETING_MATCH", Rule: "country",
		}},
		{key: "bool", want: &evaluationv1.EvaluateResponse{
			Value: &evaluationv1.EvaluateResponse_BoolValue{}, Variant: "off", Reason: "DEFAULT",
		}},
		{key: "disabled", want: &evaluationv1.EvaluateResponse{
			Value: &evaluationv1.EvaluateResponse_BoolValue{}, Variant: "off", Reason: "DISABLED",
		}},
		{key: "disabled-without-off", want: &evaluationv1.EvaluateResponse{Reason: "DISABLED"}},
		{key: "described", want: &evaluationv1.EvaluateResponse{
			Value: &evaluationv1.EvaluateResponse_BoolValue{BoolValue: true}, Variant: "on", Reason: "STATIC",
			FlagMetadata: described.GetMetadata(),
		}},
		{key: "string", want: &evaluationv1.EvaluateResponse{
			Value: &evaluationv1.EvaluateResponse_StringValue{StringValue: "hello"}, Variant: "only", Reason: "STATIC",
		}},
		{key: "int", want: &evaluationv1.EvaluateResponse{
			Value: &evaluationv1.EvaluateResponse_IntValue{IntValue: 42}, Variant: "only", Reason: "STATIC",
		}},
		{key: "int", expected: flagv1.ValueType_VALUE_TYPE_DOUBLE, want: &evaluationv1.EvaluateResponse{
			Value: &evaluationv1.EvaluateResponse_DoubleValue{DoubleValue: 42}, Variant: "only", Reason: "STATIC",
		}},
		{key: "double", want: &evaluationv1.EvaluateResponse{
			Value: &evaluationv1.EvaluateResponse_DoubleValue{DoubleValue: 1.5}, Variant: "only", Reason: "STATIC",
		}},
		{key: "double", expected: flagv1.ValueType_VALUE_TYPE_INTEGER, want: &evaluationv1.EvaluateResponse{
			Reason: "ERROR", ErrorCode: "TYPE_MISMATCH",
		}},
		{key: "object", want: &evaluationv1.EvaluateResponse{
			Value: &evaluationv1.EvaluateResponse_ObjectValue{ObjectValue: object}, Variant: "only", Reason: "STATIC",
		}},
	} {
		t.Run(fmt.Sprintf("%s as %s", c.key, c.expected), func(t *testing.T) {
			t.Parallel()
			got, err := s.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: c.key, Context: c.context, ExpectedType: c.expected})
			if err != nil {
				t.Fatal(err)
			}
			if got.GetAge().AsDuration() <= 0 {
				t.Errorf("age %v: want one", got.GetAge())
			}
			if (got.GetErrorMessage() == "") != (c.want.GetErrorCode() == "") {
				t.Errorf("error message %q with error code %q", got.GetErrorMessage(), got.GetErrorCode())
			}
			c.want.FlagKey, c.want.FlagRevision, c.want.EnvironmentRevision = c.key, 11, 11
			c.want.Age, c.want.ErrorMessage = got.GetAge(), got.GetErrorMessage()
			if !proto.Equal(got, c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}

func TestEvaluateUnknownFlag(t *testing.T) {
	t.Parallel()
	s := service(newPublisher(t, production))
	got, err := s.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "nobody"})
	if err != nil || got.GetReason() != "ERROR" || got.GetErrorCode() != "FLAG_NOT_FOUND" || got.GetErrorMessage() == "" || got.GetValue() != nil {
		t.Errorf("got %v, %v; want FLAG_NOT_FOUND in the answer", got, err)
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production, staging)
	s := service(p)
	p.replicas.Add("empty")
	s.byName["empty"] = newEnvironment("empty", p.replicas.Replica("empty"))
	for _, c := range []struct {
		name    string
		request *evaluationv1.EvaluateRequest
		code    codes.Code
		message string
	}{
		{"no flag key", &evaluationv1.EvaluateRequest{}, codes.InvalidArgument, "flag_key"},
		{"a key that no flag has", &evaluationv1.EvaluateRequest{FlagKey: strings.Repeat("a", 1<<20)}, codes.InvalidArgument, "flag_key: has 1048576 bytes"},
		{"unknown type", &evaluationv1.EvaluateRequest{FlagKey: "a", ExpectedType: 99}, codes.InvalidArgument, "expected_type"},
		{"unknown policy", &evaluationv1.EvaluateRequest{FlagKey: "a", StalePolicy: 99}, codes.InvalidArgument, "stale_policy"},
		{"negative revision", &evaluationv1.EvaluateRequest{FlagKey: "a", MinRevision: -1}, codes.InvalidArgument, "min_revision"},
		{"negative age", &evaluationv1.EvaluateRequest{FlagKey: "a", MaxAge: durationpb.New(-1)}, codes.InvalidArgument, "max_age"},
		{"invalid age", &evaluationv1.EvaluateRequest{FlagKey: "a", MaxAge: &durationpb.Duration{Nanos: math.MaxInt32}}, codes.InvalidArgument, "max_age"},
		{"unknown environment", &evaluationv1.EvaluateRequest{FlagKey: "a", Environment: "dev"}, codes.NotFound, "production, staging"},
		{"nothing yet", &evaluationv1.EvaluateRequest{FlagKey: "a", Environment: "empty"}, codes.Unavailable, "upstream"},
		{"revision to come", &evaluationv1.EvaluateRequest{FlagKey: "a", MinRevision: 99}, codes.FailedPrecondition, "at revision 10 here, min_revision asks for 99"},
		{"too old", &evaluationv1.EvaluateRequest{FlagKey: "a", MaxAge: durationpb.New(0)}, codes.FailedPrecondition, "max_age asks for at most 0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := s.Evaluate(t.Context(), c.request)
			requireStatus(t, err, c.code, c.message)
			inStream := s.answerInStream(&evaluationv1.EvaluateStreamRequest{Id: 7, Request: c.request}, &credential{}, time.Now())
			if e := inStream.GetError(); inStream.GetId() != 7 || codes.Code(e.GetCode()) != c.code || !strings.Contains(e.GetMessage(), c.message) {
				t.Errorf("in a stream: %v", inStream)
			}
		})
	}
	_, err := s.EvaluateAll(t.Context(), &evaluationv1.EvaluateAllRequest{FlagKeys: []string{"a"}, KeyPrefix: "b"})
	requireStatus(t, err, codes.InvalidArgument, "key_prefix")
	_, err = s.EvaluateAll(t.Context(), &evaluationv1.EvaluateAllRequest{FlagKeys: []string{"a", ""}})
	requireStatus(t, err, codes.InvalidArgument, "flag_keys: element 1 is empty")
	_, err = s.EvaluateAll(t.Context(), &evaluationv1.EvaluateAllRequest{FlagKeys: make([]string, maxFlagKeys+1)})
	requireStatus(t, err, codes.InvalidArgument, "flag_keys: 10001 keys")
	_, err = s.EvaluateAll(t.Context(), &evaluationv1.EvaluateAllRequest{Environment: strings.Repeat("e", 1<<20)})
	if requireStatus(t, err, codes.NotFound, "is not followed here"); len(err.Error()) > 1<<10 {
		t.Errorf("an error of %d bytes: a trailer does not take it", len(err.Error()))
	}
}

// TestSmallRequestLargeAnswer: no request makes the relay repeat a flag's value.
func TestSmallRequestLargeAnswer(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, valueFlag(t, "a", flagv1.ValueType_VALUE_TYPE_STRING, strings.Repeat("v", 100<<10)))
	got, err := service(p).EvaluateAll(t.Context(), &evaluationv1.EvaluateAllRequest{FlagKeys: slices.Repeat([]string{"a"}, maxFlagKeys)})
	if err != nil || len(got.GetEvaluations()) != 1 {
		t.Errorf("%d answers, %v; want the one flag once", len(got.GetEvaluations()), err)
	}
}

func requireStatus(t *testing.T, err error, code codes.Code, message string) {
	t.Helper()
	s, ok := status.FromError(err)
	if !ok || s.Code() != code || !strings.Contains(s.Message(), message) {
		t.Errorf("error %v; want %s with %q", err, code, message)
	}
	if code != codes.InvalidArgument {
		return
	}
	for _, d := range s.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok && len(bad.GetFieldViolations()) == 1 {
			return
		}
	}
	t.Errorf("details %v: want the field at fault", s.Details())
}

func TestStaleAnswers(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("a"))
	s := service(p)
	request := &evaluationv1.EvaluateRequest{
		FlagKey: "a", MinRevision: 99, StalePolicy: evaluationv1.StalePolicy_STALE_POLICY_ANSWER,
	}
	got, err := s.Evaluate(t.Context(), request)
	if err != nil || got.GetReason() != "STALE" || !got.GetBoolValue() {
		t.Errorf("got %v, %v; want the value, STALE", got, err)
	}
	request.FlagKey = "nobody"
	if got, err = s.Evaluate(t.Context(), request); err != nil || got.GetReason() != "ERROR" {
		t.Errorf("got %v, %v; an error stays one", got, err)
	}
	request.FlagKey, request.MinRevision, request.MaxAge = "a", 11, durationpb.New(time.Hour)
	if got, err = s.Evaluate(t.Context(), request); err != nil || got.GetReason() != "STATIC" {
		t.Errorf("got %v, %v; want STATIC: the demand is met", got, err)
	}
	all, err := s.EvaluateAll(t.Context(), &evaluationv1.EvaluateAllRequest{
		MaxAge: durationpb.New(0), StalePolicy: evaluationv1.StalePolicy_STALE_POLICY_ANSWER,
	})
	if err != nil || all.GetEvaluations()[0].GetReason() != "STALE" {
		t.Errorf("got %v, %v; want STALE", all, err)
	}
}

func TestEvaluateAll(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("b.2"), boolFlag("a"), boolFlag("b.1"), boolFlag("c"), boolFlag("b"))
	s := service(p)
	for _, c := range []struct {
		name    string
		request *evaluationv1.EvaluateAllRequest
		want    []string
	}{
		{"all", &evaluationv1.EvaluateAllRequest{}, []string{"a", "b", "b.1", "b.2", "c"}},
		{"prefix", &evaluationv1.EvaluateAllRequest{KeyPrefix: "b."}, []string{"b.1", "b.2"}},
		{"prefix of the last", &evaluationv1.EvaluateAllRequest{KeyPrefix: "c"}, []string{"c"}},
		{"prefix of none", &evaluationv1.EvaluateAllRequest{KeyPrefix: "bb"}, nil},
		{"named, each once in the order asked", &evaluationv1.EvaluateAllRequest{FlagKeys: []string{"c", "nobody", "a", "c"}}, []string{"c", "nobody", "a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := s.EvaluateAll(t.Context(), c.request)
			if err != nil || got.GetEnvironmentRevision() != 11 || got.GetAge().AsDuration() <= 0 {
				t.Fatalf("revision %d, age %v, %v", got.GetEnvironmentRevision(), got.GetAge(), err)
			}
			var keys []string
			for _, a := range got.GetEvaluations() {
				keys = append(keys, a.GetFlagKey())
				if a.GetEnvironmentRevision() != 0 || a.GetAge() != nil {
					t.Errorf("%s repeats revision and age", a.GetFlagKey())
				}
				if (a.GetErrorCode() == "FLAG_NOT_FOUND") != (a.GetFlagKey() == "nobody") {
					t.Errorf("%s: error code %q", a.GetFlagKey(), a.GetErrorCode())
				}
			}
			if !slices.Equal(keys, c.want) {
				t.Errorf("keys %v, want %v", keys, c.want)
			}
		})
	}
}

// TestCounting: every answer is counted once, by environment and reason.
func TestCounting(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production, staging)
	p.put(production, boolFlag("a"), boolFlag("b", "Canada"))
	s := service(p)
	for range 3 {
		if _, err := s.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.EvaluateAll(t.Context(), &evaluationv1.EvaluateAllRequest{Context: canada(t)}); err != nil {
		t.Fatal(err)
	}
	got, other := s.environments[0].answers.total(), s.environments[1].answers.total()
	var want reasonTally
	want[reasonIndex(string(eval.ReasonStatic))] = 4
	want[reasonIndex(string(eval.ReasonTargetingMatch))] = 1
	if got != want || other != (reasonTally{}) {
		t.Errorf("counted %v and %v, want %v and nothing", got, other, want)
	}
}
