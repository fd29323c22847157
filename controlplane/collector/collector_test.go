package collector

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/batchcheck"
)

// inBubble runs a test in a bubble of its own.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// The first batch after some quiet is committed at once, those that follow together an interval
// later; an acknowledgement says that it is.
func TestGroupCommit(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := leading(t, Options{})
		time.Sleep(10 * time.Second)
		began := time.Now()
		st := push(t.Context(), s.Collector, everywhere)
		st.send(batch("a", 1, 10, 0, 10))
		st.answers(t, "a", 1)
		if took := time.Since(began); took != 0 {
			t.Errorf("the first batch waited for %v", took)
		}
		time.Sleep(300 * time.Millisecond)
		st.send(batch("a", 2, 20, 0, 10), batch("a", 3, 25, 0, 5))
		if got := st.answers(t, "a", 3); len(got) != 1 {
			t.Errorf("%d acknowledgements of what was committed together", len(got))
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("the next were committed after %v, want 1 s", took)
		}
		if a := account(t, s); a != (Account{Emitted: 25, Counted: 25}) {
			t.Errorf("%+v", a)
		}
		close(st.in)
		if err := <-st.err; err != nil {
			t.Error(err)
		}
	})
}

func TestSequences(t *testing.T) {
	type told struct{ sequence, emitted, lost, n uint64 }
	for _, test := range []struct {
		name    string
		batches []told
		want    Account
		counted []int // sequences in the evidence
	}{
		{"in order", []told{{1, 10, 0, 10}, {2, 20, 0, 10}}, Account{Emitted: 20, Counted: 20}, []int{1, 2}},
		{"twice", []told{{1, 10, 0, 10}, {1, 10, 0, 10}, {2, 20, 0, 10}, {1, 10, 0, 10}, {2, 20, 0, 10}}, Account{Emitted: 20, Counted: 20}, []int{1, 2}},
		{"a gap that the sender declares", []told{{1, 10, 0, 10}, {3, 30, 10, 10}}, Account{Emitted: 30, Counted: 20, Lost: 10}, []int{1, 3}},
		{"a gap", []told{{1, 10, 0, 10}, {3, 30, 0, 10}}, Account{Emitted: 30, Counted: 20, Missing: 10}, []int{1, 3}},
		{"a gap declared later", []told{{1, 10, 0, 10}, {3, 30, 0, 10}, {4, 40, 10, 10}}, Account{Emitted: 40, Counted: 30, Lost: 10}, []int{1, 3, 4}},
		{"what is in the gap comes after all", []told{{1, 10, 0, 10}, {3, 30, 0, 10}, {2, 20, 0, 10}}, Account{Emitted: 30, Counted: 20, Missing: 10}, []int{1, 3}},
		{"declared lost and counted", []told{{1, 10, 0, 10}, {2, 20, 10, 10}}, Account{Emitted: 20, Counted: 20}, []int{1, 2}},
		{"the first ones never came", []told{{7, 70, 5, 10}, {8, 80, 5, 10}}, Account{Emitted: 80, Counted: 20, Lost: 5, Missing: 55}, []int{7, 8}},
		{"nothing but a sign of life", []told{{1, 0, 0, 0}, {2, 0, 0, 0}}, Account{}, nil},
		{"counted more than emitted", []told{{1, 10, 0, 10}, {2, 15, 0, 10}, {3, 30, 0, 10}}, Account{Emitted: 30, Counted: 20, Missing: 10}, []int{1, 3}},
		{"emitted falls", []told{{1, 10, 0, 10}, {2, 9, 0, 0}, {3, 20, 0, 10}}, Account{Emitted: 20, Counted: 20}, []int{1, 3}},
		{"more than there can be", []told{{1, math.MaxUint64, 0, math.MaxUint64}, {2, 10, 0, 10}}, Account{Emitted: 10, Counted: 10}, []int{2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := leading(t, Options{})
				st := push(t.Context(), s.Collector, everywhere)
				for _, b := range test.batches {
					n := min(b.n, batchcheck.MaxCount)
					sent := batch("a", b.sequence, b.emitted, b.lost, n)
					sent.Tally.Counted = b.n
					st.send(sent)
					st.answers(t, "a", b.sequence)
				}
				if a := account(t, s); a != test.want {
					t.Errorf("got %+v, want %+v", a, test.want)
				}
				times, _ := readEvidence(t, s.store)
				for _, q := range test.counted {
					if times[fmt.Sprint("a ", q)] != 1 {
						t.Errorf("batch %d is %d times in the evidence", q, times[fmt.Sprint("a ", q)])
					}
				}
				if len(times) != len(test.counted) {
					t.Errorf("in the evidence are %v, want %v", times, test.counted)
				}
				s.stop()
				// Who leads next knows the same.
				next := serve(t, newUnreliable(s.store.Store, 1, 2), "b", Options{})
				for !next.collects() {
					time.Sleep(10 * time.Millisecond)
				}
				if a := account(t, next); a != test.want {
					t.Errorf("after a failover %+v, want %+v", a, test.want)
				}
			})
		})
	}
}

