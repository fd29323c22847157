package audit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// all lists everything, page by page.
func (f *fixture) all(r *controlv1.ListEntriesRequest) []*controlv1.AuditEntry {
	f.t.Helper()
	r.Environment = production
	var entries []*controlv1.AuditEntry
	for {
		resp, err := f.List(f.ctx, r, nil)
		if err != nil {
			f.t.Fatalf("List(%v): %v", r, err)
		}
		entries = append(entries, resp.GetEntries()...)
		if r.PageToken = resp.GetNextPageToken(); r.GetPageToken() == "" {
			return entries
		}
	}
}

// TestList: whatever is asked for, in whatever pages, is what is there, whether it is sealed or
// not.
func TestList(t *testing.T) {
	f := newFixture(t)
	r := rand.New(rand.NewPCG(5, 6))
	actors, reasons := []string{"ann", "bob", "carl"}, []string{"Launch", "incident 12", "tidy up"}
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	start := f.clock
	for i := range 60 {
		f.create(fmt.Sprintf("f%02d", i), pick(actors), pick(reasons))
		f.clock = f.clock.Add(time.Second)
	}
	for i := range 700 {
		f.enable(fmt.Sprintf("f%02d", r.IntN(60)), i%2 == 0, pick(actors), pick(reasons))
		f.clock = f.clock.Add(time.Duration(r.IntN(3)-1) * time.Second) // also back
	}
	f.sealAll()
	for i := range 20 { // not sealed
		f.create(fmt.Sprintf("late%02d", i), pick(actors), pick(reasons))
	}
	var model []*controlv1.AuditEntry
	for _, kv := range f.entries() {
		e, err := decode(kv.Value, kv.ModRevision)
		if err != nil {
			t.Fatal(err)
		}
		model = append(model, e)
	}
	slices.SortFunc(model, func(a, b *controlv1.AuditEntry) int { return int(a.GetRevision() - b.GetRevision()) })
	last := model[len(model)-1].GetRevision()
	nonempty := 0
	for round := range 300 {
		filter := &controlv1.EntryFilter{}
		var keep []func(*controlv1.AuditEntry) bool
		with := func(oneIn int, set func() func(*controlv1.AuditEntry) bool) {
			if r.IntN(oneIn) == 0 {
				keep = append(keep, set())
			}
		}
		with(3, func() func(*controlv1.AuditEntry) bool {
			filter.Actor = pick(actors)
			return func(e *controlv1.AuditEntry) bool { return e.GetActor() == filter.GetActor() }
		})
		with(4, func() func(*controlv1.AuditEntry) bool {
			filter.KeyPrefix = pick([]string{"f", "f1", "late", "x"})
			return func(e *controlv1.AuditEntry) bool { return strings.HasPrefix(e.GetKey(), filter.GetKeyPrefix()) }
		})
		with(6, func() func(*controlv1.AuditEntry) bool {
			filter.Key = fmt.Sprintf("f%02d", r.IntN(60))
			return func(e *controlv1.AuditEntry) bool { return e.GetKey() == filter.GetKey() }
		})
		with(4, func() func(*controlv1.AuditEntry) bool {
			filter.Actions = []controlv1.Action{controlv1.Action_ACTION_CREATED, controlv1.Action_ACTION_DISABLED}
			return func(e *controlv1.AuditEntry) bool { return slices.Contains(filter.GetActions(), e.GetAction()) }
		})
		with(4, func() func(*controlv1.AuditEntry) bool {
			filter.Reason = pick([]string{"LAUNCH", "incident", "up"})
			return func(e *controlv1.AuditEntry) bool {
				return strings.Contains(strings.ToLower(e.GetReason()), strings.ToLower(filter.GetReason()))
			}
		})
		with(3, func() func(*controlv1.AuditEntry) bool {
			filter.MinRevision = r.Int64N(last + 2)
			return func(e *controlv1.AuditEntry) bool { return e.GetRevision() >= filter.GetMinRevision() }
		})
		with(3, func() func(*controlv1.AuditEntry) bool {
			filter.MaxRevision = 1 + r.Int64N(last+2)
			return func(e *controlv1.AuditEntry) bool { return e.GetRevision() <= filter.GetMaxRevision() }
		})
		with(4, func() func(*controlv1.AuditEntry) bool {
			filter.Since = timestamppb.New(start.Add(time.Duration(r.IntN(90)) * time.Second))
			return func(e *controlv1.AuditEntry) bool { return !e.GetTime().AsTime().Before(filter.GetSince().AsTime()) }
		})
		with(4, func() func(*controlv1.AuditEntry) bool {
			filter.Until = timestamppb.New(start.Add(time.Duration(r.IntN(90)) * time.Second))
			return func(e *controlv1.AuditEntry) bool { return e.GetTime().AsTime().Before(filter.GetUntil().AsTime()) }
		})
		request := &controlv1.ListEntriesRequest{
			Filter: filter, PageSize: int32(1 + r.IntN(200)), Order: controlv1.EntryOrder(1 + r.IntN(2)),
		}
		var want []*controlv1.AuditEntry
		for _, e := range model {
			if !slices.ContainsFunc(keep, func(is func(*controlv1.AuditEntry) bool) bool { return !is(e) }) {
				want = append(want, e)
			}
		}
		if request.GetOrder() == controlv1.EntryOrder_ENTRY_ORDER_NEWEST_FIRST {
			slices.Reverse(want)
		}
		got := f.all(request)
		if !slices.EqualFunc(got, want, func(a, b *controlv1.AuditEntry) bool { return proto.Equal(a, b) }) {
			t.Fatalf("round %d, %v: %d entries, want %d", round, request, len(got), len(want))
		}
		if len(want) > 0 {
			nonempty++
		}
	}
	if nonempty < 100 {
		t.Errorf("only %d lists had anything in them", nonempty)
	}
}

