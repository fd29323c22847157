// Package storetest is the conformance suite of package store: what it promises, as
// tests that run on every implementation.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

// Subject is an empty store under test.
type Subject struct {
	Store store.Store
	// Compact removes what was superseded at or before the revision.
	Compact func(ctx context.Context, revision int64) error
}

// patience bounds waits that end at once in a correct implementation.
const patience = 20 * time.Second

// Run runs the suite. open returns a store that is closed when the test ends.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s *subject)
	}{
		{"ReadsAnEmptyStore", testEmpty},
		{"CommitsWhereGuardsHold", testGuards},
		{"GivesOneRevisionToATransaction", testOneRevision},
		{"LeavesTheRevisionWhereNothingChanged", testNothingChanged},
		{"RangesInOrder", testRanges},
		{"ReadsOneState", testOneState},
		{"ReadsEarlierRevisions", testEarlier},
		{"RefusesBadTransactions", testRefused},
		{"LosesNoUpdate", testCompareAndSwap},
		{"ExpiresLeases", testLeases},
		{"KeepsLeasesAlive", testLeasesKept},
		{"RevokesLeases", testLeasesRevoked},
		{"EndsWithItsContext", testContext},
		{"FailsOnceClosed", testClosed},
		{"WatchesInOrder", testWatchOrder},
		{"WatchesWholeRevisions", testWatchWhole},
		{"WatchesFromThePast", testWatchPast},
		{"WatchesOnlyItsPrefix", testWatchPrefix},
		{"ReportsProgress", testProgress},
		{"EndsWatchesOverCompaction", testWatchCompacted},
		{"EndsWatches", testWatchEnds},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			test.run(t, &subject{t: t, ctx: ctx, Subject: open(t)})
		})
	}
}

// subject wraps what every test does.
type subject struct {
	Subject
	t   *testing.T
	ctx context.Context // the test's own
}

func (s *subject) commit(txn store.Txn) store.Outcome {
	s.t.Helper()
	out, err := s.Store.Commit(s.ctx, txn)
	if err != nil {
		s.t.Fatalf("Commit(%v): %v", txn, err)
	}
	return out
}

func (s *subject) put(key, value string) int64 {
	s.t.Helper()
	return s.commit(store.Txn{Ops: []store.Op{store.Put(key, []byte(value))}}).Revision
}

func (s *subject) delete(key string) int64 {
	s.t.Helper()
	return s.commit(store.Txn{Ops: []store.Op{store.Delete(key)}}).Revision
}

func (s *subject) read(r store.Range) store.Result {
	s.t.Helper()
	results, _, err := s.Store.Read(s.ctx, r)
	if err != nil {
		s.t.Fatalf("Read(%v): %v", r, err)
	}
	return results[0]
}

// get returns "value created/modified", or "" if the key is absent.
func (s *subject) get(key string) string {
	s.t.Helper()
	return describe(s.read(store.Key(key)).KVs)
}

func describe(kvs []store.KV) string {
	parts := make([]string, 0, len(kvs))
	for _, kv := range kvs {
		parts = append(parts, fmt.Sprintf("%s=%s %d/%d", kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision))
	}
	return strings.Join(parts, ", ")
}

