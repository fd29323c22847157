package e2e

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// TestCluster runs three control servers on a three-node etcd, with a relay behind each;
// writes go through every server while one etcd node and one server are killed. All that
// live end on the same digest, and so do the killed ones when they are back.
func TestCluster(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	etcd, err := etcdtest.Start(ctx, t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Kill()

	var servers []*server
	var relays []*edge
	for range 3 {
		s := newServer(t, "--data-dir", t.TempDir(), "--etcd-endpoints", strings.Join(etcd.Endpoints(), ","))
		s.start()
		servers = append(servers, s)
		r := newEdge(t, s.grpc, t.TempDir())
		r.start()
		relays = append(relays, r)
	}

	write := func(round int, through ...*server) {
		for i, s := range through {
			key := fmt.Sprintf("flag-%d-%d", round, i)
			client := controlv1.NewFlagServiceClient(dial(t, s.grpc))
			request := &controlv1.CreateFlagRequest{
				Environment: "production", Flag: (&writer{key: key}).definition(1), Reason: "test", RequestId: uuid.NewString(),
			}
			eventually(t, "create "+key, func() error {
				attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
				defer cancel()
				_, err := client.CreateFlag(attempt, request)
				return err
			})
		}
	}
	converge := func(what string, servers []*server, relays []*edge) {
		eventually(t, what, func() error { return sameState(ctx, t, servers, relays) })
	}

	write(0, servers...)
	converge("all agree", servers, relays)

	etcd.Nodes[0].Kill()
	servers[0].kill()
	write(1, servers[1:]...)
	converge("the living agree, one etcd node and one server down", servers[1:], relays[1:])

	if err := etcd.Nodes[0].Start(); err != nil {
		t.Fatal(err)
	}
	servers[0].start()
	write(2, servers...)
	converge("all agree again", servers, relays)
}

// sameState compares the digests of all servers and relays.
func sameState(ctx context.Context, t *testing.T, servers []*server, relays []*edge) error {
	var first []byte
	agree := func(who string, cursor *syncv1.Cursor) error {
		if first == nil {
			first = cursor.GetDigest()
		}
		if len(first) == 0 || !bytes.Equal(first, cursor.GetDigest()) {
			return fmt.Errorf("%s has digest %x, the first has %x", who, cursor.GetDigest(), first)
		}
		return nil
	}
	for _, s := range servers {
		r, err := controlv1.NewEnvironmentServiceClient(dial(t, s.grpc)).ListEnvironments(ctx, &controlv1.ListEnvironmentsRequest{})
		if err != nil {
			return err
		}
		for _, e := range r.GetEnvironments() {
			if e.GetName() == "production" {
				if err := agree("server "+s.grpc, e.GetCursor()); err != nil {
					return err
				}
			}
		}
	}
	for _, r := range relays {
		cursor, err := relayCursor(ctx, t, r)
		if err != nil {
			return err
		}
		if err := agree("relay "+r.grpc, cursor); err != nil {
			return err
		}
	}
	return nil
}

// relayCursor asks a relay for its state as a follower would.
func relayCursor(ctx context.Context, t *testing.T, r *edge) (*syncv1.Cursor, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := syncv1.NewSyncServiceClient(dial(t, r.grpc)).Stream(ctx)
	if err != nil {
		return nil, err
	}
	hello := &syncv1.Hello{
		Protocol: 1, InstanceId: "e2e", BootId: uuid.NewString(), Path: []string{"e2e"},
		Scopes: []*syncv1.Scope{{Environment: "production"}},
	}
	if err := stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: hello}}); err != nil {
		return nil, err
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if b := m.GetUpdate().GetBegin(); b != nil {
			return b.GetTarget(), nil
		}
	}
}
