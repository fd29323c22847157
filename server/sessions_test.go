package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

const adaName, adaPassword = "ada@example.com", "correct horse battery"

// person makes one who has adaPassword, and waits until the server knows them.
func (a *asking) person(name string, grants ...*accessv1.Grant) *controlv1.IdentityVersion {
	a.t.Helper()
	made, err := a.identities.CreateIdentity(a.admin, &controlv1.CreateIdentityRequest{
		Reason: "test", Password: adaPassword,
		Identity: &accessv1.Identity{Kind: accessv1.IdentityKind_IDENTITY_KIND_PERSON, Name: name, Grants: grants},
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return made.GetIdentity()
}

func (r *running) sessions() controlv1.SessionServiceClient {
	return controlv1.NewSessionServiceClient(r.conn)
}

// login begins a session; the context presents it.
func (r *running) login(name, password string) (context.Context, string) {
	r.t.Helper()
	in, err := r.sessions().Login(r.t.Context(), &controlv1.LoginRequest{Name: name, Password: password})
	if err != nil {
		r.t.Fatal(err)
	}
	return presenting(r.t.Context(), in.GetToken()), in.GetToken()
}

func (r *running) list(ctx context.Context) codes.Code {
	_, err := r.flags.ListFlags(ctx, &controlv1.ListFlagsRequest{Environment: "production"})
	return status.Code(err)
}

// TestLogin: whoever is refused learns nothing of why.
func TestLogin(t *testing.T) {
	a := newAsking(t)
	a.person(adaName, role(accessv1.Role_ROLE_VIEWER))
	a.service("robot", role(accessv1.Role_ROLE_VIEWER))
	ctx, _ := a.login(" Ada@example.com ", adaPassword)
	who, err := a.identities.WhoAmI(ctx, &controlv1.WhoAmIRequest{})
	if err != nil || who.GetIdentity().GetIdentity().GetName() != adaName || who.GetProof() != "session" {
		t.Errorf("%v, %v", who, err)
	}
	if code := a.list(ctx); code != codes.OK {
		t.Errorf("a session reads: %v", code)
	}
	_, err = a.flags.CreateFlag(ctx, &controlv1.CreateFlagRequest{Environment: "dev", Flag: boolean("a"), Reason: "test"})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a viewer's session writes: %v", err)
	}
	eve := a.person("eve@example.com", role(accessv1.Role_ROLE_VIEWER))
	eve.GetIdentity().Disabled = true
	if _, err := a.identities.UpdateIdentity(a.admin, &controlv1.UpdateIdentityRequest{Identity: eve.GetIdentity(), BaseRevision: eve.GetRevision(), Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for _, wrong := range [][2]string{{"eve@example.com", adaPassword}, {adaName, adaPassword + "x"}, {"nobody@example.com", adaPassword}, {"robot", adaPassword}, {"administrator", adaPassword}} {
		_, err := a.sessions().Login(t.Context(), &controlv1.LoginRequest{Name: wrong[0], Password: wrong[1]})
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v", wrong[0], err)
		}
		said[status.Convert(err).Message()] = true
	}
	if len(said) != 1 {
		t.Errorf("refusals can be told apart: %v", said)
	}
	if _, err := a.sessions().Login(t.Context(), &controlv1.LoginRequest{Name: adaName, Password: strings.Repeat("x", maxPassword+1)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a password of %d bytes: %v", maxPassword+1, err)
	}
}

// TestSessionEnds: whatever ends a session ends it on both servers, and what it has opened.
func TestSessionEnds(t *testing.T) {
	for name, end := range map[string]func(a *asking, session context.Context, ada *controlv1.IdentityVersion) error{
		"logged out": func(a *asking, session context.Context, _ *controlv1.IdentityVersion) error {
			_, err := a.sessions().Logout(session, &controlv1.LogoutRequest{})
			return err
		},
		"logged out everywhere": func(a *asking, session context.Context, _ *controlv1.IdentityVersion) error {
			_, err := a.sessions().LogoutEverywhere(session, &controlv1.LogoutEverywhereRequest{})
			return err
		},
		"by an administrator": func(a *asking, _ context.Context, ada *controlv1.IdentityVersion) error {
			_, err := a.sessions().LogoutEverywhere(a.admin, &controlv1.LogoutEverywhereRequest{IdentityId: ada.GetIdentity().GetId(), Reason: "test"})
			return err
		},
		"another password": func(a *asking, session context.Context, ada *controlv1.IdentityVersion) error {
			_, err := a.identities.SetPassword(session, &controlv1.SetPasswordRequest{
				Id: ada.GetIdentity().GetId(), Password: "another password", OldPassword: adaPassword, Reason: "test",
			})
			return err
		},
		"disabled": func(a *asking, _ context.Context, ada *controlv1.IdentityVersion) error {
			ada.GetIdentity().Disabled = true
			updated, err := a.identities.UpdateIdentity(a.admin, &controlv1.UpdateIdentityRequest{Identity: ada.GetIdentity(), BaseRevision: ada.GetRevision(), Reason: "test"})
			if err != nil {
				return err
			}
			next := updated.GetIdentity() // enabled again, the old sessions stay over
			next.GetIdentity().Disabled = false
			_, err = a.identities.UpdateIdentity(a.admin, &controlv1.UpdateIdentityRequest{Identity: next.GetIdentity(), BaseRevision: next.GetRevision(), Reason: "test"})
			return err
		},
		"deleted": func(a *asking, _ context.Context, ada *controlv1.IdentityVersion) error {
			_, err := a.identities.DeleteIdentity(a.admin, &controlv1.DeleteIdentityRequest{Id: ada.GetIdentity().GetId(), Reason: "test"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := shared{memstore.New()}
			first, second := startAsking(t, Options{Store: s}), startAsking(t, Options{Store: s, InstanceID: "second"})
			a := &asking{running: first, identities: controlv1.NewIdentityServiceClient(first.conn), admin: presenting(t.Context(), first.server.FirstSecret())}
			ada := a.person(adaName, role(accessv1.Role_ROLE_VIEWER))
			eventually(t, "the second server knows ada", func() bool { _, err := second.server.directory.ByName(adaName); return err == nil })
			session, _ := first.login(adaName, adaPassword)
			if code := second.list(session); code != codes.OK {
				t.Fatalf("on the other server: %v", code)
			}
			watch, err := controlv1.NewFleetServiceClient(second.conn).WatchRelays(session, &controlv1.WatchRelaysRequest{Environment: "production"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := watch.Recv(); err != nil {
				t.Fatal(err)
			}
			if err := end(a, session, ada); err != nil {
				t.Fatal(err)
			}
			if code := first.list(session); code != codes.Unauthenticated {
				t.Errorf("replayed on the server that ended it: %v", code)
			}
			for err == nil {
				_, err = watch.Recv()
			}
			if status.Code(err) != codes.PermissionDenied {
				t.Errorf("the stream ended with %v", err)
			}
			if code := second.list(session); code != codes.Unauthenticated {
				t.Errorf("replayed on the other server: %v", code)
			}
		})
	}
}

// TestSessionEndsByItself: a stream, too, that was opened with it.
func TestSessionEndsByItself(t *testing.T) {
	for name, o := range map[string]Options{"idle": {SessionIdle: time.Second}, "lasts": {SessionLast: time.Second}} {
		t.Run(name, func(t *testing.T) {
			r := startAsking(t, o)
			a := &asking{running: r, identities: controlv1.NewIdentityServiceClient(r.conn), admin: presenting(t.Context(), r.server.FirstSecret())}
			a.person(adaName, role(accessv1.Role_ROLE_VIEWER))
			session, token := a.login(adaName, adaPassword)
			watch, err := controlv1.NewFleetServiceClient(a.conn).WatchRelays(session, &controlv1.WatchRelaysRequest{Environment: "production"})
			for err == nil {
				_, err = watch.Recv()
			}
			if code := status.Code(err); code != codes.PermissionDenied && code != codes.Unauthenticated {
				t.Errorf("the stream ended with %v", err)
			}
			hash, _ := accesskey.ParseSession(token)
			if _, err := a.server.sessions.Current(hash); err == nil {
				t.Error("the stream ended, and the session has not")
			}
			if code := a.list(session); code != codes.Unauthenticated {
				t.Errorf("after it: %v", code)
			}
		})
	}
}

// TestWhoseSessions: everybody sees and ends their own, an administrator everybody's.
func TestWhoseSessions(t *testing.T) {
	a := newAsking(t)
	a.person(adaName, role(accessv1.Role_ROLE_OPERATOR))
	bob := a.person("bob@example.com", role(accessv1.Role_ROLE_VIEWER))
	session, token := a.login(adaName, adaPassword)
	other, _ := a.login("bob@example.com", adaPassword)
	own, err := a.sessions().ListSessions(session, &controlv1.ListSessionsRequest{})
	hash, _ := accesskey.ParseSession(token)
	if err != nil || len(own.GetSessions()) != 1 || !own.GetSessions()[0].GetCurrent() || own.GetSessions()[0].GetSession().GetId() != hash[:16] {
		t.Errorf("own: %v, %v", own, err)
	}
	for name, c := range map[string]struct {
		ctx  context.Context
		want codes.Code
	}{"an operator": {session, codes.PermissionDenied}, "an administrator": {a.admin, codes.OK}} {
		_, err := a.sessions().ListSessions(c.ctx, &controlv1.ListSessionsRequest{IdentityId: bob.GetIdentity().GetId()})
		if status.Code(err) != c.want {
			t.Errorf("%s lists another's: %v", name, err)
		}
		_, err = a.sessions().LogoutEverywhere(c.ctx, &controlv1.LogoutEverywhereRequest{IdentityId: bob.GetIdentity().GetId(), Reason: "test"})
		if status.Code(err) != c.want {
			t.Errorf("%s ends another's: %v", name, err)
		}
	}
	if a.list(other) != codes.Unauthenticated || a.list(session) != codes.OK {
		t.Error("it was not bob's session that ended, and his alone")
	}
	history, err := a.identities.ListIdentityHistory(a.admin, &controlv1.ListIdentityHistoryRequest{Id: bob.GetIdentity().GetId()})
	if err != nil || len(history.GetEntries()) != 2 || history.GetEntries()[0].GetActor() != "administrator" {
		t.Errorf("the trail says %v, %v", history.GetEntries(), err)
	}
	if _, err := a.sessions().Logout(a.admin, &controlv1.LogoutRequest{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a secret logs out: %v", err)
	}
}

// TestWrongSessions: whatever looks like a token is none.
func TestWrongSessions(t *testing.T) {
	a := newAsking(t)
	a.person(adaName, role(accessv1.Role_ROLE_ADMINISTRATOR))
	_, token := a.login(adaName, adaPassword)
	never, _ := accesskey.NewSession()
	hash, _ := accesskey.ParseSession(token)
	for name, text := range map[string]string{
		"never begun": never, "cut off": token[:len(token)-1], "its hash": "tgs_" + hash[:43], "its id": "tgs_" + hash[:16],
		"with a space": token + " ", "as a key": "tgk_" + token[4:],
	} {
		if code := a.list(presenting(t.Context(), text)); code != codes.Unauthenticated {
			t.Errorf("%s: %v", name, code)
		}
	}
	// The native protocol has no cookies.
	ctx := metadata.AppendToOutgoingContext(t.Context(), "cookie", sessionCookie+"="+token)
	if code := a.list(ctx); code != codes.Unauthenticated {
		t.Errorf("as a cookie over gRPC: %v", code)
	}
}

// TestTooManyAttempts: of one name, whoever's it is, and from one address.
func TestTooManyAttempts(t *testing.T) {
	now := time.Now()
	a := newAttempts(func() time.Time { return now })
	for i := range nameBurst {
		if err := a.take(adaName, "192.0.2."+string(rune('0'+i))); err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if err := a.take(adaName, "198.51.100.1"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("at one name, from everywhere: %v", err)
	}
	now = now.Add(nameEvery)
	if err := a.take(adaName, "198.51.100.1"); err != nil {
		t.Errorf("after a while: %v", err)
	}
	for i := range addressBurst {
		if err := a.take("name-"+string(rune('a'+i)), "2001:db8::"+string(rune('0'+i%10))); err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if err := a.take("name-z", "2001:db8::ffff"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("from one network, at all names: %v", err)
	}
	if err := a.take("name-z", "2001:db8:0:1::1"); err != nil {
		t.Errorf("from another one: %v", err)
	}
}

// TestAttemptsTakeBoundedMemory: and whoever rests is as if they had never tried.
func TestAttemptsTakeBoundedMemory(t *testing.T) {
	now := time.Now()
	a := newAttempts(func() time.Time { return now })
	for i := range maxCounted {
		takeOf(a.names, strconv.Itoa(i), nameBurst, nameEvery, now)
	}
	if n := len(a.names); n != maxCounted || takeOf(a.names, "one more", nameBurst, nameEvery, now) {
		t.Errorf("%d names are counted, and one more", n)
	}
	now = now.Add(time.Hour)
	if !takeOf(a.names, "one more", nameBurst, nameEvery, now) || len(a.names) != 1 {
		t.Errorf("after an hour %d names are counted", len(a.names))
	}
}

// TestGuessing: who guesses is stopped, over gRPC and HTTP together, and so is whoever has
// stolen a session and wants the password.
func TestGuessing(t *testing.T) {
	a := newAsking(t)
	ada := a.person(adaName, role(accessv1.Role_ROLE_VIEWER))
	session, _ := a.login(adaName, adaPassword)
	now, tries := time.Now(), a.server.logins.attempts
	tries.mu.Lock()
	tries.now = func() time.Time { return now } // it stands still
	tries.mu.Unlock()
	for range nameBurst {
		_ = tries.take(adaName, "192.0.2.1") // the login before was one, too
	}
	if code, body := a.post("/auth/login", `{"name":"`+adaName+`","password":"`+adaPassword+`"}`); code != http.StatusTooManyRequests {
		t.Errorf("over HTTP: %d %s", code, body)
	}
	if _, err := a.sessions().Login(t.Context(), &controlv1.LoginRequest{Name: adaName, Password: adaPassword}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("over gRPC: %v", err)
	}
	_, err := a.identities.SetPassword(session, &controlv1.SetPasswordRequest{
		Id: ada.GetIdentity().GetId(), Password: "another password", OldPassword: "a guess", Reason: "test",
	})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("with a stolen session: %v", err)
	}
}
