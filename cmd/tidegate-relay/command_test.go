package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/doccommands"
	"github.com/tidegate/tidegate/internal/tlsfiles"
	"github.com/tidegate/tidegate/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runCommand runs a command line with an environment, and returns the options that the
// relay would get.
func runCommand(t *testing.T, environment map[string]string, args ...string) (o relay.Options, out string, err error) {
	t.Helper()
	cmd := newCommand(func(name string) string { return environment[name] }, func(_ context.Context, given relay.Options) error {
		o = given
		return nil
	})
	var buf bytes.Buffer
	cmd.SetOut(&buf)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return o, buf.String(), err
}

func TestFlags(t *testing.T) {
	t.Parallel()
	o, _, err := runCommand(t, nil, "--upstream", "a:1,b:2", "--environments", "production,staging",
		"--grpc-addr", ":1", "--http-addr", ":2", "--management-addr", ":3", "--flagd-sync-addr", ":4", "--cors-origin", "https://a.example,*", "--ofrep-rate-limit", "9",
		"--state-dir", "d", "--region", "eu-west", "--max-stale", "1m", "--log-level", "debug", "--log-format", "console")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.Upstreams, []string{"a:1", "b:2"}) || !slices.Equal(o.Environments, []string{"production", "staging"}) {
		t.Errorf("upstreams %v, environments %v", o.Upstreams, o.Environments)
	}
	if o.GRPCAddr != ":1" || o.HTTPAddr != ":2" || o.ManagementAddr != ":3" {
		t.Errorf("addresses %s, %s, %s", o.GRPCAddr, o.HTTPAddr, o.ManagementAddr)
	}
	if o.FlagdSyncAddr != ":4" || !slices.Equal(o.CORSOrigins, []string{"https://a.example", "*"}) || o.OFREPRateLimit != 9 {
		t.Errorf("flagd sync address %s, origins %v, rate limit %d", o.FlagdSyncAddr, o.CORSOrigins, o.OFREPRateLimit)
	}
	if o.StateDir != "d" || o.Region != "eu-west" || o.MaxStale != time.Minute {
		t.Errorf("state dir %s, region %s, max stale %v", o.StateDir, o.Region, o.MaxStale)
	}
}

func TestFileFlag(t *testing.T) {
	t.Parallel()
	o, _, err := runCommand(t, nil, "--file", "flags.yaml", "--file", "more, of them")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.Files, []string{"flags.yaml", "more, of them"}) || !slices.Equal(o.Environments, []string{relay.DefaultEnvironment}) {
		t.Errorf("files %q, environments %v", o.Files, o.Environments)
	}
	o, _, err = runCommand(t, map[string]string{"TIDEGATE_FILE": "/etc/flags", "TIDEGATE_ENVIRONMENTS": "production"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.Files, []string{"/etc/flags"}) || !slices.Equal(o.Environments, []string{"production"}) {
		t.Errorf("files %q, environments %v", o.Files, o.Environments)
	}
}

func TestEnvironmentVariables(t *testing.T) {
	t.Parallel()
	environment := map[string]string{
		"TIDEGATE_UPSTREAM": "a:1,b:2", "TIDEGATE_ENVIRONMENTS": "production", "TIDEGATE_GRPC_ADDR": ":1", "TIDEGATE_MAX_STALE": "2s",
	}
	o, _, err := runCommand(t, environment, "--grpc-addr", ":9")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.Upstreams, []string{"a:1", "b:2"}) || o.MaxStale != 2*time.Second {
		t.Errorf("upstreams %v, max stale %v", o.Upstreams, o.MaxStale)
	}
	if o.GRPCAddr != ":9" {
		t.Errorf("gRPC address %s: the flag must win", o.GRPCAddr)
	}
	if o.HTTPAddr != relay.DefaultHTTPAddr {
		t.Errorf("HTTP address %s, want the default", o.HTTPAddr)
	}
}

// TestKeys: a key comes from a file or a variable; a wrong one is not repeated.
func TestKeys(t *testing.T) {
	t.Parallel()
	valid := []string{"--upstream", "a:1", "--environments", "e"}
	const secret = "tgk_abcdefghijkl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	o, _, err := runCommand(t, map[string]string{"TIDEGATE_KEY": secret + "\n"}, append(valid, "--require-keys")...)
	if err != nil || o.Key != secret || !o.RequireKeys {
		t.Errorf("%v; key %q, required %v", err, o.Key, o.RequireKeys)
	}
	if o, _, err = runCommand(t, map[string]string{"TIDEGATE_KEY_FILE": "/etc/key"}, valid...); err != nil || o.KeyFile != "/etc/key" || o.RequireKeys {
		t.Errorf("%v; key file %q, required %v", err, o.KeyFile, o.RequireKeys)
	}
	_, _, err = runCommand(t, map[string]string{"TIDEGATE_KEY": secret[1:]}, valid...)
	if err == nil || !strings.Contains(err.Error(), "key: not a key's secret") || strings.Contains(err.Error(), secret[17:]) {
		t.Errorf("a malformed key: %v", err)
	}
}

