package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

const (
	outboxRoot = "/tidegate/v1/n/"
	deadRoot   = "/tidegate/v1/n-dead/"
	// page is how many records are read at once.
	page = 500
	// maxDamaged is how much is kept of what cannot be decoded.
	maxDamaged = 64 << 10
)

// record is what waits for a target, as JSON.
type record struct {
	// Queued is when it was decided to tell, by the clock of who did.
	Queued time.Time `json:"queued"`
	Event  Event     `json:"event"`
}

// encodeRecord is compact: '<' and the like need no escapes here.
func encodeRecord(r record) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func decodeRecord(value []byte) (r record, err error) {
	if err = json.Unmarshal(value, &r); err == nil && (r.Event.ID == "" || r.Event.Kind == "") {
		err = errors.New("it is not an event")
	}
	return r, err
}

// ref is a record in the store, as far as it is remembered.
type ref struct {
	key string
	// revision of the newest put: records come in its order.
	revision int64
	// queued is when the record says it was; zero if it is damaged, or a dead letter.
	queued time.Time
}

func refOf(kv store.KV) ref {
	r := ref{key: kv.Key, revision: kv.ModRevision}
	if strings.HasPrefix(kv.Key, outboxRoot) {
		var head struct {
			Queued time.Time `json:"queued"`
		}
		if json.Unmarshal(kv.Value, &head) == nil {
			r.queued = head.Queued
		}
	}
	return r
}

// splitKey tells the target and the event of a key below a root.
func splitKey(key, root string) (target, id string) {
	target, id, _ = strings.Cut(strings.TrimPrefix(key, root), "/")
	return target, id
}

// forEach reads what is below a root, a page after the other, all at one revision, which it
// returns.
func forEach(ctx context.Context, s store.Store, root string, take func(store.KV)) (revision int64, err error) {
	r := store.Prefix(root)
	r.Limit = page
	results, revision, err := s.Read(ctx, r)
	if err != nil {
		return 0, err
	}
	for result := results[0]; ; {
		for _, kv := range result.KVs {
			take(kv)
		}
		if !result.More {
			return revision, nil
		}
		r.Key = result.KVs[len(result.KVs)-1].Key + "\x00"
		if result, err = s.ReadAt(ctx, revision, r); err != nil {
			return 0, err
		}
	}
}

// view is brought up to date by follow.
type view interface {
	// replace takes in everything that there is.
	replace(all []ref)
	put(r ref)
	remove(key string)
}

// follow reads what is below a root, then each change, until it no longer can.
func follow(ctx context.Context, s store.Store, root string, v view) error {
	var all []ref
	revision, err := forEach(ctx, s, root, func(kv store.KV) { all = append(all, refOf(kv)) })
	if err != nil {
		return err
	}
	v.replace(all)
	watch, err := s.Watch(ctx, root, revision+1)
	if err != nil {
		return err
	}
	defer watch.Close()
	for batch := range watch.Batches() {
		for _, e := range batch.Events {
			if e.Deleted {
				v.remove(e.KV.Key)
			} else {
				v.put(refOf(e.KV))
			}
		}
	}
	return fmt.Errorf("the watch ended: %w", watch.Err())
}
