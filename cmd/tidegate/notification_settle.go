package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// settling is a command that does something to dead letters.
type settling struct {
	use, short, long string
	// done says what became of one.
	done string
	call func(ctx context.Context, c *client, target, id string) (proto.Message, error)
}

func newNotificationRedeliverCommand(streams *streams) *cobra.Command {
	return newSettleCommand(streams, settling{
		use: "redeliver", short: "Have a dead letter tried again",
		long: "Have a dead letter tried for another 24 hours. Its id stays the same, so that a receiver\n" +
			"which did take it knows it again.",
		done: "is tried again",
		call: func(ctx context.Context, c *client, target, id string) (proto.Message, error) {
			return read(ctx, c, c.notifications.RedeliverNotification, &controlv1.RedeliverNotificationRequest{Target: target, Id: id})
		},
	})
}

func newNotificationDiscardCommand(streams *streams) *cobra.Command {
	return newSettleCommand(streams, settling{
		use: "discard", short: "Remove a dead letter for good",
		long: "Remove a dead letter for good. What happened stays in the rollout's history.",
		done: "is discarded",
		call: func(ctx context.Context, c *client, target, id string) (proto.Message, error) {
			return read(ctx, c, c.notifications.DiscardNotification, &controlv1.DiscardNotificationRequest{Target: target, Id: id})
		},
	})
}

func newSettleCommand(streams *streams, s settling) *cobra.Command {
	o := newClientOptions()
	var all bool
	cmd := &cobra.Command{
		Use: s.use + " TARGET {ID | --all}", Short: s.short, Long: s.long,
		Example: "  tidegate notification " + s.use + " payments-oncall evt_2kmwz5q4mzn6tq5lyz3aufmrbe\n" +
			"  tidegate notification " + s.use + " payments-oncall --all",
		Args: func(cmd *cobra.Command, args []string) error {
			if !all {
				return oneNotification(cmd, args)
			}
			if len(args) != 1 {
				return usagef("with --all, say for which target: TARGET alone; got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				if all {
					return c.settleAll(ctx, s, args[0])
				}
				response, err := s.call(ctx, c, args[0], args[1])
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					fmt.Fprintf(out, "%s for %s %s\n", singleLine(args[1]), singleLine(args[0]), s.done)
				})
			})
		},
	}
	o.registerServer(cmd.Flags())
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters of the target")
	cmd.Flags().StringVar(&o.actor, "actor", currentUser(), "who, for the server's log")
	return cmd
}

// settleAll does it to all dead letters of a target. What somebody else settles meanwhile is
// left to them.
func (c *client) settleAll(ctx context.Context, s settling, target string) error {
	list, err := c.listNotifications(ctx, &controlv1.ListNotificationsRequest{
		Target: target, State: controlv1.NotificationState_NOTIFICATION_STATE_DEAD,
	})
	if err != nil {
		return err
	}
	settled := &controlv1.ListNotificationsResponse{}
	for _, n := range list.GetNotifications() {
		switch _, err := s.call(ctx, c, target, n.GetId()); {
		case err == nil:
			settled.Notifications = append(settled.Notifications, n)
		case status.Code(err) == codes.FailedPrecondition:
			fmt.Fprintf(c.err, "%s: %s\n", singleLine(n.GetId()), describe(err))
		case !isNotFound(err):
			return fmt.Errorf("after %d of %d: %w", len(settled.GetNotifications()), len(list.GetNotifications()), err)
		}
	}
	return c.show(settled, func(out io.Writer) {
		if len(settled.GetNotifications()) == 0 {
			fmt.Fprintf(out, "no dead letter for %s %s\n", singleLine(target), s.done)
		}
		for _, n := range settled.GetNotifications() {
			fmt.Fprintf(out, "%s for %s %s\n", singleLine(n.GetId()), singleLine(target), s.done)
		}
	})
}

// testTimeout leaves the server the time that it gives a target.
const testTimeout = 15 * time.Second

func newNotificationTestCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "test TARGET",
		Short:   "Send a test message to a target, and show what it answers",
		Example: "  tidegate notification test payments-oncall",
		Long: "Send one test message to a target, from the server that is asked, with that server's\n" +
			"configuration: ask each server of a cluster in turn. Ends with exit code 1 if the target\n" +
			"does not take it.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("say which one: TARGET, as 'tidegate notification targets' shows them; got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.notifications.TestNotificationTarget, &controlv1.TestNotificationTargetRequest{Target: args[0]})
				if err != nil {
					return err
				}
				if err := c.show(response, func(out io.Writer) {
					took := c.paint.red("did not take it")
					if response.GetTaken() {
						took = c.paint.green("took it")
					}
					fmt.Fprintf(out, "%s %s after %s: %s\n  sent by %s, as %s\n", singleLine(args[0]), took,
						durationText(response.GetElapsed().AsDuration()), singleLine(response.GetAnswer()),
						singleLine(response.GetServer()), singleLine(response.GetId()))
				}); err != nil {
					return err
				}
				if !response.GetTaken() {
					return fmt.Errorf("%s is not told", singleLine(args[0]))
				}
				return nil
			})
		},
	}
	o.registerServer(cmd.Flags())
	o.timeout, cmd.Flags().Lookup("timeout").DefValue = testTimeout, testTimeout.String()
	cmd.Flags().StringVar(&o.actor, "actor", currentUser(), "who, for the message")
	return cmd
}
