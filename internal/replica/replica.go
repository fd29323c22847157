package replica

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// ErrOutOfOrder says that what was to be published does not follow what is current, or would
// take its revision back. Nothing changed.
var ErrOutOfOrder = errors.New("replica: out of order")

// Replica is the local copy of one environment.
type Replica struct {
	environment string
	observer    Observer // may be nil
	current     atomic.Pointer[state]
	confirmed   atomic.Pointer[confirmation]

	mu      sync.Mutex // guards writes of current and confirmed, and history
	history history
}

// state is what is current: a snapshot and the place in the history at which it stands.
type state struct {
	snapshot *snapshot.Snapshot
	place    *place
	// ready is closed while there is a snapshot.
	ready chan struct{}
	// purged: there is none because it was taken away.
	purged bool
}

// confirmation is a moment up to which everything that the store held is included.
type confirmation struct {
	at time.Time // monotonic
	// presumed: at is when the snapshot came, or what Restore said.
	presumed bool
	// unknown: nobody said anything yet; at is when the snapshot came.
	unknown bool
}

func newReplica(environment string, historyBytes int, o Observer) *Replica {
	r := &Replica{environment: environment, observer: o}
	start := newPlace()
	r.history.init(historyBytes, start)
	r.current.Store(&state{place: start, ready: make(chan struct{})})
	return r
}

// Environment returns the environment's name.
func (r *Replica) Environment() string { return r.environment }

// Snapshot returns the newest snapshot, or nil before the first, and after a Purge. One
// atomic load.
func (r *Replica) Snapshot() *snapshot.Snapshot { return r.current.Load().snapshot }

// Age tells how long ago the snapshot was last confirmed to be the store's current
// state, summed over all hops; by the monotonic clock. A snapshot that was never
// confirmed ages from the moment at which it was published, or (loaded from disk) from
// the time given to Restore. 0 without a snapshot.
func (r *Replica) Age() time.Duration { return r.AgeAt(time.Now()) }

// AgeAt is Age for callers that know what time it is.
func (r *Replica) AgeAt(now time.Time) time.Duration {
	c := r.confirmed.Load()
	if c == nil {
		return 0
	}
	return max(now.Sub(c.at), 0) // it may have been confirmed since
}

// ConfirmedAge is Age; ok is false as long as nobody said how old the snapshot is. Only
// an age that somebody stands for may be passed on.
func (r *Replica) ConfirmedAge() (age time.Duration, ok bool) {
	c := r.confirmed.Load()
	if c == nil || c.unknown {
		return 0, false
	}
	return time.Since(c.at), true
}

// Ready is closed while there is a snapshot. After a Purge it is another channel, closed
// when the next one comes: who waits asks for it when the waiting begins.
func (r *Replica) Ready() <-chan struct{} { return r.current.Load().ready }

// Purged tells whether there is no snapshot because it may not be held any more.
func (r *Replica) Purged() bool { return r.current.Load().purged }

// Purge lets go of the snapshot and of the history: subscribers are told that they lost
// changes, and that there is no snapshot. What is published next is a first snapshot
// again, of any revision. It is called by the publisher.
func (r *Replica) Purge() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, start := r.current.Load(), newPlace()
	ready := now.ready
	if now.snapshot != nil {
		ready = make(chan struct{})
	}
	r.observe(Purged, nil, snapshot.Delta{}, &confirmation{})
	r.current.Store(&state{place: start, ready: ready, purged: true})
	r.confirmed.Store(nil)
	r.history.cut(start)
}