func (s *subject) equal(what, got, want string) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func (s *subject) fails(what string, err, want error) {
	s.t.Helper()
	if !errors.Is(err, want) {
		s.t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func testEmpty(t *testing.T, s *subject) {
	results, revision, err := s.Store.Read(s.ctx, store.Key("a"), store.Prefix("b"))
	if err != nil || len(results) != 2 || len(results[0].KVs)+len(results[1].KVs) != 0 {
		t.Errorf("Read of nothing: %v, %v", results, err)
	}
	if revision <= 0 {
		t.Errorf("revision of a fresh store is %d, want above 0", revision)
	}
}

func testGuards(t *testing.T, s *subject) {
	created := s.put("a", "1")
	modified := s.put("a", "2")
	for _, test := range []struct {
		compare store.Compare
		holds   bool
	}{
		{store.Unchanged("a", modified), true},
		{store.Unchanged("a", created), false},
		{store.Unchanged("a", 0), false},
		{store.CreatedAt("a", created), true},
		{store.CreatedAt("a", modified), false},
		{store.Absent("a"), false},
		{store.Absent("never"), true},
		{store.Unchanged("never", modified), false},
		{store.CreatedAt("never", created), false},
	} {
		before := s.get("a")
		out := s.commit(store.Txn{
			Compares: []store.Compare{store.Absent("never"), test.compare},
			Ops:      []store.Op{store.Put("b", []byte("x")), store.Delete("c")},
		})
		if out.Committed != test.holds {
			t.Errorf("guard %+v held: %v, want %v", test.compare, out.Committed, test.holds)
		}
		if present := s.get("b") != ""; present != test.holds {
			t.Errorf("guard %+v: put happened: %v, want %v", test.compare, present, test.holds)
		}
		s.delete("b")
		s.equal("untouched key", s.get("a"), before)
	}
	s.delete("a")
	if !s.commit(store.Txn{Compares: []store.Compare{store.Absent("a")}, Ops: []store.Op{store.Put("a", nil)}}).Committed {
		t.Error("a deleted key does not count as absent")
	}
}

func testOneRevision(t *testing.T, s *subject) {
	first := s.put("a", "1")
	out := s.commit(store.Txn{Ops: []store.Op{
		store.Put("a", []byte("2")), store.Put("b", []byte("3")),
	}})
	if !out.Committed || out.Revision != first+1 {
		t.Errorf("transaction after revision %d: %+v", first, out)
	}
	s.equal("a", s.get("a"), fmt.Sprintf("a=2 %d/%d", first, out.Revision))
	s.equal("b", s.get("b"), fmt.Sprintf("b=3 %d/%d", out.Revision, out.Revision))
	s.delete("a")
	again := s.put("a", "4")
	s.equal("a, made again", s.get("a"), fmt.Sprintf("a=4 %d/%d", again, again))
}

func testNothingChanged(t *testing.T, s *subject) {
	before := s.put("a", "1")
	if got := s.delete("never"); got != before {
		t.Errorf("deleting nothing moved the revision from %d to %d", before, got)
	}
	out := s.commit(store.Txn{Compares: []store.Compare{store.Absent("a")}, Ops: []store.Op{store.Put("b", nil)}})
	if out.Committed || out.Revision != before {
		t.Errorf("a refused transaction: %+v, want revision %d", out, before)
	}
}

func testRanges(t *testing.T, s *subject) {
	for _, key := range []string{"p/b", "p/a", "p0", "p/c", "o", "p/", "q"} {
		s.put(key, "")
	}
	for _, test := range []struct {
		r    store.Range
		keys string
		more bool
	}{
		{store.Prefix("p/"), "p/ p/a p/b p/c", false},
		{store.Prefix("p"), "p/ p/a p/b p/c p0", false},
		{store.Range{Key: "p/", End: "p0", Limit: 2}, "p/ p/a", true},
		{store.Range{Key: "p/", End: "p0", Limit: 4}, "p/ p/a p/b p/c", false},
		{store.Range{Key: "p/aa", End: "p/c"}, "p/b", false},
		{store.Key("p"), "", false},
		{store.Key("q"), "q", false},
	} {
		got := s.read(test.r)
		keys := make([]string, 0, len(got.KVs))
		for _, kv := range got.KVs {
			keys = append(keys, kv.Key)
		}
		if strings.Join(keys, " ") != test.keys || got.More != test.more {
			t.Errorf("range %+v: got %q, more %v; want %q, %v", test.r, keys, got.More, test.keys, test.more)
		}
	}
}

func testOneState(t *testing.T, s *subject) {
	const rounds = 200
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for i := range rounds {
			value := []byte(strconv.Itoa(i))
			if _, err := s.Store.Commit(s.ctx, store.Txn{Ops: []store.Op{store.Put("a", value), store.Put("b", value)}}); err != nil {
				t.Errorf("Commit: %v", err)
				return
			}
		}
	})
	for range rounds {
		results, revision, err := s.Store.Read(s.ctx, store.Key("a"), store.Key("b"))
		if err != nil {
			t.Errorf("Read: %v", err)
			return
		}
		a, b := results[0].KVs, results[1].KVs
		if len(a) != len(b) || len(a) == 1 && (string(a[0].Value) != string(b[0].Value) || a[0].ModRevision > revision) {
			t.Errorf("one Read at revision %d saw %q and %q", revision, describe(a), describe(b))
		}
	}
}

