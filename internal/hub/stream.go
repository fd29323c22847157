package hub

import (
	"context"
	"errors"
	"io"
	"math/bits"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/tree"
)

const (
	// helloTimeout is how long a stream may stay silent.
	helloTimeout = 10 * time.Second
	// drainTimeout is how long a stream has to take its Goodbye.
	drainTimeout = time.Second
)

type grpcStream = grpc.BidiStreamingServer[syncv1.StreamRequest, syncv1.StreamResponse]

// stream is one follower's stream. What is of its turns, is used by one worker at a time:
// see signal.
type stream struct {
	hub  *Hub
	grpc grpcStream
	peer string
	// connection that it shares with others; "": it is not known.
	connection string
	// key that the follower presented; nil: none.
	key   *accesskey.Presented
	since time.Time
	// pending counts signals; the first of them puts the stream in line for a turn.
	pending atomic.Int64
	events  atomic.Uint32
	ready   atomic.Uint64 // scopes that are to take a step, by their index
	next    *stream       // in line
	// sending is when the message being sent was begun, in nanoseconds after since;
	// 0 while none is.
	sending atomic.Int64
	// cut is why nothing more may be sent; nil: it may.
	cut atomic.Pointer[error]

	// Of its turns.
	scopes []*scope
	wanted []wanted
	path   []string // that the follower was told
	over   bool

	// follower is who it is, once it was admitted; what it acknowledged is apart.
	follower Follower
	beat     beatPlace

	ended chan error // takes one: what the handler returns

	greeted bool // the follower said hello; of who receives

	mu       sync.Mutex
	silence  *time.Timer   // ends a stream that says nothing; nil once it did
	hello    *syncv1.Hello // until it was looked at
	failed   bool
	cause    error
	receipts []receipt
	// questions are previews to be sent.
	questions []*message

	branch branch
}

// What a turn is for, beside the scopes.
const (
	eventHello uint32 = 1 << iota
	eventSilence
	eventBeat
	eventAdded // an environment was: it may be one that the follower waits for
	eventDrain
	eventEnd
	eventPreview
)

// Stream serves one follower.
func (h *Hub) Stream(g grpc.BidiStreamingServer[syncv1.StreamRequest, syncv1.StreamResponse]) error {
	s := &stream{hub: h, grpc: g, since: time.Now(), ended: make(chan error, 1), branch: newBranch()}
	if p, ok := peer.FromContext(g.Context()); ok && p.Addr != nil {
		s.peer = p.Addr.String()
		if _, ok := p.Addr.(*net.TCPAddr); ok { // others' addresses may all be the same
			s.connection = s.peer
		}
	}
	if err := s.identify(); err != nil {
		return err
	}
	s.silence = time.AfterFunc(helloTimeout, func() { s.signal(eventSilence) })
	h.add(s)
	go func() { s.fail(s.receive()) }()
	err := s.wait()
	s.spoken()
	s.leave()
	if fault.Planted("stream-leaks") {
		go func() { s.fail(<-s.ended) }()
	}
	h.remove(s, err)
	return err
}

// wait waits for the end of the stream. It is all that a handler does meanwhile.
func (s *stream) wait() error {
	select {
	case err := <-s.ended:
		return err
	case <-s.grpc.Context().Done():
		s.fail(contextError(s.grpc.Context()))
		return <-s.ended
	}
}

// fail has the stream end with the next turn. The first cause counts.
func (s *stream) fail(err error) {
	s.mu.Lock()
	if !s.failed {
		s.failed, s.cause = true, err
	}
	s.mu.Unlock()
	s.signal(eventEnd)
}

// end lets the handler return. It is the last that happens in a stream's turns, for a
// stream must not be used after its handler; but for a follower that does not read, as
// nothing but the return of the handler ends a blocked send.
func (s *stream) end(err error) {
	select {
	case s.ended <- err:
	default: // it was cut loose before
	}
}

// signal asks for a turn. It does not wait, and however often it is called during one
// turn, there is one more.
func (s *stream) signal(event uint32) {
	s.events.Or(event)
	s.poke()
}

// wake asks for a turn of a scope.
func (s *stream) wake(index int) {
	s.ready.Or(1 << index)
	s.poke()
}

func (s *stream) poke() {
	if s.pending.Add(1) == 1 {
		s.hub.senders.push(s)
	}
}

// turn does what was asked for; again: there is more.
func (s *stream) turn() (again bool) {
	asked := s.pending.Load()
	if !s.over {
		if over, err := s.round(); over {
			s.finish(err)
		}
	}
	return s.pending.Add(-asked) > 0
}

// finish is the end of the stream's turns: nothing is sent after it.
func (s *stream) finish(err error) {
	s.over = true
	for _, sc := range s.scopes {
		sc.admitted()
		s.forget(sc)
		s.hub.leave(sc)
	}
	s.scopes, s.wanted = nil, nil
	s.end(err)
}

