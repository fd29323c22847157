package relay

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/uplink"
)

// admission tells who may hand on telemetry of an environment: relays below that may follow
// it. The upstream sees this relay's key, not theirs.
type admission struct {
	replicas *replica.Set
	// required: without a key nobody may. Otherwise one that is presented must be good.
	required bool
}

// mayTell is for [uplink.Options]. An error is a status, or says that the batch is refused: the
// key opens other environments than this one.
func (a admission) mayTell(ctx context.Context, environment string) error {
	key, err := accesskey.FromContext(ctx, a.required)
	if key == nil {
		return err
	}
	denied := a.opens(*key, environment)
	if status.Code(denied) != codes.PermissionDenied {
		return denied
	}
	for _, other := range a.replicas.Environments() {
		if a.opens(*key, other) == nil { // the sender has others to tell of
			return fmt.Errorf("%w: %s", uplink.ErrRefused, status.Convert(denied).Message())
		}
	}
	return denied
}

// opens tells whether a key opens an environment.
func (a admission) opens(key accesskey.Presented, environment string) error {
	followed := a.replicas.Replica(environment)
	if followed == nil || followed.Snapshot() == nil {
		return status.Errorf(codes.Unavailable, "environment %q: there is no state here yet to look the key up in", environment)
	}
	if denied := key.Opens(followed.Snapshot(), time.Now(), accesskey.Relay); denied != nil {
		return denied.Status()
	}
	return nil
}
