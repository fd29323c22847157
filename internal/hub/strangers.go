package hub

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	// strangerMemory is for how long a refused follower is told of: it asks again every half minute
	// at least, so that one which is silent for longer has gone, or follows something else.
	strangerMemory = 3 * time.Minute
	// maxStrangers are remembered by name.
	maxStrangers = 256
)

// Stranger is a follower that was refused, as what it has is of another store, and nobody said that
// it should follow this one. Its name is what it says of itself.
type Stranger struct {
	InstanceID, Environment string
	// Epoch of what it has.
	Epoch snapshot.Epoch
	last  time.Time // that it was refused
}

func (s Stranger) String() string {
	return fmt.Sprintf("%q has epoch %s of environment %q", s.InstanceID, s.Epoch, s.Environment)
}

// strangers are those of late, the latest last. It knows no clock: the moment is given.
type strangers []Stranger

func (l *strangers) add(s Stranger, now time.Time) {
	l.expire(now)
	s.last = now
	*l = append(slices.DeleteFunc(*l, func(o Stranger) bool {
		return o.InstanceID == s.InstanceID && o.Environment == s.Environment
	}), s)
	*l = slices.Delete(*l, 0, max(len(*l)-maxStrangers, 0))
}

func (l *strangers) expire(now time.Time) {
	*l = slices.DeleteFunc(*l, func(s Stranger) bool { return now.Sub(s.last) > strangerMemory })
}

// NameStrangers names some of them, for people.
func NameStrangers(all []Stranger) string {
	const some = 3
	names := make([]string, 0, some+1)
	for _, s := range all[:min(len(all), some)] {
		names = append(names, s.String())
	}
	if more := len(all) - some; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// refuse notes that a follower of another store was refused.
func (w *storeWatch) refuse(first snapshot.Epoch, s Stranger) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first != first {
		w.first, w.strangers, w.refused = first, nil, time.Time{}
	}
	now := time.Now()
	w.strangers.add(s, now)
	if w.refused.IsZero() || now.Sub(w.refused) >= alarmInterval {
		w.refused = now
		w.logger.Error().Stringer("epoch", first).Str("follower", s.InstanceID).Str("environment", s.Environment).
			Stringer("has", s.Epoch).Int("followers", len(w.strangers)).
			Msg("FOLLOWERS HAVE THE STATE OF ANOTHER STORE, and keep it; nobody began the epoch of this one. " + MendStrangers)
	}
}

// MendStrangers says what to do about them.
const MendStrangers = "If this store was made anew, restore the backup; or, if it shall be followed from now on, begin an epoch: tidegate epoch begin --reason \"...\". " +
	"Or the follower comes from another installation: empty its state directory"

// refuseKeyless notes that a follower of another store was refused, since its key is not here; once
// the store says that this is its epoch: a server that is late may lack both the follower's epoch and
// its key. It does not wait.
func (w *storeWatch) refuseKeyless(first snapshot.Epoch, s Stranger) {
	a := w.ask()
	if a == nil {
		w.refuse(first, s)
		return
	}
	go func() {
		<-a.done
		if a.err == nil && a.epoch == first {
			w.refuse(first, s)
		}
	}()
}

// Strangers returns the followers that were refused of late, as they have the state of another store
// than this one, whose epoch nobody began.
func (h *Hub) Strangers() []Stranger {
	w := h.store
	w.mu.Lock()
	defer w.mu.Unlock()
	w.strangers.expire(time.Now())
	for _, name := range h.o.Replicas.Environments() {
		snap := h.o.Replicas.Replica(name).Snapshot()
		if len(w.strangers) > 0 && snap != nil && snap.Cursor().Epoch != w.first {
			w.strangers, w.refused = nil, time.Time{}
		}
	}
	return slices.Clone(w.strangers)
}
