package main

import (
	"context"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/manifest"
)

// applyPlan is what 'apply' would write, and what is as it shall be already.
type applyPlan struct {
	source       string // of files
	transactions []*transaction
	unchanged    []*controlv1.ApplyResult
	// changedBy says of what is kept in files who changed it beside them.
	changedBy map[resourceID]string
}

// resourceID names a flag or segment.
type resourceID struct {
	kind controlv1.ResourceKind
	key  string
}

// plan has the server validate the document as a whole, and parts what differs into
// transactions.
func (c *client) plan(ctx context.Context, d *manifest.Document, source string, deletes []*controlv1.ResourceDelete) (*applyPlan, error) {
	request := &controlv1.ApplyRequest{Environment: c.environment, ValidateOnly: true, Source: source, Deletes: deletes}
	flags, segments := make(map[string]*flagv1.Flag), make(map[string]*flagv1.Segment)
	for _, s := range d.Segments {
		segments[s.GetKey()] = s
		request.Segments = append(request.Segments, &controlv1.SegmentWrite{Segment: s})
	}
	for _, f := range d.Flags {
		flags[f.GetKey()] = f
		request.Flags = append(request.Flags, &controlv1.FlagWrite{Flag: f})
	}
	response, err := read(ctx, c, c.flags.Apply, request)
	if err != nil {
		return nil, err
	}
	p := &applyPlan{source: source}
	var (
		flagWrites    []*controlv1.FlagWrite
		segmentWrites []*controlv1.SegmentWrite
	)
	results := make(map[resourceID]*controlv1.ApplyResult)
	for _, r := range response.GetResults() {
		results[resourceID{r.GetKind(), r.GetKey()}] = r
		switch {
		case r.GetAction() == controlv1.Action_ACTION_UNSPECIFIED:
			p.unchanged = append(p.unchanged, r)
		case r.GetAction() == controlv1.Action_ACTION_DELETED:
		case r.GetKind() == controlv1.ResourceKind_RESOURCE_KIND_SEGMENT:
			segmentWrites = append(segmentWrites, segmentWrite(segments[r.GetKey()], r.GetRevision()))
		default:
			flagWrites = append(flagWrites, flagWrite(flags[r.GetKey()], r.GetRevision()))
		}
	}
	p.transactions = append(transactions(segmentWrites, flagWrites), deletions(deletes)...)
	for _, t := range p.transactions {
		for _, s := range t.segments {
			t.results = append(t.results, results[resourceID{controlv1.ResourceKind_RESOURCE_KIND_SEGMENT, s.GetSegment().GetKey()}])
		}
		for _, f := range t.flags {
			t.results = append(t.results, results[resourceID{controlv1.ResourceKind_RESOURCE_KIND_FLAG, f.GetFlag().GetKey()}])
		}
		for _, d := range t.deletes {
			t.results = append(t.results, results[resourceID{d.GetKind(), d.GetKey()}])
		}
	}
	return p, nil
}

// inFile shows a field where it is written.
func inFile(d *manifest.Document) func(field, problem string) string {
	return func(field, problem string) string {
		if e, ok := d.Explain(field, problem); ok {
			return e.Error()
		}
		return fieldProblem(field, problem)
	}
}
