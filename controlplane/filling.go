package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// An environment that is made of another one may take several transactions. While they are
// under way, the store has a filling for it, and nobody is shown anything of the environment;
// the last transaction removes the filling, and all of it is there at once.

// filling is what an environment is being made of, stored as JSON.
type filling struct {
	// Request is the id of the request, Fingerprint that of its content.
	Request     string `json:"request"`
	Fingerprint string `json:"fingerprint"`
	// Source is the revision that is copied.
	Source int64 `json:"source"`
}

func (f filling) encode() ([]byte, error) { return json.Marshal(f) }

func decodeFilling(kv store.KV) (filling, error) {
	var f filling
	if err := json.Unmarshal(kv.Value, &f); err != nil {
		return f, fmt.Errorf("%w: %s: %w", ErrCorrupt, kv.Key, err)
	}
	return f, nil
}

// noteFilling notes which environments begin to be filled with a revision, and returns those
// that are complete with it.
func (a *applier) noteFilling(events []store.Event) map[string]bool {
	var filled map[string]bool // hardly ever any
	for _, event := range events {
		name, isFilling := strings.CutSuffix(strings.TrimPrefix(event.KV.Key, stateRoot), "/filling")
		switch {
		case !isFilling || !environmentPattern.MatchString(name):
		case event.Deleted:
			if filled == nil {
				filled = make(map[string]bool)
			}
			filled[name] = true
			delete(a.filling, name)
		default:
			a.filling[name] = true
		}
	}
	return filled
}

// show publishes an environment that is complete with a revision.
func (a *applier) show(ctx context.Context, environment string, revision int64) error {
	prefix := stateRoot + environment + "/"
	kvs, err := a.readAll(ctx, revision, prefix)
	if err != nil {
		return err
	}
	items := make([]snapshot.Item, 0, len(kvs))
	for _, kv := range kvs {
		if r, ok := parseStateKey(kv.Key); ok && r.kind != nil {
			items = append(items, item(r, kv))
		}
	}
	if a.replicas.Replica(environment) != nil {
		return a.replace(environment, a.epoch, revision, items)
	}
	// A replica without a state is one that the server is not ready for: it comes with its state.
	next, _ := snapshot.New(environment, a.epoch).Next(revision, items, nil)
	a.logRejections(next, items)
	full := next.Full()
	if err := a.replicas.Add(environment).Publish(next, full); err != nil {
		return fmt.Errorf("controlplane: show environment %q: %w", environment, err)
	}
	a.logger.Info().Str("environment", environment).Int64("revision", revision).Int("items", len(items)).Msg("environment added")
	return nil
}

// withoutFilling takes what is not to be shown out of what a load found, and returns whose it is.
func withoutFilling(found map[string]stored) map[string]bool {
	hidden := make(map[string]bool)
	for name, s := range found {
		if s.filling {
			hidden[name] = true
			delete(found, name)
		}
	}
	return hidden
}
