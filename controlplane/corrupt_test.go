package controlplane

import (
	"context"
	"errors"
	"testing"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// newBrokenFlag returns a store that holds a flag that no longer compiles.
func newBrokenFlag(t *testing.T) *memstore.Store {
	t.Helper()
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	openOn(t, s)
	broken := boolFlag("broken")
	broken.OffVariant = "no such variant"
	data, err := marshal(broken)
	if err != nil {
		t.Fatal(err)
	}
	putRaw(t, s, resource{environment: production, kind: flagKind, key: "broken"}.stateKey(), data)
	return s
}

func putRaw(t *testing.T, s store.Store, key string, value []byte) {
	t.Helper()
	if _, err := s.Commit(context.Background(), store.Txn{Ops: []store.Op{store.Put(key, value)}}); err != nil {
		t.Fatal(err)
	}
}

// TestCorruptValueStopsNothingElse: neither at load nor from the watch.
func TestCorruptValueStopsNothingElse(t *testing.T) {
	f, s := newFixture(t)
	f.create(boolFlag("a"))
	putRaw(t, s, resource{environment: production, kind: flagKind, key: "bad"}.stateKey(), []byte("\xff\xff"))
	putRaw(t, s, stateRoot+"Not An Environment/f/x", nil)
	putRaw(t, s, stateRoot+production+"/z/later-kind", []byte("x"))
	f.create(boolFlag("b"))

	for _, reader := range []*fixture{f, openOn(t, s)} {
		if reader == f {
			reader.caughtUp()
		}
		if env := reader.replicas.Replica(production).Snapshot().Eval(); env.Flag("a") == nil || env.Flag("b") == nil {
			t.Error("a sound flag is missing")
		}
	}
	list, err := f.ListFlags(f.ctx, &controlv1.ListFlagsRequest{Environment: production})
	if err != nil || len(list.GetFlags()) != 2 {
		t.Errorf("list: %v, %v", list, err)
	}
	_, err = f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: "bad"})
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("get: %v", err)
	}
	_, err = f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{Environment: production, FlagKey: "bad", Reason: "r"})
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("set enabled: %v", err)
	}
	// It can be repaired.
	results, _, err := s.Read(f.ctx, store.Key(resource{environment: production, kind: flagKind, key: "bad"}.stateKey()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.update(boolFlag("bad"), results[0].KVs[0].ModRevision); err != nil {
		t.Errorf("repair: %v", err)
	}
}
