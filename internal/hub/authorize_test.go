package hub_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// change publishes keys, and takes away those of the given ids.
func (b *bed) changeKeys(environment string, keys []*accessv1.Key, revoked ...string) *snapshot.Snapshot {
	b.t.Helper()
	r := b.set.Replica(environment)
	now := r.Snapshot()
	if now == nil {
		now = snapshot.New(environment, epoch)
	}
	revision := now.Cursor().Revision + 1
	var puts []snapshot.Item
	for _, k := range keys {
		data, err := proto.Marshal(k)
		if err != nil {
			b.t.Fatal(err)
		}
		puts = append(puts, snapshot.Item{Kind: syncv1.Kind_KIND_KEY, Key: k.GetId(), ModRevision: revision, Data: data})
	}
	var deletes []snapshot.ID
	for _, id := range revoked {
		deletes = append(deletes, snapshot.ID{Kind: syncv1.Kind_KIND_KEY, Key: id})
	}
	next, d := now.Next(revision, puts, deletes)
	publish := d
	if r.Snapshot() == nil {
		publish = next.Full()
	}
	if err := r.Publish(next, publish); err != nil {
		b.t.Fatal(err)
	}
	return next
}

// newKey draws a key that expires after so long; 0: never.
func newKey(expires time.Duration) (string, *accessv1.Key) {
	secret, p := accesskey.New()
	key := &accessv1.Key{Id: p.ID, Name: "test", SecretHash: p.Hash(), Version: 1}
	if expires != 0 {
		key.ExpiresAt = timestamppb.New(time.Now().Add(expires))
	}
	return secret, key
}

// present opens a stream with the given authorization, and says hello.
func (b *bed) present(authorization []string, h *syncv1.Hello) *client {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	b.t.Cleanup(cancel)
	for _, value := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
	}
	stream, err := b.dial(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	c := &client{
		t: b.t, stream: stream, cancel: cancel,
		have: make(map[string]*snapshot.Snapshot), staged: make(map[string]*snapshot.Assembler),
	}
	c.hello(h)
	return c
}

// outcome is what a stream begins with: "welcome", a Goodbye with what it names, or a code.
func (c *client) outcome() string {
	c.t.Helper()
	m, err := c.stream.Recv()
	switch {
	case err != nil:
		return status.Code(err).String()
	case m.GetWelcome() != nil:
		return "welcome"
	case m.GetGoodbye() != nil:
		return fmt.Sprintf("%s %v", m.GetGoodbye().GetCode(), m.GetGoodbye().GetEnvironments())
	}
	return fmt.Sprintf("unexpected %v", m)
}

