// Package notify tells people what became of rollouts: an outbox in the store, and the
// delivery of what is in it.
//
// Whoever decides something adds [Notifier.Ops] to the transaction that carries it out: one
// record for each target that wants to know. So what happened is told, and what did not
// happen is not. The leader alone delivers, in [Notifier.Run], and removes what was taken.
//
// What is promised:
//
//   - At least once, over restarts and changes of the leader. An event has one ID for all of
//     its deliveries to all targets, by which receivers know it again.
//   - What a target does not take for 24 hours, or refuses, becomes a dead letter, with the
//     reason; nothing is dropped in silence. The newest 1,000 dead letters are kept.
//   - In the order of the commits, for each target, as long as it takes what it is sent. What
//     it fails at by itself lets what comes later pass.
//   - Targets do not wait for each other.
//
// In the store, below /tidegate/v1/:
//
//	n/TARGET/EVENT ID        to be delivered; see record
//	n-dead/TARGET/EVENT ID   given up; see deadRecord
//
// It knows no transport: a target's [Sender] does. Package webhook has those there are.
package notify

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/store"
)

var (
	// ErrFenced says that a transaction with the leader's fence did not commit: another one
	// leads now.
	ErrFenced = errors.New("notify: the fence does not hold: this server no longer leads")
	// ErrNotFound says that there is no such dead letter, or no longer.
	ErrNotFound = errors.New("notify: there is no such dead letter")
	// ErrDamaged says that a dead letter cannot be decoded, and so not be delivered.
	ErrDamaged = errors.New("notify: the dead letter is damaged")
)

// Options of a Notifier.
type Options struct {
	Store store.Store // required
	// Targets are told. None: nobody is, but what is in the outbox stays there for a day.
	Targets    []Target
	Logger     zerolog.Logger
	Registerer prometheus.Registerer // may be nil
}

// Notifier fills the outbox and empties it. Its methods may be called from any goroutine.
type Notifier struct {
	o       Options
	senders map[string]Sender
	metrics *metrics
	// maxWaiting for one target: what is older is given up.
	maxWaiting int
	// term is the delivery under way; nil: this server does not lead.
	term atomic.Pointer[delivery]
}

// New makes a Notifier.
func New(o Options) (*Notifier, error) {
	if o.Store == nil {
		return nil, errors.New("notify: Options.Store is required")
	}
	if len(o.Targets) > MaxTargets {
		return nil, fmt.Errorf("notify: %d targets: at most %d, all of which may be told in one transaction", len(o.Targets), MaxTargets)
	}
	n := &Notifier{o: o, senders: make(map[string]Sender, len(o.Targets)), maxWaiting: maxWaiting}
	for _, t := range o.Targets {
		if err := t.Check(); err != nil {
			return nil, err
		}
		if n.senders[t.Name] != nil {
			return nil, fmt.Errorf("notify: target %q is there twice", t.Name)
		}
		n.senders[t.Name] = t.Sender
	}
	n.metrics = newMetrics(n)
	return n, n.metrics.register(o.Registerer)
}

// Unknown returns those of the names that no target has here: what a rollout's notify must
// not say, since nobody would be told.
func (n *Notifier) Unknown(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return n.senders[name] != nil })
}

// Ops are the puts that have everybody told who wants to know of the event, for the
// transaction that it happens in: at most MaxTargets. One event has the same keys each time,
// so it is not told twice for having been put twice.
//
// An event is bounded here, to 24 KiB for each target: texts are cut, and evidence that decided
// least is left out.
func (n *Notifier) Ops(e Event) []store.Op {
	for _, name := range n.Unknown(e.Notify) {
		n.o.Logger.Warn().Str("target", name).Str("environment", e.Environment).Str("rollout", e.Rollout).
			Msg("a rollout names a notification target that is not configured: nobody is told by it")
	}
	e = e.bounded()
	var ops []store.Op
	for _, t := range n.o.Targets {
		if !t.wants(&e) {
			continue
		}
		value, err := encodeRecord(record{Queued: time.Now().UTC(), Event: e})
		if err != nil { // whoever decides must not fail for it
			n.o.Logger.Error().Err(err).Str("target", t.Name).Str("rollout", e.Rollout).Msg("an event cannot be encoded: nobody is told")
			continue
		}
		ops = append(ops, store.Put(outboxRoot+t.Name+"/"+e.ID, value))
	}
	return ops
}
