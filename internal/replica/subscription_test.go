package replica_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"weak"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func TestSubscribe(t *testing.T) {
	p := newPublisher(t, 0)
	s, sub := p.replica.Subscribe()
	if s != nil || pending(sub) {
		t.Error("there is something before the first")
	}
	p.publish(1)
	if c, lost := next(t, sub); !lost || c.Snapshot != p.states[1] {
		t.Errorf("the first state came as %v, %v", c, lost)
	}
	p.publish(1)
	p.publish(1)
	for revision := int64(2); revision <= 3; revision++ {
		c, lost := next(t, sub)
		if lost || c.Snapshot != p.states[revision] || c.Delta.Target.Revision != revision {
			t.Errorf("revision %d came as %v, %v", revision, c, lost)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := sub.Next(ctx); !errors.Is(err, context.Canceled) || pending(sub) {
		t.Errorf("waiting without end: %v", err)
	}
	if s, _ := p.replica.Subscribe(); s != p.states[3] {
		t.Errorf("subscribed from %v", s.Cursor())
	}
}

func TestSince(t *testing.T) {
	p := newPublisher(t, 0)
	if _, held, _ := p.replica.Since(snapshot.Cursor{Epoch: epoch}, snapshot.Cursor{Epoch: epoch}); held {
		t.Error("there is a way from nothing")
	}
	for range 4 {
		p.publish(1)
	}
	p.replica.Advance(10)
	p.states = append(p.states, nil, nil, nil, nil, nil, nil)
	p.states[10] = p.replica.Snapshot()
	p.publish(1) // 11
	p.replica.Advance(20)
	at := func(state int, revision int64) snapshot.Cursor {
		c := p.states[state].Cursor()
		c.Revision = revision
		return c
	}
	foreign := at(2, 2)
	foreign.Epoch.Random++
	unknown := at(2, 2)
	unknown.Digest.Hi++
	for name, tc := range map[string]struct {
		from          snapshot.Cursor
		held, reached bool
	}{
		"oldest":                   {at(1, 1), true, true},
		"in between":               {at(2, 2), true, true},
		"as advanced":              {at(4, 10), true, true},
		"before it advanced":       {at(4, 4), true, true},
		"while it advanced":        {at(4, 7), true, true},
		"beyond what came next":    {at(4, 11), false, false},
		"current":                  {at(11, 20), true, false},
		"current as it came":       {at(11, 11), true, false},
		"ahead":                    {at(11, 21), false, false},
		"before the history":       {snapshot.Cursor{Epoch: epoch}, false, false},
		"of another epoch":         {foreign, false, false},
		"of a state never here":    {unknown, false, false},
		"revision of another, too": {at(2, 3), false, false},
	} {
		to := p.replica.Snapshot().Cursor()
		d, held, reached := p.replica.Since(tc.from, to)
		switch {
		case held != tc.held || reached != tc.reached || p.replica.Holds(tc.from) != held:
			t.Errorf("%s: held %v, reached %v", name, held, reached)
		case reached && (d.Target != to || !d.Base.SameState(tc.from)):
			t.Errorf("%s: from %s to %s", name, d.Base, d.Target)
		}
	}
	if _, held, reached := p.replica.Since(at(4, 4), at(2, 2)); !held || reached {
		t.Errorf("to an earlier state: held %v, reached %v", held, reached)
	}
}

// TestStateComesBack: what was added and taken away leaves the digest as it was; the
// way on is from the newer of the two.
func TestStateComesBack(t *testing.T) {
	p := newPublisher(t, 0)
	one := p.publish(1)
	two, d2 := one.Next(2, []snapshot.Item{item("x", 2, 1)}, nil)
	three, d3 := two.Next(3, nil, []snapshot.ID{item("x", 2, 1).ID()})
	four, d4 := three.Next(4, []snapshot.Item{item("y", 4, 1)}, nil)
	for _, step := range []struct {
		s *snapshot.Snapshot
		d snapshot.Delta
	}{{two, d2}, {three, d3}, {four, d4}} {
		if err := p.replica.Publish(step.s, step.d); err != nil {
			t.Fatal(err)
		}
	}
	d, _, reached := p.replica.Since(one.Cursor(), four.Cursor())
	if !reached || d.Base.Revision != 3 || len(d.Puts) != 1 || len(d.Deletes) != 0 {
		t.Errorf("%+v leads there (%v)", d, reached)
	}
}

func TestFallsBehind(t *testing.T) {
	const size = 10_000
	p := newPublisher(t, 3*size)
	p.publish(size)
	_, slow := p.replica.Subscribe()
	_, slower := p.replica.Subscribe()
	p.publish(size)
	if _, lost := next(t, slow); lost {
		t.Fatal("lost at once")
	}
	for range 5 {
		p.publish(size)
	}
	for _, sub := range []*replica.Subscription{slow, slower} {
		c, lost := next(t, sub)
		if !lost || c.Snapshot != p.replica.Snapshot() || pending(sub) {
			t.Errorf("lost %v, to %v", lost, c.Snapshot.Cursor())
		}
	}
	if p.replica.Holds(p.states[2].Cursor()) {
		t.Error("the history has no bound")
	}
	if !p.replica.Holds(p.states[5].Cursor()) {
		t.Error("the history is shorter than its bound")
	}
	last := p.publish(size)
	if c, lost := next(t, slow); lost || c.Snapshot != last {
		t.Error("it does not go on")
	}
}

func TestWithoutHistory(t *testing.T) {
	p := newPublisher(t, -1)
	p.publish(1)
	_, sub := p.replica.Subscribe()
	for range 3 {
		last := p.publish(1)
		if c, lost := next(t, sub); lost || c.Snapshot != last {
			t.Error("who keeps up loses something")
		}
	}
	p.publish(1)
	last := p.publish(1)
	if c, lost := next(t, sub); !lost || c.Snapshot != last {
		t.Error("who does not keep up is not told")
	}
}

func TestCuts(t *testing.T) {
	p := newPublisher(t, 0)
	p.publish(1)
	_, waiting := p.replica.Subscribe()
	_, behind := p.replica.Subscribe()
	p.publish(1)
	next(t, waiting)
	restored, d := snapshot.New("production", snapshot.Epoch{Counter: 2}).Next(1, []snapshot.Item{item("a", 1, 1)}, nil)
	if err := p.replica.Publish(restored, d); !errors.Is(err, replica.ErrOutOfOrder) {
		t.Errorf("a new epoch that does not replace everything: %v", err)
	}
	if err := p.replica.Publish(restored, restored.Full()); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []*replica.Subscription{waiting, behind} {
		if c, lost := next(t, sub); !lost || c.Snapshot != restored {
			t.Errorf("lost %v, to %v", lost, c.Snapshot.Cursor())
		}
	}
	if p.replica.Holds(p.states[2].Cursor()) {
		t.Error("the old epoch is still in the history")
	}
	if err := p.replica.Publish(restored.Advance(5), restored.Advance(5).Full()); err != nil {
		t.Fatal(err)
	}
	if c, lost := next(t, waiting); !lost || c.Snapshot.Cursor().Revision != 5 {
		t.Error("a full delta does not cut")
	}
}

// TestSleeperHoldsNothing: a subscriber that sleeps keeps neither the snapshots nor the
// changes alive that left the history meanwhile.
func TestSleeperHoldsNothing(t *testing.T) {
	p := newPublisher(t, 1000)
	p.publish(100)
	_, sleeper := p.replica.Subscribe()
	var refs []weak.Pointer[snapshot.Snapshot]
	for range 20 {
		refs = append(refs, weak.Make(p.publish(100)))
	}
	p.states = nil
	for range 10 {
		runtime.GC()
	}
	alive := 0
	for _, ref := range refs {
		if ref.Value() != nil {
			alive++
		}
	}
	if alive > 3 {
		t.Errorf("%d of %d snapshots are alive", alive, len(refs))
	}
	if _, lost := next(t, sleeper); !lost {
		t.Error("the sleeper was not told")
	}
}

// TestWalk: whatever is published, and at whatever pace subscribers read, each of them
// sees a sequence of published states with rising revisions, and each change leads from
// the one that it had to the one that it gets.
func TestWalk(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := newPublisher(t, rapid.SampledFrom([]int{-1, 2000, 5000, 100_000}).Draw(rt, "history"))
		p.publish(10)
		type reader struct {
			sub  *replica.Subscription
			have *snapshot.Snapshot
		}
		var readers []*reader
		for i := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, fmt.Sprintf("action %d", i)) {
			case 0:
				have, sub := p.replica.Subscribe()
				readers = append(readers, &reader{sub, have})
			case 1:
				from := p.states[rapid.IntRange(1, len(p.states)-1).Draw(rt, "from")]
				now := p.replica.Snapshot()
				d, _, reached := p.replica.Since(from.Cursor(), now.Cursor())
				if !reached {
					continue
				}
				if got, err := from.Apply(d); err != nil || got.Cursor() != now.Cursor() {
					rt.Fatalf("from %v to %v: %v", from.Cursor(), now.Cursor(), err)
				}
			case 2, 3:
				p.publish(rapid.IntRange(0, 3000).Draw(rt, "size"))
			case 4:
				for _, r := range readers {
					if !pending(r.sub) {
						continue
					}
					c, lost := next(t, r.sub)
					to := c.Snapshot
					if !lost {
						var err error
						if to, err = r.have.Apply(c.Delta); err != nil {
							rt.Fatal(err)
						}
					}
					if to.Cursor() != p.states[to.Cursor().Revision].Cursor() || to.Cursor().Revision <= r.have.Cursor().Revision {
						rt.Fatalf("from %v to %v", r.have.Cursor(), to.Cursor())
					}
					r.have = to
				}
			}
		}
		for _, r := range readers {
			for pending(r.sub) {
				c, _ := next(t, r.sub)
				r.have = c.Snapshot
			}
			if r.have.Cursor() != p.replica.Snapshot().Cursor() {
				rt.Fatalf("a reader ended at %v", r.have.Cursor())
			}
		}
	})
}

