package eval

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func TestKeySetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOf(rapid.StringN(0, 3, -1)).Draw(t, "keys")
		others := rapid.SliceOf(rapid.StringN(0, 3, -1)).Draw(t, "others")
		s := newKeySet(keys)
		for _, key := range slices.Concat(keys, others) {
			if got, want := s.has(key, hashOf(key)), slices.Contains(keys, key); got != want {
				t.Fatalf("%q: %v, want %v", key, got, want)
			}
		}
	})
}

// Keys are compared, not only their hashes: those that collide are told apart.
func TestKeySetComparesKeys(t *testing.T) {
	s := newKeySet([]string{"a", "b"})
	if s.has("other", hashOf("a")) {
		t.Error("a key with the hash of a member belongs")
	}
}

func TestKeySetOfAllSizes(t *testing.T) {
	var keys []string
	for n := range 300 {
		s := newKeySet(keys)
		for i, key := range keys {
			if !s.has(key, hashOf(key)) {
				t.Fatalf("of %d keys, key %d is missing", n, i)
			}
		}
		next := "key-" + strconv.Itoa(n)
		if s.has(next, hashOf(next)) {
			t.Fatalf("of %d keys, %s is none", n, next)
		}
		keys = append(keys, next)
	}
}
