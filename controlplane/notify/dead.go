package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

// MaxDeadLetters that are kept: the newest.
const MaxDeadLetters = 1000

// DeadLetter is an event that a target was not told.
type DeadLetter struct {
	// Target's name, and the ID of the event: together they name the letter.
	Target, ID string
	// Event is nil if the record is damaged.
	Event *Event
	// Reason why it was given up.
	Reason string
	// Attempts of the server that gave up; others may have tried before.
	Attempts int
	// Queued is when the event was to be told, Died when it was given up.
	Queued, Died time.Time
}

// deadRecord is a dead letter, as JSON.
type deadRecord struct {
	Reason   string    `json:"reason"`
	Attempts int       `json:"attempts"`
	Died     time.Time `json:"died"`
	Record   *record   `json:"record,omitempty"`
	// Damaged is what could not be decoded, the first 64 KiB of it.
	Damaged []byte `json:"damaged,omitempty"`
}

func decodeDead(kv store.KV) DeadLetter {
	target, id := splitKey(kv.Key, deadRoot)
	letter := DeadLetter{Target: target, ID: id}
	var d deadRecord
	if err := json.Unmarshal(kv.Value, &d); err != nil {
		letter.Reason = fmt.Sprintf("not known: the dead letter is damaged: %v", err)
		return letter
	}
	letter.Reason, letter.Attempts, letter.Died = d.Reason, d.Attempts, d.Died
	if d.Record != nil {
		letter.Event, letter.Queued = &d.Record.Event, d.Record.Queued
	}
	return letter
}

// DeadLetters returns all dead letters, the newest first. Any server may be asked.
func (n *Notifier) DeadLetters(ctx context.Context) ([]DeadLetter, error) {
	type found struct {
		revision int64
		letter   DeadLetter
	}
	var all []found
	if _, err := forEach(ctx, n.o.Store, deadRoot, func(kv store.KV) {
		all = append(all, found{kv.ModRevision, decodeDead(kv)})
	}); err != nil {
		return nil, fmt.Errorf("read the dead letters: %w", err)
	}
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(b.revision, a.revision) })
	letters := make([]DeadLetter, 0, len(all))
	for _, f := range all {
		letters = append(letters, f.letter)
	}
	return letters, nil
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
