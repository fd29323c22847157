package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/fleet"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = snapshot.Epoch{Counter: 1}

// cluster are servers on one store, without a network between them.
type cluster struct {
	t     *testing.T
	store *memstore.Store

	mu      sync.Mutex
	servers map[string]*server // by address
}

// server is one of them; what it publishes the test does.
type server struct {
	*fleet.Fleet
	t        *testing.T
	tree     *tree.Tree
	replicas *replica.Set
	registry *prometheus.Registry
	stop     func()
	// silent servers do not answer others.
	silent bool
}

func newCluster(t *testing.T) *cluster {
	return &cluster{t: t, store: memstore.New(), servers: make(map[string]*server)}
}

func (c *cluster) ask(ctx context.Context, address string, r *controlv1.WatchRelaysRequest, take func(*controlv1.WatchRelaysResponse)) error {
	c.mu.Lock()
	s := c.servers[address]
	silent := s == nil || s.silent
	c.mu.Unlock()
	if silent {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.WatchRelays(ctx, r, func(a *controlv1.WatchRelaysResponse) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		take(a)
		return nil
	})
}

// start starts a server. Its environment "e" is at revision 1.
func (c *cluster) start(id string, options ...func(*fleet.Options)) *server {
	c.t.Helper()
	s := &server{t: c.t, tree: tree.New(id), replicas: replica.NewSet(replica.Options{}), registry: prometheus.NewRegistry()}
	s.replicas.Add("e")
	s.replicas.Add("quiet")
	s.publish(1)
	o := fleet.Options{
		Store: c.store, Replicas: s.replicas, Tree: s.tree, InstanceID: id, Advertise: "address of " + id, Ask: c.ask,
		LeaseTTL: 200 * time.Millisecond, Registerer: s.registry,
	}
	for _, option := range options {
		option(&o)
	}
	var err error
	if s.Fleet, err = fleet.New(o); err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.servers[o.Advertise] = s
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	s.stop = func() { cancel(); <-ended }
	c.t.Cleanup(s.stop)
	return s
}

// publish makes the next state of "e", at the revision, and returns its cursor.
func (s *server) publish(revision int64) snapshot.Cursor {
	s.t.Helper()
	r := s.replicas.Replica("e")
	now := r.Snapshot()
	if now == nil {
		now = snapshot.New("e", epoch)
	}
	next, d := now.Next(revision, []snapshot.Item{{Kind: syncv1.Kind(77), Key: "k", ModRevision: revision}}, nil)
	if err := r.Publish(next, d); err != nil {
		s.t.Fatal(err)
	}
	return next.Cursor()
}

// join has a relay follow the server.
func (s *server) join(id, boot string, stream uint64) *tree.Branch {
	return s.tree.Join(tree.Follower{
		Relay: true, InstanceID: id, BootID: boot, StreamNumber: stream, Region: "region-of-" + id, Version: "1",
		Environments: []string{"e"}, Path: []string{id},
	})
}

// list is what ListRelays answers, in short.
func (s *server) list(t *testing.T) string {
	t.Helper()
	answer, err := s.ListRelays(t.Context(), &controlv1.ListRelaysRequest{})
	if err != nil {
		return err.Error()
	}
	var parts []string
	for _, r := range answer.GetRelays() {
		state := "gone"
		if r.GetConnected() {
			state = "on " + r.GetServer()
		}
		parts = append(parts, fmt.Sprintf("%s %s@%d", r.GetInstanceId(), state, r.GetEnvironments()[0].GetCursor().GetRevision()))
	}
	for _, id := range answer.GetUnreachableServers() {
		parts = append(parts, "unreachable "+id)
	}
	return strings.Join(parts, ", ")
}

func (s *server) lists(t *testing.T, want string) {
	t.Helper()
	var got string
	eventually(t, func() bool { got = s.list(t); return got == want }, func() string { return "it lists " + got + ", want " + want })
}

// records demands which relays the store remembers.
func (c *cluster) records(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	eventually(t, func() bool {
		results, _, err := c.store.Read(t.Context(), store.Prefix("/tidegate/v1/relays/"))
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, kv := range results[0].KVs {
			got = append(got, strings.TrimPrefix(kv.Key, "/tidegate/v1/relays/"))
		}
		return slices.Equal(got, want)
	}, func() string { return fmt.Sprintf("records of %v, want %v", got, want) })
}

func eventually(t *testing.T, ok func() bool, otherwise func() string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise())
		}
	}
}

func TestWholeCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	one, two := c.start("one"), c.start("two")
	a, b := one.join("a", "boot", 1), two.join("b", "boot", 1)
	a.Ack("e", one.publish(2), tree.Rejections{})
	b.Ack("e", two.publish(2), tree.Rejections{})
	for _, s := range []*server{one, two} {
		s.lists(t, "a on one@2, b on two@2")
	}
	c.records(t, "a", "b")

	// b moves, before its old server knows.
	moved := one.join("b", "boot", 2)
	moved.Ack("e", one.publish(3), tree.Rejections{})
	two.lists(t, "a on one@2, b on one@3")
	b.Leave(false)
	two.lists(t, "a on one@2, b on one@3")

	// a breaks, and b leaves.
	a.Leave(false)
	moved.Leave(true)
	for _, s := range []*server{one, two} {
		s.lists(t, "a gone@2")
	}
	c.records(t, "a")

	// Nobody who runs has seen a; the one that is asked did not, either.
	one.stop()
	two.lists(t, "a gone@0")
	again := c.start("one")
	again.lists(t, "a gone@0")
	if _, err := again.ForgetRelay(t.Context(), &controlv1.ForgetRelayRequest{InstanceId: "a"}); err != nil {
		t.Error(err)
	}
	two.lists(t, "")
	c.records(t)
}

func TestServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	one, two := c.start("one", func(o *fleet.Options) { o.PeerTimeout = 50 * time.Millisecond }), c.start("two")
	two.join("b", "boot", 1)
	one.lists(t, "b on two@0")
	c.mu.Lock()
	two.silent = true
	c.mu.Unlock()
	one.lists(t, "b gone@0, unreachable two")
	answers, err := one.wait(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 1, Timeout: durationpb.New(100 * time.Millisecond)})
	if last := answers[len(answers)-1]; err != nil || !slices.Equal(last.GetUnreachableServers(), []string{"two"}) || last.GetReached() || last.GetTotal() != 1 {
		t.Errorf("%v, %v", last, err)
	}
	two.stop() // its registration goes with it
	one.lists(t, "b gone@0")
}

// A server that is gone without a word is not asked for longer than its lease.
func TestServerThatIsGone(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	one := c.start("one", func(o *fleet.Options) { o.PeerTimeout = 20 * time.Millisecond })
	lease, err := c.store.Grant(t.Context(), 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.store.Commit(t.Context(), store.Txn{Ops: []store.Op{store.PutLeased("/tidegate/v1/servers/ghost", []byte(`{"grpc":"nowhere"}`), lease)}}); err != nil {
		t.Fatal(err)
	}
	one.lists(t, "unreachable ghost")
	one.lists(t, "")
}

func TestForget(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	one := c.start("one")
	one.join("a", "boot", 1)
	one.lists(t, "a on one@0")
	forget := func(id string) error {
		_, err := one.ForgetRelay(t.Context(), &controlv1.ForgetRelayRequest{InstanceId: id})
		return err
	}
	var invalid *controlplane.InvalidError
	var missing *controlplane.NotFoundError
	var connected *controlplane.PreconditionError
	if err := forget(""); !errors.As(err, &invalid) {
		t.Errorf("no id: %v", err)
	}
	if err := forget("b"); !errors.As(err, &missing) {
		t.Errorf("unknown: %v", err)
	}
	if err := forget("a"); !errors.As(err, &connected) {
		t.Errorf("connected: %v", err)
	}
}

// Records outlive what others do to them, and go when a relay was silent for long.
func TestRecords(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	one := c.start("one", func(o *fleet.Options) { o.Retain = 2 * time.Second })
	a := one.join("a", "boot", 1)
	c.records(t, "a")
	if _, err := c.store.Commit(t.Context(), store.Txn{Ops: []store.Op{store.Delete("/tidegate/v1/relays/a")}}); err != nil {
		t.Fatal(err)
	}
	c.records(t, "a") // it is connected

	c.store.SetDown(true)
	b := one.join("b", "boot", 1)
	one.lists(t, "a on one@0, b on one@0")
	b.Leave(false)
	one.lists(t, "a on one@0, b gone@0")
	c.store.SetDown(false)
	c.store.BreakWatches()
	c.records(t, "a", "b")
	c.records(t, "a")
	one.lists(t, "a on one@0")
	a.Leave(false)
	c.records(t)
	one.lists(t, "")
}

// Records are written when a relay is new or has become another, never for acks.
func TestRecordsAreFew(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	one := c.start("one")
	a := one.join("a", "boot", 1)
	c.records(t, "a")
	revision := func() int64 {
		_, r, err := c.store.Read(t.Context(), store.Key("/tidegate/v1/relays/a"))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	before := revision()
	for i := range int64(50) {
		a.Ack("e", one.publish(2+i), tree.Rejections{})
	}
	again := one.join("a", "other boot", 1)
	a.Leave(false)
	again.Ack("e", one.publish(60), tree.Rejections{})
	one.lists(t, "a on one@60")
	// Another relay is written after what would have been written before.
	one.join("b", "boot", 1)
	c.records(t, "a", "b")
	if after := revision(); after != before+1 {
		t.Errorf("the store went from revision %d to %d", before, after)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	one := newCluster(t).start("one")
	a := one.join("a", "boot", 1)
	a.Ack("e", one.publish(2), tree.Rejections{})
	b := one.join("b", "boot", 1)
	one.lists(t, "a on one@2, b on one@0")
	b.Leave(false)
	one.publish(3)
	one.lists(t, "a on one@2, b gone@0")
	values := func() map[string]float64 {
		families, err := one.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]float64)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := f.GetName()
				for _, l := range m.GetLabel() {
					name += " " + l.GetValue()
				}
				got[name] = m.GetGauge().GetValue()
			}
		}
		return got
	}
	eventually(t, func() bool {
		v := values()
		return v["tidegate_fleet_relays connected"] == 1 && v["tidegate_fleet_relays disconnected"] == 1 && v["tidegate_fleet_lag_seconds"] > 0
	}, func() string { return fmt.Sprint(values()) })
}
