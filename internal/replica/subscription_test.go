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

func TestSubscribeFrom(t *testing.T) {
	p := newPublisher(t, 0)
	if _, ok := p.replica.SubscribeFrom(snapshot.Cursor{Epoch: epoch}); ok {
		t.Error("subscribed to nothing")
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
		from  snapshot.Cursor
		first int64 // revision of what follows; 0: nothing, -1: not found
	}{
		"oldest":                   {at(1, 1), 2},
		"in between":               {at(2, 2), 3},
		"as advanced":              {at(4, 10), 11},
		"before it advanced":       {at(4, 4), 11},
		"while it advanced":        {at(4, 7), 11},
		"beyond what came next":    {at(4, 11), -1},
		"current":                  {at(11, 20), 0},
		"current as it came":       {at(11, 11), 0},
		"ahead":                    {at(11, 21), -1},
		"before the history":       {snapshot.Cursor{Epoch: epoch}, -1},
		"of another epoch":         {foreign, -1},
		"of a state never here":    {unknown, -1},
		"revision of another, too": {at(2, 3), -1},
	} {
		sub, ok := p.replica.SubscribeFrom(tc.from)
		switch {
		case ok != (tc.first >= 0):
			t.Errorf("%s: found %v", name, ok)
		case tc.first == 0 && pending(sub):
			t.Errorf("%s: something follows", name)
		case tc.first > 0:
			if c, lost := next(t, sub); lost || c.Delta.Target.Revision != tc.first || !c.Delta.Base.SameState(tc.from) {
				t.Errorf("%s: %v follows (lost %v)", name, c.Delta.Target, lost)
			}
		}
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
	sub, ok := p.replica.SubscribeFrom(one.Cursor())
	if !ok {
		t.Fatal("not found")
	}
	if c, _ := next(t, sub); c.Snapshot != four {
		t.Errorf("%v follows", c.Snapshot.Cursor())
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
	if _, ok := p.replica.SubscribeFrom(p.states[2].Cursor()); ok {
		t.Error("the history has no bound")
	}
	if _, ok := p.replica.SubscribeFrom(p.states[5].Cursor()); !ok {
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
	if _, ok := p.replica.SubscribeFrom(p.states[2].Cursor()); ok {
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

func TestOnce(t *testing.T) {
	p := newPublisher(t, 0)
	p.publish(1)
	_, a := p.replica.Subscribe()
	_, b := p.replica.Subscribe()
	p.publish(1)
	made := 0
	form := func(d snapshot.Delta) any { made++; return d.Target }
	for _, sub := range []*replica.Subscription{a, b} {
		c, _ := next(t, sub)
		if got := c.Once(form); got != p.states[2].Cursor() {
			t.Errorf("got %v", got)
		}
	}
	if made != 1 {
		t.Errorf("made %d times", made)
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
				if sub, ok := p.replica.SubscribeFrom(from.Cursor()); ok {
					readers = append(readers, &reader{sub, from})
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
	for i := range 6 {
		wg.Go(func() {
			have, sub := p.replica.Subscribe()
			if i == 0 {
				if from, ok := p.replica.SubscribeFrom(have.Cursor()); ok { // else the history went on meanwhile
					sub = from
				}
			}
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
	if _, ok := p.replica.SubscribeFrom(from); !ok {
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
