package controlplane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// until waits for what must come true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// TestQuietEnvironmentsAdvance: by writes elsewhere, also such as change no replica; and
// they stay confirmed.
func TestQuietEnvironmentsAdvance(t *testing.T) {
	f, s := newFixture(t)
	putRaw(t, s, "/elsewhere", nil)
	target := f.create(boolFlag("a")).GetFlag().GetRevision()
	quiet := f.replicas.Replica(staging)
	until(t, "staging advances", func() bool { return quiet.Snapshot().Cursor().Revision >= target })
	for range 3 {
		before := quiet.Age()
		until(t, "staging is confirmed again", func() bool { return quiet.Age() < before || quiet.Age() < probeInterval })
	}
	s.SetDown(true)
	until(t, "staging ages", func() bool { return quiet.Age() > 2*probeInterval })
	s.SetDown(false)
	until(t, "staging is confirmed again", func() bool { return quiet.Age() < probeInterval })
}

func TestNewEnvironmentIsPickedUp(t *testing.T) {
	f, s := newFixture(t)
	if _, err := ensureEnvironment(f.ctx, s, "dev"); err != nil {
		t.Fatal(err)
	}
	until(t, "the environment is there", func() bool {
		r := f.replicas.Replica("dev")
		return r != nil && r.Snapshot() != nil
	})
	if _, err := f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: "dev", Flag: boolFlag("a", "b"), Reason: "r"}); err == nil {
		t.Error("references are not checked there")
	}
	other := openOn(t, s)
	if !slices.Contains(other.replicas.Environments(), "dev") {
		t.Error("a server that starts does not know it")
	}
}

// TestCompactionLosesNothing: what happened behind a compaction reaches followers as one
// delta, deletions included.
func TestCompactionLosesNothing(t *testing.T) {
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	writer := openOn(t, s)
	f := openOn(t, s) // not running yet: it will have missed all this
	kept := writer.create(boolFlag("kept"))
	_, changes := f.replicas.Replica(production).Subscribe()

	reached := f.applier.revision()
	doomed := writer.create(boolFlag("doomed")).GetFlag().GetRevision()
	stop := f.start()
	f.caughtUp()
	stop()
	if f.applier.revision() <= reached {
		t.Fatal("nothing was applied")
	}

	// While it does not run: a deletion, a change and a creation, all compacted away.
	stop = writer.start() // the deletion is checked against its replicas
	if err := writer.delete("doomed", doomed); err != nil {
		t.Fatal(err)
	}
	stop()
	writer.setEnabled("kept", false)
	last := writer.create(boolFlag("new")).GetFlag().GetRevision()
	if err := s.Compact(last); err != nil {
		t.Fatal(err)
	}
	writer.create(boolFlag("after"))

	defer f.start()()
	f.caughtUp()

	state := make(map[string]int64)
	for len(state) != 3 || state["after"] == 0 {
		ctx, cancel := context.WithTimeout(f.ctx, patience)
		c, lost, err := changes.Next(ctx)
		cancel()
		if err != nil || lost || c.Delta.Full {
			t.Fatalf("next change: %v, lost %v, full %v", err, lost, c.Delta.Full)
		}
		for _, i := range c.Delta.Puts {
			state[i.Key] = i.ModRevision
		}
		for _, d := range c.Delta.Deletes {
			delete(state, d.Key)
		}
	}
	if state["doomed"] != 0 || state["kept"] == kept.GetFlag().GetRevision() || state["new"] != last {
		t.Errorf("the deltas lead to %v", state)
	}
	sameAsFresh(t, f, s)
}

// TestNewEpochIsLoaded: after a restore from backup the operator gives the store a new
// epoch; then, and only then, what is served may go back.
func TestNewEpochIsLoaded(t *testing.T) {
	f, s := newFixture(t)
	f.create(boolFlag("a"))
	f.caughtUp()
	before := f.replicas.Replica(production).Snapshot().Cursor()
	epoch := snapshot.Epoch{Counter: before.Epoch.Counter + 1, Random: 7}
	value, err := encodeEpoch(epoch)
	if err != nil {
		t.Fatal(err)
	}
	putRaw(t, s, epochKey, value)
	for _, environment := range []string{production, staging} {
		until(t, "the epoch is taken over", func() bool {
			return f.replicas.Replica(environment).Snapshot().Cursor().Epoch == epoch
		})
	}
	f.setEnabled("a", false)
	f.caughtUp()
	sameAsFresh(t, f, s)
}

