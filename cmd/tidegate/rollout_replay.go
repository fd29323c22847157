package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/controlplane"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/judge"
)

func newRolloutReplayCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var all bool
	cmd := &cobra.Command{
		Use:   "replay KEY [NUMBER]",
		Short: "Compute a decision again from what it was made from, and compare",
		Long: "Compute a decision again, here, from what it was made from: the newest one, or the one of\n" +
			"a number. It is identical if verdict, words and every figure are, bit for bit. With --all,\n" +
			"every decision is, and the chain of their hashes is checked: nothing was changed or removed\n" +
			"afterwards. The exit code is 1 where something differs.",
		Example: "  tidegate rollout replay new-checkout-1 3\n  tidegate rollout replay new-checkout-1 --all",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := decisionNumber(args)
			if err != nil {
				return err
			}
			if all && number != 0 {
				return usagef("NUMBER and --all: expected one of them")
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				if all {
					return c.replayAll(ctx, args[0])
				}
				d, err := c.decision(ctx, args[0], number)
				if err != nil {
					return err
				}
				return c.replay(d)
			})
		},
	}
	o.registerRead(cmd.Flags())
	cmd.Flags().BoolVar(&all, "all", false, "replay all decisions, and check their chain")
	return cmd
}

// replay computes one decision again, and says what came out.
func (c *client) replay(d *rolloutv1.Decision) error {
	if err := judge.Replay(d); err != nil {
		return fmt.Errorf("decision %d of %s, made by software %s: %w", d.GetNumber(), d.GetRollout(), d.GetSoftwareVersion(), err)
	}
	_, err := fmt.Fprintf(c.out, "decision %d of %s: %s; %s\n", d.GetNumber(), singleLine(d.GetRollout()), c.paint.green("identical"), singleLine(d.GetHeadline()))
	return err
}

// replayAll goes through all decisions, from the first; it looks at each, whatever is wrong with
// one.
func (c *client) replayAll(ctx context.Context, key string) error {
	list, err := c.listDecisions(ctx, key, 0)
	if err != nil {
		return err
	}
	if len(list.GetDecisions()) == 0 {
		return fmt.Errorf("nothing was decided about %s in %s yet", key, c.environment)
	}
	var problems []error
	var chain []*rolloutv1.Decision
	for _, listed := range slices.Backward(list.GetDecisions()) {
		d, err := c.decision(ctx, key, listed.GetNumber())
		if err != nil {
			return err
		}
		chain = append(chain, d)
		problems = append(problems, c.replay(d))
	}
	if err := controlplane.VerifyDecisions(chain); err != nil {
		problems = append(problems, fmt.Errorf("the chain is broken: %w", err))
	} else {
		fmt.Fprintf(c.out, "the chain of %d decisions is whole\n", len(chain))
	}
	return errors.Join(problems...)
}
