package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	// A watch that shows nothing for this long, although the store has moved on, is
	// taken for dead.
	stallTimeout = 10 * time.Second

	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// applier brings the replicas to the state that the store's watch shows, and keeps them
// there. It is the only one to publish. All changes of one revision are applied before
// any later one, each environment's as one delta.
type applier struct {
	*progress
	store    store.Store
	replicas *replica.Set
	logger   zerolog.Logger
	epoch    snapshot.Epoch
	// followed: the replicas came from the store's present history, by a load and a watch
	// since, without a gap.
	followed bool
	// left are the epochs that ended here, of which none comes back.
	left map[snapshot.Epoch]bool
	// filling are the environments that are being made of others, which nobody is shown yet.
	filling map[string]bool
	// lost: the store went back in this epoch. Also once it has outgrown what was applied,
	// it is not followed, as it did so by another history.
	lost bool
	// reachable: the store answered when it was last asked.
	reachable atomic.Bool
	// failure is why the store cannot be followed; nil while it is.
	failure atomic.Pointer[error]
}

func newApplier(s store.Store, replicas *replica.Set, logger zerolog.Logger) *applier {
	return &applier{progress: newProgress(), store: s, replicas: replicas, logger: logger, left: make(map[snapshot.Epoch]bool), filling: make(map[string]bool)}
}

