package hub_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// of is a hello whose state is of an epoch.
func of(e snapshot.Epoch) *syncv1.Hello {
	h := hello("f", "production")
	h.Scopes[0].Cursor = snapshot.Cursor{Epoch: e, Revision: 7, Digest: snapshot.Digest{Lo: 1}}.Proto()
	return h
}

// TestLateEpoch: a hub whose store has begun an epoch that it does not have yet takes
// nobody back to the one before; which of two has ended, the store says, or the counter
// where that does not answer.
func TestLateEpoch(t *testing.T) {
	later, anew := snapshot.Epoch{Counter: epoch.Counter + 1, Random: 2}, snapshot.Epoch{Counter: epoch.Counter, Random: 3}
	silent := errors.New("no quorum")
	for name, tc := range map[string]struct {
		store  *fakeStore
		has    snapshot.Epoch
		served bool
	}{
		"the follower's has begun":           {&fakeStore{epoch: later}, later, false},
		"the follower's has begun, anew":     {&fakeStore{epoch: anew}, anew, false},
		"the follower's has ended":           {&fakeStore{epoch: epoch}, later, true},
		"both have ended":                    {&fakeStore{epoch: later}, anew, false},
		"no answer, the follower's is later": {&fakeStore{err: silent}, later, false},
		"no answer, it is not":               {&fakeStore{err: silent}, anew, true},
		"there is no store: a relay":         {nil, later, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := hub.Options{BehindWait: 100 * time.Millisecond}
			if tc.store != nil {
				o.Head = tc.store.head
			}
			b := newBed(t, o, 0, "production")
			here := b.publish("production", 10, "a")
			c := b.present(nil, of(tc.has))
			if tc.served {
				if got := c.outcome(); got != "welcome" {
					t.Fatal(got)
				}
				c.expect(syncv1.Begin_MODE_FULL, here)
				return
			}
			if g := c.goodbye(); g.GetCode() != syncv1.Goodbye_CODE_BEHIND || len(c.have) != 0 {
				t.Errorf("%v, and it has %v", g, c.have)
			}
		})
	}
}

// TestEpochArrives: who came before the epoch did is served as soon as it is here.
func TestEpochArrives(t *testing.T) {
	later := snapshot.Epoch{Counter: epoch.Counter + 1, Random: 2}
	store := &fakeStore{epoch: later}
	b := newBed(t, hub.Options{BehindWait: time.Minute, Head: store.head}, 0, "production")
	b.publish("production", 10, "a")
	c := b.present(nil, of(later))
	eventually(t, "the store is asked", func() bool { return store.asked.Load() == 1 })
	next, _ := snapshot.New("production", later).Next(9, nil, nil)
	if err := b.set.Replica("production").Publish(next, next.Full()); err != nil {
		t.Fatal(err)
	}
	if got := c.outcome(); got != "welcome" {
		t.Fatal(got)
	}
	c.expect(syncv1.Begin_MODE_FULL, next)
}

// isStranger tells whether the follower of hello, alone, is one, with the state of the epoch.
func isStranger(got []hub.Stranger, of snapshot.Epoch) bool {
	return len(got) == 1 && got[0].InstanceID == "f" && got[0].Environment == "production" && got[0].Epoch == of
}

// TestStoreMadeAnew: the first epoch of a store, which nobody has begun, takes over nobody who has the
// state of another one, whatever it holds, at a server and at a relay; who has nothing is served. One
// that was begun does.
func TestStoreMadeAnew(t *testing.T) {
	first := snapshot.Epoch{Counter: 1, Random: 3}
	begun := snapshot.Epoch{Counter: 2, Random: 4}
	store := func(e snapshot.Epoch) *fakeStore { return &fakeStore{epoch: e} }
	for name, tc := range map[string]struct {
		store  *fakeStore
		here   snapshot.Epoch
		items  []string
		has    *snapshot.Epoch
		afresh bool // it asks for everything, without a cursor
		served bool
	}{
		"nothing yet":                   {store(first), first, nil, &epoch, false, false},
		"something":                     {store(first), first, []string{"a"}, &epoch, false, false},
		"of another first":              {store(first), first, []string{"a"}, &snapshot.Epoch{Counter: 1, Random: 9}, false, false},
		"no answer":                     {&fakeStore{err: errors.New("no quorum")}, first, nil, &snapshot.Epoch{Counter: 1, Random: 9}, false, false},
		"a relay":                       {nil, first, []string{"a"}, &epoch, false, false},
		"a follower that has nothing":   {store(first), first, []string{"a"}, nil, false, true},
		"a follower that served files":  {store(first), first, []string{"a"}, &snapshot.Epoch{Random: 9}, false, true},
		"begun by somebody":             {store(begun), begun, nil, &epoch, false, true},
		"begun by somebody, of a first": {store(begun), begun, []string{"a"}, &first, false, true},
		"asks afresh":                   {store(first), first, []string{"a"}, &epoch, true, false},
		"asks afresh at a relay":        {nil, first, []string{"a"}, &epoch, true, false},
		"asks afresh, begun":            {store(begun), begun, []string{"a"}, &epoch, true, true},
		"asks afresh, of this store":    {store(first), first, []string{"a"}, &first, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := hub.Options{BehindWait: 50 * time.Millisecond}
			if tc.store != nil {
				o.Head = tc.store.head
			}
			b := newBed(t, o, 0, "production")
			var items []snapshot.Item
			for _, key := range tc.items {
				items = append(items, item(key, 9, 1))
			}
			here, _ := snapshot.New("production", tc.here).Next(9, items, nil)
			if err := b.set.Replica("production").Publish(here, here.Full()); err != nil {
				t.Fatal(err)
			}
			h := hello("f", "production")
			if tc.has != nil {
				h = of(*tc.has)
			}
			if tc.afresh {
				h.Scopes[0].Cursor, h.Scopes[0].HeldEpoch = nil, tc.has.Proto()
			}
			c := b.present(nil, h)
			if tc.served {
				if got := c.outcome(); got != "welcome" {
					t.Fatal(got)
				}
				c.expect(syncv1.Begin_MODE_FULL, here)
			} else if g := c.goodbye(); g.GetCode() != syncv1.Goodbye_CODE_BEHIND || len(c.have) != 0 ||
				!strings.Contains(g.GetMessage(), "made anew") || !strings.Contains(g.GetMessage(), "tidegate epoch begin") {
				t.Errorf("%v, and it has %v", g, c.have)
			}
			if got := b.hub.Strangers(); tc.served && len(got) != 0 || !tc.served && !isStranger(got, *tc.has) {
				t.Errorf("strangers %v", got)
			}
			next, _ := snapshot.New("production", begun).Next(10, nil, nil)
			if err := b.set.Replica("production").Publish(next, next.Full()); err != nil && tc.here != begun {
				t.Fatal(err)
			}
			if len(b.hub.Strangers()) != 0 {
				t.Error("an epoch was begun, and it goes on")
			}
		})
	}
}
