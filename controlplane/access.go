package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// A key is an item in each of its environments. It is written, changed and revoked in all
// of them by one transaction; and a change writes it anew in each. So whoever compares its
// revision in one environment has compared all of it.

const (
	maxKeyName = 128 // characters
	// maxKeyEnvironments is how many one transaction can change.
	maxKeyEnvironments = maxDiffering
)

// CreateKey makes a key.
func (a *Authority) CreateKey(ctx context.Context, c Caller, r *controlv1.CreateKeyRequest) (*controlv1.CreateKeyResponse, error) {
	role := r.GetRole()
	if role == accessv1.Role_ROLE_UNSPECIFIED {
		role = accessv1.Role_ROLE_RELAY
	}
	var check checker
	check.accessKey(r)
	check.keyRole(role)
	check.flagPrefixes(role, r.GetFlagPrefixes())
	check.expiry(r.GetExpiresAt(), a.now())
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	secret, drawn := accesskey.New()
	key := &accessv1.Key{
		Id: drawn.ID, Name: r.GetName(), SecretHash: drawn.Hash(), Version: 1,
		CreatedAt: timestamppb.New(a.now()), ExpiresAt: r.GetExpiresAt(),
		Role: role, Owner: r.GetOwner(), FlagPrefixes: r.GetFlagPrefixes(),
	}
	p := &plan{request: r, caller: c, environment: keyScope}
	for _, environment := range r.GetEnvironments() {
		p.changes = append(p.changes, keyChange(environment, key.GetId(), key, 0))
	}
	w, err := a.write(ctx, p)
	if err != nil {
		return nil, err
	}
	made := writtenKey(w)
	if id := made.GetKey().GetId(); id != key.GetId() {
		return nil, &ExistsError{What: fmt.Sprintf(
			"key %q: an earlier attempt of this request made it, and its secret was in that answer alone; if that was lost, revoke the key and create another", id)}
	}
	return &controlv1.CreateKeyResponse{Key: made, Secret: secret, Entries: w.entries()}, nil
}

// UpdateKey changes a key, but for its role.
func (a *Authority) UpdateKey(ctx context.Context, c Caller, r *controlv1.UpdateKeyRequest) (*controlv1.UpdateKeyResponse, error) {
	var check checker
	check.keyID(r.GetKeyId())
	check.accessKey(r)
	check.base(r.GetBaseRevision())
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	held, err := a.findKey(ctx, r.GetKeyId())
	if err != nil {
		return nil, err
	}
	if !held.exists() { // unless this request, when it came first, was before that
		w, err := a.write(ctx, &plan{request: r, caller: c, environment: keyScope})
		if err != nil {
			return nil, err
		}
		if !w.repeated {
			return nil, notThere(r.GetKeyId())
		}
		return &controlv1.UpdateKeyResponse{Key: writtenKey(w), Entries: w.entries()}, nil
	}
	if held.key == nil {
		return nil, fmt.Errorf("%w: key %q", ErrCorrupt, r.GetKeyId())
	}
	check.flagPrefixes(accesskey.RoleOf(held.key), r.GetFlagPrefixes())
	if !proto.Equal(held.key.GetExpiresAt(), r.GetExpiresAt()) {
		check.expiry(r.GetExpiresAt(), a.now())
	}
	if err := check.err(); err != nil {
		return nil, err
	}
	p, err := updatePlan(c, r, held)
	if err != nil {
		return nil, err
	}
	w, err := a.write(ctx, p)
	if err != nil {
		return nil, err
	}
	return &controlv1.UpdateKeyResponse{Key: writtenKey(w), Entries: w.entries()}, nil
}

