// Package memstore is a store in memory, for tests: it keeps every promise of package
// store but durability, and breaks where and when a test wants it to.
package memstore

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

// Store is a store.Store.
type Store struct {
	mu        sync.Mutex
	revision  int64
	compacted int64 // what was superseded at or before it is gone
	keys      []string
	versions  map[string][]version
	log       []logEntry // changes from compacted on, in order
	leases    map[store.LeaseID]*lease
	lastLease store.LeaseID
	watches   map[*watch]struct{}
	changed   chan struct{} // closed and replaced when watches have something to look at
	down      error
	closed    bool
	now       func() time.Time
}

type version struct {
	kv      store.KV
	deleted bool // kv.ModRevision is the deletion's
}

type logEntry struct {
	revision int64
	events   []store.Event
}

type lease struct {
	ttl     time.Duration
	expires time.Time
	keys    map[string]struct{}
}

// New returns an empty store.
func New() *Store {
	return &Store{
		revision: 1,
		versions: make(map[string][]version),
		leases:   make(map[store.LeaseID]*lease),
		watches:  make(map[*watch]struct{}),
		changed:  make(chan struct{}),
		now:      time.Now,
	}
}

var _ store.Store = (*Store)(nil)

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, ranges ...store.Range) ([]store.Result, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usableLocked(ctx); err != nil {
		return nil, 0, err
	}
	if len(ranges) > store.MaxTxnOps {
		return nil, 0, fmt.Errorf("%w: %d ranges", store.ErrTooLarge, len(ranges))
	}
	results := make([]store.Result, 0, len(ranges))
	for _, r := range ranges {
		results = append(results, s.rangeLocked(s.revision, r))
	}
	return results, s.revision, nil
}

// ReadAt implements store.Store.
func (s *Store) ReadAt(ctx context.Context, revision int64, r store.Range) (store.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usableLocked(ctx); err != nil {
		return store.Result{}, err
	}
	switch {
	case revision > s.revision:
		return store.Result{}, store.ErrFutureRevision
	case revision < s.compacted:
		return store.Result{}, store.ErrCompacted
	}
	return s.rangeLocked(revision, r), nil
}

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usableLocked(ctx); err != nil {
		return store.Outcome{}, err
	}
	if err := s.checkLocked(t); err != nil {
		return store.Outcome{}, err
	}
	for _, c := range t.Compares {
		if !s.holdsLocked(c) {
			return store.Outcome{Revision: s.revision}, nil
		}
	}
	s.applyLocked(t.Ops)
	return store.Outcome{Committed: true, Revision: s.revision}, nil
}

// Grant implements store.Store.
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (store.LeaseID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usableLocked(ctx); err != nil {
		return 0, err
	}
	s.lastLease++
	s.leases[s.lastLease] = &lease{ttl: ttl, expires: s.now().Add(ttl), keys: make(map[string]struct{})}
	return s.lastLease, nil
}

// KeepAlive implements store.Store.
func (s *Store) KeepAlive(ctx context.Context, id store.LeaseID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usableLocked(ctx); err != nil {
		return err
	}
	l := s.leases[id]
	if l == nil {
		return store.ErrLeaseNotFound
	}
	l.expires = s.now().Add(l.ttl)
	return nil
}

// Revoke implements store.Store.
func (s *Store) Revoke(ctx context.Context, id store.LeaseID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usableLocked(ctx); err != nil {
		return err
	}
	if l := s.leases[id]; l != nil {
		s.endLocked(id, l)
	}
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.wakeLocked()
	open := make([]*watch, 0, len(s.watches))
	for w := range s.watches {
		open = append(open, w)
	}
	s.mu.Unlock()
	for _, w := range open {
		<-w.done
	}
	return nil
}

// Compact removes the versions that were superseded at or before the revision.
func (s *Store) Compact(revision int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case revision > s.revision:
		return store.ErrFutureRevision
	case revision <= s.compacted:
		return store.ErrCompacted
	}
	s.compacted = revision
	s.log = slices.DeleteFunc(s.log, func(e logEntry) bool { return e.revision < revision })
	s.keys = slices.DeleteFunc(s.keys, func(key string) bool {
		versions := s.versions[key]
		// The newest version at the revision is still needed, unless it is a deletion.
		n := sort.Search(len(versions), func(i int) bool { return versions[i].kv.ModRevision > revision })
		if n > 0 && !versions[n-1].deleted {
			n--
		}
		if n == len(versions) {
			delete(s.versions, key)
			return true
		}
		s.versions[key] = slices.Clone(versions[n:])
		return false
	})
	s.wakeLocked()
	return nil
}

