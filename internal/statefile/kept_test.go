package statefile

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eval"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func brokenItem(key string, revision int64) snapshot.Item {
	return snapshot.Item{Kind: syncv1.Kind_KIND_FLAG, Key: key, ModRevision: revision, Data: []byte{0xff}}
}

// evaluations are what the flags of a state answer, and as of which revision.
func evaluations(s *snapshot.Snapshot) []string {
	var all []string
	for k := range 4 {
		r := s.Eval().Evaluate(key(k), &eval.Context{})
		revision := int64(0)
		if r.Flag != nil {
			revision = r.Flag.Revision()
		}
		all = append(all, fmt.Sprint(key(k), " ", r.Reason, " ", r.ErrorCode, " ", revision))
	}
	return all
}

func key(k int) string { return fmt.Sprint("flag-", k) }

// drawSteps draws a history in which flags come broken, are mended, and go.
func drawSteps(rt *rapid.T) []step {
	state := snapshot.New(production, testEpoch)
	var steps []step
	epochs := uint64(1)
	for range rapid.IntRange(1, 14).Draw(rt, "steps") {
		revision := state.Cursor().Revision + rapid.Int64Range(1, 2).Draw(rt, "revision")
		var puts []snapshot.Item
		var deletes []snapshot.ID
		for k := range 4 {
			switch rapid.IntRange(0, 7).Draw(rt, key(k)) {
			case 0, 1:
				puts = append(puts, brokenItem(key(k), revision))
			case 2:
				puts = append(puts, flagItem(rt, key(k), revision, 5))
			case 3:
				deletes = append(deletes, brokenItem(key(k), 0).ID())
			}
		}
		next, delta := state.Next(revision, puts, deletes)
		if rapid.IntRange(0, 9).Draw(rt, "epoch") == 0 {
			// A restored store: what is broken there too is answered from before.
			epochs++
			next = inEpoch(rt, state, next, snapshot.Epoch{Counter: epochs})
			delta = next.Full()
		}
		state = next
		steps = append(steps, step{state, delta})
	}
	return steps
}

// inEpoch is what a follower of before makes of s when it comes in another epoch.
func inEpoch(rt *rapid.T, before, s *snapshot.Snapshot, epoch snapshot.Epoch) *snapshot.Snapshot {
	target := s.Cursor()
	target.Epoch = epoch
	d := s.Full()
	d.Target = target
	next, err := before.Apply(d)
	if err != nil {
		rt.Fatal(err)
	}
	return next
}

// TestLastKnownGoodSurvives kills the process, or the machine, at any write, while the
// disk is full now and then: what is answered after the restart is what was answered in
// the state that is loaded, also by flags of which nothing but a broken version is left.
func TestLastKnownGoodSurvives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		steps := drawSteps(rt)
		m := newMemFiles()
		m.Operations = rapid.IntRange(0, 60).Draw(rt, "operations")
		d := openMem(t, m)
		defer d.Close()
		e, err := d.environment(production)
		if err != nil {
			rt.Fatal(err)
		}
		for i, s := range steps {
			if rapid.IntRange(0, 3).Draw(rt, "full") == 0 {
				m.setSpace(rapid.IntRange(0, 40).Draw(rt, "space"))
			} else {
				m.setSpace(-1)
			}
			_ = d.Append(s.state, s.delta) // of a dying process, or to a full disk
			if rapid.IntRange(0, 3).Draw(rt, "maintained") == 0 {
				_ = e.maintain(true)
			}
			if rapid.IntRange(0, 5).Draw(rt, "folded") == 0 {
				_ = e.rewrite()
			}
			if i < len(steps)-1 && rapid.IntRange(0, 3).Draw(rt, "killed") > 0 {
				continue
			}
			left := m.afterKill()
			if rapid.IntRange(0, 2).Draw(rt, "power") == 0 {
				left = m.afterPowerCut(rapid.Bool().Draw(rt, "renamed"), rapid.Float64Range(0, 1).Draw(rt, "part"))
			}
			checkEvaluations(t, rt, steps, left)
		}
	})
}

