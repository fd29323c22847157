package hub

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// feed makes frames of the changes of one environment, for all streams that follow it. It
// is there while there are such.
//
// The head is the state to which followers are brought. The first change after a quiet
// time moves it at once, changes that come soon after are gathered and move it together;
// one that switches a flag off waits for nothing. Who is at the head before gets the one
// frame that leads to the new one; who is elsewhere in the history gets one that leads
// there from where it is. So a follower that is slow, or was away, gets one frame, however
// much it missed, and nothing is kept for it meanwhile.
type feed struct {
	hub     *Hub
	replica *replica.Replica
	stop    chan struct{}
	// purged counts how often all that there was of the environment was taken away.
	purged atomic.Uint32

	mu     sync.Mutex
	scopes []*scope           // that follow
	head   *snapshot.Snapshot // nil before the first
	// ways lead to the head, by the state at which they start.
	ways map[snapshot.Digest]*way
	// full is everything as it was at the head, or not long before.
	full *frame
	// fullUsed: since the last sweep.
	fullUsed bool
	// sinceFull is about how many bytes lead from full to the head.
	sinceFull int
	unchanged *frame
	// acked counts the followers that acknowledged a state last, by the state.
	acked map[ackedState]int
}

// maxWays is how many ways to one head are kept for others that take them.
const maxWays = 64

// way is how to get to the head; it is looked for once.
type way struct {
	once  sync.Once
	frame *frame // nil: there is none, or not yet
	wait  bool   // not yet
}

func newFeed(h *Hub, r *replica.Replica) *feed {
	f := &feed{hub: h, replica: r, stop: make(chan struct{}), acked: make(map[ackedState]int)}
	head, changes := r.Subscribe()
	f.head, f.ways = head, make(map[snapshot.Digest]*way)
	go f.run(changes)
	return f
}

// run moves the head until there is no follower any more.
func (f *feed) run(changes *replica.Subscription) {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	var (
		moved  time.Time // when the head was moved last
		gather gathering
		wake   []*scope // used again
	)
	for {
		select {
		case <-f.stop:
			return
		case <-changes.Changed():
			idle := !gather.some
			gather.take(changes)
			if wait := f.hub.o.Coalesce - time.Since(moved); wait > 0 && !gather.atOnce {
				if idle {
					timer.Reset(wait)
				}
				continue
			}
		case <-timer.C:
			gather.take(changes)
			if fault.Planted("coalesce-forgets") {
				gather = gathering{}
				continue
			}
		}
		timer.Stop()
		wake = f.move(gather, wake[:0])
		moved, gather = time.Now(), gathering{}
		for _, sc := range wake {
			sc.wake()
		}
		clear(wake)
	}
}

// gathering is what was published since the head was moved.
type gathering struct {
	some   bool
	newest *snapshot.Snapshot // nil: all was taken away
	// delta leads to newest, if it is all that was gathered.
	delta  *snapshot.Delta
	purged bool // at some time
	urgent bool
	atOnce bool
}

// take takes all that was published. Of what was published last there is the snapshot.
func (g *gathering) take(changes *replica.Subscription) {
	for {
		c, lost, ok := changes.Poll()
		if !ok {
			return
		}
		g.delta = nil
		if !g.some && !lost {
			g.delta = &c.Delta
		}
		g.some, g.newest = true, c.Snapshot
		g.purged = g.purged || lost && c.Snapshot == nil
		g.urgent = g.urgent || c.Delta.Urgent
		g.atOnce = g.atOnce || g.urgent || lost
	}
}

// move moves the head, and appends who is to be told.
func (f *feed) move(g gathering, wake []*scope) []*scope {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.head
	f.head, f.ways, f.unchanged = g.newest, make(map[snapshot.Digest]*way), nil
	if g.purged {
		f.purged.Add(1)
		f.full = nil
	}
	f.lead(was, g)
	return append(wake, f.scopes...)
}

// lead makes the way from the head before to the present one, if there is one.
func (f *feed) lead(was *snapshot.Snapshot, g gathering) {
	if was == nil || g.newest == nil || g.purged || was.Cursor().Epoch != g.newest.Cursor().Epoch {
		f.full = nil
		return
	}
	if was.Cursor().SameState(g.newest.Cursor()) {
		return
	}
	var d snapshot.Delta
	if g.delta != nil && g.delta.Base.SameState(was.Cursor()) {
		d = *g.delta
	} else {
		d = snapshot.Diff(was, g.newest)
		d.Urgent = d.Urgent || g.urgent
	}
	f.sinceFull += d.Bytes()
	w := &way{}
	w.once.Do(func() { w.frame = deltaUnlessLarge(d, g.newest) })
	f.ways[was.Cursor().Digest] = w
}

// deltaUnlessLarge is nil if everything takes less than the difference.
func deltaUnlessLarge(d snapshot.Delta, to *snapshot.Snapshot) *frame {
	if d.Bytes() > fullBytes(to) {
		return nil
	}
	return newDelta(d)
}

