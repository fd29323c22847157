package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/accesskey"
)

// TestLogin is a person's day: what is kept of a login is used by the commands that follow, at
// that server alone, until it is logged out.
func TestLogin(t *testing.T) {
	s := startAskingServer(t)
	t.Setenv(serverVariable, s.GRPCAddr())
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	admin := filepath.Join(t.TempDir(), "admin")
	if err := os.WriteFile(admin, []byte(s.FirstSecret()), 0o600); err != nil {
		t.Fatal(err)
	}
	token := regexp.MustCompile(`tgs_[A-Za-z0-9_-]{43}`)
	try := func(in string, want int, part string, args ...string) {
		t.Helper()
		stdout, stderr, code := command(t, in, args...)
		if code != want || !strings.Contains(stdout+stderr, part) {
			t.Fatalf("%v: exit code %d, want %d, with %q in:\n%s%s", args, code, want, part, stdout, stderr)
		}
		if token.MatchString(stdout+stderr) || strings.Contains(stdout+stderr, "battery") {
			t.Fatalf("%v prints what proves it:\n%s%s", args, stdout, stderr)
		}
	}
	const password = "correct horse battery\n"
	try(password, exitOK, "made ada", "identity", "create", "ada@example.com", "--role", "viewer", "--password-stdin", "--reason", "test", "--key-file", admin)
	try("", exitUsage, "--name NAME", "login")
	try("", exitFailure, "no OpenID provider", "login", "--openid")
	try("", exitUsage, "one of the two", "login", "--openid", "--name", "ada@example.com")
	try("", exitUsage, "one line", "login", "--name", "ada@example.com")
	try("wrong\n", exitFailure, "name or the password is wrong", "login", "--name", "ada@example.com")
	try("", exitFailure, "say who you are", "identity", "whoami")
	try("", exitFailure, "say who you are", "logout", "--reason", "x", "--everywhere", "ada@example.com")

	try(password, exitOK, "as ada@example.com, until", "login", "--name", "ada@example.com")
	files, err := filepath.Glob(filepath.Join(config, "tidegate", "sessions", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	try("", exitOK, "ada@example.com (", "identity", "whoami")
	try("", exitOK, "by session", "identity", "whoami")
	try("", exitOK, "password", "identity", "sessions")
	try("", exitOK, "127.0.0.1", "identity", "sessions", "ada@example.com", "--key-file", admin)
	try("", exitOK, "administrator (", "identity", "whoami", "--key-file", admin)
	other := startAskingServer(t)
	try("", exitFailure, "say who you are", "identity", "whoami", "--server", other.GRPCAddr())

	// A key file of the environment is presented instead, which is said; it is not logged out of.
	t.Setenv(keyFileVariable, admin)
	try(password, exitOK, "commands present the secret in "+admin+" all the same", "login", "--name", "ada@example.com")
	try("", exitOK, "administrator (", "identity", "whoami")
	try("", exitOK, "logged out", "logout")
	t.Setenv(keyFileVariable, "")
	try("", exitFailure, "say who you are", "identity", "whoami")
	try(password, exitOK, "as ada@example.com, until", "login", "--name", "ada@example.com")
	kept, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}

	try("", exitOK, "logged out", "logout")
	try("", exitFailure, "say who you are", "identity", "whoami")
	if err := os.WriteFile(files[0], kept, 0o600); err != nil {
		t.Fatal(err)
	}
	try("", exitFailure, "log in again", "identity", "whoami")
	try("", exitOK, "logged out", "logout")
	if _, err := os.Stat(files[0]); err == nil {
		t.Error("a login that is over is kept")
	}

	try(password, exitOK, "as ada@example.com", "login", "--name", "ada@example.com")
	try("", exitUsage, "--everywhere", "logout", "ada@example.com", "--key-file", admin)
	try("", exitOK, "logged ada@example.com out everywhere", "logout", "--everywhere", "ada@example.com", "--reason", "lost laptop", "--key-file", admin)
	try("", exitFailure, "log in again", "identity", "whoami")
	try(password, exitOK, "as ada@example.com", "login", "--name", "ada@example.com")
	try("", exitOK, "logged out", "logout", "--everywhere")
	if err := os.WriteFile(files[0], []byte("tgs_x"), 0o600); err != nil {
		t.Fatal(err)
	}
	try("", exitFailure, files[0], "identity", "whoami")
	try(password, exitOK, "as ada@example.com", "login", "--name", "ada@example.com")
}

// TestSavedSessionStaysWithTLS: what was got over TLS is not sent without.
func TestSavedSessionStaysWithTLS(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	o := newClientOptions()
	o.address, o.tls.On = "flags.example.com:7013", true
	token, _ := accesskey.NewSession()
	if err := o.saveSession(token); err != nil {
		t.Fatal(err)
	}
	if saved, err := o.secret(); saved != token || err != nil {
		t.Errorf("over TLS: %t, %v", saved == token, err)
	}
	o.tls.On = false
	if saved, err := o.secret(); saved != "" || err != nil {
		t.Errorf("without TLS it would be sent, %v", err)
	}
	o.tls.On, o.address = true, "evil.example.com:7013"
	if saved, err := o.secret(); saved != "" || err != nil {
		t.Errorf("it would be sent elsewhere, %v", err)
	}
	o.address, o.isRelay = "flags.example.com:7013", true
	if saved, err := o.secret(); saved != "" || err != nil {
		t.Errorf("it would be sent to a relay, %v", err)
	}
}

// TestBrowserReturn: a code is taken from where a browser is sent, whatever else it asks for.
func TestBrowserReturn(t *testing.T) {
	b, err := awaitBrowser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	to := b.loginURL("https://flags.example.com/auth/openid/login", "verifier")
	found := regexp.MustCompile(`^https://flags\.example\.com/auth/openid/login\?challenge=iMnq5o6zALKXGivsnlom_0F5_WYda32GHkxlV7mq7hQ&port=(\d+)$`).FindStringSubmatch(to)
	if found == nil {
		t.Fatalf("a browser is sent to %s", to)
	}
	at := "http://127.0.0.1:" + found[1]
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	get := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	for _, path := range []string{"/", "/favicon.ico", "/x?code=wrong", "/?code="} {
		if code, body := get(path); code != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	for _, code := range []string{"first", "second"} {
		if status, body := get("/?code=" + code); status != http.StatusOK || strings.Contains(body, code) {
			t.Errorf("%d %s", status, body)
		}
	}
	if code, err := b.code(t.Context()); code != "first" || err != nil {
		t.Errorf("%q, %v", code, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.code(ctx); err == nil {
		t.Error("waits on after it was interrupted")
	}
}
