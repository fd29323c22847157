package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/store"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// An identity is one item, in no environment. What it is found by beside its id is unique: for
// each name there is a key of the store, written and compared by the same transaction. What
// takes an administrator away changes the guard, and compares it: of two such changes at once
// one is decided on what the other left.

// defaultOverlap is how long a secret is good after it was rotated, unless told otherwise.
const defaultOverlap = 24 * time.Hour

// CreateIdentity makes an identity.
func (a *Authority) CreateIdentity(ctx context.Context, c Caller, r *controlv1.CreateIdentityRequest) (*controlv1.CreateIdentityResponse, error) {
	var check checker
	check.newIdentity(r, a.now())
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	secret, drawn := accesskey.New()
	made := proto.CloneOf(r.GetIdentity())
	made.Id, made.Version, made.CreatedAt = drawn.ID, 1, timestamppb.New(a.now())
	if made.GetKind() == accessv1.IdentityKind_IDENTITY_KIND_SERVICE {
		made.Secrets = []*accessv1.Secret{{Hash: drawn.Hash(), CreatedAt: made.GetCreatedAt()}}
	} else {
		secret = ""
	}
	if r.GetPassword() != "" {
		var err error
		if made.PasswordHash, err = identity.HashPassword(ctx, r.GetPassword()); err != nil {
			return nil, err
		}
	}
	none := int64(0)
	// The password is not what tells two requests apart: its hash would be in the store.
	told := proto.CloneOf(r)
	told.Password = ""
	w, err := a.write(ctx, &plan{request: told, caller: c, environment: accessScope, changes: []*change{
		a.identityChange(ctx, made.GetId(), &none, controlv1.Action_ACTION_CREATED, func(*accessv1.Identity) (*accessv1.Identity, error) { return made, nil }),
	}})
	if err != nil {
		return nil, err
	}
	v, entry := writtenIdentity(w)
	if id := v.GetIdentity().GetId(); id != made.GetId() {
		return nil, &ExistsError{What: fmt.Sprintf(
			"identity %q: an earlier attempt of this request made it, and its secret was in that answer alone; if that was lost, rotate it", id)}
	}
	return &controlv1.CreateIdentityResponse{Identity: v, Secret: secret, Entry: entry}, nil
}

// UpdateIdentity changes what an identity is called and may do.
func (a *Authority) UpdateIdentity(ctx context.Context, c Caller, r *controlv1.UpdateIdentityRequest) (*controlv1.UpdateIdentityResponse, error) {
	next := r.GetIdentity()
	var check checker
	check.identityID("identity.id", next.GetId())
	check.identity(next)
	check.base(r.GetBaseRevision())
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	base := r.GetBaseRevision()
	w, err := a.write(ctx, &plan{request: r, caller: c, environment: accessScope, changes: []*change{
		a.identityChange(ctx, next.GetId(), &base, controlv1.Action_ACTION_UPDATED, func(held *accessv1.Identity) (*accessv1.Identity, error) {
			return a.updated(held, next)
		}),
	}})
	if err != nil {
		return nil, err
	}
	v, entry := writtenIdentity(w)
	return &controlv1.UpdateIdentityResponse{Identity: v, Entry: entry}, nil
}

// updated is an identity as next has it, but for what proves it.
func (a *Authority) updated(held, next *accessv1.Identity) (*accessv1.Identity, error) {
	if next.GetKind() != held.GetKind() {
		return nil, invalid("identity.kind", "cannot be changed: make another identity")
	}
	var check checker
	if !proto.Equal(next.GetExpiresAt(), held.GetExpiresAt()) {
		check.expiry(next.GetExpiresAt(), a.now())
	}
	if err := check.err(); err != nil {
		return nil, err
	}
	made := proto.CloneOf(held)
	made.Name, made.DisplayName, made.Owner = next.GetName(), next.GetDisplayName(), next.GetOwner()
	made.Grants, made.CertificateNames = next.GetGrants(), next.GetCertificateNames()
	made.Disabled, made.ExpiresAt = next.GetDisabled(), next.GetExpiresAt()
	if made.GetDisabled() && !held.GetDisabled() {
		endSessions(made)
	}
	return made, nil
}

// endSessions has all sessions of a person that have begun so far be over.
func endSessions(i *accessv1.Identity) { i.Sessions++ }

// DeleteIdentity removes an identity. It wins over any change at the same time.
func (a *Authority) DeleteIdentity(ctx context.Context, c Caller, r *controlv1.DeleteIdentityRequest) (*controlv1.DeleteIdentityResponse, error) {
	var check checker
	check.identityID("id", r.GetId())
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	w, err := a.write(ctx, &plan{request: r, caller: c, environment: accessScope, changes: []*change{
		a.identityChange(ctx, r.GetId(), nil, controlv1.Action_ACTION_DELETED, func(*accessv1.Identity) (*accessv1.Identity, error) { return nil, nil }),
	}})
	if err != nil {
		return nil, err
	}
	_, entry := writtenIdentity(w)
	return &controlv1.DeleteIdentityResponse{Entry: entry}, nil
}

