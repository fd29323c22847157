package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal opens a terminal: what is written into its other side is typed.
func terminal(t *testing.T) (tty, other *os.File) {
	t.Helper()
	other, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = other.Close() })
	number, err := unix.IoctlGetInt(int(other.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(other.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return tty, other
}

// atTerminal runs a command line of a person who types answers at a terminal, one for each
// question, and returns what was shown.
func atTerminal(t *testing.T, typed string, args ...string) (shown string, code int) {
	t.Helper()
	tty, other := terminal(t)
	if _, err := io.WriteString(other, typed); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	code = run(t.Context(), &streams{in: tty, out: &out, err: &out}, args)
	return out.String(), code
}

// TestTypedConfirmation: into a protected environment nothing is written that nobody typed the
// name for, and what makes it safer asks nothing.
func TestTypedConfirmation(t *testing.T) {
	t.Setenv(serverVariable, startServer(t).GRPCAddr())
	t.Setenv("USER", "alice")
	must := func(args ...string) string {
		t.Helper()
		stdout, stderr, code := command(t, "", args...)
		if code != exitOK {
			t.Fatalf("%v: %d\n%s%s", args, code, stdout, stderr)
		}
		return stdout
	}
	must("apply", "-f", "testdata/cli/files/stale.yaml", "-e", "production", "--reason", "first")
	must("apply", "-f", "testdata/cli/files/stale.yaml", "-e", "staging", "--reason", "first")
	must("flag", "set", "kill-switch", "-e", "staging", "--owner", "search", "--reason", "another")
	must("environment", "set", "production", "--protected", "--reason", "careful")
	revision := func() string { return must("flag", "list", "-e", "production", "-o", "json") }

	for _, c := range []struct {
		args, question string
	}{
		{"flag set old --default off -e production --reason", "Type production to do it: "},
		{"flag enable old -e production --wait 0 --reason", "Type production to do it: "},
		{"flag delete half -e production --reason", "Type production to do it: "},
		{"flag promote kill-switch --from staging --to production --reason", "Type production to do it: "},
		{"environment set production --require-owner --reason", "Type production to do it: "},
		{"environment restore production --revision 7 --reason", "Type production to restore it: "},
	} {
		args := append(strings.Fields(c.args), "as agreed")
		if strings.HasPrefix(c.args, "flag enable") {
			must("flag", "disable", "old", "-e", "production", "--wait", "0", "--reason", "at once, and nothing is asked")
		}
		before, alone := revision(), args
		if strings.Contains(c.args, "promote") || strings.Contains(c.args, "restore") { // which else ask something of their own
			alone = append(slices.Clone(args), "--yes")
		}
		stdout, stderr, code := command(t, "production\n", alone...)
		if code != exitUsage || !strings.Contains(stderr, "production is protected, and there is no terminal to ask at: pass --confirm production; nothing was written") {
			t.Errorf("%v, no terminal: %d\n%s%s", alone, code, stdout, stderr)
		}
		for _, wrong := range []string{"\n", "y\n", "staging\n", "Production\n"} {
			if shown, code := atTerminal(t, wrong, args...); code != exitFailure || !strings.Contains(shown, "not confirmed; nothing was changed") || strings.Count(shown, "Type ") != 1 {
				t.Errorf("%v, typed %q: %d\n%s", args, wrong, code, shown)
			}
		}
		if after := revision(); after != before {
			t.Fatalf("%v: something was written:\n%s\n%s", args, before, after)
		}
		shown, code := atTerminal(t, "production\n", args...)
		if code != exitOK || !strings.Contains(shown, c.question) {
			t.Errorf("%v: %d\n%s", args, code, shown)
		}
		if strings.HasPrefix(c.args, "flag set") && !strings.Contains(shown, "production is protected. This will be done, because \"as agreed\":\n  tidegate flag set old --default off -e production --reason \"as agreed\"\n") {
			t.Errorf("what is done is not shown:\n%s", shown)
		}
	}
	for _, args := range [][]string{
		{"flag", "disable", "kill-switch", "-e", "staging", "--wait", "0", "--reason", "r"},
		{"flag", "set", "old", "-e", "staging", "--default", "on", "--reason", "r"},
		{"panic", "-e", "production", "--reason", "r"},
		{"panic", "lift", "--reason", "r"},
	} {
		if shown, code := atTerminal(t, "", args...); code != exitOK || strings.Contains(shown, "Type ") {
			t.Errorf("%v: %d\n%s", args, code, shown)
		}
	}
}

// TestPanicAsksWhy: at a terminal the reason is asked for, where it is missing, and nothing else.
func TestPanicAsksWhy(t *testing.T) {
	t.Setenv(serverVariable, startServer(t).GRPCAddr())
	if shown, code := atTerminal(t, "checkout is down\n", "panic", "--for", "2h"); code != exitOK || !strings.HasPrefix(shown, "Why? ") || !strings.Contains(shown, ": checkout is down\n") {
		t.Errorf("%d\n%s", code, shown)
	}
	if shown, code := atTerminal(t, "\n", "panic"); code != exitUsage || !strings.Contains(shown, "say why") {
		t.Errorf("%d\n%s", code, shown)
	}
}

// TestTerminalIsOne: what the tests type at is one, or they would prove nothing.
func TestTerminalIsOne(t *testing.T) {
	tty, other := terminal(t)
	if !isTerminal(tty) {
		t.Fatal("it is none")
	}
	if _, err := io.WriteString(other, "typed\n"); err != nil {
		t.Fatal(err)
	}
	_ = other.SetReadDeadline(time.Now().Add(time.Minute))
	if line, err := bufio.NewReader(tty).ReadString('\n'); line != "typed\n" {
		t.Errorf("read %q, %v", line, err)
	}
}
