package snapshot_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// model is what a snapshot should be: plain maps.
type model struct {
	items map[snapshot.ID]snapshot.Item
	// good is the revision of the version in force of each flag and segment.
	good map[snapshot.ID]int64
}

func newModel() *model {
	return &model{items: make(map[snapshot.ID]snapshot.Item), good: make(map[snapshot.ID]int64)}
}

func (m *model) clone() *model {
	c := newModel()
	for id, it := range m.items {
		c.items[id] = it
	}
	for id, rev := range m.good {
		c.good[id] = rev
	}
	return c
}

// drawChange changes the model at a revision, and returns the change.
func (m *model) drawChange(t *rapid.T, tb testing.TB, revision int64, label string) (puts []snapshot.Item, deletes []snapshot.ID) {
	touched := make(map[snapshot.ID]bool)
	for i := range rapid.IntRange(0, 6).Draw(t, label+" changes") {
		key := fmt.Sprintf("k%d", rapid.IntRange(0, 12).Draw(t, fmt.Sprintf("%s key %d", label, i)))
		var item snapshot.Item
		broken := false
		switch rapid.IntRange(0, 5).Draw(t, fmt.Sprintf("%s kind %d", label, i)) {
		case 0:
			item, broken = brokenItem(key, revision), true
		case 1:
			item = segmentItem(tb, key, revision)
		case 2:
			item = futureItem(key, revision)
		default:
			item = flagItem(tb, key, revision, "")
		}
		id := item.ID()
		if touched[id] {
			continue
		}
		touched[id] = true
		if _, there := m.items[id]; there && rapid.IntRange(0, 2).Draw(t, fmt.Sprintf("%s delete %d", label, i)) == 0 {
			delete(m.items, id)
			delete(m.good, id)
			deletes = append(deletes, id)
			continue
		}
		m.items[id] = item
		if !broken && id.Kind != futureKind {
			m.good[id] = revision
		}
		puts = append(puts, item)
	}
	return puts, deletes
}

func (m *model) check(t *rapid.T, s *snapshot.Snapshot) {
	var list []snapshot.Item
	bytes := 0
	for _, it := range m.items {
		list = append(list, it)
		bytes += len(it.Data)
	}
	if s.Len() != len(list) || s.Bytes() != bytes || len(items(s)) != len(list) {
		t.Fatalf("%d items of %d bytes, want %d of %d", s.Len(), s.Bytes(), len(list), bytes)
	}
	if !slices.Equal(s.Cursor().Digest.Bytes(), digestOf(list)) {
		t.Fatal("the digest is not that of the items")
	}
	rejected := make(map[snapshot.ID]bool)
	for _, r := range s.Rejections() {
		rejected[r.Item.ID()] = true
	}
	flags := 0
	for id, want := range m.items {
		got, ok := s.Item(id.Kind, id.Key)
		if !ok || got.ModRevision != want.ModRevision || !slices.Equal(got.Data, want.Data) {
			t.Fatalf("%s is %v, want %v", id, got, want)
		}
		if want := id.Kind != futureKind && m.good[id] != want.ModRevision; rejected[id] != want {
			t.Fatalf("%s rejected: %v, want %v", id, rejected[id], want)
		}
	}
	for id, revision := range m.good {
		switch id.Kind {
		case flagKind:
			flags++
			if f := s.Eval().Flag(id.Key); f == nil || f.Revision() != revision {
				t.Fatalf("%s is not in force as of revision %d", id, revision)
			}
		case segmentKind:
			if s.Eval().Segment(id.Key) == nil {
				t.Fatalf("%s is not in force", id)
			}
		}
	}
	if s.Eval().FlagCount() != flags {
		t.Fatalf("%d flags are in force, want %d", s.Eval().FlagCount(), flags)
	}
}

// travel sends a delta over the wire.
func travel(t interface{ Fatal(...any) }, updates func(func(*syncv1.Update) bool)) snapshot.Delta {
	var a snapshot.Assembler
	var got snapshot.Delta
	var finished bool
	for u := range updates {
		if finished {
			t.Fatal("a chunk after the commit")
		}
		data, err := proto.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		decoded := &syncv1.Update{}
		if err := proto.Unmarshal(data, decoded); err != nil {
			t.Fatal(err)
		}
		if got, finished, err = a.Add(decoded); err != nil {
			t.Fatal(err)
		}
	}
	if !finished || a.Open() {
		t.Fatal("no commit")
	}
	return got
}

