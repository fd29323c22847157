// Package mirror holds in memory what the store has under a prefix, and follows it.
package mirror

import (
	"context"
	"fmt"
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

// Options of a Mirror.
type Options[T any] struct {
	Store  store.Store
	Prefix string
	// Decode reads a value. What it fails on is logged, and mirrored as what it returned.
	Decode func(store.KV) (T, error)
	// Deleted is called, if not nil, with the rest of each key that goes.
	Deleted func(rest string)
	Logger  zerolog.Logger
}

// Mirror holds values by the rest of their keys. While the store cannot be followed, it is as
// it was.
type Mirror[T any] struct {
	o      Options[T]
	loaded chan struct{}

	mu      sync.Mutex
	entries map[string]Entry[T] // replaced, never modified
	changed chan struct{}       // closed and replaced with each change
}

// Entry is one key's value.
type Entry[T any] struct {
	Value    T
	Revision int64 // at which it was written
}

// New makes a mirror that knows nothing before it is Loaded or Run.
func New[T any](o Options[T]) *Mirror[T] {
	return &Mirror[T]{o: o, loaded: make(chan struct{}), changed: make(chan struct{})}
}

// All returns what there is, which must not be modified, and what is closed when it is no
// longer this.
func (m *Mirror[T]) All() (map[string]Entry[T], <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries, m.changed
}

// Loaded is closed when the store has been read for the first time.
func (m *Mirror[T]) Loaded() <-chan struct{} { return m.loaded }

// Load reads the store once.
func (m *Mirror[T]) Load(ctx context.Context) error {
	_, err := m.load(ctx)
	return err
}

// Run follows the store until ctx ends.
func (m *Mirror[T]) Run(ctx context.Context) {
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
		m.o.Logger.Debug().Err(err).Str("prefix", m.o.Prefix).Msg("cannot follow the store; trying again")
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// follow reads everything, then each change, until it no longer can.
func (m *Mirror[T]) follow(ctx context.Context) error {
	revision, err := m.load(ctx)
	if err != nil {
		return err
	}
	watch, err := m.o.Store.Watch(ctx, m.o.Prefix, revision+1)
	if err != nil {
		return err
	}
	defer watch.Close()
	for batch := range watch.Batches() {
		if len(batch.Events) == 0 {
			continue
		}
		was, _ := m.All()
		next := maps.Clone(was)
		var gone []string
		for _, e := range batch.Events {
			if e.Deleted {
				rest := strings.TrimPrefix(e.KV.Key, m.o.Prefix)
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

// load reads everything, and returns as of which revision.
func (m *Mirror[T]) load(ctx context.Context) (int64, error) {
	results, revision, err := m.o.Store.Read(ctx, store.Prefix(m.o.Prefix))
	if err != nil {
		return 0, fmt.Errorf("read what is under %s: %w", m.o.Prefix, err)
	}
	next := make(map[string]Entry[T], len(results[0].KVs))
	for _, kv := range results[0].KVs {
		m.put(next, kv)
	}
	m.replace(next, nil)
	return revision, nil
}

func (m *Mirror[T]) put(to map[string]Entry[T], kv store.KV) {
	value, err := m.o.Decode(kv)
	if err != nil {
		m.o.Logger.Error().Err(err).Str("key", kv.Key).Msg("a value in the store cannot be decoded: nothing is known of what it names but that it is there")
	}
	to[strings.TrimPrefix(kv.Key, m.o.Prefix)] = Entry[T]{Value: value, Revision: kv.ModRevision}
}

// replace makes next what there is; gone are keys that were deleted on the way, which may
// have come on the way, too.
func (m *Mirror[T]) replace(next map[string]Entry[T], gone []string) {
	m.mu.Lock()
	was := m.entries
	m.entries = next
	close(m.changed)
	m.changed = make(chan struct{})
	m.mu.Unlock()
	if was == nil {
		close(m.loaded)
	}
	if m.o.Deleted == nil {
		return
	}
	for rest := range was {
		gone = append(gone, rest)
	}
	for _, rest := range gone {
		if _, there := next[rest]; !there {
			m.o.Deleted(rest)
		}
	}
}
