package eval

import (
	"hash/maphash"
	"math/bits"
	"slices"
)

// seed makes hashes of keys unpredictable to who chooses the keys.
var seed = maphash.MakeSeed()

// reference is a key with its hash.
type reference struct {
	key  string
	hash uint64
}

func newReference(key string) reference { return reference{key, hashOf(key)} }

func hashOf(key string) uint64 { return maphash.String(seed, key) }

// table is a persistent hash map from keys to items (a compressed hash-array mapped
// prefix tree): a changed table shares all but a few small nodes with the one before.
// The zero table is empty.
type table[T any] struct {
	root  *node[T]
	count int
}

// node is 64-way: each bit of the maps stands for one value of six bits of the hash,
// and says that there is an entry or a child for it. Past the last bit of the hash,
// entries are a plain list.
type node[T any] struct {
	entryMap, childMap uint64
	entries            []entry[T]
	children           []*node[T]
	owner              *owner
}

type entry[T any] struct {
	reference
	item *T
}

// owner marks the nodes that one series of changes made, and so may change in place.
type owner struct{ _ byte }

const (
	hashBits  = 64
	levelBits = 6
)

func levelBit(hash uint64, shift uint) uint64 { return 1 << (hash >> shift & (1<<levelBits - 1)) }

// rank is the index, in a node's slice, of the element that the bit stands for.
func rank(bitmap, bit uint64) int { return bits.OnesCount64(bitmap & (bit - 1)) }

// get returns the item, or nil.
func (t *table[T]) get(r reference) *T {
	n := t.root
	for shift := uint(0); n != nil; shift += levelBits {
		if shift >= hashBits {
			return n.find(r)
		}
		bit := levelBit(r.hash, shift)
		if n.entryMap&bit != 0 {
			e := &n.entries[rank(n.entryMap, bit)]
			if e.hash == r.hash && e.key == r.key {
				return e.item
			}
			return nil
		}
		if n.childMap&bit == 0 {
			return nil
		}
		n = n.children[rank(n.childMap, bit)]
	}
	return nil
}

func (n *node[T]) find(r reference) *T {
	if i := n.index(r); i >= 0 {
		return n.entries[i].item
	}
	return nil
}

func (n *node[T]) index(r reference) int {
	return slices.IndexFunc(n.entries, func(e entry[T]) bool { return e.reference == r })
}

// set puts the item in the place of the one with that key, if any.
func (t *table[T]) set(o *owner, r reference, item *T) {
	added := false
	t.root = t.root.set(o, 0, entry[T]{r, item}, &added)
	if added {
		t.count++
	}
}

func (n *node[T]) set(o *owner, shift uint, e entry[T], added *bool) *node[T] {
	n = n.owned(o)
	if shift >= hashBits {
		if i := n.index(e.reference); i >= 0 {
			n.entries[i] = e
		} else {
			n.entries = append(n.entries, e)
			*added = true
		}
		return n
	}
	bit := levelBit(e.hash, shift)
	i, c := rank(n.entryMap, bit), rank(n.childMap, bit)
	switch {
	case n.childMap&bit != 0:
		n.children[c] = n.children[c].set(o, shift+levelBits, e, added)
	case n.entryMap&bit == 0:
		n.entryMap |= bit
		n.entries = slices.Insert(n.entries, i, e)
		*added = true
	case n.entries[i].reference == e.reference:
		n.entries[i] = e
	default: // two keys share this place: both move into a child
		var child *node[T]
		child = child.set(o, shift+levelBits, n.entries[i], added)
		child = child.set(o, shift+levelBits, e, added)
		n.entryMap &^= bit
		n.entries = slices.Delete(n.entries, i, i+1)
		n.childMap |= bit
		n.children = slices.Insert(n.children, c, child)
	}
	return n
}

// remove takes the key out, if it is there.
func (t *table[T]) remove(o *owner, r reference) {
	if t.get(r) == nil {
		return
	}
	t.root = t.root.remove(o, 0, r)
	t.count--
}

// remove takes out a key that is there.
func (n *node[T]) remove(o *owner, shift uint, r reference) *node[T] {
	n = n.owned(o)
	if shift >= hashBits {
		i := n.index(r)
		n.entries = slices.Delete(n.entries, i, i+1)
		return n
	}
	bit := levelBit(r.hash, shift)
	i, c := rank(n.entryMap, bit), rank(n.childMap, bit)
	if n.entryMap&bit != 0 {
		n.entryMap &^= bit
		n.entries = slices.Delete(n.entries, i, i+1)
		return n
	}
	child := n.children[c].remove(o, shift+levelBits, r)
	if len(child.children) > 0 || len(child.entries) > 1 {
		n.children[c] = child
		return n
	}
	// A single entry moves up, so that equal tables have equal shapes.
	n.childMap &^= bit
	n.children = slices.Delete(n.children, c, c+1)
	n.entryMap |= bit
	n.entries = slices.Insert(n.entries, i, child.entries[0])
	return n
}

// owned returns the node itself if the owner made it, or a copy that it owns.
func (n *node[T]) owned(o *owner) *node[T] {
	switch {
	case n == nil:
		return &node[T]{owner: o}
	case n.owner == o:
		return n
	}
	return &node[T]{
		entryMap: n.entryMap, childMap: n.childMap,
		entries: slices.Clone(n.entries), children: slices.Clone(n.children),
		owner: o,
	}
}

// each calls f for every item.
func (t *table[T]) each(f func(key string, item *T)) { t.root.each(f) }

func (n *node[T]) each(f func(key string, item *T)) {
	if n == nil {
		return
	}
	for i := range n.entries {
		f(n.entries[i].key, n.entries[i].item)
	}
	for _, child := range n.children {
		child.each(f)
	}
}
