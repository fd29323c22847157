// Command tidegate is the control server, everything in one process for development,
// and the operator's tool.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/internal/version"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
	// args are the command line, without the program's name.
	args []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, &streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}, os.Args[1:]))
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, io *streams, args []string) int {
	root := newRootCommand(io) //nolint:contextcheck // commands get ctx when they run
	io.args = args
	root.SetArgs(args)
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	started := false
	markStart(root, &started)

	cmd, err := root.ExecuteContextC(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errDiffers):
		return exitFailure
	case !started, errors.As(err, &usage):
		fmt.Fprintf(io.err, "error: %s (see '%s --help')\n", usageProblem(err), cmd.CommandPath())
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(io.err, "error: interrupted")
		return exitFailure
	default:
		fmt.Fprintf(io.err, "error: %s\n", describe(err))
		return exitFailure
	}
}

func newRootCommand(io *streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "tidegate",
		Short: "A feature-flag control plane that streams changes to relays",
		Long: "A feature-flag control plane that streams changes to relays: the server, everything in one\n" +
			"process for development, and what people and pipelines work with.\n\n" +
			"Variables of the process's environment stand in for flags; a flag wins:\n" +
			"  $" + serverVariable + "           --server, of commands to a control server\n" +
			"  $" + relayVariable + "            --relay, of commands to a relay\n" +
			"  $" + environmentVariable + "      --environment\n" +
			"  $" + keyFileVariable + "         --key-file, of commands to a control server\n" +
			"  $" + relayKeyFileVariable + "   --key-file, of commands to a relay\n" +
			"  $" + tlsVariable + ", and with _CA, _CERT, _KEY: --tls, --tls-ca, --tls-cert, --tls-key\n\n" +
			"The exit code is 0; 1 where something failed; 2 where the command line is wrong, and then\n" +
			"nothing was done.",
		Example: "  tidegate dev\n" +
			"  tidegate flag list --environment production\n" +
			"  tidegate flag disable new-checkout --environment production --reason \"checkout errors\"",
		Version:       version.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(
		newDevCommand(io),
		newServerCommand(io),
		newFlagCommand(io),
		newSegmentCommand(io),
		newRolloutCommand(io),
		newRequestCommand(io),
		newPanicCommand(io),
		newEnvironmentCommand(io),
		newKeyCommand(io),
		newIdentityCommand(io),
		newLoginCommand(io),
		newLogoutCommand(io),
		newAuditCommand(io),
		newEpochCommand(io),
		newBackupCommand(io),
		newRestoreCommand(io),
		newRelayCommand(io),
		newNotificationCommand(io),
		newEvaluateCommand(io),
		newApplyCommand(io),
		newExportCommand(io),
		newRefsCommand(io),
		newMatrixCommand(io),
	)
	root.InitDefaultCompletionCmd() // now, not at execution, so that markStart finds it
	return root
}

// markStart has every command tell that it was called as it should be: what fails
// before is a mistake in the command line. A command that only groups others takes no
// arguments of its own.
func markStart(cmd *cobra.Command, started *bool) {
	body := cmd.RunE
	switch {
	case body != nil:
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*started = true
			return body(cmd, args)
		}
	case cmd.HasParent() && cmd.HasSubCommands():
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q for %q", args[0], cmd.CommandPath())
			}
			return cmd.Help()
		}
	}
	for _, c := range cmd.Commands() {
		markStart(c, started)
	}
}

// usageError is a mistake in the command line that only the command can see.
type usageError struct{ problem string }

func (e *usageError) Error() string { return e.problem }

// usagef reports a mistake in the command line: exit code 2.
func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// usageProblem is an error of cobra's, which puts what might have been meant on lines of
// their own.
func usageProblem(err error) string {
	problem, meant, ok := strings.Cut(err.Error(), "\n\nDid you mean this?\n")
	if !ok {
		return problem
	}
	return problem + "; did you mean " + strings.Join(strings.Fields(meant), " or ") + "?"
}

// describe is an error as people read it: a server's message without gRPC's frame.
func describe(err error) string {
	var framed interface {
		error
		GRPCStatus() *status.Status
	}
	if !errors.As(err, &framed) {
		return err.Error()
	}
	st := framed.GRPCStatus()
	return strings.Replace(err.Error(), framed.Error(), fmt.Sprintf("%s (%s)", st.Message(), st.Code()), 1)
}
