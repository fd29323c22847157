package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/manifest"
	"github.com/tidegate/tidegate/internal/rollout"
)

func newFlagSetCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var (
		s      flagSetting
		dryRun bool
	)
	cmd := &cobra.Command{
		Use:   "set KEY",
		Short: "Change what a flag serves, or what it says about itself",
		Long: "Change what a flag serves, or what it says about itself.\n\n" +
			"The flag is read, edited and written on condition that nobody changed it meanwhile.\n" +
			"A split keeps its order, so that widening a rollout moves nobody out of it. For other\n" +
			"changes (rules, variants), edit a file: 'tidegate export' and 'tidegate apply'. Whom a\n" +
			"change would move is shown by 'tidegate flag preview'.",
		Example: "  tidegate flag set new-checkout --rollout on=5%,off=95% --environment production --reason \"5% as planned\"\n" +
			"  tidegate flag set new-checkout --default off --environment production --reason \"canary ends\"\n" +
			"  tidegate flag set use-new-postgres-index --rule background-jobs --rollout on=20%,off=80% --environment production --reason \"looks good\"",
		Args: oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			edit, err := s.edit(cmd)
			if err != nil {
				return err
			}
			if err := o.requireWrite(); err != nil && !dryRun {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				return c.setFlag(ctx, args[0], edit, dryRun)
			})
		},
	}
	o.registerWrite(cmd.Flags())
	o.registerPropose(cmd.Flags())
	s.register(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would change")
	return cmd
}

// flagSetting is what the flags of 'flag set' hold.
type flagSetting struct {
	description, owner, offVariant string
	addTags, removeTags            []string
	kind, lifetime                 string

	rule, serve, otherwise, rollout, bucketBy string

	bucketing     int
	clientVisible bool
}

func (s *flagSetting) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.otherwise, "default", "", "variant to serve where no rule matches")
	f.StringVar(&s.rollout, "rollout", "", "shares of the variants, as on=5%,off=95%: of the default, or of the rule")
	f.StringVar(&s.bucketBy, "bucket-by", "", "attribute that the rollout hashes; empty: the targeting key")
	f.StringVar(&s.rule, "rule", "", "id of the rule to change")
	f.StringVar(&s.serve, "serve", "", "variant that the rule serves")
	f.IntVar(&s.bucketing, "bucketing-version", 0, "how the flag and all of its splits assign: 2 or 3; another one assigns everyone anew (see 'flag preview')")
	f.StringVar(&s.offVariant, "off-variant", "", "variant to serve while the flag is disabled; empty: the caller's default")
	f.StringVar(&s.description, "description", "", "what the flag is for")
	f.StringVar(&s.owner, "owner", "", "whom to ask")
	f.StringVar(&s.kind, "kind", "", alternatives(manifest.FlagKinds())+"; empty: none of them")
	f.StringVar(&s.lifetime, "expected-lifetime", "", "how long the flag is expected to be there, such as 40d; empty: for ever")
	f.BoolVar(&s.clientVisible, "client-visible", false, "whether keys of clients may evaluate the flag; its values are public then")
	f.StringSliceVar(&s.addTags, "add-tag", nil, "tags to add")
	f.StringSliceVar(&s.removeTags, "remove-tag", nil, "tags to remove")
}

// edit is what was asked for; what was not mentioned stays as it is.
func (s *flagSetting) edit(cmd *cobra.Command) (*flagEdit, error) {
	given := func(name string, value *string) *string {
		if !cmd.Flags().Changed(name) {
			return nil
		}
		return value
	}
	e := &flagEdit{
		description: given("description", &s.description), owner: given("owner", &s.owner), offVariant: given("off-variant", &s.offVariant),
		addTags: s.addTags, removeTags: s.removeTags,
		rule: s.rule, serve: given("default", &s.otherwise), bucketBy: given("bucket-by", &s.bucketBy),
		bucketing: flagv1.BucketingVersion(s.bucketing),
	}
	if err := s.purpose(cmd, e); err != nil {
		return nil, err
	}
	if cmd.Flags().Changed("client-visible") {
		e.clientVisible = &s.clientVisible
	}
	if s.rule != "" {
		e.serve = given("serve", &s.serve)
	}
	if s.rollout != "" {
		split, err := parseSplit(s.rollout)
		if err != nil {
			return nil, usagef("--rollout: %v", err)
		}
		e.split = split
	}
	changed := cmd.Flags().Changed
	switch {
	case changed("default") && changed("rollout"), changed("serve") && changed("rollout"):
		return nil, usagef("--rollout shares out what --default and --serve give to one variant: pass one of them")
	case changed("default") && s.rule != "":
		return nil, usagef("what a rule serves is --serve; --default is for where no rule matches")
	case changed("serve") && s.rule == "":
		return nil, usagef("--serve needs --rule; without a rule, it is --default")
	case e.bucketBy != nil && e.split == nil:
		return nil, usagef("--bucket-by needs --rollout")
	case s.rule != "" && e.serve == nil && e.split == nil:
		return nil, usagef("--rule %s needs --serve or --rollout", s.rule)
	case changed("bucketing-version") && s.bucketing != 2 && s.bucketing != 3:
		return nil, usagef("--bucketing-version %d: expected 2 or 3", s.bucketing)
	case !slices.ContainsFunc(settings, changed):
		return nil, usagef("nothing to change: say what, as in --rollout on=5%%,off=95%%")
	}
	return e, nil
}

