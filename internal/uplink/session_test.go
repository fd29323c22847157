package uplink

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/spool"
)

// deaf is a stream that takes nothing more, and does not say so.
type deaf struct {
	telemetryv1.CollectorService_PushClient
}

func (deaf) SendMsg(any) error { return io.EOF }

// TestSendFails: a stream to which nothing can be sent ends, even if receiving goes on. gRPC
// has such: where a send fails while the stream moves to another connection.
func TestSendFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sp, err := spool.Open(spool.Options{InstanceID: "relay", Logger: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		defer sp.Close()
		u, err := New(Options{InstanceID: "relay", Spool: sp, Upstream: func() string { return "" }, Environments: []string{"production"}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		s := &session{u: u, ctx: ctx, cancel: cancel, out: make(chan *message), routes: make(map[senderKey]*route)}
		go s.send(deaf{})
		m := newMessage(nil, &telemetryv1.Sender{InstanceId: "leaf", BootId: "boot", Sequence: 1})
		m.child = newChild()
		if err := s.put(ctx, m); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		if err := context.Cause(ctx); !errors.Is(err, errEnded) || !errors.Is(err, io.EOF) {
			t.Errorf("ended with %v", err)
		}
	})
}
