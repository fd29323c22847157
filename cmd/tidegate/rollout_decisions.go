package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

func newRolloutDecisionsCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var limit int
	cmd := &cobra.Command{
		Use:     "decisions KEY",
		Short:   "Show what was decided about a rollout, newest first",
		Example: "  tidegate rollout decisions new-checkout-1",
		Args:    oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				list, err := c.listDecisions(ctx, args[0], limit)
				if err != nil {
					return err
				}
				return c.show(list, func(out io.Writer) { c.writeDecisions(out, args[0], list) })
			})
		},
	}
	o.registerRead(cmd.Flags())
	cmd.Flags().IntVar(&limit, "limit", defaultHistory, "how many decisions to show; 0: all")
	return cmd
}

// listDecisions reads pages until there are enough.
func (c *client) listDecisions(ctx context.Context, key string, limit int) (*controlv1.ListDecisionsResponse, error) {
	if limit < 0 {
		return nil, usagef("--limit %d: expected a number from 0", limit)
	}
	all := &controlv1.ListDecisionsResponse{}
	for {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-len(all.GetDecisions()))
		}
		page, err := read(ctx, c, c.rollouts.ListDecisions, &controlv1.ListDecisionsRequest{
			Environment: c.environment, Key: key, PageSize: int32(size), PageToken: all.GetNextPageToken(),
		})
		if err != nil {
			return nil, err
		}
		all.Decisions = append(all.Decisions, page.GetDecisions()...)
		all.NextPageToken = page.GetNextPageToken()
		if all.GetNextPageToken() == "" || limit > 0 && len(all.GetDecisions()) >= limit {
			return all, nil
		}
	}
}

func (c *client) writeDecisions(out io.Writer, key string, list *controlv1.ListDecisionsResponse) {
	if len(list.GetDecisions()) == 0 {
		fmt.Fprintf(out, "nothing was decided about %s in %s yet\n", key, c.environment)
		return
	}
	t := table{paint: c.paint, header: []string{"NUMBER", "TIME", "VERDICT", "TREATMENT", "BECAUSE"}}
	for _, d := range list.GetDecisions() {
		t.add(cell{text: strconv.FormatUint(d.GetNumber(), 10)}, cell{text: timeText(d.GetTime())}, c.verdictCell(d.GetVerdict()),
			plain(weightChange(d)), plain(d.GetHeadline()))
	}
	t.write(out)
	if list.GetNextPageToken() != "" {
		fmt.Fprintln(out, c.paint.dim("there is more: see --limit"))
	}
}

// weightChange is such as '1% -> 5%', or '5%' where the weight stays.
func weightChange(d *rolloutv1.Decision) string {
	from, to := rollout.Percent(d.GetFromWeight()), rollout.Percent(d.GetToWeight())
	if from == to {
		return to
	}
	return from + " -> " + to
}

func (c *client) verdictCell(v rolloutv1.Verdict) cell {
	paint := c.paint.green
	switch v {
	case rolloutv1.Verdict_VERDICT_HOLD:
		paint = c.paint.yellow
	case rolloutv1.Verdict_VERDICT_ROLLBACK:
		paint = c.paint.red
	}
	return cell{enumWord(v.String(), "VERDICT_"), paint}
}

func newRolloutExplainCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "explain KEY [NUMBER]",
		Short:   "Tell a decision in words and figures: the newest one, or the one of a number",
		Example: "  tidegate rollout explain new-checkout-1\n  tidegate rollout explain new-checkout-1 3 -o json",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := decisionNumber(args)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				d, err := c.decision(ctx, args[0], number)
				if err != nil {
					return err
				}
				return c.show(d, func(out io.Writer) { c.writeDecision(out, d) })
			})
		},
	}
	o.registerRead(cmd.Flags())
	return cmd
}

// decisionNumber reads NUMBER; 0: the newest.
func decisionNumber(args []string) (uint64, error) {
	if len(args) < 2 {
		return 0, nil
	}
	n, err := strconv.ParseUint(args[1], 10, 63)
	if err != nil || n == 0 {
		return 0, usagef("%q: expected the NUMBER of a decision, as 'tidegate rollout decisions %s' shows them", args[1], args[0])
	}
	return n, nil
}

// decision reads one decision with all that it was made from; number 0: the newest.
func (c *client) decision(ctx context.Context, key string, number uint64) (*rolloutv1.Decision, error) {
	if number == 0 {
		list, err := c.listDecisions(ctx, key, 1)
		if err != nil {
			return nil, err
		}
		if len(list.GetDecisions()) == 0 {
			return nil, fmt.Errorf("nothing was decided about %s in %s yet", key, c.environment)
		}
		number = list.GetDecisions()[0].GetNumber()
	}
	response, err := read(ctx, c, c.rollouts.GetDecision, &controlv1.GetDecisionRequest{Environment: c.environment, Key: key, Number: number})
	return response.GetDecision(), err
}

func (c *client) writeDecision(out io.Writer, d *rolloutv1.Decision) {
	verdict := c.verdictCell(d.GetVerdict())
	fmt.Fprintf(out, "%s, decision %d: %s, %s %s\n", c.paint.bold(singleLine(d.GetRollout())), d.GetNumber(), verdict.paint(verdict.text),
		weightChange(d), c.paint.dim("("+revisionText(d.GetRevision())+")"))
	fmt.Fprintf(out, "  %s\n", singleLine(d.GetHeadline()))
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(out, "  %s %s\n", c.paint.dim(fmt.Sprintf("%-9s", name)), text)
		}
	}
	line("decided", timeText(d.GetTime())+" by "+singleLine(d.GetDecider()))
	line("because", singleLine(d.GetDeciding()))
	line("policy", policyText(d))
	line("shield", singleLine(d.GetShield()))
	line("judged", inputsText(d.GetInputs()))
	c.writeAssessment(out, d)
}

func policyText(d *rolloutv1.Decision) string {
	if d.GetPolicy() == "" {
		return ""
	}
	return fmt.Sprintf("%s proposed to %s", singleLine(d.GetPolicy()), enumWord(d.GetProposed().String(), "VERDICT_"))
}

// inputsText says what a decision was made from.
func inputsText(in *rolloutv1.Inputs) string {
	if in == nil {
		return ""
	}
	s := in.GetSituation()
	parts := []string{fmt.Sprintf("%d windows", len(in.GetWindows()))}
	if s.GetRelays() > 0 {
		parts = append(parts, fmt.Sprintf("%d relays, %d at the step, %d fresh", s.GetRelays(), s.GetRelaysApplied(), s.GetRelaysFresh()))
	}
	switch n := len(s.GetTrips()); n {
	case 0:
	case 1:
		parts = append(parts, "a relay that was cut off had shut it by itself")
	default:
		parts = append(parts, fmt.Sprintf("relays that were cut off had shut it by themselves: %d trips", n))
	}
	switch {
	case s.GetFlagDisabled():
		parts = append(parts, "the flag was off")
	case !s.GetFlagReady():
		parts = append(parts, "the flag did not serve what the rollout says")
	}
	return strings.Join(parts, "; ")
}
