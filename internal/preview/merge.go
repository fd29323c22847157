package preview

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// Merger makes one answer of several: whatever their order, and however they are merged
// themselves, it is what one relay would have told that had answered all of their subjects. It
// is used by one goroutine. Answers are somebody else's: they are taken for what they can be.
type Merger struct {
	most   int
	keys   []string
	flags  map[string]*merged
	relays uint32
	since  time.Time
}

// merged is one flag.
type merged struct {
	relays     uint32
	below      uint64
	subjects   map[uint64]transition
	withoutKey bool
}

// NewMerger makes a merger of answers about flags, of at most k subjects each.
func NewMerger(keys []string, k int) *Merger {
	m := &Merger{most: k, keys: keys, flags: make(map[string]*merged, len(keys))}
	for _, key := range keys {
		m.flags[key] = &merged{below: everything, subjects: map[uint64]transition{}}
	}
	return m
}

// Add adds an answer; what it says of flags that were not asked for is not looked at.
func (m *Merger) Add(a *syncv1.PreviewAnswer) {
	if a == nil {
		return
	}
	m.relays += a.GetRelays()
	if s := a.GetSince(); s.IsValid() && (m.since.IsZero() || s.AsTime().Before(m.since)) {
		m.since = s.AsTime()
	}
	for _, f := range a.GetFlags() {
		if of := m.flags[f.GetFlagKey()]; of != nil && f.GetBelow() > 0 && f.GetRelays() > 0 {
			of.add(f, m.most)
		}
	}
}

func (of *merged) add(f *syncv1.PreviewFlag, most int) {
	of.relays += f.GetRelays()
	of.withoutKey = of.withoutKey || f.GetWithoutKey()
	of.below = min(of.below, f.GetBelow())
	for _, p := range f.GetTransitions() {
		t := transitionOf(p)
		for _, hash := range p.GetSubjects() {
			// Two relays may have a subject in different contexts, or at different revisions.
			if other, there := of.subjects[hash]; !there || t.compare(other) < 0 {
				of.subjects[hash] = t
			}
		}
	}
	of.cut(most)
}

// cut drops what is not in the sample.
func (of *merged) cut(most int) {
	maps.DeleteFunc(of.subjects, func(hash uint64, _ transition) bool { return hash >= of.below })
	if len(of.subjects) < most {
		return
	}
	hashes := slices.Sorted(maps.Keys(of.subjects))
	of.below = hashes[most-1] + 1
	for _, hash := range hashes[most:] {
		delete(of.subjects, hash)
	}
}

func (t transition) compare(o transition) int {
	differs := 0
	switch {
	case t.differs && !o.differs:
		differs = -1
	case o.differs && !t.differs:
		differs = 1
	}
	return cmp.Or(differs,
		cmp.Compare(t.before.variant, o.before.variant), cmp.Compare(t.before.code, o.before.code),
		cmp.Compare(t.after.variant, o.after.variant), cmp.Compare(t.after.code, o.after.code))
}

// Answer is what was added so far, with the id of a question.
func (m *Merger) Answer(id uint64) *syncv1.PreviewAnswer {
	a := &syncv1.PreviewAnswer{Id: id, Relays: m.relays}
	if !m.since.IsZero() {
		a.Since = timestamppb.New(m.since)
	}
	for _, key := range m.keys {
		if of := m.flags[key]; of.relays > 0 {
			a.Flags = append(a.Flags, of.proto(key))
		}
	}
	return a
}

func (of *merged) proto(key string) *syncv1.PreviewFlag {
	f := &syncv1.PreviewFlag{FlagKey: key, Relays: of.relays, Below: of.below, WithoutKey: of.withoutKey}
	groups := map[transition]*syncv1.PreviewTransition{}
	for _, hash := range slices.Sorted(maps.Keys(of.subjects)) {
		t := of.subjects[hash]
		if groups[t] == nil {
			groups[t] = t.proto()
			f.Transitions = append(f.Transitions, groups[t])
		}
		groups[t].Subjects = append(groups[t].Subjects, hash)
	}
	return f
}
