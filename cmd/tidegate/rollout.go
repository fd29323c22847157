package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

func newRolloutCommand(io *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollout",
		Short: "Start, watch and steer rollouts",
		Long: "Start, watch and steer rollouts: the staged progress of one split of a flag. A rollout is\n" +
			"widened while the evidence is good, and shut by itself when it is not.\n\n" +
			"While it runs, it owns the split, its two variants and the rule; everything else on the\n" +
			"flag can be changed as before, and 'tidegate flag disable' stops everything at once.",
	}
	cmd.AddCommand(
		newRolloutStartCommand(io),
		newRolloutListCommand(io),
		newRolloutStatusCommand(io),
		newRolloutWatchCommand(io),
		newRolloutPauseCommand(io),
		newRolloutResumeCommand(io),
		newRolloutPromoteCommand(io),
		newRolloutAbortCommand(io),
		newRolloutDeleteCommand(io),
		newRolloutHistoryCommand(io),
		newRolloutDecisionsCommand(io),
		newRolloutExplainCommand(io),
		newRolloutReplayCommand(io),
	)
	return cmd
}

func newRolloutListCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	request := &controlv1.ListRolloutsRequest{}
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the rollouts of an environment",
		Example: "  tidegate rollout list --active\n  tidegate rollout list --flag new-checkout --environment staging -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			request.Environment = o.environment
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				list, err := c.listRollouts(ctx, request)
				if err != nil {
					return err
				}
				return c.show(list, func(out io.Writer) { c.writeRolloutList(out, list) })
			})
		},
	}
	o.registerRead(cmd.Flags())
	cmd.Flags().StringVar(&request.FlagKey, "flag", "", "only rollouts of this flag")
	cmd.Flags().BoolVar(&request.Active, "active", false, "only rollouts that are not over")
	cmd.Flags().StringVar(&request.KeyPrefix, "prefix", "", "only rollouts whose keys start with this")
	return cmd
}

// listRollouts reads all pages, as one answer.
func (c *client) listRollouts(ctx context.Context, r *controlv1.ListRolloutsRequest) (*controlv1.ListRolloutsResponse, error) {
	all := &controlv1.ListRolloutsResponse{}
	r.PageSize = pageSize
	for {
		page, err := read(ctx, c, c.rollouts.ListRollouts, r)
		if err != nil {
			return nil, err
		}
		all.Rollouts = append(all.Rollouts, page.GetRollouts()...)
		all.Revision = page.GetRevision()
		if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
			return all, nil
		}
	}
}

func (c *client) writeRolloutList(out io.Writer, list *controlv1.ListRolloutsResponse) {
	if len(list.GetRollouts()) == 0 {
		fmt.Fprintf(out, "no rollouts in %s (revision %d)\n", c.environment, list.GetRevision())
		return
	}
	t := table{paint: c.paint, header: []string{"KEY", "STATE", "TREATMENT", "STAGE", "FLAG", "OWNER", "REVISION"}}
	for _, v := range list.GetRollouts() {
		r := v.GetRollout()
		t.add(cell{singleLine(r.GetKey()), c.paint.bold}, c.rolloutStateCell(r.GetStatus().GetState()),
			plain(r.GetTreatment()+" "+servedShare(r)), plain(stageText(r)), plain(r.GetFlagKey()), plain(r.GetOwner()), number(v.GetRevision()))
	}
	t.write(out)
}

func newRolloutStatusCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "status KEY",
		Short:   "Show a rollout, and how its evidence stands",
		Example: "  tidegate rollout status new-checkout-1",
		Args:    oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.rollouts.GetRollout, &controlv1.GetRolloutRequest{Environment: o.environment, Key: args[0]})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) { c.writeRollout(out, response.GetRollout(), response.GetAssessment()) })
			})
		},
	}
	o.registerRead(cmd.Flags())
	return cmd
}

func newRolloutHistoryCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var limit int
	cmd := &cobra.Command{
		Use:     "history KEY",
		Short:   "Show who changed a rollout, when, why and what; newest first",
		Example: "  tidegate rollout history new-checkout-1",
		Args:    oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				entries, next, err := readHistory(limit, func(size int32, token string) ([]*controlv1.AuditEntry, string, error) {
					page, err := read(ctx, c, c.rollouts.ListRolloutHistory, &controlv1.ListRolloutHistoryRequest{
						Environment: o.environment, Key: args[0], PageSize: size, PageToken: token,
					})
					return page.GetEntries(), page.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				history := &controlv1.ListRolloutHistoryResponse{Entries: entries, NextPageToken: next}
				return c.show(history, func(out io.Writer) { c.writeHistory(out, entries, next != "") })
			})
		},
	}
	o.registerRead(cmd.Flags())
	registerLimit(cmd, &limit)
	return cmd
}

func (c *client) rolloutStateCell(s rolloutv1.State) cell {
	paint := c.paint.green
	switch s {
	case rolloutv1.State_STATE_PAUSED:
		paint = c.paint.yellow
	case rolloutv1.State_STATE_ROLLED_BACK, rolloutv1.State_STATE_ABORTED:
		paint = c.paint.red
	}
	return cell{rolloutState(s), paint}
}
