package controlplane

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// storedEpoch is the epoch as JSON. BeginEpoch raises the counter and draws a new random
// number.
type storedEpoch struct {
	Counter uint64 `json:"counter"`
	Random  string `json:"random"` // 16 hexadecimal digits
}

func encodeEpoch(e snapshot.Epoch) ([]byte, error) {
	return json.Marshal(storedEpoch{Counter: e.Counter, Random: fmt.Sprintf("%016x", e.Random)})
}

func decodeEpoch(data []byte) (snapshot.Epoch, error) {
	var stored storedEpoch
	if err := json.Unmarshal(data, &stored); err != nil {
		return snapshot.Epoch{}, fmt.Errorf("%w: %s: %w", ErrCorrupt, epochKey, err)
	}
	random, err := strconv.ParseUint(stored.Random, 16, 64)
	if err != nil || len(stored.Random) != 16 || stored.Counter == 0 {
		return snapshot.Epoch{}, fmt.Errorf("%w: %s is %q: want a counter above 0 and 16 hexadecimal digits", ErrCorrupt, epochKey, data)
	}
	return snapshot.Epoch{Counter: stored.Counter, Random: random}, nil
}

// drawEpoch returns an epoch that never was, whatever its counter.
func drawEpoch(counter uint64) snapshot.Epoch {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return snapshot.Epoch{Counter: counter, Random: binary.LittleEndian.Uint64(random[:])}
}

// ensureEpoch gives a new store its epoch. Of servers that start at once, one does.
func ensureEpoch(ctx context.Context, s store.Store) error {
	value, err := encodeEpoch(drawEpoch(1))
	if err != nil {
		return err
	}
	_, err = s.Commit(ctx, store.Txn{
		Compares: []store.Compare{store.Absent(epochKey)},
		Ops:      []store.Op{store.Put(epochKey, value)},
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// ensureEnvironment makes an environment that is not there yet. Its guard announces it
// to the watches of other servers. One that is being made of another one is left to that:
// it is not there then.
func ensureEnvironment(ctx context.Context, s store.Store, name string) (there bool, err error) {
	if !environmentPattern.MatchString(name) {
		return false, invalid("environment", fmt.Sprintf("%q: %s", name, environmentRule))
	}
	out, err := s.Commit(ctx, store.Txn{
		Compares: []store.Compare{store.Absent(environmentKey(name)), store.Absent(fillingKey(name))},
		Ops:      []store.Op{store.Put(environmentKey(name), nil), store.Put(guardKey(name), nil)},
	})
	if err != nil {
		return false, unavailable(err)
	}
	if out.Committed {
		return true, nil
	}
	results, _, err := s.Read(ctx, store.Key(environmentKey(name)))
	if err != nil {
		return false, unavailable(err)
	}
	return len(results[0].KVs) > 0, nil
}
