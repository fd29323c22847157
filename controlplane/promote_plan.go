package controlplane

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// promotion is what brings an environment to what another one is.
type promotion struct {
	counts *restoredCounts
	chunks [][]*restoring
	drifts []*controlv1.Drift
}

// planPromotion works out a promotion on what there is now, and makes sure that all of it could
// be written.
func (a *Authority) planPromotion(ctx context.Context, c Caller, r *controlv1.PromoteEnvironmentRequest) (*promotion, error) {
	there, revision, err := a.present(ctx, r.GetToEnvironment(), 0)
	if err != nil {
		return nil, err
	}
	source, _, err := a.present(ctx, r.GetFromEnvironment(), revision)
	if err != nil {
		return nil, err
	}
	changes, err := a.promoted(ctx, r, there, source)
	if err != nil {
		return nil, err
	}
	if err := a.checkSince(ctx, changes, r); err != nil {
		return nil, err
	}
	if err := a.tryPromotion(ctx, c, r, changes); err != nil {
		return nil, err
	}
	p := &promotion{counts: &restoredCounts{Base: revision}}
	for _, change := range changes {
		d, err := a.drift(ctx, change.resource, change.before, r.GetFromEnvironment(), r.GetIncludeEnabled())
		switch {
		case err != nil:
			return nil, err
		case d != nil:
			p.drifts = append(p.drifts, d)
		}
	}
	var tooLarge []*restoring
	if p.chunks, tooLarge = chunks(inOrder(changes)); tooLarge != nil {
		return nil, precluded("keys", quoteList(names(tooLarge))+
			" need each other, so that they can only change at once, and no transaction takes them: promote some of them by themselves, first")
	}
	p.counts.add(p.chunks)
	return p, nil
}

// promoted are the changes of what was asked for, and differs.
func (a *Authority) promoted(ctx context.Context, r *controlv1.PromoteEnvironmentRequest, there, source map[*kind]map[string]version) ([]*restoring, error) {
	wanted, err := selected(r, there, source)
	if err != nil {
		return nil, err
	}
	var changes []*restoring
	for _, k := range []*kind{segmentKind, flagKind} {
		for _, key := range slices.Sorted(maps.Keys(wanted[k])) {
			now, was := there[k][key], source[k][key]
			from := resource{environment: r.GetFromEnvironment(), kind: k, key: key}
			c := &restoring{before: now, change: &change{
				resource: resource{environment: r.GetToEnvironment(), kind: k, key: key},
				field:    fmt.Sprintf("%ss[%s]", k.name, key), base: &now.revision,
				from: &from, fromBase: was.revision, verb: controlv1.Action_ACTION_PROMOTED,
			}}
			if was.revision == 0 {
				if now.revision != 0 && r.GetDeleteMissing() {
					c.gone, c.present, c.verb, c.content = true, true, controlv1.Action_ACTION_DELETED, a.unlessUsed(ctx, c.resource, c.field)
					changes = append(changes, c)
				}
				continue
			}
			c.content = promotedContent(from, r.GetIncludeEnabled())
			if c.after, err = c.content(now, was); err != nil {
				return nil, err
			}
			c.after = pinned(c.after)
			if before := pinned(now.message); before == nil || !proto.Equal(before, c.after) {
				changes = append(changes, c)
			}
		}
	}
	return changes, nil
}

// unlessUsed deletes a resource, unless it is a flag that is evaluated.
func (a *Authority) unlessUsed(ctx context.Context, r resource, field string) func(version, version) (proto.Message, error) {
	return func(version, version) (proto.Message, error) {
		if r.kind == flagKind {
			return nil, a.checkUnused(ctx, r.environment, r.key, field)
		}
		return nil, nil
	}
}

