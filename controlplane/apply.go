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
	changes := check.applied(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	w, err := a.write(ctx, &plan{
		request: r, caller: c, environment: r.GetEnvironment(),
		changes: changes, validateOnly: r.GetValidateOnly(),
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
	if len(changes) == 0 && len(c.fields) == 0 {
		c.add("flags", "is empty, and so is segments: name what shall be written")
	}
	return changes
}
