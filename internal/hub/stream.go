package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	// helloTimeout is how long a stream may stay silent.
	helloTimeout = 10 * time.Second
	// drainTimeout is how long a stream has to take its Goodbye.
	drainTimeout = time.Second
)

type grpcStream = grpc.BidiStreamingServer[syncv1.StreamRequest, syncv1.StreamResponse]

// stream is one follower's stream.
type stream struct {
	hub    *Hub
	grpc   grpcStream
	log    zerolog.Logger
	scopes []*scope // of the sending goroutine
	wanted []wanted // of the sending goroutine
	peer   string
	// follower is who it is; what it acknowledged is apart, as that changes.
	follower Follower
	since    time.Time
	// sending is when the message being sent was begun, in nanoseconds after since;
	// 0 while none is.
	sending atomic.Int64

	receipts

	mu         sync.Mutex
	acked      map[string]snapshot.Cursor
	rejections map[string]int
}

// Stream serves one follower.
func (h *Hub) Stream(g grpc.BidiStreamingServer[syncv1.StreamRequest, syncv1.StreamResponse]) error {
	s := &stream{
		hub: h, grpc: g, since: time.Now(),
		acked: make(map[string]snapshot.Cursor), rejections: make(map[string]int),
		receipts: newReceipts(),
	}
	if p, ok := peer.FromContext(g.Context()); ok && p.Addr != nil {
		s.peer = p.Addr.String()
	}
	hellos, received := make(chan *syncv1.Hello, 1), make(chan error, 1)
	go func() { received <- s.receive(hellos) }()

	timer := time.NewTimer(helloTimeout)
	defer timer.Stop()
	select {
	case hello := <-hellos:
		if err := s.admit(hello); err != nil {
			return s.part(err)
		}
	case err := <-received:
		return err
	case <-timer.C:
		return status.Errorf(codes.InvalidArgument, "no hello within %s", helloTimeout)
	case <-h.draining:
		return s.part(errDraining())
	case <-g.Context().Done():
		return contextError(g.Context())
	}
	return s.serve(received)
}

// serve sends until something ends the stream.
func (s *stream) serve(received <-chan error) error {
	s.log = s.hub.o.Logger.With().Str("follower", s.follower.InstanceID).Str("peer", s.peer).Logger()
	s.hub.register(s)
	defer s.hub.unregister(s)
	s.join()
	defer s.leave()
	s.log.Info().Str("region", s.follower.Region).Str("version", s.follower.Version).
		Strs("environments", s.follower.Environments).Msg("follower connected")

	ctx, cancel := context.WithCancel(s.grpc.Context())
	defer cancel()
	sent := make(chan error, 1)
	go func() { sent <- s.send(ctx) }()
	err := s.watch(cancel, sent, received)

	event := s.log.Info()
	if err != nil && !errors.Is(err, context.Canceled) && status.Code(err) != codes.Canceled {
		event = event.Err(err)
	}
	event.Dur("after", time.Since(s.since)).Msg("follower disconnected")
	return err
}

// watch waits for the end of the stream, and brings it about if the follower does not
// read: nothing but the return of the handler ends a blocked send. In all other cases
// the sending goroutine ends first, for the stream must not be used after the handler.
func (s *stream) watch(cancel context.CancelFunc, sent, received <-chan error) error {
	ticker := time.NewTicker(max(s.hub.o.SendTimeout/4, time.Millisecond))
	defer ticker.Stop()
	draining, limit := s.hub.draining, s.hub.o.SendTimeout
	var end error
	ended := false // by the follower
	for {
		select {
		case err := <-sent:
			if ended {
				return end
			}
			return err
		case end = <-received:
			ended = true
			cancel()
		case <-draining:
			draining, limit = nil, min(limit, drainTimeout)
			ticker.Reset(max(limit/4, time.Millisecond))
		case <-ticker.C:
			begun := s.sending.Load()
			switch {
			case begun == 0 || time.Since(s.since)-time.Duration(begun) <= limit:
				continue
			case ended:
				return end
			case draining == nil:
				return status.Error(codes.Unavailable, "shutting down")
			}
			s.hub.metrics.goodbyes.WithLabelValues(syncv1.Goodbye_CODE_TOO_SLOW.String()).Inc()
			return status.Errorf(codes.ResourceExhausted, "the follower has not read for %s", limit)
		}
	}
}

// receive takes the Hello, then Acks and Reports, until the follower closes its side (nil) or the
// stream ends.
func (s *stream) receive(hellos chan<- *syncv1.Hello) error {
	var scopes map[string]bool
	for {
		m, err := s.grpc.Recv()
		switch {
		case errors.Is(err, io.EOF):
			s.closed.Store(true)
			return nil
		case err != nil:
			return err
		}
		hello, ack := m.GetHello(), m.GetAck()
		switch {
		case (hello == nil) != (scopes != nil):
			return status.Error(codes.InvalidArgument, "a stream begins with one hello, and has no other")
		case hello != nil:
			scopes = make(map[string]bool, len(hello.GetScopes()))
			for _, sc := range hello.GetScopes() {
				scopes[sc.GetEnvironment()] = true
			}
			hellos <- hello
			if err := s.awaitJoin(); err != nil {
				return err
			}
		case m.GetReport() != nil:
			if err := s.branch.Report(m.GetReport()); err != nil {
				return status.Error(codes.InvalidArgument, err.Error())
			}
		case ack != nil && scopes[ack.GetEnvironment()]:
			c, err := snapshot.CursorFromProto(ack.GetCursor())
			if err != nil {
				return status.Errorf(codes.InvalidArgument, "ack of %q: %v", ack.GetEnvironment(), err)
			}
			s.noteAck(ack, c)
		}
	}
}

func (s *stream) noteAck(ack *syncv1.Ack, c snapshot.Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked[ack.GetEnvironment()] = c
	s.rejections[ack.GetEnvironment()] = len(ack.GetRejections())
	s.branch.Ack(ack.GetEnvironment(), c, len(ack.GetRejections()))
}

// transmit sends one message; it may block until the stream ends.
func (s *stream) transmit(m *syncv1.StreamResponse) error {
	s.sending.Store(max(int64(time.Since(s.since)), 1))
	defer s.sending.Store(0)
	return s.grpc.Send(m)
}

// parting is the reason for a Goodbye.
type parting struct{ message *syncv1.Goodbye }

func (p *parting) Error() string {
	return fmt.Sprintf("goodbye %s: %s", p.message.GetCode(), p.message.GetMessage())
}

// backoff is how long a follower should stay away.
func backoff(code syncv1.Goodbye_Code) time.Duration {
	if code == syncv1.Goodbye_CODE_LOOP {
		return 10 * time.Second // mended by people
	}
	return time.Second
}

func goodbye(code syncv1.Goodbye_Code, format string, args ...any) error {
	return &parting{&syncv1.Goodbye{
		Code: code, Backoff: durationpb.New(backoff(code)), Message: fmt.Sprintf(format, args...),
	}}
}

func errDraining() error { return goodbye(syncv1.Goodbye_CODE_DRAINING, "shutting down") }

// part says goodbye, if that is what err asks for, and returns what ends the stream.
func (s *stream) part(err error) error {
	var p *parting
	if !errors.As(err, &p) {
		return err
	}
	s.hub.metrics.goodbyes.WithLabelValues(p.message.GetCode().String()).Inc()
	return s.transmit(&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Goodbye{Goodbye: p.message}})
}

// describe is the follower with what it acknowledged by now.
func (s *stream) describe() Follower {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.follower
	f.Acked, f.Rejections = maps.Clone(s.acked), maps.Clone(s.rejections)
	return f
}
