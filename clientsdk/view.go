package clientsdk

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tally"
)

// view is what a client that evaluates in the process answers from: the replica's snapshot,
// but for rollouts that its relay has shut by itself, where the split serves the control. That
// is a snapshot of its own, so that prerequisites, notifications and counts go by it as well.
//
// It observes the replica: an answer is never of a snapshot that the tally does not know, nor
// of one in which a rollout that is shut is open.
type view struct {
	tally   *tally.Tally // nil: nothing is counted
	logger  zerolog.Logger
	flipped chan struct{} // signalled when a rollout was shut, or opened again

	shown atomic.Pointer[snapshot.Snapshot]

	mu      sync.Mutex
	base    *snapshot.Snapshot // the replica's
	first   *snapshot.Snapshot // that was ever shown, until it is taken
	begun   bool               // something was shown
	trips   map[string]uint64  // step at which a rollout was shut, by its key
	problem string             // what the tally cannot count
	some    func()             // called when there are rollouts; may be nil
}

func newView(t *tally.Tally, logger zerolog.Logger) *view {
	return &view{tally: t, logger: logger, flipped: make(chan struct{}, 1), trips: map[string]uint64{}}
}

// snapshot is what to answer from; nil: nothing. One atomic load.
func (v *view) snapshot() *snapshot.Snapshot { return v.shown.Load() }

// Showing is replica.Observer's.
func (v *view) Showing(r replica.View) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.Snapshot == v.base {
		return
	}
	v.base = r.Snapshot
	v.showLocked()
	if v.some != nil && v.base != nil && len(v.base.Rollouts()) > 0 {
		v.some()
	}
}

// onRollouts has f called when there are rollouts; f must not wait.
func (v *view) onRollouts(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.some = f
}

// rollouts tells whether there are any, and the revision that says so.
func (v *view) rollouts() (some bool, revision int64) {
	s := v.shown.Load()
	if s == nil {
		return false, 0
	}
	return len(s.Rollouts()) > 0, s.Cursor().Revision
}

// tripped shuts the rollouts that the relay said are shut, and opens those that it does not
// name any more. It was asked when the environment was at a revision: where the rollout has
// changed since, the relay may have meant an earlier step.
func (v *view) tripped(keys []string, revision int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed := false
	maps.DeleteFunc(v.trips, func(key string, _ uint64) bool {
		opens := !slices.Contains(keys, key)
		changed = changed || opens
		return opens
	})
	for _, key := range keys {
		item, ok := v.rolloutLocked(key)
		if _, already := v.trips[key]; already || !ok || item.ModRevision > revision {
			continue
		}
		r, err := item.Rollout()
		if err != nil {
			continue // nobody can tell what it is of
		}
		v.trips[key] = r.GetStatus().GetStep()
		v.logger.Warn().Str("rollout", key).Msg("shut by the relay: serving the control")
		changed = true
	}
	if changed {
		v.showLocked()
		signal(v.flipped)
	}
}

func (v *view) rolloutLocked(key string) (snapshot.Item, bool) {
	if v.base == nil {
		return snapshot.Item{}, false
	}
	return v.base.Item(syncv1.Kind_KIND_ROLLOUT, key)
}

// showLocked shows the base, with what is shut.
func (v *view) showLocked() {
	next := v.base
	if len(v.trips) > 0 {
		next = v.shutLocked()
	}
	if v.tally != nil {
		v.countLocked(next)
	}
	if !v.begun && next != nil {
		v.begun, v.first = true, next
	}
	v.shown.Store(next)
}

// takeFirst returns the first snapshot that was shown, once; nil: there is none yet.
func (v *view) takeFirst() *snapshot.Snapshot {
	v.mu.Lock()
	defer v.mu.Unlock()
	first := v.first
	v.first = nil
	return first
}

// countLocked has the tally count for what will be shown.
func (v *view) countLocked(next *snapshot.Snapshot) {
	problem, now := "", time.Now()
	v.tally.Turn(now) // so that no window holds a time without rollouts
	if err := v.tally.Apply(next, now); err != nil {
		problem = err.Error()
	}
	if problem != "" && problem != v.problem && len(v.trips) == 0 { // what is shut is not counted, as it should be
		v.logger.Warn().Str("problem", problem).Msg("rollouts that cannot be counted")
	}
	v.problem = problem
}

// shutLocked is the base in which rollouts that are shut serve the control. Those that are at
// another step by now, or over, are not shut any more: the control plane has decided.
func (v *view) shutLocked() *snapshot.Snapshot {
	var splits []snapshot.Split
	for _, key := range slices.Sorted(maps.Keys(v.trips)) {
		item, ok := v.rolloutLocked(key)
		r, err := item.Rollout()
		switch {
		case !ok || err == nil && !standsAt(r.GetStatus(), v.trips[key]):
			delete(v.trips, key)
		case err == nil: // else nobody can tell what it is of
			splits = append(splits, snapshot.SplitOf(r))
		}
	}
	if len(splits) == 0 {
		return v.base
	}
	return v.base.Controlled(splits)
}

// standsAt tells whether a rollout is not over, and still at a step.
func standsAt(s *rolloutv1.Status, step uint64) bool {
	active := s.GetState() == rolloutv1.State_STATE_RUNNING || s.GetState() == rolloutv1.State_STATE_PAUSED
	return active && s.GetStep() == step
}
