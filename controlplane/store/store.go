// Package store is the contract between the control plane and its database, in terms of
// keys, revisions and guarded transactions: the part of etcd that tidegate relies on.
// Implementations: package etcdstore (production) and package memstore (tests); one
// conformance suite, package storetest, runs on both.
//
// What every implementation promises:
//
//   - Revisions. One counter for the whole store, higher with each transaction that
//     changes something; all changes of a transaction carry its revision. A fresh store
//     is at a revision above 0.
//   - Transactions are atomic and durable before Commit returns, and serializable in
//     the order of their revisions.
//   - Reads are linearizable: they see every transaction that was acknowledged before
//     they began, by whichever client. One Read sees one state.
//   - A watch delivers every change under its prefix once, in the order of revisions,
//     and never part of a revision. It ends with an error rather than leave something
//     out.
//   - Compaction removes old versions, never current ones. What needs one that is gone
//     fails with [ErrCompacted].
//
// All methods may be called from any goroutine. Reads and commits block until the store
// answers or the context ends; no method retries.
package store

import (
	"context"
	"errors"
	"io"
	"time"
)

var (
	// ErrUnavailable says that the store did not answer. Whether a Commit happened is unknown.
	ErrUnavailable = errors.New("store: no answer")
	// ErrCompacted says that the revision asked for was compacted.
	ErrCompacted = errors.New("store: revision compacted")
	// ErrFutureRevision says that the revision asked for is above the store's.
	ErrFutureRevision = errors.New("store: revision is in the future")
	// ErrTooLarge says that the transaction is larger than the store accepts. It did not happen.
	ErrTooLarge = errors.New("store: transaction too large")
	// ErrNoSpace says that the store is full and accepts no puts. It did not happen.
	ErrNoSpace = errors.New("store: out of space")
	// ErrLeaseNotFound says that a put, or a KeepAlive, names a lease that expired. It did not
	// happen.
	ErrLeaseNotFound = errors.New("store: lease not found")
	// ErrDuplicateKey says that a transaction changes one key twice. It did not happen.
	ErrDuplicateKey = errors.New("store: key given twice in one transaction")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store: closed")
)

// KV is a key's value at some revision.
type KV struct {
	Key   string
	Value []byte // shared: must not be modified
	// CreateRevision is that of the put before which the key did not exist.
	CreateRevision int64
	// ModRevision is that of the newest put.
	ModRevision int64
}

// Range names the keys from Key up to, not including, End; only Key if End is empty.
type Range struct {
	Key, End string
	// Limit is the greatest number of results; 0: all.
	Limit int
}

// Key is the range of one key.
func Key(key string) Range { return Range{Key: key} }

// Prefix is the range of all keys that begin with the prefix, which must not be empty.
func Prefix(prefix string) Range { return Range{Key: prefix, End: PrefixEnd(prefix)} }

// PrefixEnd returns the first key after all keys that begin with the prefix.
func PrefixEnd(prefix string) string {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return string(end[:i+1])
		}
	}
	return "\xff" // no key of ours
}

// Contains tells whether the key is in the range, whatever its limit.
func (r Range) Contains(key string) bool {
	if r.End == "" {
		return key == r.Key
	}
	return r.Key <= key && key < r.End
}

// Result holds what a range contains, in the order of the keys.
type Result struct {
	KVs []KV
	// More: the limit cut off the rest.
	More bool
}

// Compare is a guard of a transaction: what a key's revision must be. 0 means that the
// key must not exist.
type Compare struct {
	Key      string
	Revision int64
	// Created compares the revision at which the key was created, not last modified.
	Created bool
}

// Unchanged holds while the key is as last modified at the revision; 0: absent.
func Unchanged(key string, modRevision int64) Compare {
	return Compare{Key: key, Revision: modRevision}
}

// Absent holds while the key does not exist.
func Absent(key string) Compare { return Compare{Key: key} }

