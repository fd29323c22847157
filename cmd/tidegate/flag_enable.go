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
	verb, done, effect := "disable", "disabled", "every context gets its off variant"
	if enabled {
		verb, done, effect = "enable", "enabled", "its rules decide again"
	}
	cmd := &cobra.Command{
		Use:     verb + " KEY",
		Short:   "Turn a flag " + map[bool]string{true: "on", false: "off: the kill switch"}[enabled],
		Long:    "Turn a flag " + map[bool]string{true: "on", false: "off"}[enabled] + ", whatever its current revision: " + effect + ".",
		Example: "  tidegate flag " + verb + ` new-checkout --environment production --reason "..."`,
		Args:    oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireWrite(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := write(ctx, c, c.flags.SetEnabled, &controlv1.SetEnabledRequest{
					Environment: o.environment, FlagKey: args[0], Enabled: enabled, Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					if response.GetEntry() == nil {
						fmt.Fprintf(out, "%s is already %s in %s, at revision %d\n", args[0], done, o.environment, response.GetFlag().GetRevision())
						return
					}
					fmt.Fprintf(out, "%s %s in %s at revision %d\n", args[0], done, o.environment, response.GetFlag().GetRevision())
				})
			})
		},
	}
	o.registerWrite(cmd.Flags())
	return cmd
}
