package openid

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	good := Options{Issuer: "https://login.example.com", ClientID: "tidegate", ClientSecret: "secret", RedirectURL: "https://flags.example.com" + CallbackPath}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Options){
		"issuer \"\"":                     func(o *Options) { o.Issuer = "" },
		"want a URL":                      func(o *Options) { o.Issuer = "login.example.com" },
		"want https, as everybody":        func(o *Options) { o.Issuer = "http://login.example.com" },
		"client's id":                     func(o *Options) { o.ClientID = "" },
		"its secret":                      func(o *Options) { o.ClientSecret = "" },
		"ends in /auth/openid/callback":   func(o *Options) { o.RedirectURL = "https://flags.example.com/callback" },
		"redirect URL \"http://flags.exa": func(o *Options) { o.RedirectURL = "http://flags.example.com" + CallbackPath },
	} {
		o := good
		change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), `"secret"`) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	local := good
	local.Issuer, local.RedirectURL = "http://127.0.0.1:9998/", "http://localhost:7014"+CallbackPath
	if err := local.Validate(); err != nil {
		t.Errorf("on loopback: %v", err)
	}
}

// TestFold: no two addresses become one that differ in more than case.
func TestFold(t *testing.T) {
	t.Parallel()
	for email, want := range map[string]string{
		"Ada@Example.com": "ada@example.com", "\u212aim@example.com": "", "ad\u0430@example.com": "", "ada@example.com\n": "", "": "",
	} {
		if got := fold(email); got != want {
			t.Errorf("%q becomes %q, want %q", email, got, want)
		}
	}
}

// TestFinishRefuses: what is not this login's is refused before the provider is asked.
func TestFinishRefuses(t *testing.T) {
	t.Parallel()
	p := New(Options{Issuer: "https://login.invalid", RedirectURL: "https://flags.example.com" + CallbackPath})
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		flow  Flow
		query string
	}{
		"no state":          {Flow{State: "a"}, "code=x"},
		"another state":     {Flow{State: "a"}, "code=x&state=b"},
		"nothing":           {Flow{}, "code=x&state="},
		"another provider":  {Flow{State: "a"}, "code=x&state=a&iss=https%3A%2F%2Fevil.example"},
		"the provider's no": {Flow{State: "a"}, "error=access_denied&state=a"},
	} {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Finish(ctx, c.flow, query); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := p.Finish(ctx, Flow{State: "a"}, url.Values{"state": {"a"}, "code": {"x"}}); !errors.Is(err, ErrProvider) {
		t.Errorf("a provider that does not answer: %v", err)
	}
}
