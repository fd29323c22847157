package replica

import (
	"context"
	"sync"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// Change is one step of the history.
type Change struct {
	Delta snapshot.Delta
	// Snapshot is the state after the delta; nil if some dozens of changes came since.
	// The newest change always has it.
	Snapshot *snapshot.Snapshot

	shared *shared
}

// shared is what all subscribers have of one change together.
type shared struct {
	once sync.Once
	form any
}

// Once returns what form returned to the first subscriber that asked for this change:
// so a form in which many send it is made once, and lives as long as the change does.
// All subscribers must ask for the same form.
func (c Change) Once(form func(snapshot.Delta) any) any {
	if c.shared == nil {
		return form(c.Delta)
	}
	c.shared.once.Do(func() { c.shared.form = form(c.Delta) })
	return c.shared.form
}

// Subscription walks the changes that follow one snapshot. It is used by one goroutine,
// and needs no closing.
type Subscription struct {
	replica *Replica
	place   *place
}

// Subscribe returns the current snapshot (nil if there is none) and a subscription to
// what follows it. What follows nothing begins with a lost change: the first snapshot.
func (r *Replica) Subscribe() (*snapshot.Snapshot, *Subscription) {
	now := r.current.Load()
	return now.snapshot, &Subscription{replica: r, place: now.place}
}

// SubscribeFrom returns a subscription to what follows the given state, if the history
// still holds it (or it is the current one).
//
// The cursor's revision may be later than that of the change which led to the state: the
// state stood until the next change.
func (r *Replica) SubscribeFrom(c snapshot.Cursor) (*Subscription, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.current.Load()
	if now.snapshot == nil || now.snapshot.Cursor().Epoch != c.Epoch || c.Revision > now.snapshot.Cursor().Revision {
		return nil, false
	}
	if now.snapshot.Cursor().Digest == c.Digest {
		return &Subscription{replica: r, place: now.place}, true
	}
	p := r.history.byState[c.Digest]
	if p == nil {
		return nil, false
	}
	if next := p.next.Load(); next == nil || next == r.history.lost || c.Revision >= next.delta.Target.Revision {
		return nil, false
	}
	return &Subscription{replica: r, place: p}, true
}

// Changed is closed when Next would return at once.
func (s *Subscription) Changed() <-chan struct{} { return s.place.left }

// Next waits for the next change. lost: the subscriber fell behind the history's bound,
// or the history was cut (a new epoch, a full delta, or a purge); Change then holds the
// current snapshot, nil if there is none any more, and no usable delta, and the
// subscription goes on from there.
func (s *Subscription) Next(ctx context.Context) (c Change, lost bool, err error) {
	select {
	case <-s.place.left:
	default:
		select {
		case <-s.place.left:
		case <-ctx.Done():
			return Change{}, false, ctx.Err()
		}
	}
	if next := s.place.next.Load(); next != s.replica.history.lost {
		s.place = next.to
		return Change{Delta: next.delta, Snapshot: next.snapshot.Load(), shared: &next.shared}, false, nil
	}
	now := s.replica.current.Load()
	s.place = now.place
	return Change{Snapshot: now.snapshot}, true, nil
}
