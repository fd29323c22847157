package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/rpc"
)

type (
	evaluateStream = grpc.BidiStreamingServer[evaluationv1.EvaluateStreamRequest, evaluationv1.EvaluateStreamResponse]
	watchStream    = grpc.ServerStreamingServer[evaluationv1.WatchResponse]
)

// EvaluateStream implements the service.
func (s *evaluationService) EvaluateStream(stream evaluateStream) error {
	x := &exchange{service: s, stream: stream, who: credentialOf(stream.Context())}
	return s.answerStream(stream.Context(), x, &x.who)
}

// evaluateStreamDirect is EvaluateStream.
func (s *evaluationService) evaluateStreamDirect(_ any, stream grpc.ServerStream) error {
	x := &directExchange{service: s, stream: stream, request: streamCall{new(call)}, who: credentialOf(stream.Context())}
	return s.answerStream(stream.Context(), x, &x.who)
}

// exchanger reads one request and answers it, in turns.
type exchanger interface {
	read() error
	answer() error
}

// answerStream answers requests until the stream or the relay ends, or a key that was good for an
// answer no longer is: then whoever has the stream is told why, though they ask nothing. What was
// read when the relay drains is still answered.
//
// One goroutine reads, evaluates and sends, without handing over to another: the
// transport reads ahead, as far as its windows go, and puts the answers that are ready
// into one packet.
func (s *evaluationService) answerStream(ctx context.Context, x exchanger, who *credential) error {
	rights := newStreamRights(ctx)
	defer rights.end()
	who.admitted = rights.watch
	answers := &answers{exchanger: x}
	ended := make(chan error, 1)
	go func() { ended <- answers.run() }()
	select {
	case err := <-ended:
		var p panicked
		if errors.As(err, &p) {
			panic(p) // where it is recovered and logged
		}
		return err
	case err := <-rights.lost:
		answers.end()
		return err
	case <-s.draining:
		answers.end()
		return errDraining
	}
}

// streamRights are those that a stream has had answers by. One that needed no key is none.
type streamRights struct {
	lost chan error // takes one: why the first that was lost is

	ctx    context.Context // of what watches
	cancel context.CancelFunc

	mu       sync.Mutex
	over     bool
	watched  map[*environment]bool
	watching sync.WaitGroup
}

func newStreamRights(ctx context.Context) *streamRights {
	r := &streamRights{lost: make(chan error, 1)}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r
}

// watch looks from now on whether a visitor keeps its right to an environment.
func (r *streamRights) watch(e *environment, v *accesskey.Visitor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.watched[e] {
		return
	}
	if r.watched == nil {
		r.watched = make(map[*environment]bool, 1)
	}
	r.watched[e] = true
	r.watching.Go(func() {
		err := (&pass{visitor: v}).untilLost(r.ctx, e)
		if r.ctx.Err() != nil {
			return
		}
		select {
		case r.lost <- err:
		default: // another was lost before
		}
	})
}

func (r *streamRights) end() {
	r.cancel()
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.watching.Wait()
}

// answers are those of one stream.
type answers struct {
	exchanger
	mu    sync.Mutex // held while a request is answered
	ended bool
}

// run ends when the stream does, which at the latest is when its handler returns.
func (a *answers) run() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked{p, debug.Stack()}
		}
	}()
	for {
		if err := a.read(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := a.next(); err != nil {
			return err
		}
	}
}

func (a *answers) next() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return errDraining
	}
	return a.answer()
}

// end waits for the answer that is being given; there will be no other.
func (a *answers) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
}

// panicked is what a goroutine of a stream panicked with.
type panicked struct {
	value any
	stack []byte
}

func (p panicked) Error() string { return fmt.Sprintf("%v\n%s", p.value, p.stack) }

// exchange is by generated messages.
type exchange struct {
	service *evaluationService
	stream  evaluateStream
	request *evaluationv1.EvaluateStreamRequest
	who     credential
}

func (x *exchange) read() (err error) {
	x.request, err = x.stream.Recv()
	return err
}

func (x *exchange) answer() error {
	return x.stream.Send(x.service.answerInStream(x.request, &x.who, time.Now()))
}

// directExchange is in place.
type directExchange struct {
	service *evaluationService
	stream  grpc.ServerStream
	request streamCall
	who     credential
}

func (x *directExchange) read() error { return x.stream.RecvMsg(x.request) }

func (x *directExchange) answer() error {
	return x.stream.SendMsg(x.service.replyInStream(x.request, &x.who, time.Now()))
}

func (s *evaluationService) answerInStream(r *evaluationv1.EvaluateStreamRequest, who *credential, now time.Time) *evaluationv1.EvaluateStreamResponse {
	a, err := s.evaluate(r.GetRequest(), who, now)
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

// replyInStream is answerInStream.
func (s *evaluationService) replyInStream(c streamCall, who *credential, now time.Time) *rpc.Reply {
	reply := new(rpc.Reply)
	b := appendInteger(reply.Room(), 1, int64(c.id))
	start := len(b)
	b, at := begin(b, 2)
	b, err := s.appendEvaluation(b, c.call, who, now)
	if err != nil {
		failure := status.Convert(err)
		b, at = begin(b[:start], 3)
		b = appendInteger(b, 1, int64(failure.Code()))
		b = appendText(b, 2, failure.Message())
	}
	reply.Set(end(b, at))
	return reply
}
