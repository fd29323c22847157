package hub_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/rpc"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// epoch is one that was begun: the first of a store takes over nobody.
var epoch = snapshot.Epoch{Counter: 5}

func item(key string, revision int64, size int) snapshot.Item {
	return snapshot.Item{Kind: syncv1.Kind(77), Key: key, ModRevision: revision, Data: make([]byte, size)}
}

type clientStream = grpc.BidiStreamingClient[syncv1.StreamRequest, syncv1.StreamResponse]

// bed is a hub that is served in memory.
type bed struct {
	t   testing.TB
	hub *hub.Hub
	set *replica.Set
	// dial opens a stream.
	dial func(context.Context) (clientStream, error)
	// ended counts streams whose handlers have returned.
	ended atomic.Int64
}

// newBed starts a hub; unless told otherwise it sends no heartbeats of its own accord
// that a test would have to expect, and each change by itself.
func newBed(t testing.TB, o hub.Options, historyBytes int, environments ...string) *bed {
	t.Helper()
	if o.Coalesce == 0 {
		o.Coalesce = -1
	}
	b := makeBed(t, o, historyBytes, environments...)
	listener := bufconn.Listen(64 << 10)
	server := grpc.NewServer(grpc.StreamInterceptor(b.guard(t)), grpc.ForceServerCodecV2(rpc.Codec()))
	syncv1.RegisterSyncServiceServer(server, b.hub)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///hub",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		// A fixed window: a follower that does not read blocks the hub soon.
		grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	b.dial = func(ctx context.Context) (clientStream, error) { return syncv1.NewSyncServiceClient(conn).Stream(ctx) }
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-served
	})
	return b
}

// makeBed makes a hub that is not served yet.
func makeBed(t testing.TB, o hub.Options, historyBytes int, environments ...string) *bed {
	set := replica.NewSet(replica.Options{HistoryBytes: historyBytes})
	for _, e := range environments {
		set.Add(e)
	}
	o.Replicas, o.InstanceID = set, "hub"
	if o.Heartbeat == 0 {
		o.Heartbeat = 24 * time.Hour
	}
	return &bed{t: t, set: set, hub: hub.New(o)}
}

// guard complains about a send that begins once the handler has returned: not every
// transport survives that.
func (b *bed) guard(t testing.TB) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		g := &guarded{ServerStream: stream, t: t}
		defer b.ended.Add(1)
		defer g.over.Store(true)
		return handler(srv, g)
	}
}

type guarded struct {
	grpc.ServerStream
	t    testing.TB
	over atomic.Bool
}

func (g *guarded) SendMsg(m any) error {
	if g.over.Load() {
		g.t.Error("a message is sent after the end of the stream")
	}
	return g.ServerStream.SendMsg(m)
}

// publish puts items, all of the given size, into an environment at its next revision.
func (b *bed) publish(environment string, size int, keys ...string) *snapshot.Snapshot {
	b.t.Helper()
	r := b.set.Replica(environment)
	now := r.Snapshot()
	if now == nil {
		now = snapshot.New(environment, epoch)
	}
	revision := now.Cursor().Revision + 1
	var puts []snapshot.Item
	for _, k := range keys {
		puts = append(puts, item(k, revision, size))
	}
	next, d := now.Next(revision, puts, nil)
	if err := r.Publish(next, d); err != nil {
		b.t.Fatal(err)
	}
	return next
}

// client is the follower's end of a stream, in the hands of a test.
type client struct {
	t      testing.TB
	stream clientStream
	cancel context.CancelFunc
	have   map[string]*snapshot.Snapshot
	staged map[string]*snapshot.Assembler
}

