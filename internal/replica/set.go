package replica

import (
	"slices"
	"sync"
	"sync/atomic"
)

// DefaultHistoryBytes holds some 20,000 changes of a flag: hours of a busy environment, for
// followers that were away.
const DefaultHistoryBytes = 16 << 20

// Options of a Set.
type Options struct {
	// HistoryBytes bounds the history of each environment, in bytes of its deltas'
	// data. 0: DefaultHistoryBytes. Negative: only the newest change is kept, which is
	// all that a process without followers (an SDK) needs.
	HistoryBytes int
	// Observer is told what the replicas show; may be nil.
	Observer Observer
}

// Set holds the replicas of some environments. Environments may be added while in use.
type Set struct {
	historyBytes int
	observer     Observer

	mu    sync.Mutex            // guards writes
	index atomic.Pointer[index] // replaced as a whole
	added chan struct{}         // closed with the next addition
}

// index is what the set holds; immutable.
type index struct {
	names    []string
	replicas map[string]*Replica
}

// NewSet makes an empty set.
func NewSet(o Options) *Set {
	s := &Set{historyBytes: o.HistoryBytes, observer: o.Observer, added: make(chan struct{})}
	if s.historyBytes == 0 {
		s.historyBytes = DefaultHistoryBytes
	}
	s.index.Store(&index{})
	return s
}

// Replica returns the environment's replica, or nil if the set does not have it.
func (s *Set) Replica(environment string) *Replica { return s.index.Load().replicas[environment] }

// Add returns the environment's replica, made if it is not there yet.
func (s *Set) Add(name string) *Replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.index.Load()
	if r := old.replicas[name]; r != nil {
		return r
	}
	r := newReplica(name, s.historyBytes, s.observer)
	next := &index{
		names:    append(slices.Clone(old.names), name),
		replicas: make(map[string]*Replica, len(old.replicas)+1),
	}
	for n, o := range old.replicas {
		next.replicas[n] = o
	}
	next.replicas[name] = r
	s.index.Store(next)
	close(s.added)
	s.added = make(chan struct{})
	return r
}

// Added returns a channel that is closed when an environment is added.
func (s *Set) Added() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.added
}

// Environments lists the names in the order in which they were added. The slice is
// shared and must not be modified.
func (s *Set) Environments() []string { return s.index.Load().names }
