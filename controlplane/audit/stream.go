package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// exportBytes is about how large a message of an export is.
const exportBytes = 1 << 20

// Watch answers AuditService.WatchEntries.
func (t *Trails) Watch(ctx context.Context, r *controlv1.WatchEntriesRequest, shown Shown, send func(*controlv1.WatchEntriesResponse) error) error {
	if err := t.checkTrail(ctx, r.GetEnvironment()); err != nil {
		return err
	}
	f, err := newFilter(r.GetFilter())
	if err != nil {
		return err
	}
	from := r.GetFromRevision()
	switch {
	case from < 0:
		return invalid("from_revision", "must not be negative")
	case from == 0:
		_, now, err := t.o.Store.Read(ctx, store.Key(MarkKey))
		if err != nil {
			return controlplane.Unavailable(err)
		}
		from = now + 1
	}
	if err := send(&controlv1.WatchEntriesResponse{Revision: from - 1}); err != nil {
		return err
	}
	watch, err := t.o.Store.Watch(ctx, trailRoot(r.GetEnvironment()), from)
	if err != nil {
		return controlplane.Unavailable(err)
	}
	defer watch.Close()
	for batch := range watch.Batches() {
		for _, event := range batch.Events {
			if event.Deleted || !f.line(lineOf(event.KV, trailRoot(r.GetEnvironment()))) {
				continue
			}
			e, err := decode(event.KV.Value, event.KV.ModRevision)
			if err != nil {
				t.o.Logger.Error().Err(err).Str("entry", event.KV.Key).Msg("an audit entry cannot be decoded; left out of a watch")
				continue
			}
			if !f.entry(e) {
				continue
			}
			if e, err = shown.of(ctx, e); err != nil {
				return err
			}
			if e == nil {
				continue
			}
			if err := send(&controlv1.WatchEntriesResponse{Entry: e, Revision: e.GetRevision()}); err != nil {
				return err
			}
		}
	}
	switch err := watch.Err(); {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, store.ErrCompacted):
		return ErrCompacted
	default:
		return controlplane.Unavailable(fmt.Errorf("the watch ended: %w", err))
	}
}

// Head answers AuditService.GetTrailHead.
func (t *Trails) Head(ctx context.Context, r *controlv1.GetTrailHeadRequest) (*controlv1.GetTrailHeadResponse, error) {
	if err := t.checkTrail(ctx, r.GetEnvironment()); err != nil {
		return nil, err
	}
	last, err := newest(ctx, t.o.Store, r.GetEnvironment())
	if err != nil {
		return nil, controlplane.Unavailable(err)
	}
	return &controlv1.GetTrailHeadResponse{Head: last.head()}, nil
}

// Export answers AuditService.ExportTrail. The head is read first: whatever it has sealed is
// among the entries that are read after it.
func (t *Trails) Export(ctx context.Context, r *controlv1.ExportTrailRequest, send func(*controlv1.ExportTrailResponse) error) error {
	if err := t.checkTrail(ctx, r.GetEnvironment()); err != nil {
		return err
	}
	last, err := newest(ctx, t.o.Store, r.GetEnvironment())
	if err != nil {
		return controlplane.Unavailable(err)
	}
	next, size := &controlv1.ExportTrailResponse{Head: last.head()}, exportBytes // the head at once
	flush := func(more int) error {
		if size+more <= exportBytes && more > 0 {
			size += more
			return nil
		}
		err := send(next)
		next, size = &controlv1.ExportTrailResponse{}, more
		return err
	}
	root := trailRoot(r.GetEnvironment())
	_, err = scan(ctx, t.o.Store, root, func(kv store.KV) error {
		if err := flush(len(kv.Key) + len(kv.Value)); err != nil {
			return &sendError{err}
		}
		next.Entries = append(next.Entries, &controlv1.StoredEntry{
			Key: strings.TrimPrefix(kv.Key, root), Revision: kv.ModRevision, Stored: kv.Value,
		})
		return nil
	})
	if failed := new(sendError); errors.As(err, &failed) {
		return failed.error
	}
	if err != nil {
		return controlplane.Unavailable(err)
	}
	for n := int64(1); n <= last.GetNumber(); {
		kvs, err := readSeals(ctx, t.o.Store, r.GetEnvironment(), n, last.GetNumber(), 1)
		missing := errors.Is(err, controlplane.ErrCorrupt)
		if err != nil && !missing {
			return controlplane.Unavailable(err)
		}
		for _, kv := range kvs {
			if err := flush(len(kv.Value)); err != nil {
				return err
			}
			next.Seals = append(next.Seals, kv.Value)
			n++
		}
		if missing { // who verifies finds out
			n++
		}
	}
	return flush(0)
}

// sendError tells that it was not the store that failed.
type sendError struct{ error }
