package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// restoreTimeout is longer than that of other calls, unless it is given: to find a revision by
// its time, the whole trail is read.
const restoreTimeout = 5 * time.Minute

// restoreOptions are the flags of 'tidegate environment restore'.
type restoreOptions struct {
	*clientOptions
	revision      int64
	at            string
	dryRun        bool
	abortRollouts bool
	yes           bool
}

func newEnvironmentRestoreCommand(streams *streams) *cobra.Command {
	o := &restoreOptions{clientOptions: newClientOptions()}
	cmd := &cobra.Command{
		Use:   "restore NAME",
		Short: "Make an environment's flags and segments what they were",
		Long: "Make all flags and segments of an environment what they were at an earlier revision or time,\n" +
			"as new changes, each audited. Keys and rollouts stay as they are. What would change is shown\n" +
			"first; what somebody changes after that is not overwritten.\n\n" +
			"A restoration that was interrupted is finished by the same command.",
		Example: "  tidegate environment restore production --at 2026-11-26T14:00:00Z --dry-run\n" +
			"  tidegate environment restore production --revision 4711 --reason \"back to before the incident\"",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("say which environment: one NAME, not %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.environment = args[0]
			if !cmd.Flags().Changed("timeout") {
				o.timeout = restoreTimeout
			}
			request, err := o.request(time.Now())
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				return o.restore(ctx, c, request)
			})
		},
	}
	f := cmd.Flags()
	o.registerServer(f)
	o.registerReason(f)
	o.registerConfirm(f)
	f.Int64Var(&o.revision, "revision", 0, "as it was right after this revision of the store")
	f.StringVar(&o.at, "at", "", "as it was at this time: 2026-11-26T14:00:00Z, or how long ago, such as 90m")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would change, and change nothing")
	f.BoolVar(&o.abortRollouts, "abort-rollouts", false, "abort the rollouts under way that own what would change")
	f.BoolVar(&o.yes, "yes", false, yesUsage)
	return cmd
}

// request reads the flags.
func (o *restoreOptions) request(now time.Time) (*controlv1.RestoreEnvironmentRequest, error) {
	r := &controlv1.RestoreEnvironmentRequest{
		Environment: o.environment, Revision: o.revision, AbortRollouts: o.abortRollouts, Reason: o.reason, RequestId: newRequestID(),
	}
	switch {
	case o.at == "" && o.revision <= 0:
		return nil, usagef("say what to restore to: --revision N, or --at TIME")
	case o.at != "" && o.revision != 0:
		return nil, usagef("--revision and --at: give one of them")
	case o.at != "":
		at, err := parseTime(o.at, now)
		if err != nil {
			return nil, usagef("--at %s: %v", o.at, err)
		}
		r.Time = timestamppb.New(at)
	}
	if o.dryRun {
		return r, nil
	}
	return r, o.requireReason()
}

// parseTime reads a time, or how long ago it was.
func parseTime(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("want a time such as %s, or how long ago, such as 90m", now.UTC().Format(time.RFC3339))
	}
	return at, nil
}

// restore shows what would change, asks, and has it changed.
func (o *restoreOptions) restore(ctx context.Context, c *client, r *controlv1.RestoreEnvironmentRequest) error {
	preview := &controlv1.RestoreEnvironmentRequest{
		Environment: r.GetEnvironment(), Revision: r.GetRevision(), Time: r.GetTime(), AbortRollouts: r.GetAbortRollouts(), ValidateOnly: true,
	}
	shown, err := read(ctx, c, c.environments.RestoreEnvironment, preview)
	if err != nil {
		return err
	}
	if o.dryRun {
		return c.show(shown, func(out io.Writer) { o.writePreview(out, c, shown) })
	}
	if len(shown.GetResults()) > 0 {
		if err := c.confirmShown(o.yes, "restore", func(out io.Writer) { o.writePreview(out, c, shown) }); err != nil {
			return err
		}
	}
	// What was shown is what shall happen: at the revision found by a time, on what was there.
	r.Revision, r.Time, r.BaseRevision = shown.GetRestoredRevision(), nil, shown.GetCurrentRevision()
	response, err := write(ctx, c, c.environments.RestoreEnvironment, r)
	if err != nil {
		return err
	}
	return c.show(response, func(out io.Writer) { c.writeEnvironmentRestored(out, response) })
}

func (o *restoreOptions) writePreview(out io.Writer, c *client, r *controlv1.RestoreEnvironmentResponse) {
	if len(r.GetResults()) == 0 {
		fmt.Fprintf(out, "%s is already as it was at revision %d\n", c.environment, r.GetRestoredRevision())
		return
	}
	fmt.Fprintf(out, "%s as of revision %d: %s, in %s\n", c.paint.bold(c.environment), r.GetRestoredRevision(), countsText(r), transactionsText(r.GetTransactions()))
	c.writeResults(out, r.GetResults())
	owner := "owns what would change: wait until it is over, or have it aborted with --abort-rollouts"
	if o.abortRollouts {
		owner = "is aborted first"
	}
	c.writeRestoreRollouts(out, r, owner)
}

func (c *client) writeEnvironmentRestored(out io.Writer, r *controlv1.RestoreEnvironmentResponse) {
	if r.GetRevision() == 0 {
		fmt.Fprintf(out, "%s is already as it was at revision %d\n", c.environment, r.GetRestoredRevision())
		return
	}
	fmt.Fprintf(out, "%s is as it was at revision %d again, at revision %d: %s\n", c.environment, r.GetRestoredRevision(), r.GetRevision(), countsText(r))
	c.writeRestoreRollouts(out, r, "was aborted")
}

// writeRestoreRollouts writes what becomes of rollouts.
func (c *client) writeRestoreRollouts(out io.Writer, r *controlv1.RestoreEnvironmentResponse, owner string) {
	for _, key := range r.GetRollouts() {
		fmt.Fprintf(out, "rollout %s %s\n", singleLine(key), c.paint.red(owner))
	}
	for _, key := range r.GetUnattendedRollouts() {
		fmt.Fprintf(out, "rollout %s was under way then: %s\n", singleLine(key), c.paint.yellow("its flag serves what a stage served, and nobody widens or shuts it"))
	}
}

// countsText is such as '2 created, 1 deleted'.
func countsText(r interface {
	GetCreated() int32
	GetUpdated() int32
	GetDeleted() int32
},
) string {
	var parts []string
	for _, p := range []struct {
		n    int32
		what string
	}{{r.GetCreated(), "created"}, {r.GetUpdated(), "updated"}, {r.GetDeleted(), "deleted"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}

func transactionsText(n int32) string {
	if n == 1 {
		return "one transaction"
	}
	return fmt.Sprintf("%d transactions", n)
}
