package collector

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everywhere lets everybody tell of everything.
func everywhere(string) (string, error) { return "", nil }

// stream is a Stream in the hands of a test.
type stream struct {
	ctx    context.Context
	cancel func()
	in     chan *telemetryv1.PushRequest // closed: the other side has closed its half
	out    chan *telemetryv1.PushResponse
	err    chan error // what Push returned
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) Recv() (*telemetryv1.PushRequest, error) {
	select {
	case m, open := <-s.in:
		if !open {
			return nil, io.EOF
		}
		return m, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
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

// push opens a stream.
func push(ctx context.Context, c *Collector, allow Allow) *stream {
	s := &stream{in: make(chan *telemetryv1.PushRequest), out: make(chan *telemetryv1.PushResponse), err: make(chan error, 1)}
	s.ctx, s.cancel = context.WithCancel(ctx)
	go func() {
		s.err <- c.Push(s, allow)
		s.cancel()
	}()
	return s
}

// send sends batches; it blocks while they are not read.
func (s *stream) send(batches ...*telemetryv1.Batch) {
	for _, b := range batches {
		select {
		case s.in <- &telemetryv1.PushRequest{Batch: b}:
		case <-s.ctx.Done():
		}
	}
}

// answers takes those that come up to one for the sequence of the instance.
func (s *stream) answers(t *testing.T, instance string, sequence uint64) (list []*telemetryv1.PushResponse) {
	t.Helper()
	for {
		select {
		case a := <-s.out:
			list = append(list, a)
			if who := a.GetAcknowledged(); who.GetInstanceId() == instance && who.GetSequence() == sequence {
				return list
			}
		case err := <-s.err:
			t.Fatalf("before %d was answered: %v", sequence, err)
		}
	}
}

// batch is one of n exposures, all of which are in its cells.
func batch(instance string, sequence, emitted, lost, n uint64) *telemetryv1.Batch {
	now := time.Now().Truncate(time.Second)
	b := &telemetryv1.Batch{
		Environment: "production",
		Sender:      &telemetryv1.Sender{InstanceId: instance, BootId: "boot", Sequence: sequence},
		Tally:       &telemetryv1.Tally{Emitted: emitted, Lost: lost, Counted: n},
		CompleteTo:  timestamppb.New(now),
	}
	if n > 0 {
		b.Windows = []*telemetryv1.Window{{
			BeganAt: timestamppb.New(now.Add(-time.Second)), Length: durationpb.New(time.Second),
			Cells: []*telemetryv1.Cell{{
				Rollout: "checkout", Step: 1, Arm: telemetryv1.Arm_ARM_TREATMENT, Exposures: n, Subjects: n,
			}},
		}}
	}
	return b
}

const (
	evidenceKey = "/tidegate/v1/t/e/production/checkout"
	flagKey     = "/tidegate/v1/c/production/f/checkout"
)

// clerk is a Judge that writes down, in the store, each batch that it is given, and goes by a
// flag that people write, too.
type clerk struct {
	store store.Store
	// room limits how many batches it takes at once; 0: none.
	room int
	// careless: it does not compare the evidence, and relies on the collector.
	careless bool

	evidence     string
	revision     int64 // of the evidence
	flag         int64
	next         string
	loads, calls atomic.Int32
}

func (k *clerk) Load(ctx context.Context, _ leader.Term) error {
	k.loads.Add(1)
	results, _, err := k.store.Read(ctx, store.Key(evidenceKey), store.Key(flagKey))
	if err != nil {
		return err
	}
	k.evidence, k.revision, k.flag = "", 0, 0
	if kvs := results[0].KVs; len(kvs) > 0 {
		k.evidence, k.revision = string(kvs[0].Value), kvs[0].ModRevision
	}
	if kvs := results[1].KVs; len(kvs) > 0 {
		k.flag = kvs[0].ModRevision
	}
	return nil
}

func (k *clerk) Judge(_ context.Context, g *Group) (Effects, error) {
	k.calls.Add(1)
	if k.room > 0 && len(g.Batches) > k.room {
		return Effects{}, ErrNoRoom
	}
	k.next = k.evidence // also if nothing is counted: what is refused is committed, too
	if len(g.Batches) == 0 {
		return Effects{}, nil
	}
	for _, c := range g.Counts() {
		for _, p := range c.Parts {
			var exposures uint64
			for _, w := range p.Windows {
				for _, cell := range w.GetCells() {
					exposures += cell.GetExposures()
				}
			}
			k.next += entry(p.Sender, exposures)
		}
	}
	e := Effects{
		Compares: []store.Compare{store.Unchanged(flagKey, k.flag)},
		Ops:      []store.Op{store.Put(evidenceKey, []byte(k.next))},
	}
	if !k.careless {
		e.Compares = append(e.Compares, store.Unchanged(evidenceKey, k.revision))
	}
	return e, nil
}

// unjudging does nothing.
type unjudging struct{}

func (unjudging) Load(context.Context, leader.Term) error { return nil }
func (unjudging) Committed(int64)                         {}
func (unjudging) Judge(context.Context, *Group) (Effects, error) {
	return Effects{}, nil
}

// unroomy has never enough room.
type unroomy struct{}

func (unroomy) Load(context.Context, leader.Term) error { return nil }
func (unroomy) Committed(int64)                         {}
func (unroomy) Judge(_ context.Context, g *Group) (Effects, error) {
	if len(g.Batches) == 0 {
		return Effects{}, nil
	}
	return Effects{}, ErrNoRoom
}

func (k *clerk) Committed(revision int64) { k.evidence, k.revision = k.next, revision }

func entry(s *telemetryv1.Sender, exposures uint64) string {
	return s.GetInstanceId() + " " + strconv.FormatUint(s.GetSequence(), 10) + " " + strconv.FormatUint(exposures, 10) + "\n"
}

// readEvidence returns how often each batch is in the evidence, and the exposures by sender.
func readEvidence(t *testing.T, s store.Store) (times map[string]int, exposures map[string]uint64) {
	t.Helper()
	results, _, err := s.Read(context.Background(), store.Key(evidenceKey))
	if err != nil {
		t.Fatal(err)
	}
	times, exposures = make(map[string]int), make(map[string]uint64)
	for _, kv := range results[0].KVs {
		for line := range strings.Lines(string(kv.Value)) {
			f := strings.Fields(line)
			n, _ := strconv.ParseUint(f[2], 10, 64)
			times[f[0]+" "+f[1]]++
			exposures[f[0]] += n
		}
	}
	return times, exposures
}

// server is one that may lead.
type server struct {
	*Collector
	elector *leader.Elector
	store   *unreliable
	stop    func()
}

// serve starts one on a store.
func serve(t *testing.T, s *unreliable, id string, o Options) *server {
	t.Helper()
	if o.Judge == nil {
		o.Judge = &clerk{}
	}
	if k, is := o.Judge.(*clerk); is {
		k.store = s
	}
	o.Store, o.Logger = s, zerolog.Nop()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := leader.New(leader.Options{Store: s, InstanceID: id, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { e.Run(ctx, c.Lead) })
	one := &server{Collector: c, elector: e, store: s, stop: func() { cancel(); running.Wait() }}
	t.Cleanup(one.stop)
	return one
}

// leading starts one that leads, on a store of its own.
func leading(t *testing.T, o Options) *server {
	t.Helper()
	s := serve(t, newUnreliable(memstore.New(), 1, 1), "a", o)
	for !s.collects() {
		time.Sleep(10 * time.Millisecond)
	}
	return s
}

func (s *server) collects() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.term != nil
}

// unreliable is one server's view of a store: calls fail before or after they happened.
type unreliable struct {
	store.Store
	random  *rand.Rand
	percent atomic.Int32 // of the calls that fail
	// late lets commits happen only after they failed.
	late atomic.Bool
	// hook is called before each commit, if set.
	hook atomic.Pointer[func(store.Txn)]

	pending sync.WaitGroup
}

func newUnreliable(s store.Store, seed, number uint64) *unreliable {
	return &unreliable{Store: s, random: rand.New(&lockedSource{source: rand.NewPCG(seed, number)})}
}

func (u *unreliable) fails() bool { return u.random.Int32N(100) < u.percent.Load() }

func (u *unreliable) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if hook := u.hook.Load(); hook != nil {
		(*hook)(t)
	}
	if u.fails() {
		if u.late.Load() && u.random.IntN(2) == 0 {
			wait := time.Duration(u.random.IntN(3000)) * time.Millisecond
			u.pending.Go(func() {
				time.Sleep(wait)
				_, _ = u.Store.Commit(context.Background(), t)
			})
		}
		return store.Outcome{}, store.ErrUnavailable
	}
	out, err := u.Store.Commit(ctx, t)
	if u.fails() {
		return store.Outcome{}, store.ErrUnavailable
	}
	return out, err
}

func (u *unreliable) Read(ctx context.Context, ranges ...store.Range) ([]store.Result, int64, error) {
	if u.fails() {
		return nil, 0, store.ErrUnavailable
	}
	return u.Store.Read(ctx, ranges...)
}

func (u *unreliable) KeepAlive(ctx context.Context, lease store.LeaseID) error {
	if u.fails() {
		return store.ErrUnavailable
	}
	return u.Store.KeepAlive(ctx, lease)
}

// lockedSource is shared by all that call a store.
type lockedSource struct {
	mu     sync.Mutex
	source rand.Source
}

func (l *lockedSource) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.source.Uint64()
}

// account of the server, which leads.
func account(t *testing.T, s *server) Account {
	t.Helper()
	a, ok := s.Account()
	if !ok {
		t.Fatal("it does not lead")
	}
	return a
}

var errDenied = errors.New("denied")
