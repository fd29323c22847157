package controlplane

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// as returns err as E; the test ends if it is none.
func as[E error](t *testing.T, err error) E {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Fatalf("got error %v (%T), want a %T", err, err, e)
	}
	return e
}

// wants checks that err is an E.
func wants[E error](t *testing.T, err error) {
	t.Helper()
	_ = as[E](t, err)
}

// mentions checks that the error's text holds all parts.
func mentions(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not mention %q", err, p)
		}
	}
}

func TestCreateReachesTheReplica(t *testing.T) {
	f, _ := newFixture(t)
	created := f.create(boolFlag("a"))
	if created.GetEntry().GetSequence() != 1 || created.GetFlag().GetRevision() != created.GetEntry().GetRevision() {
		t.Errorf("created %v", created)
	}
	f.caughtUp()
	item, ok := f.replicas.Replica(production).Snapshot().Item(syncv1.Kind_KIND_FLAG, "a")
	if !ok || item.ModRevision != created.GetFlag().GetRevision() {
		t.Fatalf("the replica has %+v (%v), want revision %d", item, ok, created.GetFlag().GetRevision())
	}
	data, err := marshal(created.GetFlag().GetFlag())
	if err != nil || string(data) != string(item.Data) {
		t.Errorf("the replica's bytes are not the flag's")
	}
	if !proto.Equal(f.get("a"), created.GetFlag()) {
		t.Errorf("GetFlag: %v, want %v", f.get("a"), created.GetFlag())
	}
}