// checkEvaluations loads, twice, and compares what is answered.
func checkEvaluations(t *testing.T, rt *rapid.T, steps []step, m memFiles) {
	for _, again := range []string{"once", "twice"} {
		d := openMem(t, m)
		s := load(t, d)
		if d.Stats().SetAside > 0 {
			rt.Fatalf("loaded %s: a file was set aside", again)
		}
		_ = d.Close()
		i := slices.IndexFunc(steps, func(st step) bool { return s != nil && st.state.Cursor() == s.Cursor() })
		switch {
		case s == nil:
			return
		case i < 0:
			rt.Fatalf("loaded %s: %s was never published", again, s.Cursor())
		}
		if got, want := evaluations(s), evaluations(steps[i].state); !slices.Equal(got, want) {
			rt.Fatalf("loaded %s: step %d answers %v, it answered %v", again, i, got, want)
		}
	}
}

// TestFirstVersion: files of the format before are loaded, and replaced.
func TestFirstVersion(t *testing.T) {
	t.Parallel()
	steps := history(t, testEpoch, 5)
	first := func(b []byte) []byte {
		b = slices.Clone(b)
		b[magicSize-1] = firstVersion
		return b
	}
	m := written(t, steps).with("production.snapshot", first).with("production.log", first)
	d := openMem(t, m)
	if i := indexOf(t, steps, load(t, d)); i != len(steps)-1 {
		t.Errorf("loaded step %d, want %d", i, len(steps)-1)
	}
	if s := d.Stats(); s.SetAside > 0 || s.Rewrites != 1 {
		t.Errorf("stats %+v: want the files written anew", s)
	}
	for name, magic := range map[string]string{"production.snapshot": snapshotMagic, "production.log": logMagic} {
		if !bytes.HasPrefix(m.Names[name].Data, []byte(magic)) {
			t.Errorf("%s is not of the newest version", name)
		}
	}
	appended, delta := steps[len(steps)-1].state.Next(1000, []snapshot.Item{brokenItem("flag-4", 1000)}, nil)
	if err := d.Append(appended, delta); err != nil {
		t.Fatal(err)
	}
	if got := load(t, openMem(t, m.afterKill())); got == nil || got.Cursor() != appended.Cursor() || got.Eval().Flag("flag-4") == nil {
		t.Errorf("loaded %v", got)
	}
}

// TestEveryFlippedBit: files that keep versions in force; no bit of them can flip and be
// believed.
func TestEveryFlippedBit(t *testing.T) {
	t.Parallel()
	good, _ := snapshot.New(production, testEpoch).Next(5, []snapshot.Item{flagItem(t, "flag-1", 5, 1)}, nil)
	bad, delta := good.Next(6, []snapshot.Item{brokenItem("flag-1", 6)}, nil)
	later, last := bad.Next(7, []snapshot.Item{brokenItem("flag-2", 7)}, nil)
	m := newMemFiles()
	d := openMem(t, m)
	appendAll(t, d, []step{{good, good.Full()}, {bad, delta}})
	e, err := d.environment(production)
	if err == nil {
		err = e.rewrite()
	}
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, d, []step{{later, last}})
	for _, name := range []string{"production.snapshot", "production.log"} {
		for bit := range 8 * len(m.Names[name].Data) {
			c := m.with(name, func(b []byte) []byte {
				b = slices.Clone(b)
				b[bit/8] ^= 1 << (bit % 8)
				return b
			})
			d := openMem(t, c)
			s := load(t, d)
			switch {
			case d.Stats().SetAside == 0:
				t.Fatalf("%s with bit %d flipped was not set aside", name, bit)
			case s == nil && name == "production.snapshot":
			case s == nil || s.Cursor() != bad.Cursor() || !slices.Equal(evaluations(s), evaluations(bad)):
				t.Fatalf("%s with bit %d flipped: loaded %v", name, bit, s)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
