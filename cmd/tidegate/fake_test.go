package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// fakeServer answers as a test wants; what is not set is unimplemented.
type fakeServer struct {
	controlv1.UnimplementedFlagServiceServer
	controlv1.UnimplementedSegmentServiceServer
	evaluationv1.UnimplementedEvaluationServiceServer

	setEnabled   func(context.Context, *controlv1.SetEnabledRequest) (*controlv1.SetEnabledResponse, error)
	listFlags    func(*controlv1.ListFlagsRequest) (*controlv1.ListFlagsResponse, error)
	listSegments func(*controlv1.ListSegmentsRequest) (*controlv1.ListSegmentsResponse, error)
	apply        func(*controlv1.ApplyRequest) (*controlv1.ApplyResponse, error)
	evaluate     func(*evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error)
	evaluateAll  func(*evaluationv1.EvaluateAllRequest) (*evaluationv1.EvaluateAllResponse, error)
	watch        func(*evaluationv1.WatchRequest, grpc.ServerStreamingServer[evaluationv1.WatchResponse]) error
}

func (f *fakeServer) SetEnabled(ctx context.Context, r *controlv1.SetEnabledRequest) (*controlv1.SetEnabledResponse, error) {
	if f.setEnabled == nil {
		return f.UnimplementedFlagServiceServer.SetEnabled(ctx, r)
	}
	return f.setEnabled(ctx, r)
}

func (f *fakeServer) ListFlags(_ context.Context, r *controlv1.ListFlagsRequest) (*controlv1.ListFlagsResponse, error) {
	return f.listFlags(r)
}

func (f *fakeServer) ListSegments(_ context.Context, r *controlv1.ListSegmentsRequest) (*controlv1.ListSegmentsResponse, error) {
	return f.listSegments(r)
}

func (f *fakeServer) Apply(_ context.Context, r *controlv1.ApplyRequest) (*controlv1.ApplyResponse, error) {
	return f.apply(r)
}

func (f *fakeServer) Evaluate(_ context.Context, r *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
	return f.evaluate(r)
}

func (f *fakeServer) EvaluateAll(_ context.Context, r *evaluationv1.EvaluateAllRequest) (*evaluationv1.EvaluateAllResponse, error) {
	return f.evaluateAll(r)
}

func (f *fakeServer) Watch(r *evaluationv1.WatchRequest, s grpc.ServerStreamingServer[evaluationv1.WatchResponse]) error {
	return f.watch(r, s)
}

func (f *fakeServer) start(t *testing.T) string {
	t.Helper()
	return serve(t, func(s *grpc.Server) {
		controlv1.RegisterFlagServiceServer(s, f)
		controlv1.RegisterSegmentServiceServer(s, f)
		evaluationv1.RegisterEvaluationServiceServer(s, f)
	})
}

// serve serves on loopback until the test ends, and returns the address.
func serve(t *testing.T, register func(*grpc.Server)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	register(s)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Stop()
		// It may be stopped before it began.
		if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// withClient calls the body with a client of the address that does not wait long
// between retries, and returns what it wrote.
func withClient(t *testing.T, address string, body func(context.Context, *client) error) (out, stderr string, err error) {
	t.Helper()
	o := newClientOptions()
	o.address, o.environment, o.reason, o.actor = address, "production", "because", "ann"
	o.output, o.timeout, o.retryWait = outputTable, 30*time.Second, time.Millisecond
	var stdout, complaints bytes.Buffer
	err = o.run(t.Context(), &streams{in: strings.NewReader(""), out: &stdout, err: &complaints}, body)
	return strings.ReplaceAll(stdout.String(), address, "SERVER"), strings.ReplaceAll(complaints.String(), address, "SERVER"), err
}

// text is an error's, without the address.
func text(err error, address string) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), address, "SERVER")
}
