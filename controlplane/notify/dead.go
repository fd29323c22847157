package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

// MaxDeadLetters that are kept: the newest.
const MaxDeadLetters = 1000

// deadRecord is a dead letter, as JSON.
type deadRecord struct {
	Reason   string    `json:"reason"`
	Attempts int       `json:"attempts"`
	Died     time.Time `json:"died"`
	Record   *record   `json:"record,omitempty"`
	// Damaged is what could not be decoded, the first 64 KiB of it.
	Damaged []byte `json:"damaged,omitempty"`
}

// Redeliver puts a dead letter back into the outbox, where it is tried for another 24 hours;
// its event's ID stays the same. ErrNotFound if it is gone, ErrDamaged if there is nothing to
// deliver. Any server may be asked. After an error of the store it may have happened.
func (n *Notifier) Redeliver(ctx context.Context, target, id string) error {
	kv, err := n.deadLetter(ctx, target, id)
	if err != nil {
		return err
	}
	var d deadRecord
	if err := json.Unmarshal(kv.Value, &d); err != nil || d.Record == nil {
		return fmt.Errorf("%w: event %s for target %q: discard it", ErrDamaged, id, target)
	}
	d.Record.Queued = time.Now().UTC()
	value, err := encodeRecord(*d.Record)
	if err != nil {
		return err
	}
	return n.settle(ctx, kv, store.Put(outboxRoot+target+"/"+id, value))
}

// Discard removes a dead letter. ErrNotFound if it is gone. Any server may be asked.
func (n *Notifier) Discard(ctx context.Context, target, id string) error {
	kv, err := n.deadLetter(ctx, target, id)
	if err != nil {
		return err
	}
	return n.settle(ctx, kv)
}

func (n *Notifier) deadLetter(ctx context.Context, target, id string) (store.KV, error) {
	results, _, err := n.o.Store.Read(ctx, store.Key(deadRoot+target+"/"+id))
	switch {
	case err != nil:
		return store.KV{}, fmt.Errorf("read the dead letter: %w", err)
	case len(results[0].KVs) == 0:
		return store.KV{}, fmt.Errorf("%w: event %q for target %q", ErrNotFound, id, target)
	}
	return results[0].KVs[0], nil
}

// settle removes a dead letter that is as it was read, and does the ops with it.
func (n *Notifier) settle(ctx context.Context, kv store.KV, ops ...store.Op) error {
	out, err := n.o.Store.Commit(ctx, store.Txn{
		Compares: []store.Compare{store.Unchanged(kv.Key, kv.ModRevision)},
		Ops:      append(ops, store.Delete(kv.Key)),
	})
	switch {
	case err != nil:
		return fmt.Errorf("write the dead letter: %w", err)
	case !out.Committed:
		return fmt.Errorf("%w: somebody else was faster", ErrNotFound)
	}
	return nil
}
