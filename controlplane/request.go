package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
)

// record is what became of a request, stored in the same transaction, so that a retry
// finds the first result. It is JSON: short, and readable with etcdctl.
type record struct {
	// Fingerprint of the request's content.
	Fingerprint string         `json:"fingerprint"`
	Results     []recordResult `json:"results"`
	// Restored is what a request to restore, to make or to promote an environment came to.
	Restored *restoredCounts `json:"restored,omitempty"`
}

// restoredCounts are what a request of many changes to an environment came to.
type restoredCounts struct {
	AsOf         int64    `json:"as_of"`
	Base         int64    `json:"base"`
	Transactions int32    `json:"transactions"`
	Created      int32    `json:"created"`
	Updated      int32    `json:"updated"`
	Deleted      int32    `json:"deleted"`
	Rollouts     []string `json:"rollouts,omitempty"`
	Unattended   []string `json:"unattended,omitempty"`
	Digest       []byte   `json:"digest"`
}

// recordResult is one resource of the request, in its order.
type recordResult struct {
	Kind string `json:"kind"` // letter
	Key  string `json:"key"`
	// Environment of the resource, if it is not the request's.
	Environment string `json:"environment,omitempty"`
	// Sequence of the audit entry; 0: the request did not change the resource, which
	// was at Revision.
	Sequence int64 `json:"sequence,omitempty"`
	Revision int64 `json:"revision,omitempty"`
}

func (r record) encode() ([]byte, error) { return json.Marshal(r) }

func decodeRecord(data []byte) (record, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, fmt.Errorf("%w: request record: %w", ErrCorrupt, err)
	}
	for _, result := range r.Results {
		if kindOf(result.Kind) == nil || !keyPattern.MatchString(result.Key) || result.Sequence < 0 {
			return record{}, fmt.Errorf("%w: request record names %s %q, entry %d", ErrCorrupt, result.Kind, result.Key, result.Sequence)
		}
	}
	return r, nil
}

// fingerprint tells two requests of one id apart.
func fingerprint(m proto.Message) (string, error) {
	data, err := marshal(m)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte(m.ProtoReflect().Descriptor().FullName()), data...))
	return hex.EncodeToString(sum[:]), nil
}

// Requests are remembered for a day at least. One lease is shared by those of an hour:
// leases cost more than keys.
const (
	requestRetention = 24 * time.Hour
	leaseRotation    = time.Hour
)

// leases holds the current lease of request records.
type leases struct {
	store store.Store

	mu      sync.Mutex
	id      store.LeaseID
	granted time.Time
}

// current returns a lease that lives for requestRetention at least.
func (l *leases) current(ctx context.Context) (store.LeaseID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.id != 0 && time.Since(l.granted) < leaseRotation {
		return l.id, nil
	}
	granted := time.Now() // before the store starts to count
	id, err := l.store.Grant(ctx, requestRetention+leaseRotation)
	if err != nil {
		return 0, err
	}
	l.id, l.granted = id, granted
	return id, nil
}

// drop forgets a lease that the store no longer knows.
func (l *leases) drop(id store.LeaseID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.id == id {
		l.id = 0
	}
}

// isLeaseLost tells whether a commit failed for want of its lease.
func isLeaseLost(err error) bool { return errors.Is(err, store.ErrLeaseNotFound) }
