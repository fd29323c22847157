package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/accesskey"
)

// TestIdentityCommands is the life of identities on a server that asks who calls.
func TestIdentityCommands(t *testing.T) {
	s := startAskingServer(t)
	t.Setenv(serverVariable, s.GRPCAddr())
	dir := t.TempDir()
	key := func(name, secret string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	admin := key("admin", s.FirstSecret())
	try := func(in string, want int, part string, args ...string) string {
		t.Helper()
		stdout, stderr, code := command(t, in, args...)
		if code != want || !strings.Contains(stdout+stderr, part) {
			t.Fatalf("%v: exit code %d, want %d, with %q in:\n%s%s", args, code, want, part, stdout, stderr)
		}
		return strings.TrimSpace(stdout)
	}

	try("", exitFailure, "say who you are", "flag", "list")
	t.Setenv(keyFileVariable, admin)
	try("", exitOK, "administrator (", "identity", "whoami")
	try("", exitUsage, "--role", "identity", "create", "robot", "--reason", "CI")
	try("", exitUsage, `"king" is no role`, "identity", "create", "robot", "--role", "king", "--reason", "CI")
	secret := try("", exitOK, "made robot (", "identity", "create", "robot", "--role", "viewer", "--role", "editor@staging,dev:checkout-,cart-",
		"--owner", "platform", "--expires", "90d", "--reason", "CI")
	if _, err := accesskey.Parse(secret); err != nil {
		t.Fatalf("the output is not the secret alone: %v", err)
	}
	try("", exitFailure, "one name is of one identity alone", "identity", "create", "robot", "--role", "viewer", "--reason", "again")
	try("a long enough password\n", exitOK, "made ada@example.com (", "identity", "create", "ada@example.com", "--role", "operator", "--password-stdin", "--reason", "on call")
	try("short\n", exitFailure, "at least 12 characters", "identity", "password", "ada@example.com", "--reason", "forgot")
	try("", exitOK, "viewer editor@staging,dev:checkout-,cart-", "identity", "list")

	robot := key("robot", secret)
	try("", exitOK, "robot (", "identity", "whoami", "--key-file", robot)
	try("", exitFailure, "robot may not administer", "identity", "list", "--key-file", robot)
	rotated := try("", exitOK, "the one before is good for 0s", "identity", "rotate", "robot", "--overlap", "0", "--reason", "leaked")
	try("", exitFailure, "was rotated", "identity", "whoami", "--key-file", robot)
	key("robot", rotated)
	try("", exitOK, "robot (", "identity", "whoami", "--key-file", robot)
	try("", exitOK, "editor@dev, until", "identity", "update", "robot", "--role", "editor@dev", "--reason", "less")
	try("", exitOK, ", disabled", "identity", "update", "robot", "--disable", "--reason", "holiday")
	try("", exitFailure, "disabled", "identity", "whoami", "--key-file", robot)
	try("", exitFailure, "last administrator", "identity", "delete", "administrator", "--reason", "mistake")
	try("", exitOK, "removed robot", "identity", "delete", "robot", "--reason", "gone")
	try("", exitFailure, `identity "robot"`, "identity", "delete", "robot", "--reason", "gone")
}