func TestAuditEntry(t *testing.T) {
	f, _ := newFixture(t)
	created := f.create(boolFlag("a"))
	changed := boolFlag("a")
	changed.Description, changed.Enabled = "new", false
	resp, err := f.UpdateFlag(f.ctx, Caller{Actor: "bob", Peer: "10.0.0.1:1"}, &controlv1.UpdateFlagRequest{
		Environment: production, Flag: changed, BaseRevision: created.GetFlag().GetRevision(),
		Reason: "tidy up", RequestId: "r-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	changed.BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_2 // as it is stored
	want := &controlv1.AuditEntry{
		Environment: production, Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: "a", Sequence: 2,
		Action: controlv1.Action_ACTION_UPDATED, Actor: "bob", Peer: "10.0.0.1:1", Reason: "tidy up", RequestId: "r-1",
		Time: created.GetEntry().GetTime(), Revision: created.GetFlag().GetRevision() + 1,
		PreviousRevision: created.GetFlag().GetRevision(),
		Changes: []*controlv1.FieldChange{
			{Path: "description", After: `"new"`}, {Path: "enabled", Before: "true", After: "false"},
		},
		Resource:     &controlv1.AuditEntry_Flag{Flag: changed},
		PreviousHash: resp.GetEntry().GetPreviousHash(), // TestHistoryIsOneChain looks at it
	}
	if !proto.Equal(resp.GetEntry(), want) {
		t.Errorf("got  %v\nwant %v", resp.GetEntry(), want)
	}
	history := f.fullHistory("a")
	if len(history) != 2 || !proto.Equal(history[1], want) || !proto.Equal(history[0], created.GetEntry()) {
		t.Errorf("history: %v", history)
	}
}

func TestStaleWriteSaysWhatHappened(t *testing.T) {
	f, _ := newFixture(t)
	base := f.create(boolFlag("a")).GetFlag().GetRevision()
	f.setEnabled("a", false)
	f.setEnabled("a", true)
	latest := f.setEnabled("a", false)
	edit := boolFlag("a")
	edit.Owner = "me"
	_, err := f.update(edit, base)
	conflict := as[*ConflictError](t, err).Conflict
	want := &controlv1.Conflict{
		Environment: production, Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: "a",
		BaseRevision: base, CurrentRevision: latest.GetFlag().GetRevision(),
		Changes: []*controlv1.FieldChange{{Path: "enabled", Before: "true", After: "false"}},
		Latest:  proto.CloneOf(latest.GetEntry()),
	}
	want.Latest.Resource = nil
	if !proto.Equal(conflict, want) {
		t.Errorf("got  %v\nwant %v", conflict, want)
	}
	mentions(t, err, `flag "a" in environment "production"`, "disabled by alice", "2026-11-22T10:30:00Z", `"switch"`, "enabled: true -> false")

	// What is as it shall be already is no conflict.
	same := boolFlag("a")
	same.Enabled = false
	resp, err := f.update(same, base)
	if err != nil || resp.GetEntry() != nil || resp.GetFlag().GetRevision() != latest.GetFlag().GetRevision() {
		t.Errorf("a write that changes nothing: %v, %v", resp, err)
	}
	if n := len(f.fullHistory("a")); n != 4 {
		t.Errorf("%d entries, want 4", n)
	}

	wants[*ConflictError](t, f.delete("a", base))
	if err := f.delete("a", latest.GetFlag().GetRevision()); err != nil {
		t.Fatal(err)
	}
	_, err = f.update(edit, latest.GetFlag().GetRevision())
	if c := as[*ConflictError](t, err).Conflict; c.GetCurrentRevision() != 0 || c.GetLatest().GetAction() != controlv1.Action_ACTION_DELETED {
		t.Errorf("conflict with a deletion: %v", c)
	}
	mentions(t, err, "it was deleted", `"gone"`)
}

func TestKillSwitch(t *testing.T) {
	f, _ := newFixture(t)
	first := f.create(boolFlag("a")).GetFlag().GetRevision()
	off := f.setEnabled("a", false)
	if off.GetFlag().GetFlag().GetEnabled() || off.GetEntry().GetAction() != controlv1.Action_ACTION_DISABLED {
		t.Errorf("disabled: %v", off)
	}
	again := f.setEnabled("a", false)
	if again.GetEntry() != nil || again.GetFlag().GetRevision() != off.GetFlag().GetRevision() {
		t.Errorf("disabled again: %v", again)
	}
	_, err := f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{
		Environment: production, FlagKey: "a", Enabled: true, BaseRevision: &first, Reason: "r",
	})
	wants[*ConflictError](t, err)
	if on := f.setEnabled("a", true); on.GetEntry().GetAction() != controlv1.Action_ACTION_ENABLED {
		t.Errorf("enabled: %v", on)
	}
}

// TestKillSwitchNeedsOnlyTheStore: not the watch, and no flag that compiles.
func TestKillSwitchNeedsOnlyTheStore(t *testing.T) {
	s := newBrokenFlag(t)
	f := openOn(t, s) // Run is not called
	if f.setEnabled("broken", false).GetFlag().GetFlag().GetEnabled() {
		t.Error("still enabled")
	}
}

func TestAbsent(t *testing.T) {
	f, _ := newFixture(t)
	base := f.create(boolFlag("gone")).GetFlag().GetRevision()
	if err := f.delete("gone", base); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"never", "gone"} {
		_, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: key})
		wants[*NotFoundError](t, err)
		wants[*NotFoundError](t, f.delete(key, base))
		_, err = f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{Environment: production, FlagKey: key, Reason: "r"})
		wants[*NotFoundError](t, err)
		_, err = f.PromoteFlag(f.ctx, alice, &controlv1.PromoteFlagRequest{
			FlagKey: key, FromEnvironment: production, ToEnvironment: staging, Reason: "r",
		})
		mentions(t, as[*NotFoundError](t, err), key, production)
	}
	_, err := f.update(boolFlag("never"), base)
	wants[*NotFoundError](t, err)
	_, err = f.ListFlagHistory(f.ctx, &controlv1.ListFlagHistoryRequest{Environment: production, FlagKey: "never"})
	wants[*NotFoundError](t, err)
	_, err = f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: "prod", FlagKey: "a"})
	mentions(t, as[*NotFoundError](t, err), `"prod"`, production, staging)
	_, err = f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: "prod", Flag: boolFlag("a"), Reason: "r"})
	wants[*NotFoundError](t, err)

	f.create(boolFlag("a"))
	_, err = f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: production, Flag: boolFlag("a"), Reason: "r"})
	mentions(t, as[*ExistsError](t, err), `flag "a" in environment "production"`)
}

