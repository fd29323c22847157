//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/streamlog"
)

// scenario is a run of processes that are disturbed: servers, relays with a proxy in front
// of each upstream, writers at the servers and readers at the relays.
type scenario struct {
	*testing.T
	held
	ctx    context.Context
	random *rand.Rand
	seed   uint64
	dir    string

	servers []*bed.Server
	relays  []*relay
	writers []*bed.Writer
	churns  []*churn
	rivals  []*rival
	// tolerate tells errors after which writers try again, too; to be set before load.
	tolerate func(error) bool

	stop          context.CancelFunc // the clients
	clients       sync.WaitGroup
	stopWriting   context.CancelFunc
	writing       sync.WaitGroup
	proxies, made int
	logs          int // processes that write down what they show
	bulks         int // large flags written
}

// relay is a relay, and the proxies through which it follows.
type relay struct {
	*bed.Relay
	links   []*proxy.Proxy
	readers *bed.Readers
	hops    int // from the server, at most
}

func newScenario(t *testing.T) *scenario {
	t.Helper()
	s := &scenario{T: t, dir: t.TempDir()}
	s.random, s.seed = seeded(t)
	s.ctx, s.stop = context.WithTimeout(t.Context(), *duration+5*time.Minute+emission())
	s.stopWriting = func() {}
	t.Cleanup(func() { s.stop(); s.clients.Wait() })
	s.begin(s)
	t.Cleanup(s.keep)
	return s
}

// server starts a control server; args say where its store is.
func (s *scenario) server(args ...string) *bed.Server {
	s.Helper()
	srv := bed.NewServer(s, bin, slices.Concat(args, s.logged("server"))...)
	srv.Start()
	s.servers = append(s.servers, srv)
	return srv
}

// embedded starts a control server that has its store in itself, in a folder.
func (s *scenario) embedded(data string) *bed.Server {
	s.Helper()
	s.truth.begin(0, 0)
	s.truth.data = data
	return s.server("--data-dir", data)
}

// single starts a control server on an etcd of its own, of one node.
func (s *scenario) single() *bed.Server {
	s.Helper()
	return s.server("--etcd-endpoints", s.etcd(etcdtest.Options{}).Endpoints()[0])
}

// folder is a new one.
func (s *scenario) folder(name string) string {
	s.made++
	return filepath.Join(s.dir, fmt.Sprintf("%s-%d", name, s.made))
}

// proxy puts one in front of a target.
func (s *scenario) proxy(target string) *proxy.Proxy {
	s.Helper()
	s.proxies++
	p, err := proxy.New(target, s.seed+uint64(s.proxies))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { p.Close() })
	return p
}

// relay starts a relay that follows the upstreams, each through a proxy.
func (s *scenario) relay(upstreams ...string) *relay {
	s.Helper()
	r := &relay{}
	fronts := r.front(s, upstreams...)
	r.Relay = bed.NewRelay(s, bin, fronts, s.folder("relay"), s.logged("relay")...)
	r.Start()
	s.relays = append(s.relays, r)
	return r
}

// front puts a proxy in front of each upstream of a relay, and returns their addresses.
func (r *relay) front(s *scenario, upstreams ...string) string {
	s.Helper()
	var fronts []string
	r.hops = 1
	for _, u := range upstreams {
		for _, other := range s.relays {
			if other.GRPC == u {
				r.hops = max(r.hops, other.hops+1)
			}
		}
		p := s.proxy(u)
		r.links, fronts = append(r.links, p), append(fronts, p.Addr())
	}
	return strings.Join(fronts, ",")
}

// set disturbs all of a relay's upstreams.
func (r *relay) set(up, down proxy.Direction) {
	for _, l := range r.links {
		l.Set(up, down)
	}
}

func (r *relay) heal() {
	for _, l := range r.links {
		l.Heal()
	}
}