// Nonsense is refused in the answer, holds up nobody, and is counted as such.
func TestRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := leading(t, Options{})
		st := push(t.Context(), s.Collector, func(environment string) (string, error) {
			if environment == "secret" {
				return `key does not open environment "secret"`, nil
			}
			return "", nil
		})
		broken := batch("a", 1, 10, 0, 10)
		broken.Windows[0].Cells[0].Arm = 7
		foreign := batch("a", 2, 15, 0, 5)
		foreign.Environment = "secret"
		untold := batch("b", 1, 10, 0, 10)
		untold.Tally = nil
		forged := batch("c", 1, 10, 0, 10)
		forged.Windows[0].Cells[0].Exposures = 1 << 30
		st.send(broken, foreign, batch("a", 3, 20, 0, 5), forged, untold, batch("b", 2, 20, 0, 10))
		refusals := map[string]string{}
		acks := map[string]uint64{}
		for acks["a"] < 3 || acks["b"] < 2 {
			a := <-st.out
			who := a.GetAcknowledged()
			if a.GetRefusal() != "" {
				refusals[fmt.Sprint(who.GetInstanceId(), who.GetSequence())] = a.GetRefusal()
				continue
			}
			acks[who.GetInstanceId()] = who.GetSequence()
		}
		for id, says := range map[string]string{
			"a1": "windows[0].cells[0].arm 7: want control or treatment", "a2": `key does not open environment "secret"`, "b1": "tally: not set",
			"c1": "tally: counted 10: the windows hold 1073741824",
		} {
			if !strings.Contains(refusals[id], says) {
				t.Errorf("%s: %q, want %q", id, refusals[id], says)
			}
		}
		if len(refusals) != 4 {
			t.Errorf("%v", refusals)
		}
		if a := account(t, s); a != (Account{Emitted: 50, Counted: 15, Refused: 25, Late: 0, Missing: 10}) {
			t.Errorf("%+v", a)
		}
	})
}

func TestStreamsThatCannotBeAnswered(t *testing.T) {
	for name, test := range map[string]struct {
		edit  func(b *telemetryv1.Batch)
		allow Allow
		want  error
	}{
		"no sender":    {func(b *telemetryv1.Batch) { b.Sender = nil }, everywhere, ErrNoSender},
		"no instance":  {func(b *telemetryv1.Batch) { b.Sender.InstanceId = "" }, everywhere, ErrNoSender},
		"not UTF-8":    {func(b *telemetryv1.Batch) { b.Sender.BootId = "\xff" }, everywhere, ErrNoSender},
		"control code": {func(b *telemetryv1.Batch) { b.Sender.BootId = "a\nb" }, everywhere, ErrNoSender},
		"long boot":    {func(b *telemetryv1.Batch) { b.Sender.BootId = strings.Repeat("b", 65) }, everywhere, ErrNoSender},
		"sequence 0":   {func(b *telemetryv1.Batch) { b.Sender.Sequence = 0 }, everywhere, ErrNoSender},
		"sequence":     {func(b *telemetryv1.Batch) { b.Sender.Sequence = math.MaxUint64 }, everywhere, ErrNoSender},
		"no right":     {func(*telemetryv1.Batch) {}, func(string) (string, error) { return "", errDenied }, errDenied},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := leading(t, Options{})
				st := push(t.Context(), s.Collector, test.allow)
				b := batch("a", 1, 10, 0, 10)
				test.edit(b)
				st.send(b)
				if err := <-st.err; !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
				if a := account(t, s); a != (Account{}) {
					t.Errorf("%+v", a)
				}
			})
		})
	}
}