// SetDown makes every call fail with ErrUnavailable, and watches silent, while down is
// true.
func (s *Store) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = nil
	if down {
		s.down = store.ErrUnavailable
	}
	s.wakeLocked()
}

// BreakWatches ends all watches with ErrUnavailable.
func (s *Store) BreakWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watches {
		w.broken = true
	}
	s.wakeLocked()
}

func (s *Store) usableLocked(ctx context.Context) error {
	if s.closed {
		return store.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.down != nil {
		return s.down
	}
	s.expireLocked()
	return nil
}

func (s *Store) wakeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// atLocked returns the key's value at the revision.
func (s *Store) atLocked(key string, revision int64) (store.KV, bool) {
	versions := s.versions[key]
	n := sort.Search(len(versions), func(i int) bool { return versions[i].kv.ModRevision > revision })
	if n == 0 || versions[n-1].deleted {
		return store.KV{}, false
	}
	return versions[n-1].kv, true
}

func (s *Store) rangeLocked(revision int64, r store.Range) store.Result {
	var result store.Result
	first, _ := slices.BinarySearch(s.keys, r.Key)
	for _, key := range s.keys[first:] {
		if !r.Contains(key) {
			break
		}
		kv, ok := s.atLocked(key, revision)
		if !ok {
			continue
		}
		if r.Limit > 0 && len(result.KVs) == r.Limit {
			result.More = true
			break
		}
		result.KVs = append(result.KVs, kv)
	}
	return result
}

func (s *Store) checkLocked(t store.Txn) error {
	if len(t.Compares) > store.MaxTxnOps || len(t.Ops) > store.MaxTxnOps {
		return fmt.Errorf("%w: %d compares and %d ops", store.ErrTooLarge, len(t.Compares), len(t.Ops))
	}
	size := 0
	seen := make(map[string]struct{}, len(t.Ops))
	for _, op := range t.Ops {
		if _, twice := seen[op.Key]; twice {
			return fmt.Errorf("%w: %s", store.ErrDuplicateKey, op.Key)
		}
		seen[op.Key] = struct{}{}
		size += len(op.Key) + len(op.Value)
		if op.Lease != 0 && s.leases[op.Lease] == nil {
			return store.ErrLeaseNotFound
		}
	}
	if size > store.MaxTxnBytes {
		return fmt.Errorf("%w: %d bytes", store.ErrTooLarge, size)
	}
	return nil
}

func (s *Store) holdsLocked(c store.Compare) bool {
	kv, _ := s.atLocked(c.Key, s.revision)
	if c.Created {
		return kv.CreateRevision == c.Revision
	}
	return kv.ModRevision == c.Revision
}

// applyLocked does the ops at the next revision; nothing if they change nothing.
func (s *Store) applyLocked(ops []store.Op) {
	next := s.revision + 1
	var events []store.Event
	for _, op := range ops {
		old, exists := s.atLocked(op.Key, s.revision)
		if op.Delete && !exists {
			continue
		}
		kv := store.KV{Key: op.Key, ModRevision: next}
		if !op.Delete {
			kv.Value = slices.Clone(op.Value)
			kv.CreateRevision = next
			if exists {
				kv.CreateRevision = old.CreateRevision
			}
		}
		s.attachLocked(op)
		s.appendLocked(version{kv: kv, deleted: op.Delete})
		events = append(events, store.Event{KV: kv, Deleted: op.Delete})
	}
	if len(events) == 0 {
		return
	}
	s.revision = next
	s.log = append(s.log, logEntry{revision: next, events: events})
	s.wakeLocked()
}

func (s *Store) appendLocked(v version) {
	key := v.kv.Key
	if _, known := s.versions[key]; !known {
		i, _ := slices.BinarySearch(s.keys, key)
		s.keys = slices.Insert(s.keys, i, key)
	}
	s.versions[key] = append(s.versions[key], v)
}

// attachLocked moves the key to the op's lease, or off any.
func (s *Store) attachLocked(op store.Op) {
	for _, l := range s.leases {
		delete(l.keys, op.Key)
	}
	if l := s.leases[op.Lease]; l != nil && !op.Delete {
		l.keys[op.Key] = struct{}{}
	}
}

func (s *Store) expireLocked() {
	for id, l := range s.leases {
		if !s.now().Before(l.expires) {
			s.endLocked(id, l)
		}
	}
}

func (s *Store) endLocked(id store.LeaseID, l *lease) {
	delete(s.leases, id)
	ops := make([]store.Op, 0, len(l.keys))
	for key := range l.keys {
		ops = append(ops, store.Delete(key))
	}
	s.applyLocked(ops)
}
