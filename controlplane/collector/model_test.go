//go:build !race

// Of the many bubbles that begin and end here, the race detector now and then takes memory
// that one goroutine's stack gave back and another's took for a race between the two. So this
// file runs without it: see 'make test'. The other tests here run with it.

package collector

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// source is a sender as relays are ones: it spools what it counts, numbers it, sends in order, and
// keeps it until it is acknowledged.
type source struct {
	id     string
	random *rand.Rand
	spool  []*telemetryv1.Batch
	next   uint64
	// emitted and lost are what it tells; dropped are sequences that it threw away, silent ones
	// without telling.
	emitted, lost uint64
	dropped       map[uint64]bool
	poison        map[uint64]bool
	sizes         map[uint64]uint64
	refused       map[uint64]bool
}

func newSource(id string, seed uint64) *source {
	return &source{
		id: id, random: rand.New(rand.NewPCG(seed, 77)), next: 1,
		dropped: make(map[uint64]bool), poison: make(map[uint64]bool), sizes: make(map[uint64]uint64), refused: make(map[uint64]bool),
	}
}

// make spools a batch; some make no sense.
func (s *source) make() {
	n := s.random.Uint64N(50)
	s.emitted += n
	b := batch(s.id, s.next, s.emitted, s.lost, n)
	if n > 0 && s.random.IntN(20) == 0 {
		b.Windows[0].Cells[0].Step = 0
		s.poison[s.next] = true
	}
	s.sizes[s.next] = n
	s.spool = append(s.spool, b)
	s.next++
}

// drop throws away what is spooled longest: it may be under way, and counted.
func (s *source) drop() {
	if len(s.spool) < 2 {
		return
	}
	i := s.random.IntN(len(s.spool) - 1)
	q := s.spool[i].GetSender().GetSequence()
	s.dropped[q] = true
	if s.random.IntN(2) == 0 {
		s.lost += s.sizes[q]
	}
	s.spool = slices.Delete(s.spool, i, i+1)
}

// run sends until everything is acknowledged. connect returns a stream to one of the servers.
func (s *source) run(ctx context.Context, batches int, connect func() *stream) {
	for made := 0; ctx.Err() == nil && (made < batches || len(s.spool) > 0); {
		st := connect()
		sent := uint64(0)
		for st.ctx.Err() == nil && (made < batches || len(s.spool) > 0) {
			var in chan *telemetryv1.PushRequest
			var m *telemetryv1.PushRequest
			if i := slices.IndexFunc(s.spool, func(b *telemetryv1.Batch) bool { return b.GetSender().GetSequence() > sent }); i >= 0 && i < maxUnderWay {
				in, m = st.in, &telemetryv1.PushRequest{Batch: proto.Clone(s.spool[i]).(*telemetryv1.Batch)}
			}
			wait := time.Duration(s.random.IntN(400)) * time.Millisecond
			select {
			case in <- m:
				sent = m.GetBatch().GetSender().GetSequence()
			case a := <-st.out:
				s.acknowledged(a)
			case <-st.ctx.Done():
			case <-time.After(wait):
				if made < batches {
					s.make()
					made++
				}
				switch s.random.IntN(40) {
				case 0:
					s.drop()
				case 1:
					st.cancel()
				case 2, 3:
					sent = 0 // all of it comes again, on the same stream
				}
			}
		}
		st.cancel()
		time.Sleep(time.Duration(s.random.IntN(500)) * time.Millisecond)
	}
}

func (s *source) acknowledged(a *telemetryv1.PushResponse) {
	q := a.GetAcknowledged().GetSequence()
	if a.GetRefusal() != "" {
		s.refused[q] = true
	}
	s.spool = slices.DeleteFunc(s.spool, func(b *telemetryv1.Batch) bool { return b.GetSender().GetSequence() <= q })
}