// promotedContent is what becomes of a flag or segment that is copied to another environment.
func promotedContent(from resource, includeEnabled bool) func(current, source version) (proto.Message, error) {
	return func(current, source version) (proto.Message, error) {
		if source.message == nil {
			return nil, fmt.Errorf("%w: %s", ErrCorrupt, from)
		}
		flag, ok := source.message.(*flagv1.Flag)
		if !ok {
			return source.message, nil
		}
		enabled := flag.GetEnabled()
		if !includeEnabled {
			there, _ := current.message.(*flagv1.Flag)
			enabled = there.GetEnabled()
		}
		return withEnabled(from, flag, enabled)
	}
}

// selected is what was asked for, by kind and key.
func selected(r *controlv1.PromoteEnvironmentRequest, there, source map[*kind]map[string]version) (map[*kind]map[string]bool, error) {
	wanted := map[*kind]map[string]bool{segmentKind: {}, flagKind: {}}
	known := make(map[string]bool)
	add := func(held map[*kind]map[string]version) {
		for k, all := range held {
			for key := range all {
				if len(r.GetKeys()) == 0 && strings.HasPrefix(key, r.GetKeyPrefix()) || slices.Contains(r.GetKeys(), key) {
					wanted[k][key], known[key] = true, true
				}
			}
		}
	}
	if add(source); r.GetDeleteMissing() {
		add(there)
	}
	for _, key := range r.GetKeys() {
		if !known[key] {
			return nil, &NotFoundError{What: fmt.Sprintf("flag or segment %q in environment %q", key, r.GetFromEnvironment())}
		}
	}
	if r.GetIncludeNeeded() {
		for _, key := range slices.Collect(maps.Keys(wanted[flagKind])) {
			addNeeded(wanted, source, key)
		}
	}
	return wanted, nil
}

// addNeeded adds what a flag needs, and what that needs.
func addNeeded(wanted map[*kind]map[string]bool, source map[*kind]map[string]version, flagKey string) {
	for need := range needs(source[flagKind][flagKey].message) {
		kindName, key, _ := strings.Cut(provider(need), " ")
		k := flagKind
		if kindName == segmentKind.name {
			k = segmentKind
		}
		if wanted[k][key] {
			continue
		}
		if wanted[k][key] = true; k == flagKind {
			addNeeded(wanted, source, key)
		}
	}
}

// tryPromotion validates all changes as one, without writing anything.
func (a *Authority) tryPromotion(ctx context.Context, c Caller, r *controlv1.PromoteEnvironmentRequest, changes []*restoring) error {
	if len(changes) == 0 {
		return nil
	}
	trial := &plan{
		request: r, caller: c, environment: r.GetToEnvironment(), validateOnly: true, promotedFrom: r.GetFromEnvironment(),
	}
	for _, c := range changes {
		trial.changes = append(trial.changes, c.change)
	}
	_, err := a.write(ctx, trial)
	return err
}

// checkSince makes sure that nothing of what is copied or overwritten was changed since the base,
// but by this request.
func (a *Authority) checkSince(ctx context.Context, changes []*restoring, r *controlv1.PromoteEnvironmentRequest) error {
	base := r.GetBaseRevision()
	if base == 0 {
		return nil
	}
	for batch := range slices.Chunk(changes, store.MaxTxnOps/2) {
		var (
			ranges []store.Range
			of     []resource
		)
		for _, c := range batch {
			of = append(of, c.resource, *c.from)
			ranges = append(ranges, c.newestEntry(), c.from.newestEntry())
		}
		results, _, err := a.store.Read(ctx, ranges...)
		if err != nil {
			return unavailable(err)
		}
		for i, result := range results {
			for _, kv := range result.KVs {
				if kv.ModRevision <= base {
					continue
				}
				entry, err := decodeEntry(kv)
				if err != nil {
					return err
				}
				if of[i].environment == r.GetFromEnvironment() || entry.GetRequestId() != r.GetRequestId() {
					return a.conflict(ctx, of[i], entry.GetPreviousRevision())
				}
			}
		}
	}
	return nil
}
