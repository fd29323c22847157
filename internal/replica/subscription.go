package replica

import (
	"context"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// Change is one step of the history.
type Change struct {
	Delta snapshot.Delta
	// Snapshot is the state after the delta; nil if some dozens of changes came since.
	// The newest change always has it.
	Snapshot *snapshot.Snapshot
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

// Since returns what leads from a state in the history to the state `to`, as one delta.
//
//	held, reached    the delta, which may change nothing
//	held, !reached   `to` is not later than from, as far as the history goes
//	!held            the state is not in the history, or left it meanwhile
//
// It takes time in proportion to the changes in between, and holds nobody up meanwhile.
func (r *Replica) Since(from, to snapshot.Cursor) (d snapshot.Delta, held, reached bool) {
	p := r.placeOf(from)
	if p == nil {
		return snapshot.Delta{}, false, false
	}
	var m snapshot.Merger
	for {
		next := p.next.Load()
		switch next {
		case nil:
			return snapshot.Delta{}, true, false
		case r.history.lost:
			return snapshot.Delta{}, false, false
		}
		m.Add(next.delta, next.replaced)
		if next.delta.Target.SameState(to) {
			d = m.Delta()
			d.Target = to
			return d, true, true
		}
		p = next.to
	}
}

// Holds tells whether the history holds a state: the current one, or one from which Since
// leads on.
func (r *Replica) Holds(c snapshot.Cursor) bool { return r.placeOf(c) != nil }

// placeOf finds a state, the current one included; nil if it is not held.
func (r *Replica) placeOf(c snapshot.Cursor) *place {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.current.Load()
	switch {
	case now.snapshot == nil || now.snapshot.Cursor().Epoch != c.Epoch || c.Revision > now.snapshot.Cursor().Revision:
		return nil
	case now.snapshot.Cursor().Digest == c.Digest:
		return now.place
	}
	return r.history.find(c)
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
	c, lost, _ = s.Poll()
	return c, lost, nil
}

// Poll is Next for who does not wait; ok is false if there is nothing yet.
func (s *Subscription) Poll() (c Change, lost, ok bool) {
	switch next := s.place.next.Load(); next {
	case nil:
		return Change{}, false, false
	case s.replica.history.lost:
		now := s.replica.current.Load()
		s.place = now.place
		return Change{Snapshot: now.snapshot}, true, true
	default:
		s.place = next.to
		return Change{Delta: next.delta, Snapshot: next.snapshot.Load()}, false, true
	}
}