// pause is what every client makes after an answer: many scenarios share the machine, and
// wait more than they compute.
const pause = 70 * time.Millisecond

// load starts writers at the servers, of single flags and of two that are always written
// together, some that write what others write too, and readers at every relay.
func (s *scenario) load() {
	s.Helper()
	for i, srv := range s.servers {
		s.writers = append(s.writers,
			bed.NewWriter(s.ctx, s, srv.GRPC, fmt.Sprintf("%ssingle-%d", bed.Prefix, i)),
			bed.NewWriter(s.ctx, s, srv.GRPC, fmt.Sprintf("%sboth-%d-a", bed.Prefix, i), fmt.Sprintf("%sboth-%d-b", bed.Prefix, i)))
		s.churns = append(s.churns, newChurn(s, srv.GRPC, i))
	}
	for i, w := range s.writers {
		w.Pause, w.Tolerate = pause, s.tolerate
		s.record(w, 1000+i)
	}
	for number := range 3 {
		s.rivals = append(s.rivals, newRival(s, number))
	}
	for _, r := range s.relays {
		s.read(r)
	}
	s.write()
}

// read starts readers at a relay.
func (s *scenario) read(r *relay) {
	s.Helper()
	r.readers = bed.NewReaders(s, r.GRPC, s.writers)
	r.readers.Pause = pause
	r.readers.AwaitAll(s.ctx)
	for _, reader := range r.readers.All() {
		s.clients.Go(func() { reader.Run(s.ctx) })
	}
}

// write starts the writers, for the first time or again.
func (s *scenario) write() {
	ctx, stop := context.WithCancel(s.ctx)
	s.stopWriting = func() { stop(); s.writing.Wait() }
	for _, w := range s.writers {
		s.writing.Go(func() { w.Run(ctx) })
	}
	for _, c := range s.churns {
		s.writing.Go(func() { c.run(ctx) })
	}
	for _, r := range s.rivals {
		s.writing.Go(func() { r.run(ctx) })
	}
}

// mustWrite waits until the writers have had answers from now on.
func (s *scenario) mustWrite(when string, writers ...*bed.Writer) {
	s.Helper()
	for _, w := range writers {
		before := w.Acknowledged()
		bed.Eventually(s, fmt.Sprintf("%s is written %s", w.Keys, when), func() error {
			if n := w.Acknowledged(); n < before+3 {
				return fmt.Errorf("%d acknowledged, %d before", n, before)
			}
			return nil
		})
	}
}

// mustServe demands that the relays answer all calls, whatever happens meanwhile.
func (s *scenario) mustServe(relays []*relay, meanwhile func()) {
	s.Helper()
	if len(relays) == 0 {
		meanwhile()
		return
	}
	relays[0].readers.MustNotFail(func() { s.mustServe(relays[1:], meanwhile) })
}

// converge ends the writing, and demands that in the end all agree: the store, the writers
// and what the relays answer; and that the whole run has kept what is promised. It ends the
// processes.
func (s *scenario) converge() {
	s.Helper()
	s.stopWriting()
	settled := streamlog.Now()
	var addrs []string
	for _, srv := range s.servers {
		addrs = append(addrs, srv.GRPC)
	}
	for _, r := range s.relays {
		addrs = append(addrs, r.GRPC)
	}
	bed.Eventually(s, "all agree", func() error { _, err := bed.SameState(s.ctx, addrs...); return err })
	for _, w := range s.writers {
		w.Verify(s.ctx)
		for _, r := range s.relays {
			bed.Eventually(s, fmt.Sprintf("the last write of %s is served", w.Keys), func() error {
				return w.Served(s.ctx, r.readers.Evaluation)
			})
		}
	}
	for _, r := range s.relays {
		r.readers.MustGoOn("in the end", r.readers.Calls, r.readers.Stream) // nothing changes: Watch is silent
	}
	s.stop()
	s.clients.Wait()
	s.check(settled)
}
