package server

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/session"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	"github.com/tidegate/tidegate/server/openid"
)

const (
	openIDLogin = "/auth/openid/login"
	// flowCookie holds what a browser has to bring back from the provider. It is sent when the
	// provider sends the browser here, so it is laxer than a session's.
	flowCookie = "__Host-tidegate-openid"
	// flowLife is how long a login at the provider may take.
	flowLife = 10 * time.Minute
	// minPort is the least that a command line listens on.
	minPort = 1024
)

// openIDPages lead browsers to the provider, and take them back.
type openIDPages struct {
	logins    *logins
	authority *controlplane.Authority
	provider  *openid.Provider // nil: none
}

// flow is a login at the provider. Where a command line waits for it, that has a port and a
// challenge.
type flow struct {
	openid.Flow
	port      string
	challenge []byte
}

func (f flow) encode() string {
	return strings.Join([]string{f.State, f.Nonce, f.Verifier, f.port, base64.RawURLEncoding.EncodeToString(f.challenge)}, ".")
}

// flowIn reads the flow of a browser that comes back.
func flowIn(r *http.Request) (f flow, ok bool) {
	found := r.CookiesNamed(flowCookie)
	if len(found) != 1 {
		return f, false
	}
	parts := strings.Split(found[0].Value, ".")
	if len(parts) != 5 {
		return f, false
	}
	f.Flow = openid.Flow{State: parts[0], Nonce: parts[1], Verifier: parts[2]}
	err := f.wait(parts[3], parts[4])
	return f, err == nil
}

// wait has a command line wait for a flow; two empty texts: none does.
func (f *flow) wait(port, challenge string) error {
	if port == "" && challenge == "" {
		return nil
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	if n, invalid := strconv.ParseUint(port, 10, 16); invalid != nil || n < minPort || strconv.FormatUint(n, 10) != port || err != nil || len(sum) != 32 {
		return status.Error(codes.InvalidArgument, "port and challenge: want a port above 1023, and a SHA-256 in base64url without padding")
	}
	f.port, f.challenge = port, sum
	return nil
}

func (p openIDPages) serveLogin(w http.ResponseWriter, r *http.Request) error {
	if p.provider == nil {
		return status.Error(codes.NotFound, "this server knows no OpenID provider: log in with a password, or start it with --openid-issuer")
	}
	var f flow
	if err := f.wait(r.FormValue("port"), r.FormValue("challenge")); err != nil {
		return err
	}
	to, begun, err := p.provider.Begin(r.Context())
	if err != nil {
		p.logins.logger.Warn().Err(err).Msg("cannot begin a login")
		return status.Error(codes.Unavailable, openid.ErrProvider.Error())
	}
	f.Flow = begun
	http.SetCookie(w, &http.Cookie{
		Name: flowCookie, Value: f.encode(), MaxAge: int(flowLife.Seconds()),
		Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

func (p openIDPages) serveCallback(w http.ResponseWriter, r *http.Request) error {
	if p.provider == nil {
		return status.Error(codes.NotFound, "this server knows no OpenID provider")
	}
	f, ok := flowIn(r)
	http.SetCookie(w, &http.Cookie{
		Name: flowCookie, MaxAge: -1, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	if !ok {
		return status.Error(codes.Unauthenticated, "this login was not begun in this browser, or long ago: begin again at "+openIDLogin)
	}
	person, err := p.provider.Finish(r.Context(), f.Flow, r.URL.Query())
	switch {
	case errors.Is(err, openid.ErrRefused):
		p.logins.logger.Info().Err(err).Str("peer", hostOf(r.RemoteAddr)).Msg("login refused")
		return status.Error(codes.Unauthenticated, err.Error())
	case err != nil:
		p.logins.logger.Warn().Err(err).Msg("cannot finish a login")
		return status.Error(codes.Unavailable, openid.ErrProvider.Error())
	}
	who, err := p.personOf(r, person)
	if err != nil {
		return err
	}
	return p.arrive(w, r, f, who)
}

// arrive logs a person in: in this browser, or where a command line waits.
func (p openIDPages) arrive(w http.ResponseWriter, r *http.Request, f flow, who identity.Known) error {
	from := originOfRequest(r)
	login := session.Login{Who: who, Proof: session.ByOpenID, UserAgent: from.userAgent, Peer: from.peer}
	if f.port != "" {
		code, err := p.logins.sessions.Defer(r.Context(), login, f.challenge)
		if err != nil {
			return storeFailed(err)
		}
		http.Redirect(w, r, "http://127.0.0.1:"+f.port+"/?"+url.Values{"code": {code}}.Encode(), http.StatusSeeOther)
		return nil
	}
	token, began, err := p.logins.begin(r.Context(), login)
	if err != nil {
		return err
	}
	setSession(w, token, began)
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// personOf finds who somebody is here: whom the subject was bound to, or at the first login
// whoever is called as their verified e-mail address.
func (p openIDPages) personOf(r *http.Request, person openid.Person) (identity.Known, error) {
	who, err := p.logins.directory.ByOpenID(person.Issuer, person.Subject)
	if !errors.Is(err, identity.ErrUnknown) {
		return who, denied(err)
	}
	if person.Email == "" {
		return who, status.Error(codes.PermissionDenied, "the OpenID provider tells no e-mail address that it has verified: there is nothing to find you by")
	}
	who, err = p.logins.directory.ByName(person.Email)
	switch {
	case errors.Is(err, identity.ErrUnknown), err == nil && who.GetKind() != accessv1.IdentityKind_IDENTITY_KIND_PERSON:
		return who, status.Errorf(codes.PermissionDenied, "nobody here is called %s: an administrator has to make you an identity of that name first ('tidegate identity create')", person.Email)
	case err != nil:
		return who, denied(err)
	}
	caller := controlplane.Caller{Actor: who.GetName(), Peer: r.RemoteAddr}
	err = p.authority.BindOpenID(r.Context(), caller, who.GetId(), &accessv1.OpenIDSubject{Issuer: person.Issuer, Subject: person.Subject})
	return who, mapError(err)
}

// denied is why somebody who has proven who they are may not log in; nil: they may.
func denied(err error) error {
	if err == nil {
		return nil
	}
	return status.Error(codes.PermissionDenied, err.Error())
}
