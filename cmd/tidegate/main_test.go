package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestMain has no test see, or change, who is logged in on this machine.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tidegate-config-")
	if err == nil {
		err = errors.Join(os.Setenv("XDG_CONFIG_HOME", dir), os.Setenv("HOME", dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir) // it is a temporary one
		os.Exit(code)
	}))
}

// execute runs one command line to its end.
func execute(ctx context.Context, args ...string) (code int, out, err string) {
	var stdout, stderr bytes.Buffer
	code = run(ctx, &streams{in: strings.NewReader(""), out: &stdout, err: &stderr}, args)
	return code, stdout.String(), stderr.String()
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, exitOK, ""},
		{[]string{"--version"}, exitOK, ""},
		{[]string{"flagg"}, exitUsage, `unknown command "flagg" for "tidegate"; did you mean flag? (see`},
		{[]string{"completion", "fsh"}, exitUsage, `unknown command "fsh" for "tidegate completion"`},
		{[]string{"server", "extra"}, exitUsage, `"extra"`},
		{[]string{"server", "--nope"}, exitUsage, "unknown flag: --nope (see 'tidegate server --help')"},
		{[]string{"server", "--drain", "soon"}, exitUsage, `"soon"`},
		{[]string{"server"}, exitUsage, "--data-dir"},
		{[]string{"server", "--data-dir", "x", "--log-level", "loud"}, exitUsage, `"loud"`},
		{[]string{"dev", "--log-format", "xml"}, exitUsage, `"xml"`},
		{[]string{"server", "--data-dir", "x", "--grpc-addr", "here"}, exitFailure, `gRPC address "here"`},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			code, out, stderr := execute(t.Context(), c.args...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("got %d %q, want %d and an error that says %q", code, stderr, c.code, c.says)
			}
			if code != exitOK && (strings.Count(stderr, "\n") != 1 || out != "") {
				t.Errorf("more than one line:\n%s%s", stderr, out)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("plain"), "plain"},
		{status.Error(codes.NotFound, `flag "a" is not there`), `flag "a" is not there (NotFound)`},
		{fmt.Errorf("get the flag: %w", status.Error(codes.NotFound, `flag "a" is not there`)), `get the flag: flag "a" is not there (NotFound)`},
	} {
		if got := describe(c.err); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// Every command and every flag says what it is for, in one line; and a command that does something,
// how it is called (that examples can be run, TestDocumentedCommands looks at).
func TestHelpIsComplete(t *testing.T) {
	t.Parallel()
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.Contains(cmd.Short, "\n") || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short help %q", cmd.CommandPath(), cmd.Short)
		}
		if cmd.Runnable() && cmd.Example == "" && cmd.Parent().Name() != "completion" {
			t.Errorf("%s: no example", cmd.CommandPath())
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || strings.Contains(f.Usage, "\n") || strings.HasSuffix(strings.TrimSuffix(f.Usage, "..."), ".") {
				t.Errorf("%s --%s: usage %q", cmd.CommandPath(), f.Name, f.Usage)
			}
		})
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(newRootCommand(&streams{}))
}
