package follower_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/follower"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = snapshot.Epoch{Counter: 1, Random: 0xfeed}

// network is a set of named in-memory listeners.
type network struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
	conns     map[string][]net.Conn
}

func newNetwork() *network {
	return &network{listeners: make(map[string]*bufconn.Listener), conns: make(map[string][]net.Conn)}
}

func (n *network) listen(name string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := bufconn.Listen(64 << 10)
	n.listeners[name] = l
	return l
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

// serve starts a sync server at the name, until the returned function is called.
func (n *network) serve(t testing.TB, name string, s syncv1.SyncServiceServer) (stop func()) {
	t.Helper()
	g := grpc.NewServer()
	syncv1.RegisterSyncServiceServer(g, s)
	l := n.listen(name)
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(l) }()
	var once sync.Once
	stop = func() { once.Do(func() { g.Stop(); <-done }) }
	t.Cleanup(stop)
	return stop
}

// source publishes an environment, as the control plane does.
type source struct {
	set      *replica.Set
	replica  *replica.Replica
	hub      *hub.Hub
	revision int64

	mu        sync.Mutex
	published map[snapshot.Cursor]bool
}

func newSource(t testing.TB, id string, historyBytes int, environments ...string) *source {
	t.Helper()
	s := &source{set: replica.NewSet(replica.Options{HistoryBytes: historyBytes}), published: make(map[snapshot.Cursor]bool)}
	for _, e := range environments {
		s.set.Add(e)
	}
	s.replica = s.set.Replica(environments[0])
	s.hub = hub.New(hub.Options{Replicas: s.set, InstanceID: id, Heartbeat: 20 * time.Millisecond, BehindWait: 20 * time.Millisecond})
	return s
}

// publish applies a change at the next revision.
func (s *source) publish(t testing.TB, puts []snapshot.Item, deletes ...snapshot.ID) *snapshot.Snapshot {
	t.Helper()
	s.revision++
	for i := range puts {
		puts[i].ModRevision = s.revision
	}
	now := s.replica.Snapshot()
	if now == nil {
		now = snapshot.New(s.replica.Environment(), epoch)
	}
	next, d := now.Next(s.revision, puts, deletes)
	s.mu.Lock()
	s.published[next.Cursor()] = true
	s.mu.Unlock()
	if err := s.replica.Publish(next, d); err != nil {
		t.Fatal(err)
	}
	return next
}

func (s *source) wasPublished(c snapshot.Cursor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.published[c]
}

func flagItem(t testing.TB, key, description string) snapshot.Item {
	t.Helper()
	data, err := proto.Marshal(&flagv1.Flag{
		Key: key, Description: description, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true,
		Variants:       []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return snapshot.Item{Kind: syncv1.Kind_KIND_FLAG, Key: key, Data: data}
}

// options of a follower in tests: it does not wait long.
func (n *network) options(set *replica.Set, id string, upstreams ...string) follower.Options {
	o := follower.Options{
		Environments: []string{"production"}, Replicas: set, InstanceID: id,
		DialOptions: n.dialOptions(), BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond,
		Logger: zerolog.Nop(),
	}
	for _, u := range upstreams {
		o.Upstreams = append(o.Upstreams, address(u))
	}
	return o
}

// run starts a follower until the returned function is called.
func run(t testing.TB, o follower.Options) (f *follower.Follower, stop func()) {
	t.Helper()
	f, err := follower.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return f, stop
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

func has(r *replica.Replica, want *snapshot.Snapshot) func() bool {
	return func() bool {
		s := r.Snapshot()
		return s != nil && s.Cursor().SameState(want.Cursor())
	}
}