// TestListWhileSealing: pages go on where they were although what they showed is sealed since.
func TestListWhileSealing(t *testing.T) {
	f := newFixture(t)
	f.fill(10)
	request := &controlv1.ListEntriesRequest{Environment: production, PageSize: 7}
	first, err := f.List(f.ctx, request, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.sealAll()
	f.create("new", "ann", "meanwhile")
	request.PageToken = first.GetNextPageToken()
	got := append(first.GetEntries(), f.all(request)...)
	if len(got) != 30 || !slices.IsSortedFunc(got, func(a, b *controlv1.AuditEntry) int { return int(b.GetRevision() - a.GetRevision()) }) {
		t.Errorf("%d entries", len(got))
	}
}

// TestListRefused: what cannot be asked for is said to be wrong.
func TestListRefused(t *testing.T) {
	f := newFixture(t)
	f.fill(3)
	first, err := f.List(f.ctx, &controlv1.ListEntriesRequest{Environment: production, PageSize: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*controlv1.ListEntriesRequest{
		"no environment":       {},
		"out of the trails":    {Environment: "../c"},
		"a large page":         {Environment: production, PageSize: 1001},
		"an unknown kind":      {Environment: production, Filter: &controlv1.EntryFilter{Kinds: []controlv1.ResourceKind{99}}},
		"no token":             {Environment: production, PageToken: "x"},
		"another list's token": {Environment: "staging", PageToken: first.GetNextPageToken()},
		"a negative revision":  {Environment: production, Filter: &controlv1.EntryFilter{MinRevision: -1}},
	} {
		if _, err := f.List(f.ctx, r, nil); !errors.As(err, new(*controlplane.InvalidError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.List(f.ctx, &controlv1.ListEntriesRequest{Environment: "nowhere"}, nil); !errors.As(err, new(*controlplane.NotFoundError)) {
		t.Errorf("of an unknown environment: %v", err)
	}
}

// TestWatch: what is written is shown once, in order, from the revision on that was asked for.
func TestWatch(t *testing.T) {
	f := newFixture(t)
	first := f.create("a", "ann", "r")
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	got := make(chan *controlv1.WatchEntriesResponse, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- f.Watch(ctx, &controlv1.WatchEntriesRequest{
			Environment: production, FromRevision: first.GetRevision(), Filter: &controlv1.EntryFilter{Actor: "ann"},
		}, nil, func(r *controlv1.WatchEntriesResponse) error { got <- r; return nil })
	}()
	f.enable("a", false, "bob", "r")
	last := f.enable("a", true, "ann", "r")
	if begun := <-got; begun.GetEntry() != nil || begun.GetRevision() != first.GetRevision()-1 {
		t.Errorf("at first: %v", begun)
	}
	for _, want := range []*controlv1.AuditEntry{first, last} {
		if e := <-got; !proto.Equal(e.GetEntry(), want) {
			t.Errorf("got %v, want %v", e, want)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := f.store.Compact(last.GetRevision()); err != nil {
		t.Fatal(err)
	}
	err := f.Watch(f.ctx, &controlv1.WatchEntriesRequest{Environment: production, FromRevision: 1}, nil, func(*controlv1.WatchEntriesResponse) error { return nil })
	if !errors.Is(err, ErrCompacted) {
		t.Errorf("from what was compacted: %v", err)
	}
}

// TestUnsealedAfterCompaction: what is not sealed is listed although the store has compacted it.
func TestUnsealedAfterCompaction(t *testing.T) {
	f := newFixture(t)
	f.fill(10)
	out, err := f.store.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Put("/x", nil)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.Compact(out.Revision); err != nil {
		t.Fatal(err)
	}
	if got := f.all(&controlv1.ListEntriesRequest{}); len(got) != 30 {
		t.Errorf("%d entries", len(got))
	}
}