// What is told by a sender that may have been forgotten may have been counted before.
func TestLate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := leading(t, Options{Forget: time.Hour, Interval: 30 * time.Second})
		st := push(t.Context(), s.Collector, everywhere)
		st.send(batch("a", 1, 10, 0, 10), batch("b", 1, 1, 0, 1))
		again := batch("a", 2, 20, 0, 10)
		st.send(again)
		st.answers(t, "a", 2)
		for i := range uint64(9) { // b goes on
			time.Sleep(30 * time.Minute)
			st.send(batch("b", 2+i, 1, 0, 0))
		}
		senders, _ := s.Senders()
		if len(senders) != 1 || senders[0].InstanceID != "b" {
			t.Fatalf("silent senders are not forgotten: %+v", senders)
		}
		if a := account(t, s); a != (Account{Emitted: 21, Counted: 21}) {
			t.Errorf("what was forgotten is not in the sum: %+v", a)
		}
		// It was acknowledged, which the sender does not know.
		st.send(again)
		st.answers(t, "a", 2)
		if a := account(t, s); a != (Account{Emitted: 41, Counted: 21, Late: 20}) {
			t.Errorf("what may have been counted before: %+v", a)
		}
		// What is new counts.
		st.send(batch("a", 3, 25, 0, 5))
		st.answers(t, "a", 3)
		if a := account(t, s); a != (Account{Emitted: 46, Counted: 26, Late: 20}) {
			t.Errorf("%+v", a)
		}
		times, _ := readEvidence(t, s.store)
		if times["a 2"] != 1 || times["a 3"] != 1 {
			t.Errorf("%v", times)
		}
	})
}

// A write of a person's between the judge's look and the commit loses nothing.
func TestConflict(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		one := leading(t, Options{})
		st := push(t.Context(), one.Collector, everywhere)
		conflicts := 3
		hook := func(txn store.Txn) {
			if conflicts > 0 && len(txn.Compares) > 1 {
				conflicts--
				_, _ = one.store.Store.Commit(t.Context(), store.Txn{Ops: []store.Op{store.Put(flagKey, nil)}})
			}
		}
		one.store.hook.Store(&hook)
		st.send(batch("a", 1, 10, 0, 10))
		st.answers(t, "a", 1)
		if conflicts != 0 {
			t.Errorf("%d conflicts did not happen", conflicts)
		}
		if a := account(t, one); a != (Account{Emitted: 10, Counted: 10}) {
			t.Errorf("%+v", a)
		}
		if times, _ := readEvidence(t, one.store); times["a 1"] != 1 {
			t.Errorf("%v", times)
		}
	})
}

// Who was deposed acknowledges nothing, and its streams end.
func TestDeposed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := leading(t, Options{})
		st := push(t.Context(), s.Collector, everywhere)
		hook := func(store.Txn) {
			s.store.hook.Store(nil)
			_, _ = s.store.Store.Commit(t.Context(), store.Txn{Ops: []store.Op{store.Delete(leader.Key)}})
		}
		s.store.hook.Store(&hook)
		st.send(batch("a", 1, 10, 0, 10))
		select {
		case a := <-st.out:
			t.Errorf("acknowledged: %v", a)
		case err := <-st.err:
			if !errors.Is(err, ErrNotLeading) {
				t.Error(err)
			}
		}
		if times, _ := readEvidence(t, s.store); len(times) != 0 {
			t.Errorf("%v", times)
		}
	})
}