// round handles what happened, and lets each scope that is ready do one step: so none
// starves the others, nor the heartbeats.
func (s *stream) round() (over bool, err error) {
	events := s.events.Swap(0)
	switch {
	case events&eventEnd != 0:
		s.mu.Lock()
		defer s.mu.Unlock()
		return true, s.cause
	case events&eventDrain != 0:
		return true, s.part(errDraining())
	case events&eventSilence != 0 && s.scopes == nil:
		return true, status.Errorf(codes.InvalidArgument, "no hello within %s", helloTimeout)
	}
	if events&eventHello != 0 {
		if err := s.greet(); err != nil {
			return true, s.part(err)
		}
	}
	if events&eventBeat != 0 || events&eventAdded != 0 && len(s.wanted) > 0 {
		if err := s.onBeat(); err != nil {
			return true, s.part(err)
		}
	}
	if events&eventPreview != 0 {
		if err := s.askPreviews(); err != nil {
			return true, s.part(err)
		}
	}
	for ready := s.ready.Swap(0); ready != 0; ready &= ready - 1 {
		sc := s.scopes[bits.TrailingZeros64(ready)]
		again, err := sc.step(s)
		if err != nil {
			return true, s.part(err)
		}
		if again {
			s.ready.Or(1 << sc.index)
			s.pending.Add(1)
		}
	}
	return false, nil
}

// receive takes the Hello, then Acks and Reports, until the follower closes its side (nil)
// or the stream ends.
func (s *stream) receive() error {
	for {
		r := &request{}
		err := s.grpc.RecvMsg(r)
		switch {
		case errors.Is(err, io.EOF):
			s.branch.closed.Store(true)
			return nil
		case err != nil:
			return err
		}
		if ack, ok := readAck(r.wire); ok && s.greeted {
			s.noteAck(string(ack.environment), ack.cursor, &tree.Rejections{})
			continue
		}
		handled := make(chan error, 1)
		go func() { handled <- s.handle(r) }()
		if err := <-handled; err != nil {
			return err
		}
	}
}

// handle takes a message that is not the most frequent one. After the Hello it waits for
// the follower to be admitted.
func (s *stream) handle(r *request) error {
	m, err := r.message()
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "a message cannot be decoded: %v", err)
	}
	if (m.GetHello() != nil) == s.greeted {
		return status.Error(codes.InvalidArgument, "a stream begins with one hello, and has no other")
	}
	s.greeted = true
	switch m := m.GetMessage().(type) {
	case *syncv1.StreamRequest_Hello:
		s.heard(m.Hello)
		return s.awaitJoin()
	case *syncv1.StreamRequest_Ack:
		return s.handleAck(m.Ack)
	case *syncv1.StreamRequest_Report:
		return s.handleReport(m.Report)
	case *syncv1.StreamRequest_PreviewAnswer:
		return s.handlePreviewAnswer(m.PreviewAnswer)
	}
	return nil
}

// spoken: the stream is not silent, or over.
func (s *stream) spoken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silence != nil {
		s.silence.Stop()
		s.silence = nil
	}
}

// heard hands the hello to the stream's turns.
func (s *stream) heard(hello *syncv1.Hello) {
	s.spoken()
	s.mu.Lock()
	s.hello = hello
	s.receipts = make([]receipt, len(hello.GetScopes()))
	for i, sc := range hello.GetScopes() {
		s.receipts[i].environment = sc.GetEnvironment()
	}
	s.mu.Unlock()
	s.signal(eventHello)
}

// greet admits the follower, welcomes it, and sets its scopes going.
func (s *stream) greet() error {
	s.mu.Lock()
	hello := s.hello
	s.hello = nil // a stream lives long, and what it said may be large
	s.mu.Unlock()
	if err := s.admit(hello); err != nil {
		return err
	}
	s.join()
	s.hub.admitted(s)
	if len(s.wanted) > 0 {
		s.signal(eventAdded) // one may have been, before the hub knew the stream
	}
	return s.say(s.welcome())
}

// cutLoose ends a stream whose message has been on its way for longer than the limit;
// first: it was not asked to before. Should the message get through just now, it is
// the last, and the stream's turns end by themselves: none is begun after the handler.
func (s *stream) cutLoose(now time.Time, limit time.Duration, err error) (first bool) {
	begun := s.sending.Load()
	if begun == 0 || now.Sub(s.since)-time.Duration(begun) <= limit {
		return false
	}
	first = s.cut.CompareAndSwap(nil, &err)
	if s.sending.Load() == begun {
		s.end(err)
	}
	return first
}

// say sends a message that is this stream's alone.
func (s *stream) say(m *syncv1.StreamResponse) error {
	encoded, err := newMessage(m)
	if err != nil {
		return err
	}
	return s.transmit(encoded)
}

// transmit sends one message; it may block until the stream ends.
func (s *stream) transmit(m *message) error {
	s.sending.Store(max(int64(time.Since(s.since)), 1))
	defer s.sending.Store(0)
	if err := s.cut.Load(); err != nil {
		return *err
	}
	return s.grpc.SendMsg(m)
}

func contextError(ctx context.Context) error { return status.FromContextError(ctx.Err()).Err() }
