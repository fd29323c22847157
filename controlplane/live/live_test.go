package live

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/audit"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/replica"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const production = "production"

var ada = controlplane.Caller{Actor: "ada", Peer: "test"}

// fixture is a Live over an authority that runs on a store in memory.
type fixture struct {
	*testing.T
	store     *failing
	authority *controlplane.Authority
	live      *Live
	options   Options

	mu     sync.Mutex
	relays *controlv1.ListRelaysResponse
}

// failing is a store whose reads fail while it is told to.
type failing struct {
	store.Store
	mu    sync.Mutex
	fails bool
}

func (f *failing) fail(fails bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = fails
}

func (f *failing) Read(ctx context.Context, ranges ...store.Range) ([]store.Result, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails {
		return nil, 0, store.ErrUnavailable
	}
	return f.Store.Read(ctx, ranges...)
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	memory := memstore.New()
	f := &fixture{T: t, store: &failing{Store: memory}, relays: &controlv1.ListRelaysResponse{}}
	t.Cleanup(func() { _ = memory.Close() })
	replicas := replica.NewSet(replica.Options{})
	var err error
	f.authority, err = controlplane.Open(t.Context(), controlplane.Options{
		Store: f.store, Replicas: replicas, Environments: []string{production}, Logger: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.authority.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	trails, err := audit.New(audit.Options{Store: f.store, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	f.options = Options{
		Authority: f.authority, Store: f.store, Replicas: replicas, Trails: trails, Logger: zerolog.Nop(),
		LookEvery: time.Millisecond, HeartbeatEvery: 10 * time.Millisecond,
		Assess: func(context.Context, string, string) (*rolloutv1.Assessment, error) {
			return nil, errors.New("nobody decides")
		},
		Series: func(context.Context, *controlv1.GetRolloutSeriesRequest) (*controlv1.GetRolloutSeriesResponse, error) {
			return nil, &controlplane.NotFoundError{What: "rollout"}
		},
		ListRelays: func(context.Context, *controlv1.ListRelaysRequest) (*controlv1.ListRelaysResponse, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return proto.CloneOf(f.relays), nil
		},
	}
	if f.live, err = New(f.options); err != nil {
		t.Fatal(err)
	}
	return f
}

func flagOf(key string) *flagv1.Flag {
	return &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, Description: "what " + key + " does, in a sentence of usual length", Owner: "team",
		Variants:       []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "off"}},
	}
}

func (f *fixture) create(key string) int64 {
	f.Helper()
	got, err := f.authority.CreateFlag(f.Context(), ada, &controlv1.CreateFlagRequest{Environment: production, Flag: flagOf(key), Reason: "test"})
	if err != nil {
		f.Fatal(err)
	}
	return got.GetFlag().GetRevision()
}

func (f *fixture) enable(key string, enabled bool) int64 {
	f.Helper()
	got, err := f.authority.SetEnabled(f.Context(), ada, &controlv1.SetEnabledRequest{Environment: production, FlagKey: key, Enabled: enabled, Reason: "test"})
	if err != nil {
		f.Fatal(err)
	}
	return got.GetFlag().GetRevision()
}

// watching is a stream whose messages are taken one by one: while none is, its reader is slow.
type watching struct {
	*testing.T
	messages chan *controlv1.WatchResponse
	ended    chan error
}

func (f *fixture) watch(r *controlv1.WatchRequest) *watching {
	f.Helper()
	w := &watching{T: f.T, messages: make(chan *controlv1.WatchResponse), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		w.ended <- f.live.Watch(ctx, r, controlplane.Reader{}, func(m *controlv1.WatchResponse) error {
			select {
			case w.messages <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	f.Cleanup(func() {
		cancel()
		select {
		case err := <-w.ended:
			if err == nil {
				f.Error("the stream has ended by itself")
			}
		case <-time.After(time.Minute):
			f.Error("the stream does not end")
		}
	})
	return w
}

func (w *watching) next() *controlv1.WatchResponse {
	w.Helper()
	select {
	case m := <-w.messages:
		return m
	case err := <-w.ended:
		w.ended <- err
		w.Fatalf("the stream has ended: %v", err)
	case <-time.After(time.Minute):
		w.Fatal("nothing comes")
	}
	return nil
}

// until takes messages up to one that is so.
func (w *watching) until(so func(*controlv1.WatchResponse) bool) (passed []*controlv1.WatchResponse) {
	w.Helper()
	for {
		m := w.next()
		if passed = append(passed, m); so(m) {
			return passed
		}
	}
}

func flagsPart() *controlv1.WatchRequest {
	return &controlv1.WatchRequest{Environment: production, Parts: []controlv1.Part{controlv1.Part_PART_FLAGS}}
}

// TestSlowReader: who reads slowly gets the newest of each flag once, whatever was between.
func TestSlowReader(t *testing.T) {
	f := newFixture(t)
	f.create("a")
	f.create("b")
	w := f.watch(flagsPart())
	w.until(func(m *controlv1.WatchResponse) bool { return m.GetReady() })
	var last int64
	for i := range 501 {
		last = f.enable("a", i%2 == 1)
	}
	w2 := f.watch(flagsPart()) // which tells when all of that is shown
	w2.until(func(m *controlv1.WatchResponse) bool { return flagIn(m, "a").GetRevision() == last })
	seen := 0
	for _, m := range w.until(func(m *controlv1.WatchResponse) bool { return flagIn(m, "a").GetRevision() == last }) {
		if flagIn(m, "a") != nil {
			seen++
		}
	}
	// What waited to be sent when the reader stopped, and the newest.
	if seen > 3 {
		t.Errorf("it got %d states of the flag", seen)
	}
}

func flagIn(m *controlv1.WatchResponse, key string) *controlv1.FlagSummary {
	for _, one := range m.GetFlags() {
		if one.GetKey() == key {
			return one
		}
	}
	return nil
}

// TestBoundedMessages: a large environment comes in messages that are not large, the first ones
// least of all, its flags in the order of their keys.
func TestBoundedMessages(t *testing.T) {
	f := newFixture(t)
	const n = 3000
	for i := 0; i < n; i += 30 {
		r := &controlv1.ApplyRequest{Environment: production, Reason: "test"}
		for j := range 30 {
			r.Flags = append(r.Flags, &controlv1.FlagWrite{Flag: flagOf(fmt.Sprint("flag-", i+j))})
		}
		if _, err := f.authority.Apply(t.Context(), ada, r); err != nil {
			t.Fatal(err)
		}
	}
	f.create("last")
	flags, activities := map[string]bool{}, map[string]bool{}
	before, ready, limit := "", false, firstBatch
	w := f.watch(flagsPart())
	for len(activities) < n+1 || !flags["last"] {
		m := w.next()
		if size := proto.Size(m); size > limit+8<<10 {
			t.Errorf("a message of %d bytes, where %d are the most", size, limit)
		}
		if limit = min(2*limit, maxBatch); m.GetReady() {
			limit = maxBatch
		}
		if m.GetReset_() && len(flags) > 0 {
			t.Error("it begins again")
		}
		for _, one := range m.GetFlags() {
			if one.GetKey() <= before && !ready {
				t.Fatalf("%s after %s", one.GetKey(), before)
			}
			before = one.GetKey()
			flags[before] = true
		}
		ready = ready || m.GetReady()
		for _, one := range m.GetActivities() {
			activities[one.GetFlagKey()] = true
		}
	}
	if len(flags) != n+1 {
		t.Errorf("%d flags", len(flags))
	}
}

// TestStoreFails: the state is shown without the store; what needs it follows when it answers.
func TestStoreFails(t *testing.T) {
	f := newFixture(t)
	f.create("a")
	shown := f.watch(flagsPart())
	shown.until(func(m *controlv1.WatchResponse) bool { return flagIn(m, "a") != nil })
	f.store.fail(true)
	f.live, _ = New(f.options) // one that knows nothing yet
	w := f.watch(flagsPart())
	w.until(func(m *controlv1.WatchResponse) bool { return m.GetReady() })
	w.until(func(m *controlv1.WatchResponse) bool { return m.GetHeartbeat() != nil })
	f.store.fail(false)
	w.until(func(m *controlv1.WatchResponse) bool {
		return len(m.GetActivities()) > 0 && m.GetActivities()[0].GetUpdatedBy() == "ada"
	})
}

// TestViewGoesOn: what a view knew is kept when nobody looks, and brought up to date for the next.
func TestViewGoesOn(t *testing.T) {
	f := newFixture(t)
	f.create("a")
	gone := f.create("gone")
	ctx, cancel := context.WithCancel(t.Context())
	seen := map[string]int64{}
	err := f.live.Watch(ctx, flagsPart(), controlplane.Reader{}, func(m *controlv1.WatchResponse) error {
		for _, one := range m.GetActivities() {
			seen[one.GetFlagKey()] = one.GetUpdatedRevision()
		}
		if len(seen) == 2 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	changed := f.enable("a", false)
	if _, err := f.authority.DeleteFlag(t.Context(), ada, &controlv1.DeleteFlagRequest{Environment: production, FlagKey: "gone", BaseRevision: gone, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	w := f.watch(flagsPart())
	w.until(func(m *controlv1.WatchResponse) bool {
		return len(m.GetActivities()) > 0 && m.GetActivities()[0].GetUpdatedRevision() == changed
	})
	a := f.live.views[production].activities
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.byKey) != 1 {
		t.Errorf("%d activities are kept", len(a.byKey))
	}
}

func TestRelays(t *testing.T) {
	f := newFixture(t)
	set := func(relays ...*controlv1.Relay) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.relays = &controlv1.ListRelaysResponse{Relays: relays, UnreachableServers: []string{"s2"}}
	}
	set(&controlv1.Relay{InstanceId: "r1", Streams: 1}, &controlv1.Relay{InstanceId: "r2"})
	w := f.watch(&controlv1.WatchRequest{Environment: production, Parts: []controlv1.Part{controlv1.Part_PART_RELAYS}})
	got := w.until(func(m *controlv1.WatchResponse) bool { return len(m.GetRelays()) == 2 })
	if last := got[len(got)-1]; len(last.GetUnreachableServers()) != 1 {
		t.Errorf("%v", last)
	}
	set(&controlv1.Relay{InstanceId: "r1", Streams: 2})
	gone, changed := false, false
	w.until(func(m *controlv1.WatchResponse) bool {
		gone = gone || len(m.GetGoneRelays()) == 1 && m.GetGoneRelays()[0] == "r2"
		for _, r := range m.GetRelays() {
			changed = changed || r.GetStreams() == 2
		}
		return gone && changed
	})
}

// TestEntriesMissed: a stream that is too far behind is told that it misses some, and one that
// begins is not.
func TestEntriesMissed(t *testing.T) {
	e := &entries{view: newView(&Options{}, replica.NewSet(replica.Options{}).Add(production))}
	add := func(n int) {
		for range n {
			if err := e.add(t.Context(), &controlv1.AuditEntry{Sequence: e.version + 1, Resource: &controlv1.AuditEntry_Flag{Flag: flagOf("a")}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(150)
	next, list, missed := e.since(-1)
	if missed || next != 150 || len(list) != firstEntries || list[0].GetSequence() != 51 || list[0].GetResource() != nil {
		t.Errorf("at first: %d, %d entries, missed %v", next, len(list), missed)
	}
	add(entriesKept)
	if next, list, missed = e.since(150); missed || next != 150+entriesKept || len(list) != entriesKept {
		t.Errorf("just in time: %d, %d entries, missed %v", next, len(list), missed)
	}
	held := list[0].GetSequence()
	add(1)
	if _, list, missed := e.since(150); !missed || len(list) != entriesKept || list[0].GetSequence() != 152 {
		t.Errorf("one too late: %d entries from %d, missed %v", len(list), list[0].GetSequence(), missed)
	}
	if list[0].GetSequence() != held {
		t.Error("what a stream was given has changed")
	}

	newest := e.kept[len(e.kept)-1]
	newest.Revision = 7
	catchUp := func(list ...*controlv1.AuditEntry) {
		t.Helper()
		if err := e.catchUp(t.Context(), &controlv1.ListEntriesResponse{Entries: list}); err != nil {
			t.Fatal(err)
		}
	}
	catchUp(&controlv1.AuditEntry{Revision: 8}, proto.CloneOf(newest.AuditEntry), &controlv1.AuditEntry{Revision: 6})
	if _, list, missed := e.since(next + 1); missed || len(list) != 1 || list[0].GetRevision() != 8 {
		t.Errorf("what was written meanwhile: %v, missed %v", list, missed)
	}
	before := e.version
	catchUp(&controlv1.AuditEntry{Revision: 100})
	if _, list, missed := e.since(before); !missed || len(list) != 1 {
		t.Errorf("after a gap: %v, missed %v", list, missed)
	}
}

func TestOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("made of nothing")
	}
}

func TestShortened(t *testing.T) {
	long := fmt.Sprintf("%0999d€", 0)
	if got := shortened(long); got != long[:999]+"..." {
		t.Errorf("%q", got[990:])
	}
}
