package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
)

// TestPages: pages are all keys, once, in order; what is skipped is not there.
func TestPages(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := memstore.New()
		var want []string
		skipped := map[string]bool{}
		for range r.IntN(40) {
			name := fmt.Sprintf("%x", r.IntN(300))
			skipped[name] = r.IntN(3) == 0
			for range 1 + r.IntN(30) {
				want = append(want, fmt.Sprintf("/p/%s/%016x", name, r.Uint64N(10_000)))
			}
		}
		slices.Sort(want)
		want = slices.Compact(want)
		for _, key := range append([]string{"/o/x", "/p0", "/q/x"}, want...) {
			if _, err := s.Commit(t.Context(), store.Txn{Ops: []store.Op{store.Put(key, nil)}}); err != nil {
				t.Fatal(err)
			}
		}
		name := func(key string) string { return strings.Split(key, "/")[2] }
		want = slices.DeleteFunc(want, func(key string) bool { return skipped[name(key)] })
		var got []string
		pages := store.NewPages(s, "/p/", 1+r.IntN(20))
		for {
			kvs, _, err := pages.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(kvs) == 0 {
				break
			}
			for _, kv := range kvs {
				if skipped[name(kv.Key)] {
					pages.Skip("/p/" + name(kv.Key) + "/")
					break // what follows on the page is read again, or skipped
				}
				got = append(got, kv.Key)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: %d keys, want %d", seed, len(got), len(want))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
