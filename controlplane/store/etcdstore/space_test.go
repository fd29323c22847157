package etcdstore

import (
	"errors"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/store"
)

// A full embedded store says so, and takes writes again after a restart, as only
// history filled it.
func TestFullStoreRecovers(t *testing.T) {
	o := Options{DataDir: t.TempDir(), Logger: zerolog.Nop(), quotaBytes: 4 << 20}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 256<<10)
	put := func(s *Store) error {
		_, err := s.Commit(t.Context(), store.Txn{Ops: []store.Op{store.Put("/tidegate/v1/x", value)}})
		return err
	}
	for range 100 {
		if err = put(s); err != nil {
			break
		}
	}
	if !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("a full store: got %v, want ErrNoSpace", err)
	}
	if _, err := s.Grant(t.Context(), time.Hour); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("a lease of a full store: got %v, want ErrNoSpace", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := put(s); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	kvs, _, err := s.Read(t.Context(), store.Key("/tidegate/v1/x"))
	if err != nil || len(kvs[0].KVs) != 1 {
		t.Errorf("after a restart: %v, %v", kvs, err)
	}
}
