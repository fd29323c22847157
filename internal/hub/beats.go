package hub

import "time"

// beats spreads the heartbeats of all streams evenly over the interval: one slot of them
// beats at each tick. It is guarded by the hub's mutex.
type beats struct {
	tick  time.Duration
	slots [][]*stream
	next  int // the slot that the next stream gets
	count int
	stop  chan struct{} // ends the ticks; nil while there are no streams
}

// beatPlace is where a stream is.
type beatPlace struct {
	in          bool
	slot, index int
}

const (
	// maxSlots is into how many parts the interval is divided, where they are not shorter
	// than leastTick.
	maxSlots  = 100
	leastTick = 20 * time.Millisecond
)

func newBeats(interval time.Duration) beats {
	slots := min(max(int(interval/leastTick), 1), maxSlots)
	return beats{tick: max(interval/time.Duration(slots), 1), slots: make([][]*stream, slots)}
}

// add takes in a stream; first: the ticks must be started.
func (b *beats) add(s *stream) (first bool) {
	slot := &b.slots[b.next]
	s.beat = beatPlace{in: true, slot: b.next, index: len(*slot)}
	*slot = append(*slot, s)
	b.next = (b.next + 1) % len(b.slots)
	if b.count++; b.count == 1 {
		b.stop = make(chan struct{})
	}
	return b.count == 1
}

// remove takes a stream out; false: it was not in.
func (b *beats) remove(s *stream) bool {
	if !s.beat.in {
		return false
	}
	slot := b.slots[s.beat.slot]
	last := len(slot) - 1
	slot[s.beat.index] = slot[last]
	slot[s.beat.index].beat.index = s.beat.index
	slot[last] = nil
	b.slots[s.beat.slot] = slot[:last]
	s.beat.in = false
	if b.count--; b.count == 0 {
		close(b.stop)
		b.stop = nil
	}
	return true
}

// all lists the streams.
func (b *beats) all() []*stream {
	list := make([]*stream, 0, b.count)
	for _, slot := range b.slots {
		list = append(list, slot...)
	}
	return list
}

// offer has all streams look whether they wait for an environment that was added.
func (h *Hub) offer() {
	h.mu.Lock()
	streams := h.beats.all()
	h.mu.Unlock()
	for _, s := range streams {
		s.signal(eventAdded)
	}
}

// beat has one slot after the other send its heartbeats, and all of them soon after a
// confirmation came from above. An environment that is added is offered to all at once. A stream that is not through with what it is being sent,
// beats when it is: once, however long that takes.
func (h *Hub) beat(stop, added <-chan struct{}) {
	ticker := time.NewTicker(h.beats.tick)
	defer ticker.Stop()
	var streams []*stream // used again
	pass := passing{slots: len(h.beats.slots)}
	for slot := 0; ; slot = (slot + 1) % len(h.beats.slots) {
		for ticked := false; !ticked; {
			select {
			case <-stop:
				return
			case <-added:
				added = h.o.Replicas.Added()
				h.offer()
			case <-ticker.C:
				ticked = true
			}
		}
		if h.passesOn() {
			pass.note(h.confirmed(), time.Now())
		}
		from, to := pass.take(h.beats.tick)
		h.mu.Lock()
		streams = append(streams[:0], h.beats.slots[slot]...)
		for i := from; i < to; i++ {
			streams = append(streams, h.beats.slots[i]...)
		}
		h.mu.Unlock()
		for _, s := range streams {
			s.signal(eventBeat)
		}
		clear(streams)
		if slot == 0 {
			h.eachFeed((*feed).sweep)
		}
	}
}

const (
	// passWithin is how soon all streams are told of a confirmation that came from above,
	// passGap the least time between two of which they are.
	passWithin = 250 * time.Millisecond
	passGap    = time.Second
	// passStreams is how many streams a hub may have that does so: with more, what it costs
	// is more than what it is good for, as most of them are then leaves.
	passStreams = 1000
)

// passing tells the streams, out of turn, that the states here were confirmed. Else a state
// would be older by up to an interval with each hop.
type passing struct {
	slots int
	// confirmed is up to when, in what was passed on last, and at when that was.
	confirmed, at time.Time
	// next is the slot to be told next; all are: slots.
	next  int
	begun bool
}

// note begins to pass a confirmation on, if it is news.
func (p *passing) note(confirmed, now time.Time) {
	if confirmed.IsZero() || p.begun && (confirmed.Sub(p.confirmed) < passGap/2 || now.Sub(p.at) < passGap) {
		return
	}
	p.confirmed, p.at, p.begun, p.next = confirmed, now, true, 0
}

// take returns the slots that are to be told in this tick.
func (p *passing) take(tick time.Duration) (from, to int) {
	if !p.begun {
		return 0, 0
	}
	from = p.next
	ticks := max(int(passWithin/tick), 1)
	p.next = min(from+(p.slots+ticks-1)/ticks, p.slots)
	return from, p.next
}

// passesOn: what is here is confirmed by heartbeats from above, now and then.
func (h *Hub) passesOn() bool {
	if h.o.Head != nil {
		return false // the store itself confirms it, all the time
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.beats.count <= passStreams
}

// confirmed is the latest moment up to which a state here was the store's; zero: unknown.
func (h *Hub) confirmed() time.Time {
	var latest time.Time
	h.eachFeed(func(f *feed) {
		if age, ok := f.replica.ConfirmedAge(); ok {
			if at := time.Now().Add(-age); at.After(latest) {
				latest = at
			}
		}
	})
	return latest
}
