package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/etcdstore"
)

func TestMain(m *testing.M) {
	wal.SegmentSizeBytes = 4 << 20
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, dir string) *etcdstore.Store {
	t.Helper()
	s, err := etcdstore.Open(t.Context(), etcdstore.Options{DataDir: dir, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func commit(t *testing.T, s store.Store, ops ...store.Op) {
	t.Helper()
	if _, err := s.Commit(t.Context(), store.Txn{Ops: ops}); err != nil {
		t.Fatal(err)
	}
}

// filled is a store with keys that were written once, often, together, deleted, and deleted and
// written again.
func filled(t *testing.T) *etcdstore.Store {
	t.Helper()
	s := open(t, filepath.Join(t.TempDir(), "etcd"))
	for i := range 50 {
		commit(t, s, store.Put(fmt.Sprintf("/t/once-%02d", i), bytes.Repeat([]byte{byte(i)}, 100*i)), store.Put("/t/often", fmt.Append(nil, i)))
	}
	commit(t, s, store.Put("/t/gone", nil), store.Put("/t/again", nil))
	commit(t, s, store.Delete("/t/gone"), store.Delete("/t/again"))
	commit(t, s, store.Put("/t/again", []byte("x")))
	commit(t, s, store.Delete("/t/once-07"))
	return s
}

// saved is a backup of a store.
func saved(t *testing.T, s store.Snapshotter) string {
	t.Helper()
	from, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(from)
	if err := errors.Join(err, from.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "saved.backup")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// contents are what a store has, a line each.
func contents(t *testing.T, s store.Store) (string, int64) {
	t.Helper()
	results, revision, err := s.Read(t.Context(), store.Prefix("/t/"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, kv := range results[0].KVs {
		fmt.Fprintln(&text, line(kv))
	}
	return text.String(), revision
}

func line(kv store.KV) string {
	return fmt.Sprintf("%s %x %d %d", kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision)
}

// What is read of a backup is what the store had, and so is what is restored; its revision goes
// on far above, and who watches from before is told.
func TestReadAndRestore(t *testing.T) {
	t.Parallel()
	s := filled(t)
	want, revision := contents(t, s)
	path := saved(t, s)

	there := make(map[string]string)
	info, err := Read(path, func(kv store.KV) error {
		there[kv.Key] = line(kv)
		return nil
	})
	if err != nil || info.Revision != revision {
		t.Fatalf("%+v, %v; want revision %d", info, err, revision)
	}
	lines := strings.Split(strings.TrimSpace(want), "\n")
	for _, l := range lines {
		if key, _, _ := strings.Cut(l, " "); there[key] != l {
			t.Errorf("%q, want %q", there[key], l)
		}
	}
	if len(there) != len(lines) {
		t.Errorf("%d keys, want %d", len(there), len(lines))
	}

	dir := filepath.Join(t.TempDir(), "restored")
	if err := Restore(path, dir); err != nil {
		t.Fatal(err)
	}
	restored := open(t, dir)
	got, now := contents(t, restored)
	if got != want || now < revision+revisionBump {
		t.Errorf("at revision %d, backed up at %d: %s\nwant %s", now, revision, got, want)
	}
	w, err := restored.Watch(t.Context(), "/t/", revision+1)
	if err != nil {
		t.Fatal(err)
	}
	for range w.Batches() {
		t.Error("a watch from the lost history on goes on")
	}
	if !errors.Is(w.Err(), store.ErrCompacted) {
		t.Errorf("the watch ended with %v", w.Err())
	}
	commit(t, restored, store.Put("/t/since", nil))
	if again, err := Read(saved(t, restored), func(store.KV) error { return nil }); err != nil || again.Revision <= now {
		t.Errorf("a backup of what was restored: %+v, %v; want a revision above %d", again, err, now)
	}
}

// A backup that is not as it was written is neither read nor restored.
func TestDamaged(t *testing.T) {
	t.Parallel()
	path := saved(t, filled(t))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := func(name string, data []byte) {
		t.Helper()
		bad := filepath.Join(t.TempDir(), "bad")
		if err := os.WriteFile(bad, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(bad, func(store.KV) error { return nil }); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s is read: %v", name, err)
		}
		dir := filepath.Join(t.TempDir(), "restored")
		if err := Restore(bad, dir); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s is restored: %v", name, err)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("of %s something is left: %v", name, err)
		}
	}
	for at := 0; at < len(whole); at += len(whole) / 40 {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 1
		spoilt(fmt.Sprintf("byte %d flipped", at), flipped)
		spoilt(fmt.Sprintf("the first %d bytes", at), whole[:at])
	}
	last := bytes.Clone(whole)
	last[len(last)-1] ^= 1
	spoilt("the checksum flipped", last)
	spoilt("nothing", nil)
	spoilt("more than a backup", append(bytes.Clone(whole), make([]byte, pageSize)...))
	if _, err := Read(t.TempDir(), func(store.KV) error { return nil }); err == nil {
		t.Error("a folder is read")
	}
}

// Who reads can stop it.
func TestReadStops(t *testing.T) {
	t.Parallel()
	calls := 0
	if _, err := Read(saved(t, filled(t)), func(store.KV) error { calls++; return context.Canceled }); !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := Empty(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".hidden"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Empty(dir); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("%v", err)
	}
}
