package spool

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestRandom appends, sends, loses acknowledgements, kills processes and machines, fills the
// disk and, in every other run, flips bits, at random. Whatever happens: what the receiver
// counted and what was declared is, for each boot, exactly what that one had emitted; what was
// durable is behind the receiver's mark; and where nothing was damaged, the tallies told of
// all that is missing.
func TestRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(24) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			newRandomRun(t, seed).run()
		})
	}
}

type randomRun struct {
	t      *testing.T
	random *rand.Rand
	damage bool
	files  memFiles
	spool  *Spool
	r      *receiver
	// emitted are each boot's events up to each sequence, durable the last durable one.
	emitted map[string][]uint64
	durable map[string]int
	lost    uint64
}

func newRandomRun(t *testing.T, seed uint64) *randomRun {
	return &randomRun{
		t: t, random: rand.New(rand.NewPCG(seed, 7)), damage: seed%2 == 1,
		files: newMemFiles(), r: newReceiver(t), emitted: make(map[string][]uint64), durable: make(map[string]int),
	}
}

func (r *randomRun) run() {
	r.reopen()
	for range 1500 {
		switch p := r.random.IntN(1000); {
		case p < 500:
			r.add()
		case p < 940:
			r.send()
		case p < 960:
			r.spool.Rewind()
		case p < 970:
			full := r.random.IntN(2) == 0
			r.files.set(func(m memFiles) {
				m.Space = -1
				if full {
					m.Space = r.random.IntN(3000)
				}
			})
			r.spool.writing.Lock()
			r.spool.retryAt = time.Time{}
			r.spool.writing.Unlock()
		case p < 975:
			r.expire()
		case p < 990:
			r.files.set(func(m memFiles) { m.Space = -1 })
			r.files = r.files.afterKill()
			r.reopen()
		default:
			r.files = r.files.afterPowerCut(r.random.IntN(2) == 0, r.random.Float64())
			r.flip()
			r.reopen()
		}
		balanced(r.t, r.spool)
	}
	r.end()
}

func (r *randomRun) reopen() {
	r.spool = openMem(r.t, small(), r.files)
	r.emitted[r.spool.BootID()] = []uint64{0}
}

// add appends a batch, or several together.
func (r *randomRun) add() {
	var list []Entry
	var sums []uint64
	for range 1 + max(r.random.IntN(6)-3, 0) {
		events, lost := uint64(r.random.IntN(5)), uint64(r.random.IntN(2))
		list = append(list, Entry{Batch: batch(events, 1+r.random.IntN(800)), Counted: events, Lost: lost})
		sums = append(sums, events+lost)
		r.lost += lost
	}
	receipts, err := r.spool.AppendAll(list)
	if err != nil {
		r.t.Fatal(err)
	}
	for i, receipt := range receipts {
		boot := receipt.Sender.GetBootId()
		emitted := r.emitted[boot]
		r.emitted[boot] = append(emitted, emitted[len(emitted)-1]+sums[i])
		if receipt.Durable {
			r.durable[boot] = int(receipt.Sender.GetSequence())
		}
	}
}

// send sends a few batches; some of the acknowledgements get lost.
func (r *randomRun) send() {
	for range r.random.IntN(6) {
		b, ok := next(r.t, r.spool)
		if !ok {
			return
		}
		if r.random.IntN(20) == 0 {
			r.spool.Rewind() // it never arrived: that stream is gone
			return
		}
		ack := r.r.take(b)
		if r.random.IntN(3) == 0 {
			continue
		}
		if _, err := r.spool.Release(ack); err != nil {
			r.t.Fatal(err)
		}
	}
}

// expire makes the oldest segment too old.
func (r *randomRun) expire() {
	if !r.damage {
		return
	}
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	for _, g := range r.spool.segments {
		if g.boot != nil && g.sealed {
			g.newest = time.Now().Add(-25 * time.Hour)
			break
		}
	}
	r.spool.expire(time.Now())
}

func (r *randomRun) flip() {
	names, _ := r.files.List()
	for name, size := range names {
		if r.damage && size > 0 && r.random.IntN(4) == 0 {
			r.files.Flip(name, 8*magicSize+r.random.IntN(8*int(max(size-int64(magicSize), 1)))-8*min(magicSize, max(magicSize-int(size)+1, 0)))
		}
	}
}

func (r *randomRun) end() {
	r.files.set(func(m memFiles) { m.Space = -1 })
	r.spool.writing.Lock()
	r.spool.retryAt = time.Time{}
	r.spool.writing.Unlock()
	add(r.t, r.spool, 0, 0, 1)
	r.emitted[r.spool.BootID()] = append(r.emitted[r.spool.BootID()], slices.Max(r.emitted[r.spool.BootID()]))
	r.r.drain(r.spool)
	balanced(r.t, r.spool)
	if total := r.spool.Totals(); total.Spooled > 0 || total.Batches > 0 {
		r.t.Errorf("%d batches with %d events are left in the spool", total.Batches, total.Spooled)
	}
	for boot, l := range r.r.from {
		if want := r.emitted[boot][l.mark]; l.emitted != want || l.counted+l.lost+l.here != want {
			r.t.Errorf("boot %s up to %d: %+v; emitted were %d", boot, l.mark, l, want)
		}
	}
	if r.damage {
		return
	}
	r.r.explained()
	for boot, last := range r.durable {
		if l := r.r.from[boot]; l == nil || l.mark < uint64(last) {
			r.t.Errorf("boot %s: %+v; durable up to %d", boot, l, last)
		}
	}
}
