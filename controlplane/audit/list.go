package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	maxPage, defaultPage = 1000, 100
	// A page also ends before it is larger than this, and after so many entries of seals were
	// looked at, or so many read.
	maxPageBytes = 2 << 20
	maxLooked    = 100_000
	maxRead      = 2_000
	// skew is how much a clock may have been behind for its entries to be found by time.
	skew = time.Hour
)

// place is where a page ended: after that entry, in the order of the list.
type place struct {
	// Of identifies the request.
	Of       string `json:"of"`
	Revision int64  `json:"revision"`
	Key      string `json:"key"`
}

// Shown is what whoever asks may read of an entry; nil: nothing of it. Without one, all of it.
type Shown func(context.Context, *controlv1.AuditEntry) (*controlv1.AuditEntry, error)

func (s Shown) of(ctx context.Context, e *controlv1.AuditEntry) (*controlv1.AuditEntry, error) {
	if s == nil {
		return e, nil
	}
	return s(ctx, e)
}

// listing is one call of List.
type listing struct {
	*Trails
	environment string
	filter      *filter
	shown       Shown
	oldest      bool
	size        int
	of          string
	from        *place // nil: the first page
	last        place  // looked at
	looked      int
	read, bytes int
	page        []*controlv1.AuditEntry
}

// List answers AuditService.ListEntries. What it costs grows with the entries between the bounds
// by revision or time, of which it reads some 80 bytes each, and with those it returns.
func (t *Trails) List(ctx context.Context, r *controlv1.ListEntriesRequest, shown Shown) (*controlv1.ListEntriesResponse, error) {
	l, err := t.newListing(ctx, r)
	if err != nil {
		return nil, err
	}
	l.shown = shown
	head, err := newest(ctx, t.o.Store, l.environment)
	if err != nil {
		return nil, controlplane.Unavailable(err)
	}
	more, err := l.run(ctx, head)
	if err != nil {
		return nil, err
	}
	resp := &controlv1.ListEntriesResponse{Entries: l.page}
	if more {
		l.last.Of = l.of
		data, err := json.Marshal(l.last)
		if err != nil {
			return nil, err
		}
		resp.NextPageToken = base64.RawURLEncoding.EncodeToString(data)
	}
	return resp, nil
}

func (t *Trails) newListing(ctx context.Context, r *controlv1.ListEntriesRequest) (*listing, error) {
	if err := t.checkTrail(ctx, r.GetEnvironment()); err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetFilter())
	if err != nil {
		return nil, err
	}
	l := &listing{
		Trails: t, environment: r.GetEnvironment(), filter: f, size: cmp.Or(int(r.GetPageSize()), defaultPage),
		oldest: r.GetOrder() == controlv1.EntryOrder_ENTRY_ORDER_OLDEST_FIRST,
	}
	if l.size < 0 || l.size > maxPage {
		return nil, invalid("page_size", fmt.Sprintf("must be 1 to %d, or 0 for %d; got %d", maxPage, defaultPage, r.GetPageSize()))
	}
	same := proto.CloneOf(r)
	same.PageSize, same.PageToken = 0, ""
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(same)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	l.of = hex.EncodeToString(sum[:8])
	if r.GetPageToken() == "" {
		return l, nil
	}
	l.from = new(place)
	data, err = base64.RawURLEncoding.DecodeString(r.GetPageToken())
	if err == nil {
		err = json.Unmarshal(data, l.from)
	}
	switch {
	case err != nil:
		return nil, invalid("page_token", "is not one that this service gave out")
	case l.from.Of != l.of:
		return nil, invalid("page_token", "belongs to another list: a page continues the request of the one before")
	}
	return l, nil
}

// run looks through seals and what is not sealed yet until the page is full; more: there may be
// more.
func (l *listing) run(ctx context.Context, head sealed) (more bool, err error) {
	first, last, err := l.bounds(ctx, head)
	if err != nil {
		return false, err
	}
	if l.oldest {
		if more, err = l.runSeals(ctx, first, last, 1); more || err != nil || last < head.GetNumber() {
			return more, err
		}
		return l.runTail(ctx, head)
	}
	if last == head.GetNumber() {
		if more, err = l.runTail(ctx, head); more || err != nil {
			return more, err
		}
	}
	return l.runSeals(ctx, last, first, -1)
}

