package hub_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tree"
)

// TestKeyThatIsNotKnownYet: a hub that is behind does not know keys that are new, so one that
// it misses was revoked only if its state is known to be later than the follower's question.
// Till then nothing is served, and nothing is taken away.
func TestKeyThatIsNotKnownYet(t *testing.T) {
	b := newBed(t, hub.Options{RequireKeys: true, Heartbeat: 50 * time.Millisecond}, 0, "production")
	held := b.changeKeys("production", nil)
	b.set.Replica("production").Confirm(time.Minute)
	back := func(secret string) *client {
		h := hello("f", "production")
		h.Scopes[0].Cursor = held.Cursor().Proto()
		c := b.present([]string{"Bearer " + secret}, h)
		c.have["production"] = held
		return c
	}
	secret, key := newKey(0)

	g := back(secret).goodbye()
	if g.GetCode() != syncv1.Goodbye_CODE_BEHIND || !strings.Contains(g.GetMessage(), key.GetId()) {
		t.Errorf("while nobody says how old the state is: %v", g)
	}

	c := back(secret)
	if got := c.outcome(); got != "welcome" {
		t.Fatal(got)
	}
	c.expect(syncv1.Begin_MODE_DELTA, b.changeKeys("production", []*accessv1.Key{key}))

	unknown, _ := newKey(0)
	held = b.set.Replica("production").Snapshot()
	c = back(unknown)
	if got := c.outcome(); got != "welcome" {
		t.Fatal(got)
	}
	b.set.Replica("production").Confirm(0)
	if g := c.goodbye(); g.GetCode() != syncv1.Goodbye_CODE_REVOKED || !slices.Equal(g.GetEnvironments(), []string{"production"}) {
		t.Errorf("once the state is known to be later: %v", g)
	}
}

// TestKeyThatWasKnown: of a key that opened the environment here before, it is known at once
// that it was revoked, also to a stream that begins after that.
func TestKeyThatWasKnown(t *testing.T) {
	b := newBed(t, hub.Options{RequireKeys: true}, 0, "production")
	secret, key := newKey(0)
	held := b.changeKeys("production", []*accessv1.Key{key})
	c := b.present([]string{"Bearer " + secret}, hello("f", "production"))
	if got := c.outcome(); got != "welcome" {
		t.Fatal(got)
	}
	c.update()
	c.cancel()
	eventually(t, "no follower", func() bool { return len(b.hub.Followers()) == 0 })
	b.changeKeys("production", nil, key.GetId())
	h := hello("f", "production")
	h.Scopes[0].Cursor = held.Cursor().Proto()
	if got := b.present([]string{"Bearer " + secret}, h).outcome(); got != "CODE_REVOKED [production]" {
		t.Errorf("it comes back: %s", got)
	}
}

// TestKeyThatARestoreForgot: a new epoch's store that does not know the key says nothing of
// the state that the follower has, which is another store's: it is not told to drop it.
func TestKeyThatARestoreForgot(t *testing.T) {
	b := newBed(t, hub.Options{RequireKeys: true, Heartbeat: 20 * time.Millisecond}, 0, "production", "staging")
	secret, key := newKey(0)
	for _, e := range []string{"production", "staging"} {
		b.changeKeys(e, []*accessv1.Key{key})
	}
	restore := func(environment string, keys ...*accessv1.Key) {
		next := snapshot.Epoch{Counter: 2, Random: 2}
		var puts []snapshot.Item
		for _, k := range keys {
			data, err := proto.Marshal(k)
			if err != nil {
				t.Fatal(err)
			}
			puts = append(puts, snapshot.Item{Kind: syncv1.Kind_KIND_KEY, Key: k.GetId(), ModRevision: 3, Data: data})
		}
		s, _ := snapshot.New(environment, next).Next(3, puts, nil)
		if err := b.set.Replica(environment).Publish(s, s.Full()); err != nil {
			t.Fatal(err)
		}
		b.set.Replica(environment).Confirm(0)
	}
	one := b.present([]string{"Bearer " + secret}, hello("one", "production"))
	both := b.present([]string{"Bearer " + secret}, hello("both", "production", "staging"))
	for _, c := range []*client{one, both} {
		if got := c.outcome(); got != "welcome" {
			t.Fatal(got)
		}
		c.update()
	}
	both.update()

	restore("production")
	var err error
	for m := (*syncv1.StreamResponse)(nil); err == nil; m, err = one.stream.Recv() {
		if m.GetGoodbye() != nil || m.GetUpdate() != nil {
			t.Fatalf("who has nothing else: %v", m)
		}
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("who has nothing else: %v", err)
	}
	restore("staging", key)
	both.expect(syncv1.Begin_MODE_FULL, b.set.Replica("staging").Snapshot())

	h := hello("back", "production", "staging")
	h.Scopes[0].Cursor = both.have["production"].Cursor().Proto()
	back := b.present([]string{"Bearer " + secret}, h)
	if got := back.outcome(); got != "welcome" {
		t.Fatalf("who comes back: %s", got)
	}
	back.expect(syncv1.Begin_MODE_FULL, b.set.Replica("staging").Snapshot())
	granted := b.changeKeys("production", []*accessv1.Key{key})
	both.expect(syncv1.Begin_MODE_FULL, granted)
	back.expect(syncv1.Begin_MODE_FULL, granted)
}

