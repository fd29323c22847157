package spool

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// kinds of spool that do the same.
func kinds(t *testing.T, test func(t *testing.T, s *Spool)) {
	t.Run("disk", func(t *testing.T) { test(t, openMem(t, small(), newMemFiles())) })
	t.Run("memory", func(t *testing.T) { test(t, openMem(t, small(), nil)) })
	t.Run("directory", func(t *testing.T) {
		o := small()
		o.Dir = t.TempDir()
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		test(t, s)
	})
}

// TestInOrder: what is appended comes out in order, with the account up to each; again after
// a Rewind, without what was released.
func TestInOrder(t *testing.T) {
	kinds(t, func(t *testing.T, s *Spool) {
		for i := range uint64(10) {
			r := add(t, s, i, 1, 10)
			if r.Sender.GetSequence() != i+1 || r.Sender.GetInstanceId() != relayID || r.Sender.GetBootId() != s.BootID() || r.Durable != (s.files != nil) {
				t.Fatalf("receipt %+v", r)
			}
		}
		emitted := uint64(0)
		for i := range uint64(10) {
			out, err := s.Next(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			b := decode(t, out)
			emitted += i + 1
			if tally := b.GetTally(); b.GetSender().GetSequence() != i+1 || tally.GetEmitted() != emitted || tally.GetLost() != i+1 || tally.GetCounted() != i {
				t.Fatalf("batch %v, tally %v", b.GetSender(), tally)
			}
		}
		if n, err := s.Release(&telemetryv1.Sender{InstanceId: relayID, BootId: s.BootID(), Sequence: 4}); n != 4 || err != nil {
			t.Fatalf("released %d, %v", n, err)
		}
		balanced(t, s)
		s.Rewind()
		balanced(t, s)
		if b, ok := next(t, s); !ok || b.GetSender().GetSequence() != 5 || b.GetTally().GetLost() != 5 {
			t.Fatalf("after a rewind: %v", b)
		}
		if got := s.Totals(); got.Acknowledged != 0+1+2+3 || got.Lost[ReasonUncounted] != 10 || got.Resent != 1 || got.UnderWay != 1 {
			t.Errorf("totals %+v", got)
		}
	})
}

// TestUnderWay: no more than MaxUnderWay go out before something is released.
func TestUnderWay(t *testing.T) {
	kinds(t, func(t *testing.T, s *Spool) {
		for range MaxUnderWay + 1 {
			add(t, s, 1, 0, 10)
		}
		var last *telemetryv1.Batch
		for i := range MaxUnderWay {
			b, ok := next(t, s)
			if !ok {
				t.Fatalf("%d were handed out", i)
			}
			last = b
		}
		if b, ok := next(t, s); ok {
			t.Fatalf("%v was handed out as well", b.GetSender())
		}
		if _, err := s.Release(last.GetSender()); err != nil {
			t.Fatal(err)
		}
		if _, ok := next(t, s); !ok {
			t.Error("the last one was not handed out")
		}
	})
}

// TestRelease: acknowledgements of what was not sent change nothing.
func TestRelease(t *testing.T) {
	kinds(t, func(t *testing.T, s *Spool) {
		add(t, s, 3, 0, 10)
		add(t, s, 3, 0, 10)
		b, _ := next(t, s)
		for _, sender := range []*telemetryv1.Sender{
			{InstanceId: relayID, BootId: s.BootID(), Sequence: 2},
			{InstanceId: relayID, BootId: s.BootID(), Sequence: 0},
			{InstanceId: relayID, BootId: "another", Sequence: 1},
			{InstanceId: "another", BootId: s.BootID(), Sequence: 1},
			nil,
		} {
			if _, err := s.Release(sender); !errors.Is(err, ErrNotSent) {
				t.Errorf("%v: %v", sender, err)
			}
		}
		for i, want := range []int{1, 0} {
			if n, err := s.Release(b.GetSender()); n != want || err != nil {
				t.Errorf("time %d: %d, %v", i+1, n, err)
			}
		}
		balanced(t, s)
	})
}

// TestRefused: what cannot be appended leaves no gap.
func TestRefused(t *testing.T) {
	kinds(t, func(t *testing.T, s *Spool) {
		for what, e := range map[string]Entry{
			"nothing":    {},
			"a sender":   {Batch: &telemetryv1.Batch{Sender: &telemetryv1.Sender{}}},
			"a tally":    {Batch: &telemetryv1.Batch{Tally: &telemetryv1.Tally{}}},
			"large":      {Batch: batch(1, MaxBatchBytes+1)},
			"a long id":  {Batch: batch(1, 1), Marks: []*telemetryv1.Sender{{InstanceId: strings.Repeat("x", maxID+1)}}},
			"not a text": {Batch: &telemetryv1.Batch{Environment: "\xff"}},
		} {
			if _, err := s.Append(e); err == nil || what == "large" && !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if r := add(t, s, 1, 0, 1); r.Sender.GetSequence() != 1 {
			t.Errorf("the first one is %v", r.Sender)
		}
		balanced(t, s)
	})
}

// TestMarks: messages of senders below are known again, also by the next process, for as
// long as they are kept.
func TestMarks(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	o := small()
	o.MaxMarks = 10
	s := openMem(t, o, m)
	sdk := func(boot string, n uint64) *telemetryv1.Sender {
		return &telemetryv1.Sender{InstanceId: "sdk", BootId: boot, Sequence: n}
	}
	if s.Seen(sdk("a", 1)) {
		t.Error("seen before it came")
	}
	add(t, s, 1, 0, 10, sdk("a", 3), sdk("b", 1))
	add(t, s, 1, 0, 10, sdk("a", 2)) // came late
	check := func(s *Spool) {
		t.Helper()
		for _, c := range []struct {
			sender *telemetryv1.Sender
			want   bool
		}{
			{sdk("a", 1), true}, {sdk("a", 3), true}, {sdk("a", 4), false}, {sdk("b", 1), true}, {sdk("b", 2), false}, {sdk("c", 1), false},
		} {
			if got := s.Seen(c.sender); got != c.want {
				t.Errorf("seen %v: %t", c.sender, got)
			}
		}
	}
	check(s)
	s = openMem(t, o, m.afterPowerCut(false, 0))
	check(s)
	// What came long ago is in a segment that is gone.
	r := newReceiver(t)
	for range 40 {
		add(t, s, 1, 0, 1000)
		r.drain(s)
	}
	if n := len(s.segments); n > 2 {
		t.Errorf("%d segments are left", n)
	}
	check(openMem(t, o, s.files.(memFiles).afterKill()))
	for i := range 30 {
		add(t, s, 1, 0, 1000, sdk(strings.Repeat("x", i), 1))
	}
	if n := len(s.marks); n > 12 {
		t.Errorf("%d marks are kept", n)
	}
}

// TestGroupCommit: those who append while the disk is busy wait for one sync together.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	s := openMem(t, small(), m)
	const others = 50
	syncing, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	m.set(func(m memFiles) { m.OnSync = func() { once.Do(func() { close(syncing); <-release }) } })
	before := m.Syncs
	var all sync.WaitGroup
	all.Go(func() { add(t, s, 1, 0, 10) })
	<-syncing
	for range others {
		all.Go(func() {
			if r := add(t, s, 1, 0, 10); !r.Durable {
				t.Error("not durable")
			}
		})
	}
	for queued := 0; queued < others; {
		s.mu.Lock()
		queued = len(s.group.batches)
		s.mu.Unlock()
	}
	close(release)
	all.Wait()
	if n := m.Syncs - before; n != 2 {
		t.Errorf("%d syncs, want 2", n)
	}
	r := newReceiver(t)
	r.drain(s)
	if l := r.from[s.BootID()]; l.counted != others+1 {
		t.Errorf("ledger %+v", l)
	}
}

// TestFull: the oldest that were not sent make room, and the next that is sent says so. What
// may have been sent stays.
func TestFull(t *testing.T) {
	kinds(t, func(t *testing.T, s *Spool) {
		r := newReceiver(t)
		add(t, s, 1, 0, 100)
		first, _ := next(t, s) // on its way, and not acknowledged
		for range 300 {
			add(t, s, 1, 0, 1000)
		}
		balanced(t, s)
		total := s.Totals()
		if bound := s.o.MaxBytes + 3*s.segmentBytes(); total.Bytes > bound || total.Lost[ReasonFull] == 0 {
			t.Errorf("%d bytes, bound %d; lost %v", total.Bytes, bound, total.Lost)
		}
		s.Rewind()
		if again, ok := next(t, s); !ok || again.GetSender().GetSequence() != first.GetSender().GetSequence() {
			t.Fatalf("what was sent came again as %v", again.GetSender())
		}
		r.drain(s)
		add(t, s, 1, 0, 100)
		r.drain(s)
		r.explained()
		if l := r.from[s.BootID()]; l.emitted != 302 || l.lost != total.Lost[ReasonFull] || l.counted+l.lost != l.emitted {
			t.Errorf("ledger %+v, lost %v", l, total.Lost)
		}
		balanced(t, s)
	})
}

// TestExpired: what is too old goes, sent or not; of what was sent, the receiver knows.
func TestExpired(t *testing.T) {
	for _, sent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, err := open(small(), newMemFiles(), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			r := newReceiver(t)
			add(t, s, 5, 0, 100)
			if sent {
				b, _ := next(t, s)
				r.take(b) // and the acknowledgement gets lost
			}
			time.Sleep(23 * time.Hour)
			add(t, s, 7, 0, 100)
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if lost := s.Totals().Lost[ReasonExpired]; lost != 5 {
				t.Errorf("lost %d", lost)
			}
			balanced(t, s)
			r.drain(s)
			balanced(t, s)
			r.explained()
			l := r.from[s.BootID()]
			if want := map[bool]uint64{false: 7, true: 12}[sent]; l.counted != want || l.counted+l.lost != 12 {
				t.Errorf("sent %t: ledger %+v", sent, l)
			}
		})
	}
}

