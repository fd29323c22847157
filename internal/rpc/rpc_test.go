package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

var errDomain = errors.New("domain: nothing there")

// failing answers by what the flag key asks for.
func failing() *service {
	return &service{evaluate: func(ctx context.Context, r *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
		switch r.GetFlagKey() {
		case "panic":
			panic("secret of the handler")
		case "domain":
			return nil, fmt.Errorf("get: %w", errDomain)
		case "unexpected":
			return nil, errors.New("secret of the store")
		case "slow":
			<-ctx.Done()
			return nil, ctx.Err()
		case "status":
			return nil, status.Error(codes.FailedPrecondition, "not yet")
		case "answer":
			return nil, Answer(codes.Unknown, "it is what it is")
		case "who":
			c := CallerFrom(ctx)
			return &evaluationv1.EvaluateResponse{FlagKey: c.Actor, Variant: c.Peer}, nil
		}
		return &evaluationv1.EvaluateResponse{FlagKey: r.GetFlagKey(), Variant: r.GetContext().GetTargetingKey()}, nil
	}}
}

func mapDomain(err error) error {
	if errors.Is(err, errDomain) {
		return Status(codes.NotFound, err.Error())
	}
	return err
}

func TestErrors(t *testing.T) {
	t.Parallel()
	s := start(t, Options{MapError: mapDomain, Timeout: 50 * time.Millisecond, MaxMessageBytes: 1 << 10, Validate: func(m proto.Message) eval.Errors {
		if r, ok := m.(*evaluationv1.EvaluateRequest); ok && r.GetFlagKey() == "" {
			return eval.Errors{{Field: "flag_key", Problem: "is required"}}
		}
		return nil
	}}, failing(), ServeOptions{})

	for _, c := range []struct {
		key  string
		code codes.Code
		text string
		http int
	}{
		{"panic", codes.Internal, "internal error; the server's log says more", 500},
		{"unexpected", codes.Internal, "internal error; the server's log says more", 500},
		{"domain", codes.NotFound, "get: domain: nothing there", 404},
		{"slow", codes.DeadlineExceeded, "no answer within the call's deadline", 504},
		{"status", codes.FailedPrecondition, "not yet", 400},
		{"", codes.InvalidArgument, "invalid request: flag_key: is required", 400},
		{strings.Repeat("x", 2<<10), codes.ResourceExhausted, "larger than", 429},
		{"fine", codes.OK, "", 200},
	} {
		t.Run(c.key[:min(10, len(c.key))], func(t *testing.T) {
			_, err := s.client.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: c.key})
			if st := status.Convert(err); st.Code() != c.code || !strings.Contains(st.Message(), c.text) {
				t.Errorf("gRPC: got %v, want %v %q", err, c.code, c.text)
			}
			code, answer := s.post(evaluatePath, fmt.Sprintf(`{"flagKey":%q}`, c.key))
			text, _ := answer["message"].(string)
			if code != c.http || !strings.Contains(text, c.text) {
				t.Errorf("HTTP: got %d %v, want %d %q", code, answer, c.http, c.text)
			}
		})
	}

	panics := s.log.lines(t, "panic in a handler")
	if len(panics) != 2 {
		t.Fatalf("got %d panics logged, want 2", len(panics))
	}
	for _, p := range panics {
		if p["method"] != evaluatePath || !strings.Contains(fmt.Sprint(p["stack"]), "rpc_test.go") {
			t.Errorf("panic logged as %v", p)
		}
	}
	if n := len(s.log.lines(t, "unexpected error")); n != 2 {
		t.Errorf("got %d unexpected errors logged, want 2", n)
	}
}

func TestCallLog(t *testing.T) {
	t.Parallel()
	s := start(t, Options{MapError: mapDomain}, failing(), ServeOptions{})
	ctx := metadata.AppendToOutgoingContext(t.Context(), ActorKey, "ada")
	request := &evaluationv1.EvaluateRequest{Context: &evaluationv1.EvaluationContext{TargetingKey: "private"}}
	for _, key := range []string{"fine", "domain", "panic", "answer"} {
		request.FlagKey = key
		_, _ = s.client.Evaluate(ctx, request) // the answers are TestErrors' business
	}
	eventually(t, "four calls are logged", func() bool { return len(s.log.lines(t, "call")) == 4 })
	for i, want := range []struct{ level, code string }{{"debug", "OK"}, {"info", "NotFound"}, {"warn", "Internal"}, {"debug", "Unknown"}} {
		got := s.log.lines(t, "call")[i]
		if got["level"] != want.level || got["code"] != want.code || got["method"] != evaluatePath || got["actor"] != "ada" {
			t.Errorf("call %d: got %v, want %v", i, got, want)
		}
	}
	if strings.Contains(s.log.String(), "private") {
		t.Errorf("the log says what requests say:\n%s", s.log)
	}
}

// Whoever errs in a loop does not drown the log.
func TestCallLogIsBounded(t *testing.T) {
	t.Parallel()
	s := start(t, Options{MapError: mapDomain}, failing(), ServeOptions{})
	const calls = 2000
	begun := time.Now()
	for range calls {
		_, _ = s.client.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "domain"})
	}
	most := callLines * (2 + int(time.Since(begun)/time.Second))
	if n := len(s.log.lines(t, "call")); n == 0 || n > most {
		t.Errorf("%d lines for %d failed calls, want 1 to %d", n, calls, most)
	}
}

