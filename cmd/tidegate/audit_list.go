package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func newAuditListCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var (
		f      entryFilter
		limit  int
		oldest bool
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Search a trail: by flag, by person, by time, by what was done",
		Example: "  tidegate audit list --environment production --since 2h\n" +
			"  tidegate audit list --by ann --action disabled,rolled-back --limit 0\n" +
			"  tidegate audit list -e _access",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter(time.Now())
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				answer := &controlv1.ListEntriesResponse{}
				answer.NextPageToken, err = c.listEntries(ctx, filter, oldest, limit, func(entries []*controlv1.AuditEntry) error {
					answer.Entries = append(answer.Entries, entries...)
					return nil
				})
				if err != nil {
					return err
				}
				return c.show(answer, func(out io.Writer) {
					if len(answer.GetEntries()) == 0 {
						fmt.Fprintf(out, "no such changes in %s\n", c.environment)
					}
					c.writeEntries(out, answer.GetEntries())
					if answer.GetNextPageToken() != "" {
						fmt.Fprintln(out, c.paint.dim("there may be more: see --limit"))
					}
				})
			})
		},
	}
	o.registerTrail(cmd.Flags())
	f.register(cmd.Flags())
	registerLimit(cmd, &limit)
	cmd.Flags().BoolVar(&oldest, "oldest-first", false, "the oldest ones first")
	return cmd
}

// listEntries hands over pages until there are enough entries; 0: all.
func (c *client) listEntries(ctx context.Context, filter *controlv1.EntryFilter, oldest bool, limit int, take func([]*controlv1.AuditEntry) error) (next string, err error) {
	if limit < 0 {
		return "", usagef("--limit %d: expected a number from 0", limit)
	}
	r := &controlv1.ListEntriesRequest{Environment: c.environment, Filter: filter, Order: controlv1.EntryOrder_ENTRY_ORDER_NEWEST_FIRST}
	if oldest {
		r.Order = controlv1.EntryOrder_ENTRY_ORDER_OLDEST_FIRST
	}
	for n := 0; ; {
		r.PageSize = largestPage
		if limit > 0 {
			r.PageSize = int32(min(largestPage, limit-n))
		}
		page, err := read(ctx, c, c.audit.ListEntries, r)
		if err != nil {
			return "", err
		}
		if err := take(page.GetEntries()); err != nil {
			return "", err
		}
		n += len(page.GetEntries())
		if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" || limit > 0 && n >= limit {
			return r.GetPageToken(), nil
		}
	}
}

func newAuditWatchCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var (
		f    entryFilter
		from int64
	)
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show changes as they are made",
		Example: "  tidegate audit watch --environment production\n" +
			"  tidegate audit watch --by deploy-bot -o json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter(time.Now())
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				w := &entryWatch{client: c, request: &controlv1.WatchEntriesRequest{Environment: o.environment, Filter: filter, FromRevision: from}, wait: c.retryWait}
				return w.run(ctx)
			})
		},
	}
	o.registerTrail(cmd.Flags())
	f.register(cmd.Flags())
	cmd.Flags().Int64Var(&from, "from-revision", 0, "the first revision to show; 0: what is written from now on")
	return cmd
}

// entryWatch follows a trail over servers that come and go.
type entryWatch struct {
	*client
	request *controlv1.WatchEntriesRequest
	wait    time.Duration
	worked  bool
	// shown are the entries of the revision that the request goes on from.
	shown map[string]bool
}

// run ends with the context, which is how a watch ends, and with what trying again does not mend.
func (w *entryWatch) run(ctx context.Context) error {
	for {
		err := w.once(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // to be stopped is how a watch ends
		case !w.worked || status.Code(err) != codes.Unavailable:
			return err
		}
		fmt.Fprintf(w.err, "%s; watching again\n", w.explain(err))
		select {
		case <-time.After(w.wait):
			w.wait = min(2*w.wait, longestWatchWait)
		case <-ctx.Done():
			return nil
		}
	}
}

func (w *entryWatch) once(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.audit.WatchEntries(ctx, w.request)
	if err != nil {
		return err
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		w.worked, w.wait = true, w.retryWait
		e := answer.GetEntry()
		if e == nil {
			w.request.FromRevision = answer.GetRevision() + 1
			continue
		}
		name := fmt.Sprint(e.GetKind(), e.GetKey(), e.GetSequence())
		if w.request.GetFromRevision() != e.GetRevision() {
			w.request.FromRevision, w.shown = e.GetRevision(), make(map[string]bool)
		}
		if w.shown[name] {
			continue
		}
		if err := w.showEntry(e); err != nil {
			return err
		}
		if w.shown == nil {
			w.shown = make(map[string]bool)
		}
		w.shown[name] = true
	}
}

func (w *entryWatch) showEntry(e *controlv1.AuditEntry) error {
	if w.output == outputJSON {
		return writeJSONLine(w.out, e)
	}
	return w.show(e, func(out io.Writer) { w.writeEntries(out, []*controlv1.AuditEntry{e}) })
}
