package spool

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const relayID = "relay-1"

// small bounds, so that segments come and go. Nothing happens by the clock.
func small() Options {
	return Options{InstanceID: relayID, MaxBytes: 64 << 10, MemoryBytes: 16 << 10, Logger: zerolog.Nop()}
}

func openMem(t testing.TB, o Options, fsys files) *Spool {
	t.Helper()
	s, err := open(o, fsys, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // its files may be dead
	return s
}

// batch stands for so many events.
func batch(events uint64, size int) *telemetryv1.Batch {
	return &telemetryv1.Batch{
		Environment: "production",
		Windows: []*telemetryv1.Window{{Cells: []*telemetryv1.Cell{{
			Rollout: string(make([]byte, size)), Exposures: events,
		}}}},
	}
}

func add(t testing.TB, s *Spool, events, lost uint64, size int, marks ...*telemetryv1.Sender) Receipt {
	t.Helper()
	r, err := s.Append(Entry{Batch: batch(events, size), Counted: events, Lost: lost, Marks: marks})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// next is Next that does not wait.
func next(t testing.TB, s *Spool) (*telemetryv1.Batch, bool) {
	t.Helper()
	for {
		s.mu.Lock()
		out, got, reserve := s.nextLocked()
		s.mu.Unlock()
		if reserve {
			if err := s.flush(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !got {
			return nil, false
		}
		return decode(t, out), true
	}
}

func decode(t testing.TB, out Outgoing) *telemetryv1.Batch {
	t.Helper()
	b := &telemetryv1.Batch{}
	if err := proto.Unmarshal(append(append([]byte(nil), out.Batch[0]...), out.Batch[1]...), b); err != nil {
		t.Fatal(err)
	}
	if b.GetSender().GetBootId() != out.BootID || b.GetSender().GetSequence() != out.Sequence || b.GetSender().GetInstanceId() != out.InstanceID {
		t.Fatalf("handed out as %s %d, and says %v", out.BootID, out.Sequence, b.GetSender())
	}
	return b
}

// receiver counts as a collector does: a sequence once, and in order.
type receiver struct {
	t    testing.TB
	from map[string]*ledger
	// counted are the batches that count, by boot and sequence.
	counted map[string]uint64
}

// ledger is the receiver's account of a boot. here is what no tally explains.
type ledger struct{ mark, emitted, counted, lost, here uint64 }

func newReceiver(t testing.TB) *receiver {
	return &receiver{t: t, from: make(map[string]*ledger), counted: make(map[string]uint64)}
}

// take counts a batch and returns what it acknowledges.
func (r *receiver) take(b *telemetryv1.Batch) *telemetryv1.Sender {
	r.t.Helper()
	s := b.GetSender()
	l := r.from[s.GetBootId()]
	if l == nil {
		l = &ledger{}
		r.from[s.GetBootId()] = l
	}
	if s.GetSequence() > l.mark {
		events := uint64(0)
		for _, w := range b.GetWindows() {
			events += w.GetCells()[0].GetExposures()
		}
		tally := b.GetTally()
		if events != tally.GetCounted() || b.GetEnvironment() != "production" {
			r.t.Fatalf("batch %d of %q holds %d events, its tally says %d", s.GetSequence(), b.GetEnvironment(), events, tally.GetCounted())
		}
		l.mark, l.emitted, l.lost = s.GetSequence(), tally.GetEmitted(), tally.GetLost()
		l.counted += events
		r.counted[key(s)] = events
		if l.counted+l.lost > l.emitted {
			r.t.Fatalf("boot %s at %d: counted %d, declared %d, and only %d were emitted", s.GetBootId(), l.mark, l.counted, l.lost, l.emitted)
		}
		here := l.emitted - l.counted - l.lost
		if here < l.here {
			r.t.Fatalf("boot %s at %d: %d were declared here, and are now in the tally", s.GetBootId(), l.mark, l.here-here)
		}
		l.here = here
	}
	return &telemetryv1.Sender{InstanceId: s.GetInstanceId(), BootId: s.GetBootId(), Sequence: l.mark}
}

func key(s *telemetryv1.Sender) string { return fmt.Sprint(s.GetBootId(), " ", s.GetSequence()) }

// drain sends everything.
func (r *receiver) drain(s *Spool) {
	r.t.Helper()
	s.Rewind()
	for {
		b, ok := next(r.t, s)
		if !ok {
			return
		}
		if _, err := s.Release(r.take(b)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// explained checks that the tallies told of everything that was not counted.
func (r *receiver) explained() {
	r.t.Helper()
	for id, l := range r.from {
		if l.here > 0 {
			r.t.Errorf("boot %s: %d events are missing that no tally told of", id, l.here)
		}
	}
}

// balanced checks a spool's own equality.
func balanced(t testing.TB, s *Spool) {
	t.Helper()
	total := s.Totals()
	lost := uint64(0)
	for _, n := range total.Lost {
		lost += n
	}
	if total.Emitted != total.Acknowledged+total.Spooled+lost {
		t.Fatalf("emitted %d, acknowledged %d, spooled %d, lost %v", total.Emitted, total.Acknowledged, total.Spooled, total.Lost)
	}
	spooled := uint64(0)
	for _, a := range s.Accounts() {
		spooled += a.Spooled
		if a.Emitted != a.Acknowledged+a.Lost+a.Spooled {
			t.Fatalf("account %+v", a)
		}
	}
	if spooled != total.Spooled {
		t.Fatalf("the accounts hold %d, the segments %d", spooled, total.Spooled)
	}
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

var errDisk = errors.New("input/output error")
