package fleet

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/store"
)

const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// mirror holds what the store has under a prefix, as JSON of a T, by the key's rest. While
// the store cannot be followed, it is as it was.
type mirror[T any] struct {
	store  store.Store
	prefix string
	logger zerolog.Logger
	// deleted is called, if not nil, with the rest of each key that goes.
	deleted func(rest string)
	// loaded is closed when the store has been read for the first time.
	loaded chan struct{}

	mu      sync.Mutex
	entries map[string]entry[T] // replaced, never modified
	changed chan struct{}       // closed and replaced with each change
}

// entry is one key's value.
type entry[T any] struct {
	value    T
	revision int64 // at which it was written
}

func newMirror[T any](s store.Store, prefix string, logger zerolog.Logger) *mirror[T] {
	return &mirror[T]{store: s, prefix: prefix, logger: logger, loaded: make(chan struct{}), changed: make(chan struct{})}
}

// all returns what there is, which must not be modified, and what is closed when it is no
// longer this.
func (m *mirror[T]) all() (map[string]entry[T], <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries, m.changed
}

// run follows the store until ctx ends.
func (m *mirror[T]) run(ctx context.Context) {
	backoff := firstBackoff
	for ctx.Err() == nil {
		began := time.Now()
		err := m.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastBackoff {
			backoff = firstBackoff
		}
		m.logger.Debug().Err(err).Str("prefix", m.prefix).Msg("cannot follow the store; trying again")
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// follow reads everything, then each change, until it no longer can.
func (m *mirror[T]) follow(ctx context.Context) error {
	results, revision, err := m.store.Read(ctx, store.Prefix(m.prefix))
	if err != nil {
		return err
	}
	next := make(map[string]entry[T], len(results[0].KVs))
	for _, kv := range results[0].KVs {
		m.put(next, kv)
	}
	m.replace(next, nil)
	watch, err := m.store.Watch(ctx, m.prefix, revision+1)
	if err != nil {
		return err
	}
	defer watch.Close()
	for batch := range watch.Batches() {
		if len(batch.Events) == 0 {
			continue
		}
		next = maps.Clone(next)
		var gone []string
		for _, e := range batch.Events {
			if e.Deleted {
				rest := strings.TrimPrefix(e.KV.Key, m.prefix)
				delete(next, rest)
				gone = append(gone, rest)
				continue
			}
			m.put(next, e.KV)
		}
		m.replace(next, gone)
	}
	return watch.Err()
}

func (m *mirror[T]) put(to map[string]entry[T], kv store.KV) {
	var e entry[T]
	if err := json.Unmarshal(kv.Value, &e.value); err != nil {
		m.logger.Error().Err(err).Str("key", kv.Key).Msg("a value in the store cannot be decoded: nothing is known of what it names but that it is there")
	}
	e.revision = kv.ModRevision
	to[strings.TrimPrefix(kv.Key, m.prefix)] = e
}

// replace makes next what there is; gone are keys that were deleted on the way, which may
// have come on the way, too.
func (m *mirror[T]) replace(next map[string]entry[T], gone []string) {
	m.mu.Lock()
	was := m.entries
	m.entries = next
	close(m.changed)
	m.changed = make(chan struct{})
	m.mu.Unlock()
	if was == nil {
		close(m.loaded)
	}
	if m.deleted == nil {
		return
	}
	for rest := range was {
		gone = append(gone, rest)
	}
	for _, rest := range gone {
		if _, there := next[rest]; !there {
			m.deleted(rest)
		}
	}
}
