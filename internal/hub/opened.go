package hub

import (
	"sync"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// openedKeys are the keys with which environments were followed here: one that is no
// longer there was revoked. It grows with the keys of an epoch, not with streams.
type openedKeys struct {
	mu sync.Mutex
	in map[string]opened // by environment
}

// opened are the keys that opened one environment in an epoch.
type opened struct {
	epoch snapshot.Epoch
	ids   map[string]struct{}
}

// note notes that a key is in the environment.
func (o *openedKeys) note(s *snapshot.Snapshot, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was, epoch := o.in[s.Environment()], s.Cursor().Epoch
	if was.ids == nil || was.epoch != epoch {
		was = opened{epoch: epoch, ids: make(map[string]struct{})}
		if o.in == nil {
			o.in = make(map[string]opened)
		}
		o.in[s.Environment()] = was
	}
	was.ids[id] = struct{}{}
}

// has tells whether a key was in the environment at some time of the epoch.
func (o *openedKeys) has(s *snapshot.Snapshot, id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.in[s.Environment()]
	_, there := was.ids[id]
	return there && was.epoch == s.Cursor().Epoch
}
