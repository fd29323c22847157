package clientsdk_test

import (
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const production = "production"

// upstream is a real hub over a replica that the test publishes to. It can be killed
// and started again at the same address, with the state that it had.
type upstream struct {
	t        testing.TB
	addr     string
	replicas *replica.Set
	server   *grpc.Server
	hub      *hub.Hub
	done     chan struct{}
	// requireKeys: who follows must present one.
	requireKeys bool
	// telemetry that it takes, as a relay does; nil: it does not.
	telemetry *fakeTelemetry
}

// newUpstream starts an upstream whose environment is still empty of a snapshot.
func newUpstream(t testing.TB) *upstream {
	t.Helper()
	u := &upstream{}
	u.init(t)
	return u
}

func (u *upstream) init(t testing.TB) {
	t.Helper()
	u.t, u.addr, u.replicas = t, "127.0.0.1:0", replica.NewSet(replica.Options{})
	u.replicas.Add(production)
	u.start()
	t.Cleanup(u.kill)
}

func (u *upstream) start() {
	u.t.Helper()
	l, err := net.Listen("tcp", u.addr)
	if err != nil {
		u.t.Fatal(err)
	}
	u.addr = l.Addr().String()
	u.hub = hub.New(hub.Options{Replicas: u.replicas, InstanceID: "upstream", Heartbeat: 20 * time.Millisecond, RequireKeys: u.requireKeys})
	u.server = grpc.NewServer()
	syncv1.RegisterSyncServiceServer(u.server, u.hub)
	if u.telemetry != nil {
		telemetryv1.RegisterTelemetryServiceServer(u.server, u.telemetry)
	}
	server, done := u.server, make(chan struct{})
	u.done = done
	go func() { defer close(done); _ = server.Serve(l) }()
	go u.confirm(done)
}

// confirm does what the store's progress does: it tells that the state is current.
func (u *upstream) confirm(done <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			u.replicas.Replica(production).Confirm(0)
		}
	}
}

// kill ends it as a crash does: without a Goodbye.
func (u *upstream) kill() {
	if u.server != nil {
		u.server.Stop()
		<-u.done
		u.server = nil
	}
}

// put publishes flags at the next revision.
func (u *upstream) put(flags ...*flagv1.Flag) {
	u.t.Helper()
	revision := int64(1)
	if now := u.replicas.Replica(production).Snapshot(); now != nil {
		revision = now.Cursor().Revision + 1
	}
	items := make([]snapshot.Item, len(flags))
	for i, f := range flags {
		data, err := proto.Marshal(f)
		if err != nil {
			u.t.Fatal(err)
		}
		items[i] = snapshot.Item{Kind: syncv1.Kind_KIND_FLAG, Key: f.GetKey(), ModRevision: revision, Data: data}
	}
	u.publish(revision, items)
}

// publish publishes items at a revision.
func (u *upstream) publish(revision int64, items []snapshot.Item) {
	u.t.Helper()
	r := u.replicas.Replica(production)
	now := r.Snapshot()
	first := now == nil
	if first {
		now = snapshot.New(production, snapshot.Epoch{Counter: 1, Random: 7})
	}
	next, delta := now.Next(revision, items, nil)
	if first {
		delta = next.Full()
	}
	if err := r.Publish(next, delta); err != nil {
		u.t.Fatal(err)
	}
}
