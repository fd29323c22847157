package telemetry

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// served is a relay behind a real connection.
type served struct {
	telemetryv1.UnimplementedTelemetryServiceServer
	relay  *relay
	addr   string
	server *grpc.Server
	done   chan struct{}
}

func (s *served) Track(ctx context.Context, in *telemetryv1.TrackRequest) (*telemetryv1.TrackResponse, error) {
	return s.relay.Track(ctx, in)
}

func serve(t *testing.T, addr string, r *relay) *served {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	r.t = t
	s := &served{relay: r, addr: l.Addr().String(), server: grpc.NewServer(), done: make(chan struct{})}
	telemetryv1.RegisterTelemetryServiceServer(s.server, s)
	go func() { defer close(s.done); _ = s.server.Serve(l) }()
	t.Cleanup(s.kill)
	return s
}

func (s *served) kill() {
	s.server.Stop()
	<-s.done
}

func newLink(t *testing.T, prefer func() string, addresses ...string) *Link {
	t.Helper()
	l, err := NewLink(LinkOptions{Addresses: addresses, Prefer: prefer, Dial: func(a string) (*grpc.ClientConn, error) {
		return grpc.NewClient("dns:///"+a, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// message is one message of a sender.
func message(sequence uint64) Call {
	return func(ctx context.Context, relay telemetryv1.TelemetryServiceClient) error {
		_, err := relay.Track(ctx, &telemetryv1.TrackRequest{
			Events: []*telemetryv1.Event{event(0)},
			Sender: &telemetryv1.Sender{InstanceId: "sdk-1", BootId: "b", Sequence: sequence},
		})
		return err
	}
}

// TestLinkUnreachable: a relay that is not there certainly has not counted anything: the next
// one gets the message.
func TestLinkUnreachable(t *testing.T) {
	gone := serve(t, "127.0.0.1:0", &relay{})
	gone.kill()
	there := serve(t, "127.0.0.1:0", &relay{})
	l := newLink(t, nil, gone.addr, there.addr)
	if err := l.Deliver(t.Context(), message(1)); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), gone.addr) {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Deliver(t.Context(), message(1)); err != nil {
			t.Fatal(err)
		}
	}
	if there.relay.mark != 1 || len(there.relay.events) != 1 {
		t.Errorf("counted %d", len(there.relay.events))
	}
}

// TestLinkUnsure: a relay that may have counted a message is asked again, and no other; until it
// is given up.
func TestLinkUnsure(t *testing.T) {
	lose := func(int) error { return status.Error(codes.Unavailable, "the answer is lost") }
	first, second := serve(t, "127.0.0.1:0", &relay{after: lose}), serve(t, "127.0.0.1:0", &relay{})
	l := newLink(t, nil, first.addr, second.addr)
	for range 2 {
		if err := l.Deliver(t.Context(), message(1)); status.Code(err) != codes.Unavailable {
			t.Fatal(err)
		}
	}
	first.kill()
	if err := l.Deliver(t.Context(), message(1)); status.Code(err) != codes.Unavailable || errors.Is(err, ErrUnconfirmed) {
		t.Fatal(err)
	}
	if second.relay.attempted() != 0 {
		t.Fatal("another relay got a message that may have been counted")
	}
	again := serve(t, first.addr, &relay{boot: "b", mark: 1})
	if err := l.Deliver(t.Context(), message(1)); err != nil {
		t.Fatal(err)
	}
	again.relay.mu.Lock()
	again.relay.after = lose
	again.relay.mu.Unlock()
	if err := l.Deliver(t.Context(), message(2)); err == nil {
		t.Fatal("no error")
	}
	l.unsure = time.Now().Add(-2 * unsureFor)
	if err := l.Deliver(t.Context(), message(2)); !errors.Is(err, ErrUnconfirmed) {
		t.Fatal(err)
	}
	second.relay.mu.Lock()
	second.relay.mark, second.relay.boot = 2, "b"
	second.relay.mu.Unlock()
	if err := l.Deliver(t.Context(), message(3)); err != nil {
		t.Fatal(err)
	}
	if second.relay.mark != 3 {
		t.Error("the next message did not go to the next relay")
	}
}

// TestLinkAnswers: what a relay answers decides who gets the next attempt.
func TestLinkAnswers(t *testing.T) {
	for code, next := range map[codes.Code]bool{
		codes.Unimplemented: true, codes.NotFound: true, codes.ResourceExhausted: true, codes.PermissionDenied: true,
		codes.InvalidArgument: false, codes.Internal: false, codes.DeadlineExceeded: false,
	} {
		t.Run(code.String(), func(t *testing.T) {
			first := serve(t, "127.0.0.1:0", &relay{before: func(int) error { return status.Error(code, "so") }})
			second := serve(t, "127.0.0.1:0", &relay{})
			l := newLink(t, nil, first.addr, second.addr)
			if err := l.Deliver(t.Context(), message(1)); status.Code(err) != code {
				t.Fatal(err)
			}
			_ = l.Deliver(t.Context(), message(1))
			if got := second.relay.attempted() == 1; got != next {
				t.Errorf("the other relay was asked: %v", got)
			}
		})
	}
}

// TestLinkPrefers the relay that the process follows, but not while it is unsure.
func TestLinkPrefers(t *testing.T) {
	first, second := serve(t, "127.0.0.1:0", &relay{}), serve(t, "127.0.0.1:0", &relay{})
	preferred := second.addr
	l := newLink(t, func() string { return preferred }, first.addr, second.addr)
	if err := l.Deliver(t.Context(), message(1)); err != nil || second.relay.attempted() != 1 {
		t.Fatal(err)
	}
	second.relay.mu.Lock()
	second.relay.after = func(int) error { return status.Error(codes.Unavailable, "lost") }
	second.relay.mu.Unlock()
	_ = l.Deliver(t.Context(), message(2))
	preferred = first.addr
	_ = l.Deliver(t.Context(), message(2))
	if first.relay.attempted() != 0 {
		t.Error("another relay got a message that may have been counted")
	}
	second.relay.mu.Lock()
	second.relay.after = nil
	second.relay.mu.Unlock()
	if err := l.Deliver(t.Context(), message(2)); err != nil {
		t.Fatal(err)
	}
	_ = l.Deliver(t.Context(), message(1))
	if first.relay.attempted() != 1 {
		t.Error("the preferred relay was not asked")
	}
}
