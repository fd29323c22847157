package uplink_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/uplink"
)

// TestPush: what is in the spool is counted and released, what comes later too, and what was
// sent to an upstream that died without a word is sent again.
func TestPush(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(), newCollector()
	c.then = func(*collector, telemetryv1.CollectorService_PushServer, *telemetryv1.Sender) error { return nil }
	stop := n.serve(t, "top", c)
	s := openSpool(t, "relay", t.TempDir())
	for range 100 {
		add(t, s, 3)
	}
	u, _ := run(t, n.options("relay", "top", s))
	eventually(t, "64 under way", func() bool { return len(c.countedNow()) == 64 })
	if !u.State().Connected || u.State().Upstream != address("top") {
		t.Errorf("state %+v", u.State())
	}
	stop()
	eventually(t, "the loss is noticed", func() bool { return !u.State().Connected && u.State().Err != nil })
	c.mu.Lock()
	c.then = nil
	c.mu.Unlock()
	n.serve(t, "top", c)
	last := add(t, s, 4)
	eventually(t, "everything is acknowledged", settled(s))
	if l := c.ledger(last); l != (ledger{mark: 101, emitted: 304, counted: 304}) {
		t.Errorf("ledger %+v", l)
	}
	if total := s.Totals(); total.Acknowledged != 304 || total.Resent == 0 {
		t.Errorf("%+v", total)
	}
	c.check(t)
}

func (c *collector) countedNow() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	counted := make(map[string]uint64, len(c.counted))
	for k, v := range c.counted {
		counted[k] = v
	}
	return counted
}

func (c *collector) streamsNow() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams
}

// TestSilent: an upstream that takes everything and acknowledges nothing is left.
func TestSilent(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(), newCollector()
	c.then = func(c *collector, stream telemetryv1.CollectorService_PushServer, ack *telemetryv1.Sender) error {
		if c.streamsNow() < 3 {
			return nil
		}
		return stream.Send(&telemetryv1.PushResponse{Acknowledged: ack})
	}
	n.serve(t, "top", c)
	s := openSpool(t, "relay", "")
	o := n.options("relay", "top", s)
	o.AckTimeout = 20 * time.Millisecond
	run(t, o)
	add(t, s, 1)
	eventually(t, "the third stream acknowledges", settled(s))
	c.check(t)
}

// TestRepeats: one that repeats what it said before is as silent.
func TestRepeats(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(), newCollector()
	c.then = func(c *collector, stream telemetryv1.CollectorService_PushServer, ack *telemetryv1.Sender) error {
		if c.streamsNow() > 1 {
			return stream.Send(&telemetryv1.PushResponse{Acknowledged: ack})
		}
		ack.Sequence = 1
		for {
			if err := stream.Send(&telemetryv1.PushResponse{Acknowledged: ack}); err != nil {
				return err
			}
			time.Sleep(time.Millisecond) // it is slow at it
		}
	}
	n.serve(t, "top", c)
	s := openSpool(t, "relay", "")
	add(t, s, 1)
	add(t, s, 1)
	o := n.options("relay", "top", s)
	o.AckTimeout = 500 * time.Millisecond // far longer than it pauses
	run(t, o)
	eventually(t, "the second stream acknowledges", settled(s))
	c.check(t)
}

// TestNonsense: one that acknowledges what it was never sent is left, and nothing is released.
func TestNonsense(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(*telemetryv1.Sender) *telemetryv1.Sender{
		"ahead":            func(s *telemetryv1.Sender) *telemetryv1.Sender { s.Sequence += 1000; return s },
		"another boot":     func(s *telemetryv1.Sender) *telemetryv1.Sender { s.BootId = "x"; return s },
		"another instance": func(s *telemetryv1.Sender) *telemetryv1.Sender { s.InstanceId = "x"; return s },
		"nothing":          func(*telemetryv1.Sender) *telemetryv1.Sender { return nil },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			n, c := newNetwork(), newCollector()
			c.then = func(c *collector, stream telemetryv1.CollectorService_PushServer, ack *telemetryv1.Sender) error {
				if c.streamsNow() < 3 {
					ack = spoil(proto.CloneOf(ack))
				}
				return stream.Send(&telemetryv1.PushResponse{Acknowledged: ack})
			}
			n.serve(t, "top", c)
			s := openSpool(t, "relay", "")
			sender := add(t, s, 5)
			u, _ := run(t, n.options("relay", "top", s))
			eventually(t, "the third stream acknowledges", settled(s))
			if got := c.ledger(sender); got.counted != 5 || c.streamsNow() != 3 {
				t.Errorf("ledger %+v, %d streams, state %+v", got, c.streamsNow(), u.State())
			}
			c.check(t)
		})
	}
}