// fullBytes is about what a snapshot takes on the wire.
func fullBytes(s *snapshot.Snapshot) int { return s.Bytes() + 128*(s.Len()+1) }

// next returns what leads from a state to the head. Nil and wait: the follower is there,
// or will be told; nil and no wait: only everything does.
func (f *feed) next(from snapshot.Cursor) (fr *frame, wait bool) {
	f.mu.Lock()
	head := f.head
	if head == nil {
		f.mu.Unlock()
		return nil, true
	}
	to := head.Cursor()
	switch {
	case from.Epoch != to.Epoch:
		f.mu.Unlock()
		return nil, false
	case from.Digest == to.Digest, from.Revision > to.Revision:
		// The latter was at a state that came back, which the head will come to, too.
		f.mu.Unlock()
		return nil, true
	}
	w := f.ways[from.Digest]
	if w == nil {
		w = &way{}
		if len(f.ways) < maxWays {
			f.ways[from.Digest] = w
		}
	}
	f.mu.Unlock()
	w.once.Do(func() { w.find(f.replica, from, head) })
	return w.frame, w.wait
}

func (w *way) find(r *replica.Replica, from snapshot.Cursor, head *snapshot.Snapshot) {
	d, held, reached := r.Since(from, head.Cursor())
	switch {
	case reached:
		w.frame = deltaUnlessLarge(d, head)
	case held:
		w.wait = true
	}
}

// confirm returns what tells a follower that it is at the head; nil if it is not. The
// follower's state must be held.
func (f *feed) confirm(have snapshot.Cursor) *frame {
	newest := f.replica.Snapshot()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head == nil || !have.SameState(f.head.Cursor()) {
		return nil
	}
	revision := max(have.Revision, f.head.Cursor().Revision)
	if newest != nil && newest.Cursor().SameState(have) {
		revision = max(revision, newest.Cursor().Revision)
	}
	if f.unchanged == nil || f.unchanged.target.Revision < revision {
		f.unchanged = newUnchanged(f.head.Advance(revision))
	}
	return f.unchanged
}

// everything returns a frame of all there is at the head, or was not long before: then
// the way from there is short. Nil: not yet; the follower will be told. What it has, if
// anything, is in no history.
func (f *feed) everything(have *snapshot.Cursor) *frame {
	newest := f.replica.Snapshot()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head == nil {
		return nil
	}
	state := f.head
	if newest != nil && newest.Cursor().SameState(state.Cursor()) {
		state = state.Advance(newest.Cursor().Revision)
	}
	least := int64(0) // within an epoch no revision goes back
	if have != nil && have.Epoch == state.Cursor().Epoch {
		least = have.Revision
	}
	switch {
	case f.full != nil && f.full.target.Revision >= least && f.fullIsNearLocked():
	case state.Cursor().Revision < least:
		return nil
	default:
		f.full, f.sinceFull = newFull(state), 0
	}
	f.fullUsed = true
	return f.full
}

func (f *feed) fullIsNearLocked() bool {
	return f.full.target.SameState(f.head.Cursor()) ||
		f.sinceFull <= f.head.Bytes()/4 && f.replica.Holds(f.full.target)
}

// size is about what everything takes on the wire.
func (f *feed) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head == nil {
		return 0
	}
	return fullBytes(f.head)
}

// empty: there is nothing to send yet.
func (f *feed) empty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head == nil
}

// sweep lets go of what nobody has used since the last time.
func (f *feed) sweep() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.fullUsed {
		f.full = nil
	}
	f.fullUsed = false
	clear(f.ways)
}

// join makes the environment's feed if there is none, and has it wake the scope.
func (h *Hub) join(r *replica.Replica, sc *scope) *feed {
	h.feedsMu.Lock()
	defer h.feedsMu.Unlock()
	f := h.feeds[r.Environment()]
	if f == nil {
		f = newFeed(h, r)
		h.feeds[r.Environment()] = f
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	sc.place = len(f.scopes)
	f.scopes = append(f.scopes, sc)
	return f
}

// leave is the end of a scope, and of the feed if it was the last.
func (h *Hub) leave(sc *scope) {
	h.feedsMu.Lock()
	defer h.feedsMu.Unlock()
	f := sc.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(f.scopes) - 1
	f.scopes[sc.place] = f.scopes[last]
	f.scopes[sc.place].place = sc.place
	f.scopes[last] = nil
	f.scopes = f.scopes[:last]
	if last == 0 {
		close(f.stop)
		delete(h.feeds, f.replica.Environment())
	}
}

// eachFeed calls do for each environment that is followed.
func (h *Hub) eachFeed(do func(*feed)) {
	h.feedsMu.Lock()
	defer h.feedsMu.Unlock()
	for _, f := range h.feeds {
		do(f)
	}
}
