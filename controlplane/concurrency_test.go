package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/replica"
)

// TestConcurrentWriters: many writers, on two servers, compare and swap the same flags.
// Every acknowledged write is in the history exactly once; histories are chains without
// gaps; replicas see the writes in the order of their revisions.
func TestConcurrentWriters(t *testing.T) {
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	servers := []*fixture{runOn(t, s), runOn(t, s)}
	keys := []string{"a", "b", "c"}
	for _, key := range keys {
		servers[0].create(boolFlag(key))
	}
	servers[1].caughtUp()
	_, published := servers[1].replicas.Replica(production).Subscribe()

	const writers, each = 8, 40
	var (
		mu    sync.Mutex
		acked = make(map[string]*controlv1.AuditEntry) // by reason
		wg    sync.WaitGroup
	)
	for w := range writers {
		wg.Go(func() {
			f, r := servers[w%2], rand.New(rand.NewPCG(uint64(w), 1))
			for i := range each {
				reason := fmt.Sprintf("writer %d, write %d", w, i)
				entry, err := randomWrite(f, r, keys[r.IntN(len(keys))], reason)
				if err != nil {
					t.Errorf("%s: %v", reason, err)
					return
				}
				if entry != nil {
					mu.Lock()
					acked[reason] = entry
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for _, f := range servers {
		f.caughtUp()
	}
	checkOrder(t, servers[1], published, keys)

	found := 0
	for _, key := range keys {
		for _, e := range checkChain(t, servers[0], key) {
			if e.GetSequence() == 1 {
				continue
			}
			found++
			if !proto.Equal(e, acked[e.GetReason()]) {
				t.Errorf("history has %v, acknowledged was %v", e, acked[e.GetReason()])
			}
		}
	}
	if found != len(acked) {
		t.Errorf("%d writes were acknowledged, history has %d", len(acked), found)
	}
	a, b := servers[0].replicas.Replica(production).Snapshot(), servers[1].replicas.Replica(production).Snapshot()
	if a.Cursor().Digest != b.Cursor().Digest {
		t.Errorf("the servers do not agree: %v and %v", a.Cursor(), b.Cursor())
	}
}

// randomWrite changes the flag until it is acknowledged; nil: there was nothing to
// change.
func randomWrite(f *fixture, r *rand.Rand, key, reason string) (*controlv1.AuditEntry, error) {
	for {
		if r.IntN(3) == 0 {
			resp, err := f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{
				Environment: production, FlagKey: key, Enabled: r.IntN(2) == 0, Reason: reason,
			})
			return resp.GetEntry(), err
		}
		current, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: key})
		if err != nil {
			return nil, err
		}
		flag := proto.CloneOf(current.GetFlag().GetFlag())
		flag.Description = reason
		resp, err := f.UpdateFlag(f.ctx, alice, &controlv1.UpdateFlagRequest{
			Environment: production, Flag: flag, BaseRevision: current.GetFlag().GetRevision(), Reason: reason,
		})
		var conflict *ConflictError
		if !errors.As(err, &conflict) {
			return resp.GetEntry(), err
		}
	}
}

// checkOrder walks what a replica published and checks that every write came once, in
// the order of the revisions that the histories have.
func checkOrder(t *testing.T, f *fixture, from *replica.Subscription, keys []string) {
	t.Helper()
	want := make(map[int64]string)
	for _, key := range keys {
		for _, e := range f.fullHistory(key)[1:] {
			want[e.GetRevision()] = key
		}
	}
	last := int64(0)
	for len(want) > 0 {
		ctx, cancel := context.WithTimeout(f.ctx, patience)
		c, lost, err := from.Next(ctx)
		cancel()
		if err != nil || lost {
			t.Fatalf("next change: lost %v, %v; still missing %v", lost, err, want)
		}
		for _, item := range c.Delta.Puts {
			if item.ModRevision <= last {
				t.Errorf("revision %d came after %d", item.ModRevision, last)
			}
			last = item.ModRevision
			if want[last] != item.Key {
				t.Errorf("revision %d changed %q, history says %q", last, item.Key, want[last])
			}
			delete(want, last)
		}
	}
}

// checkChain verifies a flag's history: sequences without gaps, revisions that rise,
// hashes and previous revisions that fit. It returns the entries, oldest first.
func checkChain(t *testing.T, f *fixture, key string) []*controlv1.AuditEntry {
	t.Helper()
	entries := f.fullHistory(key)
	r := resource{environment: production, kind: flagKind, key: key}
	var before *controlv1.AuditEntry
	var hash []byte
	for i, e := range entries {
		kv, err := f.readEntry(f.ctx, r, int64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.GetSequence() != int64(i+1):
			t.Errorf("%s: entry %d has sequence %d", key, i+1, e.GetSequence())
		case !bytes.Equal(e.GetPreviousHash(), hash):
			t.Errorf("%s: the chain is broken at %d", key, i+1)
		case e.GetRevision() <= before.GetRevision():
			t.Errorf("%s: revision %d after %d", key, e.GetRevision(), before.GetRevision())
		case before != nil && entryResource(before) != nil && e.GetPreviousRevision() != before.GetRevision():
			t.Errorf("%s: entry %d follows revision %d, not %d", key, i+1, e.GetPreviousRevision(), before.GetRevision())
		}
		// Whoever has the entry as served can verify the chain: it is stored without
		// its revision.
		unstamped := proto.CloneOf(e)
		unstamped.Revision = 0
		if data, err := marshal(unstamped); err != nil || !bytes.Equal(data, kv.Value) {
			t.Errorf("%s: entry %d as served is not what is stored", key, i+1)
		}
		before, hash = e, entryHash(kv.Value)
	}
	return entries
}

// TestNoCycleByRace: of writes that would together form a cycle or dangle, one at least
// is refused, whatever server they go to.
func TestNoCycleByRace(t *testing.T) {
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	servers := []*fixture{runOn(t, s), runOn(t, s)}
	const rounds, ring = 30, 3
	for round := range rounds {
		key := func(i int) string { return fmt.Sprintf("r%d-%d", round, i%ring) }
		var base [ring]int64
		for i := range ring {
			base[i] = servers[0].create(boolFlag(key(i))).GetFlag().GetRevision()
		}
		segment := servers[0].createSegment(fmt.Sprintf("s%d", round)).GetSegment()
		var wg sync.WaitGroup
		for i := range ring {
			// Each needs the next: all together a cycle.
			wg.Go(func() {
				_, err := servers[i%2].update(boolFlag(key(i), key(i+1)), base[i])
				tolerate(t, err)
			})
		}
		// One deletes what another begins to need.
		wg.Go(func() { tolerate(t, servers[0].delete(key(1), base[1])) })
		wg.Go(func() {
			_, err := servers[1].DeleteSegment(servers[1].ctx, alice, &controlv1.DeleteSegmentRequest{
				Environment: production, SegmentKey: segment.GetSegment().GetKey(), BaseRevision: segment.GetRevision(), Reason: "r",
			})
			tolerate(t, err)
		})
		wg.Go(func() {
			_, err := servers[0].CreateFlag(servers[0].ctx, alice, &controlv1.CreateFlagRequest{
				Environment: production, Reason: "r",
				Flag: inSegment(boolFlag(fmt.Sprintf("u%d", round)), segment.GetSegment().GetKey()),
			})
			tolerate(t, err)
		})
		wg.Wait()
		for _, f := range servers {
			f.caughtUp()
			if err := f.replicas.Replica(production).Snapshot().Eval().Check(nil, nil); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
	}
}

// tolerate fails the test on errors other than those that a lost race may have.
func tolerate(t *testing.T, err error) {
	var precondition *PreconditionError
	var conflict *ConflictError
	var notFound *NotFoundError
	if err != nil && !errors.As(err, &precondition) && !errors.As(err, &conflict) && !errors.As(err, &notFound) {
		t.Errorf("%v", err)
	}
}

// TestGuardIsTouchedOnlyWhereReferencesMayBreak: other writes must not get in each
// other's way, nor wait for the replicas.
func TestGuardIsTouchedOnlyWhereReferencesMayBreak(t *testing.T) {
	base := inSegment(boolFlag("f", "p"), "s")
	edit := func(change func(f *flagv1.Flag)) *flagv1.Flag {
		f := proto.CloneOf(base)
		change(f)
		return f
	}
	for _, test := range []struct {
		name            string
		before, after   *flagv1.Flag
		guarded, delete bool
	}{
		{name: "created without references", after: boolFlag("f")},
		{name: "created with a prerequisite", after: boolFlag("f", "p"), guarded: true},
		{name: "created with a segment", after: inSegment(boolFlag("f"), "s"), guarded: true},
		{name: "disabled", before: base, after: edit(func(f *flagv1.Flag) { f.Enabled = false })},
		{name: "prerequisite dropped", before: base, after: edit(func(f *flagv1.Flag) { f.Prerequisites = nil })},
		{name: "prerequisite's variant added", before: base, guarded: true, after: edit(func(f *flagv1.Flag) {
			f.Prerequisites[0].Variants = append(f.Prerequisites[0].Variants, "off")
		})},
		{name: "variant added", before: base, after: edit(func(f *flagv1.Flag) {
			f.Variants = append(f.Variants, &flagv1.Variant{Name: "x", Value: parseValue("true")})
		})},
		{name: "variant renamed", before: base, guarded: true, after: edit(func(f *flagv1.Flag) { f.Variants[1].Name = "x" })},
		{name: "segment exchanged", before: base, guarded: true, after: edit(func(f *flagv1.Flag) {
			f.Rules[0].Clauses[0].Values[0] = parseValue(`"other"`)
		})},
		{name: "deleted", before: base, delete: true, guarded: true},
	} {
		d := &draft{change: &change{resource: resource{kind: flagKind}}}
		if test.before != nil {
			d.current = version{revision: 1, message: test.before}
		}
		if !test.delete {
			d.desired = test.after
		}
		if got := needGuard([]*draft{d}); got != test.guarded {
			t.Errorf("%s: guarded %v, want %v", test.name, got, test.guarded)
		}
	}
}
