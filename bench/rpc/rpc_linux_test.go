package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answering answers every request with its flag's key.
type answering struct {
	evaluationv1.UnimplementedEvaluationServiceServer
}

func (answering) Evaluate(_ context.Context, r *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
	return &evaluationv1.EvaluateResponse{FlagKey: r.GetFlagKey()}, nil
}

func (answering) EvaluateStream(stream grpc.BidiStreamingServer[evaluationv1.EvaluateStreamRequest, evaluationv1.EvaluateStreamResponse]) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := stream.Send(&evaluationv1.EvaluateStreamResponse{Id: r.GetId()}); err != nil {
			return err
		}
	}
}

// TestLoads: the clients speak what real servers understand, for longer than any window
// or table of theirs lasts, and tell when a call fails.
func TestLoads(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	evaluationv1.RegisterEvaluationServiceServer(server, answering{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/fine" {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = io.Copy(w, r.Body) // it is small
	}))
	request := &evaluationv1.EvaluateRequest{FlagKey: strings.Repeat("k", 2000)}
	unary := grpcLoad{addr: l.Addr().String(), path: evaluationv1.EvaluationService_Evaluate_FullMethodName, messages: [][]byte{encode(request)}, inFlight: 4}
	stream := unary
	stream.path, stream.stream = evaluationv1.EvaluationService_EvaluateStream_FullMethodName, true
	stream.messages = [][]byte{encode(&evaluationv1.EvaluateStreamRequest{Id: 1, Request: request})}
	failing := unary
	failing.path = evaluationv1.EvaluationService_EvaluateAll_FullMethodName
	post := httpLoad{addr: web.Listener.Addr().String(), path: "/fine", body: "{}"}
	failed := post
	failed.path = "/"
	for _, c := range []struct {
		name string
		load load
		want string
	}{
		{"unary", unary, ""},
		{"stream", stream, ""},
		{"failing", failing, "EvaluateAll: a call failed"},
		{"HTTP", post, ""},
		{"failing HTTP", failed, "418"},
	} {
		s, err := measure(t.Context(), c.load, 2, os.Getpid(), 100*time.Millisecond, 400*time.Millisecond)
		switch {
		case c.want != "":
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
		case err != nil || s.rate <= 0 || s.p50 <= 0 || s.p50 > s.p99 || s.p99 > s.p99_9:
			t.Errorf("%s: %+v, %v", c.name, s, err)
		}
	}
	web.Close()
	server.Stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	got := median([]sample{{rate: 3, cpu: 1}, {rate: 1, cpu: 2}, {rate: 2, cpu: 9}, {rate: 10, cpu: 0}})
	if got.rate != 2.5 || got.cpu != 1.5 {
		t.Errorf("got %+v", got)
	}
}
