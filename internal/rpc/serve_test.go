package rpc

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// An idle stream ends with UNAVAILABLE, a health watch with NOT_SERVING; neither holds
// the server up to the bound.
func TestDrainEndsStreams(t *testing.T) {
	t.Parallel()
	impl := &service{watch: func(_ *evaluationv1.WatchRequest, ss grpc.ServerStreamingServer[evaluationv1.WatchResponse]) error {
		if err := ss.Send(&evaluationv1.WatchResponse{}); err != nil {
			return err
		}
		<-ss.Context().Done()
		return ss.Context().Err()
	}}
	drained := make(chan struct{})
	s := start(t, Options{}, impl, ServeOptions{Drain: func() { close(drained) }, DrainTimeout: time.Hour})
	watch, err := s.client.Watch(t.Context(), &evaluationv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	health, err := healthv1.NewHealthClient(s.conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := health.Recv(); err != nil || r.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("health: got %v, %v", r, err)
	}

	s.stop()
	if r, err := health.Recv(); err != nil || r.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health: got %v, %v", r, err)
	}
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "connect again") {
		t.Errorf("watch: got %v", err)
	}
	if err := s.ended(); err != nil {
		t.Errorf("Serve: got %v", err)
	}
	select {
	case <-drained:
	default:
		t.Error("Drain was not called")
	}
}

// A call in flight gets its answer.
func TestDrainWaitsForCalls(t *testing.T) {
	t.Parallel()
	in, out := make(chan struct{}, 2), make(chan struct{})
	impl := &service{evaluate: func(context.Context, *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
		in <- struct{}{}
		<-out
		return &evaluationv1.EvaluateResponse{FlagKey: "answered"}, nil
	}}
	s := start(t, Options{}, impl, ServeOptions{Drain: func() { close(out) }, DrainTimeout: time.Hour})
	results := make(chan string, 2)
	go func() {
		r, err := s.client.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{})
		results <- r.GetFlagKey() + status.Convert(err).Message()
	}()
	go func() {
		_, answer := s.post(evaluatePath, `{}`)
		text, _ := answer["flagKey"].(string)
		results <- text
	}()
	<-in
	<-in
	s.stop()
	for range 2 {
		if got := <-results; got != "answered" {
			t.Errorf("got %q, want the answer", got)
		}
	}
	if err := s.ended(); err != nil {
		t.Errorf("Serve: got %v", err)
	}
}

// What does not end by itself is cut at the bound.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	in := make(chan struct{}, 2)
	impl := &service{evaluate: func(ctx context.Context, _ *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
		in <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	s := start(t, Options{Timeout: time.Hour}, impl, ServeOptions{DrainTimeout: 20 * time.Millisecond})
	failed := make(chan error, 2)
	go func() {
		_, err := s.client.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{})
		failed <- err
	}()
	go func() {
		resp, err := s.http.Post(s.url+evaluatePath, "application/json", strings.NewReader("{}"))
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	<-in
	<-in
	s.stop()
	if err := s.ended(); err != nil {
		t.Errorf("Serve: got %v", err)
	}
	for range 2 {
		if err := <-failed; err == nil {
			t.Error("a call that never ended was answered")
		}
	}
}

// A listener that fails ends Serve with the address in the error.
func TestListenerFails(t *testing.T) {
	t.Parallel()
	server := NewServer(Options{})
	l, h := listen(t), listen(t)
	l.Close()
	err := server.Serve(t.Context(), ServeOptions{GRPC: []net.Listener{l}, HTTP: []HTTPListener{{Listener: h, Handler: server.HTTPHandler()}}})
	if err == nil || !strings.Contains(err.Error(), "serve gRPC on "+l.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

// boundTo is a listener of which only the address matters.
type boundTo struct {
	net.Listener
	addr net.Addr
}

func (b boundTo) Addr() net.Addr { return b.addr }

func TestWarnReachable(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	WarnReachable(zerolog.New(&said), NobodyAsked,
		boundTo{addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}, boundTo{addr: &net.TCPAddr{IP: net.IPv6loopback, Port: 2}},
		boundTo{addr: &net.TCPAddr{IP: net.IPv4zero, Port: 3}}, boundTo{addr: &net.TCPAddr{IP: net.IPv6unspecified, Port: 4}})
	if got := said.String(); strings.Count(got, "no identities") != 2 || !strings.Contains(got, `"0.0.0.0:3"`) || !strings.Contains(got, `"[::]:4"`) {
		t.Errorf("logged %s", got)
	}
}
