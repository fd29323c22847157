package controlplane

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// What flags and segments have in common: each method below is behind one of each.

// environmentRequest is a write to one environment.
type environmentRequest interface {
	writeRequest
	GetEnvironment() string
}

// definition is a flag or segment.
type definition interface {
	proto.Message
	GetKey() string
}

// writeOne carries out a request that changes one resource.
func (a *Authority) writeOne(ctx context.Context, c Caller, r writeRequest, ch *change) (*result, error) {
	w, err := a.write(ctx, &plan{request: r, caller: c, environment: ch.environment, changes: []*change{ch}})
	if err != nil {
		return nil, err
	}
	return w.results[0], nil
}

// define creates (base is nil) or replaces a resource.
func (a *Authority) define(ctx context.Context, c Caller, r environmentRequest, k *kind, d definition, base *int64) (*result, error) {
	var check checker
	check.environment("environment", r.GetEnvironment())
	if base != nil {
		check.base(*base)
	}
	check.write(r)
	known := check.definition(k.name, d)
	if err := check.err(); err != nil {
		return nil, err
	}
	return a.writeOne(ctx, c, r, &change{
		resource: resource{environment: r.GetEnvironment(), kind: k, key: d.GetKey()},
		field:    k.name, base: base, absent: base == nil, present: base != nil, known: known,
		content: func(version, version) (proto.Message, error) { return d, nil },
	})
}

// remove deletes a resource, unless unless, if it is not nil, says why not.
func (a *Authority) remove(ctx context.Context, c Caller, r environmentRequest, k *kind, key string, base int64, unless func() error) (*result, error) {
	var check checker
	check.environment("environment", r.GetEnvironment())
	check.key(k.field, key)
	check.base(base)
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	return a.writeOne(ctx, c, r, &change{
		resource: resource{environment: r.GetEnvironment(), kind: k, key: key},
		field:    k.field, base: &base, present: true, verb: controlv1.Action_ACTION_DELETED,
		content: func(version, version) (proto.Message, error) {
			if unless != nil {
				return nil, unless()
			}
			return nil, nil
		},
	})
}

// restoreRequest is a request to write an earlier version again.
type restoreRequest interface {
	environmentRequest
	GetRevision() int64
	GetBaseRevision() int64
}

func (a *Authority) restore(ctx context.Context, c Caller, r restoreRequest, k *kind, key string) (*result, error) {
	var check checker
	check.environment("environment", r.GetEnvironment())
	check.key(k.field, key)
	check.revision("base_revision", r.GetBaseRevision())
	if r.GetRevision() <= 0 {
		check.add("revision", "is required: the revision of the version to write again, from the history")
	}
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	if err := a.checkEnvironment(ctx, r.GetEnvironment()); err != nil {
		return nil, err
	}
	target := resource{environment: r.GetEnvironment(), kind: k, key: key}
	earlier, err := a.versionAt(ctx, target, r.GetRevision())
	if err != nil {
		return nil, err
	}
	base := r.GetBaseRevision()
	return a.writeOne(ctx, c, r, &change{
		resource: target, field: k.name, base: &base, restored: r.GetRevision(),
		verb:    controlv1.Action_ACTION_RESTORED,
		content: func(version, version) (proto.Message, error) { return earlier, nil },
	})
}

// versionAt returns the resource as it was written at the revision.
func (a *Authority) versionAt(ctx context.Context, r resource, revision int64) (proto.Message, error) {
	newest, err := a.newestSequence(ctx, r)
	if err != nil {
		return nil, err
	}
	if newest == 0 {
		return nil, &NotFoundError{What: r.String()}
	}
	entry, err := a.entryAt(ctx, r, revision, newest)
	switch {
	case err != nil:
		return nil, err
	case entry == nil:
		return nil, &NotFoundError{What: fmt.Sprintf("revision %d of %s: its history names the revisions that there are", revision, r)}
	case entryResource(entry) == nil:
		return nil, &NotFoundError{What: fmt.Sprintf("a version at revision %d of %s: it was deleted then; name the revision before, %d",
			revision, r, entry.GetPreviousRevision())}
	}
	return entryResource(entry), nil
}

// get reads one resource.
func (a *Authority) get(ctx context.Context, k *kind, environment, key string) (version, error) {
	var check checker
	check.environment("environment", environment)
	check.key(k.field, key)
	if err := check.err(); err != nil {
		return version{}, err
	}
	r := resource{environment: environment, kind: k, key: key}
	results, _, err := a.store.Read(ctx, store.Key(r.stateKey()))
	if err != nil {
		return version{}, unavailable(err)
	}
	v := k.version(results[0])
	switch {
	case v.revision == 0:
		if err := a.checkEnvironment(ctx, environment); err != nil {
			return version{}, err
		}
		return version{}, &NotFoundError{What: r.String()}
	case v.message == nil:
		return version{}, fmt.Errorf("%w: %s", ErrCorrupt, r)
	}
	return v, nil
}

// CheckEnvironment fails with NotFoundError if there is no such environment.
func (a *Authority) CheckEnvironment(ctx context.Context, name string) error {
	return a.checkEnvironment(ctx, name)
}

// checkEnvironment fails with NotFoundError if there is no such environment.
func (a *Authority) checkEnvironment(ctx context.Context, name string) error {
	if a.replicas.Replica(name) != nil {
		return nil
	}
	// Made by another server a moment ago, perhaps.
	results, _, err := a.store.Read(ctx, store.Prefix(EnvironmentsRoot))
	if err != nil {
		return unavailable(err)
	}
	var known []string
	for _, kv := range results[0].KVs {
		existing := strings.TrimPrefix(kv.Key, EnvironmentsRoot)
		if existing == name {
			return nil
		}
		known = append(known, existing)
	}
	what := fmt.Sprintf("environment %q", name)
	if len(known) > 0 {
		what += fmt.Sprintf(" (there are: %s)", strings.Join(known, ", "))
	}
	return &NotFoundError{What: what}
}
