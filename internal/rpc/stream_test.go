package rpc

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// A handler may end its stream while another goroutine of it still receives: what authorizing
// the first message makes of the context is not torn. The race detector sees it.
func TestStreamEndsWhileItReceives(t *testing.T) {
	authorizing, received := make(chan struct{}), make(chan struct{})
	r := start(t, Options{Authorize: func(ctx context.Context, _ Call) (context.Context, error) {
		close(authorizing)
		return context.WithoutCancel(ctx), nil
	}}, &service{stream: func(ss grpc.BidiStreamingServer[evaluationv1.EvaluateStreamRequest, evaluationv1.EvaluateStreamResponse]) error {
		go func() {
			defer close(received)
			_, _ = ss.Recv()
		}()
		<-authorizing
		return errors.New("over")
	}}, ServeOptions{})
	stream, err := r.client.EvaluateStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&evaluationv1.EvaluateStreamRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) == codes.OK {
		t.Error("the stream did not end")
	}
	<-received
}
