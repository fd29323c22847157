package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// defaultSample is enough to tell shares to a tenth of a percent.
const defaultSample = 100_000

func newFlagPreviewCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var (
		s          flagSetting
		p          preview
		attributes []string
	)
	cmd := &cobra.Command{
		Use:   "preview KEY",
		Short: "Show whom a change of a flag would move, and change nothing",
		Long: "Show whom a change of a flag would move, and change nothing.\n\n" +
			"Takes the changes that 'tidegate flag set' takes. The flag is evaluated here as it is and\n" +
			"as it would be, with the segments and prerequisites that it needs, for one targeting key\n" +
			"after the other: those of a file, one a line, or made-up ones (sample-1, sample-2 ...),\n" +
			"which tell the shares, but belong to no segment. Then, of those whom relays have\n" +
			"answered in the last 30 to 60 minutes, from samples that they keep: who evaluates in\n" +
			"process, or without a targeting key, is not among them.",
		Example: "  tidegate flag preview new-checkout --bucketing-version 3\n" +
			"  tidegate flag preview new-checkout --rollout on=20%,off=80% --keys users.txt --attribute plan=gold --list 10\n" +
			"  tidegate flag preview use-new-postgres-index --bucketing-version 3 --attribute workload=background-job --key-attribute jobId",
		Args: oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			edit, err := s.edit(cmd)
			if err != nil {
				return err
			}
			if err := p.check(cmd.Flags().Changed("sample")); err != nil {
				return err
			}
			given, err := parseAttributes(attributes)
			if err != nil {
				return err
			}
			p.attributes = given.AsMap()
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				return c.preview(ctx, args[0], edit, &p)
			})
		},
	}
	f := cmd.Flags()
	o.registerRead(f)
	s.register(cmd)
	f.SetNormalizeFunc(attributeNames)
	f.StringVar(&p.file, "keys", "", "file of targeting keys, one a line, or -")
	f.IntVar(&p.sample, "sample", defaultSample, "how many keys to make up, without --keys")
	f.StringVar(&p.keyAttribute, "key-attribute", "", "attribute to put the keys into, where that is what a split hashes; empty: the targeting key")
	f.StringArrayVarP(&attributes, "attribute", "a", nil, "attribute that all have, NAME=TEXT or NAME:=JSON; may be repeated")
	f.StringVar(&p.region, "region", "", "region to evaluate in")
	f.IntVar(&p.list, "list", 0, "how many of those that move to name")
	return cmd
}

// preview fetches the flag and what it needs, and counts who would move.
func (c *client) preview(ctx context.Context, key string, edit *flagEdit, p *preview) error {
	current, err := c.flagVersion(ctx, key)
	if err != nil {
		return err
	}
	edited, err := edit.apply(current.GetFlag())
	if err != nil {
		return err
	}
	changes, err := c.withNeeds(ctx, current.GetFlag())
	if err != nil {
		return err
	}
	var none *eval.Environment
	p.before = none.With(changes)
	after, err := eval.Compile(edited, current.GetRevision())
	if err != nil {
		return fmt.Errorf("%s would not be valid: %w", key, err)
	}
	p.after = p.before.With(eval.Changes{Flags: []*eval.Flag{after}})
	p.key, p.now = key, time.Now().Unix()
	if err := p.run(ctx, c.in); err != nil {
		return err
	}
	answer, err := p.answer(c.environment, current.GetRevision())
	if err != nil {
		return err
	}
	// Beside what was made up, whom relays have answered.
	impact, unknown := c.impact(ctx, flagImpact(edited))
	if unknown == nil && impact.GetRelaysTotal() > 0 {
		if answer.Fields["relays"], err = structOf(impact); err != nil {
			return err
		}
	}
	return c.show(answer, func(out io.Writer) {
		c.writePreview(out, p, current.GetRevision())
		c.writeImpact(out, impact, unknown)
	})
}

// withNeeds compiles the flag, its prerequisites and theirs, and the segments of all of
// them. What is not there does not hold, as everywhere.
func (c *client) withNeeds(ctx context.Context, f *flagv1.Flag) (eval.Changes, error) {
	var changes eval.Changes
	flags, segments := map[string]bool{f.GetKey(): true}, map[string]bool{}
	for queue := []*flagv1.Flag{f}; len(queue) > 0; queue = queue[1:] {
		f := queue[0]
		compiled, err := eval.Compile(f, 0)
		if err != nil {
			return changes, fmt.Errorf("flag %s cannot be evaluated here: %w", f.GetKey(), err)
		}
		changes.Flags = append(changes.Flags, compiled)
		for _, key := range segmentsOf(f) {
			if !segments[key] {
				segments[key] = true
				if err := c.addSegment(ctx, key, &changes); err != nil {
					return changes, err
				}
			}
		}
		for _, p := range f.GetPrerequisites() {
			if flags[p.GetFlagKey()] {
				continue
			}
			flags[p.GetFlagKey()] = true
			needed, err := c.flagVersion(ctx, p.GetFlagKey())
			switch {
			case err == nil:
				queue = append(queue, needed.GetFlag())
			case !isNotFound(err):
				return changes, err
			}
		}
	}
	return changes, nil
}

func (c *client) addSegment(ctx context.Context, key string, changes *eval.Changes) error {
	v, err := c.segmentVersion(ctx, key)
	if err != nil {
		if isNotFound(err) {
			return nil
		}
		return err
	}
	compiled, err := eval.CompileSegment(v.GetSegment(), 0)
	if err != nil {
		return fmt.Errorf("segment %s cannot be evaluated here: %w", key, err)
	}
	changes.Segments = append(changes.Segments, compiled)
	return nil
}

func segmentsOf(f *flagv1.Flag) []string {
	var keys []string
	for _, r := range f.GetRules() {
		for _, clause := range r.GetClauses() {
			if clause.GetOperator() != flagv1.Operator_OPERATOR_IN_SEGMENT {
				continue
			}
			for _, v := range clause.GetValues() {
				keys = append(keys, v.GetStringValue())
			}
		}
	}
	return keys
}

func (c *client) writePreview(out io.Writer, p *preview, revision int64) {
	keys := "made-up keys"
	if p.file != "" {
		keys = "keys of " + p.fileName()
	}
	fmt.Fprintf(out, "%s in %s (revision %d), for %d %s\n", c.paint.bold(singleLine(p.key)), c.environment, revision, p.total, keys)
	t := table{paint: c.paint, header: []string{"NOW", "THEN", "KEYS", "SHARE"}}
	for _, m := range p.moves() {
		paint := c.paint.dim
		if m.moves() {
			paint = c.paint.yellow
		}
		t.add(cell{m.before.text(), paint}, cell{m.after.text(), paint}, number(int64(p.counts[m])), plain(p.share(p.counts[m])))
	}
	t.write(out)
	if p.problem != "" {
		fmt.Fprintln(out, c.paint.red(visible(p.problem)))
	}
	if len(p.movers) > 0 {
		fmt.Fprintln(out)
		t := table{paint: c.paint, header: []string{"KEY", "NOW", "THEN"}}
		for _, m := range p.movers {
			t.add(cell{singleLine(m.key), c.paint.bold}, plain(m.before.text()), plain(m.after.text()))
		}
		t.write(out)
	}
	fmt.Fprintf(out, "%s would move; nothing was written\n", p.movedText())
}

// movedText is such as '20 of 1000 (2%)'.
func (p *preview) movedText() string {
	return strconv.Itoa(p.moved) + " of " + strconv.Itoa(p.total) + " (" + p.share(p.moved) + ")"
}
