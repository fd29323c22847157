package controlplane

import (
	"errors"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/controlplane/store"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// FuzzDecodeStored: whatever the store holds, decoders return what can be used or
// ErrCorrupt.
func FuzzDecodeStored(f *testing.F) {
	flag, err := marshal(boolFlag("a", "b"))
	if err != nil {
		f.Fatal(err)
	}
	entry, err := marshal((&draft{change: &change{resource: resource{production, flagKind, "a"}}, desired: boolFlag("a")}).newEntry())
	if err != nil {
		f.Fatal(err)
	}
	rec, err := record{Fingerprint: "f", Results: []recordResult{{Kind: "f", Key: "a", Sequence: 3}}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	epoch, err := encodeEpoch(snapshot.Epoch{Counter: 1, Random: 1 << 63})
	if err != nil {
		f.Fatal(err)
	}
	key, err := marshal(&accessv1.Key{Id: "abcdefghijkl", SecretHash: make([]byte, 32), Version: 1})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{flag, key, entry, rec, epoch, nil, []byte(`{"results":[{"kind":"x"}]}`), []byte(`{"counter":1,"random":"-1"}`)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		check := func(err error) {
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v is not ErrCorrupt", err)
			}
		}
		if e, err := decodeEntry(store.KV{Key: "k", Value: data, ModRevision: 7}); err != nil {
			check(err)
		} else {
			if e.GetRevision() != 7 {
				t.Errorf("revision %d is not the key's", e.GetRevision())
			}
			_ = fieldChanges(entryResource(e), nil)
		}
		for _, k := range []*kind{flagKind, segmentKind, keyKind} {
			if m, err := k.decode(data); err != nil {
				check(err)
			} else {
				_ = fieldChanges(k.newMessage(), auditable(m))
				_ = needs(m)
				_ = provides(m)
			}
		}
		if r, err := decodeRecord(data); err != nil {
			check(err)
		} else {
			for _, result := range r.Results {
				if kindOf(result.Kind) == nil || strings.Contains(result.Key, "/") {
					t.Errorf("accepted %+v", result)
				}
			}
		}
		if e, err := decodeEpoch(data); err != nil {
			check(err)
		} else if again, err := encodeEpoch(e); err != nil {
			t.Error(err)
		} else if back, err := decodeEpoch(again); err != nil || back != e {
			t.Errorf("%v became %v (%v)", e, back, err)
		}
	})
}

// FuzzDecodePageToken: a token is one that this service gave out for this list, or
// refused; it never leads out of its list.
func FuzzDecodePageToken(f *testing.F) {
	of := statePrefix(production, flagKind)
	for _, t := range []pageToken{{Of: of, After: of + "a", Revision: 7}, {Of: of, After: of}, {Of: "x", After: "y"}} {
		token, err := t.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(token)
	}
	f.Add("")
	f.Add("e30")
	f.Fuzz(func(t *testing.T, token string) {
		got, err := decodePageToken(token, of)
		var wrong *InvalidError
		switch {
		case errors.As(err, &wrong):
		case err != nil:
			t.Errorf("%v is not an InvalidError", err)
		case !store.Prefix(of).Contains(got.After) || got.Revision < 0:
			t.Errorf("accepted %+v", got)
		}
	})
}

// FuzzParseStateKey: a key names a resource if and only if the resource has that key.
func FuzzParseStateKey(f *testing.F) {
	for _, key := range []string{
		resource{production, flagKind, "a"}.stateKey(), resource{"e", segmentKind, "B.c-d_9"}.stateKey(),
		guardKey(production), stateRoot, stateRoot + "production", stateRoot + "production/f/a/b", "/elsewhere",
	} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		r, ok := parseStateKey(key)
		switch {
		case !ok && r != resource{}:
			t.Errorf("%q: refused, and %+v", key, r)
		case ok && r.kind != nil && r.stateKey() != key:
			t.Errorf("%q names %+v, whose key is %q", key, r, r.stateKey())
		case ok && !strings.HasPrefix(key, stateRoot+r.environment+"/"):
			t.Errorf("%q is said to be of environment %q", key, r.environment)
		}
		if n, err := sequenceOf(key); err == nil {
			audit := resource{production, flagKind, "a"}.auditKey(n)
			if n <= 0 || audit[strings.LastIndexByte(audit, '/'):] != "/"+strings.ToLower(key[strings.LastIndexByte(key, '/')+1:]) {
				t.Errorf("%q is entry %d, whose key is %q", key, n, audit)
			}
		}
	})
}
