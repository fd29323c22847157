package eval

import (
	"strconv"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Segment is a compiled segment.
type Segment struct {
	keyAttribute       *attribute
	included, excluded map[string]struct{}
	rules              [][]clause

	key        reference
	revision   int64
	definition *flagv1.Segment
}

// Key returns the segment's key.
func (s *Segment) Key() string { return s.key.key }

// Revision returns the revision at which the segment was written.
func (s *Segment) Revision() int64 { return s.revision }

// Definition returns what the segment was compiled from. It is shared and must not be
// modified.
func (s *Segment) Definition() *flagv1.Segment { return s.definition }

// inSegment tells whether the context belongs to one of the segments. A segment that
// does not exist has no members.
func (e *Environment) inSegment(segments []reference, ctx *Context) bool {
	for _, r := range segments {
		if s := e.segments.get(r); s != nil && e.belongs(s, ctx) {
			return true
		}
	}
	return false
}

func (e *Environment) belongs(s *Segment, ctx *Context) bool {
	included, excluded := s.listed(s.keyAttribute.value(ctx))
	if included || excluded {
		return included
	}
	return len(s.rules) > 0 && e.matchSegmentRules(s.rules, ctx)
}

func (e *Environment) matchSegmentRules(rules [][]clause, ctx *Context) bool {
	var l lookups
	for _, clauses := range rules {
		if e.matchAll(clauses, ctx, &l) {
			return true
		}
	}
	return false
}

// listed looks a key up in the two lists: a string, or a whole number in its decimal
// form. Other values are in neither.
func (s *Segment) listed(key Value) (included, excluded bool) {
	if key.kind == kindString {
		if _, included = s.included[key.text()]; included {
			return included, false
		}
		_, excluded = s.excluded[key.text()]
		return false, excluded
	}
	n, ok := key.whole()
	if !ok {
		return false, false
	}
	var buffer [20]byte
	digits := strconv.AppendInt(buffer[:0], n, 10)
	if _, included = s.included[string(digits)]; included {
		return included, false
	}
	_, excluded = s.excluded[string(digits)]
	return false, excluded
}