// Publish makes next current, having come from the current one through d, and wakes the
// subscribers. Single publisher. A new epoch, or a Full delta, cuts the history.
//
// It does nothing but return ErrOutOfOrder if d does not lead from the current state to
// next, or if the revision would go back within an epoch.
func (r *Replica) Publish(next *snapshot.Snapshot, d snapshot.Delta) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.current.Load()
	if err := follows(now.snapshot, next, d); err != nil {
		return err
	}
	newEpoch := now.snapshot != nil && now.snapshot.Cursor().Epoch != next.Cursor().Epoch
	if now.snapshot == nil || newEpoch {
		r.confirmed.Store(&confirmation{at: time.Now(), presumed: true, unknown: true})
	}
	if now.snapshot == nil || newEpoch || d.Full {
		r.observe(Replaced, next, d, r.confirmed.Load())
		r.cutLocked(next)
		return nil
	}
	r.observe(Changed, next, d, r.confirmed.Load())
	to := newPlace()
	r.current.Store(&state{snapshot: next, place: to, ready: now.ready})
	s := &step{delta: d, replaced: now.snapshot.Replaced(d), to: to}
	s.snapshot.Store(next)
	r.history.push(s)
	return nil
}

func follows(now, next *snapshot.Snapshot, d snapshot.Delta) error {
	switch {
	case d.Environment != next.Environment() || now != nil && now.Environment() != next.Environment():
		return fmt.Errorf("%w: it is of environment %q", ErrOutOfOrder, next.Environment())
	case d.Target != next.Cursor():
		return fmt.Errorf("%w: the delta leads to %s, the snapshot is %s", ErrOutOfOrder, d.Target, next.Cursor())
	case now == nil:
		return nil
	case now.Cursor().Epoch == next.Cursor().Epoch && next.Cursor().Revision < now.Cursor().Revision && !fault.Planted("accept-older"):
		return fmt.Errorf("%w: %s is current, %s is older", ErrOutOfOrder, now.Cursor(), next.Cursor())
	case !d.Full && !d.Base.SameState(now.Cursor()):
		return fmt.Errorf("%w: %s is current, the delta starts from %s", ErrOutOfOrder, now.Cursor(), d.Base)
	}
	return nil
}

// cutLocked makes s current without a history.
func (r *Replica) cutLocked(s *snapshot.Snapshot) {
	now, start := r.current.Load(), newPlace()
	r.current.Store(&state{snapshot: s, place: start, ready: now.ready})
	r.history.cut(start)
	if now.snapshot == nil {
		close(now.ready)
	}
}

// Advance replaces the current snapshot by the same state at a later revision, and
// confirms it.
func (r *Replica) Advance(revision int64) { r.Observe(revision, 0) }

// Confirm records that the snapshot was the store's current state `age` ago.
func (r *Replica) Confirm(age time.Duration) { r.Observe(0, age) }

// Observe records that the snapshot was the store's current state `age` ago, and that
// it was so at the revision, if that is later than its own. An older confirmation does
// not replace a newer one. Nothing happens without a snapshot.
func (r *Replica) Observe(revision int64, age time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.current.Load()
	if now.snapshot == nil {
		return
	}
	next, event := now.snapshot.Advance(revision), Confirmed
	if next != now.snapshot {
		event = Advanced
	}
	was := r.confirmed.Load()
	is := was
	if at := ago(age); was == nil || was.presumed || at.After(was.at) {
		is = &confirmation{at: at}
	}
	r.observe(event, next, snapshot.Delta{}, is)
	if next != now.snapshot {
		r.current.Store(&state{snapshot: next, place: now.place, ready: now.ready})
	}
	if is != was {
		r.confirmed.Store(is)
	}
}

// Restore sets a first snapshot from disk that was last confirmed `age` ago. It does
// nothing once there is a snapshot.
func (r *Replica) Restore(s *snapshot.Snapshot, age time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current.Load().snapshot != nil {
		return
	}
	c := &confirmation{at: ago(age), presumed: true}
	r.observe(Restored, s, snapshot.Delta{}, c)
	r.confirmed.Store(c)
	r.cutLocked(s)
}

// ago is a moment in the past. Ages come from elsewhere: they are kept to what the
// monotonic clock can hold.
func ago(age time.Duration) time.Time {
	const century = 100 * 365 * 24 * time.Hour
	return time.Now().Add(-min(max(age, 0), century))
}
