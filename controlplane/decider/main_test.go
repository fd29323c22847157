package decider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/collector"
	"github.com/tidegate/tidegate/controlplane/fleet"
	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/judge"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/rollout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const production = "production"

var alice = controlplane.Caller{Actor: "alice", Peer: "127.0.0.1:4711"}

// server is one that may lead.
type server struct {
	*controlplane.Authority
	*controlplane.Rollouts
	decider   *Decider
	collector *collector.Collector
	elector   *leader.Elector
	notifier  *notify.Notifier
	registry  *prometheus.Registry
	leads     atomic.Bool
	stop      func()
}

// cluster is a store, its servers, and the relays that follow them.
type cluster struct {
	t       *testing.T
	store   store.Store
	servers []*server
	relays  []*relay
	world   *world
	// stale is how many relays do not apply what is new.
	stale atomic.Int32
	// unknown: nobody can tell which relays there are.
	unknown atomic.Bool
}

// hooked is a store that calls before each commit, if there is something to call.
type hooked struct {
	store.Store
	before atomic.Pointer[func(store.Txn)]
}

func (h *hooked) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if f := h.before.Load(); f != nil {
		(*f)(t)
	}
	return h.Store.Commit(ctx, t)
}

func inBubble(t *testing.T, relays int, test func(c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, memstore.New(), relays)
		c.serve("a")
		c.awaitLeader()
		test(c)
	})
}

func newCluster(t *testing.T, s store.Store, relays int) *cluster {
	t.Helper()
	c := &cluster{t: t, store: s, world: newWorld(1)}
	t.Cleanup(func() {
		for _, r := range c.relays {
			r.close()
		}
		for _, s := range c.servers {
			s.stop()
		}
		_ = s.Close()
	})
	for i := range relays {
		c.relays = append(c.relays, &relay{cluster: c, id: fmt.Sprintf("relay-%d", i)})
	}
	return c
}

// silent takes what is sent.
type silent struct{}

func (silent) Send(context.Context, notify.Event) (string, error) {
	return "", errors.New("nobody is there")
}

// serve starts a server.
func (c *cluster) serve(id string) *server {
	c.t.Helper()
	must := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{registry: prometheus.NewRegistry()}
	replicas := replica.NewSet(replica.Options{})
	var err error
	s.Authority, err = controlplane.Open(ctx, controlplane.Options{Store: c.store, Replicas: replicas, Environments: []string{production}, Logger: zerolog.Nop()})
	must(err)
	s.notifier, err = notify.New(notify.Options{Store: c.store, Logger: zerolog.Nop(), Targets: []notify.Target{{Name: "team", Kinds: notify.Kinds(), Sender: silent{}}}})
	must(err)
	s.decider, err = New(Options{
		Authority: s.Authority, InstanceID: id, Relays: func(context.Context) (map[string][]fleet.Standing, error) { return c.standings(replicas) },
		Notifier: s.notifier, Logger: zerolog.Nop(), Registerer: s.registry,
	})
	must(err)
	s.Rollouts, err = controlplane.NewRollouts(controlplane.RolloutsOptions{Authority: s.Authority, Assessor: s.decider})
	must(err)
	s.collector, err = collector.New(collector.Options{Store: c.store, Judge: s.decider, Logger: zerolog.Nop()})
	must(err)
	s.elector, err = leader.New(leader.Options{Store: c.store, InstanceID: id, Logger: zerolog.Nop()})
	must(err)
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	running.Go(func() {
		s.elector.Run(ctx, func(ctx context.Context, term leader.Term) error {
			var beside sync.WaitGroup
			defer beside.Wait()
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			beside.Go(func() { _ = s.decider.Lead(ctx) })
			s.leads.Store(true)
			defer s.leads.Store(false)
			return s.collector.Lead(ctx, term)
		})
	})
	s.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	c.servers = append(c.servers, s)
	return s
}

func (c *cluster) leader() *server {
	for _, s := range c.servers {
		if s.leads.Load() {
			return s
		}
	}
	return nil
}

