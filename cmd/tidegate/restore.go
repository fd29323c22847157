package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func newFlagRestoreCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var revision int64
	cmd := &cobra.Command{
		Use:     "restore KEY --revision N",
		Short:   "Write an earlier version of a flag again, also of one that was deleted",
		Example: "  tidegate flag history new-checkout --environment production\n  tidegate flag restore new-checkout --revision 41 --environment production --reason \"back to what worked\"",
		Args:    oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireRestore(revision); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				current, err := c.flagVersion(ctx, args[0])
				if err != nil && !isNotFound(err) { // a deleted flag has no current version
					return err
				}
				response, err := write(ctx, c, c.flags.RestoreFlag, &controlv1.RestoreFlagRequest{
					Environment: o.environment, FlagKey: args[0], Revision: revision, BaseRevision: current.GetRevision(),
					Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					c.writeRestored(out, args[0], revision, response.GetFlag().GetRevision(), response.GetEntry())
				})
			})
		},
	}
	o.registerWrite(cmd.Flags())
	registerRevision(cmd, &revision)
	return cmd
}

func newSegmentRestoreCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var revision int64
	cmd := &cobra.Command{
		Use:   "restore KEY --revision N",
		Short: "Write an earlier version of a segment again, also of one that was deleted",
		Example: "  tidegate segment history staff --environment production\n" +
			"  tidegate segment restore staff --revision 41 --environment production --reason \"as it was\"",
		Args: oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireRestore(revision); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				current, err := c.segmentVersion(ctx, args[0])
				if err != nil && !isNotFound(err) {
					return err
				}
				response, err := write(ctx, c, c.segments.RestoreSegment, &controlv1.RestoreSegmentRequest{
					Environment: o.environment, SegmentKey: args[0], Revision: revision, BaseRevision: current.GetRevision(),
					Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					c.writeRestored(out, args[0], revision, response.GetSegment().GetRevision(), response.GetEntry())
				})
			})
		},
	}
	o.registerWrite(cmd.Flags())
	registerRevision(cmd, &revision)
	return cmd
}

func registerRevision(cmd *cobra.Command, revision *int64) {
	cmd.Flags().Int64Var(revision, "revision", 0, "revision of the version to write again, from the history; required")
}

func (o *clientOptions) requireRestore(revision int64) error {
	if revision <= 0 {
		return usagef("say which version: --revision N, from the history")
	}
	return o.requireWrite()
}

func (c *client) writeRestored(out io.Writer, key string, revision, now int64, entry *controlv1.AuditEntry) {
	if entry == nil {
		fmt.Fprintf(out, "%s in %s is already as it was at revision %d\n", key, c.environment, revision)
		return
	}
	fmt.Fprintf(out, "%s in %s is as it was at revision %d again, at revision %d\n", key, c.environment, revision, now)
	writeChanges(out, c.paint, "  ", entry.GetChanges())
}
