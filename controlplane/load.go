package controlplane

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// loadPage is how many keys are read at once.
const loadPage = 256

// resume makes sure, before a watch, that the store is what the replicas came from. The
// state of a new epoch is loaded; and so is that of a store that was out of sight, as only
// a comparison shows that it was not restored meanwhile, and has grown again since.
func (a *applier) resume(ctx context.Context) error {
	err := a.checkProbe(a.ask(ctx))
	switch {
	case errors.Is(err, errNewEpoch):
		a.logger.Warn().Err(err).Msg("the store begins anew; loading its state")
		return a.load(ctx)
	case err == nil && !a.followed:
		return a.load(ctx)
	}
	return err
}

// loadAttempts is how often a load begins again because the store compacted what it was
// reading.
const loadAttempts = 10

// load brings all replicas to the state that the store has now, all environments at one
// revision. A replica of the same epoch gets there by one delta, so its followers need
// no snapshot and miss no delete.
func (a *applier) load(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		err := a.tryLoad(ctx)
		if !errors.Is(err, store.ErrCompacted) || attempt == loadAttempts {
			return err
		}
	}
}

// tryLoad is load, unless the store compacts what it reads.
func (a *applier) tryLoad(ctx context.Context) error {
	began := a.ask(ctx)
	if began.err != nil {
		return fmt.Errorf("controlplane: load: %w", unavailable(began.err))
	}
	if err := a.checkProbe(began); err != nil && !errors.Is(err, errNewEpoch) {
		return fmt.Errorf("controlplane: load: %w", err)
	}
	revision := began.revision
	environments, err := a.readEnvironments(ctx, revision)
	if err != nil {
		return err
	}
	found, err := a.readState(ctx, revision)
	if err != nil {
		return err
	}
	a.filling = withoutFilling(found)
	for _, name := range environments {
		a.replicas.Add(name)
	}
	for name := range found {
		a.replicas.Add(name)
	}
	if began.epoch == a.epoch {
		for _, name := range a.replicas.Environments() {
			if err := a.checkFork(name, found[name]); err != nil {
				a.lost = true
				return fmt.Errorf("controlplane: load: %w", err)
			}
		}
	}
	for _, name := range a.replicas.Environments() {
		if err := a.replace(name, began.epoch, revision, found[name].items); err != nil {
			return fmt.Errorf("controlplane: load environment %q: %w", name, err)
		}
	}
	if began.epoch != a.epoch {
		a.left[a.epoch] = true
	}
	a.epoch, a.followed, a.lost = began.epoch, true, false
	a.set(revision)
	a.confirm(began.asked)
	a.logger.Debug().Int64("revision", revision).Stringer("epoch", began.epoch).
		Dur("took", time.Since(began.asked)).Msg("loaded the store's state")
	return nil
}

// replace makes the given items the environment's state.
func (a *applier) replace(environment string, epoch snapshot.Epoch, revision int64, items []snapshot.Item) error {
	r := a.replicas.Replica(environment)
	current := r.Snapshot()
	if current == nil && fault.Planted("serve-before-load") {
		empty := snapshot.New(environment, epoch).Advance(revision)
		if err := r.Publish(empty, empty.Full()); err != nil {
			return err
		}
	}
	if current == nil || current.Cursor().Epoch != epoch {
		next, _ := snapshot.New(environment, epoch).Next(revision, items, nil)
		a.logRejections(next, items)
		return r.Publish(next, next.Full())
	}
	e := &edits{}
	kept := make(map[snapshot.ID]bool, len(items))
	for _, i := range items {
		kept[i.ID()] = true
		if held, ok := current.Item(i.Kind, i.Key); !ok || held.ModRevision != i.ModRevision {
			e.puts = append(e.puts, i)
		}
	}
	for held := range current.Items() {
		if !kept[held.ID()] && !fault.Planted("drop-delete-at-compaction") {
			e.deletes = append(e.deletes, held.ID())
		}
	}
	return a.publish(environment, revision, e)
}

func (a *applier) readEnvironments(ctx context.Context, revision int64) ([]string, error) {
	kvs, err := a.readAll(ctx, revision, EnvironmentsRoot)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(kvs))
	for _, kv := range kvs {
		name := strings.TrimPrefix(kv.Key, EnvironmentsRoot)
		if environmentPattern.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// readState reads what there is of all environments.
func (a *applier) readState(ctx context.Context, revision int64) (map[string]stored, error) {
	kvs, err := a.readAll(ctx, revision, stateRoot)
	if err != nil {
		return nil, err
	}
	found := make(map[string]stored)
	for _, kv := range kvs {
		r, ok := parseStateKey(kv.Key)
		switch {
		case !ok:
			a.logger.Warn().Str("key", kv.Key).Msg("the store holds a key that is not of ours; ignored")
		case r.kind != nil:
			s := found[r.environment]
			s.items = append(s.items, item(r, kv))
			found[r.environment] = s
		case kv.Key == guardKey(r.environment):
			s := found[r.environment]
			s.guard = kv.ModRevision
			found[r.environment] = s
		case kv.Key == fillingKey(r.environment):
			s := found[r.environment]
			s.filling = true
			found[r.environment] = s
		}
	}
	return found, nil
}

func (a *applier) readAll(ctx context.Context, revision int64, prefix string) ([]store.KV, error) {
	var kvs []store.KV
	r := store.Prefix(prefix)
	r.Limit = loadPage
	for {
		page, err := a.store.ReadAt(ctx, revision, r)
		if err != nil {
			return nil, fmt.Errorf("controlplane: load: %w", unavailable(err))
		}
		kvs = append(kvs, page.KVs...)
		if !page.More {
			return kvs, nil
		}
		r.Key = page.KVs[len(page.KVs)-1].Key + "\x00"
	}
}
