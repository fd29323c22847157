package server

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// presenting is a context of calls that present a secret.
func presenting(ctx context.Context, secret string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
}

// asking is a server that asks who calls, and its first administrator.
type asking struct {
	*running
	identities controlv1.IdentityServiceClient
	admin      context.Context
}

func newAsking(t *testing.T) *asking {
	t.Helper()
	return newAskingWith(t, Options{})
}

func newAskingWith(t *testing.T, o Options) *asking {
	t.Helper()
	r := startAsking(t, o)
	if r.server.FirstSecret() == "" {
		t.Fatal("the first start made no administrator")
	}
	return &asking{running: r, identities: controlv1.NewIdentityServiceClient(r.conn), admin: presenting(t.Context(), r.server.FirstSecret())}
}

// service makes an identity and waits until the server knows it. The context presents its
// secret.
func (a *asking) service(name string, grants ...*accessv1.Grant) (context.Context, *controlv1.CreateIdentityResponse) {
	a.t.Helper()
	made, err := a.identities.CreateIdentity(a.admin, &controlv1.CreateIdentityRequest{Reason: "test", Identity: &accessv1.Identity{
		Kind: accessv1.IdentityKind_IDENTITY_KIND_SERVICE, Name: name, Grants: grants,
	}})
	if err != nil {
		a.t.Fatal(err)
	}
	ctx := presenting(a.t.Context(), made.GetSecret())
	a.eventually("the server knows "+name, func() bool { return a.whoami(ctx) == codes.OK })
	return ctx, made
}

func (a *asking) whoami(ctx context.Context) codes.Code {
	_, err := a.identities.WhoAmI(ctx, &controlv1.WhoAmIRequest{})
	return status.Code(err)
}

func (a *asking) eventually(what string, ok func() bool) {
	a.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			a.t.Fatal("never: " + what)
		}
	}
}

func role(r accessv1.Role) *accessv1.Grant { return &accessv1.Grant{Role: r} }

// TestWhoMayNot: whatever is wrong with what is presented, nothing is answered.
func TestWhoMayNot(t *testing.T) {
	a := newAsking(t)
	_, made := a.service("robot", role(accessv1.Role_ROLE_VIEWER))
	secret, id := made.GetSecret(), made.GetIdentity().GetIdentity().GetId()
	other, _ := accesskey.NewFor(id) // the right id, another secret
	unknown, _ := accesskey.New()
	key, err := controlv1.NewKeyServiceClient(a.conn).CreateKey(a.admin, &controlv1.CreateKeyRequest{Name: "relay", Environments: []string{"production"}, Reason: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string][]string{
		"nothing":             nil,
		"empty":               {""},
		"no scheme":           {secret},
		"another scheme":      {"Basic " + secret},
		"no secret":           {"Bearer "},
		"cut off":             {"Bearer " + secret[:len(secret)-1]},
		"with more":           {"Bearer " + secret + " x"},
		"twice":               {"Bearer " + secret, "Bearer " + secret},
		"another secret":      {"Bearer " + other},
		"an unknown id":       {"Bearer " + unknown},
		"a relay's key":       {"Bearer " + key.GetSecret()},
		"in upper case":       {"Bearer " + strings.ToUpper(secret)},
		"of an id, no random": {"Bearer tgk_" + id + "_"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			for _, h := range header {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", h)
			}
			_, err := a.flags.ListFlags(ctx, &controlv1.ListFlagsRequest{Environment: "production"})
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("%v", err)
			}
			if err != nil && len(secret) > 40 && strings.Contains(err.Error(), secret[20:40]) {
				t.Errorf("the secret is in the error: %v", err)
			}
			args := make([]string, 0, 2*len(header))
			for _, h := range header {
				args = append(args, "Authorization", h)
			}
			if code, body := a.post("/tidegate.control.v1.FlagService/ListFlags", `{"environment":"production"}`, args...); code != http.StatusUnauthorized {
				t.Errorf("over HTTP: %d %s", code, body)
			}
		})
	}
	if code, body := a.post("/tidegate.control.v1.FlagService/ListFlags", `{"environment":"production"}`, "Authorization", "bearer "+secret); code != http.StatusOK {
		t.Errorf("with the secret, over HTTP: %d %s", code, body)
	}
}