func TestCallMetrics(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, failing(), ServeOptions{})
	_, _ = s.client.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "fine"})
	_, _ = s.client.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "panic"})
	_, _ = s.post(evaluatePath, `{"flagKey":"fine"}`)
	got := handled(t, s)
	if got["OK"] != 2 || got["Internal"] != 1 || len(got) != 2 {
		t.Errorf("grpc_server_handled_total by code: got %v, want 2 OK and 1 Internal", got)
	}
}

// handled reads the calls that ended, by their status.
func handled(t *testing.T, s *running) map[string]float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "grpc_server_handled_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "grpc_code" {
					got[l.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	return got
}

// Two servers of one process may share a registry.
func TestSharedRegistry(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	a, b := newMetrics(r), newMetrics(r)
	if a != b {
		t.Error("the second server's calls are not counted")
	}
}

func TestCallerFrom(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, failing(), ServeOptions{})
	ask := func(ctx context.Context) *evaluationv1.EvaluateResponse {
		t.Helper()
		r, err := s.client.Evaluate(ctx, &evaluationv1.EvaluateRequest{FlagKey: "who"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := ask(t.Context()); r.GetFlagKey() != "anonymous" || !strings.HasPrefix(r.GetVariant(), "127.0.0.1:") {
		t.Errorf("without a claim: got %v", r)
	}
	if r := ask(metadata.AppendToOutgoingContext(t.Context(), ActorKey, "ada")); r.GetFlagKey() != "ada" {
		t.Errorf("with a claim: got %v", r)
	}
	if r := ask(metadata.AppendToOutgoingContext(t.Context(), ActorKey, strings.Repeat("a", 1000))); len(r.GetFlagKey()) != maxActor {
		t.Errorf("with a long claim: got %d bytes", len(r.GetFlagKey()))
	}
	_, answer := s.post(evaluatePath, `{"flagKey":"who"}`, "Tidegate-Actor", "ada")
	if peer := fmt.Sprint(answer["variant"]); answer["flagKey"] != "ada" || !strings.HasPrefix(peer, "127.0.0.1:") {
		t.Errorf("over HTTP: got %v", answer)
	}
	if _, answer = s.post(evaluatePath, `{"flagKey":"who"}`, "Tidegate-Actor", "ad\xffa"); answer["flagKey"] != "ad?a" {
		t.Errorf("a claim that is not UTF-8: got %v", answer)
	}
}

func TestReflection(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, failing(), ServeOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	want := []string{
		"grpc.channelz.v1.Channelz", "grpc.health.v1.Health",
		"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
		"tidegate.evaluation.v1.EvaluationService",
	}
	v1, err := reflectionv1.NewServerReflectionClient(s.conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := v1.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	r, err := v1.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range r.GetListServicesResponse().GetService() {
		got = append(got, s.GetName())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("v1: got %v, want %v", got, want)
	}

	// Deprecated, and what older grpcurls speak.
	alpha, err := reflectionv1alpha.NewServerReflectionClient(s.conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	list := &reflectionv1alpha.ServerReflectionRequest{MessageRequest: &reflectionv1alpha.ServerReflectionRequest_ListServices{}} //nolint:staticcheck // deprecated on purpose
	if err := alpha.Send(list); err != nil {
		t.Fatal(err)
	}
	if r, err := alpha.Recv(); err != nil || strings.Count(r.String(), "name:") != len(want) {
		t.Errorf("v1alpha: got %v, %v", r, err)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, failing(), ServeOptions{})
	for _, service := range []string{"", "tidegate.evaluation.v1.EvaluationService"} {
		r, err := healthv1.NewHealthClient(s.conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil || r.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: got %v, %v", service, r, err)
		}
	}
}

func TestStreamValidation(t *testing.T) {
	t.Parallel()
	impl := &service{stream: func(ss grpc.BidiStreamingServer[evaluationv1.EvaluateStreamRequest, evaluationv1.EvaluateStreamResponse]) error {
		for {
			m, err := ss.Recv()
			if err != nil {
				return err
			}
			if err := ss.Send(&evaluationv1.EvaluateStreamResponse{Id: m.GetId()}); err != nil {
				return err
			}
		}
	}}
	s := start(t, Options{Validate: func(m proto.Message) eval.Errors {
		if r, ok := m.(*evaluationv1.EvaluateStreamRequest); ok && r.GetId() == 0 {
			return eval.Errors{{Field: "id", Problem: "is required"}}
		}
		return nil
	}}, impl, ServeOptions{})
	stream, err := s.client.EvaluateStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []uint64{1, 0} {
		if err := stream.Send(&evaluationv1.EvaluateStreamRequest{Id: id}); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := stream.Recv(); err != nil || r.GetId() != 1 {
		t.Fatalf("valid: got %v, %v", r, err)
	}
	_, err = stream.Recv()
	want := &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "id", Description: "is required"}}}
	if st := status.Convert(err); st.Code() != codes.InvalidArgument || len(st.Details()) != 1 || !proto.Equal(st.Details()[0].(proto.Message), want) {
		t.Errorf("invalid: got %v, want INVALID_ARGUMENT with the field", err)
	}
}