// CreatedAt holds while the key is the one that was created at the revision, however
// often it was modified since.
func CreatedAt(key string, createRevision int64) Compare {
	return Compare{Key: key, Revision: createRevision, Created: true}
}

// LeaseID names a lease; 0: none.
type LeaseID int64

// Op is a put or a delete of one key.
type Op struct {
	Key    string
	Value  []byte
	Lease  LeaseID
	Delete bool
}

// Put sets a key.
func Put(key string, value []byte) Op { return Op{Key: key, Value: value} }

// PutLeased sets a key that goes when the lease expires.
func PutLeased(key string, value []byte, lease LeaseID) Op {
	return Op{Key: key, Value: value, Lease: lease}
}

// Delete removes a key, if it is there.
func Delete(key string) Op { return Op{Key: key, Delete: true} }

// Limits of one transaction: what etcd accepts unless configured otherwise.
const (
	MaxTxnOps   = 128
	MaxTxnBytes = 3 << 19 // 1.5 MiB, keys and overhead included
)

// Txn is a guarded transaction: if all compares hold, all ops happen at one revision,
// else nothing does. At most MaxTxnOps compares and as many ops; no key twice.
type Txn struct {
	Compares []Compare
	Ops      []Op
}

// Outcome tells what became of a transaction.
type Outcome struct {
	// Committed: all compares held.
	Committed bool
	// Revision of the transaction or, if it was not committed, of the store.
	Revision int64
}

// Event is one change of one key.
type Event struct {
	// KV after the change; of a deleted key, only Key and ModRevision (that of the
	// deletion) are set.
	KV      KV
	Deleted bool
}

// Batch is what a watch delivers: whole revisions.
type Batch struct {
	// Events in the order of revisions; none: a progress notification.
	Events []Event
	// Revision up to which the watch has now delivered everything.
	Revision int64
}

// Watch delivers changes.
type Watch interface {
	// Batches is closed when the watch ends; Err then says why. A reader that is slow
	// is waited for: changes are buffered by the store.
	Batches() <-chan Batch
	// Err is nil while Batches is open, and after Close.
	Err() error
	// RequestProgress asks for a progress notification; it comes once the watch has
	// caught up, and not at all if the watch is cut off.
	RequestProgress(ctx context.Context) error
	// Close ends the watch and waits until nothing of it is left.
	Close()
}

// Store is a database of the kind described above.
type Store interface {
	// Read returns the contents of each range at the store's current revision, which
	// is returned too. At most MaxTxnOps ranges.
	Read(ctx context.Context, ranges ...Range) ([]Result, int64, error)
	// ReadAt returns the contents of a range at an earlier revision. ErrCompacted or
	// ErrFutureRevision if that is not there.
	ReadAt(ctx context.Context, revision int64, r Range) (Result, error)
	// Commit does a transaction. After ErrUnavailable or a context's end, its outcome
	// is unknown; after any other error, nothing happened.
	Commit(ctx context.Context, t Txn) (Outcome, error)
	// Watch follows a prefix from a revision (included) on. The watch ends with
	// ErrCompacted if that was compacted, and when ctx ends.
	Watch(ctx context.Context, prefix string, from int64) (Watch, error)
	// Grant makes a lease that expires, with its keys, not before ttl has passed.
	Grant(ctx context.Context, ttl time.Duration) (LeaseID, error)
	// KeepAlive has the lease expire not before its ttl has passed from now on.
	// ErrLeaseNotFound if it has expired.
	KeepAlive(ctx context.Context, lease LeaseID) error
	// Revoke ends a lease now, and deletes its keys. One that has expired is no error.
	Revoke(ctx context.Context, lease LeaseID) error
	// Close ends everything, watches included. Only the first call does something.
	Close() error
}

// Snapshotter is a Store that can be copied as a whole.
type Snapshotter interface {
	// Snapshot returns one state of the store, in a form that only its implementation can
	// restore. It may be of an earlier time than the last commit where the store has several
	// members. It must be closed.
	Snapshot(ctx context.Context) (io.ReadCloser, error)
}
