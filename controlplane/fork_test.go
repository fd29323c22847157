package controlplane

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// TestLossStaysKnown: a store that was seen to have gone back is not followed once it has
// outgrown what was applied, as that is another history; a new epoch settles it.
func TestLossStaysKnown(t *testing.T) {
	f, s := newFixture(t)
	f.create(boolFlag("a"))
	f.caughtUp()
	backup := s.Backup()
	for range 3 {
		f.setEnabled("a", false)
		f.setEnabled("a", true)
	}
	f.caughtUp()
	held := f.replicas.Replica(production).Snapshot().Cursor()
	s.Restore(backup)
	until(t, "it is noticed", func() bool { return errors.Is(f.Err(), ErrDataLoss) })

	for i := range 10 {
		putRaw(t, s, resource{production, flagKind, fmt.Sprint("other-", i)}.stateKey(), encodeFlag(t, fmt.Sprint("other-", i)))
	}
	if _, revision, err := f.Head(f.ctx); err != nil || revision <= held.Revision {
		t.Fatalf("the store has not outgrown %d: %d, %v", held.Revision, revision, err)
	}
	r := f.replicas.Replica(production)
	until(t, "what is served ages", func() bool { return r.Age() > 4*probeInterval })
	if now := r.Snapshot().Cursor(); now != held || !errors.Is(f.Err(), ErrDataLoss) {
		t.Errorf("from %v to %v, and %v", held, now, f.Err())
	}
	beginsAnew(t, f, s)
}

// TestForkIsNoticed: a store that was restored, and has outgrown what was applied, all while
// a server could not see it. What changed there, is missing, or is back, tells it.
func TestForkIsNoticed(t *testing.T) {
	for name, lose := range map[string]func(*fixture){
		"a change":  func(f *fixture) { f.setEnabled("kept", false) },
		"a new one": func(f *fixture) { f.create(boolFlag("lost")) },
		"a removal": func(f *fixture) {
			if err := f.delete("doomed", f.get("doomed").GetRevision()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, compacted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, compacted %v", name, compacted), func(t *testing.T) {
				s := memstore.New()
				t.Cleanup(func() { _ = s.Close() })
				f := openOn(t, s)
				f.create(boolFlag("kept"))
				f.create(boolFlag("doomed"))
				stop := f.start()
				f.caughtUp()
				backup := s.Backup()
				lose(f)
				f.caughtUp()
				stop()
				f.applier.followed = false // as after a watch that broke
				held := f.replicas.Replica(production).Snapshot().Cursor()

				s.Restore(backup)
				for i := range 5 {
					putRaw(t, s, "/elsewhere", []byte(fmt.Sprint(i)))
				}
				_, revision, err := f.Head(f.ctx)
				if err != nil || revision <= held.Revision {
					t.Fatalf("at revision %d: %v", revision, err)
				}
				if compacted {
					if err := s.Compact(revision); err != nil {
						t.Fatal(err)
					}
				}
				defer f.start()()
				until(t, "it is noticed", func() bool { return errors.Is(f.Err(), ErrDataLoss) })
				if now := f.replicas.Replica(production).Snapshot().Cursor(); now != held {
					t.Errorf("from %v to %v", held, now)
				}
				beginsAnew(t, f, s)
			})
		}
	}
}

// beginsAnew begins a new epoch, with which the store is followed again.
func beginsAnew(t *testing.T, f *fixture, s *memstore.Store) {
	t.Helper()
	if _, err := f.BeginEpoch(f.ctx, alice, &controlv1.BeginEpochRequest{Expected: f.getEpoch().GetEpoch(), Reason: "restored"}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is followed again", func() bool { return f.Err() == nil })
	f.caughtUp()
	sameAsFresh(t, f, s)
}

func encodeFlag(t *testing.T, key string) []byte {
	t.Helper()
	data, err := marshal(boolFlag(key))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestEndedEpochIsNoNewOne: a backup of an epoch that has ended begins none.
func TestEndedEpochIsNoNewOne(t *testing.T) {
	f, s := newFixture(t)
	f.create(boolFlag("a"))
	backup := s.Backup()
	if _, err := f.BeginEpoch(f.ctx, alice, &controlv1.BeginEpochRequest{Expected: f.getEpoch().GetEpoch(), Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	r := f.replicas.Replica(production)
	until(t, "the epoch begins", func() bool { return r.Snapshot().Cursor().Epoch.Counter == 2 })
	held := r.Snapshot().Cursor()
	s.Restore(backup)
	until(t, "it is noticed", func() bool { return errors.Is(f.Err(), ErrDataLoss) })
	if now := r.Snapshot().Cursor(); now.Epoch != held.Epoch {
		t.Errorf("from %v to %v", held, now)
	}
	beginsAnew(t, f, s)
}
