package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestCluster runs three control servers on a three-node etcd, each with a writer, and
// relays that prefer one of the servers each. The leader of etcd and a server are killed
// under the writers: writes through the other servers go on, and all relays, also the one
// that preferred the killed server, end on the digest of the servers that live; so do the
// killed ones when they are back. No acknowledged write is lost.
func TestCluster(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	etcd, err := etcdtest.Start(ctx, t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Kill()

	var servers []*bed.Server
	var addresses []string
	var writers []*bed.Writer
	for i := range 3 {
		s := bed.NewServer(t, bin, "--data-dir", t.TempDir(), "--etcd-endpoints", strings.Join(etcd.Endpoints(), ","))
		s.Start()
		servers, addresses = append(servers, s), append(addresses, s.GRPC)
		writers = append(writers, bed.NewWriter(ctx, t, s.GRPC, fmt.Sprintf("counter-%d", i)))
	}
	var relays []*bed.Relay
	for i := range servers {
		upstreams := append(slices.Clone(addresses[i:]), addresses[:i]...)
		r := bed.NewRelay(t, bin, strings.Join(upstreams, ","), t.TempDir())
		r.Start()
		relays = append(relays, r)
	}

	writeWhile(ctx, t, "all live", writers, writers, func() {})
	bed.Eventually(t, "all agree", func() error { return sameState(ctx, servers, relays) })

	var killed *etcdtest.Node
	writeWhile(ctx, t, "one etcd node and one server are down", writers, writers[1:], func() {
		killed = leader(ctx, t, etcd)
		killed.Kill()
		servers[0].Kill()
	})
	bed.Eventually(t, "all that live agree", func() error { return sameState(ctx, servers[1:], relays) })

	writeWhile(ctx, t, "all are back", writers, writers, func() {
		if err := killed.Start(); err != nil {
			t.Fatal(err)
		}
		servers[0].Start()
	})
	bed.Eventually(t, "all agree again", func() error { return sameState(ctx, servers, relays) })
	for _, w := range writers {
		w.Verify(ctx)
		t.Logf("%s: %d writes acknowledged", w.Keys[0], w.Acknowledged())
	}
}

// writeWhile runs the writers while something happens, and then until each of those that
// must progress has written some more.
func writeWhile(ctx context.Context, t *testing.T, when string, writers, progress []*bed.Writer, happens func()) {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for _, w := range writers {
		running.Go(func() { w.Run(ctx) })
	}
	happens()
	for _, w := range progress {
		before := w.Acknowledged()
		bed.Eventually(t, w.Keys[0]+" is written while "+when, func() error {
			if n := w.Acknowledged(); n < before+10 {
				return fmt.Errorf("%d acknowledged, %d before", n, before)
			}
			return nil
		})
	}
}

// leader finds the leader of etcd.
func leader(ctx context.Context, t *testing.T, etcd *etcdtest.Cluster) (found *etcdtest.Node) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: etcd.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	bed.Eventually(t, "etcd has a leader", func() error {
		for _, node := range etcd.Nodes {
			attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
			s, err := client.Status(attempt, node.Endpoint)
			cancel()
			if err != nil {
				return err
			}
			if s.Leader == s.Header.MemberId {
				found = node
				return nil
			}
		}
		return errors.New("no node says that it leads")
	})
	return found
}

// sameState compares what all servers and relays hold.
func sameState(ctx context.Context, servers []*bed.Server, relays []*bed.Relay) error {
	var addrs []string
	for _, s := range servers {
		addrs = append(addrs, s.GRPC)
	}
	for _, r := range relays {
		addrs = append(addrs, r.GRPC)
	}
	_, err := bed.SameState(ctx, addrs...)
	return err
}
