package hub_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/peer"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func liveHeap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// arrives expects an update to the state without applying it.
func (c *client) arrives(s *snapshot.Snapshot) {
	c.t.Helper()
	if u := c.recv().GetUpdate(); u.GetCommit().GetCursor().GetRevision() != s.Cursor().Revision {
		c.t.Fatalf("%v, want revision %d", u.GetBegin(), s.Cursor().Revision)
	}
}

// TestStalledReaders: a twentieth of the followers reads nothing, each stalled at another
// state, while 6 MB of changes go by. The others get each of them when it comes, and
// what is kept alive is the history, and a frame for each that is stalled.
func TestStalledReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const followers, stalled, size, changes = 100, 5, 20_000, 300
		const history = 10 * size
		b := newPipeBed(t, hub.Options{SendTimeout: time.Hour, Coalesce: 20 * time.Millisecond}, history, "production")
		state := b.publish("production", size, "a")
		var readers []*client
		var stuck []*client
		for range followers {
			c := b.follow(nil, "production")
			c.expect(full, state)
			if len(stuck) < stalled {
				stuck = append(stuck, c)
				time.Sleep(25 * time.Millisecond)
				state = b.publish("production", size, "a") // which it does not read
				synctest.Wait()
				for _, r := range readers {
					r.arrives(state)
				}
				continue
			}
			readers = append(readers, c)
		}
		before := liveHeap()
		for range changes {
			time.Sleep(25 * time.Millisecond)
			began := time.Now()
			state = b.publish("production", size, "a")
			var all sync.WaitGroup
			for _, r := range readers {
				all.Go(func() { r.arrives(state) })
			}
			all.Wait()
			if d := time.Since(began); d > 0 {
				t.Fatalf("a change took %s", d)
			}
		}
		if grown := liveHeap() - before; grown > history+stalled*size {
			t.Errorf("%d bytes more are alive", grown)
		}
		for _, c := range stuck { // they read again
			_, s := c.update()
			for s.Cursor() != state.Cursor() {
				_, s = c.update()
			}
			c.cancel()
		}
		for _, r := range readers {
			r.cancel()
		}
	})
}

// TestHerd: all followers come back at once. Who is current is told so, and who has a state
// of the history gets the difference, both without waiting; who has nothing waits its turn.
func TestHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		b := newPipeBed(t, hub.Options{FullBytes: 1 << 20, FullWait: time.Minute, Registerer: registry}, 0, "production")
		old := b.publish("production", 1000, keys(300)...) // 2 MB with chunks to spare: one at a time
		state := b.publish("production", 1000, "key-00001")
		first := b.follow(nil, "production") // does not read: it holds its place
		const herd = 300
		var waiting []*client
		for range herd {
			waiting = append(waiting, b.follow(nil, "production"))
		}
		synctest.Wait()
		// Of 350 kB each, two are admitted.
		if n, w := metric(t, registry, "tidegate_hub_fulls_underway"), metric(t, registry, "tidegate_hub_fulls_waiting"); n < 1 || n > 3 || n+w != herd+1 {
			t.Errorf("%v are under way, %v wait", n, w)
		}
		for range herd {
			c := b.follow(map[string]*snapshot.Snapshot{"production": state}, "production")
			c.expect(none, state)
			c.cancel()
			c = b.follow(map[string]*snapshot.Snapshot{"production": old}, "production")
			c.expect(delta, state)
			c.cancel()
		}
		var all sync.WaitGroup
		for _, c := range append(waiting, first) {
			all.Go(func() {
				c.expect(full, state)
				c.cancel()
			})
		}
		all.Wait()
		synctest.Wait()
		if n := metric(t, registry, "tidegate_hub_fulls_underway"); n != 0 {
			t.Errorf("%v places were not given back", n)
		}
	})
}

// TestHerdOnOneConnection: of those that share a connection, a few are sent everything at a
// time, so that none of them looks as if it did not read; others do not wait for them.
func TestHerdOnOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		b := newPipeBed(t, hub.Options{FullWait: time.Hour, SendTimeout: time.Hour, Registerer: registry}, 0, "production")
		state := b.publish("production", 1000, keys(300)...)
		dial := b.dial
		from := func(port int) {
			b.dial = func(ctx context.Context) (clientStream, error) {
				return dial(peer.NewContext(ctx, &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}}))
			}
		}
		from(1)
		var herd []*client
		for range 20 {
			herd = append(herd, b.follow(nil, "production"))
		}
		synctest.Wait()
		if n := metric(t, registry, "tidegate_hub_fulls_underway"); n < 1 || n > 3 {
			t.Errorf("%v are under way, of 350 kB each", n)
		}
		from(2)
		other := b.follow(nil, "production")
		other.expect(full, state)
		other.cancel()
		var all sync.WaitGroup
		for _, c := range herd {
			all.Go(func() {
				c.expect(full, state)
				c.cancel()
			})
		}
		all.Wait()
	})
}

