package relay

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/uplink"
)

// admission tells which relays below may send telemetry of an environment: those that may
// follow it. The upstream sees this relay's key, not theirs.
type admission struct {
	replicas *replica.Set
	// required: without a key nobody may. Otherwise one that is presented must be good.
	required bool
}

// mayTell is for [uplink.Options]. An error is a status, or says that the batch is refused: the
// key opens other environments than this one.
func (a admission) mayTell(ctx context.Context, environment string) error {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) == 0 {
		if a.required {
			return status.Error(codes.Unauthenticated, "a key is required: present it as 'authorization: Bearer SECRET' (tidegate-relay --key-file)")
		}
		return nil
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return status.Error(codes.Unauthenticated, "authorization: want one, of the form 'Bearer SECRET'")
	}
	presented, err := accesskey.Parse(secret)
	if err != nil {
		return status.Errorf(codes.Unauthenticated, "authorization: %v", err)
	}
	denied := a.opens(presented, environment)
	if status.Code(denied) != codes.PermissionDenied {
		return denied
	}
	for _, other := range a.replicas.Environments() {
		if a.opens(presented, other) == nil { // the sender has others to tell of
			return fmt.Errorf("%w: %s", uplink.ErrRefused, status.Convert(denied).Message())
		}
	}
	return denied
}

// opens tells whether a key opens an environment.
func (a admission) opens(presented accesskey.Presented, environment string) error {
	followed := a.replicas.Replica(environment)
	if followed == nil || followed.Snapshot() == nil {
		return status.Errorf(codes.Unavailable, "environment %q: there is no state here yet to look the key up in", environment)
	}
	item, there := followed.Snapshot().Item(syncv1.Kind_KIND_KEY, presented.ID)
	if !there {
		return status.Errorf(codes.PermissionDenied, "key %s does not open environment %q", presented.ID, environment)
	}
	key, err := item.AccessKey()
	switch {
	case err != nil:
		return status.Errorf(codes.PermissionDenied, "environment %q: %v: update the key", environment, err)
	case !presented.Matches(key.GetSecretHash()):
		return status.Errorf(codes.Unauthenticated, "the secret presented is not that of key %s", presented.ID)
	case key.GetExpiresAt() != nil && !time.Now().Before(key.GetExpiresAt().AsTime()):
		return status.Errorf(codes.PermissionDenied, "key %s has expired at %s", presented.ID, key.GetExpiresAt().AsTime().Format(time.RFC3339))
	}
	return nil
}
