package storetest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/controlplane/store"
)

func (s *subject) watch(prefix string, from int64) store.Watch {
	s.t.Helper()
	w, err := s.Store.Watch(s.ctx, prefix, from)
	if err != nil {
		s.t.Fatalf("Watch(%q, %d): %v", prefix, from, err)
	}
	s.t.Cleanup(w.Close)
	return w
}

// next returns the next batch with events.
func (s *subject) next(w store.Watch) store.Batch {
	s.t.Helper()
	for {
		select {
		case b, ok := <-w.Batches():
			if !ok {
				s.t.Fatalf("the watch ended: %v", w.Err())
			}
			if len(b.Events) > 0 {
				return b
			}
		case <-s.ctx.Done():
			s.t.Fatal("nothing came")
		}
	}
}

// collect returns the next n events as "key=value@revision" or "-key@revision", having
// checked that batches are in order and hold what they claim.
func (s *subject) collect(w store.Watch, n int) []string {
	s.t.Helper()
	var events []string
	last := int64(0)
	for len(events) < n {
		b := s.next(w)
		if b.Events[0].KV.ModRevision <= last {
			s.t.Errorf("revision %d was split, or came after %d", b.Events[0].KV.ModRevision, last)
		}
		for _, e := range b.Events {
			if e.KV.ModRevision < last {
				s.t.Errorf("revision %d came after %d", e.KV.ModRevision, last)
			}
			last = e.KV.ModRevision
			if e.Deleted {
				events = append(events, fmt.Sprintf("-%s@%d", e.KV.Key, e.KV.ModRevision))
			} else {
				events = append(events, fmt.Sprintf("%s=%s@%d", e.KV.Key, e.KV.Value, e.KV.ModRevision))
			}
		}
		if b.Revision != last {
			s.t.Errorf("a batch up to revision %d says %d", last, b.Revision)
		}
	}
	return events
}

// end waits for the watch to end and returns why.
func (s *subject) end(w store.Watch) error {
	s.t.Helper()
	for {
		select {
		case _, ok := <-w.Batches():
			if !ok {
				return w.Err()
			}
		case <-s.ctx.Done():
			s.t.Fatal("the watch did not end")
		}
	}
}

