package controlplane

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// replicaPatience is how long a write waits for this server's replicas to show what it
// has to be checked against. They lag by milliseconds, or the watch is broken.
const replicaPatience = 5 * time.Second

// needGuard tells whether references may no longer hold after the changes that held
// before: if one of them needs something that it did not need before, or takes something
// away that others may need. Of two writes that do neither, or of one that does and one
// that does not, neither can break what the other was checked for.
func needGuard(drafts []*draft) bool {
	for _, d := range drafts {
		if d.kind != flagKind && d.kind != segmentKind {
			continue // flags do not know them
		}
		if d.desired == nil || !subset(needs(d.desired), needs(d.current.message)) ||
			!subset(provides(d.current.message), provides(d.desired)) {
			return true
		}
	}
	return false
}

// needs lists what a flag refers to: variants of flags, and segments.
func needs(m proto.Message) map[string]bool {
	set := make(map[string]bool)
	f, ok := m.(*flagv1.Flag)
	if !ok {
		return set
	}
	for _, p := range f.GetPrerequisites() {
		set["flag "+p.GetFlagKey()] = true
		for _, v := range p.GetVariants() {
			set["flag "+p.GetFlagKey()+" variant "+v] = true
		}
	}
	for _, rule := range f.GetRules() {
		for _, c := range rule.GetClauses() {
			if c.GetOperator() != flagv1.Operator_OPERATOR_IN_SEGMENT {
				continue
			}
			for _, v := range c.GetValues() {
				set["segment "+v.GetStringValue()] = true
			}
		}
	}
	return set
}

// provides lists what others may refer to in a flag: its variants. A segment provides
// nothing but itself.
func provides(m proto.Message) map[string]bool {
	set := make(map[string]bool)
	if f, ok := m.(*flagv1.Flag); ok {
		for _, v := range f.GetVariants() {
			set[v.GetName()] = true
		}
	}
	return set
}

func subset(part, whole map[string]bool) bool {
	for s := range part {
		if !whole[s] {
			return false
		}
	}
	return true
}

// checkReferences checks the changes, as a whole, against all flags and segments of the
// environment as of the revision, or later.
func (a *Authority) checkReferences(ctx context.Context, environment string, drafts []*draft, revision int64) error {
	base, err := a.snapshotAt(ctx, environment, revision)
	if err != nil {
		return err
	}
	var (
		changes             eval.Changes
		flagKeys, segments  []string
		fieldOf             = make(map[string]string, len(drafts))
		deleted, considered []*draft
	)
	for _, d := range drafts {
		switch {
		case d.desired == nil && d.kind == flagKind:
			changes.DeletedFlags = append(changes.DeletedFlags, d.key)
			deleted = append(deleted, d)
		case d.desired == nil:
			changes.DeletedSegments = append(changes.DeletedSegments, d.key)
			deleted = append(deleted, d)
		case d.compiled == nil: // unchecked
		case d.kind == flagKind:
			changes.Flags = append(changes.Flags, d.compiled.flag)
			flagKeys, fieldOf[d.key] = append(flagKeys, d.key), d.field
			considered = append(considered, d)
		default:
			changes.Segments = append(changes.Segments, d.compiled.segment)
			segments = append(segments, d.key)
			considered = append(considered, d)
		}
	}
	candidate := base.With(changes)
	if err := checkDependants(candidate, deleted); err != nil {
		return err
	}
	if len(considered) == 0 {
		return nil
	}
	return precondition(candidate.Check(flagKeys, segments), fieldOf)
}

// checkDependants refuses to delete what others need.
func checkDependants(candidate *eval.Environment, deleted []*draft) error {
	var fields eval.Errors
	for _, d := range deleted {
		field, how, dependants := "flag_key", "a prerequisite of", candidate.Dependants(d.key)
		if d.kind == segmentKind {
			field, how, dependants = "segment_key", "used by", candidate.SegmentDependants(d.key)
		}
		if len(dependants) > 0 {
			fields = append(fields, eval.FieldError{Field: field, Problem: fmt.Sprintf(
				"%s %q is %s %s: change what needs it first", d.kind.name, d.key, how, quoteList(dependants))})
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return &PreconditionError{Fields: fields}
}

// precondition gives eval's findings the paths that the request's fields have.
func precondition(err error, fieldOf map[string]string) error {
	var problems eval.Errors
	if !errors.As(err, &problems) {
		return err
	}
	fields := make(eval.Errors, 0, len(problems))
	for _, p := range problems {
		if key, rest, ok := strings.Cut(strings.TrimPrefix(p.Field, "flags["), "]"); ok && fieldOf[key] != "" {
			p.Field = fieldOf[key] + rest
		}
		fields = append(fields, p)
	}
	return &PreconditionError{Fields: fields}
}

// snapshotAt returns the environment as of the revision or later.
func (a *Authority) snapshotAt(ctx context.Context, environment string, revision int64) (*eval.Environment, error) {
	waitCtx, cancel := context.WithTimeout(ctx, replicaPatience)
	defer cancel()
	if applied, err := a.applier.wait(waitCtx, revision); err != nil {
		return nil, fmt.Errorf("%w: this server has applied revision %d of %d: nothing was written", ErrUnavailable, applied, revision)
	}
	if err := a.Err(); errors.Is(err, ErrDataLoss) {
		// The replicas hold what the store no longer does.
		return nil, fmt.Errorf("%w: nothing was written: %w", ErrUnavailable, err)
	}
	r := a.replicas.Replica(environment)
	if r == nil || r.Snapshot() == nil {
		return nil, fmt.Errorf("%w: this server has not loaded environment %q: nothing was written", ErrUnavailable, environment)
	}
	return r.Snapshot().Eval(), nil
}

// quoteList is such as '"a", "b" and 3 more'.
func quoteList(names []string) string {
	const shown = 5
	quoted := make([]string, 0, shown)
	for _, n := range names[:min(len(names), shown)] {
		quoted = append(quoted, fmt.Sprintf("%q", n))
	}
	text := strings.Join(quoted, ", ")
	if rest := len(names) - shown; rest > 0 {
		text += fmt.Sprintf(" and %d more", rest)
	}
	return text
}
