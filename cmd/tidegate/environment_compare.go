package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// errDiffers has a command end with exit code 1 and nothing more to say.
var errDiffers = errors.New("something differs")

// compareOptions are the flags of 'tidegate environment compare'.
type compareOptions struct {
	*clientOptions
	*controlv1.CompareEnvironmentsRequest
	all, exitCode bool
}

func newEnvironmentCompareCommand(streams *streams) *cobra.Command {
	o := &compareOptions{clientOptions: newClientOptions(), CompareEnvironmentsRequest: &controlv1.CompareEnvironmentsRequest{}}
	cmd := &cobra.Command{
		Use:   "compare NAME NAME...",
		Short: "Show which flags and segments differ between environments",
		Long: "Show which flags and segments differ between 2 to 10 environments: a table with a column for\n" +
			"each of them, all as of one revision. The first one is what the others are compared with.\n\n" +
			"  on, off   the flag is as in the first environment, and enabled or disabled here\n" +
			"  there     the segment is as in the first environment\n" +
			"  differs   it is another one here: see what differs with --key\n" +
			"  missing   it is not here\n\n" +
			"To be on in one environment and off in another is no difference, unless --include-enabled is\n" +
			"given. The exit code is 0, or with --exit-code 1 if something differs.",
		Example: "  tidegate environment compare dev staging production\n" +
			"  tidegate environment compare staging production --key new-checkout\n" +
			"  tidegate environment compare staging production --key-prefix checkout. --exit-code",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("say what to compare: two environments at least, as in: compare staging production")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Key != "" && o.KeyPrefix != "" {
				return usagef("--key and --key-prefix: give one of them")
			}
			o.Environments = args
			o.OnlyDiffering, o.IncludeChanges = !o.all && o.Key == "", o.Key != ""
			return o.run(cmd.Context(), streams, o.compare)
		},
	}
	f := cmd.Flags()
	o.registerServer(f)
	f.StringVar(&o.Key, "key", "", "only the flag and the segment of this key, with what differs in them")
	f.StringVar(&o.KeyPrefix, "key-prefix", "", "only keys that begin with this")
	f.BoolVar(&o.all, "all", false, "show also what is the same in all of them")
	f.BoolVar(&o.IncludeEnabled, "include-enabled", false, "to be on here and off there is a difference, too")
	f.BoolVar(&o.exitCode, "exit-code", false, "end with exit code 1 if something differs")
	return cmd
}

func (o *compareOptions) compare(ctx context.Context, c *client) error {
	whole := &controlv1.CompareEnvironmentsResponse{}
	for {
		page, err := read(ctx, c, c.environments.CompareEnvironments, o.CompareEnvironmentsRequest)
		if err != nil {
			return err
		}
		whole.Comparisons, whole.Revision = append(whole.Comparisons, page.GetComparisons()...), page.GetRevision()
		if o.PageToken = page.GetNextPageToken(); o.PageToken == "" {
			break
		}
	}
	if err := c.show(whole, func(out io.Writer) { o.write(out, c, whole) }); err != nil {
		return err
	}
	if o.exitCode && slices.ContainsFunc(whole.GetComparisons(), (*controlv1.Comparison).GetDiffers) {
		return errDiffers
	}
	return nil
}

func (o *compareOptions) write(out io.Writer, c *client, r *controlv1.CompareEnvironmentsResponse) {
	differing := 0
	t := table{paint: c.paint, header: append([]string{"KIND", "KEY"}, o.Environments...)}
	for _, row := range r.GetComparisons() {
		cells := make([]cell, 0, len(t.header))
		cells = append(cells, plain(kindWord(row.GetKind())), cell{singleLine(row.GetKey()), c.paint.bold})
		for _, e := range row.GetEnvironments() {
			cells = append(cells, c.comparedCell(row.GetKind(), e))
		}
		if t.add(cells...); row.GetDiffers() {
			differing++
		}
	}
	if len(t.rows) > 0 {
		t.write(out)
	}
	o.writeDifferences(out, c, r)
	switch {
	case o.Key != "" && len(t.rows) == 0:
		fmt.Fprintf(out, "there is no flag or segment %s in %s\n", singleLine(o.Key), strings.Join(o.Environments, ", "))
	case differing == 1:
		fmt.Fprintf(out, "1 %s, as of revision %d\n", c.paint.yellow("differs"), r.GetRevision())
	case differing > 1:
		fmt.Fprintf(out, "%d %s, as of revision %d\n", differing, c.paint.yellow("differ"), r.GetRevision())
	default:
		fmt.Fprintf(out, "nothing differs, as of revision %d\n", r.GetRevision())
	}
}

func (c *client) comparedCell(k controlv1.ResourceKind, e *controlv1.Compared) cell {
	text := "there"
	switch {
	case e.GetRevision() == 0 && e.GetDiffers():
		return cell{"missing", c.paint.red}
	case e.GetRevision() == 0:
		return cell{"missing", c.paint.dim}
	case k == controlv1.ResourceKind_RESOURCE_KIND_FLAG && e.GetEnabled():
		text = "on"
	case k == controlv1.ResourceKind_RESOURCE_KIND_FLAG:
		text = "off"
	}
	if e.GetDiffers() {
		return cell{text + ", differs", c.paint.yellow}
	}
	return cell{text: text}
}

// writeDifferences writes what differs, where it was asked for.
func (o *compareOptions) writeDifferences(out io.Writer, c *client, r *controlv1.CompareEnvironmentsResponse) {
	for _, row := range r.GetComparisons() {
		for i, e := range row.GetEnvironments() {
			if len(e.GetChanges()) == 0 || e.GetRevision() == 0 {
				continue
			}
			fmt.Fprintf(out, "%s %s: %s -> %s\n", kindWord(row.GetKind()), c.paint.bold(singleLine(row.GetKey())), o.Environments[0], o.Environments[i])
			writeChanges(out, c.paint, "    ", e.GetChanges())
		}
	}
}
