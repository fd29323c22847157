package controlplane

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// RotateKey draws another secret for a key. The one before is good for the overlap; one that
// was before that, no longer.
func (a *Authority) RotateKey(ctx context.Context, c Caller, r *controlv1.RotateKeyRequest) (*controlv1.RotateKeyResponse, error) {
	var check checker
	check.keyID(r.GetKeyId())
	check.base(r.GetBaseRevision())
	check.overlap(r.GetOverlap())
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	held, err := a.findKey(ctx, r.GetKeyId())
	switch {
	case err != nil:
		return nil, err
	case held.exists() && held.key == nil:
		return nil, fmt.Errorf("%w: key %q", ErrCorrupt, r.GetKeyId())
	}
	secret, drawn := accesskey.NewFor(r.GetKeyId())
	p := &plan{request: r, caller: c, environment: keyScope}
	for _, environment := range held.environments {
		change := keyChange(environment, r.GetKeyId(), a.rotated(held.key, r, drawn), r.GetBaseRevision())
		change.verb = controlv1.Action_ACTION_ROTATED
		p.changes = append(p.changes, change)
	}
	w, err := a.write(ctx, p)
	switch {
	case err != nil:
		return nil, err
	case !held.exists() && !w.repeated:
		return nil, notThere(r.GetKeyId())
	case w.repeated && !a.hasSecret(ctx, drawn):
		return nil, &ExistsError{What: "the secret that this request drew when it came first, and that was in that answer alone; if that was lost, rotate again"}
	}
	return &controlv1.RotateKeyResponse{Key: writtenKey(w), Secret: secret, Entries: w.entries()}, nil
}

// rotated is a key with the secret that was drawn.
func (a *Authority) rotated(held *accessv1.Key, r *controlv1.RotateKeyRequest, drawn accesskey.Presented) *accessv1.Key {
	next := proto.CloneOf(held)
	next.SecretHash, next.PreviousSecretHash, next.PreviousExpiresAt = drawn.Hash(), nil, nil
	next.Version++
	if overlap := overlapOf(r.GetOverlap()); overlap > 0 {
		next.PreviousSecretHash, next.PreviousExpiresAt = held.GetSecretHash(), timestamppb.New(a.now().Add(overlap))
	}
	return next
}

// hasSecret tells whether a key has the secret that was drawn: it was this call that wrote it,
// though the store's first answer was lost.
func (a *Authority) hasSecret(ctx context.Context, drawn accesskey.Presented) bool {
	held, err := a.findKey(ctx, drawn.ID)
	return err == nil && drawn.Matches(held.key.GetSecretHash())
}