// TestTLSFlags: callers' certificates are required where there is an authority for them.
func TestTLSFlags(t *testing.T) {
	t.Parallel()
	valid := []string{"--upstream", "a:1", "--environments", "e"}
	o, _, err := runCommand(t, map[string]string{"TIDEGATE_TLS_CERT": "c", "TIDEGATE_TLS_KEY": "k", "TIDEGATE_UPSTREAM_TLS": "true"}, append(valid, "--tls-client-ca", "a", "--upstream-ca", "u")...)
	if want := (tlsfiles.ServerFiles{Cert: "c", Key: "k", ClientCA: "a", RequireClient: true}); err != nil || o.TLS != want {
		t.Errorf("%v; %+v, want %+v", err, o.TLS, want)
	}
	if want := (tlsfiles.ClientFiles{On: true, CA: "u"}); o.UpstreamTLS != want {
		t.Errorf("%+v, want %+v", o.UpstreamTLS, want)
	}
	if o, _, err = runCommand(t, nil, valid...); err != nil || o.TLS.Enabled() || o.UpstreamTLS.Enabled() {
		t.Errorf("%v; %+v, %+v without being asked", err, o.TLS, o.UpstreamTLS)
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	valid := []string{"--upstream", "a:1", "--environments", "e"}
	for _, c := range []struct {
		args        []string
		environment map[string]string
		want        string
	}{
		{args: nil, want: "no upstream and no file"},
		{args: append(valid, "--file", "f"), want: "upstream and file: want one of the two"},
		{args: []string{"--file", "f", "--environments", "a,b"}, want: "environments a, b: want one name"},
		{args: []string{"--upstream", "a:1"}, want: "no environment"},
		{args: append(valid, "more"), want: `unexpected argument "more"`},
		{args: append(valid, "--nonsense"), want: "unknown flag: --nonsense"},
		{args: append(valid, "--max-stale", "soon"), want: `invalid duration "soon"`},
		{args: append(valid, "--http-addr", "8016"), want: `HTTP address "8016"`},
		{args: append(valid, "--flagd-sync-addr", "8015"), want: `flagd sync address "8015"`},
		{args: append(valid, "--cors-origin", "https://shop.example/"), want: `origin "https://shop.example/": want scheme://host`},
		{args: append(valid, "--ofrep-rate-limit", "-1"), want: "OFREP rate limit -1"},
		{args: append(valid, "--log-level", "loud"), want: `--log-level "loud": want debug`},
		{args: append(valid, "--log-format", "xml"), want: `--log-format "xml": want json or console`},
		{
			args: append(valid, "--key-file", "f"), environment: map[string]string{"TIDEGATE_KEY": "tgk_abcdefghijkl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
			want: "key and key file: want one of the two",
		},
		{args: []string{"--file", "f", "--require-keys"}, want: "files have neither an upstream nor keys"},
		{args: []string{"--file", "f", "--key-file", "k"}, want: "files have neither an upstream nor keys"},
		{args: valid, environment: map[string]string{"TIDEGATE_MAX_STALE": "soon"}, want: "TIDEGATE_MAX_STALE: "},
	} {
		_, _, err := runCommand(t, c.environment, c.args...)
		var usage *usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want a usage error with %q", c.args, err, c.want)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	_, help, err := runCommand(t, nil, "--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"127.0.0.1:8013", "127.0.0.1:8014", "127.0.0.1:8015", "127.0.0.1:8016", "--state-dir /var/lib/tidegate-relay", "TIDEGATE_GRPC_ADDR", "/readyz", "--file flags.yaml"} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %s", want)
		}
	}
	if _, version, err := runCommand(t, nil, "--version"); err != nil || !strings.HasPrefix(version, "tidegate-relay version ") {
		t.Errorf("version %q, %v", version, err)
	}
}

// TestExecute runs real relays: one that is told to end, one that cannot start.
func TestExecute(t *testing.T) {
	t.Parallel()
	args := []string{
		"--upstream", "127.0.0.1:1", "--environments", "e", "--log-level", "error",
		"--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--management-addr", "127.0.0.1:0",
		"--flagd-sync-addr", "127.0.0.1:0",
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if code := execute(ended, args); code != 0 {
		t.Errorf("told to end: exit code %d, want 0", code)
	}
	if code := execute(t.Context(), append(args, "--grpc-addr", "256.0.0.1:1")); code != exitFailure {
		t.Errorf("an address that is none: exit code %d, want %d", code, exitFailure)
	}
	broken := filepath.Join(t.TempDir(), "flags.yaml")
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fromFile := append([]string{"--file", broken}, args[4:]...)
	if code := execute(t.Context(), fromFile); code != exitFailure {
		t.Errorf("a broken file: exit code %d, want %d", code, exitFailure)
	}
	if code := execute(ended, fromFile); code != 0 {
		t.Errorf("told to end while it waits for the file: exit code %d, want 0", code)
	}
	if code := execute(t.Context(), nil); code != exitUsage {
		t.Errorf("no flags: exit code %d, want %d", code, exitUsage)
	}
}

// TestDocumentedCommands: every command line of the documents has flags that there are, and values
// for them that are sound.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%v, %v", paths, err)
	}
	checked := 0
	for _, path := range append(paths, "../../README.md") {
		document, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range doccommands.Of(string(document), "tidegate-relay") {
			checked++
			if err := newCommand(func(string) string { return "" }, nil).ParseFlags(call.Args); err != nil {
				t.Errorf("%s:%d: tidegate-relay %s: %v", filepath.Base(path), call.Line, strings.Join(call.Args, " "), err)
			}
		}
	}
	if checked < 4 {
		t.Errorf("only %d command lines were found", checked)
	}
}
