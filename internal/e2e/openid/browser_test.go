package openid_test

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// browser keeps cookies as browsers do that take loopback for safe, which Go's jar does not.
type browser struct {
	t       *testing.T
	client  *http.Client
	cookies map[string]map[string]string // by host
}

func newBrowser(t *testing.T) *browser {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, cookies: map[string]map[string]string{}, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is what a browser got.
type page struct {
	status   int
	location string
	body     string
}

func (b *browser) get(to string) page { return b.send(http.MethodGet, to, "", nil) }

func (b *browser) send(method, to, body string, header http.Header) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, to, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	for name, value := range b.cookies[req.URL.Host] {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range resp.Cookies() {
		if b.cookies[req.URL.Host] == nil {
			b.cookies[req.URL.Host] = map[string]string{}
		}
		if b.cookies[req.URL.Host][c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies[req.URL.Host], c.Name)
		}
	}
	p := page{status: resp.StatusCode, body: string(text)}
	if at, err := resp.Location(); err == nil {
		p.location = at.String()
	}
	return p
}

var loginForm = regexp.MustCompile(`name="id" value="([^"]*)"`)

// authenticate goes from the server to the provider, says there who it is, and returns where the
// provider sends it back to.
func (r *rig) authenticate(b *browser, query, username string) (callback string) {
	r.t.Helper()
	p := b.get(r.url("/auth/openid/login" + query))
	for p.location != "" {
		p = b.get(p.location)
	}
	form := loginForm.FindStringSubmatch(p.body)
	if form == nil {
		r.t.Fatalf("the provider shows no login: %d %s", p.status, p.body)
	}
	p = b.send(http.MethodPost, r.issuer+"login/username", url.Values{"id": {form[1]}, "username": {username}, "password": {password}}.Encode(),
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	for p.location != "" && !strings.HasPrefix(p.location, r.url("/")) {
		p = b.get(p.location)
	}
	if p.location == "" {
		r.t.Fatalf("the provider does not send back: %d %s", p.status, p.body)
	}
	return p.location
}

func (r *rig) url(path string) string { return "http://" + r.server.HTTPAddr() + path }

// whoami asks as a page of the server would.
func (r *rig) whoami(b *browser) page {
	r.t.Helper()
	return b.send(http.MethodPost, r.url("/tidegate.control.v1.IdentityService/WhoAmI"), "{}",
		http.Header{"Content-Type": {"application/json"}, "Sec-Fetch-Site": {"same-origin"}})
}
