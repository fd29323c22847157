package etcdstore

import (
	"context"
	"fmt"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tidegate/tidegate/controlplane/store"
)

// watch follows a prefix over the watch client. Revisions stay whole: etcd never splits
// one over two responses, and the client joins the fragments of a large response.
type watch struct {
	s       *Store
	batches chan store.Batch
	cancel  context.CancelFunc
	done    chan struct{}

	mu      sync.Mutex
	created bool
	closed  bool
	err     error
}

// Watch implements store.Store. The watch survives a change of etcd's leader or of the
// connection, and ends when the member it talks to has no leader for long.
func (s *Store) Watch(ctx context.Context, prefix string, from int64) (store.Watch, error) {
	if s.ctx.Err() != nil {
		return nil, store.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{s: s, batches: make(chan store.Batch), cancel: cancel, done: make(chan struct{})}
	stop := context.AfterFunc(s.ctx, cancel) //nolint:contextcheck // the store's own end
	s.watches.Go(func() {
		defer close(w.done)
		defer stop()
		defer cancel()
		w.end(w.run(ctx, prefix, from))
	})
	return w, nil
}

func (w *watch) Batches() <-chan store.Batch { return w.batches }

func (w *watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// RequestProgress implements store.Watch. Before etcd has acknowledged the watch there
// is no stream to ask on, and nothing to report.
func (w *watch) RequestProgress(ctx context.Context) error {
	w.mu.Lock()
	created := w.created
	w.mu.Unlock()
	if !created {
		return nil
	}
	if err := w.s.watchClient.RequestProgress(clientv3.WithRequireLeader(ctx)); err != nil {
		return w.s.wrap(err)
	}
	return nil
}

func (w *watch) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	<-w.done
}

func (w *watch) end(err error) {
	w.mu.Lock()
	if !w.closed {
		w.err = err
	}
	w.mu.Unlock()
	close(w.batches)
}

func (w *watch) run(ctx context.Context, prefix string, from int64) error {
	responses := w.s.watchClient.Watch(clientv3.WithRequireLeader(ctx), prefix,
		clientv3.WithPrefix(), clientv3.WithRev(from), clientv3.WithProgressNotify(),
		clientv3.WithFragment(), clientv3.WithCreatedNotify())
	for resp := range responses {
		switch {
		case resp.CompactRevision != 0:
			return fmt.Errorf("%w: up to %d", store.ErrCompacted, resp.CompactRevision)
		case resp.Err() != nil:
			return w.s.wrap(resp.Err())
		case resp.Created:
			w.mu.Lock()
			w.created = true
			w.mu.Unlock()
			continue
		}
		select {
		case w.batches <- batch(resp):
		case <-ctx.Done():
		}
	}
	switch {
	case w.s.ctx.Err() != nil:
		return store.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: the watch ended", store.ErrUnavailable)
}

func batch(resp clientv3.WatchResponse) store.Batch {
	if resp.IsProgressNotify() {
		return store.Batch{Revision: resp.Header.Revision}
	}
	b := store.Batch{Events: make([]store.Event, 0, len(resp.Events))}
	for _, e := range resp.Events {
		b.Events = append(b.Events, store.Event{
			KV: store.KV{
				Key: string(e.Kv.Key), Value: e.Kv.Value,
				CreateRevision: e.Kv.CreateRevision, ModRevision: e.Kv.ModRevision,
			},
			Deleted: e.Type == clientv3.EventTypeDelete,
		})
		b.Revision = e.Kv.ModRevision
	}
	return b
}
