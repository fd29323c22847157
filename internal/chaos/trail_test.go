//go:build unix

package chaos

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/streamcheck"
)

// trail is the audit trail of an item, newest entry first.
type trail struct {
	id      streamcheck.ID
	entries []*controlv1.AuditEntry
}

// written are the items that the scenario's clients may have written.
func (s *scenario) written() (items []streamcheck.ID) {
	flag := func(key string) {
		items = append(items, streamcheck.ID{Kind: int32(syncv1.Kind_KIND_FLAG), Key: key})
	}
	for _, w := range s.writers {
		for _, key := range w.Keys {
			flag(key)
		}
	}
	for _, c := range s.churns {
		for _, i := range c.items {
			if i.segment {
				items = append(items, streamcheck.ID{Kind: int32(syncv1.Kind_KIND_SEGMENT), Key: i.key})
			} else {
				flag(i.key)
			}
		}
	}
	for _, key := range s.lost {
		flag(key)
	}
	for generation := range rivalGenerations(s.history.Len()) {
		for number := range rivalFlags {
			flag(rivalKey(generation, number))
		}
	}
	if s.bulks > 0 {
		flag(bulkKey)
	}
	return items
}

// readTrails reads the trails of what the scenario's clients have written.
func (s *scenario) readTrails(ctx context.Context) {
	s.Helper()
	conn := bed.Dial(s, s.servers[0].GRPC)
	for _, id := range s.written() {
		entries, err := entries(ctx, conn, id)
		if status.Code(err) == codes.NotFound {
			continue // it was never there
		}
		s.must(err)
		s.trails = append(s.trails, trail{id: id, entries: entries})
	}
}

// entries reads an item's trail, page by page.
func entries(ctx context.Context, conn *grpc.ClientConn, id streamcheck.ID) (all []*controlv1.AuditEntry, err error) {
	page := func(token string) (entries []*controlv1.AuditEntry, next string, err error) {
		if id.Kind == int32(syncv1.Kind_KIND_SEGMENT) {
			r, err := controlv1.NewSegmentServiceClient(conn).ListSegmentHistory(ctx, &controlv1.ListSegmentHistoryRequest{
				Environment: bed.Environment, SegmentKey: id.Key, PageSize: 100, PageToken: token,
			})
			return r.GetEntries(), r.GetNextPageToken(), err
		}
		r, err := controlv1.NewFlagServiceClient(conn).ListFlagHistory(ctx, &controlv1.ListFlagHistoryRequest{
			Environment: bed.Environment, FlagKey: id.Key, PageSize: 100, PageToken: token,
		})
		return r.GetEntries(), r.GetNextPageToken(), err
	}
	for token := ""; ; {
		entries, next, err := page(token)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
		if token = next; token == "" {
			return all, nil
		}
	}
}