func (b *bed) open() *client {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	stream, err := b.dial(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(cancel)
	return &client{
		t: b.t, stream: stream, cancel: cancel,
		have: make(map[string]*snapshot.Snapshot), staged: make(map[string]*snapshot.Assembler),
	}
}

// follow opens a stream, says hello, and takes the welcome. Of each environment it has
// the given state, which may be nil.
func (b *bed) follow(have map[string]*snapshot.Snapshot, environments ...string) *client {
	b.t.Helper()
	c := b.open()
	h := hello("follower", environments...)
	for _, sc := range h.Scopes {
		if s := have[sc.Environment]; s != nil {
			c.have[sc.Environment] = s
			sc.Cursor = s.Cursor().Proto()
		}
	}
	c.hello(h)
	if w := c.recv().GetWelcome(); w.GetInstanceId() != "hub" || w.GetMaxScopes() == 0 || w.GetHeartbeatInterval() == nil {
		b.t.Fatalf("welcome %v", w)
	}
	return c
}

func hello(id string, environments ...string) *syncv1.Hello {
	h := &syncv1.Hello{Protocol: 1, InstanceId: id, BootId: "boot", Path: []string{id}, Region: "here", Version: "1"}
	for _, e := range environments {
		h.Scopes = append(h.Scopes, &syncv1.Scope{Environment: e})
	}
	return h
}

// hello says hello. EOF: the hub has ended the stream already; why is for recv.
func (c *client) hello(h *syncv1.Hello) {
	c.t.Helper()
	err := c.stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: h}})
	if err != nil && !errors.Is(err, io.EOF) {
		c.t.Fatal(err)
	}
}

func (c *client) ack(a *syncv1.Ack) {
	c.t.Helper()
	if err := c.stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Ack{Ack: a}}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) recv() *syncv1.StreamResponse {
	c.t.Helper()
	m, err := c.stream.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// update takes messages up to the next whole update, applies it, and returns its mode
// and result. Heartbeats on the way must name the state that was sent last.
func (c *client) update() (syncv1.Begin_Mode, *snapshot.Snapshot) {
	c.t.Helper()
	var mode syncv1.Begin_Mode
	for {
		m := c.recv()
		for _, e := range m.GetHeartbeat().GetEnvironments() {
			c.checkStatus(e)
		}
		u := m.GetUpdate()
		if u == nil {
			if m.GetHeartbeat() == nil {
				c.t.Fatalf("neither update nor heartbeat: %v", m)
			}
			continue
		}
		if u.GetBegin() != nil {
			mode = u.GetBegin().GetMode()
		}
		if s := c.apply(u); s != nil {
			return mode, s
		}
	}
}

func (c *client) apply(u *syncv1.Update) *snapshot.Snapshot {
	c.t.Helper()
	name := u.GetEnvironment()
	if c.staged[name] == nil {
		c.staged[name] = &snapshot.Assembler{}
	}
	d, done, err := c.staged[name].Add(u)
	if err != nil {
		c.t.Fatal(err)
	}
	if !done {
		return nil
	}
	from := c.have[name]
	if from == nil {
		from = snapshot.New(name, d.Target.Epoch)
	}
	s, err := from.Apply(d)
	if err != nil {
		c.t.Fatal(err)
	}
	c.have[name] = s
	return s
}

func (c *client) checkStatus(e *syncv1.EnvironmentStatus) {
	c.t.Helper()
	cursor, err := snapshot.CursorFromProto(e.GetCursor())
	if err != nil {
		c.t.Fatal(err)
	}
	if have := c.have[e.GetEnvironment()]; have == nil || !have.Cursor().SameState(cursor) || cursor.Revision < have.Cursor().Revision {
		c.t.Fatalf("heartbeat of %s at %v, but it was sent %v", e.GetEnvironment(), cursor, have)
	}
}

// expect takes an update and compares it.
func (c *client) expect(mode syncv1.Begin_Mode, want *snapshot.Snapshot) {
	c.t.Helper()
	got, s := c.update()
	if got != mode || s.Environment() != want.Environment() || s.Cursor() != want.Cursor() {
		c.t.Fatalf("%v to %s %v, want %v to %s %v", got, s.Environment(), s.Cursor(), mode, want.Environment(), want.Cursor())
	}
}

// goodbye takes messages up to the Goodbye, and the end of the stream after it.
func (c *client) goodbye() *syncv1.Goodbye {
	c.t.Helper()
	for {
		g := c.recv().GetGoodbye()
		if g == nil {
			continue
		}
		if m, err := c.stream.Recv(); err == nil || err.Error() != "EOF" {
			c.t.Fatalf("after goodbye: %v, %v", m, err)
		}
		return g
	}
}

// eventually polls; the deadline is far beyond what any machine needs.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not reached: %s", what)
		}
	}
}

func keys(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("key-%05d", i)
	}
	return list
}
