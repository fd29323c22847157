package openid_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/shipped"
)

// TestLogin: at the first login a person is found by the address that the provider has verified,
// and from then on by who they are to it.
func TestLogin(t *testing.T) {
	r := start(t)
	ada := r.person("ada@example.com")
	b := newBrowser(t)
	if p := b.get(r.authenticate(b, "", "ada")); p.status != http.StatusSeeOther || p.location != r.url("/") {
		t.Fatalf("the callback: %+v", p)
	}
	if p := r.whoami(b); p.status != http.StatusOK || !strings.Contains(p.body, `"ada@example.com"`) || !strings.Contains(p.body, `"session"`) {
		t.Errorf("whoami: %+v", p)
	}
	held, err := r.identities.GetIdentity(r.admin, &controlv1.GetIdentityRequest{Identity: ada.GetIdentity().GetId()})
	if err != nil || held.GetIdentity().GetIdentity().GetOpenid().GetSubject() != "ada" || held.GetIdentity().GetIdentity().GetOpenid().GetIssuer() != r.issuer {
		t.Errorf("bound to %v, %v", held.GetIdentity().GetIdentity().GetOpenid(), err)
	}

	renamed := held.GetIdentity()
	renamed.GetIdentity().Name = "lovelace@example.com"
	if _, err := r.identities.UpdateIdentity(r.admin, &controlv1.UpdateIdentityRequest{Identity: renamed.GetIdentity(), BaseRevision: renamed.GetRevision(), Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	again := newBrowser(t)
	again.get(r.authenticate(again, "", "ada"))
	if p := r.whoami(again); p.status != http.StatusOK || !strings.Contains(p.body, `"lovelace@example.com"`) {
		t.Errorf("after another name: %+v", p)
	}
}

// TestRefused: whoever is nobody here does not get in, whatever the provider says.
func TestRefused(t *testing.T) {
	r := start(t)
	r.person("ada@example.com")
	r.person("bob@example.com")
	first := newBrowser(t)
	if p := first.get(r.authenticate(first, "", "ada")); p.status != http.StatusSeeOther {
		t.Fatalf("ada: %+v", p)
	}
	for username, want := range map[string]struct {
		status int
		says   string
	}{
		"carol":   {http.StatusForbidden, "nobody here is called carol@example.com"},
		"bob":     {http.StatusForbidden, "no e-mail address that it has verified"},
		"another": {http.StatusPreconditionFailed, "another subject"}, // whose address is ada's, too
	} {
		b := newBrowser(t)
		if p := b.get(r.authenticate(b, "", username)); p.status != want.status || !strings.Contains(p.body, want.says) {
			t.Errorf("%s: %+v", username, p)
		}
		if p := r.whoami(b); p.status != http.StatusUnauthorized {
			t.Errorf("%s is %+v", username, p)
		}
	}
	who, err := r.identities.GetIdentity(r.admin, &controlv1.GetIdentityRequest{Identity: "ada@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	ada := who.GetIdentity()
	ada.GetIdentity().Disabled = true
	if _, err := r.identities.UpdateIdentity(r.admin, &controlv1.UpdateIdentityRequest{Identity: ada.GetIdentity(), BaseRevision: ada.GetRevision(), Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t)
	if p := b.get(r.authenticate(b, "", "ada")); p.status != http.StatusForbidden || !strings.Contains(p.body, "disabled") {
		t.Errorf("disabled: %+v", p)
	}
	if p := r.whoami(first); p.status != http.StatusUnauthorized {
		t.Errorf("who logged in before is %+v", p)
	}
}

// TestCallback: only the browser that began a login ends it, once, and with what it was given.
func TestCallback(t *testing.T) {
	r := start(t)
	r.person("ada@example.com")
	b := newBrowser(t)
	callback := r.authenticate(b, "", "ada")
	other := newBrowser(t)
	if p := other.get(callback); p.status != http.StatusUnauthorized {
		t.Errorf("in another browser: %+v", p)
	}
	r.authenticate(other, "", "ada")
	if p := other.get(callback); p.status != http.StatusUnauthorized {
		t.Errorf("in another browser, which has begun a login: %+v", p)
	}
	// One that knows the state has not the verifier.
	parts := strings.Split(b.cookies[r.server.HTTPAddr()]["__Host-tidegate-openid"], ".")
	forged := newBrowser(t)
	forged.cookies[r.server.HTTPAddr()] = map[string]string{"__Host-tidegate-openid": strings.Join([]string{parts[0], parts[1], strings.Repeat("x", 43), "", ""}, ".")}
	if p := forged.get(callback); p.status != http.StatusUnauthorized {
		t.Errorf("with another verifier: %+v", p)
	}
	fresh := newBrowser(t)
	callback = r.authenticate(fresh, "", "ada")
	kept := fresh.cookies[r.server.HTTPAddr()]["__Host-tidegate-openid"]
	wrong := newBrowser(t)
	parts = strings.Split(kept, ".")
	wrong.cookies[r.server.HTTPAddr()] = map[string]string{"__Host-tidegate-openid": strings.Join([]string{parts[0], "another nonce", parts[2], "", ""}, ".")}
	if p := wrong.get(callback); p.status != http.StatusUnauthorized {
		t.Errorf("with another nonce: %+v", p)
	}
	last := newBrowser(t)
	callback = r.authenticate(last, "", "ada")
	kept = last.cookies[r.server.HTTPAddr()]["__Host-tidegate-openid"]
	if p := last.get(callback); p.status != http.StatusSeeOther {
		t.Fatalf("as it should be: %+v", p)
	}
	if _, there := last.cookies[r.server.HTTPAddr()]["__Host-tidegate-openid"]; there {
		t.Error("the browser keeps what it has brought back")
	}
	replay := newBrowser(t)
	replay.cookies[r.server.HTTPAddr()] = map[string]string{"__Host-tidegate-openid": kept}
	if p := replay.get(callback); p.status != http.StatusUnauthorized {
		t.Errorf("replayed: %+v", p)
	}
	for _, b := range []*browser{other, forged, wrong, replay} {
		if p := r.whoami(b); p.status != http.StatusUnauthorized {
			t.Errorf("whoami: %+v", p)
		}
	}
}

// TestCommandLine: a login that a command line waits for ends in a code, which is worth nothing
// without what the command line keeps to itself.
func TestCommandLine(t *testing.T) {
	r := start(t)
	r.person("ada@example.com")
	sum := sha256.Sum256([]byte("verifier"))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	for _, bad := range []string{
		"?port=80&challenge=" + challenge, "?port=08000&challenge=" + challenge, "?port=70000&challenge=" + challenge,
		"?port=8000@evil.example&challenge=" + challenge, "?port=8000", "?challenge=" + challenge, "?port=8000&challenge=" + challenge[1:],
	} {
		if p := newBrowser(t).get(r.url("/auth/openid/login" + bad)); p.status != http.StatusBadRequest {
			t.Errorf("%s: %+v", bad, p)
		}
	}
	b := newBrowser(t)
	p := b.get(r.authenticate(b, "?port=8000&challenge="+challenge, "ada"))
	at, err := url.Parse(p.location)
	if err != nil || p.status != http.StatusSeeOther || at.Host != "127.0.0.1:8000" {
		t.Fatalf("the callback: %+v", p)
	}
	if p := r.whoami(b); p.status != http.StatusUnauthorized {
		t.Errorf("the browser is logged in, too: %+v", p)
	}
	code := at.Query().Get("code")
	redeem := func(verifier string) (*controlv1.RedeemCodeResponse, codes.Code) {
		resp, err := r.sessions.RedeemCode(t.Context(), &controlv1.RedeemCodeRequest{Code: code, Verifier: verifier})
		return resp, status.Code(err)
	}
	if _, code := redeem("another"); code != codes.Unauthenticated {
		t.Errorf("with another verifier: %v", code)
	}
	resp, got := redeem("verifier")
	if got != codes.OK {
		t.Fatal(got)
	}
	who, err := r.identities.WhoAmI(presenting(t.Context(), resp.GetToken()), &controlv1.WhoAmIRequest{})
	if err != nil || who.GetIdentity().GetIdentity().GetName() != "ada@example.com" {
		t.Errorf("%v, %v", who, err)
	}
	if _, code := redeem("verifier"); code != codes.Unauthenticated {
		t.Errorf("a second time: %v", code)
	}
	methods, err := r.sessions.ListLoginMethods(t.Context(), &controlv1.ListLoginMethodsRequest{})
	if err != nil || methods.GetOpenidLoginUrl() != r.url("/auth/openid/login") || methods.GetOpenidIssuer() != r.issuer {
		t.Errorf("%v, %v", methods, err)
	}
}

// TestBinary: the command line as it ships logs in through a browser, and out.
func TestBinary(t *testing.T) {
	bin, config := t.TempDir(), t.TempDir()
	if err := shipped.Build(t.Context(), "../../..", bin, ""); err != nil {
		t.Fatal(err)
	}
	r := start(t)
	r.person("ada@example.com")
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "tidegate"), append(args, "--server", r.server.GRPCAddr())...)
		cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+config, "TIDEGATE_KEY_FILE=")
		return cmd
	}
	login := command("login", "--openid")
	said, err := login.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := login.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if to, found := strings.CutPrefix(strings.TrimSpace(lines.Text()), r.url("/auth/openid/login")); found {
			b := newBrowser(t)
			if p := b.get(b.get(r.authenticate(b, to, "ada")).location); p.status != http.StatusOK || !strings.Contains(p.body, "close this page") {
				t.Errorf("the browser ends at %+v", p)
			}
		}
		t.Log(lines.Text())
	}
	if err := login.Wait(); err != nil {
		t.Fatal(err)
	}
	if out, err := command("identity", "whoami").CombinedOutput(); err != nil || !strings.Contains(string(out), "ada@example.com (") || !strings.Contains(string(out), "by session") {
		t.Errorf("whoami: %s, %v", out, err)
	}
	if out, err := command("logout").CombinedOutput(); err != nil {
		t.Errorf("logout: %s, %v", out, err)
	}
	if out, err := command("identity", "whoami").CombinedOutput(); err == nil {
		t.Errorf("after logout: %s", out)
	}
}

// TestProviderAway: without its provider a server serves, and says what is missing.
func TestProviderAway(t *testing.T) {
	r := start(t)
	r.stopProvider()
	b := newBrowser(t)
	if p := b.get(r.url("/auth/openid/login")); p.status != http.StatusServiceUnavailable || !strings.Contains(p.body, "provider") {
		t.Errorf("%+v", p)
	}
	if p := b.get(r.url("/readyz")); p.status != http.StatusOK {
		t.Errorf("%+v", p)
	}
}
