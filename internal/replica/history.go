package replica

import (
	"sync/atomic"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// The history is a list of places, each a state, with a step from each to the next. A
// subscriber holds a place, never a step; a step that leaves the history is taken off
// its place. So however long a subscriber sleeps, all it keeps alive is one place.

// place is where a subscriber stands.
type place struct {
	// next is nil while the place is the last one, lost once it has left the history.
	next atomic.Pointer[step]
	// left is closed when next is no longer nil.
	left chan struct{}
}

// step leads from one place to the next.
type step struct {
	delta snapshot.Delta
	// replaced are the revisions of the items that the delta's puts replace.
	replaced []int64
	// snapshot is the state after the step, while the step is one of the newest: each
	// snapshot keeps alive a part of the environment as it was, and what was derived
	// from it.
	snapshot atomic.Pointer[snapshot.Snapshot]
	from     *place
	to       *place
	bytes    int
}

func newPlace() *place { return &place{left: make(chan struct{})} }

// history is guarded by its replica's mutex.
type history struct {
	max, bytes int
	steps      []*step // oldest first; steps[gone:] are held
	gone       int
	last       *place
	// byState finds the place of a state. The newest stands, should a state come back.
	byState map[snapshot.Digest]*place
	lost    *step
}

func (h *history) init(maxBytes int, start *place) {
	h.max, h.last, h.lost = maxBytes, start, &step{}
	h.byState = make(map[snapshot.Digest]*place)
}

const (
	// stepOverhead is about what a step takes beside its delta's data.
	stepOverhead = 512
	// heldSnapshots is for how many of the newest steps the snapshot is held.
	heldSnapshots = 64
)

// push adds a step from the last place, wakes who waits there, and lets go of what is
// beyond the bound; the newest step stays in any case.
func (h *history) push(s *step) {
	s.from, s.bytes = h.last, stepOverhead+s.delta.Bytes()
	h.byState[s.delta.Base.Digest] = s.from
	h.byState[s.delta.Target.Digest] = s.to
	h.steps = append(h.steps, s)
	if old := len(h.steps) - 1 - heldSnapshots; old >= h.gone {
		h.steps[old].snapshot.Store(nil)
	}
	h.bytes += s.bytes
	h.last = s.to
	s.from.next.Store(s)
	close(s.from.left)
	for h.bytes > h.max && len(h.steps)-h.gone > 1 {
		h.drop()
	}
}

// drop lets go of the oldest step.
func (h *history) drop() {
	s := h.steps[h.gone]
	h.steps[h.gone] = nil
	h.gone++
	if h.gone > len(h.steps)/2 {
		h.steps = append(h.steps[:0], h.steps[h.gone:]...)
		clear(h.steps[len(h.steps):cap(h.steps)])
		h.gone = 0
	}
	h.bytes -= s.bytes
	if d := s.delta.Base.Digest; h.byState[d] == s.from {
		delete(h.byState, d)
	}
	s.from.next.Store(h.lost)
}

// cut lets go of everything; whoever stood in the history is lost. It starts anew.
func (h *history) cut(start *place) {
	for len(h.steps) > h.gone {
		h.drop()
	}
	h.last.next.Store(h.lost)
	close(h.last.left)
	clear(h.byState)
	h.last = start
}

// find returns the place of a state that is not the last one, nil if it is not held.
//
// The cursor's revision may be later than that of the step which led to the state: the
// state stood until the next step.
func (h *history) find(c snapshot.Cursor) *place {
	p := h.byState[c.Digest]
	if p == nil {
		return nil
	}
	if next := p.next.Load(); next == nil || next == h.lost || c.Revision >= next.delta.Target.Revision {
		return nil
	}
	return p
}
