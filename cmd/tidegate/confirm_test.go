package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// What writes, and has no environment that could be protected.
var writesElsewhere = map[string]string{
	"tidegate epoch begin":       "the store; it has the epoch's number typed",
	"tidegate identity create":   "an identity: administrators alone",
	"tidegate identity delete":   "an identity: administrators alone",
	"tidegate identity rotate":   "an identity: administrators alone",
	"tidegate identity update":   "an identity: administrators alone",
	"tidegate key create":        "a key: administrators alone",
	"tidegate key revoke":        "a key: administrators alone",
	"tidegate key rotate":        "a key: administrators alone",
	"tidegate key update":        "a key: administrators alone",
	"tidegate logout":            "a session",
	"tidegate panic":             "freezes, which must be quick",
	"tidegate panic lift":        "freezes: what is protected is as protected as before",
	"tidegate identity password": "an identity: administrators alone, or one's own",
}

// confirmation is how a command that writes into production is called; asked: not without its name.
type confirmation struct {
	args   string
	asked  bool
	before string // what makes it possible, if anything
}

var confirmations = map[string]confirmation{
	"tidegate apply":               {args: "-f testdata/cli/files/stale.yaml -e production --enable", asked: true, before: "flag disable old -e production --wait 0"},
	"tidegate environment create":  {args: "production-eu --from production", asked: true},
	"tidegate environment promote": {args: "production --from staging --yes", asked: true, before: "flag set kill-switch -e staging --owner promoted"},
	"tidegate environment restore": {args: "production --revision 7 --yes", asked: true, before: "flag disable old -e production --wait 0"},
	"tidegate environment set":     {args: "production --require-owner", asked: true},
	"tidegate flag delete":         {args: "half -e production", asked: true},
	"tidegate flag disable":        {args: "old -e production --wait 0"},
	"tidegate flag enable":         {args: "old -e production --wait 0", asked: true},
	"tidegate flag promote":        {args: "kill-switch --from staging --to production --yes", asked: true, before: "flag set kill-switch -e staging --owner again"},
	"tidegate flag restore":        {args: "old -e production --revision 7", asked: true, before: "flag disable old -e production --wait 0"},
	"tidegate flag set":            {args: "old -e production --owner somebody", asked: true},
	"tidegate request apply":       {args: "NUMBER -e production", asked: true},
	"tidegate request propose":     {args: "-f testdata/cli/files/stale.yaml -e production --enable", before: "flag disable old -e production --wait 0"},
	"tidegate request reject":      {args: "NUMBER -e production"},
	"tidegate request withdraw":    {args: "NUMBER -e production"},
	"tidegate rollout abort":       {args: "first -e production"},
	"tidegate rollout delete":      {args: "first -e production", asked: true},
	"tidegate rollout pause":       {args: "first -e production"},
	"tidegate rollout promote":     {args: "first -e production", asked: true},
	"tidegate rollout resume":      {args: "first -e production", asked: true},
	"tidegate rollout start":       {args: `first --flag old --from on --to off --stages 1%,100% --guardrail "errors: rate < +5% relative" -e production`, asked: true},
	"tidegate segment delete":      {args: "staff -e production", asked: true},
	"tidegate segment restore":     {args: "staff -e production --revision 7", asked: true},
}

// commandPaths are all commands that do something, by their paths.
func commandPaths(cmd *cobra.Command, add func(*cobra.Command)) {
	if cmd.Runnable() {
		add(cmd)
	}
	for _, c := range cmd.Commands() {
		commandPaths(c, add)
	}
}