// run follows the store until ctx ends.
func (a *applier) run(ctx context.Context) error {
	backoff, failing := firstBackoff, time.Time{}
	healthy := func() {
		if !failing.IsZero() {
			a.logger.Info().Dur("after", time.Since(failing)).Int64("revision", a.revision()).Msg("following the store again")
		}
		backoff, failing = firstBackoff, time.Time{}
		a.failure.Store(nil)
	}
	for {
		started := time.Now()
		err := a.follow(ctx, healthy)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // to end with the context is no failure
		}
		if err == nil {
			continue
		}
		a.followed = false
		was := a.failure.Swap(&err)
		lost := errors.Is(err, ErrDataLoss) && (was == nil || !errors.Is(*was, ErrDataLoss))
		if failing.IsZero() {
			failing = started
		}
		if was == nil || lost { // once for each time that it fails
			a.logger.Error().Err(err).Int64("revision", a.revision()).Msg("cannot follow the store: what is served ages; trying again")
		}
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return nil
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// follow watches the store from where the replicas are. It returns when it no longer
// can, with nil if that is settled, having called healthy whenever the replicas were
// confirmed.
func (a *applier) follow(ctx context.Context, healthy func()) error {
	if err := a.resume(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch, err := a.store.Watch(ctx, stateRoot, a.revision()+1)
	if err != nil {
		return fmt.Errorf("watch the store: %w", err)
	}
	defer watch.Close()
	probes := a.startProbes(ctx)
	defer probes.stop()

	var pending *probe // unconfirmed until the replicas have reached its revision
	lastBatch := time.Now()
	for {
		behind := false
		select {
		case batch, open := <-watch.Batches():
			if !open {
				return a.watchEnded(ctx, watch.Err())
			}
			lastBatch = time.Now()
			if err := a.applyBatch(ctx, batch); err != nil {
				return err
			}
		case p := <-probes.results:
			switch err := a.checkProbe(p); {
			case errors.Is(err, errNewEpoch):
				return nil // to resume is to load it
			case err != nil:
				return err
			}
			if behind = p.revision > a.revision(); behind && time.Since(lastBatch) > stallTimeout {
				return fmt.Errorf("the watch has shown nothing for %s while the store went from revision %d to %d",
					stallTimeout, a.revision(), p.revision)
			}
			if pending == nil { // else the older one is reached first
				pending = &p
			}
		case <-a.wanted:
			behind = true
		case <-ctx.Done():
			return ctx.Err()
		}
		if behind {
			if err := watch.RequestProgress(ctx); err != nil {
				return fmt.Errorf("ask the watch for progress: %w", err)
			}
		}
		if pending != nil && pending.revision <= a.revision() {
			a.confirm(pending.asked)
			pending = nil
			healthy()
		}
	}
}

// watchEnded says why; if by compaction, it loads what the watch cannot show.
func (a *applier) watchEnded(ctx context.Context, err error) error {
	if !errors.Is(err, store.ErrCompacted) {
		return fmt.Errorf("the watch ended: %w", err)
	}
	a.logger.Warn().Int64("revision", a.revision()).Msg("the store has compacted what was still to be applied; loading its current state")
	return a.load(ctx)
}

// confirm records that the replicas held the store's current state at that time.
func (a *applier) confirm(at time.Time) {
	revision := a.revision()
	for _, name := range a.replicas.Environments() {
		a.replicas.Replica(name).Observe(revision, time.Since(at))
	}
}

// applyBatch publishes what a watch delivered, revision by revision.
func (a *applier) applyBatch(ctx context.Context, b store.Batch) error {
	for events := b.Events; len(events) > 0; {
		revision := events[0].KV.ModRevision
		n := slices.IndexFunc(events, func(e store.Event) bool { return e.KV.ModRevision != revision })
		if n < 0 {
			n = len(events)
		}
		if revision > a.revision() {
			if err := a.applyRevision(ctx, revision, events[:n]); err != nil {
				return err
			}
			a.reach(revision)
		}
		events = events[n:]
	}
	a.reach(b.Revision)
	return nil
}

// edits are the changes of one environment at one revision.
type edits struct {
	puts    []snapshot.Item
	deletes []snapshot.ID
}

func (a *applier) applyRevision(ctx context.Context, revision int64, events []store.Event) error {
	if fault.Planted("split-transaction") && len(events) > 1 {
		return errors.Join(a.applyRevision(ctx, revision, events[:1]), a.applyRevision(ctx, revision, events[1:]))
	}
	filled := a.noteFilling(events)
	byEnvironment := make(map[string]*edits)
	var names []string
	for _, event := range events {
		r, ok := parseStateKey(event.KV.Key)
		if !ok {
			a.logger.Warn().Str("key", event.KV.Key).Int64("revision", revision).Msg("the store holds a key that is not of ours; ignored")
			continue
		}
		if a.filling[r.environment] || filled[r.environment] {
			continue
		}
		e := byEnvironment[r.environment]
		if e == nil {
			e = &edits{}
			byEnvironment[r.environment], names = e, append(names, r.environment)
		}
		switch {
		case r.kind == nil: // the guard; or of a later version of tidegate
		case event.Deleted:
			e.deletes = append(e.deletes, snapshot.ID{Kind: r.kind.sync, Key: r.key})
		default:
			e.puts = append(e.puts, item(r, event.KV))
		}
	}
	for _, name := range names {
		fault.Point(fault.ApplierBeforePublish)
		if err := a.publish(name, revision, byEnvironment[name]); err != nil {
			return err
		}
		fault.Point(fault.ApplierAfterPublish)
	}
	for name := range filled {
		if err := a.show(ctx, name, revision); err != nil {
			return err
		}
	}
	return nil
}

func item(r resource, kv store.KV) snapshot.Item {
	return snapshot.Item{Kind: r.kind.sync, Key: r.key, ModRevision: kv.ModRevision, Data: kv.Value}
}

func (a *applier) publish(environment string, revision int64, e *edits) error {
	r := a.replicas.Add(environment)
	current := r.Snapshot()
	if current == nil { // an environment that is new
		empty := snapshot.New(environment, a.epoch)
		next, _ := empty.Next(revision, e.puts, nil)
		a.logger.Info().Str("environment", environment).Int64("revision", revision).Msg("environment added")
		return r.Publish(next, next.Full())
	}
	deletes := slices.DeleteFunc(e.deletes, func(id snapshot.ID) bool {
		_, held := current.Item(id.Kind, id.Key)
		return !held
	})
	if len(e.puts)+len(deletes) == 0 {
		return nil
	}
	next, delta := current.Next(revision, e.puts, deletes)
	a.logRejections(next, e.puts)
	return r.Publish(next, delta)
}

// logRejections reports what was written and cannot be used. The last version that can
// be stays in force.
func (a *applier) logRejections(s *snapshot.Snapshot, puts []snapshot.Item) {
	for _, rejection := range s.Rejections() {
		fresh := slices.ContainsFunc(puts, func(i snapshot.Item) bool { return i.ID() == rejection.Item.ID() })
		if fresh {
			a.logger.Error().Err(rejection.Err).Str("environment", s.Environment()).Stringer("item", rejection.Item.ID()).
				Int64("revision", rejection.Item.ModRevision).Msg("a stored flag or segment cannot be used; the last version that could be, if any, stays in force")
		}
	}
}
