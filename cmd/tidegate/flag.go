package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/manifest"
)

func newFlagCommand(io *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "flag",
		Short: "Show and change flags",
		Long: "Show and change flags.\n\n" +
			"Reads show production unless told otherwise (--environment, or $" + environmentVariable + ").\n" +
			"Writes have no default environment, and ask why: --reason is kept in the audit trail.",
	}
	cmd.AddCommand(
		newFlagListCommand(io),
		newFlagGetCommand(io),
		newFlagSetCommand(io),
		newFlagPreviewCommand(io),
		newFlagExplainCommand(io),
		newFlagEnableCommand(io, true),
		newFlagEnableCommand(io, false),
		newFlagDeleteCommand(io),
		newFlagHistoryCommand(io),
		newFlagRestoreCommand(io),
		newFlagPromoteCommand(io),
		newFlagStaleCommand(io),
	)
	return cmd
}

func newFlagListCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var prefix string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the flags of an environment",
		Example: "  tidegate flag list --environment staging\n  tidegate flag list --prefix checkout. -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				list, err := c.listFlags(ctx, o.environment, prefix)
				if err != nil {
					return err
				}
				if o.output == outputYAML {
					d := &manifest.Document{}
					for _, v := range list.GetFlags() {
						d.Flags = append(d.Flags, v.GetFlag())
					}
					return writeManifest(c.out, d, "")
				}
				var sources []*controlv1.FileSource
				if o.output == outputTable {
					sources = c.fileSources(ctx)
				}
				return c.show(list, func(out io.Writer) { c.writeFlagList(out, list, sources) })
			})
		},
	}
	o.registerRead(cmd.Flags())
	cmd.Flags().StringVar(&prefix, "prefix", "", "only flags whose keys start with this")
	return cmd
}

// pageSize of lists: large enough to be few calls, small enough for pages of the largest
// flags.
const pageSize = 100

// listFlags reads all pages, as one answer.
func (c *client) listFlags(ctx context.Context, environment, prefix string) (*controlv1.ListFlagsResponse, error) {
	all := &controlv1.ListFlagsResponse{}
	token := ""
	for {
		page, err := read(ctx, c, c.flags.ListFlags, &controlv1.ListFlagsRequest{
			Environment: environment, KeyPrefix: prefix, PageSize: pageSize, PageToken: token,
		})
		if err != nil {
			return nil, err
		}
		all.Flags = append(all.Flags, page.GetFlags()...)
		all.Revision = page.GetRevision()
		if token = page.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

// writeFlagList writes flags, and which are kept in files if any are.
func (c *client) writeFlagList(out io.Writer, list *controlv1.ListFlagsResponse, sources []*controlv1.FileSource) {
	if len(list.GetFlags()) == 0 {
		fmt.Fprintf(out, "no flags in %s (revision %d)\n", c.environment, list.GetRevision())
		return
	}
	t := table{paint: c.paint, header: []string{"KEY", "STATE", "TYPE", "SERVES", "OWNER", "REVISION"}}
	if len(sources) > 0 {
		t.header = append(t.header, "FILES")
	}
	for _, v := range list.GetFlags() {
		f := v.GetFlag()
		row := []cell{
			{singleLine(f.GetKey()), c.paint.bold},
			c.stateCell(f.GetEnabled()), plain(typeWord(f.GetType())),
			plain(servesText(f)), plain(f.GetOwner()), number(v.GetRevision()),
		}
		if len(sources) > 0 {
			row = append(row, plain(keeperOf(sources, f.GetKey()).GetName()))
		}
		t.add(row...)
	}
	t.write(out)
}

func (c *client) stateCell(enabled bool) cell {
	if enabled {
		return cell{"enabled", c.paint.green}
	}
	return cell{"disabled", c.paint.red}
}

func newFlagGetCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Show a flag, in the form of files",
		Example: "  tidegate flag get new-checkout\n" +
			"  tidegate flag get new-checkout --environment staging > new-checkout.yaml",
		Long: "Show a flag, in the form that 'tidegate apply' reads.",
		Args: oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.flags.GetFlag, &controlv1.GetFlagRequest{Environment: o.environment, FlagKey: args[0]})
				if err != nil {
					return err
				}
				if o.output == outputJSON {
					return writeJSON(c.out, response)
				}
				v := response.GetFlag()
				where := fmt.Sprintf("%s, revision %d", o.environment, v.GetRevision())
				if s := keeperOf(c.fileSources(ctx), args[0]); s != nil {
					where += ", kept in files of source " + s.GetName()
					if s.GetLocation() != "" {
						where += " (" + singleLine(s.GetLocation()) + ")"
					}
				}
				return writeManifest(c.out, &manifest.Document{Flags: []*flagv1.Flag{v.GetFlag()}}, where)
			})
		},
	}
	o.registerRead(cmd.Flags())
	return cmd
}

// flagVersion reads a flag that is to be changed.
func (c *client) flagVersion(ctx context.Context, key string) (*controlv1.FlagVersion, error) {
	response, err := read(ctx, c, c.flags.GetFlag, &controlv1.GetFlagRequest{Environment: c.environment, FlagKey: key})
	return response.GetFlag(), err
}
