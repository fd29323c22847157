package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// Whoever writes into a protected environment names it: by typing its name at a terminal, or with
// --confirm. Every command that writes into an environment has that flag, also what asks nothing
// because it makes the environment safer (to disable a flag, to pause or abort a rollout), so that
// a pipeline can always pass it; what it names must be what is written.
const (
	confirmUsage = "`ENVIRONMENT` that is written, where it is protected: in place of typing its name at a terminal"
	yesUsage     = "do not ask; a protected environment takes --confirm all the same"
)

func (o *clientOptions) registerConfirm(f *pflag.FlagSet) {
	o.confirms = true
	f.StringVar(&o.confirm, "confirm", "", confirmUsage)
}

// confirmWrite has a write confirmed that needs it.
func (c *client) confirmWrite(ctx context.Context, r proto.Message) error {
	if !c.confirms {
		return nil
	}
	_, err := c.confirmProtected(ctx, writingOf(r))
	return err
}

// writing is what a request writes into.
type writing struct {
	environment string // empty: none
	// protectedWith is the environment whose protection counts; empty: nothing is asked.
	protectedWith string
}

func writingInto(environment string) writing { return writing{environment, environment} }

// writingOf is what a request writes into: nothing is asked for what makes it safer, which must be
// quick, nor for what is only proposed.
func writingOf(r proto.Message) writing {
	w := writing{}
	switch r := r.(type) {
	case interface{ GetToEnvironment() string }:
		w = writingInto(r.GetToEnvironment())
	case interface{ GetEnvironment() string }:
		w = writingInto(r.GetEnvironment())
	}
	switch r := r.(type) {
	case *controlv1.SetEnabledRequest:
		if !r.GetEnabled() {
			w.protectedWith = ""
		}
	case *controlv1.PauseRolloutRequest, *controlv1.AbortRolloutRequest,
		*controlv1.ProposeChangeRequestRequest, *controlv1.ApproveChangeRequestRequest,
		*controlv1.RejectChangeRequestRequest, *controlv1.WithdrawChangeRequestRequest:
		w.protectedWith = ""
	case *controlv1.CreateEnvironmentRequest: // a copy is protected as its source is
		w = writing{r.GetName(), r.GetFromEnvironment()}
	}
	return w
}

// confirmProtected has a person type the name of a protected environment, once a command; it tells
// whether it is one.
func (c *client) confirmProtected(ctx context.Context, w writing) (bool, error) {
	switch {
	case c.confirm != "" && w.environment != "" && c.confirm != w.environment:
		return false, usagef("--confirm %s: this writes into %s; nothing was written", c.confirm, w.environment)
	case w.protectedWith == "":
		return false, nil
	case c.confirm == w.environment, c.confirmed == w.environment:
		return true, nil
	}
	stands, err := c.standing(ctx, w.protectedWith)
	if err != nil || !stands.GetProtected() {
		return false, err
	}
	why := w.environment + " is protected"
	if w.protectedWith != w.environment {
		why = fmt.Sprintf("%s will be protected, as %s is", w.environment, w.protectedWith)
	}
	if !isTerminal(c.in) {
		return true, noTerminal(why+", and there", w.environment)
	}
	fmt.Fprintf(c.err, "%s. This will be done, because %q:\n  tidegate %s\n", why, singleLine(c.reason), commandLine(c.args))
	if err := c.confirmTyped(fmt.Sprintf("Type %s to do it: ", w.environment), w.environment); err != nil {
		return true, err
	}
	c.confirmed = w.environment
	return true, nil
}

// noTerminal says what to pass where nobody can be asked.
func noTerminal(there, environment string) error {
	return usagef("%s is no terminal to ask at: pass --confirm %s; nothing was written", there, environment)
}

// confirmShown has a person type the environment's name, protected or not, after what would change
// was shown; unless the command line says beforehand that it shall be done.
func (c *client) confirmShown(yes bool, toDo string, show func(io.Writer)) error {
	if yes || c.confirm != "" {
		return nil
	}
	show(c.err)
	if !isTerminal(c.in) {
		return noTerminal("there", c.environment)
	}
	if err := c.confirmTyped(fmt.Sprintf("Type %s to %s it: ", c.environment, toDo), c.environment); err != nil {
		return err
	}
	c.confirmed = c.environment
	return nil
}

// standing tells how an environment stands; nil: a server of an earlier version does not say.
func (c *client) standing(ctx context.Context, environment string) (*controlv1.EnvironmentFreeze, error) {
	all, err := read(ctx, c, c.freezes.GetFreeze, &controlv1.GetFreezeRequest{})
	if status.Code(err) == codes.Unimplemented {
		return nil, nil
	}
	for _, e := range all.GetEnvironments() {
		if e.GetEnvironment() == environment {
			return e, nil
		}
	}
	return nil, err
}

// commandLine is what was typed, so that it can be read; what is long is cut.
func commandLine(args []string) string {
	const longest = 300
	words := make([]string, 0, len(args))
	for _, arg := range args {
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'\\$`") {
			arg = strconv.Quote(arg)
		}
		words = append(words, arg)
	}
	line := []rune(singleLine(strings.Join(words, " ")))
	if len(line) > longest {
		return string(line[:longest]) + "..."
	}
	return string(line)
}