// RotateSecret draws another secret for a service.
func (a *Authority) RotateSecret(ctx context.Context, c Caller, r *controlv1.RotateSecretRequest) (*controlv1.RotateSecretResponse, error) {
	var check checker
	check.identityID("id", r.GetId())
	check.base(r.GetBaseRevision())
	check.overlap(r.GetOverlap())
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	base, now := r.GetBaseRevision(), a.now()
	secret, drawn := accesskey.NewFor(r.GetId())
	w, err := a.write(ctx, &plan{request: r, caller: c, environment: accessScope, changes: []*change{
		a.identityChange(ctx, r.GetId(), &base, controlv1.Action_ACTION_ROTATED, func(held *accessv1.Identity) (*accessv1.Identity, error) {
			if held.GetKind() != accessv1.IdentityKind_IDENTITY_KIND_SERVICE {
				return nil, precluded("id", "is a person, who has no secret: a service has one")
			}
			next := proto.CloneOf(held)
			next.Secrets = []*accessv1.Secret{{Hash: drawn.Hash(), CreatedAt: timestamppb.New(now)}}
			if overlap := overlapOf(r.GetOverlap()); overlap > 0 && len(held.GetSecrets()) > 0 {
				before := proto.CloneOf(held.GetSecrets()[0])
				before.ExpiresAt = timestamppb.New(now.Add(overlap))
				next.Secrets = append(next.Secrets, before)
			}
			return next, nil
		}),
	}})
	if err != nil {
		return nil, err
	}
	v, entry := writtenIdentity(w)
	if w.repeated {
		return nil, &ExistsError{What: "the secret that this request drew when it came first, and that was in that answer alone; if that was lost, rotate again"}
	}
	return &controlv1.RotateSecretResponse{Identity: v, Secret: secret, Entry: entry}, nil
}

// SetPassword sets a person's password. The old one, where it is given, must be right.
func (a *Authority) SetPassword(ctx context.Context, c Caller, r *controlv1.SetPasswordRequest) (*controlv1.SetPasswordResponse, error) {
	var check checker
	check.identityID("id", r.GetId())
	check.password(r.GetPassword())
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	hash, err := identity.HashPassword(ctx, r.GetPassword())
	if err != nil {
		return nil, err
	}
	told := proto.CloneOf(r)
	told.Password, told.OldPassword = "", ""
	w, err := a.write(ctx, &plan{request: told, caller: c, environment: accessScope, changes: []*change{
		a.identityChange(ctx, r.GetId(), nil, controlv1.Action_ACTION_ROTATED, func(held *accessv1.Identity) (*accessv1.Identity, error) {
			if held.GetKind() != accessv1.IdentityKind_IDENTITY_KIND_PERSON {
				return nil, precluded("id", "is a service, which has no password: rotate its secret")
			}
			if r.GetOldPassword() != "" {
				if err := identity.CheckPassword(ctx, held.GetPasswordHash(), r.GetOldPassword()); err != nil {
					return nil, precluded("old_password", "is not the password")
				}
			}
			next := proto.CloneOf(held)
			next.PasswordHash = hash
			endSessions(next)
			return next, nil
		}),
	}})
	if err != nil {
		return nil, err
	}
	v, entry := writtenIdentity(w)
	return &controlv1.SetPasswordResponse{Identity: v, Entry: entry}, nil
}

// LogoutEverywhere ends all sessions of a person.
func (a *Authority) LogoutEverywhere(ctx context.Context, c Caller, r *controlv1.LogoutEverywhereRequest) (*controlv1.LogoutEverywhereResponse, error) {
	var check checker
	check.identityID("identity_id", r.GetIdentityId())
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	w, err := a.write(ctx, &plan{request: r, caller: c, environment: accessScope, changes: []*change{
		a.identityChange(ctx, r.GetIdentityId(), nil, controlv1.Action_ACTION_UPDATED, func(held *accessv1.Identity) (*accessv1.Identity, error) {
			if held.GetKind() != accessv1.IdentityKind_IDENTITY_KIND_PERSON {
				return nil, precluded("identity_id", "is a service, which has no sessions: rotate its secret")
			}
			next := proto.CloneOf(held)
			endSessions(next)
			return next, nil
		}),
	}})
	if err != nil {
		return nil, err
	}
	_, entry := writtenIdentity(w)
	return &controlv1.LogoutEverywhereResponse{Entry: entry}, nil
}

