package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/doccommands"
)

// guide is a document that is run from its beginning to its end, as an administrator and as those
// whom its comments name: each command works where it stands.
type guide struct {
	path string
	// least is how many commands it has at least that are run.
	least int
	// skip is what is not run, by how it begins, and why.
	skip map[string]string
}

func TestGuides(t *testing.T) {
	for _, g := range []guide{
		{"docs/access.md", 34, map[string]string{
			"server ": "the test has a server",
			"flag set new-checkout --default on -e production --reason": "it shows what is typed: TestTypedConfirmation",
			"environment restore production --at ":                      "its time is before this trail began",
			"flag list --server control-1:7013":                         "its server has TLS: TestNoConnection",
		}},
		{"docs/operations.md", 21, map[string]string{
			"backup ":       "its server has etcd: TestBackup of internal/e2e",
			"notification ": "it takes targets: TestNotificationsByHand",
		}},
		{"README.md", 9, map[string]string{
			"evaluate ": "it takes a relay: TestWelcome",
			"server ":   "the test has a server",
		}},
	} {
		t.Run(filepath.Base(g.path), g.run)
	}
}

func (g guide) run(t *testing.T) {
	read := func(path string) string {
		data, err := os.ReadFile("../../" + path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	document, flags := read(g.path), read("examples/flags.yaml")
	s := startAskingServer(t)
	t.Setenv(serverVariable, s.GRPCAddr())
	t.Setenv(keyFileVariable, "administrator")
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"administrator": s.FirstSecret(), "password.txt": "correct horse battery staple\n", "examples/flags.yaml": flags,
		"flags/flags.yaml":       strings.Replace(flags, "enabled: true", "enabled: false", 1),
		"checkout/checkout.yaml": "apiVersion: tidegate/v1\nflags:\n  checkout.fast: {type: boolean, enabled: false, variants: {on: true, off: false}, default: on}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &guided{T: t}
	for _, environment := range []string{"production", "staging"} {
		r.run("apply", "-f", "examples/flags.yaml", "-e", environment, "--reason", "there are flags")
	}
	ran := 0
	for _, call := range doccommands.Of(document, "tidegate") {
		if call.Inline || g.skips(call) {
			continue
		}
		ran++
		r.call(call)
	}
	if ran < g.least {
		t.Errorf("only %d commands were run", ran)
	}
	for beginning := range g.skip {
		if !strings.Contains(document, "tidegate "+beginning) {
			t.Errorf("%q is not in the document any more", beginning)
		}
	}
}

func (g guide) skips(call doccommands.Call) bool {
	for beginning := range g.skip {
		if strings.HasPrefix(strings.Join(call.Args, " "), beginning) {
			return true
		}
	}
	return false
}

// guided does what a document says.
type guided struct {
	*testing.T
	line  int
	input string
}

func (g *guided) run(args ...string) string {
	g.Helper()
	var out, errs bytes.Buffer
	if code := run(g.Context(), &streams{in: strings.NewReader(g.input), out: &out, err: &errs}, args); code != exitOK {
		g.Fatalf("line %d: tidegate %s: %d\n%s%s", g.line, strings.Join(args, " "), code, out.String(), errs.String())
	}
	return out.String()
}

func (g *guided) read(file string) string {
	g.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		g.Fatalf("line %d: %v", g.line, err)
	}
	return string(content)
}

func (g *guided) call(call doccommands.Call) {
	g.Helper()
	g.line, g.input = call.Line, ""
	args := slices.Clone(call.Args)
	for i, word := range args {
		args[i] = strings.Replace(word, "/var/backups/", "", 1)
		switch word {
		case "42": // the first change request
			args[i] = "1"
		case "ID": // the first key
			args[i] = firstWord(g.run("key", "list"), 1)
		case "REVISION": // the one before the newest
			_, before, _ := strings.Cut(g.run("flag", "history", args[2], "--limit", "2"), "\nrevision ")
			args[i] = firstWord(before, 0)
		}
	}
	switch {
	case call.In != "":
		g.input = g.read(call.In)
	case args[0] == "login": // where a person is asked
		g.input = g.read("password.txt")
	}
	if _, err := os.Stat(call.Comment + ".key"); call.Comment != "" && err == nil { // of whom it names
		args = append(args, "--key-file", call.Comment+".key")
	}
	if strings.Contains(call.Comment, "@") {
		defer g.logIn(call.Comment)()
	}
	out := g.run(args...)
	if call.Out != "" {
		if err := os.WriteFile(call.Out, []byte(out), 0o600); err != nil {
			g.Fatal(err)
		}
	}
}

// logIn has what follows be done by a person; what it returns ends that.
func (g *guided) logIn(person string) (logOut func()) {
	g.Helper()
	for name, value := range map[string]string{keyFileVariable: "", "XDG_CONFIG_HOME": g.TempDir()} {
		g.Setenv(name, value)
	}
	input := g.input
	g.input = g.read("password.txt")
	g.run("login", "--name", person)
	g.input = input
	return func() { g.Setenv(keyFileVariable, "administrator") }
}

// firstWord is that of a line, counted from 0.
func firstWord(text string, line int) string {
	return strings.Fields(strings.Split(text, "\n")[line])[0]
}
