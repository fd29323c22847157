package eval

import (
	"maps"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// Any series of changes leaves the table equal to a map, and every earlier table as it
// was. Hashes are few, so that keys share places down to the last level.
func TestTableIsAPersistentMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hashOf := rapid.SampledFrom([]func(int) uint64{
			func(int) uint64 { return 7 },
			func(i int) uint64 { return uint64(i%3) << 60 },
			func(i int) uint64 { return uint64(i % 5) },
			func(i int) uint64 { return uint64(i) * 0x9e3779b97f4a7c15 },
		}).Draw(t, "hash")
		key := func(i int) reference { return reference{key: strconv.Itoa(i), hash: hashOf(i)} }

		type version struct {
			table table[int]
			model map[string]int
		}
		versions := []version{{model: map[string]int{}}}
		for range rapid.IntRange(1, 10).Draw(t, "versions") {
			v := versions[rapid.IntRange(0, len(versions)-1).Draw(t, "from")]
			next, o := version{v.table, maps.Clone(v.model)}, &owner{}
			for range rapid.IntRange(0, 30).Draw(t, "changes") {
				r := key(rapid.IntRange(0, 40).Draw(t, "key"))
				if rapid.Bool().Draw(t, "remove") {
					next.table.remove(o, r)
					delete(next.model, r.key)
				} else {
					item := rapid.Int().Draw(t, "item")
					next.table.set(o, r, &item)
					next.model[r.key] = item
				}
			}
			versions = append(versions, next)
		}
		for _, v := range versions {
			got := map[string]int{}
			v.table.each(func(key string, item *int) { got[key] = *item })
			if !maps.Equal(got, v.model) || v.table.count != len(v.model) {
				t.Fatalf("table holds %v (%d), want %v", got, v.table.count, v.model)
			}
			for i := range 42 {
				want, ok := v.model[strconv.Itoa(i)]
				if item := v.table.get(key(i)); (item != nil) != ok || ok && *item != want {
					t.Fatalf("%d: %v, want %v", i, item, want)
				}
			}
			v.table.root.checkShape(t, 0)
		}
	})
}

// checkShape checks that a table of these keys can have no other shape.
func (n *node[T]) checkShape(t *rapid.T, depth int) {
	if n == nil {
		return
	}
	if depth > 0 && len(n.children) == 0 && len(n.entries) < 2 {
		t.Fatalf("a node below the root has %d entries and no children", len(n.entries))
	}
	if n.entryMap&n.childMap != 0 {
		t.Fatal("a place has an entry and a child")
	}
	for _, c := range n.children {
		c.checkShape(t, depth+1)
	}
}

// A change of one key among many copies a few small nodes.
func TestTableSharesWhatDidNotChange(t *testing.T) {
	var before table[int]
	o, item := &owner{}, 1
	for i := range 100_000 {
		before.set(o, newReference(strconv.Itoa(i)), &item)
	}
	after, o := before, &owner{}
	after.set(o, newReference("4711"), &item)
	var own, nodes int
	for queue := []*node[int]{after.root}; len(queue) > 0; queue = queue[1:] {
		nodes++
		if queue[0].owner == o {
			own++
		}
		queue = append(queue, queue[0].children...)
	}
	if own > 6 || nodes < 1000 {
		t.Errorf("%d of %d nodes are new", own, nodes)
	}
}
