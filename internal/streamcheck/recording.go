package streamcheck

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/internal/streamlog"
)

// Recording writes down one life of a store as it goes, by a watch of its own. The store
// must be reached by a way that the run's faults leave alone, and must not compact what
// is not recorded yet.
type Recording struct {
	store   store.Store
	life    int
	add     func(Entry) error
	reached atomic.Int64
	cancel  context.CancelFunc
	done    chan struct{}
	err     error // once done
}

// root is below which the store is watched.
const root = "/tidegate/v1/"

// askEvery is how often a watch is asked how far it is, and tried again after an outage.
const askEvery = 50 * time.Millisecond

// Record records a life that was begun, from the revision on. add is not called any more
// once Finish has returned.
func Record(s store.Store, life int, from int64, add func(Entry) error) *Recording {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Recording{store: s, life: life, add: add, cancel: cancel, done: make(chan struct{})}
	r.reached.Store(from - 1)
	go func() {
		defer close(r.done)
		r.err = r.run(ctx)
	}()
	return r
}

// Reached is the revision up to which everything is recorded.
func (r *Recording) Reached() int64 { return r.reached.Load() }

// Finish waits until all that the store holds by now is recorded, and ends the recording.
// If ctx ends before, the truth ends early.
func (r *Recording) Finish(ctx context.Context) error {
	err := r.catchUp(ctx)
	r.cancel()
	<-r.done
	if err = errors.Join(err, r.err); err != nil {
		return fmt.Errorf("streamcheck: recording of the store: %w", err)
	}
	return r.add(Entry{Life: r.life, Revision: r.reached.Load()})
}

func (r *Recording) catchUp(ctx context.Context) error {
	_, head, err := r.store.Read(ctx, store.Key(epochKey))
	if err != nil {
		return err
	}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for r.reached.Load() < head {
		select {
		case <-tick.C:
		case <-r.done:
			return errors.New("it ended early")
		case <-ctx.Done():
			return fmt.Errorf("at revision %d of %d: %w", r.reached.Load(), head, ctx.Err())
		}
	}
	return nil
}

// run watches until ctx ends, again and again.
func (r *Recording) run(ctx context.Context) error {
	for {
		err := r.watch(ctx)
		var fatal *fatalError
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // to end with the context is no failure
		case errors.Is(err, store.ErrCompacted), errors.As(err, &fatal):
			return err
		}
		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
		}
	}
}

// fatalError is one of the recording's own.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

func (r *Recording) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := r.store.Watch(ctx, root, r.reached.Load()+1)
	if err != nil {
		return err
	}
	defer w.Close()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case b, open := <-w.Batches():
			if !open {
				return w.Err()
			}
			if err := r.batch(b); err != nil {
				return &fatalError{err}
			}
		case <-tick.C:
			if err := w.RequestProgress(ctx); err != nil {
				return err
			}
		}
	}
}

func (r *Recording) batch(b store.Batch) error {
	now := streamlog.Now()
	var e Entry
	flush := func() error {
		if len(e.Changes) == 0 || e.Revision <= r.reached.Load() {
			return nil
		}
		return r.add(e)
	}
	for _, event := range b.Events {
		if event.KV.ModRevision != e.Revision {
			if err := flush(); err != nil {
				return err
			}
			e = Entry{Life: r.life, Revision: event.KV.ModRevision, Mono: now}
		}
		if event.KV.Key == epochKey || stateKey.MatchString(event.KV.Key) {
			e.Changes = append(e.Changes, Change{Key: event.KV.Key, Value: event.KV.Value, Deleted: event.Deleted})
		}
	}
	if err := flush(); err != nil {
		return err
	}
	r.reached.Store(max(b.Revision, r.reached.Load()))
	return nil
}