func TestPromote(t *testing.T) {
	f, _ := newFixture(t)
	reviewed := f.create(boolFlag("a")).GetFlag().GetRevision()
	promote := func(edit func(*controlv1.PromoteFlagRequest)) (*controlv1.PromoteFlagResponse, error) {
		r := &controlv1.PromoteFlagRequest{FlagKey: "a", FromEnvironment: production, ToEnvironment: staging, Reason: "ready"}
		edit(r)
		return f.PromoteFlag(f.ctx, alice, r)
	}
	preview, err := promote(func(r *controlv1.PromoteFlagRequest) { r.ValidateOnly, r.Reason = true, "" })
	if err != nil || preview.GetFlag().GetRevision() != 0 || preview.GetEntry() != nil || len(preview.GetChanges()) == 0 ||
		preview.GetFlag().GetFlag().GetEnabled() || preview.GetFromRevision() != reviewed {
		t.Fatalf("preview: %v, %v", preview, err)
	}
	first, err := promote(func(r *controlv1.PromoteFlagRequest) { r.FromRevision = reviewed })
	if err != nil {
		t.Fatal(err)
	}
	e := first.GetEntry()
	if first.GetFlag().GetFlag().GetEnabled() || e.GetEnvironment() != staging || e.GetSourceEnvironment() != production ||
		e.GetSourceRevision() != reviewed || e.GetAction() != controlv1.Action_ACTION_PROMOTED {
		t.Errorf("a new flag arrives as %v", first)
	}
	// A stale base, then a source that was changed after its review.
	_, err = promote(func(r *controlv1.PromoteFlagRequest) { r.IncludeEnabled = true })
	if c := as[*ConflictError](t, err).Conflict; c.GetEnvironment() != staging || c.GetCurrentRevision() != first.GetFlag().GetRevision() {
		t.Errorf("conflict: %v", c)
	}
	mentions(t, err, "exists already")
	f.setEnabled("a", false)
	on := f.setEnabled("a", true)
	_, err = promote(func(r *controlv1.PromoteFlagRequest) {
		r.BaseRevision, r.FromRevision, r.IncludeEnabled = first.GetFlag().GetRevision(), reviewed, true
	})
	if c := as[*ConflictError](t, err).Conflict; c.GetEnvironment() != production || c.GetBaseRevision() != reviewed {
		t.Errorf("conflict: %v", c)
	}
	second, err := promote(func(r *controlv1.PromoteFlagRequest) {
		r.BaseRevision, r.IncludeEnabled = first.GetFlag().GetRevision(), true
	})
	if err != nil || !second.GetFlag().GetFlag().GetEnabled() || second.GetFromRevision() != on.GetFlag().GetRevision() || len(second.GetChanges()) != 1 {
		t.Errorf("with enabled: %v, %v", second, err)
	}
	// The target keeps its own state, here with nothing else to change.
	f.setEnabled("a", false)
	third, err := promote(func(r *controlv1.PromoteFlagRequest) { r.BaseRevision = second.GetFlag().GetRevision() })
	if err != nil || third.GetEntry() != nil || !third.GetFlag().GetFlag().GetEnabled() {
		t.Errorf("nothing to promote: %v, %v", third, err)
	}
	// What the target environment does not have cannot be referred to.
	f.create(boolFlag("needy", "a"))
	if _, err := promote(func(r *controlv1.PromoteFlagRequest) { r.FlagKey = "needy" }); err != nil {
		t.Errorf("a prerequisite that was promoted before: %v", err)
	}
	f.create(boolFlag("b"))
	f.create(boolFlag("needs-b", "b"))
	_, err = promote(func(r *controlv1.PromoteFlagRequest) { r.FlagKey = "needs-b" })
	if e := as[*PreconditionError](t, err); !strings.HasPrefix(e.Fields[0].Field, "flag.prerequisites[0]") {
		t.Errorf("fields: %v", e.Fields)
	}
}

func TestRestore(t *testing.T) {
	f, _ := newFixture(t)
	first := f.create(boolFlag("a"))
	off := f.setEnabled("a", false)
	if err := f.delete("a", off.GetFlag().GetRevision()); err != nil {
		t.Fatal(err)
	}
	deleted := f.fullHistory("a")[2]
	if deleted.GetAction() != controlv1.Action_ACTION_DELETED || deleted.GetFlag() != nil ||
		deleted.GetPreviousRevision() != off.GetFlag().GetRevision() || len(deleted.GetChanges()) == 0 {
		t.Errorf("entry of the deletion: %v", deleted)
	}
	restore := func(revision, base int64) (*controlv1.RestoreFlagResponse, error) {
		return f.RestoreFlag(f.ctx, alice, &controlv1.RestoreFlagRequest{
			Environment: production, FlagKey: "a", Revision: revision, BaseRevision: base, Reason: "back",
		})
	}
	_, err := restore(deleted.GetRevision(), 0)
	mentions(t, as[*NotFoundError](t, err), "deleted")
	_, err = restore(first.GetFlag().GetRevision()-1, 0)
	wants[*NotFoundError](t, err)
	_, err = restore(deleted.GetRevision()+100, 0)
	wants[*NotFoundError](t, err)
	back, err := restore(first.GetFlag().GetRevision(), 0)
	if err != nil {
		t.Fatal(err)
	}
	e := back.GetEntry()
	if !proto.Equal(back.GetFlag().GetFlag(), first.GetFlag().GetFlag()) || e.GetAction() != controlv1.Action_ACTION_RESTORED ||
		e.GetSequence() != 4 || e.GetPreviousRevision() != 0 || e.GetSourceRevision() != first.GetFlag().GetRevision() {
		t.Errorf("restored: %v", back)
	}
	_, err = restore(off.GetFlag().GetRevision(), 0)
	wants[*ConflictError](t, err)
	again, err := restore(off.GetFlag().GetRevision(), back.GetFlag().GetRevision())
	if err != nil || again.GetFlag().GetFlag().GetEnabled() || len(again.GetEntry().GetChanges()) != 1 {
		t.Errorf("restored again: %v, %v", again, err)
	}
}

