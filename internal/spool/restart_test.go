package spool

import (
	"testing"
	"testing/synctest"
	"time"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// sendOne sends the next batch; the acknowledgement arrives.
func sendOne(t *testing.T, s *Spool, r *receiver) {
	t.Helper()
	b, ok := next(t, s)
	if !ok {
		t.Fatal("there is none")
	}
	if _, err := s.Release(r.take(b)); err != nil {
		t.Fatal(err)
	}
}

// TestSentIsKnownAgain: what a process has sent, the next one does not drop for want of room,
// even where nothing was appended meanwhile that would have brought it to disk.
func TestSentIsKnownAgain(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	large := small()
	large.MaxBytes = 1 << 20
	dead := openMem(t, large, m)
	for range 600 {
		add(t, dead, 1, 0, 300)
	}
	r := newReceiver(t)
	for range 300 {
		sendOne(t, dead, r)
	}
	s := openMem(t, small(), m.afterKill())
	for range 200 {
		add(t, s, 1, 0, 1000)
	}
	balanced(t, s)
	r.drain(s)
	balanced(t, s)
	r.explained()
	if l := r.from[dead.BootID()]; l.counted+l.lost != 600 || l.lost == 0 {
		t.Errorf("ledger %+v", l)
	}
}

// TestDroppedIsKnownAgain: what a process has dropped, the next one declares.
func TestDroppedIsKnownAgain(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	dead := openMem(t, small(), m)
	r := newReceiver(t)
	for range 30 {
		add(t, dead, 1, 0, 1000)
		sendOne(t, dead, r)
	}
	for range 200 {
		add(t, dead, 1, 0, 1000)
	}
	s := openMem(t, small(), m.afterKill())
	r.drain(s)
	balanced(t, s)
	r.explained()
	if l := r.from[dead.BootID()]; l.emitted != 230 || l.lost == 0 || l.counted+l.lost != 230 {
		t.Errorf("ledger %+v", l)
	}
}

// TestAcknowledgedAhead: a receiver that has counted more than this process has sent says so,
// and is not sent it again; nor is what never got to disk missed.
func TestAcknowledgedAhead(t *testing.T) {
	for what, beyond := range map[string]uint64{"a part": 0, "all": 5, "more than is on disk": 9} {
		m := newMemFiles()
		dead := openMem(t, small(), m)
		for range 20 {
			add(t, dead, 1, 0, 300)
		}
		s := openMem(t, small(), m.afterKill())
		if _, ok := next(t, s); !ok {
			t.Fatal("there is none")
		}
		if _, err := s.Release(&telemetryv1.Sender{InstanceId: relayID, BootId: dead.BootID(), Sequence: 15 + beyond}); err != nil {
			t.Fatal(err)
		}
		if b, ok := next(t, s); ok != (beyond == 0) || ok && b.GetSender().GetSequence() != 16 {
			t.Errorf("%s: then came %v, %t", what, b.GetSender(), ok)
		}
		balanced(t, s)
		if total := s.Totals(); total.Acknowledged != min(15+beyond, 20) || total.Resent != map[bool]uint64{true: 2, false: 1}[beyond == 0] {
			t.Errorf("%s: %+v", what, total)
		}
	}
}

// TestExpiredUnderWay: what was given up on its way is not called acknowledged when later
// batches are.
func TestExpiredUnderWay(t *testing.T) {
	t.Parallel()
	s := openMem(t, small(), newMemFiles())
	for range 8 { // in several segments
		add(t, s, 5, 0, 1000)
	}
	first := s.segments[0]
	late := first.last
	var b *telemetryv1.Batch
	for range 8 {
		b, _ = next(t, s)
	}
	first.newest = time.Now().Add(-25 * time.Hour)
	s.mu.Lock()
	s.expire(time.Now())
	s.mu.Unlock()
	balanced(t, s)
	if _, err := s.Release(b.GetSender()); err != nil {
		t.Fatal(err)
	}
	balanced(t, s)
	if a := s.Accounts()[0]; a.Lost != 5*late || a.Acknowledged != 40-5*late || s.Totals().Acknowledged != a.Acknowledged {
		t.Errorf("account %+v; %d expired", a, late)
	}
}

// TestClockSetBack: a batch from the future gets as old as another one.
func TestClockSetBack(t *testing.T) {
	m := newMemFiles()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1000 * time.Hour)
		s, err := open(small(), m, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		add(t, s, 5, 0, 10)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // its clock begins anew
		s, err := open(small(), m, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, want := range []uint64{5, 0} {
			if got := s.Totals(); got.Spooled != want || got.Lost[ReasonExpired] != 5-want {
				t.Errorf("%+v, want %d events", got, want)
			}
			time.Sleep(26 * time.Hour)
			synctest.Wait()
		}
	})
}