// bounds are the numbers of the first and the last seal to look through. If the last is the
// newest one, what is not sealed yet is to be looked through, too.
func (l *listing) bounds(ctx context.Context, head sealed) (first, last int64, err error) {
	lower, upper := l.filter.GetMinRevision(), l.filter.GetMaxRevision()
	if l.from != nil && l.oldest {
		lower = max(lower, l.from.Revision)
	} else if l.from != nil && (upper == 0 || l.from.Revision < upper) {
		upper = l.from.Revision
	}
	first, last = 1, head.GetNumber()
	find := func(is func(sealed) bool) int64 {
		n := int64(sort.Search(int(head.GetNumber()), func(i int) bool {
			if err != nil {
				return true
			}
			var kvs []store.KV
			if kvs, err = readSeals(ctx, l.o.Store, l.environment, int64(i)+1, int64(i)+1, 1); err != nil {
				return true
			}
			var s sealed
			s, err = decodeSeal(kvs[0].Value)
			return err != nil || is(s)
		}))
		return n + 1 // of head.number+1: none
	}
	if lower > 0 {
		first = find(func(s sealed) bool { return s.GetThroughRevision() >= lower })
	}
	if upper > 0 && upper <= head.GetThroughRevision() {
		last = find(func(s sealed) bool { return s.GetThroughRevision() >= upper })
	}
	if since := l.filter.GetSince(); since != nil {
		first = max(first, find(func(s sealed) bool { return !s.GetLatest().AsTime().Before(since.AsTime()) }))
	}
	if until := l.filter.GetUntil(); until != nil {
		beyond := until.AsTime().Add(skew)
		last = min(last, find(func(s sealed) bool { return s.GetLatest().AsTime().After(beyond) }))
	}
	if err != nil {
		return 0, 0, controlplane.Unavailable(err)
	}
	return first, last, nil
}

// runSeals looks through seals.
func (l *listing) runSeals(ctx context.Context, from, last, step int64) (more bool, err error) {
	for (last-from)*step >= 0 && from > 0 {
		kvs, err := readSeals(ctx, l.o.Store, l.environment, from, last, step)
		if err != nil {
			return false, controlplane.Unavailable(err)
		}
		for _, kv := range kvs {
			seal, err := decodeSeal(kv.Value)
			if err != nil {
				return false, fmt.Errorf("%w: seal %s: %w", controlplane.ErrCorrupt, kv.Key, err)
			}
			if more, err := l.take(ctx, seal.GetEntries()); more || err != nil {
				return more, err
			}
			from += step
		}
	}
	return false, nil
}

// runTail looks through what is not sealed yet.
func (l *listing) runTail(ctx context.Context, head sealed) (more bool, err error) {
	lines, _, err := after(ctx, l.o.Store, l.environment, head.GetThroughRevision())
	if err != nil {
		return false, controlplane.Unavailable(err)
	}
	return l.take(ctx, lines)
}

// take takes from lines, which are in the order of revisions, what is let through.
func (l *listing) take(ctx context.Context, lines []*controlv1.SealedEntry) (more bool, err error) {
	if !l.oldest {
		lines = slices.Clone(lines)
		slices.Reverse(lines)
	}
	var wanted []*controlv1.SealedEntry
	for _, line := range lines {
		if !l.beyond(line) {
			continue
		}
		if l.looked++; l.filter.line(line) {
			wanted = append(wanted, line)
		}
	}
	for len(wanted) > 0 {
		batch := wanted[:min(len(wanted), readAhead)]
		if full, err := l.fetch(ctx, batch); full || err != nil {
			return full, err
		}
		wanted = wanted[len(batch):]
	}
	if len(lines) > 0 {
		line := lines[len(lines)-1]
		l.last = place{Revision: line.GetRevision(), Key: line.GetKey()}
	}
	return l.looked >= maxLooked, nil
}

// beyond tells whether a line comes after where the page before ended.
func (l *listing) beyond(line *controlv1.SealedEntry) bool {
	if l.from == nil {
		return true
	}
	order := byRevision(line, &controlv1.SealedEntry{Revision: l.from.Revision, Key: l.from.Key})
	return l.oldest && order > 0 || !l.oldest && order < 0
}

// fetch reads entries and adds those that are let through; full: the page has to end.
func (l *listing) fetch(ctx context.Context, lines []*controlv1.SealedEntry) (full bool, err error) {
	ranges := make([]store.Range, 0, len(lines))
	for _, line := range lines {
		ranges = append(ranges, store.Key(trailRoot(l.environment)+line.GetKey()))
	}
	results, _, err := l.o.Store.Read(ctx, ranges...)
	if err != nil {
		return false, controlplane.Unavailable(err)
	}
	for i, line := range lines {
		if l.read++; len(l.page) == l.size || l.bytes > maxPageBytes || l.read > maxRead {
			return true, nil
		}
		l.last = place{Revision: line.GetRevision(), Key: line.GetKey()}
		if len(results[i].KVs) == 0 {
			l.o.Logger.Error().Str("environment", l.environment).Str("entry", line.GetKey()).Msg("an audit entry that was sealed is missing; left out of a list")
			continue
		}
		kv := results[i].KVs[0]
		e, err := decode(kv.Value, kv.ModRevision)
		if err != nil {
			l.o.Logger.Error().Err(err).Str("environment", l.environment).Str("entry", line.GetKey()).Msg("an audit entry cannot be decoded; left out of a list")
			continue
		}
		if !l.filter.entry(e) {
			continue
		}
		if e, err = l.shown.of(ctx, e); err != nil {
			return false, err
		}
		if e != nil {
			l.page, l.bytes = append(l.page, e), l.bytes+len(kv.Value)
		}
	}
	return false, nil
}