// TestConcurrent is for the race detector: one publisher, readers and subscribers.
func TestConcurrent(t *testing.T) {
	p := newPublisher(t, 4000)
	p.publish(10)
	const last = 2000
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			have, sub := p.replica.Subscribe()
			for have.Cursor().Revision < last {
				c, lost, err := sub.Next(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				if now := c.Snapshot.Cursor(); now.Revision <= have.Cursor().Revision || !lost && c.Delta.Base != have.Cursor() {
					t.Errorf("from %v to %v", have.Cursor(), now)
					return
				}
				if d, _, reached := p.replica.Since(have.Cursor(), c.Snapshot.Cursor()); reached { // else the history went on meanwhile
					if got, err := have.Apply(d); err != nil || got.Cursor() != c.Snapshot.Cursor() {
						t.Errorf("from %v to %v: %v", have.Cursor(), c.Snapshot.Cursor(), err)
						return
					}
				}
				have = c.Snapshot
			}
		})
	}
	wg.Go(func() {
		for was := int64(0); was < last; {
			now := p.replica.Snapshot().Cursor().Revision
			if now < was {
				t.Errorf("revision went back from %d to %d", was, now)
			}
			was = now
			p.replica.Confirm(0)
			_ = p.replica.Age()
		}
	})
	for len(p.states) <= last {
		p.publish(10)
	}
	wg.Wait()
}

// The history keeps changes, and of the snapshots between them only the newest: each
// keeps alive what was derived from it.
func TestHistoryLetsGoOfSnapshots(t *testing.T) {
	p := newPublisher(t, 0)
	p.publish(10)
	from := p.publish(10).Cursor()
	_, sub := p.replica.Subscribe()
	old := weak.Make(p.publish(10))
	for range 200 {
		p.publish(10)
	}
	clear(p.states[:len(p.states)-1])
	for range 10 {
		runtime.GC()
	}
	if old.Value() != nil {
		t.Error("a snapshot of 200 changes ago is kept")
	}
	if !p.replica.Holds(from) {
		t.Error("the changes since then are not kept")
	}
	revision := from.Revision
	for range 201 {
		c, lost := next(t, sub)
		if lost || c.Delta.Base.Revision < revision {
			t.Fatalf("lost %v, from %s after revision %d", lost, c.Delta.Base, revision)
		}
		revision = c.Delta.Target.Revision
		if newest := revision == p.replica.Snapshot().Cursor().Revision; newest && c.Snapshot != p.replica.Snapshot() {
			t.Error("the newest change has no snapshot")
		}
	}
}
