package controlplane

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

func (f *fixture) rotate(v *controlv1.KeyVersion, overlap *durationpb.Duration) (*controlv1.RotateKeyResponse, error) {
	f.t.Helper()
	return f.RotateKey(f.ctx, alice, &controlv1.RotateKeyRequest{
		KeyId: v.GetKey().GetId(), Overlap: overlap, BaseRevision: v.GetRevision(), Reason: "quarterly",
	})
}

// TestRotateKey: a rotated key has another secret in each of its environments, and the one
// before for the overlap; one that was before that is forgotten.
func TestRotateKey(t *testing.T) {
	f, _ := newFixture(t)
	created := f.createKey("relays", production, staging)
	id := created.GetKey().GetKey().GetId()
	first, _ := accesskey.Parse(created.GetSecret())
	rotated, err := f.rotate(created.GetKey(), nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := accesskey.Parse(rotated.GetSecret())
	if err != nil || second.ID != id || rotated.GetKey().GetKey().GetVersion() != 2 {
		t.Fatalf("%v, %v", rotated.GetKey(), err)
	}
	opened := f.opened(id)
	if len(opened) != 2 || !proto.Equal(opened[production], opened[staging]) {
		t.Fatalf("the replicas have %v", opened)
	}
	key := opened[production]
	if !second.Matches(key.GetSecretHash()) || !first.Matches(key.GetPreviousSecretHash()) ||
		!key.GetPreviousExpiresAt().AsTime().Equal(f.now().Add(24*time.Hour)) {
		t.Errorf("after a rotation: %v", key)
	}
	for _, e := range rotated.GetEntries() {
		if e.GetAction() != controlv1.Action_ACTION_ROTATED || e.GetRevision() != rotated.GetKey().GetRevision() || len(e.GetAccessKey().GetPreviousSecretHash()) > 0 {
			t.Errorf("audited %v", e)
		}
	}
	if len(rotated.GetEntries()) != 2 {
		t.Errorf("%d entries, want one an environment", len(rotated.GetEntries()))
	}
	_, err = f.rotate(created.GetKey(), nil) // as it was
	wants[*ConflictError](t, err)

	again, err := f.rotate(rotated.GetKey(), durationpb.New(0))
	if err != nil {
		t.Fatal(err)
	}
	third, _ := accesskey.Parse(again.GetSecret())
	key = f.opened(id)[production]
	if !third.Matches(key.GetSecretHash()) || len(key.GetPreviousSecretHash()) != 0 || key.GetPreviousExpiresAt() != nil {
		t.Errorf("without an overlap: %v", key)
	}
	updated, err := f.UpdateKey(f.ctx, alice, &controlv1.UpdateKeyRequest{
		KeyId: id, Name: "others", Environments: []string{production}, BaseRevision: again.GetKey().GetRevision(), Reason: "less",
	})
	if err != nil || !third.Matches(f.opened(id)[production].GetSecretHash()) {
		t.Errorf("an update changed the secret: %v, %v", updated, err)
	}
	for _, kv := range f.all(root) {
		for i, secret := range []string{created.GetSecret(), rotated.GetSecret(), again.GetSecret()} {
			hash := sha256.Sum256([]byte(secret))
			if bytes.Contains(kv.Value, []byte(secret[4+accesskey.IDLength:])) {
				t.Errorf("%s holds secret %d", kv.Key, i)
			}
			if bytes.Contains(kv.Value, hash[:]) && !strings.HasPrefix(kv.Key, stateRoot) {
				t.Errorf("%s holds the hash of secret %d", kv.Key, i)
			}
		}
	}
}

// held is a key as the store has it.
func (f *fixture) held(id string) *accessv1.Key {
	f.t.Helper()
	held, err := f.findKey(f.ctx, id)
	if err != nil {
		f.t.Fatal(err)
	}
	return held.key
}

// TestRotateKeyHappensOnce: a request that comes again does not rotate again, and does not
// answer with a secret that opens nothing.
func TestRotateKeyHappensOnce(t *testing.T) {
	f, faulty := newFaulty(t)
	created := f.createKey("relays", production)
	id := created.GetKey().GetKey().GetId()
	request := &controlv1.RotateKeyRequest{KeyId: id, BaseRevision: created.GetKey().GetRevision(), Reason: "r", RequestId: "once"}
	faulty.loseAfter.Store(1)
	rotated, err := f.RotateKey(f.ctx, alice, request)
	if err != nil {
		t.Fatalf("the store's answer was lost: %v", err)
	}
	presented, _ := accesskey.Parse(rotated.GetSecret())
	key := f.held(id)
	if !presented.Matches(key.GetSecretHash()) {
		t.Error("the secret in the answer is not the key's")
	}
	_, err = f.RotateKey(f.ctx, alice, request)
	mentions(t, as[*ExistsError](t, err), "rotate again")
	if after := f.held(id); !proto.Equal(after, key) {
		t.Errorf("it was rotated again: %v", after)
	}
	if _, err := f.RevokeKey(f.ctx, alice, &controlv1.RevokeKeyRequest{KeyId: id, Reason: "end"}); err != nil {
		t.Fatal(err)
	}
	request.RequestId = "late"
	_, err = f.RotateKey(f.ctx, alice, request)
	mentions(t, as[*NotFoundError](t, err), "or it is revoked")
}

func TestRotateRequestsAreChecked(t *testing.T) {
	f, _ := newFixture(t)
	created := f.createKey("relays", production)
	id, base := created.GetKey().GetKey().GetId(), created.GetKey().GetRevision()
	for want, r := range map[string]*controlv1.RotateKeyRequest{
		"key_id: is required":          {BaseRevision: base, Reason: "r"},
		"key_id: must be 12":           {KeyId: created.GetSecret(), BaseRevision: base, Reason: "r"},
		"base_revision":                {KeyId: id, Reason: "r"},
		"overlap: must be 0 s to 30 d": {KeyId: id, BaseRevision: base, Overlap: durationpb.New(31 * 24 * time.Hour), Reason: "r"},
		"overlap: must be 0 s":         {KeyId: id, BaseRevision: base, Overlap: durationpb.New(-1), Reason: "r"},
		"reason: is required":          {KeyId: id, BaseRevision: base},
	} {
		_, err := f.RotateKey(f.ctx, alice, r)
		mentions(t, as[*InvalidError](t, err), want)
		if strings.Contains(err.Error(), created.GetSecret()) {
			t.Errorf("%s: repeats the secret", want)
		}
	}
}

// TestKeyRoles: what a key may do is said when it is made, and stays; for which flags, can be
// changed.
func TestKeyRoles(t *testing.T) {
	f, _ := newFixture(t)
	create := func(role accessv1.Role, owner string, prefixes ...string) (*controlv1.CreateKeyResponse, error) {
		return f.CreateKey(f.ctx, alice, &controlv1.CreateKeyRequest{
			Name: "n", Environments: []string{production}, Role: role, Owner: owner, FlagPrefixes: prefixes, Reason: "r",
		})
	}
	if made, err := create(accessv1.Role_ROLE_UNSPECIFIED, ""); err != nil || made.GetKey().GetKey().GetRole() != accessv1.Role_ROLE_RELAY {
		t.Errorf("without a role: %v, %v", made, err)
	}
	for want, tc := range map[string]struct {
		role     accessv1.Role
		owner    string
		prefixes []string
	}{
		"role: must be RELAY, SDK_SERVER or SDK_CLIENT": {role: accessv1.Role_ROLE_ADMINISTRATOR},
		"role: must be RELAY":                           {role: 99},
		"owner: must be without line breaks":            {owner: "a\nb"},
		"flag_prefixes: must be empty: a relay":         {prefixes: []string{"a-"}},
		"flag_prefixes[0]":                              {role: accessv1.Role_ROLE_SDK_CLIENT, prefixes: []string{"-"}},
		`flag_prefixes[1]: "a-" is named twice`:         {role: accessv1.Role_ROLE_SDK_CLIENT, prefixes: []string{"a-", "a-"}},
		"flag_prefixes: must be at most 30, not 31":     {role: accessv1.Role_ROLE_SDK_SERVER, prefixes: make([]string, 31)},
	} {
		_, err := create(tc.role, tc.owner, tc.prefixes...)
		mentions(t, as[*InvalidError](t, err), want)
	}

	made, err := create(accessv1.Role_ROLE_SDK_CLIENT, "shop", "shop-")
	if err != nil {
		t.Fatal(err)
	}
	id := made.GetKey().GetKey().GetId()
	if key := f.opened(id)[production]; key.GetRole() != accessv1.Role_ROLE_SDK_CLIENT || key.GetOwner() != "shop" || len(key.GetFlagPrefixes()) != 1 {
		t.Errorf("the replica has %v", key)
	}
	updated, err := f.UpdateKey(f.ctx, alice, &controlv1.UpdateKeyRequest{
		KeyId: id, Name: "n", Environments: []string{production}, Owner: "web", FlagPrefixes: []string{"web-", "shop-"},
		BaseRevision: made.GetKey().GetRevision(), Reason: "r",
	})
	if key := f.opened(id)[production]; err != nil || key.GetRole() != accessv1.Role_ROLE_SDK_CLIENT || key.GetOwner() != "web" || len(key.GetFlagPrefixes()) != 2 {
		t.Errorf("the replica has %v, %v", key, err)
	}
	if len(updated.GetEntries()) != 1 {
		t.Errorf("%v", updated)
	}
	relay := f.createKey("relays", production)
	_, err = f.UpdateKey(f.ctx, alice, &controlv1.UpdateKeyRequest{
		KeyId: relay.GetKey().GetKey().GetId(), Name: "relays", Environments: []string{production}, FlagPrefixes: []string{"web-"},
		BaseRevision: relay.GetKey().GetRevision(), Reason: "r",
	})
	mentions(t, as[*InvalidError](t, err), "flag_prefixes: must be empty: a relay")
}