func testEarlier(t *testing.T, s *subject) {
	r1 := s.put("a", "1")
	r2 := s.put("b", "2")
	r3 := s.delete("a")
	r4 := s.put("b", "3")
	at := func(revision int64) string {
		t.Helper()
		result, err := s.Store.ReadAt(s.ctx, revision, store.Range{Key: "a", End: "c"})
		if err != nil {
			return err.Error()
		}
		return describe(result.KVs)
	}
	s.equal("at r1", at(r1), fmt.Sprintf("a=1 %d/%d", r1, r1))
	s.equal("at r2", at(r2), fmt.Sprintf("a=1 %d/%d, b=2 %d/%d", r1, r1, r2, r2))
	s.equal("at r3", at(r3), fmt.Sprintf("b=2 %d/%d", r2, r2))
	s.equal("at r4", at(r4), fmt.Sprintf("b=3 %d/%d", r2, r4))
	s.equal("at a later one", at(r4+1), store.ErrFutureRevision.Error())

	if err := s.Compact(s.ctx, r3); err != nil {
		t.Fatalf("Compact(%d): %v", r3, err)
	}
	s.equal("compacted", at(r2), store.ErrCompacted.Error())
	s.equal("at the compaction", at(r3), fmt.Sprintf("b=2 %d/%d", r2, r2))
	s.equal("after it", at(r4), fmt.Sprintf("b=3 %d/%d", r2, r4))
	s.equal("now", s.get("b"), fmt.Sprintf("b=3 %d/%d", r2, r4))
	s.equal("gone", s.get("a"), "")
}

func testRefused(t *testing.T, s *subject) {
	before := s.put("a", "1")
	many := make([]store.Op, store.MaxTxnOps+1)
	guards := make([]store.Compare, store.MaxTxnOps+1)
	for i := range many {
		many[i] = store.Put(fmt.Sprintf("k%03d", i), nil)
		guards[i] = store.Absent(fmt.Sprintf("k%03d", i))
	}
	for _, test := range []struct {
		name string
		txn  store.Txn
		want error
	}{
		{"a key twice", store.Txn{Ops: []store.Op{store.Put("b", nil), store.Put("b", nil)}}, store.ErrDuplicateKey},
		{"too many ops", store.Txn{Ops: many}, store.ErrTooLarge},
		{"too many compares", store.Txn{Compares: guards}, store.ErrTooLarge},
		{"too many bytes", store.Txn{Ops: []store.Op{store.Put("b", make([]byte, store.MaxTxnBytes+1))}}, store.ErrTooLarge},
		{"an unknown lease", store.Txn{Ops: []store.Op{store.PutLeased("b", nil, 4711)}}, store.ErrLeaseNotFound},
	} {
		_, err := s.Store.Commit(s.ctx, test.txn)
		s.fails(test.name, err, test.want)
	}
	s.equal("b", s.get("b"), "")
	_, now, err := s.Store.Read(s.ctx, store.Key("a"))
	if err != nil || now != before {
		t.Errorf("refused transactions moved the revision from %d to %d (%v)", before, now, err)
	}
	full := s.commit(store.Txn{Compares: guards[1:], Ops: many[1:]})
	if !full.Committed {
		t.Errorf("a transaction of %d compares and ops was refused", store.MaxTxnOps)
	}
	s.commit(store.Txn{Ops: []store.Op{store.Put("b", make([]byte, store.MaxTxnBytes-1<<10))}})
}

func testCompareAndSwap(t *testing.T, s *subject) {
	const writers, each = 4, 15
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for done := 0; done < each; {
				results, _, err := s.Store.Read(s.ctx, store.Key("n"))
				if err != nil {
					t.Errorf("Read: %v", err)
					return
				}
				n, seen := 0, int64(0)
				if kvs := results[0].KVs; len(kvs) == 1 {
					n, seen = len(kvs[0].Value), kvs[0].ModRevision
				}
				out, err := s.Store.Commit(s.ctx, store.Txn{
					Compares: []store.Compare{store.Unchanged("n", seen)},
					Ops:      []store.Op{store.Put("n", make([]byte, n+1))},
				})
				if err != nil {
					t.Errorf("Commit: %v", err)
					return
				}
				if out.Committed {
					done++
				}
			}
		})
	}
	wg.Wait()
	if kvs := s.read(store.Key("n")).KVs; len(kvs) != 1 || len(kvs[0].Value) != writers*each {
		t.Errorf("%d increments were acknowledged, the counter holds %d", writers*each, len(kvs[0].Value))
	}
}