// TestStateStays: while nothing can be written, the last file that holds the marks stays.
func TestStateStays(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	sdk := &telemetryv1.Sender{InstanceId: "sdk", BootId: "1", Sequence: 3}
	s := openMem(t, small(), m)
	add(t, s, 1, 0, 10, sdk)
	newReceiver(t).drain(s)
	for range 2 {
		m = m.afterKill()
		m.Space = 0
		add(t, openMem(t, small(), m), 1, 0, 10)
	}
	if !openMem(t, small(), m.afterKill()).Seen(sdk) {
		t.Error("the mark is gone")
	}
}

// TestLargeBatches: few of them are under way at a time.
func TestLargeBatches(t *testing.T) {
	t.Parallel()
	s := openMem(t, Options{InstanceID: relayID}, nil)
	for range 20 {
		add(t, s, 1, 0, MaxBatchBytes-100)
	}
	n := 0
	for _, ok := next(t, s); ok; _, ok = next(t, s) {
		n++
	}
	if n != 9 {
		t.Errorf("%d batches of 1 MiB are under way", n)
	}
}

// TestSettledWhileWritten: a segment of which nothing is needed any more by the time that the
// disk takes it leaves no file.
func TestSettledWhileWritten(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	s := openMem(t, small(), m)
	m.set(func(m memFiles) { m.Space = 0 })
	for range 8 {
		add(t, s, 1, 0, 1000)
	}
	r := newReceiver(t)
	var last *telemetryv1.Sender
	for b, ok := next(t, s); ok; b, ok = next(t, s) {
		last = r.take(b)
	}
	released := false
	m.set(func(m memFiles) {
		m.Space = -1
		m.OnSync = func() {
			if !released {
				released = true
				if _, err := s.Release(last); err != nil {
					t.Error(err)
				}
			}
		}
	})
	s.retryAt = time.Time{}
	add(t, s, 1, 0, 10)
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	if !released || len(m.Names) > len(s.segments) {
		t.Errorf("%d files for %d segments", len(m.Names), len(s.segments))
	}
}

// TestSettledStaysSettled: a boot of which everything was acknowledged does not come back from
// older state that is still on disk, neither while that is written nor later.
func TestSettledStaysSettled(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	first := openMem(t, small(), m)
	for range 3 {
		add(t, first, 5, 0, 10)
	}
	m = m.afterKill()
	second := openMem(t, small(), m) // its checkpoint tells of the first
	r := newReceiver(t)
	r.drain(second)
	for range 10 {
		add(t, second, 1, 0, 1000) // stays, in several segments
		m = m.afterKill()
		s := openMem(t, small(), m)
		for _, a := range s.Accounts() {
			if a.BootID == first.BootID() {
				t.Errorf("account %+v", a)
			}
		}
		if lost := s.Totals().Lost[ReasonDamaged]; lost > 0 {
			t.Errorf("%d events are called damaged", lost)
		}
		second = s
	}
	r.drain(second)
	r.explained()
}

// TestCheckpointSettles: where what said that a boot is settled was dropped, that later
// checkpoints do not know of it says so.
func TestCheckpointSettles(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	first := openMem(t, small(), m)
	add(t, first, 5, 0, 10)
	m = m.afterKill()
	s := openMem(t, small(), m)
	add(t, s, 1, 0, 3000) // with a checkpoint that tells of the first
	r := newReceiver(t)
	sendOne(t, s, r)
	if b, ok := next(t, s); !ok || b.GetSender().GetBootId() != s.BootID() {
		t.Fatal("the second boot's batch is not under way")
	}
	for range 100 {
		add(t, s, 1, 0, 1000)
	}
	s = openMem(t, small(), m.afterKill())
	if n := len(s.Accounts()); n != 2 || s.Totals().Lost[ReasonDamaged] > 0 {
		t.Errorf("%+v, lost %v", s.Accounts(), s.Totals().Lost)
	}
	r.drain(s)
	r.explained()
}

// TestRefuse: what was refused is lost, also for the next process; what came before it was
// counted.
func TestRefuse(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	s := openMem(t, small(), m)
	var b *telemetryv1.Batch
	for i := range uint64(3) {
		add(t, s, i+1, 0, 10)
		b, _ = next(t, s)
	}
	if n, err := s.Refuse(b.GetSender()); n != 3 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	balanced(t, s)
	if total := s.Totals(); total.Acknowledged != 3 || total.Lost[ReasonRefused] != 3 {
		t.Errorf("%+v", total)
	}
	add(t, s, 5, 0, 10)
	for _, s := range []*Spool{s, openMem(t, small(), m.afterKill())} {
		if a := s.Accounts()[0]; a.Acknowledged != 3 || a.Lost != 3 || a.Spooled != 5 {
			t.Errorf("account %+v", a)
		}
		// The receiver knows what it refused: the tally does not call it lost.
		if b, ok := next(t, s); !ok || b.GetTally().GetLost() != 0 || b.GetTally().GetEmitted() != 11 {
			t.Errorf("then came %v", b)
		}
	}
}