// TestClosing: where the last batches of a boot are gone, the receiver learns of it.
func TestClosing(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	s := openMem(t, small(), m)
	dead := s.BootID()
	for range 20 {
		add(t, s, 2, 1, 1000)
	}
	// The next process has more to say than there is room for.
	s = openMem(t, small(), m.afterKill())
	for range 300 {
		add(t, s, 1, 0, 1000)
	}
	s.mu.Lock()
	s.boots[0].sent = 0 // nothing was: else a part would have to stay
	for len(s.segments) > 1 && s.segments[0].boot == s.boots[0] {
		s.drop(s.segments[0], ReasonFull)
	}
	s.mu.Unlock()
	r := newReceiver(t)
	r.drain(s)
	r.explained()
	if l := r.from[dead]; l == nil || *l != (ledger{mark: 20, emitted: 60, lost: 60}) {
		t.Errorf("ledger %+v", l)
	}
	if n := len(s.Accounts()); n != 1 {
		t.Errorf("%d accounts are left", n)
	}
	if _, err := s.Release(&telemetryv1.Sender{InstanceId: relayID, BootId: dead, Sequence: 20}); err != nil {
		t.Errorf("acknowledged again: %v", err)
	}
	balanced(t, s)
}

// TestDiskFull: it goes on in memory, and back on disk nothing is missing.
func TestDiskFull(t *testing.T) {
	for _, fail := range []func(m memFiles){
		func(m memFiles) { m.Space = 100 },
		func(m memFiles) { m.FailSync = errDisk },
	} {
		m := newMemFiles()
		s := openMem(t, small(), m)
		r := newReceiver(t)
		if !add(t, s, 1, 0, 500).Durable {
			t.Error("not durable")
		}
		m.set(fail)
		for range 12 {
			if add(t, s, 1, 0, 500).Durable {
				t.Error("durable, on a disk that fails")
			}
		}
		if s.Failing() == nil || s.Totals().MemoryBytes < 12*500 {
			t.Errorf("failing: %v; %+v", s.Failing(), s.Totals())
		}
		b, _ := next(t, s)
		if _, err := s.Release(r.take(b)); err != nil {
			t.Fatal(err)
		}
		m.set(func(m memFiles) { m.Space, m.FailSync = -1, nil })
		if add(t, s, 1, 0, 500).Durable {
			t.Error("tried again at once")
		}
		s.retryAt = time.Time{}
		if !add(t, s, 1, 0, 500).Durable || s.Failing() != nil || s.Totals().MemoryBytes != 0 {
			t.Errorf("not durable again: %v; %+v", s.Failing(), s.Totals())
		}
		balanced(t, s)
		again := openMem(t, small(), m.afterPowerCut(false, 0))
		r.drain(again)
		r.explained()
		if l := r.from[s.BootID()]; l.counted != 15 {
			t.Errorf("ledger %+v", l)
		}
		balanced(t, again)
	}
}

