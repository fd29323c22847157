package follower_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tree"
)

// hop is a relay: it follows, and is followed.
type hop struct {
	set          *replica.Set
	stop, vanish func() // in an orderly way; or without a word
}

// relay starts a relay that serves under its id.
func (n *network) relay(t *testing.T, id, upstream string) *hop {
	t.Helper()
	set := replica.NewSet(replica.Options{})
	set.Add("production")
	below := tree.New(id)
	h := hub.New(hub.Options{Replicas: set, InstanceID: id, Tree: below, Heartbeat: 20 * time.Millisecond})
	unserve := n.serve(t, id, h)
	o := n.options(set, id, upstream)
	o.Kind, o.Below, o.Region = syncv1.FollowerKind_FOLLOWER_KIND_RELAY, below, "region-of-"+id
	_, stop := run(t, o)
	return &hop{
		set:  set,
		stop: func() { stop(); unserve() },
		// The connections break first, and it does not get another one.
		vanish: sync.OnceFunc(func() {
			n.mu.Lock()
			up := n.listeners[upstream]
			n.listeners[upstream] = nil
			n.mu.Unlock()
			n.cut(upstream)
			stop()
			unserve()
			n.mu.Lock()
			n.listeners[upstream] = up
			n.mu.Unlock()
		}),
	}
}

// fleetView is what a server's tree shows, by relay; those that left are "left", those that may
// still serve "lost".
type fleetView struct {
	watch *tree.Subscription
	shown map[string]string
}

func (v *fleetView) is(want ...string) func() bool {
	return func() bool {
		for r := v.watch.Take(); r != nil; r = v.watch.Take() {
			for _, s := range r.GetRelays() {
				v.shown[s.GetInstanceId()] = fmt.Sprintf("%s below %s at %d, %d streams",
					s.GetInstanceId(), s.GetUpstream(), s.GetEnvironments()[0].GetCursor().GetRevision(), s.GetStreams())
			}
			for _, d := range r.GetDepartures() {
				v.shown[d.GetInstanceId()] = d.GetInstanceId() + map[bool]string{true: " left", false: " lost"}[d.GetLeft()]
			}
		}
		for _, w := range want {
			if v.shown[strings.Fields(w)[0]] != w {
				return false
			}
		}
		return len(v.shown) == len(want)
	}
}

func TestReceiptsClimbTheTree(t *testing.T) {
	n, up := newNetwork(), newSource(t, "server", 0, "production")
	below := tree.New("server")
	up.hub = hub.New(hub.Options{Replicas: up.set, InstanceID: "server", Tree: below, Heartbeat: 20 * time.Millisecond})
	n.serve(t, "server", up.hub)
	up.publish(t, []snapshot.Item{flagItem(t, "a", "")})
	n.relay(t, "one", "server")
	n.relay(t, "two", "one")
	three := n.relay(t, "three", "two")
	sdk := n.options(replica.NewSet(replica.Options{}), "sdk", "three")
	sdk.Kind = syncv1.FollowerKind_FOLLOWER_KIND_SDK
	run(t, sdk)
	v := &fleetView{below.Subscribe(), make(map[string]string)}
	defer v.watch.Close()
	see := func(want ...string) {
		t.Helper()
		eventually(t, strings.Join(want, "; "), v.is(want...))
	}
	see("one below server at 1, 1 streams", "two below one at 1, 1 streams", "three below two at 1, 1 streams")
	for i := range 5 {
		up.publish(t, []snapshot.Item{flagItem(t, "a", fmt.Sprint(i))})
	}
	see("one below server at 6, 1 streams", "two below one at 6, 1 streams", "three below two at 6, 1 streams")
	if p := strings.Join(below.Path(), " "); p != "three two one" {
		t.Errorf("path %s", p)
	}

	three.stop()
	see("one below server at 6, 1 streams", "two below one at 6, 0 streams", "three left")
	four := n.relay(t, "four", "one")
	see("one below server at 6, 2 streams", "two below one at 6, 0 streams", "three left", "four below one at 6, 0 streams")
	four.vanish()
	see("one below server at 6, 1 streams", "two below one at 6, 0 streams", "three left", "four lost")
}

// Ages are told every now and then, whatever else happens.
func TestAgesClimbTheTree(t *testing.T) {
	n, up := newNetwork(), newSource(t, "server", 0, "production")
	below := tree.New("server")
	up.hub = hub.New(hub.Options{Replicas: up.set, InstanceID: "server", Tree: below, Heartbeat: 20 * time.Millisecond})
	n.serve(t, "server", up.hub)
	up.publish(t, []snapshot.Item{flagItem(t, "a", "")})
	up.replica.Confirm(time.Hour)
	n.relay(t, "one", "server")
	n.relay(t, "two", "one")
	watch := below.Subscribe()
	defer watch.Close()
	told := make(map[string]bool)
	eventually(t, "the age of both", func() bool {
		for r := watch.Take(); r != nil; r = watch.Take() {
			for _, s := range r.GetRelays() {
				told[s.GetInstanceId()] = s.GetEnvironments()[0].GetAge().AsDuration() >= time.Hour
			}
		}
		return told["one"] && told["two"]
	})
}

// What cannot be a report ends the stream, and says why.
func TestHostileReport(t *testing.T) {
	n, up := newNetwork(), newSource(t, "server", 0, "production")
	up.publish(t, []snapshot.Item{flagItem(t, "a", "")})
	n.serve(t, "server", up.hub)
	o := n.options(replica.NewSet(replica.Options{}), "relay", "server")
	o.Kind, o.Below = syncv1.FollowerKind_FOLLOWER_KIND_RELAY, tree.New("relay")
	o.Below.Join(tree.Follower{Relay: true, InstanceID: "below", BootID: "boot", Region: strings.Repeat("x", 300)})
	f, _ := run(t, o)
	eventually(t, "the error", func() bool {
		err := f.State().Err
		return err != nil && strings.Contains(err.Error(), "report: relays[0]: region is 300 bytes long")
	})
}
