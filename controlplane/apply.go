package controlplane

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// Apply writes many flags and segments in one transaction: those that differ.
func (a *Authority) Apply(ctx context.Context, c Caller, r *controlv1.ApplyRequest) (*controlv1.ApplyResponse, error) {
	var check checker
	check.environment("environment", r.GetEnvironment())
	if !r.GetValidateOnly() {
		check.write(r)
	}
	changes := append(check.applied(r), a.deleted(ctx, &check, r)...)
	if len(changes) == 0 && len(check.fields) == 0 {
		check.add("flags", "is empty, and so are segments and deletes: name what shall be written")
	}
	if r.GetSource() != "" {
		check.key("source", r.GetSource())
	}
	if err := check.err(); err != nil {
		return nil, err
	}
	w, err := a.write(ctx, &plan{
		request: r, caller: c, environment: r.GetEnvironment(),
		changes: changes, validateOnly: r.GetValidateOnly(), source: r.GetSource(),
	})
	if err != nil {
		return nil, err
	}
	resp := &controlv1.ApplyResponse{Revision: w.revision}
	for _, result := range w.results {
		resp.Results = append(resp.Results, result.applied())
	}
	return resp, nil
}

func (r *result) applied() *controlv1.ApplyResult {
	ar := &controlv1.ApplyResult{Kind: r.kind.control, Key: r.key, Changes: r.changes, Revision: r.revision}
	switch {
	case !r.differs:
	case r.message == nil:
		ar.Action = controlv1.Action_ACTION_DELETED
	case r.before == 0:
		ar.Action = controlv1.Action_ACTION_CREATED
	default:
		ar.Action = controlv1.Action_ACTION_UPDATED
	}
	return ar
}

// applied checks what the request wants written, and returns it: segments first.
func (c *checker) applied(r *controlv1.ApplyRequest) []*change {
	changes := make([]*change, 0, len(r.GetSegments())+len(r.GetFlags()))
	seen := make(map[resource]bool)
	add := func(k *kind, index int, d definition, base *int64) {
		field := fmt.Sprintf("%ss[%d]", k.name, index)
		if d.ProtoReflect().IsValid() && keyPattern.MatchString(d.GetKey()) {
			field = fmt.Sprintf("%ss[%s]", k.name, d.GetKey())
		}
		known := c.definition(field, d)
		if known == nil {
			return
		}
		target := resource{environment: r.GetEnvironment(), kind: k, key: d.GetKey()}
		if seen[target] {
			c.add(field, "is given twice: name each %s once", k.name)
		}
		seen[target] = true
		if base != nil {
			c.revision(field+".base_revision", *base)
		}
		changes = append(changes, &change{
			resource: target, field: field, base: base, known: known,
			content: func(version, version) (proto.Message, error) { return d, nil },
		})
	}
	for i, w := range r.GetSegments() {
		add(segmentKind, i, w.GetSegment(), w.BaseRevision)
	}
	for i, w := range r.GetFlags() {
		add(flagKind, i, w.GetFlag(), w.BaseRevision)
	}
	return changes
}

// deleted checks what the request wants deleted, and returns it.
func (a *Authority) deleted(ctx context.Context, c *checker, r *controlv1.ApplyRequest) []*change {
	named := map[resource]bool{}
	for _, w := range r.GetFlags() {
		named[resource{r.GetEnvironment(), flagKind, w.GetFlag().GetKey()}] = true
	}
	for _, w := range r.GetSegments() {
		named[resource{r.GetEnvironment(), segmentKind, w.GetSegment().GetKey()}] = true
	}
	changes := make([]*change, 0, len(r.GetDeletes()))
	for i, d := range r.GetDeletes() {
		field := fmt.Sprintf("deletes[%d]", i)
		target := resource{environment: r.GetEnvironment(), kind: kindOfControl(d.GetKind()), key: d.GetKey()}
		switch {
		case d.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_FLAG && d.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_SEGMENT:
			c.add(field+".kind", "must be a flag or a segment")
			continue
		case named[target]:
			c.add(field, "is named twice: name each %s once", target.kind.name)
		}
		named[target] = true
		c.key(field+".key", d.GetKey())
		if d.GetBaseRevision() <= 0 {
			c.add(field+".base_revision", "must be the revision of the version that the change is based on")
		}
		changes = append(changes, &change{
			resource: target, field: field, base: &d.BaseRevision, present: true, verb: controlv1.Action_ACTION_DELETED,
			content: func(version, version) (proto.Message, error) {
				if target.kind == flagKind && !d.GetForce() {
					return nil, a.checkUnused(ctx, target.environment, target.key, field+".key")
				}
				return nil, nil
			},
		})
	}
	return changes
}