// TestMemoryFull: while the disk fails, memory has its bound.
func TestMemoryFull(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	s := openMem(t, small(), m)
	m.set(func(m memFiles) { m.Space = 0 })
	for range 100 {
		add(t, s, 1, 0, 1000)
	}
	if total := s.Totals(); total.MemoryBytes > s.o.MemoryBytes+2*s.segmentBytes() || total.Lost[ReasonFull] == 0 {
		t.Errorf("%+v", total)
	}
	r := newReceiver(t)
	r.drain(s)
	r.explained()
	if l := r.from[s.BootID()]; l.emitted != 100 || l.counted+l.lost != 100 {
		t.Errorf("ledger %+v", l)
	}
}

// TestReadOnly: a directory that cannot be written can be sent from.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	dead := openMem(t, small(), m)
	add(t, dead, 7, 0, 10)
	left := m.afterKill()
	left.Operations = 0
	s := openMem(t, small(), left)
	add(t, s, 3, 0, 10)
	r := newReceiver(t)
	r.drain(s)
	if r.from[dead.BootID()].counted != 7 || r.from[s.BootID()].counted != 3 || s.Failing() == nil {
		t.Errorf("ledgers %+v; failing: %v", r.from, s.Failing())
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	o := small()
	o.Registerer = registry
	s := openMem(t, o, newMemFiles())
	add(t, s, 5, 2, 10)
	add(t, s, 4, 0, 10)
	b, _ := next(t, s)
	if _, err := s.Release(b.GetSender()); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "tidegate_spool_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"emitted_events_total": 11, "acknowledged_events_total": 5, "events": 4,
		"lost_events_total uncounted": 2, "lost_events_total full": 0, "lost_events_total expired": 0, "lost_events_total damaged": 0, "lost_events_total refused": 0,
		"under_way_batches": 0, "resent_batches_total": 0, "write_errors_total": 0, "memory_bytes": 0,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v (there: %t), want %v", name, value, ok, want)
		}
	}
	if got["bytes"] == 0 {
		t.Error("no bytes")
	}
	if _, err := open(o, newMemFiles(), time.Hour); err == nil {
		t.Error("a second spool has the same metrics")
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := openMem(t, small(), newMemFiles())
	waiting := make(chan error, 1)
	go func() { _, err := s.Next(soon(t)); waiting <- err }()
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("Next: %v", err)
	}
	if _, err := s.Append(Entry{Batch: batch(1, 1)}); !errors.Is(err, ErrClosed) {
		t.Errorf("Append: %v", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for what, o := range map[string]Options{
		"no instance": {}, "bytes": {InstanceID: "a", MaxBytes: -1}, "age": {InstanceID: "a", MaxAge: -1}, "marks": {InstanceID: "a", MaxMarks: 1 << 20},
	} {
		if _, err := Open(o); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

// TestWithoutEvents: a batch without events is sent, too: it says that there were none, or
// that the relay has tripped.
func TestWithoutEvents(t *testing.T) {
	kinds(t, func(t *testing.T, s *Spool) {
		for range 10 { // in several segments
			add(t, s, 0, 0, 1000)
		}
		r := newReceiver(t)
		r.drain(s)
		if len(r.counted) != 10 || s.Totals().Batches > 0 {
			t.Errorf("counted %v; %+v", r.counted, s.Totals())
		}
	})
}