// awaitLeader waits until a server collects.
func (c *cluster) awaitLeader() *server {
	c.t.Helper()
	for range 10_000 {
		if s := c.leader(); s != nil {
			if _, ok := s.collector.Account(); ok {
				return s
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatal("nobody leads")
	return nil
}

// standings are the relays, which have what the replicas of a server have.
func (c *cluster) standings(replicas *replica.Set) (map[string][]fleet.Standing, error) {
	if c.unknown.Load() {
		return nil, errors.New("the others do not answer")
	}
	var list []fleet.Standing
	revision := replicas.Replica(production).Snapshot().Cursor().Revision
	for i, r := range c.relays {
		s := fleet.Standing{InstanceID: r.id, Connected: true, Applied: revision}
		if i < int(c.stale.Load()) {
			s.Applied = 1
		}
		list = append(list, s)
	}
	return map[string][]fleet.Standing{production: list}, nil
}

// relay counts, and sends what it counted until that is acknowledged.
type relay struct {
	*cluster
	id      string
	next    uint64
	emitted uint64
	spool   []*telemetryv1.Batch
	stream  *stream
	trips   []*telemetryv1.Trip
	mute    bool
}

// count makes a batch of a second of a rollout, at the step that is in force.
func (r *relay) count(v *rolloutv1.Rollout) {
	now := time.Now().Truncate(time.Second)
	r.next++
	b := &telemetryv1.Batch{
		Environment: production, Sender: &telemetryv1.Sender{InstanceId: r.id, BootId: "boot", Sequence: r.next},
		CompleteTo: timestamppb.New(now), Trips: r.trips,
	}
	r.trips = nil
	var n uint64
	if rollout.Active(v) {
		t, c := r.world.second(v, len(r.relays))
		w := &telemetryv1.Window{BeganAt: timestamppb.New(now.Add(-time.Second)), Length: durationpb.New(time.Second)}
		for _, cell := range []*telemetryv1.Cell{t, c} {
			cell.Rollout, cell.Step = v.GetKey(), v.GetStatus().GetStep()
			w.Cells = append(w.Cells, cell)
			n += cell.GetExposures()
			for _, m := range cell.GetMetrics() {
				n += m.GetCount()
			}
		}
		b.Windows = append(b.Windows, w)
	}
	r.emitted += n
	b.Tally = &telemetryv1.Tally{Emitted: r.emitted, Counted: n}
	r.spool = append(r.spool, b)
}

// push sends what is spooled to whoever leads, and waits until it is answered, or a stream ends.
func (r *relay) push() {
	s := r.leader()
	if r.mute || s == nil {
		return
	}
	if r.stream == nil || r.stream.to != s {
		r.close()
		r.stream = open(s)
		r.stream.sent = 0
	}
	for _, b := range r.spool {
		if b.GetSender().GetSequence() <= r.stream.sent {
			continue
		}
		select {
		case r.stream.in <- &telemetryv1.PushRequest{Batch: b}:
			r.stream.sent = b.GetSender().GetSequence()
		case <-r.stream.ctx.Done():
			r.close()
			return
		}
	}
	for {
		select {
		case a := <-r.stream.out:
			if a.GetRefusal() != "" {
				r.t.Errorf("%v was refused: %s", a.GetAcknowledged(), a.GetRefusal())
			}
			r.spool = slices.DeleteFunc(r.spool, func(b *telemetryv1.Batch) bool {
				return b.GetSender().GetSequence() <= a.GetAcknowledged().GetSequence()
			})
		default:
			return
		}
	}
}

// checkDrained checks that everything is acknowledged soon after the last second.
func (c *cluster) checkDrained() {
	c.t.Helper()
	time.Sleep(3 * time.Second)
	for _, r := range c.relays {
		r.push()
		if n := len(r.spool); n > 0 {
			c.t.Errorf("%d batches of %s wait", n, r.id)
		}
	}
}

func (r *relay) close() {
	if r.stream != nil {
		r.stream.cancel()
		<-r.stream.ended
		r.stream = nil
	}
}

// stream is a collector.Stream in the hands of a relay.
type stream struct {
	to     *server
	ctx    context.Context
	cancel func()
	in     chan *telemetryv1.PushRequest
	out    chan *telemetryv1.PushResponse
	ended  chan struct{}
	sent   uint64
}

func open(to *server) *stream {
	s := &stream{to: to, in: make(chan *telemetryv1.PushRequest), out: make(chan *telemetryv1.PushResponse, 1000), ended: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(s.ended)
		_ = to.collector.Push(s, func(string) (string, error) { return "", nil })
		s.cancel()
	}()
	return s
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) Recv() (*telemetryv1.PushRequest, error) {
	select {
	case m := <-s.in:
		return m, nil
	case <-s.ctx.Done():
		return nil, io.EOF
	}
}

func (s *stream) Send(m *telemetryv1.PushResponse) error {
	select {
	case s.out <- m:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// world draws what happens.
type world struct {
	*rand.Rand
	rps             int
	treated, others float64 // error rates
	// Shares of the subjects that come.
	arrive, arriveControl float64
}

func newWorld(seed uint64) *world {
	return &world{Rand: rand.New(rand.NewPCG(seed, 1)), rps: 400, treated: 0.01, others: 0.01, arrive: 1, arriveControl: 1}
}

func (w *world) binomial(n uint64, p float64) uint64 {
	k := uint64(0)
	for range n {
		if w.Float64() < p {
			k++
		}
	}
	return k
}

// second draws one of one relay.
func (w *world) second(r *rolloutv1.Rollout, relays int) (t, c *telemetryv1.Cell) {
	n := uint64(w.rps / relays)
	treated := w.binomial(n, float64(r.GetStatus().GetWeight())/rollout.TotalWeight)
	others, treated := w.binomial(n-treated, w.arriveControl), w.binomial(treated, w.arrive)
	c = cell(telemetryv1.Arm_ARM_CONTROL, others, w.binomial(others, w.others))
	return cell(telemetryv1.Arm_ARM_TREATMENT, treated, w.binomial(treated, w.treated)), c
}

func cell(arm telemetryv1.Arm, n, bad uint64) *telemetryv1.Cell {
	return &telemetryv1.Cell{
		Arm: arm, Exposures: n, Subjects: n, NewSubjects: n,
		Metrics: []*telemetryv1.MetricCell{{Metric: "errors", Count: bad, Events: bad}},
	}
}

// live lets seconds pass: relays count and send. It ends early where until says so.
func (c *cluster) live(key string, seconds int, until func(*rolloutv1.Rollout) bool) *rolloutv1.Rollout {
	c.t.Helper()
	var v *rolloutv1.Rollout
	for range seconds {
		time.Sleep(time.Second)
		v = c.rollout(key)
		for _, r := range c.relays {
			r.count(v)
		}
		for _, r := range c.relays {
			r.push()
		}
		if v = c.rollout(key); until != nil && until(v) {
			return v
		}
	}
	return v
}

func over(r *rolloutv1.Rollout) bool { return !rollout.Active(r) }

func (c *cluster) rollout(key string) *rolloutv1.Rollout {
	c.t.Helper()
	got, err := c.servers[0].GetRollout(context.Background(), &controlv1.GetRolloutRequest{Environment: production, Key: key})
	if err != nil {
		c.t.Fatal(err)
	}
	return got.GetRollout().GetRollout()
}

func errorsGuard() *rolloutv1.Guardrail {
	return &rolloutv1.Guardrail{
		Name: "errors", Statistic: rolloutv1.Statistic_STATISTIC_RATE, Margin: &rolloutv1.Margin{Unit: &rolloutv1.Margin_Relative{Relative: 0.05}},
	}
}

// canary is a rollout of 'on' whose stages last ten seconds at least.
func canary(key, flag string, weights ...uint32) *rolloutv1.Rollout {
	r := &rolloutv1.Rollout{Key: key, FlagKey: flag, Treatment: "on", Owner: "team", Bake: durationpb.New(20 * time.Second), Guardrails: []*rolloutv1.Guardrail{errorsGuard()}}
	for _, w := range weights {
		r.Stages = append(r.Stages, &rolloutv1.Stage{Weight: w, MinDwell: durationpb.New(10 * time.Second)})
	}
	return r
}

// start starts a rollout of a flag that it makes.
func (c *cluster) start(r *rolloutv1.Rollout) *rolloutv1.Rollout {
	c.t.Helper()
	f := &flagv1.Flag{
		Key: r.GetFlagKey(), Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, OffVariant: "off",
		Variants:       []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "off"}},
	}
	s := c.servers[0]
	if _, err := s.CreateFlag(context.Background(), alice, &controlv1.CreateFlagRequest{Environment: production, Flag: f, Reason: "new"}); err != nil {
		c.t.Fatal(err)
	}
	started, err := s.StartRollout(context.Background(), alice, &controlv1.StartRolloutRequest{Environment: production, Rollout: r, Reason: "ready"})
	if err != nil {
		c.t.Fatal(err)
	}
	return started.GetRollout().GetRollout()
}

// decisions reads all, from the first, each with its inputs; it checks what is true of any.
func (c *cluster) decisions(key string) []*rolloutv1.Decision {
	c.t.Helper()
	synctest.Wait() // a round may be under way
	ctx := context.Background()
	list, err := c.servers[0].ListDecisions(ctx, &controlv1.ListDecisionsRequest{Environment: production, Key: key, PageSize: 1000})
	if err != nil {
		c.t.Fatal(err)
	}
	var all []*rolloutv1.Decision
	for _, d := range slices.Backward(list.GetDecisions()) {
		got, err := c.servers[0].GetDecision(ctx, &controlv1.GetDecisionRequest{Environment: production, Key: key, Number: d.GetNumber()})
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, got.GetDecision())
		if err := judge.Replay(got.GetDecision()); err != nil {
			c.t.Errorf("decision %d: %v", d.GetNumber(), err)
		}
	}
	if err := controlplane.VerifyDecisions(all); err != nil {
		c.t.Error(err)
	}
	c.checkTrail(key, all)
	return all
}

// checkTrail checks that the audit trail and the decisions are one to one.
func (c *cluster) checkTrail(key string, decisions []*rolloutv1.Decision) {
	c.t.Helper()
	var decided []*controlv1.AuditEntry
	for _, e := range c.trail(key) {
		if e.GetActor() == Actor {
			decided = append(decided, e)
		}
	}
	if len(decided) != len(decisions) {
		c.t.Fatalf("%d audit entries of %d decisions", len(decided), len(decisions))
	}
	for i, e := range decided {
		d := decisions[i]
		if e.GetRevision() != d.GetRevision() || e.GetReason() != d.GetHeadline() || e.GetRollout().GetStatus().GetDecision() != d.GetNumber() {
			c.t.Errorf("decision %d at revision %d: %q; its entry: %v", d.GetNumber(), d.GetRevision(), d.GetHeadline(), e)
		}
	}
}

// trail is the audit trail of a rollout, the oldest first.
func (c *cluster) trail(key string) []*controlv1.AuditEntry {
	c.t.Helper()
	var entries []*controlv1.AuditEntry
	for token := ""; ; {
		page, err := c.servers[0].ListRolloutHistory(context.Background(), &controlv1.ListRolloutHistoryRequest{Environment: production, Key: key, PageToken: token})
		if err != nil {
			c.t.Fatal(err)
		}
		entries = append(entries, page.GetEntries()...)
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	slices.Reverse(entries)
	return entries
}

// moves are the decisions that are not to hold.
func moves(decisions []*rolloutv1.Decision) (list []*rolloutv1.Decision) {
	for _, d := range decisions {
		if d.GetVerdict() != rolloutv1.Verdict_VERDICT_HOLD {
			list = append(list, d)
		}
	}
	return list
}

func verdicts(decisions []*rolloutv1.Decision) (list []string) {
	for _, d := range decisions {
		list = append(list, fmt.Sprintf("%s %d", word(d.GetVerdict()), d.GetToWeight()))
	}
	return list
}

// evidence of a rollout as stored; nil: none.
func (c *cluster) evidence(key string) *rolloutv1.Evidence {
	c.t.Helper()
	results, _, err := c.store.Read(context.Background(), store.Key("/tidegate/v1/t/e/"+production+"/"+key))
	if err != nil {
		c.t.Fatal(err)
	}
	if len(results[0].KVs) == 0 {
		return nil
	}
	e := new(rolloutv1.Evidence)
	if err := proto.Unmarshal(results[0].KVs[0].Value, e); err != nil {
		c.t.Fatal(err)
	}
	return e
}
