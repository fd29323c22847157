// Package etcdstore implements package store on etcd: a member embedded in this
// process, without sockets, or an external cluster. It is the only package that imports
// etcd.
package etcdstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tidegate/tidegate/controlplane/store"
)

// Options of a Store: DataDir or Endpoints.
type Options struct {
	// DataDir embeds an etcd member that keeps its data there, made if needed.
	DataDir string
	// Endpoints of an external cluster, such as 'https://etcd-1:2379'. Those that
	// answer must be etcd 3.7.1 or later, or 3.6.14 or later of 3.6; one must answer.
	Endpoints []string
	// TLS for external endpoints; nil: none.
	TLS *tls.Config
	// DialTimeout is how long an endpoint may take to answer in Open; default 5 s.
	DialTimeout time.Duration
	Logger      zerolog.Logger

	quotaBytes int64 // of the embedded member; tests fill a small one
}

// Store is a store.Store on etcd.
type Store struct {
	// The watch has a client of its own: a connection that is busy with a long answer
	// would delay it.
	client, watchClient *clientv3.Client
	embedded            *member // nil: external

	watches   sync.WaitGroup
	ctx       context.Context // ends the watches
	cancel    context.CancelFunc
	closeOnce sync.Once
	closeErr  error
}

var (
	_ store.Store       = (*Store)(nil)
	_ store.Snapshotter = (*Store)(nil)
)

// Open starts the embedded member, or connects to the external cluster, and returns
// when the store answers.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.DialTimeout == 0 {
		o.DialTimeout = 5 * time.Second
	}
	switch {
	case o.DataDir != "" && len(o.Endpoints) > 0:
		return nil, errors.New("etcdstore: a data directory and endpoints were given: give one of them")
	case o.DataDir != "":
		return openEmbedded(ctx, o)
	case len(o.Endpoints) > 0:
		return openExternal(ctx, o)
	}
	return nil, errors.New("etcdstore: neither a data directory nor endpoints were given")
}

func newStore(client, watchClient *clientv3.Client, m *member) *Store {
	s := &Store{client: client, watchClient: watchClient, embedded: m}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, ranges ...store.Range) ([]store.Result, int64, error) {
	if s.ctx.Err() != nil {
		return nil, 0, store.ErrClosed
	}
	ops := make([]clientv3.Op, 0, len(ranges))
	for _, r := range ranges {
		ops = append(ops, clientv3.OpGet(r.Key, rangeOptions(r)...))
	}
	// A transaction reads all ranges at one revision, and linearizably.
	resp, err := s.client.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return nil, 0, s.wrap(err)
	}
	results := make([]store.Result, 0, len(ranges))
	for _, r := range resp.Responses {
		results = append(results, result((*clientv3.GetResponse)(r.GetResponseRange())))
	}
	return results, resp.Header.Revision, nil
}

// ReadAt implements store.Store.
func (s *Store) ReadAt(ctx context.Context, revision int64, r store.Range) (store.Result, error) {
	if s.ctx.Err() != nil {
		return store.Result{}, store.ErrClosed
	}
	resp, err := s.client.Get(ctx, r.Key, append(rangeOptions(r), clientv3.WithRev(revision))...)
	if err != nil {
		return store.Result{}, s.wrap(err)
	}
	return result(resp), nil
}

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if s.ctx.Err() != nil {
		return store.Outcome{}, store.ErrClosed
	}
	compares := make([]clientv3.Cmp, 0, len(t.Compares))
	for _, c := range t.Compares {
		target := clientv3.ModRevision(c.Key)
		if c.Created {
			target = clientv3.CreateRevision(c.Key)
		}
		compares = append(compares, clientv3.Compare(target, "=", c.Revision))
	}
	ops := make([]clientv3.Op, 0, len(t.Ops))
	for _, op := range t.Ops {
		switch {
		case op.Delete:
			ops = append(ops, clientv3.OpDelete(op.Key))
		case op.Lease != 0:
			ops = append(ops, clientv3.OpPut(op.Key, string(op.Value), clientv3.WithLease(clientv3.LeaseID(op.Lease))))
		default:
			ops = append(ops, clientv3.OpPut(op.Key, string(op.Value)))
		}
	}
	resp, err := s.client.Txn(ctx).If(compares...).Then(ops...).Commit()
	if err != nil {
		return store.Outcome{}, s.wrap(err)
	}
	return store.Outcome{Committed: resp.Succeeded, Revision: resp.Header.Revision}, nil
}

