// Command echo is the floor beside which bench/rpc puts a relay: a bare grpc-go server
// with default options that decodes the same requests into generated messages, and
// answers all of them with one message of the size that a relay's answers have.
//
//	echo -addr 127.0.0.1:9000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:9000", "listening address")
	flag.Parse()
	if err := serve(*addr); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func serve(addr string) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	evaluationv1.RegisterEvaluationServiceServer(s, &echo{answer: &evaluationv1.EvaluateResponse{
		FlagKey: "some-050", Value: &evaluationv1.EvaluateResponse_BoolValue{BoolValue: true}, Variant: "on",
		Reason: "SPLIT", FlagRevision: 40, EnvironmentRevision: 4000, Age: durationpb.New(2500 * time.Millisecond),
	}})
	return s.Serve(l)
}

type echo struct {
	evaluationv1.UnimplementedEvaluationServiceServer
	answer *evaluationv1.EvaluateResponse
}

// Evaluate implements the service.
func (e *echo) Evaluate(context.Context, *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
	return e.answer, nil
}

// EvaluateStream implements the service.
func (e *echo) EvaluateStream(stream grpc.BidiStreamingServer[evaluationv1.EvaluateStreamRequest, evaluationv1.EvaluateStreamResponse]) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&evaluationv1.EvaluateStreamResponse{
			Id: r.GetId(), Result: &evaluationv1.EvaluateStreamResponse_Response{Response: e.answer},
		}); err != nil {
			return err
		}
	}
}
