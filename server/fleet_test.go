package server

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/controlplane/fleet"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// shared is a store that outlives the servers on it.
type shared struct{ store.Store }

func (shared) Close() error { return nil }

// Two servers on one store answer for each other, over gRPC.
func TestFleetOfTwoServers(t *testing.T) {
	t.Parallel()
	s := shared{memstore.New()}
	servers := make([]*running, 2)
	for i := range servers {
		addr := freeAddr(t)
		servers[i] = start(t, Options{Store: s, GRPCAddr: addr, AdvertiseAddr: addr, InstanceID: "server-" + string(rune('a'+i))})
	}
	relay := follow(t, servers[1], "relay")
	a := controlv1.NewFleetServiceClient(servers[0].conn)
	eventually(t, "the other's relay is known", func() bool {
		list, err := a.ListRelays(t.Context(), &controlv1.ListRelaysRequest{Environment: "production"})
		if err != nil {
			t.Fatal(err)
		}
		r := list.GetRelays()
		return len(r) == 1 && r[0].GetConnected() && r[0].GetInstanceId() == "relay" && r[0].GetServer() == "server-b" && r[0].GetUpstream() == "server-b"
	})
	revision := servers[0].create("a").GetRevision()
	wait, err := a.WaitApplied(t.Context(), &controlv1.WaitAppliedRequest{
		Environment: "production", Revision: revision, Timeout: durationpb.New(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	relay.acknowledge(t, revision)
	for {
		answer, err := wait.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if answer.GetLast() && (!answer.GetReached() || answer.GetTotal() != 1) {
			t.Errorf("%v", answer)
		}
	}
	if _, err := a.ForgetRelay(t.Context(), &controlv1.ForgetRelayRequest{InstanceId: "relay"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("forget a relay that is connected: %v", err)
	}
	if err := relay.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the relay has left", func() bool {
		_, err := a.ForgetRelay(t.Context(), &controlv1.ForgetRelayRequest{InstanceId: "relay"})
		return status.Code(err) == codes.NotFound
	})
}

// A wait does not hold up a shutdown.
func TestWaitEndsWithTheServer(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Store: memstore.New(), Drain: time.Minute})
	follow(t, s, "relay")
	conn, err := grpc.NewClient(s.server.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wait, err := controlv1.NewFleetServiceClient(conn).WaitApplied(t.Context(), &controlv1.WaitAppliedRequest{
		Environment: "production", Revision: 1000, Timeout: durationpb.New(4 * time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wait.Recv(); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.stop() }()
	for err == nil {
		_, err = wait.Recv()
	}
	if status.Code(err) != codes.Unavailable || status.Convert(err).Message() != fleet.ErrStopped.Error() {
		t.Errorf("%v", err)
	}
	<-stopped
}

// freeAddr is a loopback address that was free a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// followed is a relay in the hands of a test.
type followed struct {
	stream grpc.BidiStreamingClient[syncv1.StreamRequest, syncv1.StreamResponse]
	cursor *syncv1.Cursor
}

func follow(t *testing.T, s *running, id string) *followed {
	t.Helper()
	stream, err := syncv1.NewSyncServiceClient(s.conn).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: &syncv1.Hello{
		Protocol: 1, InstanceId: id, BootId: "boot", Path: []string{id}, FollowerKind: syncv1.FollowerKind_FOLLOWER_KIND_RELAY,
		Scopes: []*syncv1.Scope{{Environment: "production"}}, StreamNumber: 1,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	f := &followed{stream: stream}
	f.receive(t, 0)
	return f
}

// receive takes messages up to a state at the revision or later.
func (f *followed) receive(t *testing.T, revision int64) {
	t.Helper()
	for f.cursor == nil || f.cursor.GetRevision() < revision {
		m, err := f.stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if c := m.GetUpdate().GetCommit(); c != nil {
			f.cursor = c.GetCursor()
		}
	}
}

func (f *followed) acknowledge(t *testing.T, revision int64) {
	t.Helper()
	f.receive(t, revision)
	err := f.stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Ack{Ack: &syncv1.Ack{Environment: "production", Cursor: f.cursor}}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAdvertised(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ given, bound, want string }{
		{"", "10.0.0.7:7013", "10.0.0.7:7013"},
		{"", "0.0.0.0:7013", host + ":7013"},
		{"", "[::]:7013", host + ":7013"},
		{"control-1:7013", "0.0.0.0:9", "control-1:7013"},
	} {
		if got, err := advertised(test.given, test.bound); err != nil || got != test.want {
			t.Errorf("%+v: got %s, %v", test, got, err)
		}
	}
	o := Options{DataDir: "d", AdvertiseAddr: ":7013"}
	o.ensureDefaults()
	if err := o.validate(); err == nil {
		t.Error("an advertised address without a host is accepted")
	}
}
