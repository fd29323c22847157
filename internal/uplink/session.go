package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/rpc"
	"github.com/tidegate/tidegate/internal/rpc/dial"
	"github.com/tidegate/tidegate/internal/spool"
)

const (
	// lookEvery is how often the upstream's address and the key are looked at.
	lookEvery = time.Second
	// failWait is how long an upstream that takes no more may take to say why.
	failWait = time.Second
	// maxAnswerBytes is far above what an acknowledgement can be.
	maxAnswerBytes = 64 << 10
	// maxRoutes bounds the senders that are remembered after all that they sent was
	// acknowledged.
	maxRoutes = 65_536
)

// session is one stream to an upstream.
type session struct {
	u      *Uplink
	ctx    context.Context
	cancel context.CancelCauseFunc
	// out is what is to be sent. A sender's batches are put there one after the other; whoever
	// waits longest comes first.
	out chan *message

	mu sync.Mutex
	// routes of senders below, by sender.
	routes map[senderKey]*route
	// pruned: some were forgotten.
	pruned bool
	// relayed messages are not acknowledged; waiting is since when something is under way and
	// no acknowledgement came.
	relayed      int
	waiting      time.Time
	acknowledged bool
	// parting: the process ends.
	parting bool
}

// route is where acknowledgements of one sender go.
type route struct{ pending []pending }

// pending is a batch that is not answered. One that this relay refuses waits for those before
// it: the answer to it is one to them, too.
type pending struct {
	sequence uint64
	child    *child
	refusal  string
}

func (u *Uplink) dialOptions() []grpc.DialOption {
	options := append(dial.Options(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes), grpc.ForceCodecV2(rpc.Codec())))
	return append(options, u.o.DialOptions...)
}

// push opens one stream to the upstream and pushes until it ends; it returns why, and
// whether anything was acknowledged. A connection lives as long as its stream.
func (u *Uplink) push(outer context.Context, address string) (acknowledged bool, err error) {
	conn, err := grpc.NewClient(address, u.dialOptions()...)
	if err != nil {
		return false, fmt.Errorf("upstream address %q: %w", address, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(outer))
	s := &session{
		u: u, ctx: ctx, cancel: cancel, out: make(chan *message), routes: make(map[senderKey]*route), waiting: time.Now(),
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel(nil)
	defer context.AfterFunc(outer, s.part)()

	withKey, secret, err := u.present(ctx)
	if err != nil {
		return false, err
	}
	opening := time.AfterFunc(u.o.AckTimeout, func() { cancel(errSilent) })
	stream, err := telemetryv1.NewCollectorServiceClient(conn).Push(withKey)
	opening.Stop()
	if err != nil {
		return false, cause(ctx, err)
	}
	if !fault.Planted("spool-not-rewound") {
		u.o.Spool.Rewind()
	}
	u.session.Store(s)
	u.enter(State{Connected: true, Upstream: address})
	u.o.Logger.Info().Str("upstream", address).Msg("pushing telemetry")

	beside.Go(s.pump)
	beside.Go(func() { s.send(stream) })
	beside.Go(func() { s.watch(address, secret) })
	for {
		answer, err := stream.Recv()
		if err == nil {
			err = s.take(answer)
		}
		if err != nil {
			err = cause(ctx, err)
			cancel(err)
			return s.progressed(), err
		}
	}
}

// cause says why a stream ended: what ended it here goes before what gRPC makes of it.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	if errors.Is(err, io.EOF) {
		return errEnded
	}
	return err
}

// present adds the key to what a stream is opened with. Without TLS, whoever sees the traffic
// can read it.
func (u *Uplink) present(ctx context.Context) (_ context.Context, secret string, err error) {
	if u.o.Key == nil {
		return ctx, "", nil
	}
	if secret, err = u.o.Key(); err != nil {
		return ctx, "", status.Error(codes.Unauthenticated, err.Error())
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret), secret, nil
}

// pump puts out what is in the spool.
func (s *session) pump() {
	for {
		o, err := s.u.o.Spool.Next(s.ctx)
		if err != nil {
			if errors.Is(err, spool.ErrClosed) {
				<-s.ctx.Done() // what comes from below still goes up
			}
			return
		}
		if s.put(s.ctx, ownMessage(o)) != nil {
			return
		}
	}
}

