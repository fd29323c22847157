package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// panicOptions are the flags of 'tidegate panic'.
type panicOptions struct {
	*clientOptions
	environments []string
	until        string
	lasts        string
}

func newPanicCommand(streams *streams) *cobra.Command {
	o := &panicOptions{clientOptions: newClientOptions()}
	cmd := &cobra.Command{
		Use:   "panic",
		Short: "Freeze all rollouts and all writes but those that make it safer",
		Long: "Freeze environments, all of them unless some are named: from now on nothing is changed there\n" +
			"but what makes it safer. What still works: 'flag disable', 'flag enable' of operational flags,\n" +
			"'rollout pause' and 'abort', 'environment restore', keys and identities. Rollouts hold; what\n" +
			"is bad is shut as ever.\n\n" +
			"It works whatever else goes on. What is frozen already stays so, and is never shortened.\n" +
			"At a terminal the reason is asked for if it is missing; nothing else is.",
		Example: "  tidegate panic --reason \"checkout is down\"\n" +
			"  tidegate panic -e production --for 2h --reason \"checkout is down\"\n" +
			"  tidegate panic status\n" +
			"  tidegate panic lift --reason \"it is up\"",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			until, err := o.end(time.Now())
			if err != nil {
				return err
			}
			if err := o.askReason(streams); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := write(ctx, c, c.freezes.Freeze, &controlv1.FreezeRequest{
					Environments: o.environments, Until: until, Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) { c.writeFrozen(out, response) })
			})
		},
	}
	o.register(cmd)
	cmd.Flags().StringVar(&o.until, "until", "", "when it ends by itself, such as 2026-11-27T18:00:00Z (default: when it is lifted)")
	cmd.Flags().StringVar(&o.lasts, "for", "", "how long it lasts, such as 2h, in place of --until")
	cmd.AddCommand(newPanicLiftCommand(streams), newPanicStatusCommand(streams))
	return cmd
}

func (o *panicOptions) register(cmd *cobra.Command) {
	o.registerServer(cmd.Flags())
	o.registerReason(cmd.Flags())
	cmd.Flags().StringSliceVarP(&o.environments, "environment", "e", nil, "environment; may be repeated (default: all)")
}

// end is when the freeze ends; nil: when it is lifted.
func (o *panicOptions) end(now time.Time) (*timestamppb.Timestamp, error) {
	switch {
	case o.until != "" && o.lasts != "":
		return nil, usagef("--until and --for: give one of them")
	case o.lasts != "":
		d, err := rollout.ParseDuration(o.lasts)
		if err != nil {
			return nil, usagef("--for: %v", err)
		}
		return timestamppb.New(now.Add(d)), nil
	case o.until != "":
		at, err := time.Parse(time.RFC3339, o.until)
		if err != nil {
			return nil, usagef("--until %s: want a time such as %s", o.until, now.UTC().Add(time.Hour).Format(time.RFC3339))
		}
		return timestamppb.New(at), nil
	}
	return nil, nil
}

// askReason asks for the reason at a terminal, if it is missing: nobody in a hurry reads an error.
func (o *panicOptions) askReason(streams *streams) error {
	if strings.TrimSpace(o.reason) == "" && isTerminal(streams.in) {
		fmt.Fprint(streams.err, "Why? ")
		line, _ := bufio.NewReader(streams.in).ReadString('\n') // the end of the input is no reason
		o.reason = strings.TrimSpace(line)
	}
	return o.requireReason()
}

func (c *client) writeFrozen(out io.Writer, r *controlv1.FreezeResponse) {
	if r.GetEntry() == nil {
		fmt.Fprintf(out, "already frozen, at revision %d:\n", r.GetRevision())
	} else {
		fmt.Fprintf(out, "%s at revision %d:\n", c.paint.red("frozen"), r.GetRevision())
	}
	c.writeFreezes(out, r.GetFreezes())
	fmt.Fprintln(out, "what still works: flag disable, rollout pause and abort, environment restore; tidegate panic lift ends it")
}

func (c *client) writeFreezes(out io.Writer, freezes []*controlv1.Freeze) {
	for _, f := range freezes {
		name := singleLine(f.GetEnvironment())
		if name == "" {
			name = "all environments"
		}
		until := "until it is lifted"
		if f.GetUntil() != nil {
			until = "until " + timeText(f.GetUntil())
		}
		fmt.Fprintf(out, "  %s, %s, by %s since %s: %s\n", c.paint.bold(name), until, actorText(f.GetActor()), timeText(f.GetSince()), singleLine(f.GetReason()))
	}
}

func newPanicLiftCommand(streams *streams) *cobra.Command {
	o := &panicOptions{clientOptions: newClientOptions()}
	cmd := &cobra.Command{
		Use:   "lift",
		Short: "Lift what was frozen: all of it unless environments are named",
		Example: "  tidegate panic lift --reason \"it is up\"\n" +
			"  tidegate panic lift --environment staging --reason \"it is up\"",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.requireReason(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := write(ctx, c, c.freezes.Lift, &controlv1.LiftRequest{
					Environments: o.environments, Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) { c.writeLifted(out, response) })
			})
		},
	}
	o.register(cmd)
	return cmd
}

func (c *client) writeLifted(out io.Writer, r *controlv1.LiftResponse) {
	if r.GetEntry() == nil {
		fmt.Fprintln(out, "there was nothing to lift")
	} else {
		fmt.Fprintf(out, "lifted at revision %d\n", r.GetEntry().GetRevision())
	}
	if len(r.GetFreezes()) > 0 {
		fmt.Fprintln(out, "still frozen:")
		c.writeFreezes(out, r.GetFreezes())
	}
}

func newPanicStatusCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show which environments are frozen, by whom or which window, and what comes next",
		Example: "  tidegate panic status",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.freezes.GetFreeze, &controlv1.GetFreezeRequest{})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					for _, e := range response.GetEnvironments() {
						c.writeStanding(out, e)
					}
				})
			})
		},
	}
	o.registerServer(cmd.Flags())
	return cmd
}

// writeStanding tells how one environment stands.
func (c *client) writeStanding(out io.Writer, e *controlv1.EnvironmentFreeze) {
	name := c.paint.bold(singleLine(e.GetEnvironment()))
	switch {
	case len(e.GetFrozen()) == 0:
		fmt.Fprintf(out, "%s is not frozen\n", name)
	case e.GetUntil() != nil:
		fmt.Fprintf(out, "%s is %s until %s\n", name, c.paint.red("frozen"), timeText(e.GetUntil()))
	default:
		fmt.Fprintf(out, "%s is %s\n", name, c.paint.red("frozen"))
	}
	for _, f := range e.GetFrozen() {
		fmt.Fprintf(out, "  %s\n", frozenLine(f))
	}
	if next := e.GetNext(); next != nil {
		fmt.Fprintf(out, "  next: window %s, %s to %s\n", singleLine(next.GetWindow()), timeText(next.GetSince()), timeText(next.GetUntil()))
	}
}

// frozenLine tells by what an environment is frozen.
func frozenLine(f *rolloutv1.Frozen) string {
	what := "by " + actorText(f.GetActor())
	switch {
	case f.GetWindow() != "":
		what = "in window " + singleLine(f.GetWindow())
	case f.GetEverywhere():
		what += ", with all environments,"
	}
	until := "until it is lifted"
	if f.GetUntil() != nil {
		until = "until " + timeText(f.GetUntil())
	}
	line := fmt.Sprintf("%s since %s, %s", what, timeText(f.GetSince()), until)
	if f.GetReason() != "" {
		line += ": " + singleLine(f.GetReason())
	}
	return line
}
