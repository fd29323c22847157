package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func newEnvironmentCommand(io *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "environment",
		Short: "Make, compare, promote and restore environments, and set what holds for each",
	}
	cmd.AddCommand(
		newEnvironmentListCommand(io),
		newEnvironmentCreateCommand(io),
		newEnvironmentGetCommand(io),
		newEnvironmentSetCommand(io),
		newEnvironmentHistoryCommand(io),
		newEnvironmentCompareCommand(io),
		newEnvironmentPromoteCommand(io),
		newEnvironmentRestoreCommand(io),
	)
	return cmd
}

func newEnvironmentListCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the environments, and the state that the server streams to relays",
		Example: "  tidegate environment list",
		Long: "List the environments, and the state that the server streams to relays. Servers and\n" +
			"relays with the same digest hold the same flags and segments.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.environments.ListEnvironments, &controlv1.ListEnvironmentsRequest{})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) { c.writeEnvironments(out, response) })
			})
		},
	}
	o.registerServer(cmd.Flags())
	return cmd
}

func (c *client) writeEnvironments(out io.Writer, response *controlv1.ListEnvironmentsResponse) {
	if len(response.GetEnvironments()) == 0 {
		fmt.Fprintln(out, "no environments")
		return
	}
	t := table{paint: c.paint, header: []string{"NAME", "FLAGS", "SEGMENTS", "REVISION", "DIGEST"}}
	for _, e := range response.GetEnvironments() {
		t.add(cell{singleLine(e.GetName()), c.paint.bold}, number(int64(e.GetFlagCount())), number(int64(e.GetSegmentCount())),
			number(e.GetCursor().GetRevision()), cell{text: hex.EncodeToString(e.GetCursor().GetDigest())})
	}
	t.write(out)
}