func TestPermissions(t *testing.T) {
	var logged syncBuffer
	optional := newBed(t, hub.Options{Logger: zerolog.New(&logged)}, 0, "production", "staging", "dev")
	required := newBed(t, hub.Options{RequireKeys: true, Logger: zerolog.New(&logged)}, 0, "production", "staging", "dev")

	both, bothKey := newKey(0)
	one, oneKey := newKey(time.Hour)
	expired, expiredKey := newKey(-time.Second)
	unknown, _ := newKey(0)
	broken, brokenKey := newKey(0)
	brokenKey.SecretHash = brokenKey.SecretHash[:31]
	forged := one[:20] + strings.Map(func(r rune) rune {
		if r == 'A' {
			return 'B'
		}
		return 'A'
	}, one[20:59]) + one[59:]
	for _, b := range []*bed{optional, required} {
		b.publish("production", 10, "a") // with items of other kinds
		b.changeKeys("production", []*accessv1.Key{bothKey, oneKey, expiredKey, brokenKey})
		b.changeKeys("staging", []*accessv1.Key{bothKey})
		b.changeKeys("dev", nil)
	}
	bearer := func(secret string) []string { return []string{"Bearer " + secret} }

	const unauthenticated, denied, welcome = "Unauthenticated", "PermissionDenied", "welcome"
	for _, tc := range []struct {
		name          string
		authorization []string
		environments  []string
		// What becomes of it where keys are required, and where they are not.
		required, optional string
	}{
		{"no key", nil, []string{"production"}, unauthenticated, welcome},
		{"a key", bearer(one), []string{"production"}, welcome, welcome},
		{"the scheme in lower case", []string{"bearer " + one}, []string{"production"}, welcome, welcome},
		{"a key of two", bearer(both), []string{"production", "staging"}, welcome, welcome},
		{"a key of another environment", bearer(one), []string{"staging"}, denied, denied},
		{"a key of one of them", bearer(one), []string{"production", "staging", "dev"}, welcome, welcome},
		{"a key of none of them", bearer(one), []string{"staging", "dev"}, denied, denied},
		{"expired", bearer(expired), []string{"production"}, denied, denied},
		{"unknown", bearer(unknown), []string{"production"}, denied, denied},
		{"another's id", bearer(forged), []string{"production"}, unauthenticated, unauthenticated},
		{"a stored hash that is cut off", bearer(broken), []string{"production"}, unauthenticated, unauthenticated},
		{"another scheme", []string{"Basic " + one}, []string{"production"}, unauthenticated, unauthenticated},
		{"no scheme", []string{one}, []string{"production"}, unauthenticated, unauthenticated},
		{"empty", []string{""}, []string{"production"}, unauthenticated, unauthenticated},
		{"no secret", []string{"Bearer"}, []string{"production"}, unauthenticated, unauthenticated},
		{"cut off", bearer(one[:59]), []string{"production"}, unauthenticated, unauthenticated},
		{"two keys", []string{"Bearer " + one, "Bearer " + both}, []string{"production"}, unauthenticated, unauthenticated},
	} {
		for _, side := range []struct {
			bed  *bed
			want string
			how  string
		}{{required, tc.required, "required"}, {optional, tc.optional, "optional"}} {
			if got := side.bed.present(tc.authorization, hello("f", tc.environments...)).outcome(); got != side.want {
				t.Errorf("%s, keys are %s: %s, want %s", tc.name, side.how, got, side.want)
			}
		}
	}
	for what, secret := range map[string]string{"both": both, "one": one, "expired": expired, "unknown": unknown, "forged": forged} {
		p, _ := accesskey.Parse(secret)
		if text := logged.String(); strings.Contains(text, secret[17:]) || strings.Contains(text, hex.EncodeToString(p.Hash())) {
			t.Errorf("%s: its secret or hash is logged:\n%s", what, text)
		}
	}
}

// TestErrorsTellNoSecrets: what a refused follower is told names the key, never the secret;
// and not which environments there are.
func TestErrorsTellNoSecrets(t *testing.T) {
	b := newBed(t, hub.Options{RequireKeys: true}, 0, "production", "hidden")
	good, key := newKey(0)
	unknown, p := newKey(0)
	b.changeKeys("production", []*accessv1.Key{key})
	b.changeKeys("hidden", nil)
	for authorization, parts := range map[string][]string{
		"Bearer " + unknown: {"nowhere", "known: []"},
		"Bearer " + good:    {"nowhere", `known: ["production"]`},
	} {
		c := b.present([]string{authorization}, hello("f", "nowhere"))
		_, err := c.stream.Recv()
		if status.Code(err) != codes.NotFound {
			t.Fatalf("%v", err)
		}
		for _, part := range parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v: want %q in it", err, part)
			}
		}
	}
	_, err := b.present([]string{"Bearer " + unknown}, hello("f", "production")).stream.Recv()
	if text := err.Error(); !strings.Contains(text, p.GetId()) || strings.Contains(text, unknown[17:]) || !strings.Contains(text, "revoked") {
		t.Errorf("%v", err)
	}
}

