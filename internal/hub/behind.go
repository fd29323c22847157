package hub

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// A follower whose revision is above the one here has either followed another server, which
// is ahead of this one, or it remembers what the store has forgotten: because it lost data,
// or was restored from a backup. Only the store itself can tell. In the first case the
// follower waits, or goes elsewhere. In the second nobody takes back what it has: it is sent
// away, keeps serving that, and people are told, until they begin a new epoch.

const (
	// headTimeout bounds one question.
	headTimeout = 5 * time.Second
	// alarmInterval is between two lines of the log.
	alarmInterval = time.Minute
)

// storeWatch knows what followers have shown of a store that is behind them.
type storeWatch struct {
	head   func(context.Context) (snapshot.Epoch, int64, error)
	logger zerolog.Logger

	mu sync.Mutex
	// asking is the question under way, next the one that waits for its end: who asks now
	// must not get an answer that was true before.
	asking, next *headAnswer
	// lost is the highest revision that a follower had of the epoch, while the store was
	// below it; 0: none.
	lost   int64
	epoch  snapshot.Epoch
	logged time.Time
	// reported is the highest state that was heard of from farther down and is above what is
	// here, until it is looked into; looking: somebody does.
	reported *snapshot.Cursor
	looking  bool

	// strangers were refused, as this is the first epoch of its store, and they have another one's.
	first     snapshot.Epoch
	strangers strangers
	refused   time.Time // logged
}

// headAnswer is what the store said; it is there once done is closed.
type headAnswer struct {
	done     chan struct{}
	epoch    snapshot.Epoch
	revision int64
	err      error
}

// currentEpoch is the store's epoch, if it has answered.
func (a *headAnswer) currentEpoch() (e snapshot.Epoch, ok bool) {
	select {
	case <-a.done:
		return a.epoch, a.err == nil
	default:
		return snapshot.Epoch{}, false
	}
}

func newStoreWatch(o Options) *storeWatch { return &storeWatch{head: o.Head, logger: o.Logger} }

// ask asks the store, unless there is none (nil). However many ask at once, it is asked one
// question at a time, each begun after those had asked whom it answers.
func (w *storeWatch) ask() *headAnswer {
	if w.head == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asking != nil {
		if w.next == nil {
			w.next = &headAnswer{done: make(chan struct{})}
		}
		return w.next
	}
	w.asking = &headAnswer{done: make(chan struct{})}
	go w.run(w.asking)
	return w.asking
}

// run answers the question, and those that were asked meanwhile.
func (w *storeWatch) run(a *headAnswer) {
	for a != nil {
		ctx, cancel := context.WithTimeout(context.Background(), headTimeout)
		a.epoch, a.revision, a.err = w.head(ctx)
		cancel()
		close(a.done)
		w.mu.Lock()
		a, w.asking, w.next = w.next, w.next, nil
		w.mu.Unlock()
	}
}

// suspect looks into a state that somebody farther down has, and that is above what is
// here: the relays between may have lost what they had, and ask for everything. It does
// not wait.
func (w *storeWatch) suspect(have snapshot.Cursor) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch known := w.reported; {
	case w.head == nil, w.epoch == have.Epoch && w.lost >= have.Revision:
		return
	case known == nil || known.Epoch != have.Epoch || known.Revision < have.Revision:
		w.reported = &have
	}
	if !w.looking {
		w.looking = true
		go w.look()
	}
}

// look asks the store about what was reported before the question.
func (w *storeWatch) look() {
	for {
		w.mu.Lock()
		have := w.reported
		w.reported, w.looking = nil, have != nil
		w.mu.Unlock()
		if have == nil {
			return
		}
		a := w.ask()
		<-a.done
		if a.lost(*have) {
			w.alarm(*have, a.revision)
		}
	}
}

// lost tells whether the store has forgotten the state.
func (a *headAnswer) lost(have snapshot.Cursor) bool {
	return a.err == nil && a.epoch == have.Epoch && a.revision < have.Revision
}

// judge ends the stream of a scope whose follower is ahead of the store itself. Nil: that
// is not so, or not known, or not yet.
func (w *storeWatch) judge(sc *scope) error {
	if sc.head == nil {
		return nil
	}
	select {
	case <-sc.head.done:
	default:
		return nil
	}
	have := *sc.have
	if sc.head.lost(have) {
		w.alarm(have, sc.head.revision)
		return goodbye(syncv1.Goodbye_CODE_BEHIND,
			"the store is at revision %d, the follower at %d of the same epoch in environment %q: the store lost data, or was restored from a backup and needs a new epoch",
			sc.head.revision, have.Revision, sc.environment())
	}
	return nil
}

func (w *storeWatch) alarm(have snapshot.Cursor, store int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.epoch != have.Epoch {
		w.epoch, w.lost = have.Epoch, 0
	}
	w.lost = max(w.lost, have.Revision)
	if now := time.Now(); w.logged.IsZero() || now.Sub(w.logged) >= alarmInterval {
		w.logged = now
		w.logger.Error().Int64("store", store).Int64("followers", w.lost).Stringer("epoch", w.epoch).
			Msg("THE STORE IS BEHIND ITS FOLLOWERS: it lost data, or was restored from a backup. They keep what they have. Once the store holds what shall be served, begin a new epoch: tidegate epoch begin --reason \"...\"")
	}
}

// StoreBehind returns the highest revision that a follower has shown while the store was
// below it in the same epoch. False: there was none, or a new epoch has begun since. That
// the store has gone beyond it settles nothing: it did so by another history.
func (h *Hub) StoreBehind() (int64, bool) {
	w := h.store
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost == 0 {
		return 0, false
	}
	for _, name := range h.o.Replicas.Environments() {
		snap := h.o.Replicas.Replica(name).Snapshot()
		if snap != nil && snap.Cursor().Epoch != w.epoch {
			w.lost, w.logged = 0, time.Time{}
			return 0, false
		}
	}
	return w.lost, true
}
