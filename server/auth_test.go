package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// answer is what came of a request, beside its body.
type answer struct {
	status  int
	header  http.Header
	cookies []*http.Cookie
}

// do sends a request with the header given as name and value in turn, and reads the answer.
func (r *running) do(method, path, body string, header ...string) (a answer, text string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url(path), strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Content-Type" {
			req.Header.Del(header[i])
		}
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	a = answer{resp.StatusCode, resp.Header, resp.Cookies()}
	_, text = read(r.t, resp)
	return a, text
}

const (
	listFlags = "/tidegate.control.v1.FlagService/ListFlags"
	inDev     = `{"environment":"dev"}`
)

// browser is a server, and the cookie that a browser has of it.
func browser(t *testing.T) (a *asking, cookie string) {
	t.Helper()
	a = newAsking(t)
	a.person(adaName, role(accessv1.Role_ROLE_EDITOR))
	resp, body := a.do(http.MethodPost, "/auth/login", fmt.Sprintf(`{"name":%q,"password":%q}`, adaName, adaPassword), "Sec-Fetch-Site", "same-origin")
	if resp.status != http.StatusOK || decode(t, body)["name"] != adaName {
		t.Fatalf("login: %d %s", resp.status, body)
	}
	set := resp.cookies
	if len(set) != 1 {
		t.Fatalf("it sets %v", set)
	}
	c := set[0]
	if c.Name != "__Host-tidegate-session" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || !c.Expires.After(time.Now()) {
		t.Errorf("it sets %s", resp.header.Get("Set-Cookie"))
	}
	if strings.Contains(body, c.Value) || resp.header.Get("Cache-Control") != "no-store" {
		t.Errorf("a script, or a cache, can read the token: %s", body)
	}
	return a, c.Value
}

