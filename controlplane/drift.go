package controlplane

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	// How far back it is looked for where a flag or segment came from.
	maxDriftEntries = 1000
	maxDriftSource  = 100
	driftAhead      = 8
)

// drift tells what of a resource would be lost by a promotion from another environment; nil:
// nothing. It is what the environment has of its own: neither what it was given from there last
// nor what there was there since then, or at any time if it was given nothing. So what came from
// there by another way (an approved change request, the same files) is none.
func (a *Authority) drift(ctx context.Context, r resource, current version, from string, withEnabled bool) (*controlv1.Drift, error) {
	if current.revision == 0 {
		return nil, nil
	}
	have := definitionOf(current.message)
	if withEnabled {
		have = pinned(current.message)
	}
	same := func(e *controlv1.AuditEntry) bool {
		was := pinned(entryResource(e))
		if !withEnabled {
			was = definitionOf(was)
		}
		return was != nil && have != nil && proto.Equal(was, have)
	}
	d := &controlv1.Drift{Kind: r.kind.control, Key: r.key}
	var given *controlv1.AuditEntry
	err := a.eachEntry(ctx, r, maxDriftEntries, func(e *controlv1.AuditEntry) bool {
		if d.Latest == nil {
			d.Latest = e
		}
		if e.GetSourceEnvironment() == from {
			given = e
		}
		return given == nil
	})
	if err != nil {
		return nil, err
	}
	if given != nil && same(given) {
		return nil, nil
	}
	known := false
	source := resource{environment: from, kind: r.kind, key: r.key}
	err = a.eachEntry(ctx, source, maxDriftSource, func(e *controlv1.AuditEntry) bool {
		if e.GetRevision() <= given.GetSourceRevision() {
			return false
		}
		known = same(e)
		return !known
	})
	if err != nil || known {
		return nil, err
	}
	if given != nil {
		d.PromotedRevision = given.GetRevision()
		before, after := pinned(entryResource(given)), pinned(current.message)
		if !withEnabled {
			before, after = definitionOf(before), definitionOf(after)
		}
		d.Changes = bounded(fieldChanges(before, after), maxConflictText)
	}
	if d.Latest != nil {
		d.Latest = proto.CloneOf(d.Latest)
		d.Latest.Resource, d.Latest.Changes = nil, bounded(d.Latest.GetChanges(), maxConflictText)
	}
	return d, nil
}

// eachEntry calls do with the newest audit entries of a resource, newest first, until it wants
// no more.
func (a *Authority) eachEntry(ctx context.Context, r resource, most int, do func(*controlv1.AuditEntry) (more bool)) error {
	pages := store.NewPages(a.store, r.auditPrefix(), driftAhead)
	for most > 0 {
		kvs, _, err := pages.Next(ctx)
		if err != nil {
			return unavailable(err)
		}
		if len(kvs) == 0 {
			return nil
		}
		for _, kv := range kvs[:min(len(kvs), most)] {
			entry, err := decodeEntry(kv)
			if err != nil {
				return err
			}
			if !do(entry) {
				return nil
			}
		}
		most -= len(kvs)
	}
	return nil
}

// driftNow is drift of a resource as it is now.
func (a *Authority) driftNow(ctx context.Context, r resource, from string, withEnabled bool) (*controlv1.Drift, error) {
	results, _, err := a.store.Read(ctx, store.Key(r.stateKey()))
	if err != nil {
		return nil, unavailable(err)
	}
	return a.drift(ctx, r, r.kind.version(results[0]), from, withEnabled)
}
