package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	// maxPreviewBytes is what a change to be previewed may take: it is sent to every relay, on
	// the streams that updates come on.
	maxPreviewBytes = 1 << 20
	// maxPreviewFlags is how many flags are told of.
	maxPreviewFlags = 64
)

// Proposal is a change to be previewed.
type Proposal struct {
	// Question is what the relays are asked, but for its id and how many subjects they tell of
	// until when: about the flags that the change is of, then those that depend on them.
	Question *syncv1.Preview
	// Named is how many of the flags the change is of; LeftOut are affected, too, and not asked
	// about, because there are too many; Hidden are affected, and whoever asks may not read them.
	Named, LeftOut, Hidden int
}

// Proposed works out what to ask the relays about a change, of what the reader may read. It needs no
// store: what is compared is what this server shows.
func (a *Authority) Proposed(_ context.Context, r *controlv1.PreviewChangeRequest, reader Reader) (*Proposal, error) {
	var check checker
	check.environment("environment", r.GetEnvironment())
	changes := check.applied(&controlv1.ApplyRequest{Environment: r.GetEnvironment(), Flags: r.GetFlags(), Segments: r.GetSegments()})
	deletes := check.previewedDeletes(r)
	switch {
	case len(check.fields) > 0:
	case len(changes)+len(deletes) == 0:
		check.add("flags", "is empty, and so are segments and deletes: name what would change")
	case proto.Size(r) > maxPreviewBytes:
		check.add("flags", "the change takes %d bytes, and can be previewed up to %d: ask about a part of it", proto.Size(r), maxPreviewBytes)
	}
	if err := check.err(); err != nil {
		return nil, err
	}
	replica := a.replicas.Replica(r.GetEnvironment())
	if replica == nil {
		return nil, &NotFoundError{What: fmt.Sprintf("environment %q", r.GetEnvironment())}
	}
	now := replica.Snapshot()
	if now == nil {
		return nil, unavailable(errors.New("the environment is not loaded yet"))
	}
	puts, err := previewedPuts(now, changes)
	if err != nil {
		return nil, err
	}
	return propose(now, puts, deletes, reader), nil
}

// previewedDeletes checks what the request wants deleted.
func (c *checker) previewedDeletes(r *controlv1.PreviewChangeRequest) []snapshot.ID {
	ids := make([]snapshot.ID, 0, len(r.GetDeletes()))
	for _, d := range r.GetDeletes() {
		k := syncv1.Kind_KIND_FLAG
		switch d.GetKind() {
		case controlv1.ResourceKind_RESOURCE_KIND_FLAG:
		case controlv1.ResourceKind_RESOURCE_KIND_SEGMENT:
			k = syncv1.Kind_KIND_SEGMENT
		default:
			c.add("deletes", "must be flags and segments")
			continue
		}
		c.key("deletes", d.GetKey())
		id := snapshot.ID{Kind: k, Key: d.GetKey()}
		written := func(key string) bool { return key == id.Key }
		if slices.Contains(ids, id) ||
			k == syncv1.Kind_KIND_FLAG && slices.ContainsFunc(r.GetFlags(), func(w *controlv1.FlagWrite) bool { return written(w.GetFlag().GetKey()) }) ||
			k == syncv1.Kind_KIND_SEGMENT && slices.ContainsFunc(r.GetSegments(), func(w *controlv1.SegmentWrite) bool { return written(w.GetSegment().GetKey()) }) {
			c.add("deletes", "%s is named twice: name each flag and segment once", id)
		}
		ids = append(ids, id)
	}
	return ids
}

// previewedPuts are the items as they would be, but for those that are so already.
func previewedPuts(now *snapshot.Snapshot, changes []*change) ([]snapshot.Item, error) {
	puts := make([]snapshot.Item, 0, len(changes))
	for _, c := range changes {
		m, err := c.content(version{}, version{})
		if err != nil {
			return nil, err
		}
		item := snapshot.Item{Kind: syncv1.Kind_KIND_FLAG, Key: c.key, ModRevision: now.Cursor().Revision + 1}
		if c.kind == segmentKind {
			item.Kind = syncv1.Kind_KIND_SEGMENT
		}
		desired := pinned(m)
		if is, ok := now.Item(item.Kind, item.Key); ok {
			if current, err := c.kind.decode(is.Data); err == nil && proto.Equal(pinned(current), desired) {
				continue
			}
		}
		if item.Data, err = marshal(desired); err != nil {
			return nil, err
		}
		puts = append(puts, item)
	}
	return puts, nil
}

// propose finds the flags to ask about.
func propose(now *snapshot.Snapshot, puts []snapshot.Item, deletes []snapshot.ID, reader Reader) *Proposal {
	after, _ := now.Next(now.Cursor().Revision+1, puts, deletes)
	question := &syncv1.Preview{Environment: now.Environment()}
	changed := make([]snapshot.ID, 0, len(puts)+len(deletes))
	for _, p := range puts {
		question.Puts = append(question.Puts, &syncv1.Put{Kind: p.Kind, Key: p.Key, Data: p.Data})
		changed = append(changed, p.ID())
	}
	for _, d := range deletes {
		question.Deletes = append(question.Deletes, &syncv1.Delete{Kind: d.Kind, Key: d.Key})
		changed = append(changed, d)
	}
	flags, named := affected(changed, now.Eval(), after.Eval())
	all := len(flags)
	flags = slices.DeleteFunc(flags, func(key string) bool { return !reader.Sees(key) })
	question.FlagKeys = flags[:min(len(flags), maxPreviewFlags)]
	return &Proposal{
		Question: question, Named: min(named, len(question.GetFlagKeys())),
		LeftOut: len(flags) - len(question.GetFlagKeys()), Hidden: all - len(flags),
	}
}

// affected lists the flags among what changed, named of them, and then those that depend on
// what changed, before or after, by key.
func affected(changed []snapshot.ID, before, after *eval.Environment) (flags []string, named int) {
	seen := map[string]bool{}
	var queue []string
	add := func(keys ...string) {
		for _, key := range keys {
			if !seen[key] {
				seen[key] = true
				queue = append(queue, key)
			}
		}
	}
	for _, id := range changed {
		if id.Kind == syncv1.Kind_KIND_FLAG {
			add(id.Key)
		}
	}
	named = len(queue)
	for _, id := range changed {
		if id.Kind == syncv1.Kind_KIND_SEGMENT {
			add(before.SegmentDependants(id.Key)...)
			add(after.SegmentDependants(id.Key)...)
		}
	}
	for i := 0; i < len(queue); i++ {
		add(before.Dependants(queue[i])...)
		add(after.Dependants(queue[i])...)
	}
	slices.Sort(queue[named:])
	return queue, named
}
