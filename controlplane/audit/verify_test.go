package audit

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func (f *fixture) commit(ops ...store.Op) {
	f.t.Helper()
	if _, err := f.store.Commit(f.ctx, store.Txn{Ops: ops}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) value(key string) []byte {
	f.t.Helper()
	results, _, err := f.store.Read(f.ctx, store.Key(key))
	if err != nil || len(results[0].KVs) == 0 {
		f.t.Fatalf("%s: %v", key, err)
	}
	return results[0].KVs[0].Value
}

// forged is a later entry of a flag that fits its history, as the store's owner could make it.
func (f *fixture) forged(previous store.KV, sequence int64) []byte {
	f.t.Helper()
	e, err := decode(previous.Value, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	e.Sequence, e.PreviousHash, e.Actor = sequence, hashOf(previous.Value), "mallory"
	stored, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	if err != nil {
		f.t.Fatal(err)
	}
	return stored
}

// TestTampering: whatever somebody with the store does to what is sealed is found, and where.
func TestTampering(t *testing.T) {
	const flags = 200 // three seals at least
	entryKey := func(key string, sequence int64) string {
		return trailRoot(production) + "f/" + key + "/" + strings.TrimPrefix(sealKey("x", sequence), sealPrefix("x"))
	}
	for name, c := range map[string]struct {
		tamper func(*fixture)
		want   string
	}{
		"an entry changed": {func(f *fixture) {
			key := entryKey("f007", 3)
			f.commit(store.Put(key, f.forged(store.KV{Value: f.value(entryKey("f007", 2))}, 3)))
		}, `flag "f007": entry 3, sealed by seal 2`},
		"an entry changed in the middle": {func(f *fixture) {
			f.commit(store.Put(entryKey("f007", 1), f.value(entryKey("f008", 1))))
		}, `flag "f007": entry 1 is of revision`},
		"the newest entry removed": {func(f *fixture) { f.commit(store.Delete(entryKey("f007", 3))) }, `flag "f007": entry 3, sealed by seal 2`},
		"an entry removed from the middle": {func(f *fixture) {
			f.commit(store.Delete(entryKey("f007", 2)))
		}, `flag "f007": entry 2 is missing`},
		"a whole history removed": {func(f *fixture) {
			f.commit(store.Delete(entryKey("f007", 1)), store.Delete(entryKey("f007", 2)), store.Delete(entryKey("f007", 3)))
		}, `flag "f007": entry 1, sealed by seal 1`},
		"two entries swapped": {func(f *fixture) {
			a, b := f.value(entryKey("f007", 3)), f.value(entryKey("f008", 3))
			f.commit(store.Put(entryKey("f007", 3), b), store.Put(entryKey("f008", 3), a))
		}, `flag "f007": entry 3, `},
		"a seal removed":          {func(f *fixture) { f.commit(store.Delete(sealKey(production, 2))) }, "seal 2 is missing: seal 3 comes in its place"},
		"the newest seal removed": {func(f *fixture) { f.commit(store.Delete(sealKey(production, 3))) }, "is in no seal"},
		"a seal changed": {func(f *fixture) {
			s, err := decodeSeal(f.value(sealKey(production, 2)))
			if err != nil {
				t.Fatal(err)
			}
			s.Entries, s.Total = s.GetEntries()[1:], s.GetTotal()-1
			stored, err := proto.Marshal(s.Seal)
			if err != nil {
				t.Fatal(err)
			}
			f.commit(store.Put(sealKey(production, 2), stored))
		}, "seal 2 was changed, or seal 3 was"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.fill(flags)
			head := f.sealAll()
			if proven, err := f.verify(); err != nil || !proto.Equal(proven.Head, head) || proven.Unsealed != 0 || head.GetEntries() != 3*flags || head.GetNumber() != 3 {
				t.Fatalf("before: %+v, %v; head %v", proven, err, head)
			}
			c.tamper(f)
			if name == "the newest seal removed" { // and nobody seals on
				if _, err := f.verify(); err != nil {
					t.Fatalf("without a head that was kept: %v", err)
				}
				_, err := f.verify(head)
				if err == nil || !strings.Contains(err.Error(), "seal 3 was kept") {
					t.Errorf("with the head: %v", err)
				}
				return
			}
			if _, err := f.verify(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestRewritten: who rewrites a trail with all of its seals is found out by a head that was kept.
func TestRewritten(t *testing.T) {
	f := newFixture(t)
	f.fill(10)
	kept := f.sealAll()
	var ops []store.Op
	for _, kv := range f.entries() {
		if strings.Contains(kv.Key, "/f003/") {
			ops = append(ops, store.Delete(kv.Key))
		}
	}
	for n := kept.GetNumber(); n > 0; n-- {
		ops = append(ops, store.Delete(sealKey(production, n)))
	}
	f.commit(append(ops, store.Delete(MarkKey))...)
	again := f.sealAll()
	if _, err := f.verify(again); err != nil {
		t.Fatalf("the rewritten trail is not even whole: %v", err)
	}
	if _, err := f.verify(kept); err == nil {
		t.Error("nothing was found")
	}
}

// TestInserted: an entry that was not there when all was sealed is found.
func TestInserted(t *testing.T) {
	f := newFixture(t)
	f.fill(10)
	f.sealAll()
	v := NewVerifier(production)
	all := f.entries()
	inserted := &controlv1.StoredEntry{Revision: 3}
	for _, kv := range all {
		if strings.Contains(kv.Key, "/f003/") {
			e, err := decode(kv.Value, 0)
			if err != nil {
				t.Fatal(err)
			}
			e.Key, e.Sequence, e.PreviousHash = "f999", 1, nil
			inserted.Key = "f/f999/" + strings.TrimPrefix(sealKey("x", 1), sealPrefix("x"))
			if inserted.Stored, err = proto.Marshal(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := v.Entry(&controlv1.StoredEntry{Key: strings.TrimPrefix(kv.Key, trailRoot(production)), Revision: kv.ModRevision, Stored: kv.Value}); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Entry(inserted); err != nil {
		t.Fatal(err)
	}
	last, err := newest(f.ctx, f.store, production)
	if err != nil {
		t.Fatal(err)
	}
	for n := int64(1); n <= last.GetNumber(); n++ {
		if err := v.Seal(f.value(sealKey(production, n))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.End(last.head()); err == nil || !strings.Contains(err.Error(), `flag "f999": entry 1, at revision 3, is in no seal`) {
		t.Errorf("got %v", err)
	}
}

// TestSealing: seals go on over leaders, over what the store has compacted meanwhile, and end
// with the term.
func TestSealing(t *testing.T) {
	f := newFixture(t)
	first := f.elect()
	stop := f.lead(first)
	f.fill(5)
	f.headOf(func(h *controlv1.TrailHead) bool { return h.GetEntries() == 15 })
	second := f.elect()
	f.enable("f000", false, "bob", "r")
	deposed := make(chan error, 1)
	go func() { deposed <- f.Lead(f.ctx, first) }() // who was paused, and goes on
	if err := <-deposed; !errors.Is(err, leader.ErrDeposed) {
		t.Errorf("a leader of before seals: %v", err)
	}
	if err := stop(); err != nil && !errors.Is(err, leader.ErrDeposed) { // nil: it was stopped before it noticed
		t.Errorf("the first one: %v", err)
	}
	out, err := f.store.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Put("/x", nil)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.Compact(out.Revision); err != nil {
		t.Fatal(err)
	}
	f.enable("f001", false, "bob", "r")
	stop = f.lead(second)
	f.headOf(func(h *controlv1.TrailHead) bool { return h.GetEntries() == 17 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	f.enable("f002", false, "bob", "not sealed")
	if proven, err := f.verify(); err != nil || proven.Unsealed != 1 || proven.Head.GetEntries() != 17 {
		t.Errorf("%+v, %v", proven, err)
	}
}
