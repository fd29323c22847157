package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/collector"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/etcdstore"
	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// leads waits until one of the servers collects, and returns its index.
func leads(t *testing.T, servers ...*running) (leader int) {
	t.Helper()
	eventually(t, "a server collects", func() bool {
		for i, s := range servers {
			if _, ok := s.server.telemetry.collector.Account(); ok {
				leader = i
				return true
			}
		}
		return false
	})
	// The others know it, too.
	id := servers[leader].server.options.InstanceID
	for _, s := range servers {
		eventually(t, "who leads is known", func() bool {
			r, _, ok := s.server.elector.Leader()
			return ok && r.InstanceID == id
		})
	}
	return leader
}

// telemetry opens a stream to a server.
func (r *running) telemetry(ctx context.Context, secret string) grpc.BidiStreamingClient[telemetryv1.PushRequest, telemetryv1.PushResponse] {
	if secret != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
	}
	stream, err := telemetryv1.NewCollectorServiceClient(r.conn).Push(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	return stream
}

// batchOf tells of one event.
func batchOf(instance, environment string, sequence uint64) *telemetryv1.PushRequest {
	return &telemetryv1.PushRequest{Batch: &telemetryv1.Batch{
		Environment: environment, CompleteTo: timestamppb.Now(),
		Sender: &telemetryv1.Sender{InstanceId: instance, BootId: "boot", Sequence: sequence},
		Tally:  &telemetryv1.Tally{Emitted: sequence, Counted: 1},
		Windows: []*telemetryv1.Window{{
			BeganAt: timestamppb.Now(), Length: durationpb.New(time.Second),
			Cells: []*telemetryv1.Cell{{Rollout: "r", Step: 1, Arm: telemetryv1.Arm_ARM_CONTROL, Exposures: 1}},
		}},
	}}
}

// cluster starts servers that share a store.
func cluster(t *testing.T, n int, o Options, s func(i int) store.Store) []*running {
	t.Helper()
	servers := make([]*running, n)
	for i := range servers {
		one := o
		addr := freeAddr(t)
		one.Store, one.GRPCAddr, one.AdvertiseAddr, one.InstanceID = s(i), addr, addr, fmt.Sprint("server-", i)
		servers[i] = start(t, one)
	}
	return servers
}

// Whichever server telemetry comes to, it is counted, and a stream ends with the leader's term.
func TestTelemetryPassedOn(t *testing.T) {
	t.Parallel()
	s := shared{memstore.New()}
	servers := cluster(t, 2, Options{}, func(int) store.Store { return s })
	first := leads(t, servers...)
	stream := servers[1-first].telemetry(t.Context(), "")
	for q := uint64(1); q <= 3; q++ {
		if err := stream.Send(batchOf("relay", "production", q)); err != nil {
			t.Fatal(err)
		}
	}
	for acked := uint64(0); acked < 3; {
		a, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		acked = a.GetAcknowledged().GetSequence()
	}
	if a, _ := servers[first].server.telemetry.collector.Account(); a != (collector.Account{Emitted: 3, Counted: 3}) {
		t.Errorf("%+v", a)
	}
	if err := stream.Send(batchOf("relay", "nowhere", 4)); err != nil {
		t.Fatal(err)
	}
	if a, err := stream.Recv(); err != nil || !strings.Contains(a.GetRefusal(), `environment "nowhere" is not served here`) {
		t.Errorf("%v, %v", a, err)
	}

	servers[first].stop()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ends with the leader: %v", err)
	}
	leads(t, servers[1-first])
	stream = servers[1-first].telemetry(t.Context(), "")
	for _, q := range []uint64{3, 4, 5} {
		if err := stream.Send(batchOf("relay", "production", q)); err != nil {
			t.Fatal(err)
		}
	}
	for acked := uint64(0); acked < 5; {
		a, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		acked = a.GetAcknowledged().GetSequence()
	}
	if a, _ := servers[1-first].server.telemetry.collector.Account(); a != (collector.Account{Emitted: 5, Counted: 4, Refused: 1}) {
		t.Errorf("%+v", a)
	}
	if err := stream.Send(&telemetryv1.PushRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a batch without a sender: %v", err)
	}
}

