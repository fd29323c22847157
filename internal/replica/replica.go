// Package replica holds the newest snapshot of each environment and a bounded history
// of how it came about. It is the joint between what receives (the follower, or the
// control plane's watch of the store), what serves (the hub), and what evaluates.
//
// One goroutine publishes an environment's snapshots; any number read. Reading the
// current snapshot is one atomic load. Subscribers walk a linked list of changes at
// their own pace and can neither block the publisher nor each other; one that falls
// behind the bound is told so and starts again from the current snapshot.
package replica

import (
	"context"
	"time"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// Options of a Set.
type Options struct {
	// HistoryBytes bounds the history of each environment, in bytes of its deltas'
	// data. Default 64 MiB for servers; an SDK needs none.
	HistoryBytes int
}

// Set holds the replicas of some environments. Environments may be added while in use.
type Set struct{}

func NewSet(o Options) *Set { panic("stub") }

// Replica returns the environment's replica, or nil if the set does not have it.
func (s *Set) Replica(environment string) *Replica { panic("stub") }

// Add returns the environment's replica, made if it is not there yet.
func (s *Set) Add(environment string) *Replica { panic("stub") }

// Environments lists the names in the order in which they were added.
func (s *Set) Environments() []string { panic("stub") }

// Replica is the local copy of one environment.
type Replica struct{}

func (r *Replica) Environment() string { panic("stub") }

// Snapshot returns the newest snapshot, or nil before the first. One atomic load.
func (r *Replica) Snapshot() *snapshot.Snapshot { panic("stub") }

// Age tells how long ago the snapshot was last confirmed to be the store's current
// state, summed over all hops; by the monotonic clock. A snapshot that was never
// confirmed (loaded from disk) ages from the time given to Restore.
func (r *Replica) Age() time.Duration { panic("stub") }

// Ready is closed when there is a first snapshot.
func (r *Replica) Ready() <-chan struct{} { panic("stub") }

// Publish makes next current, having come from the current one through d, and wakes the
// subscribers. Single publisher. A new epoch, or a Full delta, cuts the history.
func (r *Replica) Publish(next *snapshot.Snapshot, d snapshot.Delta) { panic("stub") }

// Advance replaces the current snapshot by the same state at a later revision, and
// confirms it.
func (r *Replica) Advance(revision int64) { panic("stub") }

// Confirm records that the snapshot was the store's current state `age` ago.
func (r *Replica) Confirm(age time.Duration) { panic("stub") }

// Restore sets a first snapshot from disk that was last confirmed `age` ago.
func (r *Replica) Restore(s *snapshot.Snapshot, age time.Duration) { panic("stub") }

// Change is one step of the history.
type Change struct {
	Delta snapshot.Delta
	// Snapshot is the state after the delta.
	Snapshot *snapshot.Snapshot
}

// Subscription walks the changes that follow one snapshot.
type Subscription struct{}

// Subscribe returns the current snapshot (nil before the first) and a subscription to
// what follows it.
func (r *Replica) Subscribe() (*snapshot.Snapshot, *Subscription) { panic("stub") }

// SubscribeFrom returns a subscription to what follows the given state, if the history
// still holds it (or it is the current one).
func (r *Replica) SubscribeFrom(c snapshot.Cursor) (*Subscription, bool) { panic("stub") }

// Next waits for the next change. lost: the subscriber fell behind the history's bound;
// Change then holds the current snapshot and no usable delta, and the subscription goes
// on from there.
func (s *Subscription) Next(ctx context.Context) (c Change, lost bool, err error) { panic("stub") }
