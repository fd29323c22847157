package uplink_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/spool"
)

// TestRandomFaults counts at three relays in a chain while connections break, streams are
// refused, acknowledgements get lost or late, and relays are killed and come back with what
// is on their disks, at random. In the end each batch that was durable has been counted, once.
//
//	collector <- top <- middle <- leaf
func TestRandomFaults(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 3))
			n, c := newNetwork(), newCollector()
			c.then = moody(seed)
			stop := n.serve(t, "control", c)
			nodes := []*node{newNode(t, n, "top", "control"), newNode(t, n, "middle", "top"), newNode(t, n, "leaf", "middle")}
			for _, nd := range nodes {
				nd.start()
			}
			for range 400 {
				nd := nodes[random.IntN(len(nodes))]
				switch p := random.IntN(100); {
				case p < 80:
					nd.add(uint64(random.IntN(9)))
				case p < 88:
					n.cut([]string{"control", "top", "middle"}[random.IntN(3)])
				case p < 92:
					nd.kill()
				case p < 94:
					stop()
					stop = n.serve(t, "control", c)
				default:
					time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond) // lets streams get somewhere
				}
			}
			c.mu.Lock()
			c.then = nil
			c.mu.Unlock()
			stop()
			n.serve(t, "control", c)
			for _, nd := range nodes {
				eventually(t, nd.id+" has everything acknowledged", settled(nd.spool))
			}
			counted := c.countedNow()
			for _, nd := range nodes {
				for k, events := range nd.durable {
					if got, ok := counted[k]; !ok || got != events {
						t.Errorf("batch %s of %s: counted %d (%t), want %d", k, nd.id, got, ok, events)
					}
				}
			}
			c.check(t)
		})
	}
}

// moody acknowledges at random, and ends streams.
func moody(seed uint64) func(*collector, telemetryv1.CollectorService_PushServer, *telemetryv1.Sender) error {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 4))
	var held []*telemetryv1.Sender
	return func(_ *collector, stream telemetryv1.CollectorService_PushServer, ack *telemetryv1.Sender) error {
		mu.Lock()
		defer mu.Unlock()
		switch p := random.IntN(100); {
		case p < 30:
			held = append(held, ack)
			return nil
		case p < 31:
			held = nil
			return status.Error(codes.Unavailable, "no leader")
		}
		late := append([]*telemetryv1.Sender{ack}, held...)
		held = nil
		random.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
		for _, a := range late {
			if err := stream.Send(&telemetryv1.PushResponse{Acknowledged: a}); err != nil {
				return err
			}
		}
		return nil
	}
}

// node is a relay that can be killed.
type node struct {
	t            *testing.T
	network      *network
	id, upstream string
	dir          string
	lives        int
	spool        *spool.Spool
	stops        []func()
	durable      map[string]uint64
}

func newNode(t *testing.T, n *network, id, upstream string) *node {
	return &node{t: t, network: n, id: id, upstream: upstream, dir: t.TempDir(), durable: make(map[string]uint64)}
}

func (nd *node) folder() string { return filepath.Join(nd.dir, fmt.Sprint(nd.lives)) }

func (nd *node) start() {
	nd.spool = openSpool(nd.t, nd.id, nd.folder())
	o := nd.network.options(nd.id, nd.upstream, nd.spool)
	o.AckTimeout = 200 * time.Millisecond // an acknowledgement that gets lost is not repeated
	u, stop := run(nd.t, o)
	nd.stops = []func(){nd.network.serve(nd.t, nd.id, u), stop}
}

func (nd *node) add(events uint64) {
	r, err := nd.spool.Append(spool.Entry{Batch: batch(events), Counted: events})
	if err != nil {
		nd.t.Fatal(err)
	}
	if r.Durable {
		nd.durable[key(r.Sender)] = events
	}
}

// kill goes on with what is on the disk now; what the old process still does is lost.
func (nd *node) kill() {
	old := nd.folder()
	nd.lives++
	for err := os.CopyFS(nd.folder(), os.DirFS(old)); err != nil; err = os.CopyFS(nd.folder(), os.DirFS(old)) {
		if !errors.Is(err, fs.ErrNotExist) {
			nd.t.Fatal(err)
		}
		nd.lives++ // a segment went meanwhile
	}
	for _, stop := range nd.stops {
		stop()
	}
	if err := nd.spool.Close(); err != nil {
		nd.t.Fatal(err)
	}
	nd.start()
}