func testLeases(t *testing.T, s *subject) {
	lease, err := s.Store.Grant(s.ctx, time.Second)
	if err != nil {
		t.Fatalf("Grant: %v", err)
	}
	start := time.Now()
	s.commit(store.Txn{Ops: []store.Op{
		store.PutLeased("a", []byte("1"), lease), store.PutLeased("b", []byte("2"), lease),
	}})
	s.put("b", "3") // no longer the lease's
	for s.get("a") != "" {
		time.Sleep(10 * time.Millisecond)
	}
	if lived := time.Since(start); lived < 900*time.Millisecond {
		t.Errorf("a lease of 1 s expired after %v", lived)
	}
	if s.get("b") == "" {
		t.Error("a key that was put again without the lease went with it")
	}
	s.fails("KeepAlive of a lease that has expired", s.Store.KeepAlive(s.ctx, lease), store.ErrLeaseNotFound)
}

// A lease that is kept alive outlives its ttl several times over.
func testLeasesKept(t *testing.T, s *subject) {
	lease, err := s.Store.Grant(s.ctx, 2*time.Second)
	if err != nil {
		t.Fatalf("Grant: %v", err)
	}
	created := s.commit(store.Txn{Ops: []store.Op{store.PutLeased("a", nil, lease)}}).Revision
	for start := time.Now(); time.Since(start) < 5*time.Second; time.Sleep(50 * time.Millisecond) {
		if err := s.Store.KeepAlive(s.ctx, lease); err != nil {
			t.Fatalf("KeepAlive: %v", err)
		}
		s.equal("a", s.get("a"), fmt.Sprintf("a= %d/%d", created, created))
	}
}

func testLeasesRevoked(t *testing.T, s *subject) {
	lease, err := s.Store.Grant(s.ctx, time.Hour)
	if err != nil {
		t.Fatalf("Grant: %v", err)
	}
	s.commit(store.Txn{Ops: []store.Op{store.PutLeased("a", nil, lease), store.PutLeased("b", nil, lease)}})
	s.put("c", "3")
	for range 2 { // the second time, it has gone
		if err := s.Store.Revoke(s.ctx, lease); err != nil {
			t.Errorf("Revoke: %v", err)
		}
	}
	s.equal("the lease's keys", s.get("a")+s.get("b"), "")
	if s.get("c") == "" {
		t.Error("a key of no lease went with it")
	}
	s.fails("KeepAlive of a lease that was revoked", s.Store.KeepAlive(s.ctx, lease), store.ErrLeaseNotFound)
	_, err = s.Store.Commit(s.ctx, store.Txn{Ops: []store.Op{store.PutLeased("a", nil, lease)}})
	s.fails("a put with a lease that was revoked", err, store.ErrLeaseNotFound)
}

func testContext(_ *testing.T, s *subject) {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, _, err := s.Store.Read(ctx, store.Key("a"))
	s.fails("Read", err, context.Canceled)
	_, err = s.Store.ReadAt(ctx, 1, store.Key("a"))
	s.fails("ReadAt", err, context.Canceled)
	_, err = s.Store.Commit(ctx, store.Txn{Ops: []store.Op{store.Put("a", nil)}})
	s.fails("Commit", err, context.Canceled)
	_, err = s.Store.Grant(ctx, time.Minute)
	s.fails("Grant", err, context.Canceled)
	s.fails("KeepAlive", s.Store.KeepAlive(ctx, 1), context.Canceled)
	s.fails("Revoke", s.Store.Revoke(ctx, 1), context.Canceled)
}

func testClosed(t *testing.T, s *subject) {
	w := s.watch("a", 1)
	for range 2 {
		if err := s.Store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	for range w.Batches() {
		continue
	}
	s.fails("a watch", w.Err(), store.ErrClosed)
	_, _, err := s.Store.Read(s.ctx, store.Key("a"))
	s.fails("Read", err, store.ErrClosed)
	_, err = s.Store.Commit(s.ctx, store.Txn{Ops: []store.Op{store.Put("a", nil)}})
	s.fails("Commit", err, store.ErrClosed)
	_, err = s.Store.Watch(s.ctx, "a", 1)
	s.fails("Watch", err, store.ErrClosed)
	s.fails("KeepAlive", s.Store.KeepAlive(s.ctx, 1), store.ErrClosed)
	s.fails("Revoke", s.Store.Revoke(s.ctx, 1), store.ErrClosed)
	w.Close()
}
