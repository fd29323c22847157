//go:build unix

package chaos

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/chaos/ledger"
	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/fault"
)

var (
	eventsFlag = flag.Int("events", 100_000, "how many events TestTelemetryConserved emits")
	rateFlag   = flag.Int("rate", 4000, "how many events a second it emits, if nothing is in the way")
)

// emission is how long it may take to emit the events: faults hold up who emits.
func emission() time.Duration { return time.Duration(4**eventsFlag / *rateFlag) * time.Second }

// TestTelemetryConserved emits events in each of the ways there are, through three relays,
// while relays, servers and the leader are killed, at random and at failpoints, and the
// network is cut. In the end every event is counted once, or declared lost: the sources' own
// accounts and the ledger in etcd are equal, by rollout, metric and variant.
func TestTelemetryConserved(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	c := newCounting(s, 3)
	c.sources(*eventsFlag, *rateFlag)
	d := &meddler{counting: c, injected: map[string]int{}, armed: map[*bed.Process]string{}}
	start := time.Now()
	done := c.emit(s.ctx)
	for over := false; !over; {
		d.meddle()
		select {
		case <-done:
			over = true
		case <-s.ctx.Done():
			t.Fatalf("after %v not everything is emitted", time.Since(start))
		default:
		}
	}
	took := time.Since(start)
	d.leave()
	c.drained()
	d.figures(took)
	c.mustBeConserved()
}

// meddler draws faults, one after the other, and brings up again what has died.
type meddler struct {
	*counting
	injected map[string]int
	deposed  int
	// armed are processes that will kill themselves, and where.
	armed map[*bed.Process]string
}

func (d *meddler) meddle() {
	f := d.draw()
	d.injected[f.kind]++
	d.Logf("%s %s", f.kind, f.what)
	f.begin()
	time.Sleep(time.Duration(d.random.Int64N(int64(1200 * time.Millisecond))))
	f.end()
	d.revive()
}

// draw draws a fault. Bits are not flipped: for those of telemetry there is TLS alone.
func (d *meddler) draw() faultRun {
	r := d.relays[d.random.IntN(len(d.relays))]
	srv := d.servers[d.random.IntN(len(d.servers))]
	up := r.links[d.random.IntN(len(r.links))]
	front := d.fronts[d.random.IntN(len(d.fronts))]
	etcd := d.stores[d.random.IntN(len(d.stores))]
	flips := (&disturbance{scenario: d.scenario}).direction()
	for flips.CorruptEvery > 0 {
		flips = (&disturbance{scenario: d.scenario}).direction()
	}
	how, nothing := kindOf(flips), func() {}
	healEtcd := func() { etcd.Heal(); etcd.Reset() }
	heal := func(p *proxy.Proxy) func() { return func() { p.Heal(); p.Reset() } }
	faults := []faultRun{
		{kind: "kill a relay", what: r.GRPC, begin: r.Kill, end: nothing},
		{kind: "kill a relay", what: r.GRPC, begin: r.Kill, end: nothing},
		{kind: "end a relay", what: r.GRPC, begin: func() { _ = r.Terminate() }, end: nothing},
		{kind: "freeze a relay", what: r.GRPC, begin: d.frozen(r.Process), end: d.thawed(r.Process)},
		{kind: "kill a server", what: srv.GRPC, begin: srv.Kill, end: nothing},
		{kind: "kill the leader", begin: d.depose, end: nothing},
		{kind: "kill the leader", begin: d.depose, end: nothing},
		{kind: "freeze a server", what: srv.GRPC, begin: d.frozen(srv.Process), end: d.thawed(srv.Process)},
		{kind: "reset a relay's link", what: r.GRPC, begin: up.Reset, end: nothing},
		{kind: "refuse a relay", what: r.GRPC, begin: func() { up.Refuse(true); up.Reset() }, end: up.Heal},
		{kind: how + " what comes to a relay", what: fmt.Sprintf("%s: %+v", r.GRPC, flips), begin: func() { up.SetDown(flips) }, end: heal(up)},
		{kind: how + " what a relay sends", what: fmt.Sprintf("%s: %+v", r.GRPC, flips), begin: func() { up.SetUp(flips) }, end: heal(up)},
		{kind: "reset the sources' links", what: front.Addr(), begin: front.Reset, end: nothing},
		{kind: how + " what sources are answered", what: front.Addr(), begin: func() { front.SetDown(flips) }, end: heal(front)},
		{kind: how + " what etcd sends", what: etcd.Addr(), begin: func() { etcd.SetDown(flips) }, end: healEtcd},
		{kind: how + " what etcd is sent", what: etcd.Addr(), begin: func() { etcd.SetUp(flips) }, end: healEtcd},
	}
	return faults[d.random.IntN(len(faults))]
}

// frozen stops a process, if it lives: it may have killed itself just now.
func (d *meddler) frozen(p *bed.Process) func() {
	return func() {
		if p.Alive() {
			p.Freeze()
		}
	}
}

func (d *meddler) thawed(p *bed.Process) func() {
	return func() {
		if p.Alive() {
			p.Thaw()
		}
	}
}

// depose kills the leader.
func (d *meddler) depose() {
	if srv := d.leading(); srv != nil {
		srv.Kill()
		d.deposed++
	}
}

