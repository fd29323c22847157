package eval

import "strconv"

// Segment is a compiled segment.
type Segment struct {
	keyAttribute       *attribute
	included, excluded keySet
	rules              [][]clause

	key       reference
	revision  int64
	readsTime bool
}

// Key returns the segment's key.
func (s *Segment) Key() string { return s.key.key }

// Revision returns the revision at which the segment was written.
func (s *Segment) Revision() int64 { return s.revision }

// inSegment tells whether the context belongs to one of the segments. A segment that
// does not exist has no members.
func (e *Environment) inSegment(audiences []audience, ctx *Context, l *lookups) bool {
	hash := hashOf(ctx.TargetingKey) // once for all segments
	for i := range audiences {
		a := &audiences[i]
		if l.evaluated&a.bit == 0 {
			l.evaluated |= a.bit
			if s := e.segments.get(a.segment); s != nil && e.belongs(s, ctx, hash) {
				l.belongs |= a.bit
			}
		}
		if l.belongs&a.bit != 0 {
			return true
		}
	}
	return false
}

// belongs is handed the hash of the targeting key.
func (e *Environment) belongs(s *Segment, ctx *Context, hash uint64) bool {
	var included, excluded bool
	if s.keyAttribute.isTargetingKey() {
		included, excluded = s.lists(ctx.TargetingKey, hash)
	} else {
		included, excluded = s.listed(s.keyAttribute.value(ctx))
	}
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
		return s.lists(key.text(), hashOf(key.text()))
	}
	n, ok := key.whole()
	if !ok {
		return false, false
	}
	var buffer [20]byte
	digits := string(strconv.AppendInt(buffer[:0], n, 10))
	return s.lists(digits, hashOf(digits))
}

func (s *Segment) lists(key string, hash uint64) (included, excluded bool) {
	if s.included.has(key, hash) {
		return true, false
	}
	return false, s.excluded.has(key, hash)
}
