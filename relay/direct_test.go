package relay

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/rpc"
)

// everyAnswer has a flag for every shape that an answer takes.
func everyAnswer(tb testing.TB) *publisher {
	tb.Helper()
	p := everyOperator(tb)
	disabled, silent := boolFlag("disabled"), boolFlag("silent")
	disabled.Enabled = false
	silent.Enabled, silent.OffVariant = false, ""
	waiting := boolFlag("waiting")
	waiting.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "nobody", Variants: []string{"on"}}}
	described := boolFlag("described", "Canada")
	described.Metadata = &structpb.Struct{Fields: map[string]*structpb.Value{
		"team": structpb.NewStringValue("checkout"), "tier": structpb.NewNumberValue(1), "new": structpb.NewBoolValue(true),
	}}
	empty := boolFlag("described by nothing")
	empty.Key, empty.Metadata = "empty-metadata", &structpb.Struct{}
	for key, expression := range map[string]string{
		"truthy": `{"!!":[{"var":"a"}]}`, "named": `{"var":"a"}`, "member": `{"==":[{"var":"a.b"},"x"]}`,
		"element": `{"===":[{"var":"a.1"},1]}`, "missing-attributes": `{"in":["a",{"missing":["a","country"]}]}`,
		"some": `{"some":[{"var":"a"},{"==":[{"var":"b"},"x"]}]}`, "contained": `{"in":["x",{"var":"a"}]}`,
		"late": `{">":[{"var":"$flagd.timestamp"},0]}`, "text": `{"==":[{"cat":[{"var":"a"}]},"1.2.3"]}`,
	} {
		p.put(production, expressionFlag(tb, key, expression))
	}
	hashed := boolFlag("hashed")
	hashed.BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_3
	hashed.DefaultOutcome = serve("off")
	hashed.Rules = []*flagv1.Rule{{Id: "shares", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: valueOf(tb, map[string]any{
		"fractional": []any{map[string]any{"var": "a"}, []any{"on", 50}, []any{"off", 50}},
	})}}}}
	here := boolFlag("here")
	here.Rules = []*flagv1.Rule{{Id: "here", Outcome: serve("off"), Clauses: []*flagv1.Clause{{
		Attribute: "$tidegate.region", Operator: flagv1.Operator_OPERATOR_IN, Values: []*structpb.Value{structpb.NewStringValue("eu-west")},
	}}}}
	large := valueFlag(tb, "large", flagv1.ValueType_VALUE_TYPE_STRING, strings.Repeat("v", 3*pieceBytes))
	p.put(production, hashed, here, disabled, silent, waiting, described, empty, large,
		valueFlag(tb, "empty-string", flagv1.ValueType_VALUE_TYPE_STRING, ""),
		valueFlag(tb, "string", flagv1.ValueType_VALUE_TYPE_STRING, strings.Repeat("é", 100)),
		valueFlag(tb, "whole-double", flagv1.ValueType_VALUE_TYPE_DOUBLE, -7),
		valueFlag(tb, "integer", flagv1.ValueType_VALUE_TYPE_INTEGER, -(1<<53-1)),
		valueFlag(tb, "zero", flagv1.ValueType_VALUE_TYPE_INTEGER, 0),
		valueFlag(tb, "nested", flagv1.ValueType_VALUE_TYPE_OBJECT, map[string]any{"a": []any{1, "x", nil, map[string]any{"b": true}}}),
		valueFlag(tb, "empty-object", flagv1.ValueType_VALUE_TYPE_OBJECT, map[string]any{}),
	)
	for _, r := range p.replicas.Replica(production).Snapshot().Rejections() {
		tb.Fatalf("%s: %v", r.Item.Key, r.Err)
	}
	return p
}

func valueOf(tb testing.TB, v any) *structpb.Value {
	tb.Helper()
	value, err := structpb.NewValue(v)
	if err != nil {
		tb.Fatal(err)
	}
	return value
}