// settings are the flags of the command that change something.
var settings = []string{
	"default", "rollout", "serve", "bucketing-version", "description", "owner", "off-variant", "kind", "expected-lifetime",
	"client-visible", "add-tag", "remove-tag",
}

// purpose reads what the flag is for.
func (s *flagSetting) purpose(cmd *cobra.Command, e *flagEdit) error {
	if cmd.Flags().Changed("kind") {
		kind, ok := manifest.ParseFlagKind(s.kind)
		if !ok && s.kind != "" {
			return usagef("--kind %s: expected %s", s.kind, alternatives(manifest.FlagKinds()))
		}
		e.kind = &kind
	}
	if cmd.Flags().Changed("expected-lifetime") {
		var d time.Duration
		if s.lifetime != "" {
			var err error
			if d, err = rollout.ParseDuration(s.lifetime); err != nil || d == 0 {
				return usagef("--expected-lifetime %s: expected a time such as 40d", s.lifetime)
			}
		}
		e.expectedLifetime = &d
	}
	return nil
}

// setFlag writes the edited flag on condition that it is still the one that was read.
func (c *client) setFlag(ctx context.Context, key string, edit *flagEdit, dryRun bool) error {
	current, err := c.flagVersion(ctx, key)
	if err != nil {
		return err
	}
	edited, err := edit.apply(current.GetFlag())
	if err != nil {
		return err
	}
	next := flagWrite(edited, current.GetRevision())
	if dryRun {
		return c.setFlagDryRun(ctx, next)
	}
	if c.proposing.on {
		return c.propose(ctx, &controlv1.ProposeChangeRequestRequest{Flags: []*controlv1.FlagWrite{next}})
	}
	response, err := write(ctx, c, c.flags.UpdateFlag, &controlv1.UpdateFlagRequest{
		Environment: c.environment, Flag: edited, BaseRevision: current.GetRevision(), Reason: c.reason, RequestId: newRequestID(),
	})
	if err != nil {
		return err
	}
	return c.show(response, func(out io.Writer) {
		if response.GetEntry() == nil {
			fmt.Fprintf(out, "%s is already so in %s, at revision %d\n", key, c.environment, response.GetFlag().GetRevision())
			return
		}
		fmt.Fprintf(out, "%s changed in %s at revision %d\n", key, c.environment, response.GetFlag().GetRevision())
		writeChanges(out, c.paint, "  ", response.GetEntry().GetChanges())
	})
}

func (c *client) setFlagDryRun(ctx context.Context, w *controlv1.FlagWrite) error {
	response, err := read(ctx, c, c.flags.Apply, &controlv1.ApplyRequest{
		Environment: c.environment, Flags: []*controlv1.FlagWrite{w}, ValidateOnly: true,
	})
	if err != nil {
		return err
	}
	return c.show(response, func(out io.Writer) {
		changes := response.GetResults()[0].GetChanges()
		if len(changes) == 0 {
			fmt.Fprintf(out, "%s is already so in %s, at revision %d\n", w.GetFlag().GetKey(), c.environment, w.GetBaseRevision())
			return
		}
		fmt.Fprintf(out, "%s would change in %s (revision %d); nothing was written\n", w.GetFlag().GetKey(), c.environment, w.GetBaseRevision())
		writeChanges(out, c.paint, "  ", changes)
		c.tellImpact(ctx, out, flagImpact(w.GetFlag()))
	})
}
