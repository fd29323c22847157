//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestStalledReaders has followers that do not read beside a relay that does, and large
// changes: the relay is served as before, the server's memory stays in bounds, and those
// that do not read are cut loose.
func TestStalledReaders(t *testing.T) {
	t.Parallel()
	const stalled = 12
	s := newScenario(t)
	srv := s.single()
	s.relay(srv.GRPC)
	s.load()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	for i := range stalled {
		p := s.proxy(srv.GRPC)
		f, err := bed.Follow(ctx, p.Addr(), bed.Hello(fmt.Sprintf("stalled-%d", i), nil))
		s.must(err)
		_, err = f.Update()
		s.must(err)
		p.SetDown(proxy.Direction{Stall: true})
	}
	// Of the whole memory etcd's files are a part, which are mapped.
	heap := func() int64 { return int64(s.metric(srv.Process, "go_memstats_heap_inuse_bytes", "")) >> 20 }
	before := heap()
	stop := s.bulk(srv, 100*time.Millisecond)
	s.mustServe(s.relays, func() {
		bed.Eventually(s, "those that do not read are cut loose", func() error {
			if n := s.metric(srv.Process, "tidegate_hub_followers", ""); n > float64(len(s.relays)) {
				return fmt.Errorf("%v followers are there", n)
			}
			return nil
		})
	})
	stop()
	s.mustBeFresh(s.relays...)
	after := heap()
	t.Logf("the server's heap: %d MiB before, %d MiB after", before, after)
	// The history is bounded by 16 MiB, which large changes fill, and garbage by as much.
	if after > before+64 {
		t.Errorf("the server's heap grew by %d MiB", after-before)
	}
	s.converge()
}

// TestThrottled has a relay whose upstream link is slower than what is written: it skips
// states and ends where all others do.
func TestThrottled(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.options.AgeSlack = bed.Patience // a slow link is a queue
	srv := s.single()
	slow, healthy := s.relay(srv.GRPC), s.relay(srv.GRPC)
	s.load()
	slow.set(proxy.Direction{}, proxy.Direction{Rate: 100 << 10})
	stop := s.bulk(srv, 100*time.Millisecond)
	s.mustServe(s.relays, func() {
		bed.Eventually(s, "much more was written than the link takes", func() error {
			if n := slow.links[0].Stats().DownBytes; n < 500<<10 {
				return fmt.Errorf("%d bytes have passed", n)
			}
			return nil
		})
	})
	stop()
	s.mustBeFresh(healthy)
	slow.heal()
	bed.Eventually(s, "the slow one is there, too", func() error {
		if n := slow.links[0].Stats().DownBytes; n > 64<<20 {
			return errors.New("it was sent everything that it had missed")
		}
		_, err := bed.State(s.ctx, slow.GRPC)
		return err
	})
	s.converge()
}
