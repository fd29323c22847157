package controlplane

import (
	"context"

	"github.com/tidegate/tidegate/controlplane/store"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// RolloutFlag is the key of the flag that a rollout moves, or moved before it was deleted. It never
// changes: a rollout keeps its flag, and a key is of one rollout for ever. Empty: what is stored of
// the rollout cannot be decoded. It fails with NotFoundError where there never was such a rollout.
func (a *Authority) RolloutFlag(ctx context.Context, environment, key string) (string, error) {
	var check checker
	check.environment("environment", environment)
	check.key(rolloutKind.field, key)
	if err := check.err(); err != nil {
		return "", err
	}
	r := resource{environment: environment, kind: rolloutKind, key: key}
	const started = 1 // the sequence number of the entry of its start
	results, _, err := a.store.Read(ctx, store.Key(r.stateKey()), store.Key(r.auditKey(started)))
	if err != nil {
		return "", unavailable(err)
	}
	state, trail := results[0].KVs, results[1].KVs
	switch {
	case len(state) > 0:
		held, _ := rolloutKind.version(results[0]).message.(*rolloutv1.Rollout)
		return held.GetFlagKey(), nil
	case len(trail) > 0:
		entry, err := decodeEntry(trail[0])
		if err != nil {
			return "", nil //nolint:nilerr // whoever asks takes it for any flag's
		}
		return entry.GetRollout().GetFlagKey(), nil
	}
	if err := a.checkEnvironment(ctx, environment); err != nil {
		return "", err
	}
	return "", &NotFoundError{What: r.String()}
}
