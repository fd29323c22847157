package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/manifest"
)

// applyPlan is what 'apply' would write, and what is as it shall be already.
type applyPlan struct {
	transactions []*transaction
	unchanged    []*controlv1.ApplyResult
}

// plan compares a document with what is there, and has the server validate it.
func (c *client) plan(ctx context.Context, d *manifest.Document) (*applyPlan, error) {
	if len(d.Flags)+len(d.Segments) <= maxTransaction && documentCost(d) <= maxTransactionBytes {
		return c.planOneCall(ctx, d)
	}
	return c.planMany(ctx, d)
}

func documentCost(d *manifest.Document) int {
	total := 0
	for _, f := range d.Flags {
		total += cost(f)
	}
	for _, s := range d.Segments {
		total += cost(s)
	}
	return total
}

// planOneCall asks the server for everything at once.
func (c *client) planOneCall(ctx context.Context, d *manifest.Document) (*applyPlan, error) {
	request := &controlv1.ApplyRequest{Environment: c.environment, ValidateOnly: true, Reason: dryRunReason(c.reason)}
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
	p := &applyPlan{}
	t := &transaction{}
	for _, r := range response.GetResults() {
		switch {
		case r.GetAction() == controlv1.Action_ACTION_UNSPECIFIED:
			p.unchanged = append(p.unchanged, r)
			continue
		case r.GetKind() == controlv1.ResourceKind_RESOURCE_KIND_SEGMENT:
			t.segments = append(t.segments, segmentWrite(segments[r.GetKey()], r.GetRevision()))
		default:
			t.flags = append(t.flags, flagWrite(flags[r.GetKey()], r.GetRevision()))
		}
		t.results = append(t.results, r)
	}
	if t.len() > 0 {
		p.transactions = []*transaction{t}
	}
	return p, nil
}

