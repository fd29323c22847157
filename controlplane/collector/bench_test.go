package collector

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
)

// counting adds up what is written.
type counting struct {
	store.Store
	mu             sync.Mutex
	commits, bytes int
}

func (c *counting) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	c.mu.Lock()
	c.commits++
	c.bytes += sizeOf(nil, t.Ops)
	c.mu.Unlock()
	return c.Store.Commit(ctx, t)
}

// BenchmarkRound is one commit of one batch of each of some senders: what it costs the leader,
// and how much it writes, without what a judge adds. The store is in memory.
func BenchmarkRound(b *testing.B) {
	for _, senders := range []int{10, 100, 10_000} {
		b.Run(fmt.Sprint(senders), func(b *testing.B) {
			s := &counting{Store: memstore.New()}
			c, err := New(Options{Store: s, Logger: zerolog.Nop(), MaxPendingBytes: 1 << 30})
			if err != nil {
				b.Fatal(err)
			}
			out, err := s.Commit(b.Context(), store.Txn{Ops: []store.Op{store.Put(leader.Key, nil)}})
			if err != nil {
				b.Fatal(err)
			}
			w := &writer{c: c, term: leader.Term(out.Revision), swept: time.Now()}
			if err := w.load(b.Context()); err != nil {
				b.Fatal(err)
			}
			c.begin()
			defer c.end()
			stream := newSession()
			sequence := uint64(0)
			fill := func() {
				sequence++
				for i := range senders {
					next := batch(fmt.Sprintf("6f1c2a52-0000-4000-8000-%012d", i), sequence, 50*sequence, 0, 50)
					next.Sender.BootId = "0d9f7a5e-1111-4000-8000-000000000001"
					if err := c.admit(b.Context(), c.term, stream, newPending(next, "")); err != nil {
						b.Fatal(err)
					}
				}
			}
			round := func() {
				for c.waits() {
					if err := w.round(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			}
			fill()
			round() // who they are is written once
			s.commits, s.bytes = 0, 0
			for b.Loop() {
				b.StopTimer()
				fill()
				b.StartTimer()
				round()
			}
			b.ReportMetric(float64(s.bytes)/float64(b.N), "bytes/round")
			b.ReportMetric(float64(s.commits)/float64(b.N), "commits/round")
			b.ReportMetric(float64(senders*b.N)/b.Elapsed().Seconds(), "batches/s")
		})
	}
}

// BenchmarkAdmit is what taking in one batch costs: checks and queueing.
func BenchmarkAdmit(b *testing.B) {
	m := full()
	for b.Loop() {
		if p := newPending(m, ""); p.problem != "" {
			b.Fatal(p.problem)
		}
	}
}