// TestGrants: a role holds where it was granted, for the keys that it was granted for.
func TestGrants(t *testing.T) {
	a := newAsking(t)
	ctx, _ := a.service("checkout-team",
		&accessv1.Grant{Role: accessv1.Role_ROLE_EDITOR, Environments: []string{"dev", "staging"}, KeyPrefixes: []string{"checkout-"}},
		&accessv1.Grant{Role: accessv1.Role_ROLE_VIEWER, Environments: []string{"production"}},
	)
	create := func(environment, key string) error {
		f := boolean(key)
		_, err := a.flags.CreateFlag(ctx, &controlv1.CreateFlagRequest{Environment: environment, Flag: f, Reason: "test"})
		return err
	}
	list := func(environment, prefix string) error {
		_, err := a.flags.ListFlags(ctx, &controlv1.ListFlagsRequest{Environment: environment, KeyPrefix: prefix})
		return err
	}
	for name, c := range map[string]struct {
		err  error
		want codes.Code
	}{
		"its own":                      {create("dev", "checkout-new"), codes.OK},
		"another's":                    {create("dev", "search-new"), codes.PermissionDenied},
		"where it only reads":          {create("production", "checkout-new"), codes.PermissionDenied},
		"where it has nothing":         {create("elsewhere", "checkout-new"), codes.PermissionDenied},
		"all of production":            {list("production", ""), codes.OK},
		"its own of dev":               {list("dev", "checkout-"), codes.OK},
		"less than its own":            {list("dev", "checkout-n"), codes.OK},
		"more than its own":            {list("dev", "check"), codes.PermissionDenied},
		"all of dev":                   {list("dev", ""), codes.PermissionDenied},
		"an environment that is empty": {list("", ""), codes.PermissionDenied},
	} {
		if status.Code(c.err) != c.want {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	// Promotion writes where it goes, and nothing is gained by hiding a flag among others.
	_, err := a.flags.PromoteFlag(ctx, &controlv1.PromoteFlagRequest{FlagKey: "checkout-new", FromEnvironment: "dev", ToEnvironment: "production", Reason: "test"})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("promoted to where it only reads: %v", err)
	}
	_, err = a.flags.Apply(ctx, &controlv1.ApplyRequest{Environment: "dev", Reason: "test", Flags: []*controlv1.FlagWrite{{Flag: boolean("checkout-b")}, {Flag: boolean("search-b")}}})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("applied another's flag beside its own: %v", err)
	}
	history, err := a.flags.ListFlagHistory(ctx, &controlv1.ListFlagHistoryRequest{Environment: "dev", FlagKey: "checkout-new"})
	if err != nil || history.GetEntries()[0].GetActor() != "checkout-team" {
		t.Errorf("the trail says %v, %v", history.GetEntries(), err)
	}
}

// TestProtected: in a protected environment it takes an operator to write, and to say that it is
// none an administrator. Streams that an editor has open for reading go on.
func TestProtected(t *testing.T) {
	a := newAsking(t)
	editor, _ := a.service("editor", role(accessv1.Role_ROLE_EDITOR))
	operator, _ := a.service("operator", role(accessv1.Role_ROLE_OPERATOR))
	set := func(ctx context.Context, protected bool) error {
		held, err := a.environments.GetEnvironment(ctx, &controlv1.GetEnvironmentRequest{Environment: "production"})
		if err != nil {
			return err
		}
		updated, err := a.environments.UpdateEnvironment(ctx, &controlv1.UpdateEnvironmentRequest{
			Environment: "production", Settings: &controlv1.EnvironmentSettings{Protected: protected}, BaseRevision: held.GetRevision(), Reason: "test",
		})
		if err == nil {
			a.eventually("the server knows", func() bool {
				all, _ := a.server.settings.All()
				return all["production"].Revision >= updated.GetRevision()
			})
		}
		return err
	}
	create := func(ctx context.Context, environment, key string) codes.Code {
		_, err := a.flags.CreateFlag(ctx, &controlv1.CreateFlagRequest{Environment: environment, Flag: boolean(key), Reason: "test"})
		return status.Code(err)
	}
	if code := create(editor, "production", "a"); code != codes.OK {
		t.Errorf("before: %v", code)
	}
	if err := set(a.admin, true); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ got, want codes.Code }{
		"an editor":                             {create(editor, "production", "b"), codes.PermissionDenied},
		"an editor, elsewhere":                  {create(editor, "dev", "b"), codes.OK},
		"an operator":                           {create(operator, "production", "b"), codes.OK},
		"an editor, in an environment unnamed":  {create(editor, "", "c"), codes.PermissionDenied},
		"an operator takes the protection away": {status.Code(set(operator, false)), codes.PermissionDenied},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	_, err := a.flags.PromoteFlag(editor, &controlv1.PromoteFlagRequest{FlagKey: "b", FromEnvironment: "dev", ToEnvironment: "production", Reason: "test"})
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "which is protected") {
		t.Errorf("an editor promotes to it: %v", err)
	}
	if err := set(a.admin, false); err != nil {
		t.Fatal(err)
	}
	if code := create(editor, "production", "c"); code != codes.OK {
		t.Errorf("after: %v", code)
	}
}

