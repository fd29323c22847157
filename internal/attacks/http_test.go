package attacks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const cookieName = "__Host-tidegate-session"

// logIn logs ada in, and returns the token.
func (w *world) logIn(t *testing.T, name string) (token string) {
	t.Helper()
	in, err := controlv1.NewSessionServiceClient(w.conns["server"]).Login(presenting(t), &controlv1.LoginRequest{Name: name, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	w.secrets[fmt.Sprint("session ", len(w.secrets))] = in.GetToken()
	return in.GetToken()
}

// withCookie posts with a cookie, and what else is given.
func (w *world) withCookie(t *testing.T, token, path, body string, header ...string) int {
	t.Helper()
	code, _ := w.http(t, http.MethodPost, w.server.HTTP, path, body, append([]string{"Cookie", cookieName + "=" + token}, header...)...)
	return code
}

const ofProduction = `{"environment":"production"}`

func replayedSession(t *testing.T, w *world) {
	own := "http://" + w.server.HTTP
	refused := func(what, token string) {
		t.Helper()
		if code := w.list(presenting(t, "Bearer "+token)); code != codes.Unauthenticated {
			t.Errorf("%s: %v", what, code)
		}
		if code := w.withCookie(t, token, listFlags, ofProduction, "Origin", own); code != http.StatusUnauthorized {
			t.Errorf("%s, as a cookie: %d", what, code)
		}
	}
	token := w.logIn(t, "ada@example.com")
	if code := w.withCookie(t, token, listFlags, ofProduction, "Origin", own); code != http.StatusOK {
		t.Fatalf("the session is not good: %d", code)
	}
	if code := w.withCookie(t, token, "/auth/logout", "", "Origin", own); code != http.StatusNoContent {
		t.Fatalf("logout: %d", code)
	}
	refused("logged out", token)
	if code := w.withCookie(t, "tgs_"+strings.Repeat("A", 43), listFlags, ofProduction, "Origin", own); code != http.StatusUnauthorized {
		t.Errorf("one that was made up: %d", code)
	}
	eve := w.person(t, "eve@example.com")
	token = w.logIn(t, "eve@example.com")
	if _, err := controlv1.NewIdentityServiceClient(w.conns["server"]).SetPassword(w.as(t, "administrator"), &controlv1.SetPasswordRequest{
		Id: eve.GetIdentity().GetId(), Password: password + "-2", Reason: "test",
	}); err != nil {
		t.Fatal(err)
	}
	refused("of before the password was changed", token)
}

func triedPasswords(t *testing.T, w *world) {
	var last int
	for i := range 12 {
		body := fmt.Sprintf(`{"name":"mallory@example.com","password":"wrong password %d"}`, i)
		last, _ = w.http(t, http.MethodPost, w.server.HTTP, "/auth/login", body, "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i), "X-Real-IP", fmt.Sprintf("203.0.113.%d", i))
		if want := http.StatusUnauthorized; i < 10 && last != want {
			t.Errorf("attempt %d: %d", i, last)
		}
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("after twelve: %d", last)
	}
}

func crossSite(t *testing.T, w *world) {
	token, own := w.logIn(t, "ada@example.com"), "http://"+w.server.HTTP
	const create = "/tidegate.control.v1.FlagService/CreateFlag"
	body := func(key string) string {
		return `{"environment":"dev","reason":"x","flag":{"key":"` + key + `","type":"VALUE_TYPE_BOOLEAN","variants":[{"name":"on","value":true}]}}`
	}
	for name, header := range map[string][]string{
		"another origin":               {"Origin", "https://evil.example"},
		"an opaque origin":             {"Origin", "null"},
		"the browser says so":          {"Sec-Fetch-Site", "cross-site"},
		"of another port of this host": {"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"},
		"nothing is said":              nil,
		"from the address bar":         {"Sec-Fetch-Site", "none"},
		"contradictory":                {"Sec-Fetch-Site", "cross-site", "Origin", own},
		"a form":                       {"Origin", "https://evil.example", "Content-Type", "text/plain"},
		"a form of no origin":          {"Content-Type", "application/x-www-form-urlencoded"},
		"another host's":               {"Origin", "http://evil.example", "Host", "evil.example", "Sec-Fetch-Site", "cross-site"},
	} {
		if code := w.withCookie(t, token, create, body("cross-site"), header...); code != http.StatusForbidden {
			t.Errorf("%s: %d", name, code)
		}
		if code := w.withCookie(t, token, "/auth/logout", "", header...); code != http.StatusForbidden {
			t.Errorf("%s ends the session: %d", name, code)
		}
	}
	if code, _ := w.http(t, http.MethodPost, w.server.HTTP, "/auth/login", `{"name":"ada@example.com","password":"`+password+`"}`, "Origin", "https://evil.example"); code != http.StatusForbidden {
		t.Errorf("another site logs a browser in: %d", code)
	}
	w.http(t, http.MethodOptions, w.server.HTTP, create, "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
	if strings.Contains(strings.ToLower(w.answers.String()), "access-control-allow-origin") {
		t.Error("an answer allows another origin")
	}
	if _, err := controlv1.NewFlagServiceClient(w.conns["server"]).GetFlag(w.as(t, "viewer"), &controlv1.GetFlagRequest{Environment: "dev", FlagKey: "cross-site"}); w.heard(err) != codes.NotFound {
		t.Errorf("the flag: %v", err)
	}
	if code := w.withCookie(t, token, create, body("own-site"), "Origin", own, "Sec-Fetch-Site", "same-origin"); code != http.StatusOK {
		t.Errorf("its own page: %d", code)
	}
}

func oddCookies(t *testing.T, w *world) {
	token, own := w.logIn(t, "ada@example.com"), "http://"+w.server.HTTP
	get := listFlags + "?" + url.Values{"connect": {"v1"}, "encoding": {"json"}, "message": {ofProduction}}.Encode()
	for name, header := range map[string][]string{
		"own page":   {"Sec-Fetch-Site", "same-origin", "Origin", own},
		"an image":   {"Sec-Fetch-Site", "cross-site"},
		"in the bar": {"Sec-Fetch-Site", "none"},
	} {
		if code, _ := w.http(t, http.MethodGet, w.server.HTTP, get, "", append(header, "Cookie", cookieName+"="+token)...); code != http.StatusUnauthorized {
			t.Errorf("GET, %s: %d", name, code)
		}
	}
	twice := cookieName + "=" + token + "; " + cookieName + "=" + token
	if code, _ := w.http(t, http.MethodPost, w.server.HTTP, listFlags, ofProduction, "Origin", own, "Cookie", twice); code != http.StatusUnauthorized {
		t.Errorf("twice: %d", code)
	}
	if code, _ := w.http(t, http.MethodPost, w.relay.HTTP, "/ofrep/v1/evaluate/flags/shown", "{}", "Origin", own, "Cookie", cookieName+"="+token); code != http.StatusUnauthorized && code != http.StatusForbidden {
		t.Errorf("at the relay: %d", code)
	}
}

// told looks for what nobody may hear who presents nothing.
func told(answer string) bool {
	return strings.Contains(answer, canaryFlag) || strings.Contains(answer, canary) || regexp.MustCompile(`"(flags|flagKey|key)":`).MatchString(answer)
}

func oddPaths(t *testing.T, w *world) {
	post := func(target, headers string) string {
		return "POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n" + headers +
			fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(ofProduction), ofProduction)
	}
	_, method, _ := strings.Cut(listFlags[1:], "/")
	service := strings.TrimSuffix(listFlags, "/"+method)
	for addr, base := range map[string]string{w.server.HTTP: listFlags, w.relay.HTTP: "/ofrep/v1/evaluate/flags"} {
		for _, target := range []string{
			base, "/" + base, base + "/", base + "//", "/healthz/.." + base, "/x/%2e%2e" + base, "/healthz/..%2f" + base[1:], "/." + base, "/%2e" + base,
			"/healthz;" + base, base + "%00", base + "%2f", base + "?a=b", base + "#x", strings.ToUpper(base), strings.ToLower(base), "/healthz/../../.." + base,
			"http://127.0.0.1" + base, "http://" + w.server.HTTP + base, "*", "/\\" + base, base + "\t", "/auth/login/../.." + base,
			service + "%2f" + method, service + "//" + method, service + "/./" + method, service + "/../" + service[1:] + "/" + method, "/%74idegate" + strings.TrimPrefix(base, "/tidegate"),
		} {
			if answer, _ := w.raw(t, addr, post(target, ""), 20*time.Second); told(answer) {
				t.Errorf("%q tells %s", target, answer)
			}
		}
	}
	// Who may read may not administer, whatever the path looks like.
	const identities = "/tidegate.control.v1.IdentityService/ListIdentities"
	for _, target := range []string{identities, "/" + identities, service + "/.." + identities, "/healthz/.." + identities, identities + "?x=" + listFlags, service + "/ListFlags/../.." + identities} {
		answer, _ := w.raw(t, w.server.HTTP, post(target, "Authorization: Bearer "+w.secrets["viewer"]+"\r\n"), 20*time.Second)
		if strings.Contains(answer, `"identities"`) || !regexp.MustCompile(`^HTTP/1.1 (30|4)`).MatchString(answer) {
			t.Errorf("%q as a viewer: %s", target, answer)
		}
	}
}

func oddHeaders(t *testing.T, w *world) {
	for name, header := range map[string][]string{
		"method override":    {"X-HTTP-Method-Override", "GET", "X-Method-Override", "DELETE"},
		"forwarded":          {"X-Forwarded-For", "127.0.0.1", "X-Forwarded-Host", "localhost", "X-Forwarded-Proto", "https", "Forwarded", "for=127.0.0.1;host=localhost"},
		"another host":       {"Host", "evil.example"},
		"original URL":       {"X-Original-URL", "/healthz", "X-Rewrite-URL", "/healthz"},
		"hop by hop":         {"Connection", "close, Authorization", "Keep-Alive", "x"},
		"a client's subject": {"X-SSL-Client-Verify", "SUCCESS", "X-SSL-Client-S-DN", "CN=administrator", "X-Client-Cert", "x"},
		"a proxy's login":    {"Proxy-Authorization", "Bearer " + w.secrets["administrator"], "X-Authorization", "Bearer " + w.secrets["administrator"], "X-Remote-User", "administrator"},
		"gRPC's metadata":    {"Grpc-Metadata-Authorization", "Bearer " + w.secrets["administrator"], "Authorization-Bin", "Bearer"},
	} {
		for addr, path := range map[string]string{w.server.HTTP: listFlags, w.relay.HTTP: "/ofrep/v1/evaluate/flags"} {
			if code, body := w.http(t, http.MethodPost, addr, path, ofProduction, header...); code != http.StatusUnauthorized || told(body) {
				t.Errorf("%s, %s: %d %s", name, path, code, body)
			}
		}
		if code, _ := w.http(t, http.MethodGet, w.server.HTTP, "/healthz", "", header...); code != http.StatusOK {
			t.Errorf("%s, health: %d", name, code)
		}
	}
	for _, method := range []string{"TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "PROPFIND", "get"} {
		for _, path := range []string{listFlags, "/metrics", "/auth/logout"} {
			answer, _ := w.raw(t, w.server.HTTP, method+" "+path+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+w.secrets["viewer"]+"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 20*time.Second)
			if !regexp.MustCompile(`^HTTP/1.1 4`).MatchString(answer) || strings.Contains(answer, w.secrets["viewer"][17:]) {
				t.Errorf("%s %s: %.80s", method, path, answer)
			}
		}
	}
	// What a caller says of itself is no JSON of a log line that is not its own.
	w.http(t, http.MethodPost, w.server.HTTP, listFlags, "{}", "Tidegate-Actor", `x","level":"fatal","injected":"`, "User-Agent", `a","injected":"`)
	for line := range strings.Lines(w.logs.String()) {
		var m map[string]any
		if strings.HasPrefix(line, "{") && (json.Unmarshal([]byte(line), &m) != nil || m["injected"] != nil) {
			t.Errorf("a log line was made up: %s", line)
		}
	}
}

func smuggled(t *testing.T, w *world) {
	const inner = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
	for addr, path := range map[string]string{w.server.HTTP: listFlags, w.relay.HTTP: "/ofrep/v1/evaluate/flags/shown"} {
		for name, headers := range map[string]string{
			"two lengths":         fmt.Sprintf("Content-Length: 2\r\nContent-Length: %d\r\n", 2+len(inner)),
			"a list of lengths":   "Content-Length: 2, 2\r\nContent-Length: 3\r\n",
			"a negative length":   "Content-Length: -2\r\n",
			"a plus":              "Content-Length: +2\r\n",
			"another encoding":    "Transfer-Encoding: xchunked\r\n",
			"two encodings":       "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
			"a space":             "Content-Length : 2\r\n",
			"a fold":              "X: a\r\n Content-Length: 99\r\nContent-Length: -1\r\n",
			"a name with control": "Content\x01Length: 2\r\nContent-Length: x\r\n",
		} {
			answer, _ := w.raw(t, addr, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+headers+"\r\n{}"+inner, 20*time.Second)
			if n := strings.Count(answer, "HTTP/1.1 "); n != 1 || !regexp.MustCompile(`^HTTP/1.1 (4|501)`).MatchString(answer) {
				t.Errorf("%s, %s: %d answers: %.200s", path, name, n, answer)
			}
		}
	}
}