// TestPurgedRelay: when a relay loses an environment, those who have it by the relay's right
// lose it, too; who presents a key of its own is sent elsewhere, and keeps what it has.
func TestPurgedRelay(t *testing.T) {
	relays, relayKey := newKey(0)
	own, ownKey := newKey(0)
	b := newBed(t, hub.Options{Heartbeat: 50 * time.Millisecond, Key: func() (string, error) { return relays, nil }}, 0, "production", "staging")
	keys := []*accessv1.Key{relayKey, ownKey}
	held := b.changeKeys("production", keys)
	other := b.changeKeys("staging", keys)
	followers := []struct {
		who           string
		authorization []string
		want          syncv1.Goodbye_Code
	}{
		{"without a key", nil, syncv1.Goodbye_CODE_REVOKED},
		{"with the relay's key", []string{"Bearer " + relays}, syncv1.Goodbye_CODE_REVOKED},
		{"with a key of its own", []string{"Bearer " + own}, syncv1.Goodbye_CODE_BEHIND},
	}
	back := func(authorization []string, environments ...string) *client {
		h := hello("f", environments...)
		h.Scopes[0].Cursor = held.Cursor().Proto()
		c := b.present(authorization, h)
		c.have["production"] = held
		if got := c.outcome(); got != "welcome" {
			t.Fatal(got)
		}
		return c
	}
	check := func(who string, c *client, want syncv1.Goodbye_Code) {
		t.Helper()
		g := c.goodbye()
		if g.GetCode() != want || g.GetBackoff().AsDuration() <= 0 || (len(g.GetEnvironments()) > 0) != (want == syncv1.Goodbye_CODE_REVOKED) {
			t.Errorf("%s: %v, want %v", who, g, want)
		}
	}
	var connected []*client
	for _, f := range followers {
		c := back(f.authorization, "production")
		c.expect(syncv1.Begin_MODE_NONE, held)
		connected = append(connected, c)
	}
	b.set.Replica("production").Purge()
	for i, f := range followers {
		check(f.who+", connected", connected[i], f.want)
		check(f.who+", new", back(f.authorization, "production"), f.want)
	}

	// Others of its environments are served for a while, and this one, if it comes back.
	c := back([]string{"Bearer " + own}, "production", "staging")
	c.expect(syncv1.Begin_MODE_FULL, other)
	check("who follows others", c, syncv1.Goodbye_CODE_BEHIND)
	c = back([]string{"Bearer " + own}, "production", "staging")
	c.expect(syncv1.Begin_MODE_FULL, other)
	c.expect(syncv1.Begin_MODE_FULL, b.changeKeys("production", []*accessv1.Key{ownKey}))
}

// TestRevokedIsNotExpected: what a relay is told to drop, it is not expected to have, whether
// it is connected when it loses it or comes back later.
func TestRevokedIsNotExpected(t *testing.T) {
	secret, key := newKey(0)
	below := tree.New("hub")
	told := below.Subscribe()
	defer told.Close()
	b := newBed(t, hub.Options{Tree: below}, 0, "production")
	held := b.changeKeys("production", []*accessv1.Key{key})
	h := hello("relay", "production")
	h.FollowerKind = syncv1.FollowerKind_FOLLOWER_KIND_RELAY
	h.Scopes[0].Cursor = held.Cursor().Proto()
	c := b.present([]string{"Bearer " + secret}, h)
	eventually(t, "it follows", func() bool { return len(told.Take().GetRelays()) == 1 })
	gone := func(when string) {
		t.Helper()
		if g := c.goodbye(); g.GetCode() != syncv1.Goodbye_CODE_REVOKED {
			t.Fatalf("%s: %v", when, g)
		}
		eventually(t, when+": its departure", func() bool {
			d := told.Take().GetDepartures()
			return len(d) == 1 && !d[0].GetLeft() && slices.Equal(d[0].GetRevoked(), []string{"production"})
		})
	}
	b.changeKeys("production", nil, key.GetId())
	gone("connected")
	c = b.present([]string{"Bearer " + secret}, h)
	gone("back")
}