// updatePlan says what becomes of the key in each environment, of those that it had and
// those that it shall have.
func updatePlan(c Caller, r *controlv1.UpdateKeyRequest, held heldKey) (*plan, error) {
	next := proto.CloneOf(held.key)
	next.Name, next.ExpiresAt = r.GetName(), r.GetExpiresAt()
	next.Owner, next.FlagPrefixes = r.GetOwner(), r.GetFlagPrefixes()
	wanted := slices.Sorted(slices.Values(r.GetEnvironments()))
	if !proto.Equal(next, held.key) || !slices.Equal(wanted, held.environments) {
		next.Version++
	}
	all := append(slices.Clone(held.environments), wanted...)
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) > maxKeyEnvironments {
		return nil, invalid("environments", fmt.Sprintf("with those that it opens now they are %d; one transaction takes %d: remove some first", len(all), maxKeyEnvironments))
	}
	p := &plan{request: r, caller: c, environment: keyScope}
	for _, environment := range all {
		had, has := slices.Contains(held.environments, environment), slices.Contains(wanted, environment)
		switch {
		case !has:
			p.changes = append(p.changes, keyChange(environment, r.GetKeyId(), nil, r.GetBaseRevision()))
		case had:
			p.changes = append(p.changes, keyChange(environment, r.GetKeyId(), next, r.GetBaseRevision()))
		default:
			p.changes = append(p.changes, keyChange(environment, r.GetKeyId(), next, 0))
		}
	}
	return p, nil
}

// keyChange makes next of a key in one environment, nil deletes it; base is the revision
// that it is there, 0: it is not.
func keyChange(environment, id string, next *accessv1.Key, base int64) *change {
	ch := &change{
		resource: resource{environment: environment, kind: keyKind, key: id},
		field:    keyKind.field, base: &base, present: base != 0, unchecked: true,
	}
	if next == nil {
		ch.verb = controlv1.Action_ACTION_DELETED
		ch.content = func(version, version) (proto.Message, error) { return nil, nil }
	} else {
		ch.content = func(version, version) (proto.Message, error) { return next, nil }
	}
	return ch
}

// RevokeKey deletes a key. It wins over any change at the same time.
func (a *Authority) RevokeKey(ctx context.Context, c Caller, r *controlv1.RevokeKeyRequest) (*controlv1.RevokeKeyResponse, error) {
	var check checker
	check.keyID(r.GetKeyId())
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	for races := 0; ; races++ {
		held, err := a.findKey(ctx, r.GetKeyId())
		if err != nil {
			return nil, err
		}
		p := &plan{request: r, caller: c, environment: keyScope}
		for _, environment := range held.environments {
			p.changes = append(p.changes, keyChange(environment, r.GetKeyId(), nil, held.revision))
		}
		w, err := a.write(ctx, p)
		switch {
		case changedMeanwhile(err) && races < maxRaces:
		case err != nil:
			return nil, err
		case len(w.results) == 0:
			return nil, notThere(r.GetKeyId())
		default:
			return &controlv1.RevokeKeyResponse{Entries: w.entries()}, nil
		}
	}
}

// changedMeanwhile tells whether a key is no longer as it was found.
func changedMeanwhile(err error) bool {
	var (
		conflict *ConflictError
		notFound *NotFoundError
	)
	return errors.As(err, &conflict) || errors.As(err, &notFound)
}

func notThere(id string) error {
	return &NotFoundError{What: fmt.Sprintf("key %q: there was none, or it is revoked; 'tidegate key list' shows those that there are", id)}
}

// writtenKey is the key as a write left it.
func writtenKey(w *written) *controlv1.KeyVersion {
	v := &controlv1.KeyVersion{}
	for _, result := range w.results {
		key, ok := auditable(result.message).(*accessv1.Key)
		if !ok { // it is no longer in this environment
			continue
		}
		v.Key, v.Revision = key, max(v.GetRevision(), result.revision)
		v.Environments = append(v.Environments, result.environment)
	}
	slices.Sort(v.Environments)
	return v
}

// entries are the audit entries of what was written.
func (w *written) entries() []*controlv1.AuditEntry {
	var entries []*controlv1.AuditEntry
	for _, result := range w.results {
		if result.entry != nil {
			entries = append(entries, result.entry)
		}
	}
	return entries
}
