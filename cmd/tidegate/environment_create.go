package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func newEnvironmentCreateCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	r := &controlv1.CreateEnvironmentRequest{}
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an environment, empty or as a copy of another one",
		Long: "Make an environment, empty or with all flags and segments that another one has now, and with\n" +
			"what holds for that one as a whole ('environment get'), but for files and the order. Keys and\n" +
			"rollouts are not copied: give keys to it with 'key update', or relays cannot follow it.\n\n" +
			"All servers serve it at once, and whole: nobody sees a part of it. A copy that was interrupted\n" +
			"is started over by the same command. An environment cannot be deleted.\n\n" +
			"The copy of a protected environment is protected, so that its name is typed, or --confirm says it.",
		Example: "  tidegate environment create load-test --reason \"a place to break things\"\n" +
			"  tidegate environment create production-eu --from production --disable --reason \"a new region\"",
		Args: oneEnvironment,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireReason(); err != nil {
				return err
			}
			if r.GetDisable() && r.GetFromEnvironment() == "" {
				return usagef("--disable without --from: an empty environment has no flags")
			}
			if !cmd.Flags().Changed("timeout") {
				o.timeout = restoreTimeout
			}
			r.Name, r.Reason, r.RequestId = args[0], o.reason, newRequestID()
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := write(ctx, c, c.environments.CreateEnvironment, r)
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) { writeCreated(out, r, response) })
			})
		},
	}
	f := cmd.Flags()
	o.registerServer(f)
	o.registerReason(f)
	o.registerConfirm(f)
	f.StringVar(&r.FromEnvironment, "from", "", "environment to copy; empty: none")
	f.BoolVar(&r.Disable, "disable", false, "disable all flags in the copy")
	return cmd
}

func writeCreated(out io.Writer, r *controlv1.CreateEnvironmentRequest, response *controlv1.CreateEnvironmentResponse) {
	fmt.Fprintf(out, "%s made at revision %d", r.GetName(), response.GetRevision())
	if from := r.GetFromEnvironment(); from != "" {
		fmt.Fprintf(out, ": %d flags and segments of %s as of revision %d", response.GetCopied(), from, response.GetSourceRevision())
		if r.GetDisable() {
			fmt.Fprint(out, ", disabled")
		}
	}
	fmt.Fprintln(out)
	if response.GetSettings().GetProtected() {
		fmt.Fprintln(out, "protected: it takes an operator to write here")
	}
}
