package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// steering is a command that changes a rollout that is there.
type steering struct {
	use, short, long string
	// done says what happened, before the rollout's share and stage.
	done string
	call func(ctx context.Context, c *client, o *clientOptions, key string) (steered, error)
}

// steered is what the calls answer.
type steered interface {
	proto.Message
	GetRollout() *controlv1.RolloutVersion
	GetEntry() *controlv1.AuditEntry
}

func newSteerCommand(streams *streams, s steering) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use: s.use + " KEY", Short: s.short, Long: s.long, Args: oneKey,
		Example: "  tidegate rollout " + s.use + " new-checkout-1 --environment production --reason \"as agreed\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireWrite(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := s.call(ctx, c, o, args[0])
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) { c.writeSteered(out, s.done, response) })
			})
		},
	}
	o.registerWrite(cmd.Flags())
	return cmd
}

func (c *client) writeSteered(out io.Writer, done string, response steered) {
	v := response.GetRollout()
	r := v.GetRollout()
	if response.GetEntry() == nil {
		fmt.Fprintf(out, "%s is already %s in %s, at revision %d\n", r.GetKey(), rolloutState(r.GetStatus().GetState()), c.environment, v.GetRevision())
		return
	}
	fmt.Fprintf(out, "%s %s in %s at revision %d: it is %s, and serves %q to %s\n", r.GetKey(), done, c.environment, v.GetRevision(),
		rolloutState(r.GetStatus().GetState()), singleLine(r.GetTreatment()), servedShare(r))
}

func newRolloutPauseCommand(streams *streams) *cobra.Command {
	return newSteerCommand(streams, steering{
		use: "pause", short: "Stop the widening; guardrails are watched on", done: "paused",
		call: func(ctx context.Context, c *client, o *clientOptions, key string) (steered, error) {
			return write(ctx, c, c.rollouts.PauseRollout, &controlv1.PauseRolloutRequest{
				Environment: o.environment, Key: key, Reason: o.reason, RequestId: newRequestID(),
			})
		},
	})
}

func newRolloutResumeCommand(streams *streams) *cobra.Command {
	return newSteerCommand(streams, steering{
		use: "resume", short: "Let a paused rollout go on", done: "resumed",
		call: func(ctx context.Context, c *client, o *clientOptions, key string) (steered, error) {
			return write(ctx, c, c.rollouts.ResumeRollout, &controlv1.ResumeRolloutRequest{
				Environment: o.environment, Key: key, Reason: o.reason, RequestId: newRequestID(),
			})
		},
	})
}

func newRolloutAbortCommand(streams *streams) *cobra.Command {
	return newSteerCommand(streams, steering{
		use: "abort", short: "End a rollout: everyone is served the old variant again", done: "aborted",
		call: func(ctx context.Context, c *client, o *clientOptions, key string) (steered, error) {
			return write(ctx, c, c.rollouts.AbortRollout, &controlv1.AbortRolloutRequest{
				Environment: o.environment, Key: key, Reason: o.reason, RequestId: newRequestID(),
			})
		},
	})
}

func newRolloutPromoteCommand(streams *streams) *cobra.Command {
	var stage int
	var cmd *cobra.Command
	cmd = newSteerCommand(streams, steering{
		use: "promote", short: "Go to the next stage, or a given one, whatever is not proven yet", done: "promoted",
		long: "Go to the next stage, or a given one, whatever is not proven yet. Beyond the last stage, the\n" +
			"rollout is complete. What a violated guardrail is against cannot be promoted.",
		call: func(ctx context.Context, c *client, o *clientOptions, key string) (steered, error) {
			current, err := read(ctx, c, c.rollouts.GetRollout, &controlv1.GetRolloutRequest{Environment: o.environment, Key: key})
			if err != nil {
				return nil, err
			}
			// To the stage after the one that was seen: a decision that comes between is no
			// reason to go two stages further.
			r := current.GetRollout().GetRollout()
			to := r.GetStatus().GetStage() + 1
			if cmd.Flags().Changed("stage") {
				if to, err = chosenStage(r, stage); err != nil {
					return nil, err
				}
			}
			return write(ctx, c, c.rollouts.PromoteRollout, &controlv1.PromoteRolloutRequest{
				Environment: o.environment, Key: key, Reason: o.reason, RequestId: newRequestID(), Stage: proto.Uint32(to),
			})
		},
	})
	cmd.Flags().IntVar(&stage, "stage", 0, "stage to go to, 1 for the first; one beyond the last completes; without it, the next one")
	return cmd
}

// chosenStage is the index of a stage that is counted from 1, as it is shown.
func chosenStage(r *rolloutv1.Rollout, stage int) (uint32, error) {
	now, n := int(r.GetStatus().GetStage())+1, len(r.GetStages())
	switch {
	case stage < 1 || stage > n+1:
		return 0, usagef("--stage %d: %s has %d stages, and %d completes it", stage, r.GetKey(), n, n+1)
	case stage <= now:
		return 0, usagef("--stage %d: %s is at stage %s (%s) already, and never shrinks but to end: 'tidegate rollout abort' does that", stage, r.GetKey(), stageText(r), servedShare(r))
	}
	return uint32(stage - 1), nil
}

func newRolloutDeleteCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "delete KEY",
		Short:   "Remove a rollout that is over; its history and decisions remain, and keep its key",
		Example: "  tidegate rollout delete new-checkout-1 --environment production --reason \"it is over\"",
		Args:    oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireWrite(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := write(ctx, c, c.rollouts.DeleteRollout, &controlv1.DeleteRolloutRequest{
					Environment: o.environment, Key: args[0], Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					fmt.Fprintf(out, "%s deleted in %s at revision %d\n", args[0], o.environment, response.GetEntry().GetRevision())
				})
			})
		},
	}
	o.registerWrite(cmd.Flags())
	return cmd
}
