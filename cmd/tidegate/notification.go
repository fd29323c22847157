package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func newNotificationCommand(io *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notification",
		Short: "Look after what people are told of rollouts",
		Long: "Look after what people are told of rollouts: who is told (the targets that the servers are\n" +
			"given with 'tidegate server --notifications'), what waits for whom, and what was given up.\n" +
			"What a target does not take for 24 hours, or refuses, becomes a dead letter.",
	}
	cmd.AddCommand(
		newNotificationTargetsCommand(io),
		newNotificationListCommand(io),
		newNotificationShowCommand(io),
		newNotificationRedeliverCommand(io),
		newNotificationDiscardCommand(io),
		newNotificationTestCommand(io),
	)
	return cmd
}

func newNotificationTargetsCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "targets",
		Short:   "List who is told",
		Example: "  tidegate notification targets",
		Long: "List the targets that the server which is asked is configured with. Of their URLs the host\n" +
			"is shown, of their secrets nothing.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				list, err := read(ctx, c, c.notifications.ListNotificationTargets, &controlv1.ListNotificationTargetsRequest{})
				if err != nil {
					return err
				}
				return c.show(list, func(out io.Writer) { c.writeTargets(out, list) })
			})
		},
	}
	o.registerServer(cmd.Flags())
	return cmd
}

func (c *client) writeTargets(out io.Writer, list *controlv1.ListNotificationTargetsResponse) {
	if len(list.GetTargets()) == 0 {
		fmt.Fprintf(out, "nobody is told: server %s is given no targets (tidegate server --notifications FILE)\n", singleLine(list.GetServer()))
		return
	}
	t := table{paint: c.paint, header: []string{"TARGET", "KIND", "HOST", "ENVIRONMENTS", "EVENTS", "WAITING", "DEAD"}}
	for _, target := range list.GetTargets() {
		row := []cell{{singleLine(target.GetName()), c.paint.bold}}
		if target.GetConfigured() {
			environments := strings.Join(target.GetEnvironments(), ",")
			if environments == "" {
				environments = "all"
			}
			row = append(row, plain(target.GetKind()), plain(target.GetHost()), plain(environments), plain(strings.Join(target.GetEvents(), ",")))
		} else {
			row = append(row, cell{"not configured", c.paint.red}, plain("-"), plain("-"), plain("-"))
		}
		t.add(append(row, c.countCell(target.GetWaiting(), c.paint.yellow), c.countCell(target.GetDead(), c.paint.red))...)
	}
	t.write(out)
}

// countCell is a number that people have to look at unless it is 0.
func (c *client) countCell(n uint32, paint func(string) string) cell {
	if n == 0 {
		return plain("0")
	}
	return cell{strconv.FormatUint(uint64(n), 10), paint}
}

func newNotificationListCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	request := &controlv1.ListNotificationsRequest{}
	var state string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what waits, and what was given up",
		Long: "List the notifications that were not delivered: those that wait, and the dead letters. What\n" +
			"was taken is not kept.",
		Example: "  tidegate notification list\n  tidegate notification list --target payments-oncall --state dead",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch state {
			case "":
			case "waiting":
				request.State = controlv1.NotificationState_NOTIFICATION_STATE_WAITING
			case "dead":
				request.State = controlv1.NotificationState_NOTIFICATION_STATE_DEAD
			default:
				return usagef("--state %s: expected waiting or dead", state)
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				list, err := c.listNotifications(ctx, request)
				if err != nil {
					return err
				}
				return c.show(list, func(out io.Writer) { c.writeNotifications(out, list.GetNotifications(), time.Now()) })
			})
		},
	}
	o.registerServer(cmd.Flags())
	cmd.Flags().StringVar(&request.Target, "target", "", "only what is for this target")
	cmd.Flags().StringVar(&state, "state", "", "only what is waiting, or dead")
	return cmd
}

// listNotifications reads all pages, as one answer.
func (c *client) listNotifications(ctx context.Context, r *controlv1.ListNotificationsRequest) (*controlv1.ListNotificationsResponse, error) {
	all := &controlv1.ListNotificationsResponse{}
	r.PageSize = pageSize
	for {
		page, err := read(ctx, c, c.notifications.ListNotifications, r)
		if err != nil {
			return nil, err
		}
		all.Notifications = append(all.Notifications, page.GetNotifications()...)
		if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
			return all, nil
		}
	}
}