// TestCookie: a browser's cookie is good for pages of this server, and for nothing else.
func TestCookie(t *testing.T) {
	a, token := browser(t)
	is := sessionCookie + "=" + token
	never, _ := accesskey.NewSession()
	same := []string{"Sec-Fetch-Site", "same-origin"}
	for name, c := range map[string]struct {
		header []string
		want   int
	}{
		"a page of this server":            {append(same, "Cookie", is), http.StatusOK},
		"an old browser":                   {[]string{"Cookie", is, "Origin", "http://" + a.server.HTTPAddr()}, http.StatusOK},
		"beside other cookies":             {append(same, "Cookie", "a=b; "+is+"; c=d"), http.StatusOK},
		"another site":                     {[]string{"Cookie", is, "Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"another site of the domain":       {[]string{"Cookie", is, "Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		"another site that adds an origin": {[]string{"Cookie", is, "Sec-Fetch-Site", "cross-site", "Origin", "http://" + a.server.HTTPAddr()}, http.StatusForbidden},
		"an old browser on another site":   {[]string{"Cookie", is, "Origin", "http://evil.example"}, http.StatusForbidden},
		"an old browser, another port":     {[]string{"Cookie", is, "Origin", "http://127.0.0.1:1"}, http.StatusForbidden},
		"an opaque origin":                 {[]string{"Cookie", is, "Origin", "null"}, http.StatusForbidden},
		"nobody says from where":           {[]string{"Cookie", is}, http.StatusForbidden},
		"typed":                            {[]string{"Cookie", is, "Sec-Fetch-Site", "none"}, http.StatusForbidden},
		"forwarded":                        {[]string{"Cookie", is, "Origin", "http://evil.example", "X-Forwarded-Host", "evil.example"}, http.StatusForbidden},
		"two of them":                      {append(same, "Cookie", is+"; "+sessionCookie+"="+never), http.StatusUnauthorized},
		"in two headers":                   {append(same, "Cookie", is, "Cookie", sessionCookie+"="+never), http.StatusUnauthorized},
		"without the prefix":               {append(same, "Cookie", "tidegate-session="+token), http.StatusUnauthorized},
		"with another prefix":              {append(same, "Cookie", "__host-tidegate-session="+token), http.StatusUnauthorized},
		"never begun":                      {append(same, "Cookie", sessionCookie+"="+never), http.StatusUnauthorized},
		"a service's secret":               {append(same, "Cookie", sessionCookie+"="+a.server.FirstSecret()), http.StatusUnauthorized},
		"empty":                            {append(same, "Cookie", sessionCookie+"="), http.StatusUnauthorized},
		"a header that is wrong":           {append(same, "Cookie", is, "Authorization", "Bearer "+never), http.StatusUnauthorized},
		"the token in another header":      {append(same, "X-Authorization", "Bearer "+token), http.StatusUnauthorized},
		"the header":                       {[]string{"Authorization", "Bearer " + token}, http.StatusOK},
		"nothing":                          {same, http.StatusUnauthorized},
	} {
		resp, body := a.do(http.MethodPost, listFlags, inDev, c.header...)
		if resp.status != c.want {
			t.Errorf("%s: %d %s, want %d", name, resp.status, body, c.want)
		}
		if strings.Contains(body, token) {
			t.Errorf("%s: the token is in the answer", name)
		}
	}
	query := "?connect=v1&encoding=json&message=%7B%22environment%22%3A%22dev%22%7D"
	if resp, body := a.do(http.MethodGet, listFlags+query, "", append(same, "Cookie", is)...); resp.status != http.StatusUnauthorized {
		t.Errorf("GET with the cookie: %d %s", resp.status, body)
	}
	if resp, body := a.do(http.MethodGet, listFlags+query, "", "Authorization", "Bearer "+token); resp.status != http.StatusOK {
		t.Errorf("GET with the header: %d %s", resp.status, body)
	}
	for _, path := range []string{"/auth/..%2f" + listFlags[1:], "/auth/login/../.." + listFlags, "//" + listFlags[1:], listFlags + "/", "/AUTH/login", "/auth/login/"} {
		resp, body := a.do(http.MethodPost, path, inDev)
		if resp.status == http.StatusOK {
			t.Errorf("POST %s: %d %s", path, resp.status, body)
		}
	}
}

// TestLogout: the cookie that is replayed after it is worth nothing.
func TestLogout(t *testing.T) {
	a, token := browser(t)
	is := []string{"Cookie", sessionCookie + "=" + token}
	if resp, body := a.do(http.MethodPost, "/auth/logout", "", append(is, "Sec-Fetch-Site", "cross-site")...); resp.status != http.StatusForbidden {
		t.Errorf("from another site: %d %s", resp.status, body)
	}
	if resp, body := a.do(http.MethodPost, "/auth/logout", "", is...); resp.status != http.StatusForbidden {
		t.Errorf("from nobody knows where: %d %s", resp.status, body)
	}
	same := []string{is[0], is[1], "Sec-Fetch-Site", "same-origin"}
	if resp, body := a.do(http.MethodPost, listFlags, inDev, same...); resp.status != http.StatusOK {
		t.Fatalf("no longer good: %d %s", resp.status, body)
	}
	resp, body := a.do(http.MethodPost, "/auth/logout", "", same...)
	if set := resp.cookies; resp.status != http.StatusNoContent || len(set) != 1 || set[0].Name != sessionCookie || set[0].MaxAge >= 0 || set[0].Value != "" {
		t.Errorf("%d %s, sets %v", resp.status, body, set)
	}
	for _, header := range [][]string{same, {"Authorization", "Bearer " + token}} {
		if resp, body := a.do(http.MethodPost, listFlags, inDev, header...); resp.status != http.StatusUnauthorized {
			t.Errorf("replayed: %d %s", resp.status, body)
		}
	}
	if resp, _ := a.do(http.MethodPost, "/auth/logout", "", same...); resp.status != http.StatusNoContent {
		t.Errorf("a second time: %d", resp.status)
	}
}

// TestLoginRequests: what is no login is refused before a password is looked at.
func TestLoginRequests(t *testing.T) {
	a := newAsking(t)
	a.person(adaName, role(accessv1.Role_ROLE_VIEWER))
	good := fmt.Sprintf(`{"name":%q,"password":%q}`, adaName, adaPassword)
	for name, c := range map[string]struct {
		method, body string
		header       []string
		want         int
	}{
		"a form":            {http.MethodPost, "name=" + adaName + "&password=x", []string{"Content-Type", "application/x-www-form-urlencoded"}, http.StatusBadRequest},
		"JSON as text":      {http.MethodPost, good, []string{"Content-Type", "text/plain"}, http.StatusBadRequest},
		"another site":      {http.MethodPost, good, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"GET":               {http.MethodGet, "", nil, http.StatusMethodNotAllowed},
		"nothing":           {http.MethodPost, "", nil, http.StatusBadRequest},
		"no password":       {http.MethodPost, `{"name":"ada@example.com"}`, nil, http.StatusBadRequest},
		"another field":     {http.MethodPost, `{"name":"ada@example.com","password":"x","role":"x"}`, nil, http.StatusBadRequest},
		"two of them":       {http.MethodPost, good + good, nil, http.StatusBadRequest},
		"too large":         {http.MethodPost, `{"name":"` + strings.Repeat("x", maxLoginBody) + `","password":"x"}`, nil, http.StatusBadRequest},
		"a wrong password":  {http.MethodPost, `{"name":"ada@example.com","password":"x"}`, nil, http.StatusUnauthorized},
		"nobody's name":     {http.MethodPost, `{"name":"eve@example.com","password":"x"}`, nil, http.StatusUnauthorized},
		"as it should be":   {http.MethodPost, good, nil, http.StatusOK},
		"with a charset":    {http.MethodPost, good, []string{"Content-Type", "application/json; charset=utf-8"}, http.StatusOK},
		"method overridden": {http.MethodGet, good, []string{"X-HTTP-Method-Override", "POST"}, http.StatusMethodNotAllowed},
	} {
		resp, body := a.do(c.method, "/auth/login", c.body, c.header...)
		if resp.status != c.want {
			t.Errorf("%s: %d %s, want %d", name, resp.status, body, c.want)
		}
		if c.want != http.StatusOK && len(resp.cookies) > 0 {
			t.Errorf("%s: it sets %v", name, resp.cookies)
		}
	}
	if resp, body := a.do(http.MethodGet, "/auth/methods", ""); resp.status != http.StatusOK || decode(t, body)["password"] != true || decode(t, body)["open"] != false {
		t.Errorf("methods: %d %s", resp.status, body)
	}
}

// TestSlowLogin: a body that does not come is not waited for.
func TestSlowLogin(t *testing.T) {
	a := newAsking(t)
	pages := authPages{logins: a.server.logins, methods: a.server.loginMethods(), timeout: 50 * time.Millisecond}
	s := httptest.NewServer(pages.page(pages.serveLogin))
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"name\":")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("%d, %v", resp.StatusCode, err)
	}
}

// TestSecurityHeaders: whatever is answered, no other page frames, sniffs or reads it.
func TestSecurityHeaders(t *testing.T) {
	a := newAsking(t)
	for _, path := range []string{"/", "/auth/methods", "/readyz", "/nothing-here", listFlags} {
		resp, _ := a.do(http.MethodGet, path, "")
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "frame-ancestors 'none'", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := resp.header.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if resp.header.Get("Strict-Transport-Security") != "" {
			t.Errorf("%s: has browsers use TLS, which is not served", path)
		}
	}
}
