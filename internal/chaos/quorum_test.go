//go:build unix

package chaos

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/internal/chaos/netns"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// quorum is an etcd of three nodes that can be parted.
type quorum struct {
	s     *scenario
	etcd  *etcdtest.Cluster
	nodes []*netns.Node // nil: on loopback
}

// quorum starts one. With root, each node has a network of its own; without, a node is
// parted from the others by stopping its process, which is said.
func (s *scenario) quorum() *quorum {
	s.Helper()
	q := &quorum{s: s}
	places := make([]etcdtest.Place, 3)
	if err := netns.Available(); err != nil {
		s.Logf("parted by SIGSTOP: %v", err)
	} else {
		network := s.network()
		for i := range places {
			node := s.node(network)
			q.nodes = append(q.nodes, node)
			places[i] = etcdtest.Place{Host: node.Address, Command: node.Command}
		}
	}
	q.etcd = s.etcd(etcdtest.Options{Places: places})
	return q
}

// leader is the number of the node that leads.
func (q *quorum) leader(client *clientv3.Client) (found int) {
	q.s.Helper()
	bed.Eventually(q.s, "etcd has a leader", func() error {
		for i, node := range q.etcd.Nodes {
			ctx, cancel := context.WithTimeout(q.s.ctx, time.Second)
			status, err := client.Status(ctx, node.Endpoint)
			cancel()
			if err == nil && status.Leader == status.Header.MemberId {
				found = i
				return nil
			}
		}
		return errors.New("no node says that it leads")
	})
	return found
}

// part cuts a node off from everybody.
func (q *quorum) part(i int) {
	q.s.Helper()
	if q.nodes == nil {
		q.s.must(q.etcd.Nodes[i].Signal(syscall.SIGSTOP))
		return
	}
	q.s.must(q.nodes[i].Unplug())
}

// join undoes part.
func (q *quorum) join(i int) {
	q.s.Helper()
	if q.nodes == nil {
		q.s.must(q.etcd.Nodes[i].Signal(syscall.SIGCONT))
		return
	}
	q.s.must(q.nodes[i].Plug())
}

// others are the addresses of all nodes but one.
func (q *quorum) others(i int) (addresses []string) {
	for j, node := range q.nodes {
		if j != i {
			addresses = append(addresses, node.Address)
		}
	}
	return addresses
}

// TestLeaderOfEtcd kills the leader of a three-node etcd, cuts it off, and lets the others
// not hear it while it hears them, each under writers at two servers: writes go on, none
// that was acknowledged is lost, each is in the history once, and relays serve throughout.
func TestLeaderOfEtcd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		harm       func(*quorum, int)
		mend       func(*quorum, int)
		namespaces bool // makes no sense without
	}{
		{"killed", func(q *quorum, i int) { q.etcd.Nodes[i].Kill() }, func(q *quorum, i int) { q.s.must(q.etcd.Nodes[i].Start()) }, false},
		{"cut off", (*quorum).part, (*quorum).join, false},
		{
			"not heard",
			func(q *quorum, i int) { q.s.must(q.nodes[i].Mute(q.others(i)...)) },
			func(q *quorum, i int) { q.s.must(q.nodes[i].Unmute(q.others(i)...)) }, true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			q := s.quorum()
			if c.namespaces && q.nodes == nil {
				t.Log("one direction can be cut in network namespaces only: cut off is what is left")
				c.harm, c.mend = (*quorum).part, (*quorum).join
			}
			endpoints := strings.Join(q.etcd.Endpoints(), ",")
			for range 2 {
				s.server("--etcd-endpoints", endpoints)
			}
			s.relay(s.servers[0].GRPC, s.servers[1].GRPC)
			s.relay(s.servers[1].GRPC, s.servers[0].GRPC)
			s.load()
			client := s.client(q.etcd)
			s.mustServe(s.relays, func() {
				leader := q.leader(client)
				c.harm(q, leader)
				// A member that takes calls and cannot answer them costs those that come to it
				// their deadline.
				s.mustWrite("while the leader is "+c.name, s.writers[0])
				c.mend(q, leader)
			})
			s.mustWrite("after", s.writers...)
			s.mustBeFresh(s.relays...)
			s.converge()
		})
	}
}
