package telemetry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// ErrUnconfirmed says that a relay may have counted a message or not, and did not come back to
// tell: the message is given up, since another relay could count it twice.
var ErrUnconfirmed = errors.New("the relay that may have counted it does not answer any more")

// Call sends one message.
type Call func(ctx context.Context, relay telemetryv1.TelemetryServiceClient) error

// Courier delivers messages, one at a time: the next one is another message once there was no
// error, [ErrUnconfirmed], or a refusal ([Refused]).
type Courier interface {
	Deliver(ctx context.Context, call Call) error
	Close() error
}

// Refused tells whether an error says that the message will never be taken.
func Refused(err error) bool { return status.Code(err) == codes.InvalidArgument }

// Of a Link.
const (
	reachTimeout = 5 * time.Second
	callTimeout  = 10 * time.Second
	// unsureFor is how long a relay that may have counted a message is waited for, if there are
	// others.
	unsureFor = time.Minute
)

// LinkOptions are options of a [Link].
type LinkOptions struct {
	// Addresses of relays, tried in this order. At least one. Each is one relay: what balances
	// calls among several may have a message counted by two of them.
	Addresses []string
	// Dial makes the connection to one of them.
	Dial func(address string) (*grpc.ClientConn, error)
	// Prefer returns the address to begin with, if it is one of Addresses. May be nil.
	Prefer func() string
}

// Link is a Courier over gRPC. Its connections are made when they are needed.
type Link struct {
	o         LinkOptions
	conns     []*grpc.ClientConn
	at        int    // index of the relay in use
	preferred string // what Prefer said last
	// unsure is when the relay in use may have counted the message first; zero: it has not.
	unsure time.Time
}

// NewLink makes a link; it connects to nobody yet.
func NewLink(o LinkOptions) (*Link, error) {
	l := &Link{o: o}
	for _, address := range o.Addresses {
		conn, err := o.Dial(address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("relay %s: %w", address, err), l.Close())
		}
		l.conns = append(l.conns, conn)
	}
	return l, nil
}

// Close closes the connections.
func (l *Link) Close() error {
	errs := make([]error, 0, len(l.conns))
	for _, conn := range l.conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// Deliver makes one attempt. A relay that certainly has not counted the message is left for
// the next one.
func (l *Link) Deliver(ctx context.Context, call Call) error {
	if l.unsure.IsZero() {
		l.prefer()
	}
	address, conn := l.o.Addresses[l.at], l.conns[l.at]
	err := reach(ctx, conn)
	if err == nil {
		err = l.call(ctx, conn, call)
	}
	switch {
	case err == nil || Refused(err):
		l.unsure = time.Time{}
		return err
	case l.unsure.IsZero():
		l.at = (l.at + 1) % len(l.conns)
	case len(l.conns) > 1 && time.Since(l.unsure) > unsureFor:
		l.unsure = time.Time{}
		l.at = (l.at + 1) % len(l.conns)
		return fmt.Errorf("relay %s: %w: %w", address, ErrUnconfirmed, err)
	}
	return fmt.Errorf("relay %s: %w", address, err)
}

func (l *Link) call(ctx context.Context, conn *grpc.ClientConn, call Call) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := call(ctx, telemetryv1.NewTelemetryServiceClient(conn))
	if err != nil && !answered(err) && l.unsure.IsZero() {
		l.unsure = time.Now()
	}
	return err
}

// answered tells whether an error is a relay's answer, which says that nothing was counted.
func answered(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.Unimplemented, codes.PermissionDenied,
		codes.Unauthenticated, codes.ResourceExhausted, codes.FailedPrecondition:
		return true
	}
	return false
}

// prefer goes to the preferred relay when it has become another one.
func (l *Link) prefer() {
	if l.o.Prefer == nil {
		return
	}
	address := l.o.Prefer()
	if address == l.preferred {
		return
	}
	l.preferred = address
	if i := slices.Index(l.o.Addresses, address); i >= 0 {
		l.at = i
	}
}

// reach waits for a connection. If there is none, nothing of a message can have got through.
func reach(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	conn.ResetConnectBackoff()
	conn.Connect()
	tried := false
	for {
		s := conn.GetState()
		switch {
		case s == connectivity.Ready:
			return nil
		case s == connectivity.TransientFailure && tried, s == connectivity.Shutdown:
			return status.Error(codes.Unavailable, "it cannot be reached")
		case s == connectivity.Connecting:
			tried = true
		case s == connectivity.Idle:
			conn.Connect()
		}
		if !conn.WaitForStateChange(ctx, s) {
			return status.Error(codes.Unavailable, "it cannot be reached")
		}
	}
}