// With keys required, who sends needs one that opens what it tells of; it is passed on with the
// stream.
func TestTelemetryKeys(t *testing.T) {
	t.Parallel()
	s := shared{memstore.New()}
	servers := cluster(t, 2, Options{RequireKeys: true}, func(int) store.Store { return s })
	first := leads(t, servers...)
	keys := controlv1.NewKeyServiceClient(servers[0].conn)
	sdk, err := keys.CreateKey(as(t), &controlv1.CreateKeyRequest{
		Name: "one that tells of itself alone", Environments: []string{"production"}, Role: accessv1.Role_ROLE_SDK_SERVER, Reason: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	created, err := keys.CreateKey(as(t), &controlv1.CreateKeyRequest{Name: "relays", Environments: []string{"production"}, Reason: "test"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the leader knows the key", func() bool {
		stream := servers[first].telemetry(t.Context(), created.GetSecret())
		_ = stream.Send(batchOf("relay", "production", 1)) // Recv tells
		_, err := stream.Recv()
		return err == nil
	})
	forged := created.GetSecret()[:len(created.GetSecret())-10] + "AAAAAAAAAA"
	for i, via := range servers {
		for name, test := range map[string]struct {
			secret, environment string
			code                codes.Code
			refusal             string
		}{
			"none":      {"", "production", codes.Unauthenticated, ""},
			"malformed": {"tgk_nonsense", "production", codes.Unauthenticated, ""},
			"forged":    {forged, "production", codes.Unauthenticated, ""},
			"good":      {created.GetSecret(), "production", codes.OK, ""},
			"an SDK's":  {sdk.GetSecret(), "production", codes.PermissionDenied, ""},
			"another's": {created.GetSecret(), "staging", codes.OK, "does not open environment \"staging\""},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			stream := via.telemetry(ctx, test.secret)
			_ = stream.Send(batchOf(fmt.Sprint(name, i), test.environment, 1)) // Recv tells
			a, err := stream.Recv()
			if status.Code(err) != test.code || !strings.Contains(a.GetRefusal(), test.refusal) || (test.refusal == "") != (a.GetRefusal() == "") {
				t.Errorf("%s over %s: %v, %v", name, via.server.options.InstanceID, a, err)
			}
			cancel()
		}
	}
	if _, err := keys.RevokeKey(as(t), &controlv1.RevokeKeyRequest{KeyId: created.GetKey().GetKey().GetId(), Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the key opens nothing", func() bool {
		stream := servers[first].telemetry(t.Context(), created.GetSecret())
		_ = stream.Send(batchOf("relay", "production", 2)) // Recv tells
		_, err := stream.Recv()
		return status.Code(err) == codes.PermissionDenied
	})
}

// cuttable is one server's connection to the store.
type cuttable struct {
	store.Store
	cut atomic.Bool
}

func (c *cuttable) Close() error { return nil }

func (c *cuttable) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if c.cut.Load() {
		return store.Outcome{}, store.ErrUnavailable
	}
	out, err := c.Store.Commit(ctx, t)
	if c.cut.Load() {
		return store.Outcome{}, store.ErrUnavailable
	}
	return out, err
}

func (c *cuttable) KeepAlive(ctx context.Context, lease store.LeaseID) error {
	if c.cut.Load() {
		return store.ErrUnavailable
	}
	return c.Store.KeepAlive(ctx, lease)
}

func (c *cuttable) Revoke(ctx context.Context, lease store.LeaseID) error {
	if c.cut.Load() {
		return store.ErrUnavailable
	}
	return c.Store.Revoke(ctx, lease)
}

// TestTelemetryOnEtcd: three servers on a real etcd; the leader is cut off, then another
// stops. What was acknowledged is counted, and nothing twice.
func TestTelemetryOnEtcd(t *testing.T) {
	t.Parallel()
	etcd, err := etcdtest.Start(t.Context(), t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Kill)
	s, err := etcdstore.Open(t.Context(), etcdstore.Options{Endpoints: etcd.Endpoints(), Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	stores := make([]*cuttable, 3)
	servers := cluster(t, 3, Options{}, func(i int) store.Store {
		stores[i] = &cuttable{Store: s}
		return stores[i]
	})
	r := &relayOf{t: t, servers: servers}
	r.send(20)

	cut := leads(t, servers...)
	stores[cut].cut.Store(true)
	r.send(20)
	stores[cut].cut.Store(false)
	stopped := leads(t, servers...)
	servers[stopped].stop()
	r.servers = slices.Delete(slices.Clone(servers), stopped, stopped+1)
	r.send(20)

	last := leads(t, r.servers...)
	if a, _ := r.servers[last].server.telemetry.collector.Account(); a != (collector.Account{Emitted: 60, Counted: 60}) {
		t.Errorf("%+v", a)
	}
}

// relayOf is a sender that sends what is not acknowledged again, to the next server.
type relayOf struct {
	t       *testing.T
	servers []*running
	made    uint64
	acked   uint64
	tries   int
}

// send sends so many batches more, and waits for their acknowledgement.
func (r *relayOf) send(n uint64) {
	r.t.Helper()
	r.made += n
	eventually(r.t, "all is acknowledged", func() bool {
		ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
		defer cancel()
		r.tries++
		stream := r.servers[r.tries%len(r.servers)].telemetry(ctx, "")
		for q := r.acked + 1; q <= r.made; q++ {
			_ = stream.Send(batchOf("relay", "production", q)) // Recv tells
		}
		for r.acked < r.made {
			a, err := stream.Recv()
			if err != nil {
				return false
			}
			if a.GetRefusal() != "" {
				r.t.Fatalf("%v", a)
			}
			r.acked = a.GetAcknowledged().GetSequence()
		}
		return true
	})
}
