package hub_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/hub"
)

// TestRoles: whose key evaluates and does not follow is told so, whether keys are required or
// not; who followed with a key that no longer does loses what it has.
func TestRoles(t *testing.T) {
	for _, required := range []bool{true, false} {
		b := newBed(t, hub.Options{RequireKeys: required, Heartbeat: time.Hour}, 0, "production")
		b.publish("production", 10, "a")
		for name, tc := range map[string]struct {
			role     accessv1.Role
			prefixes []string
			want     string
		}{
			"relay":                     {role: accessv1.Role_ROLE_RELAY, want: "welcome"},
			"a key of before roles":     {want: "welcome"},
			"SDK":                       {role: accessv1.Role_ROLE_SDK_SERVER, want: "welcome"},
			"SDK, some flags":           {role: accessv1.Role_ROLE_SDK_SERVER, prefixes: []string{"a"}, want: "PermissionDenied"},
			"client":                    {role: accessv1.Role_ROLE_SDK_CLIENT, want: "PermissionDenied"},
			"a role that is not known":  {role: 42, want: "PermissionDenied"},
			"an identity's, by mistake": {role: accessv1.Role_ROLE_ADMINISTRATOR, want: "PermissionDenied"},
		} {
			secret, key := newKey(0)
			key.Role, key.FlagPrefixes = tc.role, tc.prefixes
			b.changeKeys("production", []*accessv1.Key{key})
			if got := b.present([]string{"Bearer " + secret}, hello("f", "production")).outcome(); got != tc.want {
				t.Errorf("%s, keys required: %v: %s, want %s", name, required, got, tc.want)
			}
		}
		secret, key := newKey(0)
		key.Role = accessv1.Role_ROLE_SDK_SERVER
		b.changeKeys("production", []*accessv1.Key{key})
		c := b.present([]string{"Bearer " + secret}, hello("f", "production"))
		if got := c.outcome(); got != "welcome" {
			t.Fatal(got)
		}
		c.update()
		key.FlagPrefixes = []string{"a"}
		b.changeKeys("production", []*accessv1.Key{key})
		if g := c.goodbye(); g.GetCode() != syncv1.Goodbye_CODE_REVOKED || !strings.Contains(g.GetMessage(), "does not follow") {
			t.Errorf("a key that is for some flags now: %v", g)
		}
	}
}

// TestRotated: a stream that was opened with the secret before is cut when that ends, and keeps
// what it has: it is not revoked. The newest goes on.
func TestRotated(t *testing.T) {
	b := newBed(t, hub.Options{RequireKeys: true, Heartbeat: 10 * time.Millisecond}, 0, "production")
	before, key := newKey(0)
	b.changeKeys("production", []*accessv1.Key{key})
	start := func(secret string) *client {
		t.Helper()
		c := b.present([]string{"Bearer " + secret}, hello("f", "production"))
		if got := c.outcome(); got != "welcome" {
			t.Fatal(got)
		}
		return c
	}
	old := start(before)
	newest, drawn := accesskey.NewFor(key.GetId())
	key.PreviousSecretHash, key.SecretHash = key.GetSecretHash(), drawn.Hash()
	key.PreviousExpiresAt = timestamppb.New(time.Now().Add(time.Hour))
	b.changeKeys("production", []*accessv1.Key{key})
	overlapping, current := start(before), start(newest)

	key.PreviousExpiresAt = timestamppb.New(time.Now().Add(50 * time.Millisecond))
	b.changeKeys("production", []*accessv1.Key{key})
	for name, c := range map[string]*client{"from before the rotation": old, "from the overlap": overlapping} {
		if err := c.end(); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "it was rotated, present the newest") {
			t.Errorf("a stream %s ends with %v", name, err)
		}
	}
	h := hello("f", "production")
	h.Scopes[0].Cursor = b.set.Replica("production").Snapshot().Cursor().Proto()
	if got := b.present([]string{"Bearer " + before}, h).outcome(); got != "Unauthenticated" {
		t.Errorf("the secret before, with a state: %s", got)
	}
	_, drawn = accesskey.NewFor(key.GetId()) // at once, without an overlap
	key.SecretHash, key.PreviousSecretHash, key.PreviousExpiresAt = drawn.Hash(), nil, nil
	at := start(newest)
	b.changeKeys("production", []*accessv1.Key{key})
	for name, c := range map[string]*client{"a stream that is open": current, "one that has begun": at} {
		if err := c.end(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s, without an overlap, ends with %v", name, err)
		}
	}
}

// TestRotationGoesOn: who has the newest secret does not notice that the one before ends.
func TestRotationGoesOn(t *testing.T) {
	b := newBed(t, hub.Options{RequireKeys: true, Heartbeat: 10 * time.Millisecond}, 0, "production")
	_, key := newKey(0)
	newest, drawn := accesskey.NewFor(key.GetId())
	key.PreviousSecretHash, key.SecretHash = key.GetSecretHash(), drawn.Hash()
	key.PreviousExpiresAt = timestamppb.New(time.Now().Add(20 * time.Millisecond))
	b.changeKeys("production", []*accessv1.Key{key})
	current := b.present([]string{"Bearer " + newest}, hello("f", "production"))
	if got := current.outcome(); got != "welcome" {
		t.Fatal(got)
	}
	current.update()
	for time.Now().Before(key.GetPreviousExpiresAt().AsTime()) {
		if m, err := current.stream.Recv(); err != nil || m.GetGoodbye() != nil {
			t.Fatalf("%v, %v", m, err)
		}
	}
	_, another := newKey(0)
	want := b.changeKeys("production", []*accessv1.Key{another})
	for current.have["production"] == nil || current.have["production"].Cursor().Revision < want.Cursor().Revision {
		current.update()
	}
}

// end takes messages until the stream ends without a Goodbye.
func (c *client) end() error {
	c.t.Helper()
	for {
		m, err := c.stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("ended without an error")
		case err != nil:
			return err
		case m.GetGoodbye() != nil:
			return errors.New("goodbye: " + m.GetGoodbye().String())
		}
	}
}
