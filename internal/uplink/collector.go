package uplink

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// maxUnderWay bounds the batches of one stream from below that are not acknowledged: those of
// all the relays behind it. It is not read beyond.
const maxUnderWay = 8192

var errNoUpstream = status.Error(codes.Unavailable,
	"this relay has no upstream to pass telemetry on to: open a new stream after a while")

// child is a stream from below.
type child struct {
	mu sync.Mutex
	// answers wait to be told, those of a sender in the order of its batches. An acknowledgement takes
	// the place of one before it, but for a refusal between them: it would say that what is refused
	// was counted.
	answers []*telemetryv1.PushResponse
	newest  map[senderKey]int // of its sender: which of them
	// underWay batches are not acknowledged.
	underWay int
	gone     bool
	// acked signals that there may be something to tell, room that underWay has become less.
	acked, room chan struct{}
}

func newChild() *child {
	return &child{newest: make(map[senderKey]int), acked: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// settled notes that a batch is acknowledged; tell: and that this is to be said.
func (c *child) settled(ack *telemetryv1.Sender, tell bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underWay--
	signal(c.room)
	signal(c.acked)
	if !tell || c.gone {
		return
	}
	answer := &telemetryv1.PushResponse{Acknowledged: ack}
	i, waits := c.newest[keyOf(ack)]
	switch {
	case !waits || c.answers[i].GetRefusal() != "":
		c.add(answer)
	case c.answers[i].GetAcknowledged().GetSequence() < ack.GetSequence():
		c.answers[i] = answer
	}
}

func (c *child) add(answer *telemetryv1.PushResponse) {
	c.newest[keyOf(answer.GetAcknowledged())] = len(c.answers)
	c.answers = append(c.answers, answer)
}

// answered tells whether everything that came was, and nothing waits to be told.
func (c *child) answered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.underWay == 0 && len(c.answers) == 0
}

// refused notes the answer to a batch that is refused.
func (c *child) refused(answer *telemetryv1.PushResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underWay--
	signal(c.room)
	if !c.gone {
		c.add(answer)
		signal(c.acked)
	}
}

func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// Push implements CollectorService: what comes is passed on through the present stream to the
// upstream, and the stream ends with that one.
func (u *Uplink) Push(stream telemetryv1.CollectorService_PushServer) error {
	s := u.session.Load()
	if s == nil || s.ctx.Err() != nil {
		return errNoUpstream
	}
	u.metrics.below.Inc()
	defer u.metrics.below.Dec()
	c := newChild()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.gone, c.answers, c.newest = true, nil, nil
	}()
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	// The one that reads ends with the handler, after which there is nothing to read.
	ended := make(chan error, 1)
	go func() { ended <- u.read(ctx, stream, s, c) }()
	for closed := false; !closed || !c.answered(); {
		select {
		case err := <-ended:
			switch closed = errors.Is(err, io.EOF); {
			case closed: // the other side's half: it waits for its answers
			case s.ctx.Err() != nil:
				return errNoUpstream
			default:
				return err
			}
		case <-s.ctx.Done():
			return errNoUpstream
		case <-ctx.Done(): // which need not end what reads: the server may be ending
			return status.FromContextError(ctx.Err()).Err()
		case <-c.acked:
			if err := c.tell(stream); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell sends the answers that wait.
func (c *child) tell(stream telemetryv1.CollectorService_PushServer) error {
	c.mu.Lock()
	answers := c.answers
	c.answers = nil
	clear(c.newest)
	c.mu.Unlock()
	for _, answer := range answers {
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
	return nil
}

// read passes on what comes, as fast as it goes up.
func (u *Uplink) read(ctx context.Context, stream telemetryv1.CollectorService_PushServer, s *session, c *child) error {
	for {
		if err := c.wait(ctx); err != nil {
			return err
		}
		r := &request{}
		if err := stream.RecvMsg(r); err != nil {
			return err
		}
		m, err := u.accept(ctx, r)
		if err != nil {
			u.metrics.refused.Inc()
			return err
		}
		m.child = c
		c.mu.Lock()
		c.underWay++
		c.mu.Unlock()
		if err := s.put(ctx, m); err != nil {
			return err
		}
	}
}

// wait returns when more may be read.
func (c *child) wait(ctx context.Context) error {
	for {
		c.mu.Lock()
		full := c.underWay >= maxUnderWay
		c.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.room:
		}
	}
}

// accept makes a message of what came, which may be to refuse it. Errors are statuses; they end
// the stream.
func (u *Uplink) accept(ctx context.Context, r *request) (*message, error) {
	wire, err := r.bytes()
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	environment, sender, err := identify(wire)
	if err != nil {
		return nil, err
	}
	if sender.GetInstanceId() == u.o.InstanceID {
		return nil, status.Errorf(codes.FailedPrecondition,
			"this relay's own batches came back to it (or another relay has its instance id %q): push to what is followed", u.o.InstanceID)
	}
	m := newMessage(wire, sender)
	if m.refusal = cmp.Or(u.follows(environment), unreadable(wire)); m.refusal != "" || u.o.Authorize == nil {
		return m, nil
	}
	switch err := u.o.Authorize(ctx, environment); {
	case err == nil:
	case errors.Is(err, ErrRefused):
		m.refusal = err.Error()
	case status.Code(err) == codes.Unknown:
		return nil, status.Error(codes.PermissionDenied, err.Error())
	default:
		return nil, err
	}
	return m, nil
}
