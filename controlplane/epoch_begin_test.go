package controlplane

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func (f *fixture) getEpoch() *controlv1.GetEpochResponse {
	f.t.Helper()
	resp, err := f.GetEpoch(f.ctx, &controlv1.GetEpochRequest{})
	if err != nil {
		f.t.Fatalf("GetEpoch: %v", err)
	}
	return resp
}

func TestBeginEpoch(t *testing.T) {
	f, _ := newFixture(t)
	f.create(boolFlag("a"))
	first := f.getEpoch()
	if first.GetEntry() != nil || first.GetEpoch().GetCounter() != 1 || !proto.Equal(first.GetEpoch(), first.GetAppliedEpoch()) {
		t.Fatalf("at first: %v", first)
	}
	request := &controlv1.BeginEpochRequest{Expected: first.GetEpoch(), Reason: "restored", RequestId: "once"}
	began, err := f.BeginEpoch(f.ctx, alice, request)
	if err != nil {
		t.Fatal(err)
	}
	e := began.GetEntry()
	if began.GetEpoch().GetCounter() != 2 || began.GetEpoch().GetRandom() == first.GetEpoch().GetRandom() ||
		e.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_EPOCH || e.GetSequence() != 1 || e.GetActor() != "alice" || e.GetReason() != "restored" ||
		e.GetRevision() != began.GetRevision() || !proto.Equal(e.GetEpoch(), began.GetEpoch()) || len(e.GetChanges()) != 1 {
		t.Errorf("began %v", began)
	}
	takenOver := func(e *syncv1.Epoch) {
		t.Helper()
		for _, name := range []string{production, staging} {
			until(t, "the new epoch is taken over", func() bool {
				return f.replicas.Replica(name).Snapshot().Cursor().Epoch == snapshot.Epoch{Counter: e.GetCounter(), Random: e.GetRandom()}
			})
		}
	}
	takenOver(began.GetEpoch())
	if now := f.getEpoch(); !proto.Equal(now.GetEntry(), e) || !proto.Equal(now.GetAppliedEpoch(), began.GetEpoch()) {
		t.Errorf("now: %v", now)
	}
	again, err := f.BeginEpoch(f.ctx, alice, request)
	if err != nil || !proto.Equal(again, began) {
		t.Errorf("the request again: %v, %v", again, err)
	}
	_, err = f.BeginEpoch(f.ctx, alice, &controlv1.BeginEpochRequest{Expected: first.GetEpoch(), Reason: "too late"})
	mentions(t, as[*PreconditionError](t, err), "expected: is 1-", "the store's epoch is 2-", "begun by alice", `reason "restored"`)

	second, err := f.BeginEpoch(f.ctx, alice, &controlv1.BeginEpochRequest{Expected: began.GetEpoch(), Reason: "again"})
	if err != nil {
		t.Fatal(err)
	}
	kvs := f.all(epochResource.auditPrefix())
	if len(kvs) != 2 || !bytes.Equal(second.GetEntry().GetPreviousHash(), entryHash(kvs[1].Value)) {
		t.Errorf("%d entries; the newest follows %x", len(kvs), second.GetEntry().GetPreviousHash())
	}
	takenOver(second.GetEpoch())
	f.setEnabled("a", false)
	f.caughtUp()
	sameAsFresh(t, f, f.store)
}

func TestBeginEpochIsChecked(t *testing.T) {
	f, _ := newFixture(t)
	_, err := f.BeginEpoch(f.ctx, alice, &controlv1.BeginEpochRequest{})
	mentions(t, as[*InvalidError](t, err), "expected: is required", "reason: is required")
	_, err = f.BeginEpoch(f.ctx, alice, &controlv1.BeginEpochRequest{Expected: &syncv1.Epoch{Counter: 1}, Reason: "r"})
	wants[*PreconditionError](t, err)
	if now := f.getEpoch(); now.GetEpoch().GetCounter() != 1 {
		t.Errorf("it is %v", now)
	}
}

// TestOneEpochBegins: of many who see the same reason, one begins it; a lost answer of the
// store is asked for again.
func TestOneEpochBegins(t *testing.T) {
	f, faulty := newFaulty(t)
	faulty.loseAfter.Store(1)
	expected := f.getEpoch().GetEpoch()
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = f.BeginEpoch(f.ctx, alice, &controlv1.BeginEpochRequest{Expected: expected, Reason: "r"})
		})
	}
	wg.Wait()
	began := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err != nil })
	if now := f.getEpoch(); len(began) != 1 || now.GetEpoch().GetCounter() != 2 {
		t.Errorf("%d began one, and it is %v: %v", len(began), now, errors.Join(errs...))
	}
}

// TestRestoredUnderARunningServer: a store that went back is not followed, and what the
// server holds is no ground to check writes on; it says so. A new epoch settles it.
func TestRestoredUnderARunningServer(t *testing.T) {
	f, s := newFixture(t)
	f.create(boolFlag("kept"))
	f.caughtUp()
	backup := s.Backup()
	for range 5 {
		f.create(boolFlag("lost"))
		if err := f.delete("lost", f.get("lost").GetRevision()); err != nil {
			t.Fatal(err)
		}
	}
	f.create(boolFlag("lost"))
	f.caughtUp()
	held := f.replicas.Replica(production).Snapshot().Cursor()

	s.Restore(backup)
	until(t, "it is noticed", func() bool { return errors.Is(f.Err(), ErrDataLoss) })
	mentions(t, f.Err(), "tidegate epoch begin")
	if now := f.replicas.Replica(production).Snapshot().Cursor(); !now.SameState(held) {
		t.Errorf("from %v to %v", held, now)
	}
	if now := f.getEpoch(); now.GetAppliedRevision() <= now.GetRevision() {
		t.Errorf("it does not show in %v", now)
	}
	epoch, revision, err := f.Head(f.ctx)
	if err != nil || epoch != held.Epoch || revision >= held.Revision {
		t.Errorf("Head: %v, %d, %v", epoch, revision, err)
	}
	_, err = f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: production, Flag: boolFlag("needy", "lost"), Reason: "r"})
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, ErrDataLoss) {
		t.Errorf("a flag that needs one which is lost: %v", err)
	}
	f.setEnabled("kept", false) // the kill switch works as ever

	if _, err := f.BeginEpoch(f.ctx, alice, &controlv1.BeginEpochRequest{Expected: f.getEpoch().GetEpoch(), Reason: "restored"}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is followed again", func() bool { return f.Err() == nil })
	f.caughtUp()
	sameAsFresh(t, f, s)
	_, err = f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: production, Flag: boolFlag("needy", "lost"), Reason: "r"})
	wants[*PreconditionError](t, err)
}
