package snapshot

import (
	"cmp"
	"slices"
)

// Replaced returns, for each of the puts of a delta that starts from s, the revision of
// the item that it replaces, or 0 for one that is new.
func (s *Snapshot) Replaced(d Delta) []int64 {
	revisions := make([]int64, len(d.Puts))
	for i := range d.Puts {
		if e := s.root.lookup(d.Puts[i].ID(), hashID(d.Puts[i].ID())); e != nil {
			revisions[i] = e.ModRevision
		}
	}
	return revisions
}

// Merger makes one delta of several, each of which starts where the one before it ended.
// What it makes is what [Diff] makes of the ends, though neither is at hand.
type Merger struct {
	delta Delta
	last  map[ID]merged
}

// merged is what becomes of one item.
type merged struct {
	// base is the item's revision in the first base; 0: it is not there.
	base int64
	// put is nil if the item is gone.
	put *Item
}

// Add adds the next delta, which must not be a full one. replaced is what
// [Snapshot.Replaced] said of it.
func (m *Merger) Add(d Delta, replaced []int64) {
	if m.last == nil {
		m.delta = Delta{Environment: d.Environment, Base: d.Base}
		m.last = make(map[ID]merged, len(d.Puts)+len(d.Deletes))
	}
	m.delta.Target = d.Target
	m.delta.Urgent = m.delta.Urgent || d.Urgent
	for i := range d.Deletes {
		m.set(d.Deletes[i].ID, d.Deletes[i].ModRevision, nil)
	}
	for i := range d.Puts {
		m.set(d.Puts[i].ID(), replaced[i], &d.Puts[i])
	}
}

func (m *Merger) set(id ID, base int64, put *Item) {
	if before, touched := m.last[id]; touched {
		base = before.base
	}
	m.last[id] = merged{base, put}
}

// Delta returns what was added, as one. Its items are in the order of their kinds and
// keys.
func (m *Merger) Delta() Delta {
	d := m.delta
	for id, item := range m.last {
		switch {
		case item.put != nil:
			d.Puts = append(d.Puts, *item.put)
		case item.base != 0:
			d.Deletes = append(d.Deletes, Deletion{ID: id, ModRevision: item.base})
		}
	}
	slices.SortFunc(d.Puts, func(a, b Item) int { return compareIDs(a.ID(), b.ID()) })
	slices.SortFunc(d.Deletes, func(a, b Deletion) int { return compareIDs(a.ID, b.ID) })
	return d
}

func compareIDs(a, b ID) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
}