// TestLostDataIsNotServed: a store that went back in one epoch is not followed.
func TestLostDataIsNotServed(t *testing.T) {
	old := memstore.New()
	t.Cleanup(func() { _ = old.Close() })
	backup := &swappableStore{}
	backup.swap(old)
	f := runOn(t, backup)
	for i := range 10 {
		f.create(boolFlag(fmt.Sprintf("a%d", i)))
	}
	f.caughtUp()
	held := f.replicas.Replica(production).Snapshot().Cursor()

	restored := memstore.New()
	t.Cleanup(func() { _ = restored.Close() })
	epoch, err := encodeEpoch(held.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	putRaw(t, restored, epochKey, epoch)
	backup.swap(restored)
	old.BreakWatches()
	r := f.replicas.Replica(production)
	until(t, "what is served ages", func() bool { return r.Age() > 2*probeInterval })
	if now := r.Snapshot().Cursor(); !now.SameState(held) || now.Revision < held.Revision {
		t.Errorf("from %v to %v", held, now)
	}
	// With a new epoch it is.
	epoch, err = encodeEpoch(snapshot.Epoch{Counter: 2, Random: 2})
	if err != nil {
		t.Fatal(err)
	}
	putRaw(t, restored, epochKey, epoch)
	until(t, "the restored state is served", func() bool { return r.Snapshot().Len() == 0 })
}

// TestReplicasEqualAFreshLoad: after any sequence of writes with watches that break,
// outages and compactions, what a server holds is what another loads.
func TestReplicasEqualAFreshLoad(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := memstore.New()
		defer func() { _ = s.Close() }()
		f := openOn(t, s)
		defer f.start()()

		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		for _, op := range rapid.SliceOfN(rapid.IntRange(0, 9), 1, 40).Draw(rt, "ops") {
			key := fmt.Sprintf("k%d", r.IntN(5))
			environment := []string{production, staging, "extra"}[r.IntN(3)]
			id := resource{environment: environment, kind: []*kind{flagKind, segmentKind}[r.IntN(2)], key: key}
			switch op {
			case 0:
				s.BreakWatches()
			case 1:
				if results, revision, err := s.Read(f.ctx, store.Key(epochKey)); err == nil && len(results) == 1 {
					_ = s.Compact(revision) // compacted already: as good
				}
			case 2:
				s.SetDown(true)
				s.BreakWatches()
				s.SetDown(false)
			case 3, 4, 5:
				putRaw(t, s, id.stateKey(), encodeRandom(t, r, id))
			case 6:
				txn := store.Txn{Ops: []store.Op{store.Delete(id.stateKey()), store.Put(guardKey(environment), nil)}}
				if _, err := s.Commit(f.ctx, txn); err != nil {
					t.Error(err)
				}
			case 7: // several environments at one revision
				txn := store.Txn{}
				for _, e := range []string{production, staging} {
					id := resource{environment: e, kind: flagKind, key: key}
					txn.Ops = append(txn.Ops, store.Put(id.stateKey(), encodeRandom(t, r, id)))
				}
				if _, err := s.Commit(f.ctx, txn); err != nil {
					t.Error(err)
				}
			case 8:
				putRaw(t, s, id.stateKey(), []byte("\xff broken"))
			case 9:
				time.Sleep(time.Millisecond) // lets the watch catch up in the middle
			}
		}
		f.caughtUp()
		sameAsFresh(t, f, s)
	})
}

// encodeRandom returns a flag or segment of the resource's key.
func encodeRandom(t *testing.T, r *rand.Rand, id resource) []byte {
	t.Helper()
	m := id.kind.newMessage()
	parse(fmt.Sprintf(`{"key": %q, "description": "%d"}`, id.key, r.IntN(1000)), m)
	if id.kind == flagKind {
		flag := boolFlag(id.key)
		flag.Description = fmt.Sprint(r.IntN(1000))
		m = flag
	}
	data, err := marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sameAsFresh compares a server's replicas with those of one that just loaded the store.
func sameAsFresh(t *testing.T, f *fixture, s store.Store) {
	t.Helper()
	fresh := openOn(t, s)
	for _, environment := range fresh.replicas.Environments() {
		r := f.replicas.Replica(environment)
		if r == nil || r.Snapshot() == nil {
			t.Errorf("environment %q is missing", environment)
			continue
		}
		got, want := r.Snapshot(), fresh.replicas.Replica(environment).Snapshot()
		if !got.Cursor().SameState(want.Cursor()) || got.Len() != want.Len() {
			t.Errorf("%s: %d items, %v; a fresh load has %d, %v", environment, got.Len(), got.Cursor(), want.Len(), want.Cursor())
		}
		for i := range want.Items() {
			if held, ok := got.Item(i.Kind, i.Key); !ok || held.ModRevision != i.ModRevision || string(held.Data) != string(i.Data) {
				t.Errorf("%s: %v at %d, want %d", environment, i.ID(), held.ModRevision, i.ModRevision)
			}
		}
	}
}

// TestProbeMayBeOvertaken: what is applied while the store answers is no loss of data.
func TestProbeMayBeOvertaken(t *testing.T) {
	f, _ := newFixture(t)
	p := f.applier.ask(f.ctx)
	f.create(boolFlag("a"))
	f.caughtUp()
	if p.revision >= f.applier.revision() {
		t.Fatal("nothing was applied")
	}
	if err := f.applier.checkProbe(p); err != nil {
		t.Error(err)
	}
}

// compactingStore compacts what is about to be read, some times.
type compactingStore struct {
	*memstore.Store
	left int
}

func (s *compactingStore) ReadAt(ctx context.Context, revision int64, r store.Range) (store.Result, error) {
	if s.left > 0 {
		s.left--
		out, err := s.Commit(ctx, store.Txn{Ops: []store.Op{store.Put("/elsewhere", nil)}})
		if err == nil {
			err = s.Compact(out.Revision)
		}
		if err != nil {
			return store.Result{}, err
		}
	}
	return s.Store.ReadAt(ctx, revision, r)
}

// TestLoadBeginsAgainAfterCompaction: a server starts though the store compacts what it
// loads, and says so if that never ends.
func TestLoadBeginsAgainAfterCompaction(t *testing.T) {
	s := &compactingStore{Store: memstore.New(), left: loadAttempts - 1}
	t.Cleanup(func() { _ = s.Close() })
	options := Options{Store: s, Replicas: replica.NewSet(replica.Options{}), Environments: []string{production}, Logger: zerolog.Nop()}
	if _, err := Open(t.Context(), options); err != nil {
		t.Errorf("compacted %d times: %v", loadAttempts-1, err)
	}
	s.left = 1000
	options.Replicas = replica.NewSet(replica.Options{})
	if _, err := Open(t.Context(), options); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("compacted for ever: %v, want %v", err, store.ErrCompacted)
	}
}
