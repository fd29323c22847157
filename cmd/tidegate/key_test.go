package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// command runs one command line and returns what it prints, and its exit code.
func command(t *testing.T, in string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), &streams{in: strings.NewReader(in), out: &out, err: &errs}, args)
	return out.String(), errs.String(), code
}

// TestKeyCommands is the life of a key. Its id and secret differ each time, so it is no
// session of testdata.
func TestKeyCommands(t *testing.T) {
	t.Setenv(serverVariable, startServer(t).GRPCAddr())
	t.Setenv("USER", "alice")
	expect := func(what, got string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(got, p) {
				t.Errorf("%s: %q is not in:\n%s", what, p, got)
			}
		}
	}
	ok := func(args ...string) (string, string) {
		t.Helper()
		stdout, stderr, code := command(t, "", args...)
		if code != exitOK {
			t.Fatalf("%v: %d\n%s%s", args, code, stdout, stderr)
		}
		return stdout, stderr
	}
	fails := func(want int, part string, args ...string) {
		t.Helper()
		stdout, stderr, code := command(t, "", args...)
		if code != want || stdout != "" {
			t.Errorf("%v: exit code %d, want %d; printed %q", args, code, want, stdout)
		}
		expect(strings.Join(args, " "), stderr, part)
	}

	list, _ := ok("key", "list")
	expect("no keys", list, "no keys (revision ")
	stdout, stderr := ok("key", "create", "eu relays", "-e", "production,staging", "--expires", "90d", "--reason", "first")
	secret, whole := strings.CutSuffix(stdout, "\n")
	p, err := accesskey.Parse(secret)
	if err != nil || !whole {
		t.Fatalf("the output is not the secret alone: %v", err)
	}
	expires := time.Now().AddDate(0, 0, 90).UTC().Format("2006-01-02")
	expect("create", stderr, "created key "+p.ID+" (eu relays), which opens production, staging until "+expires, "key revoke "+p.ID)
	if strings.Contains(stderr, secret) {
		t.Error("the secret is among the remarks")
	}
	list, _ = ok("key", "list")
	expect("list", list, p.ID, "eu relays", "production,staging", expires)
	list, _ = ok("key", "list", "-e", "dev")
	expect("list of dev", list, "no keys in dev")

	stdout, _ = ok("key", "update", p.ID, "--environment", "staging", "--expires", "never", "--reason", "less")
	expect("update", stdout, "changed at revision", "which opens staging\n")
	stdout, _ = ok("key", "update", p.ID, "--name", "eu relays", "--reason", "same")
	expect("update to the same", stdout, "unchanged: key "+p.ID)
	stdout, stderr = ok("key", "rotate", p.ID, "--overlap", "1h", "--reason", "quarterly")
	again, err := accesskey.Parse(strings.TrimSuffix(stdout, "\n"))
	if err != nil || again.ID != p.ID || again == p {
		t.Errorf("rotate prints %v", err)
	}
	expect("rotate", stderr, "the new secret of key "+p.ID, "the one before is good for 1h0m0s")
	stdout, _ = ok("key", "revoke", p.ID, "--reason", "lost")
	expect("revoke", stdout, "key "+p.ID+" revoked in staging at revision")
	stdout, _ = ok("key", "history", p.ID, "-e", "staging")
	expect("history", stdout, "deleted by alice: lost", "rotated by alice: quarterly", "updated by alice: less", "created by alice: first")

	stdout, stderr = ok("key", "create", "shop", "-e", "production", "--role", "sdk-client", "--owner", "shop", "--flag-prefix", "shop-,cart-", "--reason", "pages")
	shop, err := accesskey.Parse(strings.TrimSuffix(stdout, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	expect("create of a role", stderr, "which opens production to the role sdk-client for flags that begin with shop-, cart-")
	list, _ = ok("key", "list")
	expect("list of roles", list, "sdk-client", "shop-*,cart-*")
	stdout, _ = ok("key", "update", shop.ID, "--owner", "web", "--flag-prefix", "", "--reason", "all")
	expect("update of prefixes", stdout, "which opens production to the role sdk-client\n")
	list, _ = ok("key", "list")
	expect("list after it", list, "web", "all")
	fails(exitUsage, "want relay, sdk-server or sdk-client", "key", "create", "n", "-e", "dev", "--role", "viewer", "--reason", "r")
	fails(exitFailure, "flag_prefixes: must be empty", "key", "create", "n", "-e", "dev", "--flag-prefix", "a-", "--reason", "r")

	fails(exitFailure, "it is revoked", "key", "revoke", p.ID, "--reason", "again")
	fails(exitFailure, `environment "nowhere"`, "key", "create", "n", "-e", "nowhere", "--reason", "r")
	fails(exitUsage, "say what the key opens", "key", "create", "n", "--reason", "r")
	fails(exitUsage, "say why", "key", "create", "n", "-e", "dev")
	fails(exitUsage, "NAME is missing", "key", "create", "-e", "dev", "--reason", "r")
	fails(exitUsage, "say what to change", "key", "update", p.ID, "--reason", "r")
	for _, expires := range []string{"soon", "-1d", "0d", "1.5d", "99999999d", "0s", "-3h", "d"} {
		fails(exitUsage, "expected a time such as 90d", "key", "create", "n", "-e", "dev", "--reason", "r", "--expires", expires)
	}
	// A secret in the place of an id is not repeated.
	_, stderr, code := command(t, "", "key", "revoke", secret, "--reason", "r")
	if code != exitFailure || strings.Contains(stderr, secret[17:]) {
		t.Errorf("%d, %s", code, stderr)
	}
	stdout, _ = ok("key", "create", "n", "-e", "dev", "--reason", "r", "-o", "json")
	expect("create as JSON", stdout, `"secret": "tgk_`)
	if strings.Contains(stdout, "secretHash") {
		t.Errorf("the hash is shown: %s", stdout)
	}
}

// TestEpochOfRefusedFollowers: who is asked to confirm an epoch is told who has another store's state,
// and what all of them will take over.
func TestEpochOfRefusedFollowers(t *testing.T) {
	s := startServer(t)
	t.Setenv(serverVariable, s.GRPCAddr())
	conn, err := grpc.NewClient(s.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	const name = "relay\x1b[31m-1"
	stream, err := syncv1.NewSyncServiceClient(conn).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: &syncv1.Hello{
		Protocol: 1, InstanceId: name, BootId: "b", Path: []string{name},
		Scopes: []*syncv1.Scope{{Environment: "dev", Cursor: &syncv1.Cursor{Epoch: &syncv1.Epoch{Counter: 1, Random: 7}, Revision: 5, Digest: make([]byte, 16)}}},
	}}})
	for err == nil {
		_, err = stream.Recv()
	}
	refused := `1 refused follower of late, with the state of another store, which they keep: relay\x1b[31m-1 (dev, epoch 1-0000000000000007).`
	if stdout, _, code := command(t, "", "epoch", "show"); !strings.Contains(stdout, refused) || code != exitOK {
		t.Errorf("show: %d: %s", code, stdout)
	}
	_, stderr, code := command(t, "\n", "epoch", "begin", "--reason", "a new start")
	for _, want := range []string{refused, "here there are: dev 0 flags, staging 0 flags, production 0 flags\n", "those too that were refused, will replace", "Type 2"} {
		if code != exitFailure || !strings.Contains(stderr, want) || strings.Contains(stderr, "sees no reason") {
			t.Errorf("begin, without %q: %d: %s", want, code, stderr)
		}
	}
}

