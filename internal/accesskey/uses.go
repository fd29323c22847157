package accesskey

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// Uses notes which keys of one environment were good for something, to be told once a minute each.
// It grows with the keys that there were, not with calls. Nil notes nothing.
type Uses struct {
	mu   sync.Mutex
	keys map[string]*use
}

// use is of one key. To note one is an atomic store at most.
type use struct {
	since atomic.Bool // it was used since it was looked at
	told  uint64      // the last minute that was told; guarded by Uses.mu
}

func (u *use) note() {
	if u != nil && !u.since.Load() { // which leaves the cache line where it is
		u.since.Store(true)
	}
}

func (u *Uses) of(id string) *use {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.keys == nil {
		u.keys = map[string]*use{}
	}
	k := u.keys[id]
	if k == nil {
		k = &use{}
		u.keys[id] = k
	}
	return k
}

// Note notes that a key was good for something.
func (u *Uses) Note(id string) { u.of(id).note() }

// Take returns the keys, at most so many, that were used since they were told, each of them once a
// minute. What there is no room for is for the next time.
func (u *Uses) Take(now time.Time, most int) []*telemetryv1.KeyUse {
	if u == nil {
		return nil
	}
	minute := uint64(max(now.Unix(), 0)) / 60
	u.mu.Lock()
	defer u.mu.Unlock()
	var ids []string
	for id, k := range u.keys {
		if k.told != minute && k.since.Load() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var list []*telemetryv1.KeyUse
	for _, id := range ids[:min(len(ids), most)] {
		k := u.keys[id]
		k.since.Store(false)
		k.told = minute
		list = append(list, &telemetryv1.KeyUse{KeyId: id, Last: minute})
	}
	return list
}
