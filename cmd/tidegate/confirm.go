package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// registerConfirm adds --confirm to a command that writes into an environment: where that is
// protected, a person types its name first.
func (o *clientOptions) registerConfirm(f *pflag.FlagSet) {
	o.confirms = true
	f.StringVar(&o.confirm, "confirm", "", "`name` of the environment, if it is protected: what is typed at a terminal")
}

// confirmWrite has a write confirmed that needs it.
func (c *client) confirmWrite(ctx context.Context, r proto.Message) error {
	environment := writtenTo(r)
	if !c.confirms || environment == "" {
		return nil
	}
	_, err := c.confirmProtected(ctx, environment)
	return err
}

// writtenTo is the environment that a request writes into; empty: none, or nothing that has to be
// confirmed: what makes it safer must be quick.
func writtenTo(r proto.Message) string {
	switch r := r.(type) {
	case *controlv1.SetEnabledRequest:
		if !r.GetEnabled() {
			return ""
		}
	case *controlv1.PauseRolloutRequest, *controlv1.AbortRolloutRequest:
		return ""
	case *controlv1.ProposeChangeRequestRequest, *controlv1.ApproveChangeRequestRequest,
		*controlv1.RejectChangeRequestRequest, *controlv1.WithdrawChangeRequestRequest:
		return "" // to apply it is what writes
	case *controlv1.PromoteFlagRequest:
		return r.GetToEnvironment()
	}
	if r, ok := r.(interface{ GetEnvironment() string }); ok {
		return r.GetEnvironment()
	}
	return ""
}

// confirmProtected has a person type the name of a protected environment, once a command; it tells
// whether it is one.
func (c *client) confirmProtected(ctx context.Context, environment string) (bool, error) {
	if c.confirm != "" && c.confirm != environment {
		return false, usagef("--confirm %s: this writes into %s; nothing was written", c.confirm, environment)
	}
	if c.confirm != "" || c.confirmed == environment {
		return true, nil
	}
	stands, err := c.standing(ctx, environment)
	switch {
	case err != nil:
		return false, err
	case !stands.GetProtected():
		return false, nil
	case !isTerminal(c.in):
		return true, usagef("%s is protected, and there is no terminal to ask at: pass --confirm %s; nothing was written", environment, environment)
	}
	fmt.Fprintf(c.err, "%s is protected. This will be done, because %q:\n  tidegate %s\n", environment, singleLine(c.reason), commandLine(c.args))
	if err := c.confirmTyped(fmt.Sprintf("Type %s to do it: ", environment), environment); err != nil {
		return true, err
	}
	c.confirmed = environment
	return true, nil
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
