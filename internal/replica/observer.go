package replica

import (
	"slices"
	"time"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// Observer is told what replicas show, for a record of it. It is called before the thing
// is shown, under the replica's lock: what it is told of one environment is in order and
// without gaps, and the replica waits for it.
type Observer interface{ Showing(View) }

// Observers makes one observer of several, which are told in turn; nil ones are left out.
func Observers(list ...Observer) Observer {
	list = slices.DeleteFunc(slices.Clone(list), func(o Observer) bool { return o == nil })
	if len(list) == 0 {
		return nil
	}
	return observers(list)
}

type observers []Observer

func (list observers) Showing(v View) {
	for _, o := range list {
		o.Showing(v)
	}
}

// View is what a replica is about to show.
type View struct {
	Event       Event
	Environment string
	// Snapshot is nil when it is taken away.
	Snapshot *snapshot.Snapshot
	// Delta is set where a change was published.
	Delta snapshot.Delta
	// Confirmed is when, by the monotonic clock, the snapshot was the store's: ages that
	// are told count from it. Source says who stands for it.
	Confirmed time.Time
	Source    AgeSource
}

// Event says how a view comes about.
type Event uint8

// The events.
const (
	Restored  Event = iota + 1 // from disk
	Replaced                   // by a first snapshot, one of a new epoch, or a full one
	Changed                    // by a delta
	Advanced                   // the same state at a later revision
	Confirmed                  // the same state and revision, of another age
	Purged                     // taken away
)

// AgeSource says where an age comes from.
type AgeSource uint8

// The sources.
const (
	Arrival AgeSource = iota + 1 // nobody said; it counts from when the snapshot came
	Disk                         // by the wall clocks of two processes
	Store                        // summed over the hops from the store
)

// observe tells the observer of next, of which c will stand; the mutex is held.
func (r *Replica) observe(e Event, next *snapshot.Snapshot, d snapshot.Delta, c *confirmation) {
	if r.observer == nil {
		return
	}
	v := View{Event: e, Environment: r.environment, Snapshot: next, Delta: d, Confirmed: c.at, Source: Store}
	switch {
	case c.unknown:
		v.Source = Arrival
	case c.presumed:
		v.Source = Disk
	}
	r.observer.Showing(v)
}
