// Command tidegate-relay is the lightweight edge process: it follows environments from
// a tidegate server or another relay, or serves files, and answers evaluations from
// memory.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/tidegate/tidegate/internal/manifest"
	"github.com/tidegate/tidegate/relay"
)

// Exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(execute(ctx, os.Args[1:]))
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string) int {
	cmd := newCommand(os.Getenv, serve) //nolint:contextcheck // cobra hands it on
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(os.Stderr, "error: %s (see 'tidegate-relay --help')\n", oneLine(err))
		return exitUsage
	}
	text := oneLine(err)
	var inFiles manifest.Errors
	if errors.As(err, &inFiles) {
		text = err.Error() // many, each with its place: a line each
	}
	fmt.Fprintf(os.Stderr, "error: %s\n", text)
	return exitFailure
}

// serve runs a relay until ctx ends.
func serve(ctx context.Context, o relay.Options) error {
	var slack reserve
	defer runtime.KeepAlive(&slack)
	o.Loaded = func() { slack.take(os.Getenv) }
	r, err := relay.Open(ctx, o)
	switch {
	case err != nil && errors.Is(err, ctx.Err()):
		return nil // told to end while it waited for files to be at rest
	case err != nil:
		return err
	}
	return r.Run(ctx)
}

// usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