// BindOpenID makes a person, who logged in through a provider for the first time, that
// provider's subject.
func (a *Authority) BindOpenID(ctx context.Context, c Caller, id string, subject *accessv1.OpenIDSubject) error {
	r := &controlv1.UpdateIdentityRequest{Identity: &accessv1.Identity{Id: id, Openid: subject}, Reason: "first login"}
	_, err := a.write(ctx, &plan{request: r, caller: c, environment: accessScope, changes: []*change{
		a.identityChange(ctx, id, nil, controlv1.Action_ACTION_UPDATED, func(held *accessv1.Identity) (*accessv1.Identity, error) {
			if held.GetOpenid() != nil && !proto.Equal(held.GetOpenid(), subject) {
				return nil, precluded("openid", "is another subject: an administrator has to make a new identity for it")
			}
			next := proto.CloneOf(held)
			next.Openid = subject
			return next, nil
		}),
	}})
	return err
}

// identityChange makes of an identity what next makes of it; base nil: of whatever it is.
func (a *Authority) identityChange(ctx context.Context, id string, base *int64, verb controlv1.Action, next func(held *accessv1.Identity) (*accessv1.Identity, error)) *change {
	ch := &change{
		resource: resource{environment: accessScope, kind: identityKind, key: id},
		field:    "identity", base: base, present: verb != controlv1.Action_ACTION_CREATED, unchecked: true, verb: verb,
	}
	ch.content = func(current, _ version) (proto.Message, error) {
		held, _ := current.message.(*accessv1.Identity)
		if held == nil && current.revision != 0 && verb != controlv1.Action_ACTION_DELETED {
			return nil, fmt.Errorf("%w: identity %q", ErrCorrupt, id)
		}
		made, err := next(held)
		if err != nil {
			return nil, err
		}
		if made != nil && held != nil && !proto.Equal(made, held) {
			made.Version = held.GetVersion() + 1
		}
		if ch.with, err = a.identityGuards(ctx, held, made); err != nil {
			return nil, err
		}
		if made == nil {
			return nil, nil
		}
		return made, nil
	}
	return ch
}

// identityGuards is what a change of an identity from one state to another depends on, and
// what goes with it; nil: it is not there.
func (a *Authority) identityGuards(ctx context.Context, from, to *accessv1.Identity) (store.Txn, error) {
	var t store.Txn
	had, has := identity.Names(from), identity.Names(to)
	for _, name := range has {
		if slices.Contains(had, name) {
			continue
		}
		key := nameKey(name)
		results, _, err := a.store.Read(ctx, store.Key(key))
		if err != nil {
			return t, unavailable(err)
		}
		if len(results[0].KVs) > 0 {
			return t, &ExistsError{What: fmt.Sprintf("%s is what identity %s is found by: one name is of one identity alone", strconv.Quote(name[strings.IndexByte(name, '/')+1:]), results[0].KVs[0].Value)}
		}
		t.Compares = append(t.Compares, store.Absent(key))
		t.Ops = append(t.Ops, store.Put(key, []byte(to.GetId())))
	}
	for _, name := range had {
		if !slices.Contains(has, name) {
			t.Ops = append(t.Ops, store.Delete(nameKey(name)))
		}
	}
	if administers(from) && !administers(to) {
		guard, err := a.otherAdministrator(ctx, from.GetId())
		if err != nil {
			return t, err
		}
		t.Compares = append(t.Compares, store.Unchanged(identityGuard, guard))
		t.Ops = append(t.Ops, store.Put(identityGuard, nil))
	}
	return t, nil
}

// administers tells whether an identity may administer everything.
func administers(i *accessv1.Identity) bool {
	return !i.GetDisabled() && identity.Allows(i, identity.Administer, identity.Scope{})
}

// otherAdministrator fails if nobody but this identity may administer everything, for good.
// It returns the revision of the guard.
func (a *Authority) otherAdministrator(ctx context.Context, id string) (guard int64, err error) {
	results, _, err := a.store.Read(ctx, store.Prefix(identity.Root), store.Key(identityGuard))
	if err != nil {
		return 0, unavailable(err)
	}
	if found := results[1].KVs; len(found) > 0 {
		guard = found[0].ModRevision
	}
	for _, kv := range results[0].KVs {
		m, err := identityKind.decode(kv.Value)
		if err != nil {
			continue
		}
		if other, ok := m.(*accessv1.Identity); ok && other.GetId() != id && administers(other) && other.GetExpiresAt() == nil {
			return guard, nil
		}
	}
	return 0, precluded("identity", "is the last administrator of all environments whose right does not expire: make another one first ('tidegate identity create'), or nobody could")
}

func nameKey(name string) string {
	sum := sha256.Sum256([]byte(name))
	return identityNames + hex.EncodeToString(sum[:])
}

func overlapOf(d *durationpb.Duration) time.Duration {
	if d == nil {
		return defaultOverlap
	}
	return d.AsDuration()
}

// writtenIdentity is the identity as a write left it, and the entry of the change.
func writtenIdentity(w *written) (*controlv1.IdentityVersion, *controlv1.AuditEntry) {
	result := w.results[0]
	v := &controlv1.IdentityVersion{Revision: result.revision}
	v.Identity, _ = auditable(result.message).(*accessv1.Identity)
	return v, result.entry
}