// revive starts what is dead; some of it so that it will kill itself at a failpoint.
func (d *meddler) revive() {
	for _, p := range d.processes() {
		if p.Alive() {
			continue
		}
		if point := d.armed[p]; point != "" {
			d.injected["killed at "+point]++
		}
		delete(d.armed, p)
		points := fault.TelemetryPoints
		if p.Name() == "tidegate" {
			points = fault.CollectorPoints
		}
		p.SetEnv()
		if d.random.IntN(2) == 0 {
			point := points[d.random.IntN(len(points))]
			p.SetEnv(fmt.Sprintf("%s=%s=kill:%d", fault.Variable, point, 1+d.random.IntN(30)))
			d.armed[p] = point
		}
		p.Launch()
	}
}

// leave has every process run undisturbed.
func (d *meddler) leave() {
	for _, p := range slices.Concat(d.stores, d.fronts) {
		p.Heal()
	}
	for _, r := range d.relays {
		r.heal()
	}
	for _, p := range d.processes() {
		if d.armed[p] != "" {
			p.Kill()
		}
		p.SetEnv()
		if !p.Alive() {
			p.Launch()
		}
	}
	for _, p := range d.processes() {
		p.AwaitReady()
	}
}

// figures prints what was done.
func (d *meddler) figures(took time.Duration) {
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(d.injected)) {
		d.Logf("figures: %4d × %s", d.injected[kind], kind)
		total += d.injected[kind]
	}
	d.Logf("figures: seed %d: %d faults in %v, leader killed %d times, %d commits of the ledger", d.seed, total, took.Round(time.Second), d.deposed, d.read().Commits)
}

// mustBeConserved holds what the sources know by themselves against the ledger.
func (c *counting) mustBeConserved() {
	c.Helper()
	l := c.read()
	sum := l.Sum()
	for _, r := range l.Rows {
		if r.Missing() != 0 || r.Refused+r.Late != 0 {
			c.Errorf("Conserved: %s", &r)
		}
	}
	if l.Forgot {
		c.Error("senders were forgotten: the sums are not all there is")
	}
	var told, sdk own
	for _, t := range c.tellers {
		told.add(t.own)
	}
	var sdkLost uint64
	for _, e := range c.embeddeds {
		sdk.add(e.own)
		stats := e.client.TelemetryStats()
		c.Logf("figures: an SDK: %+v", stats)
		if stats.Emitted != e.own.total() || stats.Pending != 0 {
			c.Errorf("Conserved: an SDK emitted %d, and tells of %+v", e.own.total(), stats)
		}
		for _, n := range stats.Lost {
			sdkLost += n
		}
	}
	var answered, unknown uint64
	for _, a := range c.askers {
		for arm := range 2 {
			answered += a.answered[arm]
			unknown += a.unknown[arm]
		}
	}
	c.Logf("figures: told %d, SDKs %d (lost %d), asked %d and %d without an answer; ledger: %s", told.total(), sdk.total(), sdkLost, answered, unknown, &sum)
	asked := c.served()
	if asked < answered || asked > answered+unknown {
		c.Errorf("Conserved: relays counted %d evaluations; %d were answered, and %d may have been", asked, answered, unknown)
	}
	if emitted := told.total() + sdk.total() + asked; emitted != sum.Counted+sum.Lost || sum.Emitted != emitted {
		c.Errorf("Conserved: %d were emitted, of which %d are counted and %d declared lost: the difference is %d",
			emitted, sum.Counted, sum.Lost, int64(emitted)-int64(sum.Counted)-int64(sum.Lost))
	}
	c.mustBeCounted(l, toldFlag, told)
	if sdkLost == 0 {
		c.mustBeCounted(l, embeddedFlag, sdk)
	}
	// Of what was lost nobody knows the variant.
	embedded, evaluated := evidenceOf(l, embeddedFlag), evidenceOf(l, askedFlag)
	c.Logf("figures: counted %d told, %d of SDKs, %d evaluations; lost %d of SDKs, %d evaluations of relays that were killed",
		told.total(), embedded.total(), evaluated.total(), sdkLost, asked-evaluated.total())
	if embedded.total()+sdkLost != sdk.total() {
		c.Errorf("Conserved: SDKs emitted %d, of which %d are in the evidence and %d lost", sdk.total(), embedded.total(), sdkLost)
	}
	if evaluated.total()+sum.Lost-sdkLost != asked {
		c.Errorf("Conserved: relays counted %d evaluations, of which %d are in the evidence and %d declared lost", asked, evaluated.total(), sum.Lost-sdkLost)
	}
}

// mustBeCounted demands that a rollout's evidence is what its sources emitted, by arm.
func (c *counting) mustBeCounted(l *ledger.Ledger, rollout string, want own) {
	c.Helper()
	if got := evidenceOf(l, rollout); got != want {
		c.Errorf("Conserved: rollout %s: the evidence is of %+v, emitted were %+v", rollout, got, want)
	}
}

// evidenceOf is what the store has counted of a rollout, by arm.
func evidenceOf(l *ledger.Ledger, rollout string) (got own) {
	e := l.Evidence[rollout]
	got.exposures = [2]uint64{e.GetControlExposures(), e.GetTreatmentExposures()}
	for _, g := range e.GetGuardrails() {
		for _, st := range g.GetSteps() {
			n := st.GetCounts()
			got.observations[0] += n.GetControlExposures()
			got.observations[1] += n.GetTreatmentExposures()
			got.events[0] += n.GetControlEvents()
			got.events[1] += n.GetTreatmentEvents()
		}
	}
	return got
}