func TestSegments(t *testing.T) {
	f, _ := newFixture(t)
	created := f.createSegment("staff", "u1")
	target := created.GetSegment()
	edit := proto.CloneOf(target.GetSegment())
	edit.Included = append(edit.Included, "u2")
	updated, err := f.UpdateSegment(f.ctx, alice, &controlv1.UpdateSegmentRequest{
		Environment: production, Segment: edit, BaseRevision: target.GetRevision(), Reason: "r",
	})
	if err != nil || updated.GetEntry().GetChanges()[0].GetPath() != "included[u2]" {
		t.Fatalf("updated: %v, %v", updated, err)
	}
	got, err := f.GetSegment(f.ctx, &controlv1.GetSegmentRequest{Environment: production, SegmentKey: "staff"})
	if err != nil || !proto.Equal(got.GetSegment(), updated.GetSegment()) {
		t.Errorf("got %v, %v", got, err)
	}
	f.create(inSegment(boolFlag("a"), "staff"))
	remove := func() error {
		_, err := f.DeleteSegment(f.ctx, alice, &controlv1.DeleteSegmentRequest{
			Environment: production, SegmentKey: "staff", BaseRevision: updated.GetSegment().GetRevision(), Reason: "r",
		})
		return err
	}
	refused := as[*PreconditionError](t, remove())
	mentions(t, refused, "segment_key", `"staff"`, `"a"`)
	if err := f.delete("a", f.get("a").GetRevision()); err != nil {
		t.Fatal(err)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	back, err := f.RestoreSegment(f.ctx, alice, &controlv1.RestoreSegmentRequest{
		Environment: production, SegmentKey: "staff", Revision: target.GetRevision(), Reason: "r",
	})
	if err != nil || !proto.Equal(back.GetSegment().GetSegment(), target.GetSegment()) {
		t.Errorf("restored: %v, %v", back, err)
	}
	history, err := f.ListSegmentHistory(f.ctx, &controlv1.ListSegmentHistoryRequest{Environment: production, SegmentKey: "staff"})
	if err != nil || len(history.GetEntries()) != 4 || !proto.Equal(history.GetEntries()[0], back.GetEntry()) {
		t.Errorf("history: %v, %v", history, err)
	}
}

func TestReferences(t *testing.T) {
	f, _ := newFixture(t)
	a := f.create(boolFlag("a"))
	f.create(boolFlag("b", "a"))
	for _, test := range []struct {
		name  string
		flag  []string // key, then prerequisites
		field string
		parts []string
	}{
		{"unknown flag", []string{"c", "a", "x"}, "flag.prerequisites[1].flag_key", []string{`"x"`}},
		{"itself", []string{"c", "c"}, "flag.prerequisites[0].flag_key", nil},
	} {
		flag := boolFlag(test.flag[0], test.flag[1:]...)
		_, err := f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: production, Flag: flag, Reason: "r"})
		var fields string
		var precondition *PreconditionError
		var invalid *InvalidError
		switch {
		case errors.As(err, &precondition):
			fields = precondition.Fields[0].Field
		case errors.As(err, &invalid):
			fields = invalid.Fields[0].Field
		}
		if fields != test.field {
			t.Errorf("%s: %v, want a problem with %s", test.name, err, test.field)
			continue
		}
		mentions(t, err, test.parts...)
	}
	_, err := f.update(boolFlag("a", "b"), a.GetFlag().GetRevision())
	mentions(t, as[*PreconditionError](t, err), "a -> b -> a")
	_, err = f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: production, Flag: inSegment(boolFlag("c"), "x"), Reason: "r"})
	mentions(t, as[*PreconditionError](t, err), "flag.rules[0].clauses[0]", `"x"`)

	without := boolFlag("a")
	without.Variants[0].Name = "yes"
	without.DefaultOutcome = nil
	_, err = f.update(without, a.GetFlag().GetRevision())
	mentions(t, as[*PreconditionError](t, err), "flags[b].prerequisites[0]", `"on"`)
	mentions(t, as[*PreconditionError](t, f.delete("a", a.GetFlag().GetRevision())), `"a"`, `"b"`, "flag_key")
	if f.get("a").GetRevision() != a.GetFlag().GetRevision() || len(f.fullHistory("a")) != 1 {
		t.Error("a refused write left a trace")
	}
}
