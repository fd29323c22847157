package relay

import (
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// pipelineDepth is how many requests of one stream are read ahead of the answers; what
// is beyond stays with the caller, by the transport's flow control. Each may be as large
// as a message, and more of them gain next to nothing.
const pipelineDepth = 8

type (
	evaluateStream = grpc.BidiStreamingServer[evaluationv1.EvaluateStreamRequest, evaluationv1.EvaluateStreamResponse]
	watchStream    = grpc.ServerStreamingServer[evaluationv1.WatchResponse]
)

// EvaluateStream implements the service. Reading and answering overlap; answers are
// written as they are made, and the transport puts what is ready into one packet. When
// the relay drains, what was read is still answered.
func (s *evaluationService) EvaluateStream(stream evaluateStream) error {
	requests, failed := receive(stream)
	for {
		var r *evaluationv1.EvaluateStreamRequest
		var open bool
		select {
		case r, open = <-requests:
		case <-s.draining:
			select {
			case r, open = <-requests:
			default:
				return errDraining
			}
		}
		if !open {
			return <-failed
		}
		if err := stream.Send(s.answerInStream(r)); err != nil {
			return err
		}
	}
}

// receive reads the stream until it ends, which at the latest is when its handler
// returns. Then the requests are closed and why (nil: the caller is done) follows.
func receive(stream evaluateStream) (<-chan *evaluationv1.EvaluateStreamRequest, <-chan error) {
	requests, failed := make(chan *evaluationv1.EvaluateStreamRequest, pipelineDepth), make(chan error, 1)
	go func() {
		defer close(requests)
		for {
			r, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				failed <- nil
				return
			}
			if err != nil {
				failed <- err
				return
			}
			select {
			case requests <- r:
			case <-stream.Context().Done():
				failed <- stream.Context().Err()
				return
			}
		}
	}()
	return requests, failed
}

func (s *evaluationService) answerInStream(r *evaluationv1.EvaluateStreamRequest) *evaluationv1.EvaluateStreamResponse {
	a, err := s.evaluate(r.GetRequest())
	if err != nil {
		failure := status.Convert(err)
		return &evaluationv1.EvaluateStreamResponse{
			Id: r.GetId(),
			Result: &evaluationv1.EvaluateStreamResponse_Error{Error: &evaluationv1.EvaluateError{
				Code: int32(failure.Code()), Message: failure.Message(),
			}},
		}
	}
	return &evaluationv1.EvaluateStreamResponse{Id: r.GetId(), Result: &evaluationv1.EvaluateStreamResponse_Response{Response: a}}
}
