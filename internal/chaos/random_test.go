//go:build unix

package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestRandom draws faults from a seed for as long as -duration says: of two servers on an
// etcd of one or three nodes, and of four relays, two of them behind another. All that the
// other tests promise holds: what lives answers, nothing goes back, what is written
// together is seen together, no acknowledged write is lost; and when nothing is disturbed
// any more all agree, and no process has grown.
func TestRandom(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.options.AgeSlack = longest + heartbeat // a message is under way for as long as a link is disturbed
	etcd := s.etcd(etcdtest.Options{Places: make([]etcdtest.Place, 1+2*s.random.IntN(2))})
	var stores []*proxy.Proxy
	for range 2 {
		var fronts []string
		for _, endpoint := range etcd.Endpoints() {
			p := s.proxy(endpoint)
			stores, fronts = append(stores, p), append(fronts, p.Addr())
		}
		s.server("--etcd-endpoints", strings.Join(fronts, ","))
	}
	a, b := s.servers[0], s.servers[1]
	one, two := s.relay(a.GRPC, b.GRPC), s.relay(b.GRPC, a.GRPC)
	three := s.relay(one.GRPC, two.GRPC)
	s.relay(three.GRPC)
	s.load()
	s.mustWrite("at first", s.writers...)
	d := &disturbance{scenario: s, etcd: etcd, stores: stores, injected: map[string]int{}}

	start := time.Now()
	var before []bed.Usage
	// A process has what it needs after some of everything, and grows no more.
	measure := *duration / 4
	for round := 0; time.Since(start) < *duration; round++ {
		if at := time.Since(start); at > measure {
			now := s.usage()
			d.tell(at, now)
			if before == nil {
				before = now
			}
			measure = at + *duration/8
		}
		f := d.draw()
		d.injected[f.kind]++
		t.Logf("%v: %s %s", time.Since(start).Round(time.Millisecond), f.kind, f.what)
		s.mustServe(f.living, func() {
			f.begin()
			time.Sleep(s.hold())
			f.end()
		})
		// Sometimes the next one comes while the last is not over yet.
		if s.random.IntN(3) > 0 {
			s.mustWrite("after "+f.kind, s.writers[s.random.IntN(len(s.writers))])
		}
	}
	s.mustBeFresh(s.relays...)
	s.mustWrite("in the end", s.writers...)
	s.mustNotGrow(before)
	d.tell(time.Since(start), s.usage())
	s.converge()
	d.figures(time.Since(start))
}

// longest is how long a fault may stay.
const longest = 25 * time.Second

// hold is how long a fault stays: mostly short, now and then longer than anything waits.
func (s *scenario) hold() time.Duration {
	if *duration > time.Minute && s.random.IntN(10) == 0 {
		return time.Duration(s.random.Int64N(int64(longest)))
	}
	return time.Duration(s.random.Int64N(int64(1500 * time.Millisecond)))
}

// faultRun is a fault that can be begun and ended; living are the relays that answer meanwhile.
type faultRun struct {
	kind, what string
	begin, end func()
	living     []*relay
}

// disturbance draws faults.
type disturbance struct {
	*scenario
	etcd   *etcdtest.Cluster
	stores []*proxy.Proxy
	// injected counts the faults by kind.
	injected map[string]int
}

// spared are the server and the relay that are never killed nor restarted, by their
// numbers, so that they show what grows.
const sparedServer, sparedRelay = 1, 2

// tell prints what the spared processes use.
func (d *disturbance) tell(at time.Duration, all []bed.Usage) {
	d.Logf("figures: after %v the server uses %v, the relay %v", at.Round(time.Second), all[sparedServer], all[len(d.servers)+sparedRelay])
}

// figures prints what a long run is told by.
func (d *disturbance) figures(took time.Duration) {
	writes, evaluations := 0, int64(0)
	for _, t := range d.trails {
		writes += len(t.entries)
	}
	for _, r := range d.relays {
		for _, reader := range r.readers.All() {
			evaluations += reader.Answers.Load()
		}
	}
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(d.injected)) {
		d.Logf("figures: %4d × %s", d.injected[kind], kind)
		total += d.injected[kind]
	}
	d.Logf("figures: seed %d, %v, etcd of %d: %d faults, %d writes, %d evaluations, %d calls in one order",
		d.seed, took.Round(time.Second), len(d.etcd.Nodes), total, writes, evaluations, d.history.Len())
	d.Logf("figures: violated/held to: %s", d.report)
}