// A ledger that cannot be read is not begun anew.
func TestCorruptLedger(t *testing.T) {
	for name, damage := range map[string][]store.Op{
		"marks":       {store.Put(marksKey(senderID{instance: "a"}.shard()), []byte{0xff})},
		"rows":        {store.Put(marksKey(senderID{instance: "a"}.shard()), nil)},
		"no marks":    {store.Delete(marksKey(senderID{instance: "a"}.shard()))},
		"no senders":  {store.Delete(sendersKey(senderID{instance: "a"}.shard()))},
		"head":        {store.Put(headKey, []byte{0xff})},
		"other shard": {store.Put(marksPrefix+"zz", nil)},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := leading(t, Options{})
				st := push(t.Context(), s.Collector, everywhere)
				st.send(batch("a", 1, 10, 0, 10))
				st.answers(t, "a", 1)
				s.stop()
				if _, err := s.store.Commit(t.Context(), store.Txn{Ops: damage}); err != nil {
					t.Fatal(err)
				}
				c, err := New(Options{Store: s.store})
				if err != nil {
					t.Fatal(err)
				}
				out, err := s.store.Commit(t.Context(), store.Txn{Ops: []store.Op{store.Put(leader.Key, nil)}})
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Lead(t.Context(), leader.Term(out.Revision)); !errors.Is(err, ErrCorrupt) {
					t.Error(err)
				}
			})
		})
	}
}

func TestTake(t *testing.T) {
	t.Parallel()
	now := time.Now()
	m := mark{sequence: 5, emitted: 50, counted: 40, lost: 10}
	for q, want := range map[uint64]verdict{4: verdictDuplicate, 5: verdictDuplicate, 6: verdictCounted, 9: verdictCounted} {
		p := newPending(batch("a", q, 60, 10, 10), "")
		next, v, refusal := m.take(p, now, time.Hour, false)
		if v != want || refusal != "" {
			t.Errorf("%d: %s, %q, want %s", q, v, refusal, want)
		}
		if same := next == m; same != (v == verdictDuplicate) {
			t.Errorf("%d: %+v", q, next)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"no store": {}, "interval": {Store: memstore.New(), Interval: -1}, "forget": {Store: memstore.New(), Forget: time.Second},
		"memory": {Store: memstore.New(), MaxPendingBytes: 1},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	c, err := New(Options{Store: memstore.New()})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Push(nil, everywhere); !errors.Is(err, ErrNotLeading) {
		t.Errorf("who does not lead collects: %v", err)
	}
	if _, ok := c.Account(); ok {
		t.Error("who does not lead knows the account")
	}
}

// What flags served is told once for each batch that is committed, and not of others.
func TestEvaluated(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		counts := map[string]uint64{}
		s := leading(t, Options{Evaluated: func(environment string, told []*telemetryv1.Evaluations) {
			for _, e := range told {
				counts[environment+" "+e.GetFlagKey()] += e.GetCount()
			}
		}})
		st := push(t.Context(), s.Collector, everywhere)
		one := batch("a", 1, 10, 0, 10)
		one.Evaluations = []*telemetryv1.Evaluations{{FlagKey: "f", Variant: "on", Count: 7, LastAt: timestamppb.Now()}}
		refused := batch("a", 2, 20, 0, 10)
		refused.Evaluations = []*telemetryv1.Evaluations{{FlagKey: "f", Variant: "on", Count: 5, LastAt: timestamppb.Now()}, {}}
		st.send(one, one, refused, batch("a", 3, 30, 0, 10))
		st.answers(t, "a", 3)
		if want := map[string]uint64{one.GetEnvironment() + " f": 7}; !maps.Equal(counts, want) {
			t.Errorf("got %v, want %v", counts, want)
		}
		close(st.in)
		if err := <-st.err; err != nil {
			t.Error(err)
		}
	})
}
