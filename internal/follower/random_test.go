package follower_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// TestRandomFaults writes at random while connections break, hubs are replaced and
// relays restart from what they had. The source's history is too short for some of it.
// At every moment each relay shows a published state, at a revision that never goes
// back, also over restarts; and in the end all show the last one.
//
//	source <- hub a, hub b <- relay <- leaf
func TestRandomFaults(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			n := newNetwork()
			up := newSource(t, "source", 20_000, "production")
			up.publish(t, []snapshot.Item{flagItem(t, "flag-0", "")})
			n.serve(t, "a", up.hub)
			n.serve(t, "b", up.hub)
			relay, leaf := newNode(t, n, "relay", "a", "b"), newNode(t, n, "leaf", "relay")
			relay.start()
			leaf.start()

			for range 300 {
				switch p := random.IntN(100); {
				case p < 80:
					var puts []snapshot.Item
					var gone []snapshot.ID
					for _, k := range random.Perm(30)[:1+random.IntN(3)] {
						item := flagItem(t, fmt.Sprintf("flag-%d", k), string(make([]byte, random.IntN(2000))))
						if _, there := up.replica.Snapshot().Item(item.Kind, item.Key); there && random.IntN(3) == 0 {
							gone = append(gone, item.ID())
						} else {
							puts = append(puts, item)
						}
					}
					up.publish(t, puts, gone...)
				case p < 88:
					n.cut([]string{"a", "b", "relay"}[random.IntN(3)])
				case p < 92:
					relay.restart()
				case p < 96:
					leaf.restart()
				default:
					time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond) // lets streams get somewhere
				}
			}
			last := up.publish(t, []snapshot.Item{flagItem(t, "last", "")})
			eventually(t, "the relay's last state", func() bool { return has(relay.replica(), last)() })
			eventually(t, "the leaf's last state", func() bool { return has(leaf.replica(), last)() })
			for _, nd := range []*node{relay, leaf} {
				for _, c := range nd.seen() {
					if !up.wasPublished(c) {
						t.Errorf("%s showed %v, which was never published", nd.id, c)
					}
				}
			}
			if hops := leaf.hops(); hops != 2 {
				t.Errorf("the leaf is %d hops away", hops)
			}
		})
	}
}

// node is a relay that can be restarted from what it had: it has a disk.
type node struct {
	t         *testing.T
	network   *network
	id        string
	upstreams []string
	disk      *disk

	mu    sync.Mutex
	set   *replica.Set
	hop   func() uint32
	stops []func()
	shown []func() []snapshot.Cursor
}

func newNode(t *testing.T, n *network, id string, upstreams ...string) *node {
	return &node{t: t, network: n, id: id, upstreams: upstreams, disk: newDisk()}
}

func (nd *node) start() {
	set := replica.NewSet(replica.Options{HistoryBytes: 10_000})
	r := set.Add("production")
	if s := nd.disk.load("production"); s != nil {
		r.Restore(s, time.Minute)
	}
	o := nd.network.options(set, nd.id, nd.upstreams...)
	o.Journal = nd.disk
	shown := watch(nd.t, r)
	f, stop := run(nd.t, o)
	h := hub.New(hub.Options{
		Replicas: set, InstanceID: nd.id, Heartbeat: 10 * time.Millisecond, BehindWait: 10 * time.Millisecond,
		Path: func() []string { return f.State().Path },
	})
	unserve := nd.network.serve(nd.t, nd.id, h)
	nd.mu.Lock()
	defer nd.mu.Unlock()
	nd.set, nd.hop = set, func() uint32 { return f.State().Hops() }
	nd.stops = []func(){unserve, stop}
	nd.shown = append(nd.shown, shown)
}

// restart is sudden: nothing is told to anyone.
func (nd *node) restart() {
	for _, stop := range nd.stops {
		stop()
	}
	nd.start()
}

func (nd *node) replica() *replica.Replica {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	return nd.set.Replica("production")
}

func (nd *node) hops() uint32 { return nd.hop() }

// seen is everything that was shown, in order, over all restarts.
func (nd *node) seen() []snapshot.Cursor {
	var all []snapshot.Cursor
	for _, shown := range nd.shown {
		for _, c := range shown() {
			if n := len(all); n > 0 && c.Revision < all[n-1].Revision {
				nd.t.Errorf("%s went back from %v to %v", nd.id, all[n-1], c)
			}
			all = append(all, c)
		}
	}
	return all
}
