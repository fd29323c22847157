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

func newSegmentCommand(io *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "segment",
		Short: "Show, delete and restore segments",
		Long:  "Show, delete and restore segments: audiences that any number of flags can name.\nTo create or change one, write it in a file and 'tidegate apply' it.",
	}
	cmd.AddCommand(
		newSegmentListCommand(io),
		newSegmentGetCommand(io),
		newSegmentDeleteCommand(io),
		newSegmentHistoryCommand(io),
		newSegmentRestoreCommand(io),
	)
	return cmd
}

func newSegmentListCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var prefix string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the segments of an environment",
		Example: "  tidegate segment list\n" +
			"  tidegate segment list --prefix beta- -o json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				list, err := c.listSegments(ctx, o.environment, prefix)
				if err != nil {
					return err
				}
				if o.output == outputYAML {
					d := &manifest.Document{}
					for _, v := range list.GetSegments() {
						d.Segments = append(d.Segments, v.GetSegment())
					}
					return writeManifest(c.out, d, "")
				}
				return c.show(list, func(out io.Writer) { c.writeSegmentList(out, list) })
			})
		},
	}
	o.registerRead(cmd.Flags())
	cmd.Flags().StringVar(&prefix, "prefix", "", "only segments whose keys start with this")
	return cmd
}

// listSegments reads all pages, as one answer.
func (c *client) listSegments(ctx context.Context, environment, prefix string) (*controlv1.ListSegmentsResponse, error) {
	all := &controlv1.ListSegmentsResponse{}
	token := ""
	for {
		page, err := read(ctx, c, c.segments.ListSegments, &controlv1.ListSegmentsRequest{
			Environment: environment, KeyPrefix: prefix, PageSize: pageSize, PageToken: token,
		})
		if err != nil {
			return nil, err
		}
		all.Segments = append(all.Segments, page.GetSegments()...)
		all.Revision = page.GetRevision()
		if token = page.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

func (c *client) writeSegmentList(out io.Writer, list *controlv1.ListSegmentsResponse) {
	if len(list.GetSegments()) == 0 {
		fmt.Fprintf(out, "no segments in %s (revision %d)\n", c.environment, list.GetRevision())
		return
	}
	t := table{paint: c.paint, header: []string{"KEY", "INCLUDED", "EXCLUDED", "RULES", "OWNER", "REVISION"}}
	for _, v := range list.GetSegments() {
		s := v.GetSegment()
		t.add(cell{singleLine(s.GetKey()), c.paint.bold}, number(int64(len(s.GetIncluded()))), number(int64(len(s.GetExcluded()))),
			number(int64(len(s.GetRules()))), plain(s.GetOwner()), number(v.GetRevision()))
	}
	t.write(out)
}

func newSegmentGetCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "get KEY",
		Short:   "Show a segment, in the form of files",
		Example: "  tidegate segment get staff",
		Args:    oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.segments.GetSegment, &controlv1.GetSegmentRequest{Environment: o.environment, SegmentKey: args[0]})
				if err != nil {
					return err
				}
				if o.output == outputJSON {
					return writeJSON(c.out, response)
				}
				v := response.GetSegment()
				return writeManifest(c.out, &manifest.Document{Segments: []*flagv1.Segment{v.GetSegment()}},
					fmt.Sprintf("%s, revision %d", o.environment, v.GetRevision()))
			})
		},
	}
	o.registerRead(cmd.Flags())
	return cmd
}

// segmentVersion reads a segment that is to be changed.
func (c *client) segmentVersion(ctx context.Context, key string) (*controlv1.SegmentVersion, error) {
	response, err := read(ctx, c, c.segments.GetSegment, &controlv1.GetSegmentRequest{Environment: c.environment, SegmentKey: key})
	return response.GetSegment(), err
}

func newSegmentDeleteCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "delete KEY",
		Short:   "Delete a segment that no flag refers to; its history stays, and can bring it back",
		Example: "  tidegate segment delete staff --environment production --reason \"nobody uses it\"",
		Args:    oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireWrite(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				current, err := c.segmentVersion(ctx, args[0])
				if err != nil {
					return err
				}
				if o.proposing.on {
					return c.propose(ctx, &controlv1.ProposeChangeRequestRequest{Deletes: []*controlv1.ResourceDelete{{
						Kind: controlv1.ResourceKind_RESOURCE_KIND_SEGMENT, Key: args[0], BaseRevision: current.GetRevision(),
					}}})
				}
				response, err := write(ctx, c, c.segments.DeleteSegment, &controlv1.DeleteSegmentRequest{
					Environment: o.environment, SegmentKey: args[0], BaseRevision: current.GetRevision(),
					Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					fmt.Fprintf(out, "%s deleted in %s at revision %d\n", args[0], o.environment, response.GetEntry().GetRevision())
					fmt.Fprintf(out, "to bring it back: tidegate segment restore %s --revision %d --environment %s --reason \"...\"\n",
						args[0], current.GetRevision(), o.environment)
				})
			})
		},
	}
	o.registerWrite(cmd.Flags())
	o.registerPropose(cmd.Flags())
	return cmd
}
