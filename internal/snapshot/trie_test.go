package snapshot

import (
	"cmp"
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// TestTrieWithCollisions makes entries whose hashes share all, or all but their highest,
// bits, which real keys hardly ever do.
func TestTrieWithCollisions(t *testing.T) {
	hashes := []uint64{0, 1, 1 << 59, 1 << 60, 1 << 63, ^uint64(0), 0xffff_ffff}
	rapid.Check(t, func(rt *rapid.T) {
		made := func(i int) *entry {
			return &entry{
				Item: Item{Kind: 1, Key: fmt.Sprint(i)}, hash: hashes[i%len(hashes)],
				digest: Digest{Lo: rapid.Uint64().Draw(rt, "version")},
			}
		}
		type version struct {
			root *node
			want map[ID]*entry
		}
		now := version{want: make(map[ID]*entry)}
		versions := []version{now}
		for range rapid.IntRange(1, 8).Draw(rt, "editions") {
			m, want := new(mark), maps.Clone(now.want)
			root := now.root
			for range rapid.IntRange(1, 20).Draw(rt, "changes") {
				e := made(rapid.IntRange(0, 40).Draw(rt, "entry"))
				if old := want[e.id()]; old != nil && rapid.Bool().Draw(rt, "remove") {
					root = m.remove(root, 0, old)
					delete(want, e.id())
					continue
				}
				var old *entry
				root, old = m.set(root, 0, e)
				if old != want[e.id()] {
					rt.Fatalf("set gave back %v, want %v", old, want[e.id()])
				}
				want[e.id()] = e
			}
			now = version{root, want}
			versions = append(versions, now)
		}
		for _, v := range versions {
			got := make(map[ID]*entry)
			v.root.each(func(e *entry) bool { got[e.id()] = e; return true })
			if !maps.Equal(got, v.want) {
				rt.Fatalf("%v, want %v", got, v.want)
			}
			for i := range 41 {
				e := made(i)
				if got := v.root.lookup(e.id(), e.hash); got != v.want[e.id()] {
					rt.Fatalf("lookup of %v: %v, want %v", e.id(), got, v.want[e.id()])
				}
			}
		}
		var fresh *node
		m := new(mark)
		for _, e := range now.want {
			fresh, _ = m.set(fresh, 0, e)
		}
		if !sameForm(now.root, fresh) {
			rt.Fatal("the form depends on how the trie came about")
		}
		a := rapid.SampledFrom(versions).Draw(rt, "a")
		b := rapid.SampledFrom(versions).Draw(rt, "b")
		patched := maps.Clone(a.want)
		compare(a.root, b.root, 0, func(was, is *entry) {
			id := cmp.Or(was, is).id()
			if patched[id] != was || was != nil && is != nil && was.digest == is.digest {
				rt.Fatalf("%v: from %v to %v", id, was, is)
			}
			if patched[id] = is; is == nil {
				delete(patched, id)
			}
		})
		for id, e := range b.want {
			if patched[id] == nil || patched[id].digest != e.digest {
				rt.Fatalf("%v is missing or wrong", id)
			}
		}
		if len(patched) != len(b.want) {
			rt.Fatalf("%d entries, want %d", len(patched), len(b.want))
		}
	})
}

// sameForm compares two tries node by node. Entries with one hash have no order.
func sameForm(a, b *node) bool {
	if a == nil || b == nil {
		return a == b || a == nil && len(b.slots) == 0 || b == nil && len(a.slots) == 0
	}
	if a.bitmap != b.bitmap || len(a.slots) != len(b.slots) {
		return false
	}
	for i, s := range a.slots {
		if (s.child == nil) != (b.slots[i].child == nil) || s.child != nil && !sameForm(s.child, b.slots[i].child) {
			return false
		}
	}
	return true
}