// TestOverloaded: who has waited for long enough is sent away, for a while.
func TestOverloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPipeBed(t, hub.Options{FullBytes: 1, FullWait: 3 * time.Second, SendTimeout: time.Hour}, 0, "production")
		b.publish("production", 1, "a")
		first := b.follow(nil, "production")
		synctest.Wait()
		second := b.follow(nil, "production")
		began := time.Now()
		g := second.goodbye()
		if g.GetCode() != syncv1.Goodbye_CODE_OVERLOADED || g.GetBackoff().AsDuration() < time.Second || time.Since(began) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(began), g)
		}
		first.cancel()
		synctest.Wait()
		b.follow(nil, "production").cancel()
	})
}

// TestFullIsSpliced: while things change, everything is encoded seldom; who is sent an
// older everything gets what came since.
func TestFullIsSpliced(t *testing.T) {
	b := newBed(t, hub.Options{}, 0, "production")
	first := b.publish("production", 1000, keys(100)...)
	b.follow(nil, "production").expect(full, first)
	second := b.publish("production", 1000, "key-00001")
	c := b.follow(nil, "production")
	c.expect(full, first)
	c.expect(delta, second)
	last := b.publish("production", 1000, keys(100)...)
	c.update()
	b.follow(nil, "production").expect(full, last)
}

// TestRevoked: who follows what is taken away is told which it is.
func TestRevoked(t *testing.T) {
	b := newBed(t, hub.Options{}, 0, "production", "staging")
	state := b.publish("staging", 1, "a")
	b.publish("production", 1, "a")
	other, both := b.follow(nil, "staging"), b.follow(nil, "production", "staging")
	other.expect(full, state)
	both.update()
	both.update()
	b.hub.Purge("production")
	if g := both.goodbye(); g.GetCode() != syncv1.Goodbye_CODE_REVOKED || fmt.Sprint(g.GetEnvironments()) != "[production]" {
		t.Errorf("goodbye %v", g)
	}
	other.expect(delta, b.publish("staging", 1, "b"))
}

// paths is a path that changes.
type paths struct{ atomic.Pointer[[]string] }

func newPaths(path ...string) *paths {
	p := &paths{}
	p.set(path...)
	return p
}

func (p *paths) set(path ...string) { p.Store(&path) }

func (p *paths) get() []string { return *p.Load() }

// TestPath: loops are found from both sides, and nobody is too far down.
func TestPath(t *testing.T) {
	path := newPaths("root", "hub")
	b := newPipeBed(t, hub.Options{Path: path.get}, 0, "production")
	b.publish("production", 1, "a")
	refused := func(id string) *syncv1.Goodbye {
		c := b.open()
		c.hello(hello(id, "production"))
		return c.goodbye()
	}
	if g := refused("root"); g.GetCode() != syncv1.Goodbye_CODE_LOOP {
		t.Errorf("goodbye %v", g)
	}
	path.set("root", "a", "b", "hub")
	b.follow(nil, "production").cancel()
	path.set("root", "a", "b", "c", "hub")
	if g := refused("f"); g.GetCode() != syncv1.Goodbye_CODE_LOOP {
		t.Errorf("goodbye %v", g)
	}
	// An SDK serves nobody: it may be below the last relay.
	c, h := b.open(), hello("sdk", "production")
	h.FollowerKind = syncv1.FollowerKind_FOLLOWER_KIND_SDK
	c.hello(h)
	if w := c.recv().GetWelcome(); w.GetHops() != 4 {
		t.Errorf("an SDK's welcome is %v", w)
	}
	c.cancel()
}

// TestPathChanges: a follower learns of a new way down with the next heartbeat, once.
func TestPathChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := newPaths("root", "hub")
		b := newPipeBed(t, hub.Options{Heartbeat: time.Second, Path: path.get}, 0, "production")
		c := b.follow(nil, "production")
		for i, want := range []string{"[]", "[root between hub]", "[]"} {
			if i == 1 {
				path.set("root", "between", "hub")
			}
			if h := c.recv().GetHeartbeat(); h == nil || fmt.Sprint(h.GetPath()) != want {
				t.Errorf("heartbeat %d: %v", i, h)
			}
		}
		c.cancel()
	})
}
