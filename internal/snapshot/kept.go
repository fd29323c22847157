package snapshot

import (
	"bytes"
	"maps"

	"github.com/tidegate/tidegate/eval"
)

// Kept are the versions in force that no item of a state holds: a later one came that
// could not be used. They are no part of the state, nor of its digest, and never travel;
// whoever keeps a state over a restart keeps them beside it.
type Kept struct {
	// Good are the versions in force.
	Good []Item
	// None have no version in force.
	None []ID
}

// Empty tells whether there is nothing to keep.
func (k Kept) Empty() bool { return len(k.Good)+len(k.None) == 0 }

// KeptBetween is what of b is lost on whoever goes from a to b by their difference, and
// has never seen what was between.
func KeptBetween(a, b *Snapshot) Kept {
	var k Kept
	for id, r := range b.rejected {
		was := a.goodOf(id)
		switch {
		case r.Good == nil && was != nil:
			k.None = append(k.None, id)
		case r.Good != nil && (was == nil || !was.same(*r.Good)):
			k.Good = append(k.Good, *r.Good)
		}
	}
	return k
}

// goodOf is the version of an item that is in force, nil if there is none.
func (s *Snapshot) goodOf(id ID) *Item {
	if r, ok := s.rejected[id]; ok {
		return r.Good
	}
	if e := s.root.lookup(id, hashID(id)); e != nil {
		return &e.Item
	}
	return nil
}

func (i Item) same(o Item) bool {
	return i.ModRevision == o.ModRevision && bytes.Equal(i.Data, o.Data)
}

// Keep returns the same state with the versions in force that were kept. It changes
// nothing but what is in force of items that cannot be used: what it is given of others,
// and versions that cannot be used either, are passed over.
func (s *Snapshot) Keep(k Kept) *Snapshot {
	next := *s
	next.rejected = maps.Clone(s.rejected)
	var changes []change
	for _, id := range k.None {
		if r, ok := next.rejected[id]; ok && r.Good != nil {
			changes = append(changes, change{was: &entry{Item: *r.Good}})
			r.Good = nil
			next.rejected[id] = r
		}
	}
	for _, good := range k.Good {
		r, ok := next.rejected[good.ID()]
		if !ok || !usable(good) {
			continue
		}
		changes = append(changes, change{is: &entry{Item: good}})
		r.Good = &good
		next.rejected[good.ID()] = r
	}
	next.eval, _ = compile(s.eval, nil, changes)
	return &next
}

// usable tells whether an item compiles.
func usable(i Item) bool { return compileItem(new(eval.Changes), i) == nil }