// TestActorCannotBeClaimed: who is known is named, whatever they claim.
func TestActorCannotBeClaimed(t *testing.T) {
	a := newAsking(t)
	ctx, _ := a.service("robot", role(accessv1.Role_ROLE_EDITOR))
	ctx = metadata.AppendToOutgoingContext(ctx, "tidegate-actor", "somebody-else")
	made, err := a.flags.CreateFlag(ctx, &controlv1.CreateFlagRequest{Environment: "dev", Flag: boolean("a"), Reason: "test"})
	if err != nil || made.GetEntry().GetActor() != "robot" {
		t.Errorf("audited as %q, %v", made.GetEntry().GetActor(), err)
	}
}

// TestRevokedMidStream: whatever ends a right ends the streams that were opened with it.
func TestRevokedMidStream(t *testing.T) {
	for name, revoke := range map[string]func(a *asking, id *controlv1.IdentityVersion) error{
		"deleted": func(a *asking, v *controlv1.IdentityVersion) error {
			_, err := a.identities.DeleteIdentity(a.admin, &controlv1.DeleteIdentityRequest{Id: v.GetIdentity().GetId(), Reason: "test"})
			return err
		},
		"disabled": func(a *asking, v *controlv1.IdentityVersion) error {
			v.GetIdentity().Disabled = true
			_, err := a.identities.UpdateIdentity(a.admin, &controlv1.UpdateIdentityRequest{Identity: v.GetIdentity(), BaseRevision: v.GetRevision(), Reason: "test"})
			return err
		},
		"granted elsewhere": func(a *asking, v *controlv1.IdentityVersion) error {
			v.GetIdentity().Grants[0].Environments = []string{"dev"}
			_, err := a.identities.UpdateIdentity(a.admin, &controlv1.UpdateIdentityRequest{Identity: v.GetIdentity(), BaseRevision: v.GetRevision(), Reason: "test"})
			return err
		},
		"rotated without overlap": func(a *asking, v *controlv1.IdentityVersion) error {
			_, err := a.identities.RotateSecret(a.admin, &controlv1.RotateSecretRequest{
				Id: v.GetIdentity().GetId(), Overlap: durationpb.New(0), BaseRevision: v.GetRevision(), Reason: "test",
			})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAsking(t)
			ctx, made := a.service("watcher", role(accessv1.Role_ROLE_VIEWER))
			fleet := controlv1.NewFleetServiceClient(a.conn)
			watch, err := fleet.WatchRelays(ctx, &controlv1.WatchRelaysRequest{Environment: "production"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := watch.Recv(); err != nil {
				t.Fatal(err)
			}
			// A change that takes nothing away does not disturb.
			v := made.GetIdentity()
			v.GetIdentity().DisplayName = "still there"
			updated, err := a.identities.UpdateIdentity(a.admin, &controlv1.UpdateIdentityRequest{Identity: v.GetIdentity(), BaseRevision: v.GetRevision(), Reason: "test"})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				for {
					if _, err := watch.Recv(); err != nil {
						ended <- err
						return
					}
				}
			}()
			a.eventually("the server has seen the change", func() bool {
				known, ok := a.server.directory.Get(v.GetIdentity().GetId())
				return ok && known.Revision == updated.GetIdentity().GetRevision()
			})
			select {
			case err := <-ended:
				t.Fatalf("ended by a change that takes nothing away: %v", err)
			default:
			}
			if err := revoke(a, updated.GetIdentity()); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; status.Code(err) != codes.PermissionDenied {
				t.Errorf("the stream ended with %v", err)
			}
			if code := codeOf(ctx, t, a.conn, "/tidegate.control.v1.FleetService/ListRelays"); code == codes.OK {
				t.Error("may still call")
			}
		})
	}
}

