package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func newFlagDeleteCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var force bool
	cmd := &cobra.Command{
		Use:     "delete KEY",
		Short:   "Delete a flag; its history stays, and can bring it back",
		Example: "  tidegate flag delete new-checkout --environment production --reason \"everybody has it\"",
		Long: "Delete a flag. Its history stays, and can bring it back.\n\n" +
			"A flag that others need as a prerequisite is not deleted. Nor is one that relays have told\n" +
			"was evaluated in the last hour, unless --force is given: who asks for it gets the caller's\n" +
			"own default from then on.",
		Args: oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireWrite(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				current, err := c.flagVersion(ctx, args[0])
				if err != nil {
					return err
				}
				if o.proposing.on {
					return c.propose(ctx, &controlv1.ProposeChangeRequestRequest{Deletes: []*controlv1.ResourceDelete{{
						Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: args[0], BaseRevision: current.GetRevision(), Force: force,
					}}})
				}
				response, err := write(ctx, c, c.flags.DeleteFlag, &controlv1.DeleteFlagRequest{
					Environment: o.environment, FlagKey: args[0], BaseRevision: current.GetRevision(),
					Reason: o.reason, RequestId: newRequestID(), Force: force,
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					fmt.Fprintf(out, "%s deleted in %s at revision %d\n", args[0], o.environment, response.GetEntry().GetRevision())
					fmt.Fprintf(out, "to bring it back: tidegate flag restore %s --revision %d --environment %s --reason \"...\"\n",
						args[0], current.GetRevision(), o.environment)
				})
			})
		},
	}
	o.registerWrite(cmd.Flags())
	o.registerPropose(cmd.Flags())
	cmd.Flags().BoolVar(&force, "force", false, "delete it although it is evaluated")
	return cmd
}
