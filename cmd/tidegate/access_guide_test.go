package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/doccommands"
)

// What of docs/access.md is not run, by how it begins.
var unguided = map[string]string{
	"server ": "the test has a server",
	"flag set new-checkout --default on -e production --reason": "it shows what is typed: TestTypedConfirmation",
	"environment restore production --at ":                      "its time is before this trail began",
	"flag list --server control-1:7013":                         "its server has TLS: TestNoConnection, server TestCertificates",
}

// TestAccessGuide runs docs/access.md from its beginning to its end, as an administrator and as
// those whom its comments name: each command works where it stands.
func TestAccessGuide(t *testing.T) {
	document, err := os.ReadFile("../../docs/access.md")
	if err != nil {
		t.Fatal(err)
	}
	flags, err := os.ReadFile("../../examples/flags.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := startAskingServer(t)
	t.Setenv(serverVariable, s.GRPCAddr())
	t.Setenv(keyFileVariable, "administrator")
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"administrator": s.FirstSecret(), "password.txt": "correct horse battery staple\n", "examples.yaml": string(flags),
		"flags/flags.yaml":       strings.Replace(string(flags), "enabled: true", "enabled: false", 1),
		"checkout/checkout.yaml": "apiVersion: tidegate/v1\nflags:\n  checkout.fast: {type: boolean, enabled: false, variants: {on: true, off: false}, default: on}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := &guide{T: t}
	g.run("apply", "-f", "examples.yaml", "-e", "production", "--reason", "there are flags")
	ran := 0
	for _, call := range doccommands.Of(string(document), "tidegate") {
		if call.Inline || skipped(call, unguided) {
			continue
		}
		ran++
		g.call(call)
	}
	if ran < 30 {
		t.Errorf("only %d commands were run", ran)
	}
	for beginning := range unguided {
		if !strings.Contains(string(document), "tidegate "+beginning) {
			t.Errorf("%q is not in the document any more", beginning)
		}
	}
}

func skipped(call doccommands.Call, reasons map[string]string) bool {
	for beginning := range reasons {
		if strings.HasPrefix(strings.Join(call.Args, " "), beginning) {
			return true
		}
	}
	return false
}

// guide runs what a document says.
type guide struct {
	*testing.T
	line  int
	input string
}

func (g *guide) run(args ...string) string {
	g.Helper()
	var out, errs bytes.Buffer
	if code := run(g.Context(), &streams{in: strings.NewReader(g.input), out: &out, err: &errs}, args); code != exitOK {
		g.Fatalf("line %d: tidegate %s: %d\n%s%s", g.line, strings.Join(args, " "), code, out.String(), errs.String())
	}
	return out.String()
}

func (g *guide) call(call doccommands.Call) {
	g.Helper()
	g.line, g.input = call.Line, ""
	args := append([]string(nil), call.Args...)
	for i, word := range args {
		switch word {
		case "42": // the first change request
			args[i] = "1"
		case "ID":
			list := g.run("key", "list")
			args[i] = strings.Fields(strings.SplitN(list, "\n", 3)[1])[0]
		}
	}
	if call.In != "" {
		content, err := os.ReadFile(call.In)
		if err != nil {
			g.Fatalf("line %d: %v", g.line, err)
		}
		g.input = string(content)
	}
	if args[0] == "login" { // where a person is asked
		password, err := os.ReadFile("password.txt")
		if err != nil {
			g.Fatal(err)
		}
		g.input = string(password)
	}
	if _, err := os.Stat(call.Comment + ".key"); call.Comment != "" && err == nil { // of whom it names
		args = append(args, "--key-file", call.Comment+".key")
	}
	out := g.run(args...)
	if call.Out != "" {
		if err := os.WriteFile(call.Out, []byte(out), 0o600); err != nil {
			g.Fatal(err)
		}
	}
}
