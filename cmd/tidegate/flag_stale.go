package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/manifest"
	"github.com/tidegate/tidegate/internal/rollout"
)

func newFlagStaleCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var prefix, unused, constant string
	cmd := &cobra.Command{
		Use:   "stale",
		Short: "List the flags that may have had their time, and why",
		Long: "List the flags that may have had their time, and why: nobody evaluates them, they serve\n" +
			"everyone the same (a rollout at 0% or 100%, or a flag that is disabled), or they are older\n" +
			"than was expected of them ('flag set --expected-lifetime'). Flags whose kind is operational\n" +
			"or permission may serve everyone the same for years.\n\n" +
			"What is evaluated is told once a minute by relays, and by clients of tidegate's SDK that\n" +
			"evaluate in process; what flagd's providers serve in process is not known. Where a flag is used in source, see 'tidegate refs scan'.",
		Example: "  tidegate flag stale --environment production\n  tidegate flag stale --prefix checkout. --unused-for 7d --constant-for 90d",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			request := &controlv1.ListStaleFlagsRequest{Environment: o.environment, KeyPrefix: prefix}
			for _, d := range []struct {
				name, text string
				into       **durationpb.Duration
			}{{"unused-for", unused, &request.UnusedFor}, {"constant-for", constant, &request.ConstantFor}} {
				parsed, err := rollout.ParseDuration(d.text)
				if err != nil || parsed == 0 {
					return usagef("--%s %s: expected a time such as 14d", d.name, d.text)
				}
				*d.into = durationpb.New(parsed)
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.flags.ListStaleFlags, request)
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) { c.writeStale(out, response) })
			})
		},
	}
	o.registerRead(cmd.Flags())
	cmd.Flags().StringVar(&prefix, "prefix", "", "only flags whose keys start with this")
	cmd.Flags().StringVar(&unused, "unused-for", "14d", "stale is what nobody evaluated for so long")
	cmd.Flags().StringVar(&constant, "constant-for", "30d", "stale is what has served everyone the same for so long")
	return cmd
}

func (c *client) writeStale(out io.Writer, response *controlv1.ListStaleFlagsResponse) {
	if len(response.GetFlags()) == 0 {
		fmt.Fprintf(out, "no stale flags in %s (revision %d)\n", c.environment, response.GetRevision())
	} else {
		t := table{paint: c.paint, header: []string{"KEY", "KIND", "OWNER", "WHY"}}
		for _, f := range response.GetFlags() {
			for i, reason := range f.GetReasons() {
				row := []cell{{}, {}, {}, plain(reason.GetText())}
				if i == 0 {
					row[0] = cell{singleLine(f.GetFlagKey()), c.paint.bold}
					row[1], row[2] = plain(manifest.FlagKindName(f.GetKind())), plain(f.GetOwner())
				}
				t.add(row...)
			}
		}
		t.write(out)
	}
	if since := response.GetCountedSince(); since == nil {
		fmt.Fprintln(out, c.paint.dim("no relay has told yet which flags are evaluated: none is called unused"))
	} else {
		fmt.Fprintln(out, c.paint.dim("evaluations are counted since "+strings.TrimSuffix(since.AsTime().Format(time.DateTime), ":00")+" UTC"))
	}
}