func TestEpochCommands(t *testing.T) {
	t.Setenv(serverVariable, startServer(t).GRPCAddr())
	t.Setenv("USER", "alice")
	stdout, _, code := command(t, "", "epoch", "show")
	if !regexp.MustCompile(`^epoch 1-[0-9a-f]{16}, the store is at revision \d+\n$`).MatchString(stdout) || code != exitOK {
		t.Fatalf("%d: %s", code, stdout)
	}
	for _, in := range []string{"", "\n", "1\n", "yes\n"} {
		stdout, stderr, code := command(t, in, "epoch", "begin", "--reason", "restored")
		if code != exitFailure || stdout != "" || !strings.Contains(stderr, "Type 2 to begin epoch 2: ") || !strings.Contains(stderr, "nothing was changed") ||
			!strings.Contains(stderr, "sees no reason") || !strings.Contains(stderr, "dev 0 flags") {
			t.Errorf("%q: %d: %s%s", in, code, stdout, stderr)
		}
	}
	if _, stderr, code := command(t, "2\n", "epoch", "begin"); code != exitUsage || !strings.Contains(stderr, "say why") {
		t.Errorf("%d: %s", code, stderr)
	}
	stdout, _, code = command(t, "2\n", "epoch", "begin", "--reason", "restored")
	if !regexp.MustCompile(`^epoch 2-[0-9a-f]{16} has begun, at revision \d+\n$`).MatchString(stdout) || code != exitOK {
		t.Errorf("%d: %s", code, stdout)
	}
	stdout, stderr, code := command(t, "", "epoch", "begin", "--yes", "--reason", "again")
	if !strings.HasPrefix(stdout, "epoch 3-") || stderr != "" || code != exitOK {
		t.Errorf("%d: %s%s", code, stdout, stderr)
	}
	stdout, _, _ = command(t, "", "epoch", "show")
	if !strings.HasPrefix(stdout, "epoch 3-") || !strings.Contains(stdout, "by alice: again\n") {
		t.Errorf("%s", stdout)
	}
}
