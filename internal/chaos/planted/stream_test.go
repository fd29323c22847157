//go:build faults && unix

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tidegate/tidegate/clientsdk"
	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/follower"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/streamcheck"
)

// TestBitsOnTheWire flips bits of large flags on their way to a relay.
func TestBitsOnTheWire(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	wire := s.proxy(srv.addr)
	s.relay("relay", anywhere, wire.Addr())
	s.apply(srv, 2, 30<<10)
	wire.SetDown(proxy.Direction{CorruptEvery: 40 << 10})
	bed.EventuallyWithin(s, 2*patience, "bits are flipped", func() error {
		s.apply(srv, 2, 30<<10)
		if n := wire.Stats().Flipped; n < 3 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	wire.Heal()
	s.apply(srv, 2, 100)
	s.check(streamcheck.Reliable)
}

// TestWrittenTogether writes flags together that need several messages.
func TestWrittenTogether(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	first := s.relay("first", anywhere, srv.addr)
	s.relay("second", anywhere, first.addr)
	for range 5 {
		s.apply(srv, 5, 30<<10)
		time.Sleep(time.Duration(s.random.IntN(40)) * time.Millisecond)
	}
	s.apply(srv, 3, 100)
	s.check(streamcheck.Reliable)
}

// TestLastChange writes pairs of changes, the second soon after the first, and then waits.
func TestLastChange(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	r := s.relay("relay", anywhere, srv.addr)
	s.apply(srv, 1, 100)
	s.synced(srv, r)
	for range 8 {
		time.Sleep(time.Duration(30+s.random.IntN(20)) * time.Millisecond)
		s.put("flag-0", s.encoded(s.flag("flag-0", 100)))
		time.Sleep(time.Duration(2+s.random.IntN(6)) * time.Millisecond)
		s.shown(r, s.put("flag-0", s.encoded(s.flag("flag-0", 100))))
	}
	s.check(streamcheck.Reliable)
}

// TestStalledFollower has followers that do not read, and large changes; those who read
// are not to notice.
func TestStalledFollower(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	s.relay("relay", anywhere, srv.addr)
	s.apply(srv, 1, 100)
	for i := range 3 {
		f, err := bed.Follow(t.Context(), srv.addr, bed.Hello(fmt.Sprintf("stalled-%d", i), nil))
		s.must(err)
		_, err = f.Update()
		s.must(err)
	}
	for range 10 {
		s.apply(srv, 4, 100<<10)
		time.Sleep(30 * time.Millisecond)
	}
	s.check(streamcheck.Reliable)
}

// TestHeartbeats writes without pause while many are told where they are.
func TestHeartbeats(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	s.apply(srv, 1, 100)
	for i := range 10 {
		name := fmt.Sprintf("sdk-%d", i)
		c, err := clientsdk.NewInProcess(t.Context(), srv.addr, bed.Environment, clientsdk.WithStreamLog(s.log(name)), clientsdk.WithInstanceID(name))
		s.must(err)
		t.Cleanup(func() { c.Close() })
	}
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
		s.put("flag-0", s.encoded(s.flag("flag-0", 100)))
		time.Sleep(time.Duration(2+s.random.IntN(6)) * time.Millisecond)
	}
	s.check(streamcheck.Age)
}

// TestAgeOverHops stops the server while the store goes on: what relays have of it ages at
// every hop.
func TestAgeOverHops(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	first := s.relay("first", anywhere, srv.addr)
	second := s.relay("second", anywhere, first.addr)
	s.apply(srv, 2, 100)
	s.synced(srv, first, second)
	srv.stop()
	s.put("flag-0", s.encoded(s.flag("flag-0", 100)))
	time.Sleep(7 * time.Second) // two heartbeats from one relay to the other
	s.server("server", srv.addr, s.store)
	s.check(streamcheck.Age)
}

// TestReconnects opens and ends streams.
func TestReconnects(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	s.relay("relay", anywhere, srv.addr)
	s.apply(srv, 2, 100)
	cycle := func() {
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				f, err := bed.Follow(ctx, srv.addr, bed.Hello(fmt.Sprintf("passing-%d", i), nil))
				if err == nil {
					_, err = f.Update()
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	cycle()
	before := settled()
	for range 10 {
		cycle()
	}
	if after := settled(); after > before+20 {
		t.Errorf("Leak: 100 streams have come and gone; there were %d goroutines before, %d are there now", before, after)
	}
	s.check()
}

// TestSilence has an upstream whose answers get lost, and no connection that breaks.
func TestSilence(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	s.apply(srv, 1, 100)
	wire := s.proxy(srv.addr)
	f, err := follower.New(follower.Options{
		Upstreams: []string{wire.Addr()}, Environments: []string{bed.Environment}, InstanceID: "follower",
		Replicas:    replica.NewSet(replica.Options{}),
		DeadAfter:   6 * time.Second, // just more than there is between two heartbeats
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	})
	s.must(err)
	stop := s.startFollower(f)
	defer stop()
	bed.EventuallyWithin(s, patience, "the follower follows", func() error { return connected(f) })
	wire.SetDown(proxy.Direction{Swallow: true})
	bed.EventuallyWithin(s, 2*patience, "Detection: the silent upstream is given up", func() error {
		if connected(f) == nil {
			return errors.New("it is taken for alive")
		}
		return nil
	})
	s.check()
}

func (s *site) startFollower(f *follower.Follower) (stop func()) {
	return s.start(func(ctx context.Context) error {
		if err := f.Run(ctx); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
}

func connected(f *follower.Follower) error {
	if st := f.State(); !st.Connected {
		return fmt.Errorf("not connected: %w", st.Err)
	}
	return nil
}
