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

// beat has one slot after the other send its heartbeats. One that is not through with
// what it is being sent, beats when it is: once, however long that takes.
func (h *Hub) beat(stop <-chan struct{}) {
	ticker := time.NewTicker(h.beats.tick)
	defer ticker.Stop()
	var streams []*stream // used again
	for slot := 0; ; slot = (slot + 1) % len(h.beats.slots) {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		h.mu.Lock()
		streams = append(streams[:0], h.beats.slots[slot]...)
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
