package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// access tells who may send telemetry of which environment: relays that may follow it.
type access struct {
	replicas *replica.Set
	// required: without a key nobody may. Otherwise none is needed, but one that is presented
	// must be good.
	required bool
}

// key reads the key that a call presents; nil: none.
func (a access) key(ctx context.Context) (*accesskey.Presented, error) {
	return accesskey.FromContext(ctx, a.required)
}

// mayTell says why telemetry of an environment is not taken with a key; empty: it is. It is
// an error if the key opens nothing at all: then what is told now may be taken later.
func (a access) mayTell(key *accesskey.Presented, environment string) (problem string, err error) {
	state := a.state(environment)
	if key == nil {
		if state == nil {
			return fmt.Sprintf("environment %q is not served here", environment), nil
		}
		return "", nil
	}
	denied := &accesskey.Denial{Problem: fmt.Sprintf("key %s does not open environment %q", key.ID, environment), Absent: true}
	if state != nil {
		denied = key.Opens(state, time.Now(), accesskey.Relay)
	}
	switch {
	case denied == nil:
		return "", nil
	case !denied.Forged && a.opensSome(*key):
		return denied.Problem, nil
	}
	return "", denied.Status()
}

// opensSome tells whether a key opens any environment.
func (a access) opensSome(key accesskey.Presented) bool {
	return slices.ContainsFunc(a.replicas.Environments(), func(environment string) bool {
		state := a.state(environment)
		return state != nil && key.Opens(state, time.Now(), accesskey.Relay) == nil
	})
}

// state is what is served here of an environment; nil: nothing.
func (a access) state(environment string) *snapshot.Snapshot {
	r := a.replicas.Replica(environment)
	if r == nil {
		return nil
	}
	return r.Snapshot()
}