// planMany finds out itself what differs, as one call does not take everything, and
// that what does will fit together after each transaction.
func (c *client) planMany(ctx context.Context, d *manifest.Document) (*applyPlan, error) {
	currentFlags, err := c.listFlags(ctx, c.environment, "")
	if err != nil {
		return nil, err
	}
	currentSegments, err := c.listSegments(ctx, c.environment, "")
	if err != nil {
		return nil, err
	}
	p := &applyPlan{}
	segments := p.differingSegments(d.Segments, currentSegments.GetSegments())
	flags := p.differingFlags(d.Flags, currentFlags.GetFlags())
	p.transactions = transactions(segments, flags)

	if err := p.check(compiled(currentFlags.GetFlags(), currentSegments.GetSegments()), d); err != nil {
		return nil, err
	}
	for _, t := range p.transactions {
		if err := c.validate(ctx, t); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *applyPlan) differingSegments(wanted []*flagv1.Segment, there []*controlv1.SegmentVersion) []*controlv1.SegmentWrite {
	current := make(map[string]*controlv1.SegmentVersion, len(there))
	for _, v := range there {
		current[v.GetSegment().GetKey()] = v
	}
	var writes []*controlv1.SegmentWrite
	for _, s := range wanted {
		v := current[s.GetKey()]
		if v != nil && proto.Equal(s, v.GetSegment()) {
			p.unchanged = append(p.unchanged, &controlv1.ApplyResult{
				Kind: controlv1.ResourceKind_RESOURCE_KIND_SEGMENT, Key: s.GetKey(), Revision: v.GetRevision(),
			})
			continue
		}
		writes = append(writes, segmentWrite(s, v.GetRevision()))
	}
	return writes
}

func (p *applyPlan) differingFlags(wanted []*flagv1.Flag, there []*controlv1.FlagVersion) []*controlv1.FlagWrite {
	current := make(map[string]*controlv1.FlagVersion, len(there))
	for _, v := range there {
		current[v.GetFlag().GetKey()] = v
	}
	var writes []*controlv1.FlagWrite
	for _, f := range wanted {
		v := current[f.GetKey()]
		if v != nil && proto.Equal(f, v.GetFlag()) {
			p.unchanged = append(p.unchanged, &controlv1.ApplyResult{
				Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: f.GetKey(), Revision: v.GetRevision(),
			})
			continue
		}
		writes = append(writes, flagWrite(f, v.GetRevision()))
	}
	return writes
}

// compiled is what is there, as the engine sees it. What is there and cannot be compiled
// is left out: the server decides on it.
func compiled(flags []*controlv1.FlagVersion, segments []*controlv1.SegmentVersion) *eval.Environment {
	var changes eval.Changes
	for _, v := range flags {
		if f, err := eval.Compile(v.GetFlag(), v.GetRevision()); err == nil {
			changes.Flags = append(changes.Flags, f)
		}
	}
	for _, v := range segments {
		if s, err := eval.CompileSegment(v.GetSegment(), v.GetRevision()); err == nil {
			changes.Segments = append(changes.Segments, s)
		}
	}
	var none *eval.Environment
	return none.With(changes)
}

// check makes sure, before anything is written, that references hold at the end, and
// after each transaction.
func (p *applyPlan) check(environment *eval.Environment, d *manifest.Document) error {
	states := make([]*eval.Environment, 0, len(p.transactions))
	for _, t := range p.transactions {
		var changes eval.Changes
		for _, s := range t.segments {
			segment, err := eval.CompileSegment(s.GetSegment(), 0)
			if err != nil {
				return err // cannot be: Parse compiled it
			}
			changes.Segments = append(changes.Segments, segment)
		}
		for _, f := range t.flags {
			flag, err := eval.Compile(f.GetFlag(), 0)
			if err != nil {
				return err
			}
			changes.Flags = append(changes.Flags, flag)
		}
		environment = environment.With(changes)
		states = append(states, environment)
	}
	for i := len(states) - 1; i >= 0; i-- {
		flags, segments := p.transactions[i].keys()
		if i == len(states)-1 {
			flags, segments = p.keys()
		}
		var fields eval.Errors
		err := states[i].Check(flags, segments)
		if err == nil {
			continue
		}
		if !errors.As(err, &fields) {
			return err
		}
		return referenceError(fields, d, i < len(states)-1)
	}
	return nil
}

func (p *applyPlan) keys() (flags, segments []string) {
	for _, t := range p.transactions {
		f, s := t.keys()
		flags, segments = append(flags, f...), append(segments, s...)
	}
	return flags, segments
}

func (t *transaction) keys() (flags, segments []string) {
	for _, f := range t.flags {
		flags = append(flags, f.GetFlag().GetKey())
	}
	for _, s := range t.segments {
		segments = append(segments, s.GetSegment().GetKey())
	}
	return flags, segments
}

func referenceError(fields eval.Errors, d *manifest.Document, between bool) error {
	text := "this does not fit together; nothing was written"
	if between {
		text = fmt.Sprintf("this takes more than one transaction (of at most %d flags and segments), and would not fit together in between; "+
			"apply it in parts; nothing was written", maxTransaction)
	}
	problems := make(manifest.Errors, 0, len(fields))
	for _, f := range fields {
		e, ok := d.Explain(f.Field, f.Problem)
		if !ok { // of what is there already
			e = manifest.Error{Field: f.Field, Problem: f.Problem}
		}
		problems = append(problems, e)
	}
	problems.Sort()
	lines := append(make([]string, 0, len(problems)+1), text)
	for _, e := range problems {
		lines = append(lines, "  "+visible(e.Error()))
	}
	return errors.New(strings.Join(lines, "\n"))
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

// validate has the server look at one transaction of many.
func (c *client) validate(ctx context.Context, t *transaction) error {
	response, err := read(ctx, c, c.flags.Apply, &controlv1.ApplyRequest{
		Environment: c.environment, Segments: t.segments, Flags: t.flags, ValidateOnly: true, Reason: dryRunReason(c.reason),
	})
	switch {
	case err == nil:
		t.results = response.GetResults()
		return nil
	case status.Code(err) == codes.FailedPrecondition:
		// It needs what an earlier transaction brings: that was checked here. Only the
		// details stay unknown.
		t.results = t.expected()
		return nil
	}
	return err
}

// expected is what will become of the transaction, without the details.
func (t *transaction) expected() []*controlv1.ApplyResult {
	results := make([]*controlv1.ApplyResult, 0, t.len())
	add := func(kind controlv1.ResourceKind, key string, base int64) {
		action := controlv1.Action_ACTION_UPDATED
		if base == 0 {
			action = controlv1.Action_ACTION_CREATED
		}
		results = append(results, &controlv1.ApplyResult{Kind: kind, Key: key, Action: action, Revision: base})
	}
	for _, s := range t.segments {
		add(controlv1.ResourceKind_RESOURCE_KIND_SEGMENT, s.GetSegment().GetKey(), s.GetBaseRevision())
	}
	for _, f := range t.flags {
		add(controlv1.ResourceKind_RESOURCE_KIND_FLAG, f.GetFlag().GetKey(), f.GetBaseRevision())
	}
	return results
}