// TestRevoke: a follower loses what its key no longer opens at once, before it gets the
// change that says so; others are not disturbed.
func TestRevoke(t *testing.T) {
	b := newBed(t, hub.Options{RequireKeys: true}, 0, "production", "staging")
	secret, key := newKey(0)
	other, otherKey := newKey(0)
	for _, e := range []string{"production", "staging"} {
		b.changeKeys(e, []*accessv1.Key{key, otherKey})
	}
	start := func(secret string) *client {
		c := b.present([]string{"Bearer " + secret}, hello("f", "production", "staging"))
		if got := c.outcome(); got != "welcome" {
			t.Fatal(got)
		}
		c.update()
		c.update()
		return c
	}
	c, bystander := start(secret), start(other)

	_, third := newKey(0)
	want := b.changeKeys("production", []*accessv1.Key{third})
	c.expect(syncv1.Begin_MODE_DELTA, want)
	bystander.expect(syncv1.Begin_MODE_DELTA, want)

	revoked := time.Now()
	want = b.changeKeys("staging", nil, key.GetId())
	g := c.goodbye()
	if took := time.Since(revoked); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if g.GetCode() != syncv1.Goodbye_CODE_REVOKED || !slices.Equal(g.GetEnvironments(), []string{"staging"}) || g.GetBackoff().AsDuration() < time.Second {
		t.Errorf("%v", g)
	}
	if held := c.have["staging"]; held.Cursor().Digest == want.Cursor().Digest {
		t.Error("the follower was sent what it may not have")
	}
	bystander.expect(syncv1.Begin_MODE_DELTA, want)
	if got := b.present([]string{"Bearer " + secret}, hello("f", "production")).outcome(); got != "welcome" {
		t.Errorf("for what it may still have: %s", got)
	}
}

// TestRevokedWhileAway: who comes back with the state of what it may no longer have is told
// to drop it; but not by a store that knows nothing of that state.
func TestRevokedWhileAway(t *testing.T) {
	b := newBed(t, hub.Options{Heartbeat: 20 * time.Millisecond}, 0, "production")
	secret, key := newKey(0)
	held := b.changeKeys("production", []*accessv1.Key{key})
	b.changeKeys("production", nil, key.GetId())
	h := hello("f", "production")
	h.Scopes[0].Cursor = held.Cursor().Proto()
	c := b.present([]string{"Bearer " + secret}, h)
	if got := c.outcome(); got != "welcome" {
		t.Fatal(got)
	}
	b.set.Replica("production").Confirm(0)
	if g := c.goodbye(); g.GetCode() != syncv1.Goodbye_CODE_REVOKED || !slices.Equal(g.GetEnvironments(), []string{"production"}) {
		t.Errorf("with the state: %v", g)
	}
	h.Scopes[0].Cursor.Epoch.Random++
	if got := b.present([]string{"Bearer " + secret}, h).outcome(); got != "PermissionDenied" {
		t.Errorf("with the state of another store: %s", got)
	}
}

// TestExpiry: no change tells of it, so it is found with a heartbeat.
func TestExpiry(t *testing.T) {
	b := newBed(t, hub.Options{Heartbeat: 10 * time.Millisecond}, 0, "production")
	var c *client
	var key *accessv1.Key
	for life := 100 * time.Millisecond; ; life *= 2 { // until the key outlives the beginning
		var secret string
		secret, key = newKey(life)
		b.changeKeys("production", []*accessv1.Key{key})
		c = b.present([]string{"Bearer " + secret}, hello("f", "production"))
		if got := c.outcome(); got == "welcome" {
			break
		} else if got != "PermissionDenied" {
			t.Fatal(got)
		}
	}
	g := c.goodbye()
	if g.GetCode() != syncv1.Goodbye_CODE_REVOKED || !strings.Contains(g.GetMessage(), "has expired") || time.Now().Before(key.GetExpiresAt().AsTime()) {
		t.Errorf("%v, at %v; it expires at %v", g, time.Now(), key.GetExpiresAt().AsTime())
	}
}

// TestEnvironmentThatComesLater is authorized when it comes.
func TestEnvironmentThatComesLater(t *testing.T) {
	b := newBed(t, hub.Options{RequireKeys: true, Heartbeat: 10 * time.Millisecond}, 0, "production", "staging")
	secret, key := newKey(0)
	b.changeKeys("production", []*accessv1.Key{key})
	c := b.present([]string{"Bearer " + secret}, hello("f", "production", "staging", "new"))
	if got := c.outcome(); got != "welcome" {
		t.Fatal(got)
	}
	c.update()
	b.changeKeys("staging", nil) // its first state, which the key does not open
	b.set.Replica("staging").Confirm(0)
	if g := c.goodbye(); g.GetCode() != syncv1.Goodbye_CODE_REVOKED || !slices.Equal(g.GetEnvironments(), []string{"staging"}) {
		t.Errorf("%v", g)
	}
	if c.have["staging"] != nil {
		t.Error("it was sent")
	}
}

// syncBuffer is a log of several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