// put waits until the message is taken to be sent.
func (s *session) put(ctx context.Context, m *message) error {
	select {
	case s.out <- m:
		return nil
	case <-s.ctx.Done():
		return errNoUpstream
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send sends what is put out, until the stream ends.
func (s *session) send(stream telemetryv1.CollectorService_PushClient) {
	for {
		select {
		case <-s.ctx.Done():
			return
		case m := <-s.out:
			if s.note(m); m.refusal != "" {
				continue
			}
			fault.Point(fault.UplinkBeforeSend)
			if err := stream.SendMsg(m); err != nil {
				s.fail(err)
				return
			}
		}
	}
}

// fail ends the session after a send that failed. What comes instead of an answer says
// why; but gRPC may have moved the stream to another connection meanwhile, where it lives on.
func (s *session) fail(err error) {
	timer := time.NewTimer(failWait)
	defer timer.Stop()
	select {
	case <-s.ctx.Done():
	case <-timer.C:
		s.cancel(fmt.Errorf("%w: send: %w", errEnded, err))
	}
}

// note remembers who waits for the acknowledgement.
func (s *session) note(m *message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.child == nil {
		s.u.metrics.own.Inc()
		return
	}
	r := s.routes[m.sender]
	if r == nil {
		s.prune()
		r = &route{}
		s.routes[m.sender] = r
	}
	r.pending = append(r.pending, pending{m.sequence, m.child, m.refusal})
	if m.refusal != "" {
		r.refuse(m.sender)
		return
	}
	s.u.metrics.relayed.Inc()
	s.relayed++
}

// prune forgets senders that wait for nothing, where there are too many.
func (s *session) prune() {
	if len(s.routes) < maxRoutes {
		return
	}
	s.pruned = true
	for key, r := range s.routes {
		if len(r.pending) == 0 {
			delete(s.routes, key)
		}
	}
}

// take passes an answer on to whoever waits for it. An error says that the upstream makes no
// sense.
func (s *session) take(answer *telemetryv1.PushResponse) error {
	s.u.metrics.acks.Inc()
	ack := answer.GetAcknowledged()
	s.mu.Lock()
	defer s.mu.Unlock()
	var settled int
	if r := s.routes[keyOf(ack)]; r != nil {
		settled = r.settle(answer)
		s.relayed -= settled
	} else {
		n, err := s.release(answer)
		if err != nil && !s.pruned {
			return fmt.Errorf("%w: upstream acknowledges what it was not sent: %w", errProtocol, err)
		}
		settled = n
		fault.Point(fault.UplinkAfterAck)
	}
	if settled > 0 {
		s.waiting, s.acknowledged = time.Now(), true
	}
	if s.parting && s.u.o.Spool.Totals().Batches == 0 {
		s.cancel(errParted)
	}
	return nil
}

// release is for an answer to one of the spool's batches.
func (s *session) release(answer *telemetryv1.PushResponse) (int, error) {
	ack := answer.GetAcknowledged()
	if answer.GetRefusal() == "" {
		return s.u.o.Spool.Release(ack)
	}
	s.u.o.Logger.Error().Str("refusal", answer.GetRefusal()).Str("boot", ack.GetBootId()).Uint64("sequence", ack.GetSequence()).
		Msg("upstream has refused a batch of telemetry: it is lost")
	return s.u.o.Spool.Refuse(ack)
}

// settle passes an answer on, and returns how many messages to the upstream it is for.
func (r *route) settle(answer *telemetryv1.PushResponse) (n int) {
	ack := answer.GetAcknowledged()
	kept := r.pending[:0]
	told := make(map[*child]bool)
	for _, p := range r.pending {
		switch {
		case p.sequence > ack.GetSequence():
			kept = append(kept, p)
			continue
		case p.refusal != "":
			p.child.refused(p.answer(keyOf(ack)))
			continue
		}
		n++
		if p.sequence == ack.GetSequence() && answer.GetRefusal() != "" {
			p.child.refused(answer)
			continue
		}
		p.child.settled(ack, !told[p.child])
		told[p.child] = true
	}
	clear(r.pending[len(kept):])
	r.pending = kept
	r.refuse(keyOf(ack))
	return n
}

// refuse answers what this relay refuses, and nothing that waits is before.
func (r *route) refuse(sender senderKey) {
	for len(r.pending) > 0 && r.pending[0].refusal != "" {
		r.pending[0].child.refused(r.pending[0].answer(sender))
		r.pending = slices.Delete(r.pending, 0, 1)
	}
}

// answer is that to a batch that is refused.
func (p pending) answer(sender senderKey) *telemetryv1.PushResponse {
	return &telemetryv1.PushResponse{
		Acknowledged: &telemetryv1.Sender{InstanceId: sender.instance, BootId: sender.boot, Sequence: p.sequence},
		Refusal:      p.refusal,
	}
}

func (s *session) progressed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acknowledged
}

// watch ends the session when its upstream does not answer, or another is to be pushed to.
func (s *session) watch(address, secret string) {
	ticker := time.NewTicker(min(lookEvery, max(s.u.o.AckTimeout/4, time.Millisecond)))
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		if now := s.u.o.Upstream(); now != address && now != "" {
			s.cancel(errMoved)
		}
		if s.u.o.Key != nil {
			if now, err := s.u.o.Key(); err == nil && now != secret {
				s.cancel(errKey)
			}
		}
		if s.silent() {
			s.cancel(errSilent)
		}
	}
}

// silent tells whether the upstream does not answer.
func (s *session) silent() bool {
	own := s.u.o.Spool.Totals().UnderWay
	s.mu.Lock()
	defer s.mu.Unlock()
	if own+s.relayed == 0 {
		s.waiting = time.Now()
	}
	return time.Since(s.waiting) > s.u.o.AckTimeout
}

// part lets the session end once everything is acknowledged, or after a while.
func (s *session) part() {
	s.mu.Lock()
	s.parting = true
	s.mu.Unlock()
	if s.u.o.Spool.Totals().Batches == 0 {
		s.cancel(errParted)
		return
	}
	time.AfterFunc(s.u.o.PartTimeout, func() { s.cancel(errParted) })
}