func (d *disturbance) draw() faultRun {
	server := d.servers[d.random.IntN(len(d.servers))]
	at := d.random.IntN(len(d.relays))
	r := d.relays[at]
	others := slices.Concat(d.relays[:at], d.relays[at+1:])
	node := d.etcd.Nodes[d.random.IntN(len(d.etcd.Nodes))]
	link := r.links[d.random.IntN(len(r.links))]
	store := d.stores[d.random.IntN(len(d.stores))]
	flips := d.direction()
	mortal, killed := d.servers[(sparedServer+1)%len(d.servers)], at
	if killed == sparedRelay {
		killed = (at + 1) % len(d.relays)
	}
	gone, survivors := d.relays[killed], slices.Concat(d.relays[:killed], d.relays[killed+1:])
	// Nothing of ours is between etcd and its clients: that bits arrive as they were sent
	// is for TLS to see to. All else may happen there.
	stored := flips
	if stored.CorruptEvery > 0 {
		stored = proxy.Direction{Stall: true}
	}
	how := kindOf(flips)
	detail := func(whom string) string { return fmt.Sprintf("%s: %+v", whom, flips) }
	faults := []faultRun{
		{"kill a server", mortal.GRPC, mortal.Kill, mortal.Start, d.relays},
		{"restart a server", mortal.GRPC, func() { _ = mortal.Terminate() }, mortal.Start, d.relays},
		{"freeze a server", server.GRPC, server.Freeze, server.Thaw, d.relays},
		{"kill a relay", gone.GRPC, gone.Kill, gone.Start, survivors},
		{"restart a relay", gone.GRPC, func() { d.must(gone.Terminate()) }, gone.Start, survivors},
		{"freeze a relay", r.GRPC, r.Freeze, r.Thaw, others},
		{"kill an etcd", node.Endpoint, node.Kill, func() { d.must(node.Start()) }, d.relays},
		{"reset a relay's link", r.GRPC, link.Reset, func() {}, d.relays},
		{"refuse a relay", r.GRPC, func() { link.Refuse(true); link.Reset() }, link.Heal, d.relays},
		{how + " what comes to a relay", detail(r.GRPC), func() { link.SetDown(flips) }, link.Heal, d.relays},
		{how + " what a relay sends", detail(r.GRPC), func() { link.SetUp(flips) }, link.Heal, d.relays},
		{kindOf(stored) + " what etcd sends", fmt.Sprintf("%s: %+v", store.Addr(), stored), func() { store.SetDown(stored) }, func() { store.Heal(); store.Reset() }, d.relays},
	}
	return faults[d.random.IntN(len(faults))]
}

// direction draws what happens one way.
func (d *disturbance) direction() proxy.Direction {
	n := 1 + d.random.IntN(1000)
	switch d.random.IntN(6) {
	case 0:
		return proxy.Direction{Delay: time.Duration(n) * time.Millisecond / 4, Jitter: 50 * time.Millisecond}
	case 1:
		return proxy.Direction{Rate: 100 * n}
	case 2:
		return proxy.Direction{Stall: true}
	case 3:
		return proxy.Direction{Swallow: true}
	case 4:
		return proxy.Direction{CutAfter: int64(10 * n)}
	default:
		return proxy.Direction{CorruptEvery: 10_000 + 10*n}
	}
}

// kindOf names what a direction does.
func kindOf(d proxy.Direction) string {
	switch {
	case d.Delay > 0:
		return "delay"
	case d.Rate > 0:
		return "throttle"
	case d.Stall:
		return "stall"
	case d.Swallow:
		return "swallow"
	case d.CutAfter > 0:
		return "cut"
	default:
		return "corrupt"
	}
}

// usage is what every process uses, once nothing is disturbed.
func (s *scenario) usage() []bed.Usage {
	s.Helper()
	s.mustBeFresh(s.relays...)
	var all []bed.Usage
	for _, p := range s.processes() {
		u, err := p.Usage()
		s.must(err)
		all = append(all, u)
	}
	return all
}

func (s *scenario) processes() (all []*bed.Process) {
	for _, srv := range s.servers {
		all = append(all, srv.Process)
	}
	for _, r := range s.relays {
		all = append(all, r.Process)
	}
	return all
}

// mustNotGrow demands that the processes use not much more than before; connections that
// were broken may take a while to go, the history of changes grows up to its bound, 16 MiB, and
// garbage is collected when it is 64 MiB.
func (s *scenario) mustNotGrow(before []bed.Usage) {
	s.Helper()
	const grows = (16 + 64 + 16) << 20
	for i, p := range s.processes() {
		if i >= len(before) {
			return // too short a run to tell
		}
		var now bed.Usage
		bed.Eventually(s, p.Name()+" gives back what it took", func() (err error) {
			if now, err = p.Usage(); err != nil {
				return err
			}
			b := before[i]
			if now.Goroutines > b.Goroutines+60 || now.Files > b.Files+40 || now.RSS > b.RSS+grows {
				return fmt.Errorf("%v before, %v now", b, now)
			}
			return nil
		})
		s.Logf("%s %d: %v before, %v now", p.Name(), i, before[i], now)
	}
}
