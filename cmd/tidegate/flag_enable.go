package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// newFlagEnableCommand is 'enable' or, the kill switch, 'disable'. It reads nothing
// first: a kill switch is one short call.
func newFlagEnableCommand(streams *streams, enabled bool) *cobra.Command {
	o := newClientOptions()
	wait := defaultReceiptWait
	verb, done, effect, seen := "disable", "disabled", "every context gets its off variant", "enforced"
	if enabled {
		verb, done, effect, seen = "enable", "enabled", "its rules decide again", "in force"
	}
	cmd := &cobra.Command{
		Use:   verb + " KEY",
		Short: "Turn a flag " + map[bool]string{true: "on", false: "off: the kill switch"}[enabled],
		Long: "Turn a flag " + map[bool]string{true: "on", false: "off"}[enabled] + ", whatever its current revision: " + effect + ".\n\n" +
			"Then waits for the relays, and tells how many have it, and who does not. That not all\n" +
			"have it is no failure: the flag is " + done + ", and they get it when they can.",
		Example: "  tidegate flag " + verb + ` new-checkout --environment production --reason "..."`,
		Args:    oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireWrite(); err != nil {
				return err
			}
			if wait < 0 {
				return usagef("--wait %v: expected a duration, or 0 not to wait", wait)
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				if o.proposing.on {
					return c.proposeEnabled(ctx, args[0])
				}
				response, err := write(ctx, c, c.flags.SetEnabled, &controlv1.SetEnabledRequest{
					Environment: o.environment, FlagKey: args[0], Enabled: enabled, Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				revision, receipt := response.GetFlag().GetRevision(), ""
				if wait > 0 {
					receipt = c.enforced(ctx, seen, revision, wait)
				}
				return c.show(response, func(out io.Writer) {
					if response.GetEntry() == nil {
						fmt.Fprintf(out, "%s is already %s in %s, at revision %d%s\n", args[0], done, o.environment, revision, receipt)
						return
					}
					fmt.Fprintf(out, "%s %s in %s at revision %d%s\n", args[0], done, o.environment, revision, receipt)
				})
			})
		},
	}
	o.registerWrite(cmd.Flags())
	if enabled {
		o.registerPropose(cmd.Flags())
	}
	cmd.Flags().DurationVar(&wait, "wait", wait, "how long to wait for the relays; 0: not at all")
	return cmd
}

// proposeEnabled proposes to turn a flag on.
func (c *client) proposeEnabled(ctx context.Context, key string) error {
	current, err := c.flagVersion(ctx, key)
	if err != nil {
		return err
	}
	current.GetFlag().Enabled = true
	return c.propose(ctx, &controlv1.ProposeChangeRequestRequest{Flags: []*controlv1.FlagWrite{flagWrite(current.GetFlag(), current.GetRevision())}})
}
