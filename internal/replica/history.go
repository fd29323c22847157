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
	change Change
	from   *place
	to     *place
	bytes  int
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

// stepOverhead is what a step takes beside its delta.
const stepOverhead = 512

// push adds a step from the last place, wakes who waits there, and lets go of what is
// beyond the bound; the newest step stays in any case.
func (h *history) push(s *step) {
	s.from, s.bytes = h.last, stepOverhead+s.change.Delta.Bytes()
	h.byState[s.change.Delta.Base.Digest] = s.from
	h.byState[s.change.Delta.Target.Digest] = s.to
	h.steps = append(h.steps, s)
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
	if d := s.change.Delta.Base.Digest; h.byState[d] == s.from {
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
