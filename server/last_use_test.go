package server

import (
	"testing"
	"time"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/roletable"
)

// TestLastUse: of an identity the last call is told, of a key that it followed here, or what relays
// tell; and of what nobody used, nothing.
func TestLastUse(t *testing.T) {
	a := newAsking(t)
	keys := controlv1.NewKeyServiceClient(a.conn)
	made := map[string]*controlv1.CreateKeyResponse{}
	for _, name := range []string{"follows", "told", "unused"} {
		r, err := keys.CreateKey(a.admin, &controlv1.CreateKeyRequest{Name: name, Environments: []string{"production"}, Reason: "test"})
		if err != nil {
			t.Fatal(err)
		}
		made[name] = r
	}
	id := func(name string) string { return made[name].GetKey().GetKey().GetId() }
	minute := uint64(time.Now().Add(-time.Hour).Unix()) / 60
	a.server.keysUsed("production", []*telemetryv1.KeyUse{{KeyId: id("told"), Last: minute}, {KeyId: "nobodyhasit0", Last: minute}})
	a.server.keysUsed("nowhere", []*telemetryv1.KeyUse{{KeyId: id("unused"), Last: minute}})
	a.server.keysUsed("staging", []*telemetryv1.KeyUse{{KeyId: id("unused"), Last: minute}}) // which it does not open
	began := time.Now().Add(-time.Minute)
	a.eventually("the key is used", func() bool {
		roletable.Call(presenting(t.Context(), made["follows"].GetSecret()), t, a.conn, syncv1.SyncService_Stream_FullMethodName,
			byKeyRequest(t, syncv1.SyncService_Stream_FullMethodName, "f"))
		got, err := keys.GetKey(a.admin, &controlv1.GetKeyRequest{KeyId: id("follows")})
		return err == nil && got.GetKey().GetLastUsedAt().AsTime().After(began)
	})
	list, err := keys.ListKeys(a.admin, &controlv1.ListKeysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list.GetKeys() {
		switch got := v.GetLastUsedAt(); v.GetKey().GetName() {
		case "told":
			if got.GetSeconds() != int64(minute)*60 {
				t.Errorf("told: %v", got)
			}
		case "unused":
			if got != nil {
				t.Errorf("unused: %v", got)
			}
		}
	}
	if uses, err := a.server.lastUse.Read(t.Context()); err != nil || !uses.At("nobodyhasit0").IsZero() {
		t.Errorf("a key that there is not is kept: %v, %v", uses, err)
	}

	_, robot := a.service("robot", role(accessv1.Role_ROLE_VIEWER)) // which calls WhoAmI
	got, err := a.identities.GetIdentity(a.admin, &controlv1.GetIdentityRequest{Identity: robot.GetIdentity().GetIdentity().GetId()})
	if err != nil || !got.GetIdentity().GetLastUsedAt().AsTime().After(began) {
		t.Errorf("robot: %v, %v", got, err)
	}
	if _, err := a.identities.CreateIdentity(a.admin, &controlv1.CreateIdentityRequest{Reason: "test", Identity: &accessv1.Identity{
		Kind: accessv1.IdentityKind_IDENTITY_KIND_SERVICE, Name: "idle", Grants: []*accessv1.Grant{role(accessv1.Role_ROLE_VIEWER)},
	}}); err != nil {
		t.Fatal(err)
	}
	all, err := a.identities.ListIdentities(a.admin, &controlv1.ListIdentitiesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all.GetIdentities() {
		if idle := v.GetIdentity().GetName() == "idle"; idle != (v.GetLastUsedAt() == nil) {
			t.Errorf("%s: %v", v.GetIdentity().GetName(), v.GetLastUsedAt())
		}
	}
}
