package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func newRelayCommand(io *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "relay",
		Short: "Show what relays have, and wait for them",
	}
	cmd.AddCommand(
		newRelayListCommand(io),
		newRelayWaitCommand(io),
		newRelayForgetCommand(io),
	)
	return cmd
}

func newRelayListCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the relays, and what they have",
		Long: "List the relays of the whole cluster, whichever server they are connected to, directly or\n" +
			"over other relays; and those that were there and did not say that they stop.\n\n" +
			"AGE tells how long ago a relay's state was confirmed to be current, LAG for how long\n" +
			"there has been something newer.",
		Example: "  tidegate relay list\n  tidegate relay list --environment production -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				list, err := read(ctx, c, c.fleet.ListRelays, &controlv1.ListRelaysRequest{Environment: o.environment})
				if err != nil {
					return err
				}
				c.warnUnreachable(list.GetUnreachableServers())
				return c.show(list, func(out io.Writer) { c.writeRelays(out, list, time.Now()) })
			})
		},
	}
	o.registerServer(cmd.Flags())
	cmd.Flags().StringVarP(&o.environment, "environment", "e", "", "only relays that follow it")
	return cmd
}

// writeRelays writes a row for each environment of each relay.
func (c *client) writeRelays(out io.Writer, list *controlv1.ListRelaysResponse, now time.Time) {
	if len(list.GetRelays()) == 0 {
		fmt.Fprintln(out, nobodyFollows(c.environment))
		return
	}
	t := table{paint: c.paint, header: []string{
		"INSTANCE", "STATE", "REGION", "ENVIRONMENT", "REVISION", "AGE", "LAG", "STREAMS", "VERSION", "UPSTREAM",
	}}
	for _, r := range list.GetRelays() {
		for _, e := range r.GetEnvironments() {
			if c.environment != "" && e.GetEnvironment() != c.environment {
				continue
			}
			revision, lag := plain("-"), plain("-")
			if e.GetCursor() != nil {
				revision, lag = number(e.GetCursor().GetRevision()), c.lagCell(e.GetLag().AsDuration())
			}
			age := plain("-")
			if e.GetAge() != nil {
				age = plain(durationText(e.GetAge().AsDuration()))
			}
			t.add(cell{singleLine(r.GetInstanceId()), c.paint.bold}, c.connectedCell(r, now), plain(r.GetRegion()), plain(e.GetEnvironment()),
				revision, age, lag, number(int64(r.GetStreams())), plain(r.GetVersion()), plain(r.GetUpstream()))
		}
	}
	t.write(out)
}

func (c *client) connectedCell(r *controlv1.Relay, now time.Time) cell {
	if r.GetConnected() {
		return cell{"connected", c.paint.green}
	}
	return cell{lastSeen(r, now), c.paint.red}
}

func (c *client) lagCell(lag time.Duration) cell {
	if lag == 0 {
		return plain("0s")
	}
	return cell{durationText(lag), c.paint.yellow}
}

// lastSeen is for a relay that is not connected.
func lastSeen(r *controlv1.Relay, now time.Time) string {
	if r.GetLastSeen() == nil {
		return "not seen since the server started"
	}
	return "last seen " + ageText(now.Sub(r.GetLastSeen().AsTime()))
}

// durationText rounds to what matters.
func durationText(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func nobodyFollows(environment string) string {
	if environment == "" {
		return "no relay is connected"
	}
	return "no relay follows " + environment
}

func (c *client) warnUnreachable(servers []string) {
	for _, s := range servers {
		fmt.Fprintf(c.err, "warning: control server %s did not answer: relays connected to it may be missing here, or seem lost\n", singleLine(s))
	}
}

func newRelayWaitCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var revision int64
	fraction := 1.0
	cmd := &cobra.Command{
		Use:   "wait",
		Short: "Wait until relays have applied a revision",
		Long: "Wait until the relays that follow an environment have applied a revision and made it\n" +
			"durable. Ends with exit code 1, and names who is missing, if they do not in time.",
		Example: "  tidegate relay wait --environment production --revision 93\n" +
			"  tidegate relay wait --environment production --revision 93 --fraction 0.99 --timeout 1m",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.environment == "":
				return usagef("say which environment: --environment production")
			case revision <= 0:
				return usagef("say which revision, as a write has printed it: --revision 93")
			case fraction <= 0 || fraction > 1:
				return usagef("--fraction %v: expected a share above 0, at most 1", fraction)
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				r, err := c.awaitRelays(ctx, &controlv1.WaitAppliedRequest{
					Environment: o.environment, Revision: revision, Fraction: fraction, Timeout: durationpb.New(o.timeout),
				})
				if err != nil {
					return err
				}
				c.warnUnreachable(r.last.GetUnreachableServers())
				if err := c.show(r.last, func(out io.Writer) {
					fmt.Fprintf(out, "%s of %s: %s\n", revisionText(revision), o.environment, r.sentence("applied", o.environment, time.Now()))
				}); err != nil {
					return err
				}
				if !r.last.GetReached() {
					return fmt.Errorf("not reached within %v", o.timeout)
				}
				return nil
			})
		},
	}
	f := cmd.Flags()
	o.registerServer(f)
	f.Lookup("timeout").Usage = "how long to wait"
	f.StringVarP(&o.environment, "environment", "e", fromVariable(environmentVariable, ""), "environment; required, also $"+environmentVariable)
	f.Int64Var(&revision, "revision", 0, "revision, as a write has printed it; required")
	f.Float64Var(&fraction, "fraction", fraction, "share of the relays that is enough")
	return cmd
}

func newRelayForgetCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "forget INSTANCE",
		Short:   "Forget a relay that is gone for good",
		Example: "  tidegate relay forget eu-west-3",
		Long: "Forget a relay that is not connected and will not come back: nobody waits for it any\n" +
			"more. A relay that stops in an orderly way is forgotten by itself.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("say which one: INSTANCE, as 'tidegate relay list' shows it")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.fleet.ForgetRelay, &controlv1.ForgetRelayRequest{InstanceId: args[0]})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) { fmt.Fprintf(out, "%s is forgotten\n", singleLine(args[0])) })
			})
		},
	}
	o.registerServer(cmd.Flags())
	return cmd
}
