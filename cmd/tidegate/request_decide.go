package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func newRequestApproveCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "approve NUMBER",
		Short:   "Approve a change request that somebody else proposed",
		Example: "  tidegate request get 42 --environment production\n  tidegate request approve 42 --environment production --comment \"as discussed\"",
		Args:    oneNumber,
		RunE: func(cmd *cobra.Command, args []string) error {
			number, _ := requestNumber(args[0]) // oneNumber has looked
			if err := o.requireEnvironment(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := write(ctx, c, c.changeRequests.ApproveChangeRequest, &controlv1.ApproveChangeRequestRequest{
					Environment: o.environment, Number: number, Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					has := len(response.GetChangeRequest().GetApprovals()) - len(response.GetUncountedApprovals())
					wanted := int(response.GetApprovalsRequired())
					if response.GetEntry() == nil {
						fmt.Fprintf(out, "#%d was approved by you before; it has %s of %d\n", number, counted(has, "approval"), wanted)
						return
					}
					fmt.Fprintf(out, "#%d approved; it has %s of %d\n", number, counted(has, "approval"), wanted)
					if at := response.GetChangeRequest().GetApplyAt(); at != nil {
						fmt.Fprintf(out, "it is applied at %s\n", timeText(at))
					} else if has >= wanted {
						fmt.Fprintf(out, "to apply it: tidegate request apply %d --environment %s\n", number, o.environment)
					}
				})
			})
		},
	}
	o.registerEnvironment(cmd.Flags())
	cmd.Flags().StringVar(&o.reason, "comment", "", "what to say of it")
	return cmd
}

func newRequestRejectCommand(streams *streams) *cobra.Command {
	return newRequestEndCommand(streams, &cobra.Command{
		Use:     "reject NUMBER",
		Short:   "End a change request: it can no longer be applied",
		Example: "  tidegate request reject 42 --environment production --reason \"not before the holidays\"",
	}, "rejected", func(ctx context.Context, c *client, number int64) (proto.Message, error) {
		return write(ctx, c, c.changeRequests.RejectChangeRequest, &controlv1.RejectChangeRequestRequest{
			Environment: c.environment, Number: number, Reason: c.reason, RequestId: newRequestID(),
		})
	})
}

func newRequestWithdrawCommand(streams *streams) *cobra.Command {
	return newRequestEndCommand(streams, &cobra.Command{
		Use:     "withdraw NUMBER",
		Short:   "End a change request of your own",
		Example: "  tidegate request withdraw 42 --environment production --reason \"there is a better way\"",
	}, "withdrawn", func(ctx context.Context, c *client, number int64) (proto.Message, error) {
		return write(ctx, c, c.changeRequests.WithdrawChangeRequest, &controlv1.WithdrawChangeRequestRequest{
			Environment: c.environment, Number: number, Reason: c.reason, RequestId: newRequestID(),
		})
	})
}

// newRequestEndCommand completes a command that ends a change request unapplied.
func newRequestEndCommand(streams *streams, cmd *cobra.Command, ended string, end func(context.Context, *client, int64) (proto.Message, error)) *cobra.Command {
	o := newClientOptions()
	cmd.Args = oneNumber
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		number, _ := requestNumber(args[0]) // oneNumber has looked
		if err := o.requireWrite(); err != nil {
			return err
		}
		return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
			response, err := end(ctx, c, number)
			if err != nil {
				return err
			}
			return c.show(response, func(out io.Writer) { fmt.Fprintf(out, "#%d %s\n", number, ended) })
		})
	}
	o.registerWrite(cmd.Flags())
	return cmd
}

func newRequestApplyCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var now bool
	cmd := &cobra.Command{
		Use:     "apply NUMBER",
		Short:   "Write what a change request says",
		Long:    "Write what a change request says, in one transaction, if it has the approvals that the\nenvironment asks for and nobody has changed what it changes since it was proposed. Approvals count of people who may\nstill write what it names. One that is to be applied later is not, unless --now says that\nthis is meant; the audit trail shows it.",
		Example: "  tidegate request apply 42 --environment production\n  tidegate request apply 43 --environment production --now",
		Args:    oneNumber,
		RunE: func(cmd *cobra.Command, args []string) error {
			number, _ := requestNumber(args[0]) // oneNumber has looked
			if err := o.requireEnvironment(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := write(ctx, c, c.changeRequests.ApplyChangeRequest, &controlv1.ApplyChangeRequestRequest{
					Environment: o.environment, Number: number, RequestId: newRequestID(), Now: now,
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					early := ""
					if r := response.GetChangeRequest(); r.GetAppliedEarly() {
						early = ", before its time, " + timeText(r.GetApplyAt())
					}
					fmt.Fprintf(out, "#%d applied to %s at revision %d%s\n", number, o.environment, response.GetRevision(), early)
				})
			})
		},
	}
	o.registerEnvironment(cmd.Flags())
	o.registerConfirm(cmd.Flags())
	cmd.Flags().BoolVar(&now, "now", false, "also before the time at which it is to be applied")
	return cmd
}
