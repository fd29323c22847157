package eval

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// flagOrder is the sorted list of an environment's flags, made when first asked for.
type flagOrder struct {
	once   sync.Once
	sorted atomic.Pointer[[]*Flag]

	// base is the list of an earlier environment, nil for none, and changed the keys of
	// the flags that changed since, in any order.
	base    []*Flag
	changed []string
}

// maxPatched is the number of changed flags up to which an earlier list is kept, in
// case the new one is asked for. It bounds what With copies.
const maxPatched = 256

// follow makes the list one that can be had from the list before.
func (o *flagOrder) follow(before *flagOrder, changed []string) {
	base, since := before.base, before.changed
	if sorted := before.sorted.Load(); sorted != nil {
		base, since = *sorted, nil
	}
	if base == nil || len(since)+len(changed) > maxPatched {
		return
	}
	o.base, o.changed = base, slices.Concat(since, changed)
}

func (o *flagOrder) flags(t *table[Flag]) []*Flag {
	o.once.Do(func() {
		var all []*Flag
		if o.base != nil {
			all = o.patch(t)
		} else {
			all = make([]*Flag, 0, t.count)
			t.each(func(_ string, f *Flag) { all = append(all, f) })
			slices.SortFunc(all, func(a, b *Flag) int { return compareKeys(a.key, b.key) })
		}
		o.sorted.Store(&all)
	})
	return *o.sorted.Load()
}

// patch returns the base with each changed flag as it is now.
func (o *flagOrder) patch(t *table[Flag]) []*Flag {
	changed := slices.Compact(slices.Sorted(slices.Values(o.changed)))
	all := make([]*Flag, 0, t.count)
	rest := o.base
	for _, key := range changed {
		at, found := slices.BinarySearchFunc(rest, key, func(f *Flag, key string) int {
			return strings.Compare(f.key.key, key)
		})
		all = append(all, rest[:at]...)
		if found {
			at++
		}
		rest = rest[at:]
		if f := t.get(newReference(key)); f != nil {
			all = append(all, f)
		}
	}
	return append(all, rest...)
}

func compareKeys(a, b reference) int { return strings.Compare(a.key, b.key) }