func testWatchOrder(t *testing.T, s *subject) {
	w := s.watch("p/", s.put("p/a", "0")+1)
	var want []string
	for i := range 60 {
		key := fmt.Sprintf("p/%d", i%7)
		if i%3 == 2 && s.get(key) != "" {
			want = append(want, fmt.Sprintf("-%s@%d", key, s.delete(key)))
		} else {
			want = append(want, fmt.Sprintf("%s=%d@%d", key, i, s.put(key, strconv.Itoa(i))))
		}
	}
	got := s.collect(w, len(want))
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func testWatchWhole(t *testing.T, s *subject) {
	start := s.put("x", "")
	live := s.watch("p/", start+1)
	// Larger than one message of etcd's stream, which cuts it into fragments.
	value := []byte(strings.Repeat("v", 11<<10))
	revisions := make([]int64, 0, 3)
	for range cap(revisions) {
		ops := make([]store.Op, 0, store.MaxTxnOps)
		for i := range store.MaxTxnOps {
			ops = append(ops, store.Put(fmt.Sprintf("p/%03d", i), value))
		}
		revisions = append(revisions, s.commit(store.Txn{Ops: ops}).Revision)
	}
	for name, w := range map[string]store.Watch{"live": live, "from the past": s.watch("p/", start+1)} {
		events := s.collect(w, len(revisions)*store.MaxTxnOps)
		for i, e := range events {
			want := fmt.Sprintf("p/%03d=%s@%d", i%store.MaxTxnOps, value, revisions[i/store.MaxTxnOps])
			if e != want {
				t.Fatalf("%s: event %d is %.20s..., want %.20s...", name, i, e, want)
			}
		}
	}
}

func testWatchPast(t *testing.T, s *subject) {
	r1 := s.put("p/a", "1")
	r2 := s.put("p/a", "2")
	r3 := s.delete("p/a")
	w := s.watch("p/", r2)
	r4 := s.put("p/a", "4")
	got := strings.Join(s.collect(w, 3), " ")
	s.equal("events", got, fmt.Sprintf("p/a=2@%d -p/a@%d p/a=4@%d", r2, r3, r4))

	all := strings.Join(s.collect(s.watch("p/", r1), 4), " ")
	s.equal("all events", all, fmt.Sprintf("p/a=1@%d %s", r1, got))
	if e := s.next(s.watch("p/", r4)).Events[0]; e.KV.CreateRevision != r4 || e.Deleted {
		t.Errorf("event of a new key: %+v", e)
	}
}

func testWatchPrefix(_ *testing.T, s *subject) {
	w := s.watch("p/", 1)
	s.put("o", "")
	s.commit(store.Txn{Ops: []store.Op{store.Put("p", nil), store.Put("p/a", nil), store.Put("p0", nil)}})
	r := s.put("p/b", "")
	got := s.collect(w, 2)
	s.equal("events", strings.Join(got, " "), fmt.Sprintf("p/a=@%d p/b=@%d", r-1, r))
}

func testProgress(t *testing.T, s *subject) {
	w := s.watch("p/", s.put("p/a", "1"))
	s.next(w)
	target := s.put("elsewhere", "")
	for reached := int64(0); reached < target; {
		if err := w.RequestProgress(s.ctx); err != nil {
			t.Fatalf("RequestProgress: %v", err)
		}
		select {
		case b := <-w.Batches():
			if len(b.Events) != 0 {
				t.Errorf("events without a change: %v", b.Events)
			}
			if b.Revision < reached {
				t.Errorf("progress went back from %d to %d", reached, b.Revision)
			}
			reached = b.Revision
		case <-s.ctx.Done():
			t.Fatalf("no progress beyond %d, want %d", reached, target)
		}
	}
	// Progress never overtakes changes.
	for i := range 200 {
		revision := s.put("p/b", strconv.Itoa(i))
		if err := w.RequestProgress(s.ctx); err != nil {
			t.Fatalf("RequestProgress: %v", err)
		}
		for {
			b := <-w.Batches()
			if len(b.Events) > 0 {
				if b.Revision != revision {
					t.Errorf("got revision %d, want %d", b.Revision, revision)
				}
				break
			}
			if b.Revision >= revision {
				t.Fatalf("progress to %d came before the change of %d", b.Revision, revision)
			}
		}
	}
}

func testWatchCompacted(t *testing.T, s *subject) {
	r1 := s.put("p/a", "1")
	r2 := s.delete("p/a")
	r3 := s.put("p/b", "3")
	if err := s.Compact(s.ctx, r3); err != nil {
		t.Fatalf("Compact: %v", err)
	}
	for _, from := range []int64{r1, r2} {
		s.fails("watch from a compacted revision", s.end(s.watch("p/", from)), store.ErrCompacted)
	}
	s.put("p/c", "4")
	got := s.collect(s.watch("p/", r3+1), 1)
	s.equal("after the compaction", got[0], fmt.Sprintf("p/c=4@%d", r3+1))
}

func testWatchEnds(t *testing.T, s *subject) {
	closed := s.watch("p/", 1)
	closed.Close()
	closed.Close()
	if err := s.end(closed); err != nil {
		t.Errorf("a watch that was closed ended with %v", err)
	}

	ctx, cancel := context.WithCancel(s.ctx)
	w, err := s.Store.Watch(ctx, "p/", 1)
	if err != nil {
		t.Fatalf("Watch: %v", err)
	}
	cancel()
	s.fails("a watch whose context ended", s.end(w), context.Canceled)
	w.Close()

	// An unread watch neither blocks writers nor its own end.
	unread := s.watch("p/", 1)
	for i := range 100 {
		s.put("p/a", strconv.Itoa(i))
	}
	unread.Close()
}
