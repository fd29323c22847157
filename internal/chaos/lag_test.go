//go:build unix

package chaos

import (
	"errors"
	"testing"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// etcd starts the etcd of the scenario, of one node on loopback if not told otherwise.
func (s *scenario) etcd(o etcdtest.Options) *etcdtest.Cluster {
	s.Helper()
	o.Dir = s.folder("etcd")
	if o.Places == nil {
		o.Places = make([]etcdtest.Place, 1)
	}
	c, err := etcdtest.StartAt(s.ctx, o)
	s.must(err)
	s.Cleanup(c.Kill)
	s.truth.begin(0, 0)
	s.truth.watch(c.Endpoints())
	return c
}

// TestLaggingReplica has a server whose connection to etcd is stalled, so that it lags
// behind the other, and takes that other one away: the relay is told BEHIND instead of
// being taken back, and goes on from what it has, until there is a server again that knows
// as much.
func TestLaggingReplica(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	etcd := s.etcd(etcdtest.Options{})
	leading := s.server("--etcd-endpoints", etcd.Endpoints()[0])
	store := s.proxy(etcd.Endpoints()[0])
	lagging := s.server("--etcd-endpoints", store.Addr())
	r := s.relay(leading.GRPC, lagging.GRPC)
	s.load()
	s.mustServe(s.relays, func() {
		store.Set(proxy.Direction{Stall: true}, proxy.Direction{Stall: true})
		s.mustWrite("while one server lags", s.writers[0], s.writers[1])
		leading.Kill()
		bed.Eventually(s, "the lagging server says that it is behind", func() error {
			if s.metric(lagging.Process, "tidegate_hub_goodbyes_total", "BEHIND") == 0 {
				return errors.New("it has not")
			}
			return nil
		})
		leading.Start()
		s.mustWrite("by the one that is back", s.writers[0], s.writers[1])
		s.mustBeFresh(r)
		store.Heal()
	})
	s.mustWrite("by both", s.writers...)
	s.converge()
}