// TestMoves: the stream goes where the flags come from, and presents the key that is
// configured.
func TestMoves(t *testing.T) {
	t.Parallel()
	n, a, b := newNetwork(), newCollector(), newCollector()
	for name, c := range map[string]*collector{"a": a, "b": b} {
		c.then = func(c *collector, stream telemetryv1.CollectorService_PushServer, ack *telemetryv1.Sender) error {
			md, _ := metadata.FromIncomingContext(stream.Context())
			c.mu.Lock()
			c.keys = md.Get("authorization")
			c.mu.Unlock()
			return stream.Send(&telemetryv1.PushResponse{Acknowledged: ack})
		}
		n.serve(t, name, c)
	}
	s := openSpool(t, "relay", "")
	var upstream, secret atomic.Value
	upstream.Store("")
	secret.Store("first")
	o := n.options("relay", "", s)
	o.Upstream = func() string { return upstream.Load().(string) }
	o.Key = func() (string, error) {
		if secret.Load() == "" {
			return "", errors.New("no key")
		}
		return secret.Load().(string), nil
	}
	o.AckTimeout = time.Second // it looks four times as often
	run(t, o)
	sender := add(t, s, 1)
	upstream.Store(address("a"))
	eventually(t, "a counts", func() bool { return a.ledger(sender).mark == 1 })
	eventually(t, "and is heard", settled(s))
	secret.Store("second")
	eventually(t, "another stream to a", func() bool {
		add(t, s, 1)
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.keys) == 1 && a.keys[0] == "Bearer second"
	})
	eventually(t, "a has acknowledged", settled(s))
	upstream.Store(address("b"))
	eventually(t, "b counts", func() bool {
		sender = add(t, s, 1)
		return b.ledger(sender).mark > 1
	})
	a.check(t)
}

// TestParting: a process that ends gets acknowledged what it has, if that does not take long.
func TestParting(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(), newCollector()
	received, release := make(chan struct{}), make(chan struct{})
	c.then = func(_ *collector, stream telemetryv1.CollectorService_PushServer, ack *telemetryv1.Sender) error {
		if ack.GetSequence() == 1 {
			close(received)
			<-release
		}
		return stream.Send(&telemetryv1.PushResponse{Acknowledged: ack})
	}
	n.serve(t, "top", c)
	s := openSpool(t, "relay", "")
	add(t, s, 1)
	add(t, s, 1)
	o := n.options("relay", "top", s)
	o.PartTimeout = time.Minute
	_, stop := run(t, o)
	<-received
	began := time.Now()
	time.AfterFunc(50*time.Millisecond, func() { close(release) }) // when it parts already
	stop()
	if total := s.Totals(); total.Batches > 0 || time.Since(began) > 30*time.Second {
		t.Errorf("after %v: %+v", time.Since(began), total)
	}
}

// TestNoUpstream: Run ends while there is nothing to push to; who is below is told.
func TestNoUpstream(t *testing.T) {
	t.Parallel()
	n := newNetwork()
	u, stop := run(t, n.options("relay", "nowhere", openSpool(t, "relay", "")))
	n.serve(t, "relay", u)
	stream := n.client(t, "relay")
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
	stop()
	if err := u.Run(t.Context()); err == nil {
		t.Error("ran twice")
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	n := newNetwork()
	good := n.options("relay", "top", openSpool(t, "relay", ""))
	for what, spoil := range map[string]func(o *uplink.Options){
		"instance": func(o *uplink.Options) { o.InstanceID = "" }, "spool": func(o *uplink.Options) { o.Spool = nil },
		"upstream": func(o *uplink.Options) { o.Upstream = nil }, "environment": func(o *uplink.Options) { o.Environments = nil },
		"bound": func(o *uplink.Options) { o.AckTimeout = -1 },
	} {
		o := good
		spoil(&o)
		if _, err := uplink.New(o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	good.Registerer = prometheus.NewPedanticRegistry()
	if _, err := uplink.New(good); err != nil {
		t.Error(err)
	}
	if _, err := uplink.New(good); err == nil {
		t.Error("a second uplink has the same metrics")
	}
}