func (c *client) writeNotifications(out io.Writer, list []*controlv1.Notification, now time.Time) {
	if len(list) == 0 {
		fmt.Fprintln(out, "nothing waits, and there are no dead letters")
		return
	}
	t := table{paint: c.paint, header: []string{"TARGET", "ID", "STATE", "EVENT", "ENVIRONMENT", "ROLLOUT", "ATTEMPTS", "NEXT", "ERROR"}}
	for _, n := range list {
		t.add(cell{singleLine(n.GetTarget()), c.paint.bold}, plain(n.GetId()), c.notificationState(n, now),
			plain(orDash(strings.ReplaceAll(n.GetEvent(), "_", " "))), plain(orDash(n.GetEnvironment())), plain(orDash(n.GetRollout())),
			plain(attemptsText(n)), plain(nextText(n, now)), plain(orDash(shortened(n.GetLastError()))))
	}
	t.write(out)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// notificationState is such as 'waits for 3m0s'.
func (c *client) notificationState(n *controlv1.Notification, now time.Time) cell {
	since := func(t *timestamppb.Timestamp) string {
		if t == nil {
			return ""
		}
		return " for " + durationText(max(0, now.Sub(t.AsTime())))
	}
	if n.GetState() == controlv1.NotificationState_NOTIFICATION_STATE_DEAD {
		return cell{"dead" + since(n.GetDeadSince()), c.paint.red}
	}
	return cell{"waits" + since(n.GetQueuedAt()), c.paint.yellow}
}

func attemptsText(n *controlv1.Notification) string {
	if n.Attempts == nil {
		return "?"
	}
	return strconv.FormatUint(uint64(n.GetAttempts()), 10)
}

// nextText is when it is tried next, such as 'in 20s'.
func nextText(n *controlv1.Notification, now time.Time) string {
	switch at := n.GetNextAttemptAt(); {
	case n.GetState() == controlv1.NotificationState_NOTIFICATION_STATE_DEAD:
		return "never"
	case n.Attempts == nil:
		return "?"
	case at == nil || !at.AsTime().After(now):
		return "now"
	default:
		return "in " + durationText(at.AsTime().Sub(now))
	}
}

func newNotificationShowCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "show TARGET ID",
		Short:   "Show one notification that was not delivered",
		Example: "  tidegate notification show payments-oncall evt_2kmwz5q4mzn6tq5lyz3aufmrbe",
		Args:    oneNotification,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.notifications.GetNotification, &controlv1.GetNotificationRequest{Target: args[0], Id: args[1]})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) { c.writeNotification(out, response.GetNotification(), time.Now()) })
			})
		},
	}
	o.registerServer(cmd.Flags())
	return cmd
}

// oneNotification is what commands on one notification take.
func oneNotification(_ *cobra.Command, args []string) error {
	if len(args) != 2 {
		return usagef("say which one: TARGET ID, as 'tidegate notification list' shows them; got %d", len(args))
	}
	return nil
}

func (c *client) writeNotification(out io.Writer, n *controlv1.Notification, now time.Time) {
	state := c.notificationState(n, now)
	fmt.Fprintf(out, "%s for %s: %s\n", c.paint.bold(singleLine(n.GetId())), singleLine(n.GetTarget()), state.paint(state.text))
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(out, "  %-13s %s\n", name, singleLine(value))
		}
	}
	if n.GetEvent() == "" {
		line("what", "not known: the record is damaged")
	} else {
		line("what", strings.ReplaceAll(n.GetEvent(), "_", " ")+" at "+timeText(n.GetEventTime()))
	}
	line("headline", n.GetHeadline())
	line("rollout", n.GetRollout())
	line("environment", n.GetEnvironment())
	line("flag", n.GetFlag())
	line("owner", n.GetOwner())
	line("attempts", attemptsText(n))
	line("last error", n.GetLastError())
	line("next attempt", nextText(n, now))
	if n.GetDecision() > 0 {
		line("evidence", fmt.Sprintf("tidegate rollout explain %s %d --environment %s", n.GetRollout(), n.GetDecision(), n.GetEnvironment()))
	}
}