// Grant implements store.Store.
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (store.LeaseID, error) {
	if s.ctx.Err() != nil {
		return 0, store.ErrClosed
	}
	seconds := int64((ttl + time.Second - 1) / time.Second)
	resp, err := s.client.Grant(ctx, seconds)
	if err != nil {
		return 0, s.wrap(err)
	}
	return store.LeaseID(resp.ID), nil
}

// KeepAlive implements store.Store.
func (s *Store) KeepAlive(ctx context.Context, lease store.LeaseID) error {
	if s.ctx.Err() != nil {
		return store.ErrClosed
	}
	_, err := s.client.KeepAliveOnce(ctx, clientv3.LeaseID(lease))
	if err != nil {
		return s.wrap(err)
	}
	return nil
}

// Revoke implements store.Store.
func (s *Store) Revoke(ctx context.Context, lease store.LeaseID) error {
	if s.ctx.Err() != nil {
		return store.ErrClosed
	}
	_, err := s.client.Revoke(ctx, clientv3.LeaseID(lease))
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return s.wrap(err)
	}
	return nil
}

// Snapshot implements store.Snapshotter: etcd's database, followed by its SHA-256. Package backup
// reads and restores it.
func (s *Store) Snapshot(ctx context.Context) (io.ReadCloser, error) {
	if s.ctx.Err() != nil {
		return nil, store.ErrClosed
	}
	snapshot, err := s.client.Snapshot(ctx)
	if err != nil {
		return nil, s.wrap(err)
	}
	return snapshot, nil
}

// Close implements store.Store. The clients go before the member they talk to, which
// would else wait for them.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.cancel()
		s.watches.Wait()
		for _, client := range []*clientv3.Client{s.watchClient, s.client} {
			// An in-process client always says that it was cancelled.
			if err := client.Close(); err != nil && !errors.Is(err, context.Canceled) {
				s.closeErr = errors.Join(s.closeErr, err)
			}
		}
		if s.embedded != nil {
			s.closeErr = errors.Join(s.closeErr, s.embedded.close())
		}
	})
	return s.closeErr
}

func rangeOptions(r store.Range) []clientv3.OpOption {
	var options []clientv3.OpOption
	if r.End != "" {
		options = append(options, clientv3.WithRange(r.End))
	}
	if r.Limit > 0 {
		options = append(options, clientv3.WithLimit(int64(r.Limit)))
	}
	return options
}

func result(resp *clientv3.GetResponse) store.Result {
	r := store.Result{More: resp.More, KVs: make([]store.KV, 0, len(resp.Kvs))}
	for _, kv := range resp.Kvs {
		r.KVs = append(r.KVs, store.KV{
			Key: string(kv.Key), Value: kv.Value,
			CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision,
		})
	}
	return r
}

// wrap gives etcd's errors the names that package store has for them.
func (s *Store) wrap(err error) error {
	for _, known := range []struct{ etcd, store error }{
		{rpctypes.ErrCompacted, store.ErrCompacted},
		{rpctypes.ErrFutureRev, store.ErrFutureRevision},
		{rpctypes.ErrRequestTooLarge, store.ErrTooLarge},
		{rpctypes.ErrTooManyOps, store.ErrTooLarge},
		{rpctypes.ErrNoSpace, store.ErrNoSpace},
		{rpctypes.ErrLeaseNotFound, store.ErrLeaseNotFound},
		{rpctypes.ErrDuplicateKey, store.ErrDuplicateKey},
	} {
		if errors.Is(err, known.etcd) {
			return known.store
		}
	}
	switch {
	case s.ctx.Err() != nil:
		return store.ErrClosed
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}
