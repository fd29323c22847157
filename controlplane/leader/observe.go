package leader

import (
	"context"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

// observe keeps what is known of the key up to date until ctx ends.
func (e *Elector) observe(ctx context.Context) {
	wait := backoff{longest: e.o.TTL}
	for ctx.Err() == nil {
		began := time.Now()
		err := e.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > e.o.TTL {
			wait.reset()
		}
		e.o.Logger.Debug().Err(err).Msg("who leads cannot be followed; trying again")
		wait.wait(ctx)
	}
}

// follow reads the key, then each change, until it no longer can. It also reads it now and
// then, as a watch that is cut off is silent.
func (e *Elector) follow(ctx context.Context) error {
	revision, err := e.look(ctx)
	if err != nil {
		return err
	}
	watch, err := e.o.Store.Watch(ctx, Key, revision+1)
	if err != nil {
		return err
	}
	defer watch.Close()
	looks := time.NewTicker(e.o.TTL)
	defer looks.Stop()
	for {
		select {
		case batch, open := <-watch.Batches():
			if !open {
				return fmt.Errorf("the watch ended: %w", watch.Err())
			}
			e.takeEvents(batch)
		case <-looks.C:
			if _, err := e.look(ctx); err != nil {
				return err
			}
		}
	}
}

func (e *Elector) takeEvents(batch store.Batch) {
	for _, event := range batch.Events {
		switch {
		case event.KV.Key != Key: // the watch is of a prefix
		case event.Deleted:
			e.see(sight{revision: event.KV.ModRevision})
		default:
			e.see(decode(event.KV, event.KV.ModRevision))
		}
	}
}

// look reads the key, and returns the revision of the store.
func (e *Elector) look(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, e.o.TTL)
	defer cancel()
	before, _ := e.sight()
	results, revision, err := e.o.Store.Read(ctx, store.Key(Key))
	if err != nil {
		return 0, err
	}
	s := sight{revision: revision}
	if kvs := results[0].KVs; len(kvs) > 0 {
		s = decode(kvs[0], revision)
	}
	if revision < before.revision {
		e.restored()
	}
	e.see(s)
	return revision, nil
}
