package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// environmentPromotion is what 'environment promote' is asked to do.
type environmentPromotion struct {
	*clientOptions
	request     *controlv1.PromoteEnvironmentRequest
	dryRun, yes bool
}

func newEnvironmentPromoteCommand(streams *streams) *cobra.Command {
	o := &environmentPromotion{clientOptions: newClientOptions(), request: &controlv1.PromoteEnvironmentRequest{}}
	r := o.request
	cmd := &cobra.Command{
		Use:   "promote NAME",
		Short: "Make flags and segments of an environment what they are in the one before it",
		Long: "Make flags and segments of an environment what they are in another one: all that differ, or\n" +
			"those of some keys. What would change is shown first; what somebody changes after that is\n" +
			"neither copied nor overwritten.\n\n" +
			"A flag keeps its state (enabled or disabled), and arrives disabled where it is new, unless\n" +
			"--include-enabled is given. What the environment has of its own, because it was changed there\n" +
			"since it was last promoted, is shown as drift, and lost only with --overwrite-drift.\n\n" +
			"A promotion that was interrupted is finished by the same command.",
		Example: "  tidegate environment promote production --from staging --dry-run\n" +
			"  tidegate environment promote production --from staging --key-prefix checkout. --include-needed --reason \"release 12\"",
		Args: oneEnvironment,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.ToEnvironment, o.environment = args[0], args[0]
			switch {
			case r.GetFromEnvironment() == r.GetToEnvironment():
				return usagef("--from is %s itself", r.GetToEnvironment())
			case len(r.GetKeys()) > 0 && r.GetKeyPrefix() != "":
				return usagef("--key and --key-prefix: give one of them")
			case !o.dryRun:
				if err := o.requireReason(); err != nil {
					return err
				}
			}
			if !cmd.Flags().Changed("timeout") {
				o.timeout = restoreTimeout
			}
			return o.run(cmd.Context(), streams, o.promote)
		},
	}
	f := cmd.Flags()
	o.registerServer(f)
	o.registerReason(f)
	o.registerConfirm(f)
	f.StringVar(&r.FromEnvironment, "from", "", "environment to copy from; by default the one that the settings of NAME say")
	f.StringSliceVar(&r.Keys, "key", nil, "only flags and segments of these keys")
	f.StringVar(&r.KeyPrefix, "key-prefix", "", "only those whose keys begin with this")
	f.BoolVar(&r.IncludeNeeded, "include-needed", false, "besides, the segments and flags that these need")
	f.BoolVar(&r.IncludeEnabled, "include-enabled", false, "copy also whether flags are enabled")
	f.BoolVar(&r.DeleteMissing, "delete-missing", false, "delete what is not in the other environment")
	f.BoolVar(&r.OverwriteDrift, "overwrite-drift", false, "overwrite also what was changed in NAME itself")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would change, and change nothing")
	f.BoolVar(&o.yes, "yes", false, yesUsage)
	return cmd
}

// promote shows what would change, asks, and has it changed.
func (o *environmentPromotion) promote(ctx context.Context, c *client) error {
	r := o.request
	if r.GetFromEnvironment() == "" {
		settings, err := read(ctx, c, c.environments.GetEnvironment, &controlv1.GetEnvironmentRequest{Environment: r.GetToEnvironment()})
		if err != nil {
			return err
		}
		if r.FromEnvironment = settings.GetSettings().GetPromotion().GetFrom(); r.FromEnvironment == "" {
			return usagef("say where from: --from staging (the settings of %s name none)", r.GetToEnvironment())
		}
	}
	preview := proto.CloneOf(r)
	preview.ValidateOnly = true
	shown, err := read(ctx, c, c.environments.PromoteEnvironment, preview)
	if err != nil {
		return err
	}
	if o.dryRun {
		return c.show(shown, func(out io.Writer) { o.writePreview(out, c, shown) })
	}
	if n := len(shown.GetDrifts()); n > 0 && !r.GetOverwriteDrift() {
		o.writePreview(c.err, c, shown)
		return fmt.Errorf("%s would lose what was changed there: --overwrite-drift loses it; nothing was changed", r.GetToEnvironment())
	}
	if len(shown.GetResults()) > 0 {
		if err := c.confirmShown(o.yes, "change", func(out io.Writer) { o.writePreview(out, c, shown) }); err != nil {
			return err
		}
	}
	r.BaseRevision, r.Reason, r.RequestId = shown.GetCurrentRevision(), o.reason, newRequestID()
	response, err := write(ctx, c, c.environments.PromoteEnvironment, r)
	if err != nil {
		return err
	}
	return c.show(response, func(out io.Writer) {
		if response.GetRevision() == 0 {
			o.writeSame(out)
			return
		}
		fmt.Fprintf(out, "%s promoted from %s at revision %d: %s\n", r.GetToEnvironment(), r.GetFromEnvironment(), response.GetRevision(), countsText(response))
	})
}

func (o *environmentPromotion) writeSame(out io.Writer) {
	fmt.Fprintf(out, "nothing to promote: %s is already as %s\n", o.request.GetToEnvironment(), o.request.GetFromEnvironment())
}

func (o *environmentPromotion) writePreview(out io.Writer, c *client, r *controlv1.PromoteEnvironmentResponse) {
	if len(r.GetResults()) == 0 {
		o.writeSame(out)
		return
	}
	fmt.Fprintf(out, "%s -> %s as of revision %d: %s, in %s\n", o.request.GetFromEnvironment(), c.paint.bold(o.request.GetToEnvironment()),
		r.GetCurrentRevision(), countsText(r), transactionsText(r.GetTransactions()))
	c.writeResults(out, r.GetResults())
	for _, d := range r.GetDrifts() {
		c.writeDrift(out, o.request.GetFromEnvironment(), d)
	}
}

// writeDrift writes what a promotion would lose.
func (c *client) writeDrift(out io.Writer, from string, d *controlv1.Drift) {
	fmt.Fprintf(out, "%s %s %s: ", c.paint.red("drift"), kindWord(d.GetKind()), c.paint.bold(singleLine(d.GetKey())))
	if d.GetPromotedRevision() == 0 {
		fmt.Fprintf(out, "it did not come from %s", from)
	} else {
		fmt.Fprintf(out, "changed since it came from %s at revision %d", from, d.GetPromotedRevision())
	}
	if e := d.GetLatest(); e != nil {
		fmt.Fprintf(out, "; last %s by %s at revision %d: %s", actionWord(e.GetAction()), actorText(e.GetActor()), e.GetRevision(), singleLine(e.GetReason()))
	}
	fmt.Fprintln(out)
	writeChanges(out, c.paint, "    ", d.GetChanges())
}