// TestAlgebra walks a random history at the source, and follows it in every way that
// there is: step by step, over several steps at once, and whole.
func TestAlgebra(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		source, m := snapshot.New("production", epoch), newModel()
		states, deltas := []*snapshot.Snapshot{source}, []snapshot.Delta{}
		models := []*model{m.clone()}
		replica := source
		revision := int64(0)
		for i := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			revision += rapid.Int64Range(1, 3).Draw(rt, "revision")
			puts, deletes := m.drawChange(rt, t, revision, fmt.Sprint(i))
			next, d := source.Next(revision, puts, deletes)
			m.check(rt, next)
			got, err := replica.Apply(travel(rt, d.Updates()))
			if err != nil {
				rt.Fatalf("step %d: %v", i, err)
			}
			if got.Cursor() != next.Cursor() {
				rt.Fatalf("step %d: %v, want %v", i, got.Cursor(), next.Cursor())
			}
			m.check(rt, got)
			source, replica = next, got
			states, models, deltas = append(states, next), append(models, m.clone()), append(deltas, d)
		}

		from := rapid.IntRange(0, len(states)-1).Draw(rt, "from")
		to := rapid.IntRange(from, len(states)-1).Draw(rt, "to")
		a, b := states[from], states[to]
		ways := map[string]snapshot.Delta{"diff": snapshot.Diff(a, b), "full": b.Full()}
		if from < to {
			var merger snapshot.Merger
			for i := from; i < to; i++ {
				merger.Add(deltas[i], states[i].Replaced(deltas[i]))
			}
			ways["merged"] = merger.Delta()
			if merged, diff := ways["merged"], ways["diff"]; len(merged.Puts) != len(diff.Puts) || len(merged.Deletes) != len(diff.Deletes) {
				rt.Fatalf("merged it is %d puts and %d deletes, the difference %d and %d",
					len(merged.Puts), len(merged.Deletes), len(diff.Puts), len(diff.Deletes))
			}
		}
		for name, d := range ways {
			got, err := a.Apply(travel(rt, d.Updates()))
			if err != nil || got.Cursor() != b.Cursor() {
				rt.Fatalf("%s from %v to %v: %v", name, a.Cursor(), b.Cursor(), err)
			}
			// A version in force at neither end was never seen by who jumps.
			jumped := models[to].clone()
			for id, it := range jumped.items {
				if id.Kind == futureKind || jumped.good[id] == it.ModRevision {
					continue
				}
				delete(jumped.good, id)
				if revision, ok := models[from].good[id]; ok {
					jumped.good[id] = revision
				}
			}
			jumped.check(rt, got)
			// With what is kept beside the difference, everything is in force as it was.
			kept := got.Keep(snapshot.KeptBetween(a, b))
			models[to].check(rt, kept)
			if again := snapshot.KeptBetween(b, kept); !again.Empty() {
				rt.Fatalf("kept, and yet it differs: %v", again)
			}
			jumped.check(rt, got)
		}
		if got := travel(rt, b.Updates()); len(got.Puts) != b.Len() || !got.Full {
			rt.Fatal("the whole state travels otherwise than as a full delta")
		}
		if back := snapshot.Diff(b, a); from != to && a.Cursor() != b.Cursor() {
			if _, err := b.Apply(back); !errors.Is(err, snapshot.ErrRevision) {
				rt.Fatalf("the way back: %v", err)
			}
		}
		if a.Cursor().SameState(b.Cursor()) != (len(snapshot.Diff(a, b).Puts)+len(snapshot.Diff(a, b).Deletes) == 0) {
			rt.Fatal("digests are not equal exactly if the items are")
		}
		for i := range states {
			models[i].check(rt, states[i])
		}
	})
}

// TestDiffOfStrangers compares states that share nothing in memory.
func TestDiffOfStrangers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		build := func(label string) (*snapshot.Snapshot, map[string]int64) {
			have := rapid.MapOf(rapid.StringMatching(`[a-d]{1,3}`), rapid.Int64Range(1, 3)).Draw(rt, label)
			var list []snapshot.Item
			for key, revision := range have {
				list = append(list, futureItem(key, revision))
			}
			s, _ := snapshot.New("production", epoch).Next(5, list, nil)
			return s, have
		}
		a, before := build("a")
		b, after := build("b")
		d := snapshot.Diff(a, b)
		for _, p := range d.Puts {
			if before[p.Key] == after[p.Key] || p.ModRevision != after[p.Key] {
				rt.Fatalf("put %v", p)
			}
			before[p.Key] = after[p.Key]
		}
		for _, del := range d.Deletes {
			if _, kept := after[del.Key]; kept || before[del.Key] != del.ModRevision {
				rt.Fatalf("delete %v", del)
			}
			delete(before, del.Key)
		}
		if len(before) != len(after) {
			rt.Fatalf("%v, want %v", before, after)
		}
		for key, revision := range after {
			if before[key] != revision {
				rt.Fatalf("%v, want %v", before, after)
			}
		}
	})
}