// directService is one that knows where it runs.
func directService(tb testing.TB) *evaluationService {
	tb.Helper()
	s := service(everyAnswer(tb))
	s.region = "eu-west"
	return s
}

// wire is how the transport hands a message over: in pieces, wherever they end.
func wire(data []byte, at int) mem.BufferSlice {
	at = min(at, len(data))
	return mem.BufferSlice{mem.SliceBuffer(data[:at]), mem.SliceBuffer(data[at:])}
}

// sent decodes a reply.
func sent(tb testing.TB, r *rpc.Reply, m proto.Message) {
	tb.Helper()
	if err := proto.Unmarshal(r.Buffers().Materialize(), m); err != nil {
		tb.Fatalf("the reply cannot be read: %v", err)
	}
}

// requireSame compares what the generated and the direct way came to.
func requireSame(tb testing.TB, generated, direct proto.Message, err, directErr error) {
	tb.Helper()
	switch {
	case err == nil && directErr == nil:
		if !proto.Equal(generated, direct) {
			tb.Errorf("generated: %v\ndirect: %v", generated, direct)
		}
	case !proto.Equal(status.Convert(err).Proto(), status.Convert(directErr).Proto()):
		tb.Errorf("generated: %v; direct: %v", err, directErr)
	}
}

// TestDirect: every flag is answered alike, to every kind of request, both ways.
func TestDirect(t *testing.T) {
	t.Parallel()
	s := directService(t)
	keys := []string{"nobody", ""}
	for _, f := range s.environments[0].replica.Snapshot().Eval().Flags() {
		keys = append(keys, f.Key())
	}
	for _, key := range keys {
		for want := range flagv1.ValueType_name {
			for _, r := range []*evaluationv1.EvaluateRequest{
				{FlagKey: key},
				{FlagKey: key, Context: canada(t)},
				{FlagKey: key, MinRevision: 999},
				{FlagKey: key, MinRevision: 999, StalePolicy: evaluationv1.StalePolicy_STALE_POLICY_ANSWER},
				{FlagKey: key, MaxAge: durationpb.New(time.Hour)},
				{FlagKey: key, Environment: "dev"},
				{FlagKey: key, MaxAge: &durationpb.Duration{Seconds: -1, Nanos: 1}},
				{FlagKey: key, StalePolicy: 9},
			} {
				r.ExpectedType = flagv1.ValueType(want)
				compareEvaluate(t, s, marshal(t, r))
			}
		}
	}
	for _, a := range []any{
		"1.2.3", 1, true, nil, "", 0,
		[]any{},
		[]any{"x", 1, nil},
		[]any{map[string]any{"b": "x"}},
		map[string]any{},
		map[string]any{"b": "x"},
		map[string]any{"b": map[string]any{}, "c": []any{1, []any{2}}, "d": nil},
	} {
		subject := &evaluationv1.EvaluationContext{TargetingKey: "user-1", Attributes: &structpb.Struct{Fields: map[string]*structpb.Value{"a": valueOf(t, a)}}}
		compareEvaluateAll(t, s, marshal(t, &evaluationv1.EvaluateAllRequest{Context: subject}))
	}
	for _, r := range []*evaluationv1.EvaluateAllRequest{
		{},
		{Context: canada(t)},
		{FlagKeys: keys[2:]},
		{FlagKeys: []string{"large", "nobody", "large"}},
		{FlagKeys: keys},
		{KeyPrefix: "e"},
		{KeyPrefix: "e", FlagKeys: keys},
		{MinRevision: 999},
		{MinRevision: 999, StalePolicy: evaluationv1.StalePolicy_STALE_POLICY_ANSWER},
		{MaxAge: durationpb.New(-1)},
		{Environment: "dev"},
	} {
		compareEvaluateAll(t, s, marshal(t, r))
	}
}

