package controlplane

import (
	"context"
	"strings"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// Contents counts what a backup of the store holds.
type Contents struct {
	Epoch snapshot.Epoch // zero: there is none, so it is no store of tidegate's
	// Environments by their names.
	Environments map[string]*EnvironmentContents
	Identities   int
	// Entries of the audit trails, seals not counted.
	Entries int
}

// EnvironmentContents counts what a backup holds of an environment.
type EnvironmentContents struct{ Flags, Segments, Rollouts, Keys int }

// Add counts what one key of the store holds.
func (c *Contents) Add(kv store.KV) (err error) {
	switch {
	case kv.Key == epochKey:
		c.Epoch, err = decodeEpoch(kv.Value)
		return err
	case strings.HasPrefix(kv.Key, EnvironmentsRoot):
		c.environment(strings.TrimPrefix(kv.Key, EnvironmentsRoot))
	case strings.HasPrefix(kv.Key, identity.Root):
		c.Identities++
	case strings.HasPrefix(kv.Key, auditRoot):
		c.Entries++
	case strings.HasPrefix(kv.Key, stateRoot):
		r, ok := parseStateKey(kv.Key)
		if !ok {
			return nil
		}
		e := c.environment(r.environment)
		switch r.kind {
		case flagKind:
			e.Flags++
		case segmentKind:
			e.Segments++
		case rolloutKind:
			e.Rollouts++
		case keyKind:
			e.Keys++
		}
	}
	return nil
}

func (c *Contents) environment(name string) *EnvironmentContents {
	if c.Environments == nil {
		c.Environments = make(map[string]*EnvironmentContents)
	}
	if c.Environments[name] == nil {
		c.Environments[name] = &EnvironmentContents{}
	}
	return c.Environments[name]
}

// BeginEpochOf begins a new epoch of a store that no server uses, as one is that was restored from
// a backup.
func BeginEpochOf(ctx context.Context, s store.Store, c Caller, reason string) (*controlv1.BeginEpochResponse, error) {
	a := &Authority{store: s, logger: zerolog.Nop(), now: fault.Now}
	current, err := a.readEpoch(ctx)
	if err != nil {
		return nil, err
	}
	return a.BeginEpoch(ctx, c, &controlv1.BeginEpochRequest{Expected: current.epoch.Proto(), Reason: reason})
}
