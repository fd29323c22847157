package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestFirstStart is what an operator does first, with the binaries alone: the server starts and
// prints a secret, with which a key is made for a relay, and an identity for a pipeline. At debug
// level neither process logs a secret.
func TestFirstStart(t *testing.T) {
	srv := bed.NewAskingServer(t, bin, "--data-dir", t.TempDir(), "--log-level", "debug")
	srv.Start()
	first := regexp.MustCompile(`tgk_[a-z0-9]{12}_[A-Za-z0-9_-]{43}`)
	printed := first.FindAllString(srv.Log(), -1)
	if len(printed) != 1 {
		t.Fatalf("the first start printed %d secrets:\n%s", len(printed), srv.Log())
	}
	dir := t.TempDir()
	save := func(name, secret string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	admin := save("admin", printed[0])
	// cli runs the command line with a key; it returns what was printed, and whether that was
	// a success.
	cli := func(key string, args ...string) (string, bool) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "tidegate"), append(args, "--server", srv.GRPC)...)
		cmd.Env = append(os.Environ(), "TIDEGATE_KEY_FILE="+key)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		t.Logf("$ tidegate %s\n%s", strings.Join(args, " "), errs.String())
		return strings.TrimSpace(out.String()), err == nil
	}
	must := func(key string, args ...string) string {
		t.Helper()
		out, ok := cli(key, args...)
		if !ok {
			t.Fatalf("tidegate %s failed", strings.Join(args, " "))
		}
		return out
	}
	mustNot := func(key string, args ...string) {
		t.Helper()
		if out, ok := cli(key, args...); ok {
			t.Errorf("tidegate %s: %s", strings.Join(args, " "), out)
		}
	}

	mustNot("", "flag", "list")
	relayKey := save("relay", must(admin, "key", "create", "eu relays", "-e", "production", "--reason", "first relay"))
	robot := save("robot", must(admin, "identity", "create", "pipeline", "--role", "editor@production:checkout-", "--reason", "CI"))

	relay := bed.NewRelay(t, bin, srv.GRPC, t.TempDir(), "--key-file", relayKey, "--log-level", "debug")
	relay.Start()
	stranger := bed.NewRelay(t, bin, srv.GRPC, t.TempDir(), "--log-level", "debug")
	stranger.Launch()

	const flag = "apiVersion: tidegate/v1\nflags:\n  KEY:\n    type: boolean\n    enabled: true\n    variants: {on: true, off: false}\n    offVariant: off\n    default: on\n"
	must(robot, "apply", "-f", save("checkout.yaml", strings.Replace(flag, "KEY", "checkout-new", 1)), "-e", "production", "--reason", "try")
	mustNot(robot, "apply", "-f", save("search.yaml", strings.Replace(flag, "KEY", "search-new", 1)), "-e", "production", "--reason", "try")
	mustNot(robot, "identity", "list")
	mustNot(relayKey, "flag", "list")
	if history := must(admin, "flag", "history", "checkout-new", "-e", "production"); !strings.Contains(history, "pipeline") {
		t.Errorf("the history does not say who it was:\n%s", history)
	}
	evaluations := evaluationv1.NewEvaluationServiceClient(bed.Dial(t, relay.GRPC))
	bed.Eventually(t, "the relay has the flag", func() error {
		r, err := evaluations.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "checkout-new"})
		if err == nil && r.GetVariant() != "on" {
			err = fmt.Errorf("it answers %v", r)
		}
		return err
	})
	if _, err := stranger.Get("/readyz"); err == nil {
		t.Error("a relay without a key is ready")
	}

	const password = "correct horse battery"
	create := exec.CommandContext(t.Context(), filepath.Join(bin, "tidegate"), "identity", "create", "ada@example.com", "--role", "viewer",
		"--password-stdin", "--reason", "on call", "--server", srv.GRPC, "--key-file", admin)
	create.Stdin = strings.NewReader(password)
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	token := logIn(t, srv.HTTP, "ada@example.com", password)

	secrets := []string{printed[0]}
	for _, file := range []string{relayKey, robot} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, string(data))
	}
	logs := strings.Replace(srv.Log(), printed[0], "", 1) + relay.Log() + stranger.Log()
	for what, s := range map[string]string{"password": password, "session": token[4:]} {
		if strings.Contains(logs, s) {
			t.Errorf("a %s is in a log", what)
		}
	}
	for _, s := range secrets {
		if strings.Contains(logs, s[17:]) {
			t.Errorf("the secret of %s is in a log", s[:16])
		}
	}
}

// logIn logs in as a browser does, and returns the token that its cookie holds, once it was of
// use.
func logIn(t *testing.T, addr, name, password string) string {
	t.Helper()
	post := func(path, body string, cookies ...*http.Cookie) []*http.Cookie {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		for _, c := range cookies {
			req.AddCookie(c)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, resp.Status)
		}
		return resp.Cookies()
	}
	set := post("/auth/login", fmt.Sprintf(`{"name":%q,"password":%q}`, name, password))
	if len(set) != 1 {
		t.Fatalf("the login sets %v", set)
	}
	post("/tidegate.control.v1.FlagService/ListFlags", `{"environment":"production"}`, set...)
	return set[0].Value
}