func marshal(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// compareEvaluate sends bytes both ways, alone and in a stream.
func compareEvaluate(tb testing.TB, s *evaluationService, data []byte) {
	tb.Helper()
	var r evaluationv1.EvaluateRequest
	refused := proto.Unmarshal(data, &r)
	c := newEvaluateCall()
	defer c.Free()
	if err := c.DecodeWire(wire(data, len(data)/2)); (err != nil) != (refused != nil) {
		tb.Fatalf("generated: %v; direct: %v", refused, err)
	}
	stream := streamCall{new(call)}
	twice := []byte{1 << 3, 7}
	for range 2 {
		twice = protowire.AppendBytes(append(twice, 2<<3|2), data)
	}
	var inStream evaluationv1.EvaluateStreamRequest
	refusedInStream := proto.Unmarshal(twice, &inStream)
	if err := stream.DecodeWire(wire(twice, 3)); (err != nil) != (refusedInStream != nil) {
		tb.Fatalf("in a stream: generated: %v; direct: %v", refusedInStream, err)
	}
	if refused != nil {
		return
	}
	now := time.Now()
	want, err := s.evaluate(&r, &credential{}, now)
	reply, directErr := s.evaluateDirect(context.Background(), c, now)
	var got evaluationv1.EvaluateResponse
	if directErr == nil {
		sent(tb, reply, &got)
	}
	requireSame(tb, want, &got, err, directErr)
	var streamed evaluationv1.EvaluateStreamResponse
	sent(tb, s.replyInStream(stream, &credential{}, now), &streamed)
	requireSame(tb, s.answerInStream(&inStream, &credential{}, now), &streamed, nil, nil)
}

func compareEvaluateAll(tb testing.TB, s *evaluationService, data []byte) {
	tb.Helper()
	var r evaluationv1.EvaluateAllRequest
	refused := proto.Unmarshal(data, &r)
	c := newEvaluateAllCall()
	defer c.Free()
	if err := c.DecodeWire(wire(data, len(data)/2)); (err != nil) != (refused != nil) {
		tb.Fatalf("generated: %v; direct: %v", refused, err)
	}
	if refused != nil {
		return
	}
	now := time.Now()
	want, err := s.evaluateAll(context.Background(), &r, &credential{}, now)
	reply, directErr := s.evaluateAllDirect(context.Background(), c, now)
	var got evaluationv1.EvaluateAllResponse
	if directErr == nil {
		sent(tb, reply, &got)
	}
	requireSame(tb, want, &got, err, directErr)
}

// TestUsualFormIsReadInPlace: what everyone sends takes the fast way, nested values
// included.
func TestUsualFormIsReadInPlace(t *testing.T) {
	t.Parallel()
	attributes, err := structpb.NewStruct(map[string]any{
		"s": "x", "n": 1.5, "b": true, "null": nil, "l": []any{"x", 1, []any{}}, "o": map[string]any{"a": map[string]any{"b": "c"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &evaluationv1.EvaluateRequest{
		Environment: production, FlagKey: "a", Context: &evaluationv1.EvaluationContext{TargetingKey: "user-1", Attributes: attributes},
		ExpectedType: flagv1.ValueType_VALUE_TYPE_STRING, MinRevision: 5, MaxAge: durationpb.New(1500 * time.Millisecond),
		StalePolicy: evaluationv1.StalePolicy_STALE_POLICY_ANSWER,
	}
	c := newCall()
	defer c.Free()
	c.data = marshal(t, r)
	if !c.readEvaluate(reader{rest: c.data}) {
		t.Fatal("not read in place")
	}
	if c.environment != production || c.flagKey != "a" || c.targetingKey != "user-1" || c.expected != r.GetExpectedType() ||
		c.minRevision != 5 || c.maxAge.AsDuration() != 1500*time.Millisecond || c.policy != r.GetStalePolicy() {
		t.Errorf("read %+v", c)
	}
	want := eval.StructAttributes(attributes)
	for _, name := range []string{"s", "n", "b", "null", "nobody"} {
		if got := c.attributes.Attribute(name); got != want.Attribute(name) && name != "s" || got.Exists() != want.Attribute(name).Exists() {
			t.Errorf("%s: got %v", name, got)
		}
	}
	all := marshal(t, &evaluationv1.EvaluateAllRequest{FlagKeys: []string{"a", "b"}, Context: r.GetContext(), MaxAge: r.GetMaxAge()})
	a := newCall()
	defer a.Free()
	a.data = all
	if !a.readEvaluateAll(reader{rest: a.data}) || len(a.keys) != 2 || len(a.fields) != 6 {
		t.Errorf("read %+v", a)
	}
}

// TestCallsAreReused: what one request leaves behind, the next does not see.
func TestCallsAreReused(t *testing.T) {
	t.Parallel()
	s := directService(t)
	c := streamCall{new(call)}
	for _, m := range []*evaluationv1.EvaluateStreamRequest{
		{Id: 1, Request: &evaluationv1.EvaluateRequest{Environment: production, FlagKey: "plain", Context: canada(t), ExpectedType: 1, MinRevision: 1, MaxAge: durationpb.New(time.Hour), StalePolicy: 2}},
		{},
		{Id: 3, Request: &evaluationv1.EvaluateRequest{FlagKey: "plain"}},
		{Id: 4},
	} {
		if err := c.DecodeWire(wire(marshal(t, m), 1)); err != nil {
			t.Fatal(err)
		}
		var got evaluationv1.EvaluateStreamResponse
		now := time.Now()
		sent(t, s.replyInStream(c, &credential{}, now), &got)
		requireSame(t, s.answerInStream(m, &credential{}, now), &got, nil, nil)
	}
}

// TestDirectCalls: over a connection the direct methods answer, fail, are counted, and
// take what is not in the usual form.
func TestDirectCalls(t *testing.T) {
	t.Parallel()
	p := everyAnswer(t)
	upstream, _ := p.serve()
	r, _ := startReady(t, options(upstream, production), p.revision)
	c := client(t, r)
	a, err := c.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "plain", Context: canada(t)})
	if err != nil || a.GetReason() != "TARGETING_MATCH" || a.GetEnvironmentRevision() != p.revision || a.GetAge() == nil {
		t.Errorf("got %v, %v", a, err)
	}
	_, err = c.Evaluate(metadata.AppendToOutgoingContext(t.Context(), rpc.ActorKey, "ada"), &evaluationv1.EvaluateRequest{})
	requireStatus(t, err, codes.InvalidArgument, "flag_key")
	all, err := c.EvaluateAll(t.Context(), &evaluationv1.EvaluateAllRequest{})
	if flags := r.evaluation.environments[0].replica.Snapshot().Eval().FlagCount(); err != nil || len(all.GetEvaluations()) != flags {
		t.Errorf("%d answers, %v; want %d", len(all.GetEvaluations()), err, flags)
	}
	_, text := get(t, "http://"+r.ManagementAddr()+"/metrics")
	for _, want := range []string{
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Evaluate",grpc_service="tidegate.evaluation.v1.EvaluationService",grpc_type="unary"} 1`,
		`grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="Evaluate",grpc_service="tidegate.evaluation.v1.EvaluationService",grpc_type="unary"} 1`,
		`grpc_server_handling_seconds_count{grpc_method="EvaluateAll",grpc_service="tidegate.evaluation.v1.EvaluationService",grpc_type="unary"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// TestDirectDoesNotAllocate: reading and answering costs the reply, which the transport
// keeps, and nothing else.
func TestDirectDoesNotAllocate(t *testing.T) {
	s := directService(t)
	data := mem.BufferSlice{mem.SliceBuffer(marshal(t, &evaluationv1.EvaluateRequest{FlagKey: "plain", Context: canada(t)}))}
	c, now := evaluateCall{new(call)}, time.Now()
	if n := testing.AllocsPerRun(100, func() {
		if c.DecodeWire(data) != nil {
			t.Fatal("refused")
		}
		if _, err := s.evaluateDirect(t.Context(), c, now); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}
