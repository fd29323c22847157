package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// heldKey is a key as the store has it.
type heldKey struct {
	key          *accessv1.Key // nil if it cannot be decoded
	environments []string      // in order; none: there is no such key
	revision     int64
}

func (h heldKey) exists() bool { return len(h.environments) > 0 }

func (h heldKey) version() *controlv1.KeyVersion {
	shown, _ := auditable(h.key).(*accessv1.Key)
	return &controlv1.KeyVersion{Key: shown, Environments: h.environments, Revision: h.revision}
}

// found adds what one environment has.
func (h *heldKey) found(environment string, kv store.KV) {
	key := new(accessv1.Key)
	if err := proto.Unmarshal(kv.Value, key); err == nil {
		h.key = key
	}
	h.environments = append(h.environments, environment)
	h.revision = max(h.revision, kv.ModRevision)
}

// findKey reads a key from all environments, as of one revision.
func (a *Authority) findKey(ctx context.Context, id string) (heldKey, error) {
	names, revision, err := a.environmentsAt(ctx, 0)
	if err != nil {
		return heldKey{}, unavailable(err)
	}
	var h heldKey
	for _, name := range names {
		r, err := a.store.ReadAt(ctx, revision, store.Key(resource{environment: name, kind: keyKind, key: id}.stateKey()))
		if err != nil {
			return heldKey{}, unavailable(err)
		}
		for _, kv := range r.KVs {
			h.found(name, kv)
		}
	}
	return h, nil
}

// environmentsAt lists the environments in order, as of the revision; 0: now, and it returns
// which that is.
func (a *Authority) environmentsAt(ctx context.Context, revision int64) ([]string, int64, error) {
	var found store.Result
	if revision == 0 {
		results, now, err := a.store.Read(ctx, store.Prefix(EnvironmentsRoot))
		if err != nil {
			return nil, 0, err
		}
		found, revision = results[0], now
	} else {
		var err error
		if found, err = a.store.ReadAt(ctx, revision, store.Prefix(EnvironmentsRoot)); err != nil {
			return nil, 0, err
		}
	}
	names := make([]string, 0, len(found.KVs))
	for _, kv := range found.KVs {
		names = append(names, strings.TrimPrefix(kv.Key, EnvironmentsRoot))
	}
	return names, revision, nil
}

// GetKey returns a key as the store has it now.
func (a *Authority) GetKey(ctx context.Context, r *controlv1.GetKeyRequest) (*controlv1.GetKeyResponse, error) {
	var check checker
	check.keyID(r.GetKeyId())
	if err := check.err(); err != nil {
		return nil, err
	}
	held, err := a.findKey(ctx, r.GetKeyId())
	switch {
	case err != nil:
		return nil, err
	case !held.exists():
		return nil, notThere(r.GetKeyId())
	case held.key == nil:
		return nil, fmt.Errorf("%w: key %q", ErrCorrupt, r.GetKeyId())
	}
	return &controlv1.GetKeyResponse{Key: held.version()}, nil
}

// ListKeys lists keys by id.
func (a *Authority) ListKeys(ctx context.Context, r *controlv1.ListKeysRequest) (*controlv1.ListKeysResponse, error) {
	of := statePrefix(keyScope, keyKind)
	if name := r.GetEnvironment(); name != "" {
		var check checker
		if check.environment("environment", name); check.err() != nil {
			return nil, check.err()
		}
		if err := a.checkEnvironment(ctx, name); err != nil {
			return nil, err
		}
		of = statePrefix(name, keyKind)
	}
	p, err := pageRange(of, r.GetPageSize(), r.GetPageToken(), maxListPage, defaultListPage)
	if err != nil {
		return nil, err
	}
	names, revision, err := a.environmentsAt(ctx, p.revision)
	if err != nil {
		return nil, pageError(err)
	}
	from := strings.TrimPrefix(p.keys.Key, of)
	sources := names
	if r.GetEnvironment() != "" {
		sources = []string{r.GetEnvironment()}
	}
	ids, more, err := a.keyIDs(ctx, revision, sources, from, p.size)
	if err != nil {
		return nil, err
	}
	keys, err := a.keysBetween(ctx, revision, names, from, ids)
	if err != nil {
		return nil, err
	}
	resp := &controlv1.ListKeysResponse{Revision: revision}
	for _, id := range ids {
		if keys[id].key == nil {
			// One that cannot be read must not hide the others.
			a.logger.Error().Str("key", id).Int64("revision", keys[id].revision).Msg("a stored key cannot be decoded; left out of a list")
			continue
		}
		resp.Keys = append(resp.Keys, keys[id].version())
	}
	if more {
		resp.NextPageToken, err = pageToken{Of: of, After: of + ids[len(ids)-1], Revision: revision}.encode()
	}
	return resp, err
}

// keyIDs returns the first ids, from one on, that some environments have, and whether there
// are more.
func (a *Authority) keyIDs(ctx context.Context, revision int64, environments []string, from string, most int) ([]string, bool, error) {
	var ids []string
	for _, name := range environments {
		prefix := statePrefix(name, keyKind)
		r := store.Prefix(prefix)
		r.Key, r.Limit = prefix+from, most+1
		found, err := a.store.ReadAt(ctx, revision, r)
		if err != nil {
			return nil, false, pageError(err)
		}
		for _, kv := range found.KVs {
			ids = append(ids, strings.TrimPrefix(kv.Key, prefix))
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return ids[:min(len(ids), most)], len(ids) > most, nil
}

// keysBetween reads what all environments have from one id up to the last of those given.
func (a *Authority) keysBetween(ctx context.Context, revision int64, environments []string, from string, ids []string) (map[string]*heldKey, error) {
	keys := make(map[string]*heldKey, len(ids))
	if len(ids) == 0 {
		return keys, nil
	}
	for _, id := range ids {
		keys[id] = &heldKey{}
	}
	for _, name := range environments {
		prefix := statePrefix(name, keyKind)
		found, err := a.store.ReadAt(ctx, revision, store.Range{Key: prefix + from, End: prefix + ids[len(ids)-1] + "\x00"})
		if err != nil {
			return nil, pageError(err)
		}
		for _, kv := range found.KVs {
			if h := keys[strings.TrimPrefix(kv.Key, prefix)]; h != nil {
				h.found(name, kv)
			}
		}
	}
	return keys, nil
}

// ListKeyHistory lists a key's audit entries in one environment, newest first.
func (a *Authority) ListKeyHistory(ctx context.Context, r *controlv1.ListKeyHistoryRequest) (*controlv1.ListKeyHistoryResponse, error) {
	var check checker
	if check.keyID(r.GetKeyId()); check.err() != nil {
		return nil, check.err()
	}
	entries, next, err := a.history(ctx, keyKind, r.GetKeyId(), r)
	if err != nil {
		return nil, err
	}
	return &controlv1.ListKeyHistoryResponse{Entries: entries, NextPageToken: next}, nil
}
