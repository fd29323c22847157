package fleet

import (
	"context"
	"sort"
	"sync"
	"time"

	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// maxStates is how many states of an environment are remembered: who has an older one is
// late since the oldest of them, at least.
const maxStates = 1000

// history remembers, of one environment, which states there were, and since when.
type history struct {
	replica *replica.Replica

	mu      sync.Mutex
	epoch   snapshot.Epoch
	states  []state       // oldest first
	gone    int           // how many are forgotten
	changed chan struct{} // closed and replaced with each state
	// byDigest is the number of a state, gone ones counted; the newest, should one come back.
	byDigest map[snapshot.Digest]int
}

// state stood from its revision on, up to the next one's.
type state struct {
	cursor snapshot.Cursor
	at     time.Time // when it was seen here
}

// follow remembers until ctx ends.
func (h *history) follow(ctx context.Context) {
	first, changes := h.replica.Subscribe()
	if first != nil {
		h.note(first.Cursor(), time.Now())
	}
	for {
		c, lost, err := changes.Next(ctx)
		if err != nil {
			return
		}
		cursor := c.Delta.Target
		if lost {
			// Which states were skipped, nobody knows: up to when earlier ones stood, neither.
			h.forget()
			cursor = c.Snapshot.Cursor()
		}
		h.note(cursor, time.Now())
	}
}

func (h *history) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states, h.gone, h.byDigest = nil, 0, nil
}

// news is closed when there is another state.
func (h *history) news() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

func (h *history) note(c snapshot.Cursor, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.Epoch != h.epoch || h.byDigest == nil {
		h.epoch, h.states, h.gone = c.Epoch, nil, 0
		h.byDigest = make(map[snapshot.Digest]int)
	}
	h.byDigest[c.Digest] = h.gone + len(h.states)
	h.states = append(h.states, state{cursor: c, at: at})
	close(h.changed)
	h.changed = make(chan struct{})
	if len(h.states) <= maxStates {
		return
	}
	if d := h.states[0].cursor.Digest; h.byDigest[d] == h.gone {
		delete(h.byDigest, d)
	}
	h.states = h.states[1:]
	h.gone++
}

// reach is the highest revision at which the state with the cursor stood, as far as is
// known here; 0 for a state of another epoch, or none.
func (h *history) reach(c *snapshot.Cursor) int64 {
	if c == nil {
		return 0
	}
	now := h.replica.Snapshot() // before the states are looked at: they are at least as new
	h.mu.Lock()
	defer h.mu.Unlock()
	i, known := h.byDigest[c.Digest]
	switch {
	case now == nil || now.Cursor().Epoch != c.Epoch:
		return 0
	case now.Cursor().SameState(*c):
		return max(c.Revision, now.Cursor().Revision)
	case known && h.epoch == c.Epoch && i+1 < h.gone+len(h.states):
		return max(c.Revision, h.states[i+1-h.gone].cursor.Revision-1)
	}
	return c.Revision
}

// lag is for how long there has been something newer than the state with the cursor; 0 for
// none: there is no telling since when it could have one.
func (h *history) lag(c *snapshot.Cursor, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.states) == 0 || c == nil {
		return 0
	}
	first := 0 // the first state that is newer
	if c.Epoch == h.epoch {
		if i, known := h.byDigest[c.Digest]; known {
			first = i + 1 - h.gone
		} else {
			first = sort.Search(len(h.states), func(i int) bool { return h.states[i].cursor.Revision > c.Revision })
		}
	}
	if first == len(h.states) {
		return 0
	}
	return max(now.Sub(h.states[first].at), 0)
}

// histories are those of all environments.
type histories struct {
	replicas *replica.Set

	mu   sync.Mutex
	byID map[string]*history
	// follow starts following a history; nil before Run.
	follow func(*history)
}

// of returns the environment's history, or nil if there is no such environment.
func (h *histories) of(environment string) *history {
	r := h.replicas.Replica(environment)
	if r == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byID[environment] == nil {
		h.byID[environment] = &history{replica: r, changed: make(chan struct{})}
		if h.follow != nil {
			h.follow(h.byID[environment])
		}
	}
	return h.byID[environment]
}

// run follows every environment, new ones within a second, until ctx ends.
func (h *histories) run(ctx context.Context) {
	var following sync.WaitGroup
	defer following.Wait()
	h.mu.Lock()
	h.follow = func(one *history) { following.Go(func() { one.follow(ctx) }) }
	for _, one := range h.byID {
		h.follow(one)
	}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.follow = nil
		h.mu.Unlock()
	}()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		for _, name := range h.replicas.Environments() {
			h.of(name)
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}
