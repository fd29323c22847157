package controlplane

import (
	"context"
	"fmt"

	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/store"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// ListIdentities lists identities by id.
func (a *Authority) ListIdentities(ctx context.Context, r *controlv1.ListIdentitiesRequest) (*controlv1.ListIdentitiesResponse, error) {
	p, err := pageRange(identity.Root, r.GetPageSize(), r.GetPageToken(), maxListPage, defaultListPage)
	if err != nil {
		return nil, err
	}
	kvs, revision, more, err := a.readPage(ctx, p)
	if err != nil {
		return nil, err
	}
	resp := &controlv1.ListIdentitiesResponse{}
	for _, kv := range kvs {
		v, err := identityVersion(kv)
		if err != nil {
			return nil, err
		}
		resp.Identities = append(resp.Identities, v)
	}
	resp.NextPageToken, err = nextToken(identity.Root, kvs, more, revision)
	return resp, err
}

func identityVersion(kv store.KV) (*controlv1.IdentityVersion, error) {
	m, err := identityKind.decode(kv.Value)
	if err != nil {
		return nil, err
	}
	v := &controlv1.IdentityVersion{Revision: kv.ModRevision}
	v.Identity, _ = auditable(m).(*accessv1.Identity)
	return v, nil
}

// GetIdentity returns an identity, by its id or its name, as the store has it now.
func (a *Authority) GetIdentity(ctx context.Context, r *controlv1.GetIdentityRequest) (*controlv1.GetIdentityResponse, error) {
	if r.GetIdentity() == "" {
		return nil, invalid("identity", "is required: an id, or a name")
	}
	id := r.GetIdentity()
	if !accesskey.ValidID(id) {
		found, err := a.readOne(ctx, nameKey(identity.NameOf(id)))
		if err != nil {
			return nil, err
		}
		id = string(found.Value)
	}
	kv, err := a.readOne(ctx, identity.Root+id)
	if err != nil {
		return nil, err
	}
	if kv.ModRevision == 0 {
		return nil, &NotFoundError{What: fmt.Sprintf("identity %q; 'tidegate identity list' shows those that there are", truncate(r.GetIdentity(), maxEcho))}
	}
	v, err := identityVersion(kv)
	if err != nil {
		return nil, err
	}
	return &controlv1.GetIdentityResponse{Identity: v}, nil
}

// readOne reads a key; its revision is 0 if it is not there.
func (a *Authority) readOne(ctx context.Context, key string) (store.KV, error) {
	results, _, err := a.store.Read(ctx, store.Key(key))
	if err != nil {
		return store.KV{}, unavailable(err)
	}
	if len(results[0].KVs) == 0 {
		return store.KV{}, nil
	}
	return results[0].KVs[0], nil
}

// identityHistory is a history in the place of an environment.
type identityHistory struct {
	*controlv1.ListIdentityHistoryRequest
}

func (identityHistory) GetEnvironment() string { return accessScope }

// ListIdentityHistory lists an identity's audit entries, newest first; also of one that was
// deleted.
func (a *Authority) ListIdentityHistory(ctx context.Context, r *controlv1.ListIdentityHistoryRequest) (*controlv1.ListIdentityHistoryResponse, error) {
	var check checker
	if check.identityID("id", r.GetId()); check.err() != nil {
		return nil, check.err()
	}
	entries, next, err := a.history(ctx, identityKind, r.GetId(), identityHistory{r})
	if err != nil {
		return nil, err
	}
	return &controlv1.ListIdentityHistoryResponse{Entries: entries, NextPageToken: next}, nil
}
