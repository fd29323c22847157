//go:build unix

package chaos

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/internal/chaos/proxy"
)

// client connects to etcd itself.
func (s *scenario) client(etcd *etcdtest.Cluster) *clientv3.Client {
	s.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: etcd.Endpoints(), Logger: zap.NewNop()})
	s.must(err)
	s.Cleanup(func() { c.Close() })
	return c
}

// compact makes etcd forget all but its newest revision, once it is recorded.
func (s *scenario) compact(ctx context.Context, c *clientv3.Client) error {
	now, err := c.Get(ctx, "/", clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	if err := s.truth.recorded(ctx, now.Header.Revision); err != nil {
		return err
	}
	if _, err = c.Compact(ctx, now.Header.Revision); errors.Is(err, rpctypes.ErrCompacted) {
		return nil
	}
	return err
}

// TestCompaction compacts etcd while a server's watch is held up, while a server loads,
// and while a relay is away: no delete is lost, and no relay is sent everything.
func TestCompaction(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	etcd := s.etcd(etcdtest.Options{})
	client := s.client(etcd)
	ahead := s.server("--etcd-endpoints", etcd.Endpoints()[0])
	store := s.proxy(etcd.Endpoints()[0])
	held := s.server("--etcd-endpoints", store.Addr())
	first, second := s.relay(ahead.GRPC), s.relay(held.GRPC)
	s.load()
	s.mustWrite("at first", s.writers...)
	fulls := func() (n float64) {
		for _, r := range []*relay{first, second} {
			n += s.metric(r.Process, "tidegate_follower_updates_total", `mode="full"`)
		}
		return n
	}
	before := fulls()
	s.mustServe(s.relays, func() {
		t.Log("while a watch is held up")
		store.Set(proxy.Direction{Stall: true}, proxy.Direction{Stall: true})
		for range 4 { // deletes, too
			s.mustWrite("while a watch is held up", s.writers[0], s.writers[1])
		}
		s.must(s.compact(s.ctx, client))
		store.Reset()
		store.Heal()
		s.mustWrite("after the compaction", s.writers...)
		s.mustBeFresh(second)

		t.Log("while a relay is away")
		first.links[0].Refuse(true)
		first.links[0].Reset()
		for range 4 {
			s.mustWrite("while a relay is away", s.writers...)
		}
		s.must(s.compact(s.ctx, client))
		first.heal()
		s.mustBeFresh(first)
		if after := fulls(); after != before {
			t.Errorf("everything was sent %v times", after-before)
		}

		t.Log("while a server loads")
		ctx, cancel := context.WithCancel(s.ctx)
		var compacting sync.WaitGroup
		compacting.Go(func() {
			for ctx.Err() == nil {
				if err := s.compact(ctx, client); err != nil && ctx.Err() == nil {
					t.Errorf("compact: %v", err)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
		held.Kill()
		held.Start()
		s.mustWrite("after a start under compactions", s.writers...)
		cancel()
		compacting.Wait()
	})
	s.converge()
}
