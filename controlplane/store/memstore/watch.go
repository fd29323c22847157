package memstore

import (
	"context"
	"strings"

	"github.com/tidegate/tidegate/controlplane/store"
)

type watch struct {
	s       *Store
	prefix  string
	batches chan store.Batch
	cancel  context.CancelFunc
	done    chan struct{}

	// Guarded by Store.mu.
	next     int64 // first revision not delivered yet
	progress bool  // requested
	broken   bool
	closed   bool
	err      error
}

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, prefix string, from int64) (store.Watch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usableLocked(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{
		s: s, prefix: prefix, next: from,
		batches: make(chan store.Batch), cancel: cancel, done: make(chan struct{}),
	}
	s.watches[w] = struct{}{}
	go w.run(ctx)
	return w, nil
}

func (w *watch) Batches() <-chan store.Batch { return w.batches }

func (w *watch) Err() error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.err
}

func (w *watch) RequestProgress(ctx context.Context) error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if err := w.s.usableLocked(ctx); err != nil {
		return err
	}
	w.progress = true
	w.s.wakeLocked()
	return nil
}

func (w *watch) Close() {
	w.s.mu.Lock()
	w.closed = true
	w.s.mu.Unlock()
	w.cancel()
	<-w.done
}

func (w *watch) run(ctx context.Context) {
	defer close(w.done)
	defer w.cancel()
	err := w.deliver(ctx)
	w.s.mu.Lock()
	if !w.closed {
		w.err = err
	}
	delete(w.s.watches, w)
	w.s.mu.Unlock()
	close(w.batches)
}

func (w *watch) deliver(ctx context.Context) error {
	for {
		batch, changed, err := w.poll()
		if err != nil {
			return err
		}
		if batch.Revision == 0 {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		select {
		case w.batches <- batch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// poll returns the next batch, or a channel that is closed when there may be one.
func (w *watch) poll() (store.Batch, <-chan struct{}, error) {
	s := w.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return store.Batch{}, nil, store.ErrClosed
	case w.broken:
		return store.Batch{}, nil, store.ErrUnavailable
	case s.down != nil:
		return store.Batch{}, s.changed, nil
	case w.next < s.compacted:
		return store.Batch{}, nil, store.ErrCompacted
	}
	var batch store.Batch
	for _, e := range s.log {
		if e.revision < w.next {
			continue
		}
		for _, event := range e.events {
			if strings.HasPrefix(event.KV.Key, w.prefix) {
				batch.Events = append(batch.Events, event)
				batch.Revision = e.revision
			}
		}
	}
	w.next = max(w.next, s.revision+1)
	if batch.Revision == 0 && w.progress {
		w.progress = false
		batch.Revision = s.revision
	}
	return batch, s.changed, nil
}
