package clientsdk

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// pipelineQueue bounds the requests that wait to be sent; callers beyond it wait, within
// their deadline.
const pipelineQueue = 1024

// errDrained is the error of a stream that the relay ended without an error.
var errDrained = status.Error(codes.Unavailable, "the relay ended the stream")

// pipeline sends the evaluations of many callers over one EvaluateStream. It opens a
// stream when it has none and a caller comes; the connection below reconnects by itself.
type pipeline struct {
	rpc    evaluationv1.EvaluationServiceClient
	key    *presenter      // may be nil
	ctx    context.Context // of the streams; ends with close
	cancel context.CancelFunc

	mu      sync.Mutex
	stream  *pipelineStream
	opening *opening
	closed  bool
	running sync.WaitGroup
}

// opening is the attempt to open a stream that callers wait for.
type opening struct {
	done   chan struct{}
	stream *pipelineStream
	err    error
}

func newPipeline(rpc evaluationv1.EvaluationServiceClient, key *presenter) *pipeline {
	ctx, cancel := context.WithCancel(context.Background())
	return &pipeline{rpc: rpc, key: key, ctx: ctx, cancel: cancel}
}

// Evaluate is EvaluationServiceClient.Evaluate over the stream. An evaluation that a
// stream takes down with it is tried once more, on the next one.
func (p *pipeline) Evaluate(ctx context.Context, r *evaluationv1.EvaluateRequest, _ ...grpc.CallOption) (*evaluationv1.EvaluateResponse, error) {
	for attempt := 0; ; attempt++ {
		s, err := p.open(ctx)
		if err != nil {
			return nil, err
		}
		response, err := s.evaluate(ctx, r)
		if err == nil || attempt > 0 || ctx.Err() != nil || !isClosed(s.ended) {
			return response, err
		}
	}
}

// close ends the stream and waits for its goroutines.
func (p *pipeline) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.running.Wait()
}

// open returns the stream, opened if need be. It waits no longer than ctx.
func (p *pipeline) open(ctx context.Context) (*pipelineStream, error) {
	p.mu.Lock()
	if p.closed {
		defer p.mu.Unlock()
		return nil, status.Error(codes.Unavailable, "the client is closed")
	}
	if s := p.stream; s != nil && s.key != p.key.current() { // which it was opened with
		s.retire()
		p.stream = nil
	}
	if p.stream != nil && !isClosed(p.stream.ended) {
		defer p.mu.Unlock()
		return p.stream, nil
	}
	o := p.opening
	if o == nil {
		o = &opening{done: make(chan struct{})}
		p.opening = o
		p.running.Go(func() { p.dial(o) }) //nolint:contextcheck // the stream outlives the caller that needed it first
	}
	p.mu.Unlock()
	select {
	case <-o.done:
		return o.stream, o.err
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func (p *pipeline) dial(o *opening) {
	ctx, cancel := context.WithCancel(p.ctx)
	key := p.key.current() // before the stream presents it
	stream, err := p.rpc.EvaluateStream(ctx)
	if err != nil {
		cancel()
		o.err = err
	} else {
		o.stream = &pipelineStream{
			stream:  stream,
			key:     key,
			retired: make(chan struct{}),
			queue:   make(chan *evaluationv1.EvaluateStreamRequest, pipelineQueue),
			ended:   make(chan struct{}),
			pending: map[uint64]chan<- *evaluationv1.EvaluateStreamResponse{},
		}
		p.running.Go(o.stream.send)
		p.running.Go(func() { defer cancel(); o.stream.receive() })
	}
	p.mu.Lock()
	p.stream, p.opening = o.stream, nil
	p.mu.Unlock()
	close(o.done)
}

// pipelineStream is one stream.
type pipelineStream struct {
	stream grpc.BidiStreamingClient[evaluationv1.EvaluateStreamRequest, evaluationv1.EvaluateStreamResponse]
	key    *presented // that it was opened with
	queue  chan *evaluationv1.EvaluateStreamRequest
	ended  chan struct{} // closed when it ends, after err is set
	err    error
	// retired is closed when another stream takes over; once guards that.
	retired chan struct{}
	once    sync.Once

	mu      sync.Mutex
	last    uint64
	pending map[uint64]chan<- *evaluationv1.EvaluateStreamResponse
}

func (s *pipelineStream) evaluate(ctx context.Context, r *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
	answer := make(chan *evaluationv1.EvaluateStreamResponse, 1)
	s.mu.Lock()
	s.last++
	id := s.last
	s.pending[id] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.pending, id)
		s.mu.Unlock()
	}()
	select {
	case s.queue <- &evaluationv1.EvaluateStreamRequest{Id: id, Request: r}:
	case <-s.ended:
		return nil, s.err
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	select {
	case m := <-answer:
		return m.GetResponse(), answerError(m)
	case <-s.ended:
		return nil, s.err
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func answerError(m *evaluationv1.EvaluateStreamResponse) error {
	switch {
	case m.GetError() != nil:
		return status.Error(codes.Code(m.GetError().GetCode()), m.GetError().GetMessage())
	case m.GetResponse() == nil:
		return status.Error(codes.Internal, "the relay sent an empty answer")
	}
	return nil
}

// retire has the stream answer what waits, and end.
func (s *pipelineStream) retire() { s.once.Do(func() { close(s.retired) }) }

func (s *pipelineStream) send() {
	for {
		select {
		case <-s.ended:
			return
		case r := <-s.queue:
			if err := s.stream.Send(r); err != nil {
				return // receive gets the reason
			}
		case <-s.retired:
			s.finish()
			return
		}
	}
}

// finish sends what waits, and no more. Who comes later is answered by the next stream, as this
// one ends.
func (s *pipelineStream) finish() {
	for {
		select {
		case r := <-s.queue:
			if s.stream.Send(r) != nil {
				return
			}
		default:
			_ = s.stream.CloseSend() // it never fails
			return
		}
	}
}

// receive hands out the answers. Those that nobody waits for any more are dropped.
func (s *pipelineStream) receive() {
	for {
		m, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			err = errDrained
		}
		if err != nil {
			s.err = err
			close(s.ended)
			return
		}
		s.mu.Lock()
		answer := s.pending[m.GetId()]
		delete(s.pending, m.GetId())
		s.mu.Unlock()
		if answer != nil {
			answer <- m
		}
	}
}