// TestSecretRotates: the old secret is good for the overlap, and no longer.
func TestSecretRotates(t *testing.T) {
	a := newAsking(t)
	ctx, made := a.service("robot", role(accessv1.Role_ROLE_VIEWER))
	rotate := func(v *controlv1.IdentityVersion, overlap time.Duration) (context.Context, *controlv1.IdentityVersion) {
		r, err := a.identities.RotateSecret(a.admin, &controlv1.RotateSecretRequest{
			Id: v.GetIdentity().GetId(), Overlap: durationpb.New(overlap), BaseRevision: v.GetRevision(), Reason: "test",
		})
		if err != nil {
			t.Fatal(err)
		}
		next := presenting(t.Context(), r.GetSecret())
		a.eventually("the new secret is good", func() bool { return a.whoami(next) == codes.OK })
		return next, r.GetIdentity()
	}
	second, v := rotate(made.GetIdentity(), time.Hour)
	if a.whoami(ctx) != codes.OK {
		t.Error("the old secret is no longer good, although the two overlap")
	}
	third, _ := rotate(v, 0)
	if a.whoami(ctx) != codes.Unauthenticated || a.whoami(second) != codes.Unauthenticated || a.whoami(third) != codes.OK {
		t.Error("after a rotation without overlap more than the newest secret is good")
	}
}

// TestExpired: an identity that has expired may nothing.
func TestExpired(t *testing.T) {
	a := newAsking(t)
	made, err := a.identities.CreateIdentity(a.admin, &controlv1.CreateIdentityRequest{Reason: "test", Identity: &accessv1.Identity{
		Kind: accessv1.IdentityKind_IDENTITY_KIND_SERVICE, Name: "guest", Grants: []*accessv1.Grant{role(accessv1.Role_ROLE_VIEWER)},
		ExpiresAt: timestamppb.New(time.Now().Add(300 * time.Millisecond)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := presenting(t.Context(), made.GetSecret())
	a.eventually("it has expired", func() bool {
		_, err := a.identities.WhoAmI(ctx, &controlv1.WhoAmIRequest{})
		return status.Code(err) == codes.Unauthenticated && strings.Contains(err.Error(), "expired")
	})
}

// TestServersKnowEachOther: the servers of a cluster that asks who calls answer each other, and
// nobody else who says that they are one.
func TestServersKnowEachOther(t *testing.T) {
	s := shared{memstore.New()}
	servers := make([]*running, 2)
	for i := range servers {
		addr := freeAddr(t)
		servers[i] = startAsking(t, Options{Store: s, GRPCAddr: addr, AdvertiseAddr: addr, InstanceID: "server-" + string(rune('a'+i))})
	}
	admin := presenting(t.Context(), servers[0].server.FirstSecret()+servers[1].server.FirstSecret()) // one of them was first
	a := controlv1.NewFleetServiceClient(servers[0].conn)
	eventually(t, "both servers are known, and answer", func() bool {
		list, err := a.ListRelays(admin, &controlv1.ListRelaysRequest{})
		known := 0
		for _, r := range servers {
			if r.server.fleet.IsServer("server-a", func([]byte) bool { return true }) && r.server.fleet.IsServer("server-b", func([]byte) bool { return true }) {
				known++
			}
		}
		return err == nil && known == 2 && len(list.GetUnreachableServers()) == 0
	})
	forged, _ := accesskey.New()
	for name, ctx := range map[string]context.Context{
		"a forged secret":         presenting(t.Context(), forged),
		"another server's secret": presenting(t.Context(), servers[1].server.peerSecret),
		"nothing":                 t.Context(),
	} {
		ctx = metadata.AppendToOutgoingContext(ctx, serverKey, "server-a")
		if code := codeOf(ctx, t, servers[0].conn, controlv1.FleetService_WatchRelays_FullMethodName); code != codes.Unauthenticated {
			t.Errorf("%s: %v", name, code)
		}
	}
	ctx := metadata.AppendToOutgoingContext(presenting(t.Context(), servers[1].server.peerSecret), serverKey, "server-b")
	if code := codeOf(ctx, t, servers[0].conn, controlv1.FlagService_ListFlags_FullMethodName); code != codes.Unauthenticated {
		t.Errorf("a server may do more than it needs: %v", code)
	}
}
