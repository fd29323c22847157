package controlplane

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

// What was is worked out from the audit trail, which keeps each version of everything: the
// store compacts its own past. Entries are never changed, so they need not be read at one
// revision.

// pastAhead is how many entries are read at once. Most of what is asked for is recent.
const pastAhead = 16

// asOf returns what there was of a kind at a revision, by key, with the revision of each.
// It reads a number of entries that grows with that of the resources, not of their changes.
func (a *Authority) asOf(ctx context.Context, environment string, k *kind, revision int64) (map[string]version, error) {
	held := make(map[string]version)
	pages := store.NewPages(a.store, auditKindPrefix(environment, k), pastAhead)
	for {
		kvs, _, err := pages.Next(ctx)
		if err != nil {
			return nil, unavailable(err)
		}
		if len(kvs) == 0 {
			return held, nil
		}
		settled := ""
		for _, kv := range kvs { // of each resource, the newest first
			key := entryOf(kv.Key)
			if key == settled || kv.ModRevision > revision {
				continue
			}
			settled = key
			if err := hold(held, key, kv); err != nil {
				return nil, err
			}
		}
		last := resource{environment: environment, kind: k, key: entryOf(kvs[len(kvs)-1].Key)}
		if last.key != settled {
			if err := a.searchPast(ctx, held, last, kvs[len(kvs)-1].Key, revision); err != nil {
				return nil, err
			}
		}
		pages.Skip(last.auditPrefix())
	}
}

// searchPast finds what a resource was at a revision among the entries older than one.
func (a *Authority) searchPast(ctx context.Context, held map[string]version, r resource, after string, revision int64) error {
	oldest, err := sequenceOf(after)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	var found store.KV
	for low, high := int64(1), oldest-1; low <= high; {
		middle := low + (high-low)/2
		kv, err := a.readEntry(ctx, r, middle)
		switch {
		case err != nil:
			return err
		case kv.ModRevision <= revision:
			found, low = kv, middle+1
		default:
			high = middle - 1
		}
	}
	if found.Key == "" {
		return nil
	}
	return hold(held, r.key, found)
}

// hold takes in what a resource was after an entry, unless it was deleted.
func hold(held map[string]version, key string, kv store.KV) error {
	entry, err := decodeEntry(kv)
	if err != nil {
		return err
	}
	if m := entryResource(entry); m != nil {
		held[key] = version{revision: kv.ModRevision, message: m}
	}
	return nil
}

// revisionAt returns the revision up to which everything was written by a time, and nothing
// later. Times are those of the clocks of the servers that committed, which need not agree: where
// no revision parts the changes by their times, it is not guessed.
func (a *Authority) revisionAt(ctx context.Context, environment string, at time.Time) (int64, error) {
	var upTo, beyond int64 // the last one that was made by then, the first one that was not
	for _, k := range []*kind{segmentKind, flagKind} {
		pages := store.NewPages(a.store, auditKindPrefix(environment, k), readAhead)
		for {
			kvs, _, err := pages.Next(ctx)
			if err != nil {
				return 0, unavailable(err)
			}
			if len(kvs) == 0 {
				break
			}
			for _, kv := range kvs {
				entry, err := decodeEntry(kv)
				switch {
				case err != nil:
					return 0, err
				case !entry.GetTime().AsTime().After(at):
					upTo = max(upTo, kv.ModRevision)
				case beyond == 0 || kv.ModRevision < beyond:
					beyond = kv.ModRevision
				}
			}
		}
	}
	when := at.UTC().Format(time.RFC3339Nano)
	switch {
	case upTo == 0:
		return 0, &NotFoundError{What: fmt.Sprintf("a change of environment %q by %s: its trail begins later", environment, when)}
	case beyond != 0 && beyond < upTo:
		return 0, precluded("time", fmt.Sprintf(
			"%s is between the times of changes that are not in that order, as a clock was wrong: name the revision, one from %d to %d", when, beyond-1, upTo))
	}
	return upTo, nil
}

func auditKindPrefix(environment string, k *kind) string {
	return auditRoot + environment + "/" + k.letter + "/"
}

// entryOf is the key of the resource that an audit entry's key belongs to.
func entryOf(auditKey string) string {
	parent, _ := cutLast(auditKey)
	_, key := cutLast(parent)
	return key
}

// cutLast cuts a key of the store at its last '/'.
func cutLast(key string) (before, after string) {
	i := strings.LastIndexByte(key, '/')
	return key[:max(i, 0)], key[i+1:]
}
