//go:build unix

package chaos

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/chaos/netns"
	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestOneWayBlackhole lets what goes one way between server and relay vanish, as a cable
// does (nothing is taken from the sender) and as a broken middlebox does (everything is).
// Relays that hear nothing notice within 15 s, answer everything from what they had, and
// tell how old it is; those that are not heard go on as long as they hear.
func TestOneWayBlackhole(t *testing.T) {
	t.Parallel()
	stall, swallow, pass := proxy.Direction{Stall: true}, proxy.Direction{Swallow: true}, proxy.Direction{}
	s := newScenario(t)
	s.delays()
	srv := s.single()
	var deaf, unheard []*relay
	for range 3 {
		deaf = append(deaf, s.relay(srv.GRPC))
	}
	for range 2 {
		unheard = append(unheard, s.relay(srv.GRPC))
	}
	s.load()
	s.mustServe(s.relays, func() {
		cut := time.Now()
		deaf[0].set(pass, stall)
		deaf[1].set(pass, swallow)
		deaf[2].set(stall, stall)
		unheard[0].set(stall, pass)
		unheard[1].set(swallow, pass)
		// What was under way when the hole opened may still arrive.
		s.mustAge(cut.Add(time.Second), deaf...)
		for _, r := range deaf {
			s.mustNotice(cut.Add(time.Second), r)
		}
		for _, r := range s.relays {
			r.heal()
		}
	})
	s.mustBeFresh(s.relays...)
	s.converge()
}

// TestCableCut takes the network from a relay and gives it back. With root, it is in a
// namespace of its own and the cable is virtual; without, a proxy passes nothing either
// way.
func TestCableCut(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	srv := s.embedded(s.folder("server"))
	r, cut, mend := s.remote(srv.GRPC)
	s.load()
	// Also the readers are behind the cable: what it answers meanwhile is asked after.
	cut()
	since := time.Now()
	time.Sleep(deadAfter + slack)
	mend()
	bed.EventuallyWithin(s, deadAfter, "it answers again", func() error {
		body, err := r.Get("/metrics")
		if err == nil && len(body) == 0 {
			err = fmt.Errorf("nothing")
		}
		return err
	})
	connected, problem, err := r.upstream()
	t.Logf("after %v without a cable: connected %v, %q, %v", time.Since(since).Round(time.Second), connected, problem, err)
	if lost := s.metric(r.Process, "tidegate_follower_disconnects_total", ""); lost == 0 {
		t.Error("it has not lost its upstream")
	}
	s.mustBeFresh(r)
	s.mustWrite("after the cut", s.writers...)
	s.converge()
}

// remote starts a relay whose network can be cut.
func (s *scenario) remote(upstream string) (r *relay, cut, mend func()) {
	s.Helper()
	if err := netns.Available(); err != nil {
		s.Logf("by proxy: %v", err)
		r := s.relay(upstream)
		return r, func() { r.set(proxy.Direction{Stall: true}, proxy.Direction{Stall: true}) }, r.heal
	}
	network := s.network()
	node := s.node(network)
	front, err := proxy.Listen(net.JoinHostPort(network.Address, "0"), upstream, s.seed)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { front.Close() })
	r = &relay{Relay: bed.NewRelayAt(s, bin, node.Address, node.Command, front.Addr(), s.folder("relay"), s.logged("relay")...), links: []*proxy.Proxy{front}, hops: 1}
	r.Start()
	s.relays = append(s.relays, r)
	return r, func() { s.must(node.Unplug()) }, func() { s.must(node.Plug()) }
}

// network makes one that ends with the test.
func (s *scenario) network() *netns.Network {
	s.Helper()
	n, err := netns.New()
	s.must(err)
	s.Cleanup(func() { s.must(n.Close()) })
	return n
}

func (s *scenario) node(n *netns.Network) *netns.Node {
	s.Helper()
	node, err := n.Add()
	s.must(err)
	return node
}

func (s *scenario) metric(p *bed.Process, name, labels string) float64 {
	s.Helper()
	v, err := p.Metric(name, labels)
	s.must(err)
	return v
}

func (s *scenario) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}