// TestKeyOfSome: who asks for some of its environments without a cursor may hold a state of
// them, for which it asks afresh: they are named only once that is certain.
func TestKeyOfSome(t *testing.T) {
	var logged syncBuffer
	b := newBed(t, hub.Options{RequireKeys: true, Logger: zerolog.New(&logged), Heartbeat: 50 * time.Millisecond}, 0, "production", "staging")
	secret, key := newKey(0)
	state := b.changeKeys("production", []*accessv1.Key{key})
	b.changeKeys("staging", nil)
	b.set.Replica("staging").Confirm(time.Minute)
	begin := func() *client {
		t.Helper()
		c := b.present([]string{"Bearer " + secret}, hello("f", "production", "staging"))
		if got := c.outcome(); got != "welcome" {
			t.Fatalf("by a hub that may be behind: %s", got)
		}
		c.expect(syncv1.Begin_MODE_FULL, state)
		return c
	}
	if g := begin().goodbye(); g.GetCode() != syncv1.Goodbye_CODE_BEHIND {
		t.Errorf("while nobody says how old the state is: %v", g)
	}
	c := begin()
	b.set.Replica("staging").Confirm(0)
	if g := c.goodbye(); g.GetCode() != syncv1.Goodbye_CODE_REVOKED || !slices.Equal(g.GetEnvironments(), []string{"staging"}) {
		t.Errorf("once it is certain: %v", g)
	}
	if text := logged.String(); !strings.Contains(text, "has no right to") || !strings.Contains(text, key.GetId()) || strings.Contains(text, secret[17:]) {
		t.Errorf("logged:\n%s", text)
	}
	c = begin()
	c.expect(syncv1.Begin_MODE_FULL, b.changeKeys("staging", []*accessv1.Key{key}))
}

// TestKeyThatAStoreMadeAnewLacks: a store that was made anew has no keys, so its followers are refused
// for want of one; that they have another store's state is told all the same. A server that is only
// late tells nothing of the kind.
func TestKeyThatAStoreMadeAnewLacks(t *testing.T) {
	first, later := snapshot.Epoch{Counter: 1, Random: 3}, snapshot.Epoch{Counter: 2, Random: 4}
	for name, tc := range map[string]struct {
		store *fakeStore
		here  snapshot.Epoch
		told  bool
	}{
		"made anew":                    {&fakeStore{epoch: first}, first, true},
		"a relay":                      {nil, first, true},
		"begun by somebody":            {&fakeStore{epoch: later}, later, false},
		"the store has begun an epoch": {&fakeStore{epoch: later}, first, false},
	} {
		t.Run(name, func(t *testing.T) {
			var logged syncBuffer
			o := hub.Options{RequireKeys: true, Logger: zerolog.New(&logged)}
			if tc.store != nil {
				o.Head = tc.store.head
			}
			b := newBed(t, o, 0, "production")
			here, _ := snapshot.New("production", tc.here).Next(9, nil, nil)
			if err := b.set.Replica("production").Publish(here, here.Full()); err != nil {
				t.Fatal(err)
			}
			secret, key := newKey(0)
			_, err := b.present([]string{"Bearer " + secret}, of(epoch)).stream.Recv()
			if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), key.GetId()) ||
				strings.Contains(err.Error(), "of another store") != (tc.here == first) {
				t.Errorf("the follower is told %v", err)
			}
			if !tc.told {
				if len(b.hub.Strangers()) != 0 {
					t.Error("an alarm")
				}
				return
			}
			eventually(t, "an alarm", func() bool { return isStranger(b.hub.Strangers(), epoch) })
			if !strings.Contains(logged.String(), "FOLLOWERS HAVE THE STATE OF ANOTHER STORE") {
				t.Errorf("logged:\n%s", logged.String())
			}
		})
	}
}

// TestKeyThatIsAskedForAfresh: who asks for its state anew, and holds another store's, is not told to
// drop it by a hub that lacks its key, however late that got its state.
func TestKeyThatIsAskedForAfresh(t *testing.T) {
	b := newBed(t, hub.Options{RequireKeys: true}, 0, "production")
	secret, _ := newKey(0)
	h := hello("f", "production")
	h.Scopes[0].HeldEpoch = epoch.Proto()
	c := b.present([]string{"Bearer " + secret}, h)
	if got := c.outcome(); got != "welcome" {
		t.Fatal(got)
	}
	anew, _ := snapshot.New("production", snapshot.Epoch{Counter: 1, Random: 3}).Next(9, nil, nil)
	if err := b.set.Replica("production").Publish(anew, anew.Full()); err != nil {
		t.Fatal(err)
	}
	b.set.Replica("production").Confirm(0)
	var err error
	for m := (*syncv1.StreamResponse)(nil); err == nil; m, err = c.stream.Recv() {
		if m.GetGoodbye() != nil || m.GetUpdate() != nil {
			t.Fatalf("it is told %v", m)
		}
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
}
