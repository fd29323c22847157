package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
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
				if o.proposing.on {
					earlier, err := c.flagAt(ctx, args[0], revision)
					if err != nil {
						return err
					}
					return c.propose(ctx, &controlv1.ProposeChangeRequestRequest{Flags: []*controlv1.FlagWrite{{
						Flag: earlier, BaseRevision: proto.Int64(current.GetRevision()),
					}}})
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
	o.registerPropose(cmd.Flags())
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
				if o.proposing.on {
					earlier, err := c.segmentAt(ctx, args[0], revision)
					if err != nil {
						return err
					}
					return c.propose(ctx, &controlv1.ProposeChangeRequestRequest{Segments: []*controlv1.SegmentWrite{{
						Segment: earlier, BaseRevision: proto.Int64(current.GetRevision()),
					}}})
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
	o.registerPropose(cmd.Flags())
	registerRevision(cmd, &revision)
	return cmd
}

// flagAt is a flag as it was written at a revision, which a change request proposes to write again.
func (c *client) flagAt(ctx context.Context, key string, revision int64) (*flagv1.Flag, error) {
	e, err := c.entryAt("flag", key, revision, func(size int32, token string) ([]*controlv1.AuditEntry, string, error) {
		page, err := read(ctx, c, c.flags.ListFlagHistory, &controlv1.ListFlagHistoryRequest{
			Environment: c.environment, FlagKey: key, PageSize: size, PageToken: token,
		})
		return page.GetEntries(), page.GetNextPageToken(), err
	})
	return e.GetFlag(), err
}

// segmentAt is a segment as it was written at a revision.
func (c *client) segmentAt(ctx context.Context, key string, revision int64) (*flagv1.Segment, error) {
	e, err := c.entryAt("segment", key, revision, func(size int32, token string) ([]*controlv1.AuditEntry, string, error) {
		page, err := read(ctx, c, c.segments.ListSegmentHistory, &controlv1.ListSegmentHistoryRequest{
			Environment: c.environment, SegmentKey: key, PageSize: size, PageToken: token,
		})
		return page.GetEntries(), page.GetNextPageToken(), err
	})
	return e.GetSegment(), err
}

// entryAt is the entry of a history that wrote a version at a revision.
func (c *client) entryAt(kind, key string, revision int64, page func(size int32, token string) ([]*controlv1.AuditEntry, string, error)) (*controlv1.AuditEntry, error) {
	for token := ""; ; {
		entries, next, err := page(largestPage, token)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			switch {
			case e.GetRevision() != revision:
			case e.GetAction() == controlv1.Action_ACTION_DELETED:
				return nil, fmt.Errorf("%s %q in %s was deleted at revision %d: name the revision before, %d", kind, key, c.environment, revision, e.GetPreviousRevision())
			default:
				return e, nil
			}
		}
		if token = next; token == "" {
			return nil, fmt.Errorf("%s %q in %s has no version at revision %d: 'tidegate %s history %s --environment %s' names those that there are", kind, key, c.environment, revision, kind, key, c.environment)
		}
	}
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
