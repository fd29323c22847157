package uplink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/rpc"
	"github.com/tidegate/tidegate/internal/spool"
	"github.com/tidegate/tidegate/internal/uplink"
)

// TestMain lets the test binary be a relay that can be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		os.Exit(victim(dir, os.Getenv(victimUpstream)))
	}
	goleak.VerifyTestMain(m)
}

// network is a set of named in-memory listeners.
type network struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
	conns     map[string][]net.Conn
}

func newNetwork() *network {
	return &network{listeners: make(map[string]*bufconn.Listener), conns: make(map[string][]net.Conn)}
}

func (n *network) dial(ctx context.Context, name string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[name]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("nobody listens at %q", name)
	}
	c, err := l.DialContext(ctx)
	if err == nil {
		n.mu.Lock()
		n.conns[name] = append(n.conns[name], c)
		n.mu.Unlock()
	}
	return c, err
}

// cut breaks all connections to the name; it goes on listening.
func (n *network) cut(name string) {
	n.mu.Lock()
	conns := n.conns[name]
	n.conns[name] = nil
	n.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

func address(name string) string { return "passthrough:///" + name }

func (n *network) dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithContextDialer(n.dial), grpc.WithTransportCredentials(insecure.NewCredentials()),
	}
}

// serve starts a collector at the name, until the returned function is called.
func (n *network) serve(t testing.TB, name string, c telemetryv1.CollectorServiceServer, o ...grpc.ServerOption) (stop func()) {
	t.Helper()
	g := grpc.NewServer(append(o, grpc.ForceServerCodecV2(rpc.Codec()))...)
	telemetryv1.RegisterCollectorServiceServer(g, c)
	l := bufconn.Listen(64 << 10)
	n.mu.Lock()
	n.listeners[name] = l
	n.mu.Unlock()
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(l) }()
	stop = sync.OnceFunc(func() { g.Stop(); <-done })
	t.Cleanup(stop)
	return stop
}

// client is a stream to the name.
func (n *network) client(t testing.TB, name string) telemetryv1.CollectorService_PushClient {
	t.Helper()
	conn, err := grpc.NewClient(address(name), n.dialOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := telemetryv1.NewCollectorServiceClient(conn).Push(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// options of an uplink in tests: it does not wait long.
func (n *network) options(id, upstream string, s *spool.Spool) uplink.Options {
	return uplink.Options{
		InstanceID: id, Spool: s, Upstream: func() string { return address(upstream) }, Environments: []string{"production"},
		DialOptions: n.dialOptions(), BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond, PartTimeout: time.Millisecond,
		Logger: zerolog.Nop(),
	}
}

func openSpool(t testing.TB, id, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(spool.Options{InstanceID: id, Dir: dir, MaxBytes: 256 << 10, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // closed already, where that matters
	return s
}

// run starts an uplink until the returned function is called.
func run(t testing.TB, o uplink.Options) (u *uplink.Uplink, stop func()) {
	t.Helper()
	u, err := uplink.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return u, stop
}

func batch(events uint64) *telemetryv1.Batch {
	return &telemetryv1.Batch{
		Environment: "production",
		Windows:     []*telemetryv1.Window{{Cells: []*telemetryv1.Cell{{Rollout: "checkout", Exposures: events}}}},
	}
}

func add(t testing.TB, s *spool.Spool, events uint64) *telemetryv1.Sender {
	t.Helper()
	r, err := s.Append(spool.Entry{Batch: batch(events), Counted: events})
	if err != nil {
		t.Fatal(err)
	}
	return r.Sender
}

// request is what a relay that is not ours sends.
func request(instance string, sequence, events uint64) *telemetryv1.PushRequest {
	b := batch(events)
	b.Sender = &telemetryv1.Sender{InstanceId: instance, BootId: "boot", Sequence: sequence}
	b.Tally = &telemetryv1.Tally{Emitted: events * sequence, Counted: events}
	return &telemetryv1.PushRequest{Batch: b}
}

// eventually polls; the deadline is far beyond what any machine needs.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not reached: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func settled(s *spool.Spool) func() bool {
	return func() bool { return s.Totals().Batches == 0 }
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// collector counts as the control plane does, strictly: each sequence once, in order, and no
// gap that the tally does not explain.
type collector struct {
	telemetryv1.UnimplementedCollectorServiceServer
	mu      sync.Mutex
	ledgers map[string]*ledger
	// counted are the events of each batch that counts.
	counted  map[string]uint64
	problems []string
	streams  int
	keys     []string
	// then says what comes of a batch once it was counted; nil: it is acknowledged.
	then func(c *collector, stream telemetryv1.CollectorService_PushServer, ack *telemetryv1.Sender) error
}

type ledger struct{ mark, emitted, counted, lost uint64 }

func newCollector() *collector {
	return &collector{ledgers: make(map[string]*ledger), counted: make(map[string]uint64)}
}

func bootKey(s *telemetryv1.Sender) string { return s.GetInstanceId() + " " + s.GetBootId() }

func key(s *telemetryv1.Sender) string { return fmt.Sprint(bootKey(s), " ", s.GetSequence()) }

func (c *collector) Push(stream telemetryv1.CollectorService_PushServer) error {
	c.mu.Lock()
	c.streams++
	then := c.then
	c.mu.Unlock()
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		ack := c.count(r.GetBatch())
		if then == nil {
			err = stream.Send(&telemetryv1.PushResponse{Acknowledged: ack})
		} else {
			err = then(c, stream, ack)
		}
		if err != nil {
			return err
		}
	}
}

func (c *collector) count(b *telemetryv1.Batch) *telemetryv1.Sender {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, tally := b.GetSender(), b.GetTally()
	l := c.ledgers[bootKey(s)]
	if l == nil {
		l = &ledger{}
		c.ledgers[bootKey(s)] = l
	}
	if s.GetSequence() > l.mark {
		events := uint64(0)
		for _, w := range b.GetWindows() {
			events += w.GetCells()[0].GetExposures()
		}
		l.counted += events
		if events != tally.GetCounted() || l.counted+tally.GetLost() != tally.GetEmitted() {
			c.problems = append(c.problems, fmt.Sprintf("%s after %d: %d events, counted %d, tally %v", key(s), l.mark, events, l.counted, tally))
		}
		l.mark, l.emitted, l.lost = s.GetSequence(), tally.GetEmitted(), tally.GetLost()
		c.counted[key(s)] = events
	}
	return &telemetryv1.Sender{InstanceId: s.GetInstanceId(), BootId: s.GetBootId(), Sequence: l.mark}
}

func (c *collector) ledger(s *telemetryv1.Sender) ledger {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.ledgers[bootKey(s)]; l != nil {
		return *l
	}
	return ledger{}
}

// check reports what no honest sender does.
func (c *collector) check(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.problems {
		t.Error(p)
	}
}
