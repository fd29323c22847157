package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// promotion is what 'flag promote' is asked to do.
type promotion struct {
	key, from, to  string
	includeEnabled bool
	yes, dryRun    bool
}

func newFlagPromoteCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var p promotion
	cmd := &cobra.Command{
		Use:   "promote KEY --from ENVIRONMENT --to ENVIRONMENT",
		Short: "Copy a flag to another environment, after showing what would change",
		Long: "Copy a flag to another environment, after showing what would change there.\n\n" +
			"The flag keeps its state (enabled or disabled) in the other environment, and arrives\n" +
			"disabled where it is new, unless --include-enabled is given.",
		Example: "  tidegate flag promote new-checkout --from staging --to production --reason \"tested\"",
		Args:    oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			p.key = args[0]
			switch {
			case p.from == "" || p.to == "":
				return usagef("say from where to where: --from staging --to production")
			case p.from == p.to:
				return usagef("--from and --to are both %s", p.from)
			case !p.dryRun:
				if err := o.requireReason(); err != nil {
					return err
				}
				if !p.yes && !o.proposing.on && o.confirm == "" && !isTerminal(streams.in) {
					return usagef("there is no terminal to ask at: pass --confirm %s (or --dry-run, to see what would change)", p.to)
				}
			}
			o.environment = p.to
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error { return c.promote(ctx, p) })
		},
	}
	f := cmd.Flags()
	o.registerServer(f)
	o.registerReason(f)
	o.registerPropose(f)
	o.registerConfirm(f)
	f.StringVar(&p.from, "from", "", "environment to copy from; required")
	f.StringVar(&p.to, "to", "", "environment to change; required")
	f.BoolVar(&p.includeEnabled, "include-enabled", false, "copy also whether the flag is enabled")
	f.BoolVar(&p.yes, "yes", false, yesUsage)
	f.BoolVar(&p.dryRun, "dry-run", false, "only show what would change")
	return cmd
}

// promote writes exactly what was shown: if either side changed meanwhile, it fails.
func (c *client) promote(ctx context.Context, p promotion) error {
	request := &controlv1.PromoteFlagRequest{
		FlagKey: p.key, FromEnvironment: p.from, ToEnvironment: p.to, IncludeEnabled: p.includeEnabled, ValidateOnly: true,
	}
	plan, err := read(ctx, c, c.flags.PromoteFlag, request)
	if err != nil {
		return err
	}
	if p.dryRun || len(plan.GetChanges()) == 0 {
		return c.show(plan, func(out io.Writer) { c.writePromotion(ctx, out, p, plan) })
	}
	if c.proposing.on {
		v := plan.GetFlag()
		return c.propose(ctx, &controlv1.ProposeChangeRequestRequest{Flags: []*controlv1.FlagWrite{flagWrite(v.GetFlag(), v.GetRevision())}})
	}
	if c.output == outputTable {
		c.writePromotion(ctx, c.out, p, plan)
	}
	protected, err := c.confirmProtected(ctx, writingInto(p.to))
	if err != nil {
		return err
	}
	if !p.yes && !protected {
		if c.output != outputTable {
			c.writePromotion(ctx, c.err, p, plan)
		}
		if !confirm(c.in, c.err, fmt.Sprintf("promote %s to %s?", p.key, p.to)) {
			return fmt.Errorf("not promoted: %s in %s stays as it is", p.key, p.to)
		}
	}
	request.ValidateOnly = false
	request.BaseRevision = plan.GetFlag().GetRevision()
	request.FromRevision = plan.GetFromRevision()
	request.Reason = c.reason
	request.RequestId = newRequestID()
	response, err := write(ctx, c, c.flags.PromoteFlag, request)
	if err != nil {
		return err
	}
	return c.show(response, func(out io.Writer) {
		fmt.Fprintf(out, "%s promoted to %s at revision %d\n", p.key, p.to, response.GetFlag().GetRevision())
	})
}

func (c *client) writePromotion(ctx context.Context, out io.Writer, p promotion, plan *controlv1.PromoteFlagResponse) {
	if len(plan.GetChanges()) == 0 {
		fmt.Fprintf(out, "%s is the same in %s and %s\n", p.key, p.from, p.to)
		return
	}
	where := fmt.Sprintf("revision %d there", plan.GetFlag().GetRevision())
	if plan.GetFlag().GetRevision() == 0 {
		where = "new there"
	}
	fmt.Fprintf(out, "%s: %s (revision %d) -> %s (%s)\n", c.paint.bold(p.key), p.from, plan.GetFromRevision(), p.to, where)
	writeChanges(out, c.paint, "  ", plan.GetChanges())
	if d := plan.GetDrift(); d != nil {
		c.writeDrift(out, p.from, d)
	}
	c.tellImpact(ctx, out, flagImpact(plan.GetFlag().GetFlag()))
}

// confirm asks until it is answered; anything but yes is no.
func confirm(in io.Reader, out io.Writer, question string) bool {
	fmt.Fprintf(out, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(in).ReadString('\n') // the end of the input is a no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}
