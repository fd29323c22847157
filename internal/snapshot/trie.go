package snapshot

import "math/bits"

// The items of a snapshot are kept in a hash trie whose nodes are never modified once
// the snapshot is made: a change copies the nodes on its path (a few hundred bytes) and
// shares the rest. While a new trie is being made, the nodes that its editor made are
// modified in place; they carry its mark.
//
// The form of a trie depends on what is in it alone, not on how it came about: a node
// below the root has at least two entries below it. So two tries are compared by
// walking them side by side, skipping what they share.

const (
	trieBits = 5
	// hashBits is how much of a hash there is to go by; below it entries with equal
	// hashes are listed in one node, bitmap unused.
	hashBits = 64
)

// entry is an item in its place. Immutable, shared between snapshots.
type entry struct {
	Item
	digest Digest
	hash   uint64
}

func (e *entry) id() ID { return ID{Kind: e.Kind, Key: e.Key} }

// slot holds an entry or a child.
type slot struct {
	entry *entry
	child *node
}

type node struct {
	mark   *mark
	bitmap uint32
	slots  []slot
}

// mark tells the nodes of one editor from all others. It is not empty, so that every
// mark has an address of its own.
type mark struct{ _ byte }

// hashID is FNV-1a, stirred at the end as the trie goes by the lowest bits first.
func hashID(id ID) uint64 {
	h := uint64(14695981039346656037)
	h = (h ^ uint64(uint32(id.Kind))) * 1099511628211
	for i := range len(id.Key) {
		h = (h ^ uint64(id.Key[i])) * 1099511628211
	}
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 32
	return h
}

func bitAt(hash uint64, shift uint) uint32 { return 1 << (hash >> shift & (1<<trieBits - 1)) }

func (n *node) index(bit uint32) int { return bits.OnesCount32(n.bitmap & (bit - 1)) }

// listed finds an entry in a node below the hash's end.
func (n *node) listed(id ID) int {
	for i, s := range n.slots {
		if s.entry.id() == id {
			return i
		}
	}
	return -1
}

// lookup returns the entry, or nil.
func (n *node) lookup(id ID, hash uint64) *entry {
	for shift := uint(0); n != nil; shift += trieBits {
		if shift >= hashBits {
			if i := n.listed(id); i >= 0 {
				return n.slots[i].entry
			}
			return nil
		}
		bit := bitAt(hash, shift)
		if n.bitmap&bit == 0 {
			return nil
		}
		s := n.slots[n.index(bit)]
		if s.child == nil {
			if s.entry.id() == id {
				return s.entry
			}
			return nil
		}
		n = s.child
	}
	return nil
}

// each visits all entries until yield returns false; it reports whether it got through.
func (n *node) each(yield func(*entry) bool) bool {
	if n == nil {
		return true
	}
	for _, s := range n.slots {
		switch {
		case s.child != nil:
			if !s.child.each(yield) {
				return false
			}
		case !yield(s.entry):
			return false
		}
	}
	return true
}

// own returns a node that carries the mark, and may be modified: n itself or a copy.
func (m *mark) own(n *node) *node {
	if n.mark == m {
		return n
	}
	// One more slot: most copies are made to insert.
	slots := make([]slot, len(n.slots), len(n.slots)+1)
	copy(slots, n.slots)
	return &node{mark: m, bitmap: n.bitmap, slots: slots}
}

// set puts e in place of the entry with its id, and returns the latter, if there was one.
func (m *mark) set(n *node, shift uint, e *entry) (*node, *entry) {
	if n == nil {
		n = &node{mark: m}
	}
	if shift >= hashBits {
		return m.setListed(n, e)
	}
	n = m.own(n)
	bit := bitAt(e.hash, shift)
	i := n.index(bit)
	if n.bitmap&bit == 0 {
		n.bitmap |= bit
		n.insert(i, e)
		return n, nil
	}
	switch s := n.slots[i]; {
	case s.child != nil:
		child, old := m.set(s.child, shift+trieBits, e)
		n.slots[i] = slot{child: child}
		return n, old
	case s.entry.id() == e.id():
		n.slots[i] = slot{entry: e}
		return n, s.entry
	default:
		child, _ := m.set(nil, shift+trieBits, s.entry)
		child, _ = m.set(child, shift+trieBits, e)
		n.slots[i] = slot{child: child}
		return n, nil
	}
}

