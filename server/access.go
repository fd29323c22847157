package server

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
	"github.com/tidegate/tidegate/internal/snapshot"
)

// authorizationKey is the metadata in which a key is presented.
const authorizationKey = "authorization"

// access tells who may send telemetry of which environment: who may follow it.
type access struct {
	replicas *replica.Set
	// required: without a key nobody may. Otherwise none is needed, but one that is presented
	// must be good.
	required bool
}

// key reads the key that a call presents; nil: none.
func (a access) key(ctx context.Context) (*accesskey.Presented, error) {
	values := metadata.ValueFromIncomingContext(ctx, authorizationKey)
	if len(values) == 0 {
		if a.required {
			return nil, status.Error(codes.Unauthenticated, "a key is required: present it as 'authorization: Bearer SECRET' (tidegate-relay --key-file)")
		}
		return nil, nil
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return nil, status.Error(codes.Unauthenticated, "authorization: want one, of the form 'Bearer SECRET'")
	}
	key, err := accesskey.Parse(secret)
	if err != nil {
		return nil, status.Errorf(codes.Unauthenticated, "authorization: %v", err)
	}
	return &key, nil
}

// mayTell says why telemetry of an environment is not taken with a key; empty: it is. It is
// an error if the key opens nothing at all: then what is told now may be taken later.
func (a access) mayTell(key *accesskey.Presented, environment string) (problem string, err error) {
	if key == nil {
		if a.state(environment) == nil {
			return fmt.Sprintf("environment %q is not served here", environment), nil
		}
		return "", nil
	}
	problem, err = a.opens(*key, environment)
	if problem == "" || err != nil {
		return problem, err
	}
	for _, other := range a.replicas.Environments() {
		if p, err := a.opens(*key, other); p == "" && err == nil {
			return problem, nil
		}
	}
	return "", status.Error(codes.PermissionDenied, problem)
}

// state is what is served here of an environment; nil: nothing.
func (a access) state(environment string) *snapshot.Snapshot {
	r := a.replicas.Replica(environment)
	if r == nil {
		return nil
	}
	return r.Snapshot()
}

// opens says why a key does not open an environment; empty: it does. A secret that is not the
// key's is an error.
func (a access) opens(p accesskey.Presented, environment string) (problem string, err error) {
	no := fmt.Sprintf("key %s does not open environment %q", p.ID, environment)
	state := a.state(environment)
	if state == nil {
		return no, nil
	}
	item, there := state.Item(syncv1.Kind_KIND_KEY, p.ID)
	if !there {
		return no, nil
	}
	key, err := item.AccessKey()
	switch {
	case err != nil:
		return fmt.Sprintf("environment %q: %v: update the key", environment, err), nil
	case !p.Matches(key.GetSecretHash()):
		return "", status.Error(codes.Unauthenticated, "the secret presented is not that of key "+p.ID)
	case key.GetExpiresAt() != nil && !time.Now().Before(key.GetExpiresAt().AsTime()):
		return fmt.Sprintf("key %s has expired at %s", p.ID, key.GetExpiresAt().AsTime().Format(time.RFC3339)), nil
	}
	return "", nil
}
