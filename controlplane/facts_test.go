package controlplane

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/usage"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// factsSay compares what facts say of what is stale with what ListStaleFlags says by its
// standards.
func (f *fixture) factsSay(stale *controlv1.ListStaleFlagsResponse) {
	f.t.Helper()
	want := map[string][]controlv1.StaleReason_Kind{}
	for _, s := range stale.GetFlags() {
		for _, reason := range s.GetReasons() {
			want[s.GetFlagKey()] = append(want[s.GetFlagKey()], reason.GetKind())
		}
	}
	all, err := f.ListFlags(f.ctx, &controlv1.ListFlagsRequest{Environment: production, PageSize: 1000})
	if err != nil {
		f.t.Fatal(err)
	}
	var keys []string
	for _, v := range all.GetFlags() {
		keys = append(keys, v.GetFlag().GetKey())
	}
	facts, err := f.ReadFlagFacts(f.ctx, production, keys)
	if err != nil {
		f.t.Fatal(err)
	}
	u, err := usage.Read(f.ctx, f.store, production)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, key := range keys {
		got, err := f.StaleKinds(f.ctx, production, facts[key], u)
		if err != nil {
			f.t.Fatal(err)
		}
		if !slices.Equal(got, want[key]) {
			f.t.Errorf("%s is stale, as the facts say: %v; want %v", key, got, want[key])
		}
	}
}

func TestFlagFacts(t *testing.T) {
	f, s := newFixture(t)
	began := f.now()
	revision := f.create(boolFlag("once")).GetFlag().GetRevision()
	f.create(boolFlag("twice"))
	again := f.create(boolFlag("again")).GetFlag().GetRevision()
	gone := f.create(boolFlag("gone")).GetFlag().GetRevision()
	f.create(boolFlag("broken"))
	f.at(time.Hour)
	if err := f.delete("again", again); err != nil {
		t.Fatal(err)
	}
	if err := f.delete("gone", gone); err != nil {
		t.Fatal(err)
	}
	f.at(2 * time.Hour)
	f.create(boolFlag("again"))
	f.setEnabled("twice", false)
	f.at(3 * time.Hour)
	last := f.setEnabled("again", false).GetFlag().GetRevision()
	if _, err := s.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Put(flagNamed(production, "broken").auditKey(1), []byte{0xff})}}); err != nil {
		t.Fatal(err)
	}

	facts, err := f.ReadFlagFacts(f.ctx, production, []string{"once", "twice", "again", "gone", "broken", "never"})
	if err != nil {
		t.Fatal(err)
	}
	if len(facts) != 3 {
		t.Errorf("facts of %d flags, want those of 3: %v", len(facts), facts)
	}
	for _, c := range []struct {
		key              string
		created, updated time.Duration
		action           controlv1.Action
	}{
		{"once", 0, 0, controlv1.Action_ACTION_CREATED},
		{"twice", 0, 2 * time.Hour, controlv1.Action_ACTION_DISABLED},
		{"again", 2 * time.Hour, 3 * time.Hour, controlv1.Action_ACTION_DISABLED},
	} {
		got := facts[c.key]
		if !got.Created.Equal(began.Add(c.created)) || !got.Updated.Equal(began.Add(c.updated)) || got.Action != c.action || got.Actor != alice.Actor {
			t.Errorf("%s: %+v", c.key, got)
		}
	}
	if facts["once"].Revision != revision || facts["again"].Revision != last {
		t.Errorf("revisions %d and %d, want %d and %d", facts["once"].Revision, facts["again"].Revision, revision, last)
	}
}

// Facts of many flags take few reads, in whose limits they stay.
func TestFlagFactsOfMany(t *testing.T) {
	f, _ := newFixture(t)
	var keys []string
	for i := range 300 {
		key := fmt.Sprint("flag-", i)
		keys = append(keys, key)
		f.create(boolFlag(key))
		if i%2 == 0 {
			f.setEnabled(key, false)
		}
	}
	facts, err := f.ReadFlagFacts(f.ctx, production, keys)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if got := facts[key]; got == nil || got.Created.IsZero() || got.Revision != f.get(key).GetRevision() {
			t.Fatalf("%s: %+v", key, got)
		}
	}
}

// standard tells whether a request asks for what is stale by the standards.
func standard(r *controlv1.ListStaleFlagsRequest) bool {
	return proto.Equal(r, &controlv1.ListStaleFlagsRequest{Environment: production})
}
