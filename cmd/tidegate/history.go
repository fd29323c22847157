package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	defaultHistory = 20
	// largestPage of audit entries.
	largestPage = 100
)

func newFlagHistoryCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var limit int
	cmd := &cobra.Command{
		Use:     "history KEY",
		Short:   "Show who changed a flag, when, why and what; newest first",
		Example: "  tidegate flag history new-checkout --limit 5",
		Args:    oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				entries, next, err := readHistory(limit, func(size int32, token string) ([]*controlv1.AuditEntry, string, error) {
					page, err := read(ctx, c, c.flags.ListFlagHistory, &controlv1.ListFlagHistoryRequest{
						Environment: o.environment, FlagKey: args[0], PageSize: size, PageToken: token,
					})
					return page.GetEntries(), page.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				history := &controlv1.ListFlagHistoryResponse{Entries: entries, NextPageToken: next}
				return c.show(history, func(out io.Writer) { c.writeHistory(out, entries, next != "") })
			})
		},
	}
	o.registerRead(cmd.Flags())
	registerLimit(cmd, &limit)
	return cmd
}

func newSegmentHistoryCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var limit int
	cmd := &cobra.Command{
		Use:     "history KEY",
		Short:   "Show who changed a segment, when, why and what; newest first",
		Example: "  tidegate segment history staff",
		Args:    oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				entries, next, err := readHistory(limit, func(size int32, token string) ([]*controlv1.AuditEntry, string, error) {
					page, err := read(ctx, c, c.segments.ListSegmentHistory, &controlv1.ListSegmentHistoryRequest{
						Environment: o.environment, SegmentKey: args[0], PageSize: size, PageToken: token,
					})
					return page.GetEntries(), page.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				history := &controlv1.ListSegmentHistoryResponse{Entries: entries, NextPageToken: next}
				return c.show(history, func(out io.Writer) { c.writeHistory(out, entries, next != "") })
			})
		},
	}
	o.registerRead(cmd.Flags())
	registerLimit(cmd, &limit)
	return cmd
}

func registerLimit(cmd *cobra.Command, limit *int) {
	cmd.Flags().IntVar(limit, "limit", defaultHistory, "how many changes to show; 0: all")
}

// readHistory reads pages until there are enough entries, and returns the token of the
// next page, if there is one.
func readHistory(limit int, page func(size int32, token string) ([]*controlv1.AuditEntry, string, error)) ([]*controlv1.AuditEntry, string, error) {
	if limit < 0 {
		return nil, "", usagef("--limit %d: expected a number from 0", limit)
	}
	var all []*controlv1.AuditEntry
	token := ""
	for {
		size := largestPage
		if limit > 0 {
			size = min(size, limit-len(all))
		}
		entries, next, err := page(int32(size), token)
		if err != nil {
			return nil, "", err
		}
		all = append(all, entries...)
		if next == "" || limit > 0 && len(all) >= limit {
			return all, next, nil
		}
		token = next
	}
}

func (c *client) writeHistory(out io.Writer, entries []*controlv1.AuditEntry, more bool) {
	if len(entries) == 0 {
		fmt.Fprintf(out, "no changes in %s\n", c.environment)
		return
	}
	for _, e := range entries {
		fmt.Fprintf(out, "%s  %s  %s by %s%s\n", c.paint.bold(revisionText(e.GetRevision())), c.paint.dim(timeText(e.GetTime())),
			c.actionText(e.GetAction()), actorText(e.GetActor()), whyText(e.GetReason()))
		c.writeOrigin(out, e)
		if e.GetPreviousRevision() != 0 && e.GetAction() != controlv1.Action_ACTION_DELETED { // else: everything
			writeChanges(out, c.paint, "    ", e.GetChanges())
		}
	}
	if more {
		fmt.Fprintln(out, c.paint.dim("there is more: see --limit"))
	}
}

// whyText is a reason, to end a line; what is done to a change request may have none.
func whyText(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + singleLine(reason)
}

// writeOrigin writes where a version came from, and what made the change.
func (c *client) writeOrigin(out io.Writer, e *controlv1.AuditEntry) {
	switch {
	case e.GetSourceEnvironment() != "":
		fmt.Fprintf(out, "    from %s, %s\n", singleLine(e.GetSourceEnvironment()), revisionText(e.GetSourceRevision()))
	case e.GetSourceRevision() != 0:
		fmt.Fprintf(out, "    as of %s\n", revisionText(e.GetSourceRevision()))
	}
	if e.GetRolloutKey() != "" {
		fmt.Fprintf(out, "    by rollout %s\n", singleLine(e.GetRolloutKey()))
	}
	if e.GetChangeRequestNumber() != 0 {
		fmt.Fprintf(out, "    by change request #%d\n", e.GetChangeRequestNumber())
	}
}

func (c *client) actionText(a controlv1.Action) string {
	switch a {
	case controlv1.Action_ACTION_DISABLED, controlv1.Action_ACTION_DELETED,
		controlv1.Action_ACTION_ROLLED_BACK, controlv1.Action_ACTION_ABORTED,
		controlv1.Action_ACTION_REJECTED, controlv1.Action_ACTION_WITHDRAWN, controlv1.Action_ACTION_FAILED:
		return c.paint.red(actionWord(a))
	case controlv1.Action_ACTION_ENABLED, controlv1.Action_ACTION_CREATED,
		controlv1.Action_ACTION_STARTED, controlv1.Action_ACTION_COMPLETED,
		controlv1.Action_ACTION_APPROVED, controlv1.Action_ACTION_APPLIED:
		return c.paint.green(actionWord(a))
	}
	return c.paint.yellow(actionWord(a))
}
