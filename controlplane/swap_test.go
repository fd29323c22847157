package controlplane

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

// swappableStore is a store behind which another can be put, as a restore from backup
// does.
type swappableStore struct{ current atomic.Value }

type holder struct{ store.Store }

func (s *swappableStore) swap(to store.Store) { s.current.Store(holder{to}) }

func (s *swappableStore) get() store.Store { return s.current.Load().(holder).Store }

func (s *swappableStore) Read(ctx context.Context, ranges ...store.Range) ([]store.Result, int64, error) {
	return s.get().Read(ctx, ranges...)
}

func (s *swappableStore) ReadAt(ctx context.Context, revision int64, r store.Range) (store.Result, error) {
	return s.get().ReadAt(ctx, revision, r)
}

func (s *swappableStore) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	return s.get().Commit(ctx, t)
}

func (s *swappableStore) Watch(ctx context.Context, prefix string, from int64) (store.Watch, error) {
	return s.get().Watch(ctx, prefix, from)
}

func (s *swappableStore) Grant(ctx context.Context, ttl time.Duration) (store.LeaseID, error) {
	return s.get().Grant(ctx, ttl)
}

func (s *swappableStore) KeepAlive(ctx context.Context, lease store.LeaseID) error {
	return s.get().KeepAlive(ctx, lease)
}

func (s *swappableStore) Revoke(ctx context.Context, lease store.LeaseID) error {
	return s.get().Revoke(ctx, lease)
}

func (s *swappableStore) Close() error { return s.get().Close() }