// TestConfirmIsEverywhere: each command that writes into an environment has --confirm, and says the
// same of it; no other has it.
func TestConfirmIsEverywhere(t *testing.T) {
	t.Parallel()
	commandPaths(newRootCommand(&streams{}), func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		f := cmd.Flags()
		confirm, yes := f.Lookup("confirm"), f.Lookup("yes")
		_, tested := confirmations[path]
		why := writesElsewhere[path]
		reason := f.Lookup("reason")
		writes := reason != nil && reason.Usage == reasonUsage // of 'audit list' it is a filter
		switch {
		case confirm != nil && (confirm.Usage != confirmUsage || !tested):
			t.Errorf("%s has --confirm: %q; tested: %v", path, confirm.Usage, tested)
		case confirm == nil && tested:
			t.Errorf("%s has no --confirm", path)
		case confirm == nil && writes && why == "":
			t.Errorf("%s writes, and has no --confirm", path)
		case confirm != nil && why != "":
			t.Errorf("%s has --confirm, and needs none: %s", path, why)
		case confirm != nil && yes != nil && yes.Usage != yesUsage:
			t.Errorf("%s says of --yes: %q", path, yes.Usage)
		}
	})
}

// TestProtectedIsConfirmed calls each of them on a protected environment, where nobody can be asked.
func TestProtectedIsConfirmed(t *testing.T) {
	t.Setenv("USER", "alice")
	for _, path := range slices.Sorted(maps.Keys(confirmations)) {
		t.Run(strings.TrimPrefix(path, "tidegate "), func(t *testing.T) { confirmations[path].check(t, path) })
	}
}

func (c confirmation) check(t *testing.T, path string) {
	t.Setenv(serverVariable, startServer(t).GRPCAddr())
	must := func(args ...string) string {
		t.Helper()
		stdout, stderr, code := command(t, "", append(args, "--reason", "r")...)
		if code != exitOK {
			t.Fatalf("%v: %d\n%s%s", args, code, stdout, stderr)
		}
		return stdout
	}
	for _, environment := range []string{"production", "staging"} {
		must("apply", "-f", "testdata/cli/files/stale.yaml", "-f", "testdata/cli/files/staff.yaml", "-e", environment)
	}
	if strings.HasPrefix(path, "tidegate rollout ") && path != "tidegate rollout start" {
		must(append([]string{"rollout", "start"}, shellWords(confirmations["tidegate rollout start"].args)...)...)
	}
	switch path {
	case "tidegate rollout resume":
		must(shellWords("rollout pause first -e production")...)
	case "tidegate rollout delete":
		must(shellWords("rollout abort first -e production")...)
	case "tidegate segment restore":
		must(shellWords("segment delete staff -e production")...)
	}
	if c.before != "" {
		must(shellWords(c.before)...)
	}
	number := ""
	if strings.Contains(c.args, "NUMBER") {
		proposed := must(shellWords("flag set old -e production --owner proposed --propose")...)
		_, number, _ = strings.Cut(proposed, "#")
		number, _, _ = strings.Cut(number, " ")
	}
	must("environment", "set", "production", "--protected")

	args := shellWords(strings.TrimPrefix(path, "tidegate ") + " " + strings.ReplaceAll(c.args, "NUMBER", number))
	if path != "tidegate request apply" {
		args = append(args, "--reason", "r")
	}
	state := func() string {
		stdout, _, _ := command(t, "", "audit", "list", "-e", "production", "-o", "json")
		return stdout
	}
	before := state()
	refused := func(says string, extra ...string) {
		t.Helper()
		stdout, stderr, code := command(t, "", append(slices.Clone(args), extra...)...)
		if code != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("%v %v: %d\n%s%s", args, extra, code, stdout, stderr)
		}
		if after := state(); after != before {
			t.Fatalf("%v %v wrote something:\n%s\nbefore:\n%s", args, extra, after, before)
		}
	}
	target := "production"
	if path == "tidegate environment create" {
		target = "production-eu"
	}
	refused("--confirm staging: this writes into "+target+"; nothing was written", "--confirm", "staging")
	if c.asked {
		refused("there is no terminal to ask at: pass --confirm " + target + "; nothing was written")
		args = append(args, "--confirm", target)
	}
	if stdout, stderr, code := command(t, "", args...); code != exitOK {
		t.Errorf("%v: %d\n%s%s", args, code, stdout, stderr)
	}
}