// check compares what is counted with what the source knows.
func (s *source) check(t *testing.T, told Sender, times map[string]int, exposures uint64) {
	t.Helper()
	a := told.Account
	if a.Emitted != s.emitted || a.Emitted != a.Counted+a.Lost+a.Refused+a.Late+a.Missing {
		t.Errorf("%s: emitted %d, by its account %+v", s.id, s.emitted, a)
	}
	if a.Counted != exposures {
		t.Errorf("%s: %d are counted, %d are in the evidence", s.id, a.Counted, exposures)
	}
	var counted uint64
	for q, n := range s.sizes {
		in := times[fmt.Sprint(s.id, " ", q)]
		switch {
		case n == 0:
			continue
		case in > 1:
			t.Errorf("%s: batch %d is in the evidence %d times", s.id, q, in)
		case in == 1 && s.poison[q]:
			t.Errorf("%s: batch %d makes no sense, and is in the evidence", s.id, q)
		case in == 0 && !s.poison[q] && !s.dropped[q]:
			t.Errorf("%s: batch %d is acknowledged, and not in the evidence", s.id, q)
		}
		counted += uint64(in) * n
	}
	if counted != exposures {
		t.Errorf("%s: %d in the evidence, want %d", s.id, exposures, counted)
	}
	if a.Late != 0 {
		t.Errorf("%s: %d late, and nothing was forgotten", s.id, a.Late)
	}
	for q := range s.refused {
		if !s.poison[q] {
			t.Errorf("%s: batch %d was refused", s.id, q)
		}
	}
}

// TestConservation: whatever fails, every batch that is acknowledged is in the evidence once,
// none is there twice, and the account comes out to the last event.
func TestConservation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { conserve(t, seed) })
		})
	}
}

// cluster is some servers that come and go.
type cluster struct {
	mu      sync.Mutex
	random  *rand.Rand
	servers []*server
}

func (c *cluster) pick() *server {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.servers {
		if s.collects() {
			return s
		}
	}
	return c.servers[c.random.IntN(len(c.servers))]
}

func conserve(t *testing.T, seed uint64) {
	backing := memstore.New()
	random := rand.New(rand.NewPCG(seed, 1))
	views := make([]*unreliable, 3)
	cl := &cluster{random: rand.New(&lockedSource{source: rand.NewPCG(seed, 2)})}
	started := uint64(0)
	begin := func(i int) *server {
		started++
		u := newUnreliable(backing, seed, 10+started)
		u.late.Store(seed%2 == 1)
		views[i] = u
		return serve(t, u, fmt.Sprint("server-", i), Options{Judge: &clerk{room: int(seed%3) * 4, careless: seed%4 < 2}})
	}
	for i := range views {
		cl.servers = append(cl.servers, begin(i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	var sending sync.WaitGroup
	sources := make([]*source, 4)
	for i := range sources {
		sources[i] = newSource(fmt.Sprint("relay-", i), seed*100+uint64(i))
		sending.Go(func() {
			sources[i].run(ctx, 100, func() *stream { return push(ctx, cl.pick().Collector, everywhere) })
		})
	}
	for range 25 {
		time.Sleep(time.Duration(random.IntN(2500)) * time.Millisecond)
		i := random.IntN(len(views))
		switch random.IntN(7) {
		case 0: // a server dies, and another comes
			cl.servers[i].stop()
			next := begin(i)
			cl.mu.Lock()
			cl.servers[i] = next
			cl.mu.Unlock()
		case 1: // cut off for long
			views[i].percent.Store(100)
		case 2, 3:
			for _, u := range views {
				u.percent.Store(int32(random.IntN(60)))
			}
		case 4:
			backing.SetDown(true)
			time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
			backing.SetDown(false)
		default:
			for _, u := range views {
				u.percent.Store(0)
			}
		}
	}
	for _, u := range views {
		u.percent.Store(0)
	}
	sending.Wait()
	if ctx.Err() != nil {
		t.Fatal("not everything was acknowledged within an hour")
	}
	for _, u := range views {
		u.pending.Wait()
	}
	for !cl.pick().collects() {
		time.Sleep(time.Second)
	}
	senders, _ := cl.pick().Senders()
	times, exposures := readEvidence(t, backing)
	if len(senders) != len(sources) {
		t.Fatalf("%d senders, want %d", len(senders), len(sources))
	}
	dropped, refused := 0, 0
	for i, told := range senders {
		if told.InstanceID != sources[i].id || !strings.HasPrefix(told.BootID, "boot") {
			t.Fatalf("%+v", told)
		}
		sources[i].check(t, told, times, exposures[sources[i].id])
		dropped, refused = dropped+len(sources[i].dropped), refused+len(sources[i].refused)
	}
	t.Logf("%d commits, %d batches in the evidence, %d dropped, %d refused", cl.pick().ledger.commits, len(times), dropped, refused)
}
