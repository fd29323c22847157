package follower_test

import (
	"slices"
	"testing"
	"time"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/follower"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// TestPath: the path is the upstream's and one, as the upstream says at first and then
// with its heartbeats; of one that does not say, the hops are known.
func TestPath(t *testing.T) {
	h, n := newHistory(t, epoch), newNetwork()
	move := make(chan []string)
	l := &liar{scripts: []func(*stage) error{
		func(s *stage) error {
			s.send(&syncv1.Welcome{InstanceId: "up", Hops: 2})
			s.send(updatesOf(h.one.Full())[0])
			<-move
			return nil
		},
		func(s *stage) error {
			s.send(&syncv1.Welcome{InstanceId: "up", Hops: 7, Path: []string{"server", "up"}})
			for path := range move {
				s.send(&syncv1.Heartbeat{Path: path})
			}
			return s.hold()
		},
	}}
	n.serve(t, "up", l)
	f, _ := run(t, n.options(replica.NewSet(replica.Options{}), "relay", "up"))
	path := func(want ...string) {
		t.Helper()
		eventually(t, "the path", func() bool { return slices.Equal(f.State().Path, want) })
		if hops := f.State().Hops(); int(hops) != len(want)-1 {
			t.Errorf("%d hops over %v", hops, want)
		}
	}
	if got := f.State(); got.Hops() == 0 || got.Path[len(got.Path)-1] != "relay" {
		t.Errorf("before there is an upstream: %v", got.Path)
	}
	path("?", "?", "up", "relay")
	move <- nil
	path("server", "up", "relay")
	since := f.State().Since
	move <- []string{"server", "between", "up"}
	path("server", "between", "up", "relay")
	move <- nil // says nothing of it
	move <- []string{"other", "up"}
	path("other", "up", "relay")
	if got := f.State(); !got.Connected || got.Since != since {
		t.Errorf("a path that changes is no other stream: %+v", got)
	}
	close(move)
}

// TestLoops: an upstream that follows this process, or is too far from the store, is
// left, also when that comes about later.
func TestLoops(t *testing.T) {
	h := newHistory(t, epoch)
	far := []string{"server", "a", "b", "c", "bad"}
	for name, script := range map[string]func(*stage) error{
		"in its welcome": func(s *stage) error {
			s.send(&syncv1.Welcome{InstanceId: "bad", Path: []string{"server", "relay", "bad"}})
			return s.hold()
		},
		"far in its welcome": func(s *stage) error { s.send(&syncv1.Welcome{InstanceId: "bad", Path: far}); return s.hold() },
		"in a heartbeat": func(s *stage) error {
			s.send(&syncv1.Welcome{InstanceId: "bad", Path: []string{"server", "bad"}})
			s.send(h.two.Unchanged(h.two.Cursor()))
			s.send(&syncv1.Heartbeat{Path: []string{"server", "relay", "bad"}})
			return s.hold()
		},
		"far in a heartbeat": func(s *stage) error {
			s.send(&syncv1.Welcome{InstanceId: "bad", Path: []string{"server", "bad"}})
			s.send(&syncv1.Heartbeat{Path: far})
			return s.hold()
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork()
			n.serve(t, "bad", &liar{scripts: []func(*stage) error{script}})
			n.serve(t, "good", &liar{scripts: []func(*stage) error{func(s *stage) error {
				s.send(&syncv1.Welcome{InstanceId: "good", Path: []string{"server", "x", "y", "good"}})
				s.send(updatesOf(h.three.Full())[0])
				return s.hold()
			}}})
			set := replica.NewSet(replica.Options{})
			r := set.Add("production")
			r.Restore(h.two, time.Hour)
			f, _ := run(t, n.options(set, "relay", "bad", "good"))
			eventually(t, "the other upstream", has(r, h.three))
			if got := f.State(); got.Upstream != address("good") || got.Hops() != 4 {
				t.Errorf("state %+v", got)
			}
		})
	}
}

// TestSDKBelowTheLastRelay: the limit is for who serves others; SDKs may be one hop farther,
// and no more than that.
func TestSDKBelowTheLastRelay(t *testing.T) {
	h, n := newHistory(t, epoch), newNetwork()
	at := func(path ...string) func(*stage) error {
		return func(s *stage) error {
			s.send(&syncv1.Welcome{InstanceId: path[len(path)-1], Path: path})
			s.send(updatesOf(h.one.Full())[0])
			return s.hold()
		}
	}
	n.serve(t, "last", &liar{scripts: []func(*stage) error{at("server", "a", "b", "c", "last")}})
	n.serve(t, "beyond", &liar{scripts: []func(*stage) error{at("server", "a", "b", "c", "last", "beyond")}})
	set := replica.NewSet(replica.Options{})
	o := n.options(set, "sdk", "beyond", "last")
	o.Kind = syncv1.FollowerKind_FOLLOWER_KIND_SDK
	f, _ := run(t, o)
	eventually(t, "the state", has(set.Replica("production"), h.one))
	if got := f.State(); got.Upstream != address("last") || got.Hops() != 5 {
		t.Errorf("state %+v", got)
	}
}

// TestLoopThatCloses: relays that are each other's second upstream lose the first at the
// same moment, and turn to each other. They find out, keep their state, and go back to
// the server when it is there again; at no moment does what one tells the other come back
// as news: the age of what is confirmed by nobody grows.
func TestLoopThatCloses(t *testing.T) {
	n, up := newNetwork(), newSource(t, "server", 0, "production")
	first := up.publish(t, []snapshot.Item{flagItem(t, "a", "")})
	up.replica.Confirm(0)
	stop := n.serve(t, "server", up.hub)
	ids := []string{"one", "two", "three"}
	relays := make(map[string]*follower.Follower)
	replicas := make(map[string]*replica.Replica)
	for i, id := range ids {
		set := replica.NewSet(replica.Options{})
		o := n.options(set, id, "server", ids[(i+1)%3])
		o.BackoffMax = 50 * time.Millisecond
		f, _ := run(t, o)
		path := func() []string { return f.State().Path }
		n.serve(t, id, hub.New(hub.Options{Replicas: set, InstanceID: id, Heartbeat: 5 * time.Millisecond, Path: path}))
		relays[id], replicas[id] = f, set.Replica("production")
		eventually(t, id+" follows", has(replicas[id], first))
	}
	stop()
	for _, id := range ids {
		eventually(t, id+" finds the loop", func() bool {
			s := relays[id].State()
			if len(s.Path) > 5 || slices.Contains(s.Path[:len(s.Path)-1], id) {
				t.Fatalf("%s has the path %v", id, s.Path)
			}
			return s.Err != nil && !s.Connected
		})
		if !has(replicas[id], first)() {
			t.Errorf("%s has lost its state", id)
		}
	}
	age := replicas["one"].Age()
	eventually(t, "time passes", func() bool { return replicas["one"].Age() > age+100*time.Millisecond })

	n.serve(t, "server", up.hub)
	last := up.publish(t, []snapshot.Item{flagItem(t, "a", "2")})
	for _, id := range ids {
		eventually(t, id+" has the last state", has(replicas[id], last))
	}
}
