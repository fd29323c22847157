package hub_test

import (
	"errors"
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