func (m *mark) setListed(n *node, e *entry) (*node, *entry) {
	n = m.own(n)
	if i := n.listed(e.id()); i >= 0 {
		old := n.slots[i].entry
		n.slots[i] = slot{entry: e}
		return n, old
	}
	n.insert(len(n.slots), e)
	return n, nil
}

func (n *node) insert(i int, e *entry) {
	n.slots = append(n.slots, slot{})
	copy(n.slots[i+1:], n.slots[i:])
	n.slots[i] = slot{entry: e}
}

func (n *node) cut(i int) {
	copy(n.slots[i:], n.slots[i+1:])
	n.slots[len(n.slots)-1] = slot{}
	n.slots = n.slots[:len(n.slots)-1]
}

// remove takes an entry that is there out of the trie.
func (m *mark) remove(n *node, shift uint, e *entry) *node {
	n = m.own(n)
	if shift >= hashBits {
		n.cut(n.listed(e.id()))
		return n
	}
	bit := bitAt(e.hash, shift)
	i := n.index(bit)
	child := n.slots[i].child
	if child == nil {
		n.bitmap &^= bit
		n.cut(i)
		return n
	}
	child = m.remove(child, shift+trieBits, e)
	if len(child.slots) == 1 && child.slots[0].child == nil {
		n.slots[i] = child.slots[0]
	} else {
		n.slots[i] = slot{child: child}
	}
	return n
}

// compare visits every id of which the entries of a and b differ. One of the two is
// nil where the id is in one trie only.
func compare(a, b *node, shift uint, visit func(was, is *entry)) {
	switch {
	case a == b:
	case a == nil:
		b.each(func(e *entry) bool { visit(nil, e); return true })
	case b == nil:
		a.each(func(e *entry) bool { visit(e, nil); return true })
	case shift >= hashBits:
		compareListed(a, b, visit)
	default:
		for rest := a.bitmap | b.bitmap; rest != 0; rest &= rest - 1 {
			bit := rest & -rest
			compareSlots(a.at(bit), b.at(bit), shift+trieBits, visit)
		}
	}
}

func (n *node) at(bit uint32) slot {
	if n.bitmap&bit == 0 {
		return slot{}
	}
	return n.slots[n.index(bit)]
}

func compareSlots(a, b slot, shift uint, visit func(was, is *entry)) {
	switch {
	case a == b:
	case a.child != nil && b.child != nil:
		compare(a.child, b.child, shift, visit)
	case a.child == nil && b.child == nil:
		comparePair(a.entry, b.entry, visit)
	case b.child == nil:
		compareSlots(b, a, shift, func(was, is *entry) { visit(is, was) })
	default:
		// One entry, or none, against many.
		rest := a.entry
		b.child.each(func(e *entry) bool {
			if rest != nil && e.id() == rest.id() {
				comparePair(rest, e, visit)
				rest = nil
			} else {
				visit(nil, e)
			}
			return true
		})
		if rest != nil {
			visit(rest, nil)
		}
	}
}

func comparePair(a, b *entry, visit func(was, is *entry)) {
	switch {
	case a != nil && b != nil && a.id() != b.id():
		visit(a, nil)
		visit(nil, b)
	case a == nil || b == nil || a.digest != b.digest:
		visit(a, b)
	}
}

func compareListed(a, b *node, visit func(was, is *entry)) {
	for _, s := range a.slots {
		if i := b.listed(s.entry.id()); i >= 0 {
			comparePair(s.entry, b.slots[i].entry, visit)
		} else {
			visit(s.entry, nil)
		}
	}
	for _, s := range b.slots {
		if a.listed(s.entry.id()) < 0 {
			visit(nil, s.entry)
		}
	}
}
