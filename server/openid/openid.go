// Package openid has people prove who they are to an OpenID provider: the authorization code
// flow, with PKCE, a state and a nonce.
package openid

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// CallbackPath is the path of Options.RedirectURL.
const CallbackPath = "/auth/openid/callback"

// timeout bounds each request to the provider.
const timeout = 10 * time.Second

var (
	// ErrProvider says that the provider did not answer, or not as providers do.
	ErrProvider = errors.New("the OpenID provider does not answer as it should")
	// ErrRefused says that whoever came back from the provider has not proven who they are.
	ErrRefused = errors.New("the login through the OpenID provider failed")
)

// Options of a Provider. All are required.
type Options struct {
	// Issuer is the provider's URL, under which /.well-known/openid-configuration is.
	Issuer string
	// ClientID and ClientSecret are what the provider knows this installation by.
	ClientID, ClientSecret string
	// RedirectURL is where the provider sends browsers back to: CallbackPath at the address at
	// which they reach the server.
	RedirectURL string
}

// Validate says what is wrong.
func (o *Options) Validate() error {
	var errs []error
	if err := secure("issuer", o.Issuer); err != nil {
		errs = append(errs, err)
	}
	err := secure("redirect URL", o.RedirectURL)
	if u, parsed := url.Parse(o.RedirectURL); err == nil && parsed == nil && (u.Path != CallbackPath || u.RawQuery != "") {
		err = fmt.Errorf("OpenID redirect URL %q: want one that ends in %s", o.RedirectURL, CallbackPath)
	}
	if err != nil {
		errs = append(errs, err)
	}
	if o.ClientID == "" || o.ClientSecret == "" {
		errs = append(errs, errors.New("OpenID: want the client's id and its secret, as the provider gave them"))
	}
	return errors.Join(errs...)
}

// secure checks a URL that secrets go to.
func secure(what, text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("OpenID %s %q: want a URL such as https://login.example.com", what, text)
	case u.Scheme == "http" && u.Hostname() != "localhost" && !strings.HasPrefix(u.Hostname(), "127.") && u.Hostname() != "::1":
		return fmt.Errorf("OpenID %s %q: want https, as everybody on the way can read along", what, text)
	}
	return nil
}

// Provider is one that people log in through. It is asked where things are when it is first
// needed, and again until it has said so: a provider that is away keeps no server from starting.
type Provider struct {
	o      Options
	client *http.Client

	mu    sync.Mutex
	known *oidc.Provider // nil: not yet
}

// New makes a provider of valid options.
func New(o Options) *Provider {
	return &Provider{o: o, client: &http.Client{Timeout: timeout}}
}

// Issuer is the provider's URL.
func (p *Provider) Issuer() string { return p.o.Issuer }

// LoginURL is a path at the address at which browsers reach the server.
func (p *Provider) LoginURL(path string) string {
	return strings.TrimSuffix(p.o.RedirectURL, CallbackPath) + path
}

// Close lets go of connections.
func (p *Provider) Close() { p.client.CloseIdleConnections() }

// Flow is what the browser that begins a login has to bring back.
type Flow struct{ State, Nonce, Verifier string }

// Begin returns where to send a browser.
func (p *Provider) Begin(ctx context.Context) (to string, f Flow, err error) {
	known, err := p.discover(ctx)
	if err != nil {
		return "", f, err
	}
	f = Flow{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier()}
	return p.config(known).AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), f, nil
}

// Person is who somebody is to the provider.
type Person struct {
	Issuer, Subject string
	// Email is in lower case, and verified by the provider; else it is empty.
	Email string
}

// Finish returns who came back, by what the provider sent them with.
func (p *Provider) Finish(ctx context.Context, f Flow, query url.Values) (Person, error) {
	if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(f.State)) != 1 || f.State == "" {
		return Person{}, fmt.Errorf("%w: it was not begun in this browser, or long ago", ErrRefused)
	}
	if issuer := query.Get("iss"); issuer != "" && issuer != p.o.Issuer {
		return Person{}, fmt.Errorf("%w: it comes from another provider", ErrRefused)
	}
	if problem := query.Get("error"); problem != "" {
		return Person{}, fmt.Errorf("%w: %.100q", ErrRefused, problem)
	}
	known, err := p.discover(ctx)
	if err != nil {
		return Person{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	tokens, err := p.config(known).Exchange(ctx, query.Get("code"), oauth2.VerifierOption(f.Verifier))
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused): // whose text has what the provider answered
		return Person{}, fmt.Errorf("%w: the provider does not take the code: %.100q", ErrRefused, refused.ErrorCode)
	case err != nil:
		return Person{}, fmt.Errorf("%w: %w", ErrProvider, err)
	}
	return p.person(ctx, known, tokens, f)
}

// claims are what is looked at of what the provider says of somebody.
type claims struct {
	Email         string `json:"email"`
	EmailVerified bool   `json:"email_verified"`
}

// person verifies what the provider says. What the token does not have is asked for.
func (p *Provider) person(ctx context.Context, known *oidc.Provider, tokens *oauth2.Token, f Flow) (Person, error) {
	raw, _ := tokens.Extra("id_token").(string)
	token, err := known.VerifierContext(ctx, &oidc.Config{ClientID: p.o.ClientID}).Verify(ctx, raw)
	if err != nil {
		return Person{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(f.Nonce)) != 1 {
		return Person{}, fmt.Errorf("%w: the token is of another login", ErrRefused)
	}
	var said claims
	if err := token.Claims(&said); err != nil {
		return Person{}, fmt.Errorf("%w: %w", ErrProvider, err)
	}
	if said.Email == "" {
		info, err := known.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
		if err != nil {
			return Person{}, fmt.Errorf("%w: %w", ErrProvider, err)
		}
		if info.Subject != token.Subject {
			return Person{}, fmt.Errorf("%w: the provider tells of somebody else", ErrRefused)
		}
		said = claims{info.Email, info.EmailVerified}
	}
	who := Person{Issuer: token.Issuer, Subject: token.Subject}
	if said.EmailVerified {
		who.Email = fold(said.Email)
	}
	return who, nil
}

// fold is the one form of an e-mail address; empty, if it has letters of which there are several
// that look or fold alike.
func fold(email string) string {
	if strings.ContainsFunc(email, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return strings.ToLower(email)
}

func (p *Provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	known := p.known
	p.mu.Unlock()
	if known != nil {
		return known, nil
	}
	// Not under the lock: whoever asks meanwhile asks, too, and waits no longer than one does.
	known, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProvider, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = known
	return known, nil
}

func (p *Provider) config(known *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.o.ClientID, ClientSecret: p.o.ClientSecret, RedirectURL: p.o.RedirectURL,
		Endpoint: known.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "email"},
	}
}

func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
