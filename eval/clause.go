package eval

import (
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// clause is a compiled clause. It fits a cache line: most clauses compare strings,
// what others need is a step away.
type clause struct {
	operator  flagv1.Operator
	negate    bool
	attribute *attribute          // nil for IN_SEGMENT
	strings   []string            // IN (few values), CONTAINS, STARTS_WITH, ENDS_WITH
	set       map[string]struct{} // IN (many values)
	operands  *operands           // nil: none
}

// operands are what clauses compare with that are not strings.
type operands struct {
	numbers   []float64 // IN; the number of a comparison
	bools     []bool    // IN
	instant   instant
	versions  []version
	patterns  []*regexp.Regexp
	segments  []audience
	numberSet map[float64]struct{}
}

// audience is a segment that a flag refers to, and its bit in lookups.
type audience struct {
	segment reference
	bit     uint64
}

// linearLimit is the number of values up to which comparing one by one is faster than
// hashing.
const linearLimit = 8

// lookups keeps what several clauses of a flag or segment test, so that each attribute
// is looked up, and each segment evaluated, once an evaluation. (It holds no pointers of
// its own: what is kept beside values of unknown origin would be moved to the heap.)
type lookups struct {
	values [maxSlots]Value
	known  uint // bit i: values[i] was looked up
	// By the bits of segments: those evaluated, and those that the context belongs to.
	evaluated, belongs uint64

	// Of expressions: the steps taken so far, and the operator that failed first, if one
	// did; opFail if there were too many steps.
	steps   uint32
	failure operator
}

// maxSlots is how many attributes are kept.
const maxSlots = 8

// value looks the attribute up, once if it has a slot.
func (l *lookups) value(a *attribute, ctx *Context) Value {
	if a.slot < 0 {
		return a.value(ctx)
	}
	slot := uint(a.slot) % maxSlots
	if l.known&(1<<slot) == 0 {
		l.values[slot] = a.value(ctx)
		l.known |= 1 << slot
	}
	return l.values[slot]
}

func (e *Environment) matchAll(clauses []clause, ctx *Context, l *lookups) bool {
	for i := range clauses {
		if !e.match(&clauses[i], ctx, l) {
			return false
		}
	}
	return true
}

func (e *Environment) match(c *clause, ctx *Context, l *lookups) bool {
	if c.attribute == nil {
		return e.inSegment(c.operands.segments, ctx, l) != c.negate
	}
	v := l.value(c.attribute, ctx)
	if v.kind == kindString {
		return c.matchString(v.text()) != c.negate
	}
	return c.matchOther(v) != c.negate
}

// matchOther matches what is not a string.
func (c *clause) matchOther(v Value) bool {
	if c.operator == flagv1.Operator_OPERATOR_EXISTS {
		return v.Exists()
	}
	if v.kind == kindList {
		return c.matchAny(v.ref)
	}
	return c.matchValue(v)
}

// matchAny matches if an element of the list does.
func (c *clause) matchAny(list any) bool {
	switch l := list.(type) {
	case []string:
		return slices.ContainsFunc(l, c.matchString)
	case []any:
		for _, v := range l {
			if c.matchValue(ValueOf(v)) {
				return true
			}
		}
	case *structpb.ListValue:
		for _, v := range l.GetValues() {
			if c.matchValue(structValue(v)) {
				return true
			}
		}
	case List:
		for i := range l.Len() {
			if c.matchValue(l.At(i)) {
				return true
			}
		}
	}
	return false
}

// matchValue matches a single value; lists in lists and objects never match.
func (c *clause) matchValue(v Value) bool {
	switch v.kind {
	case kindString:
		return c.matchString(v.text())
	case kindNumber:
		return c.matchNumber(v)
	case kindBool:
		return c.operator == flagv1.Operator_OPERATOR_IN && c.operands != nil &&
			slices.Contains(c.operands.bools, v.bits != 0)
	case kindTime:
		return c.matchInstant(v)
	}
	return false
}

func (c *clause) matchString(s string) bool {
	switch c.operator {
	case flagv1.Operator_OPERATOR_IN:
		if c.set != nil {
			_, ok := c.set[s]
			return ok
		}
		for _, v := range c.strings {
			if s == v {
				return true
			}
		}
		return false
	case flagv1.Operator_OPERATOR_ENDS_WITH:
		for _, v := range c.strings {
			if strings.HasSuffix(s, v) {
				return true
			}
		}
		return false
	case flagv1.Operator_OPERATOR_STARTS_WITH:
		for _, v := range c.strings {
			if strings.HasPrefix(s, v) {
				return true
			}
		}
		return false
	case flagv1.Operator_OPERATOR_CONTAINS:
		for _, v := range c.strings {
			if strings.Contains(s, v) {
				return true
			}
		}
		return false
	case flagv1.Operator_OPERATOR_MATCHES:
		for _, p := range c.operands.patterns {
			if p.MatchString(s) {
				return true
			}
		}
		return false
	case flagv1.Operator_OPERATOR_EXISTS:
		return true
	case flagv1.Operator_OPERATOR_BEFORE, flagv1.Operator_OPERATOR_AFTER:
		return c.matchInstant(StringValue(s))
	}
	return c.matchVersion(s)
}

func (c *clause) matchNumber(v Value) bool {
	f := v.number()
	switch c.operator {
	case flagv1.Operator_OPERATOR_IN:
		if c.operands == nil {
			return false
		}
		if c.operands.numberSet != nil {
			_, ok := c.operands.numberSet[f]
			return ok
		}
		return slices.Contains(c.operands.numbers, f)
	case flagv1.Operator_OPERATOR_LESS_THAN:
		return f < c.operands.numbers[0]
	case flagv1.Operator_OPERATOR_LESS_THAN_OR_EQUAL:
		return f <= c.operands.numbers[0]
	case flagv1.Operator_OPERATOR_GREATER_THAN:
		return f > c.operands.numbers[0]
	case flagv1.Operator_OPERATOR_GREATER_THAN_OR_EQUAL:
		return f >= c.operands.numbers[0]
	}
	return c.matchInstant(v)
}

func (c *clause) matchInstant(v Value) bool {
	if c.operator != flagv1.Operator_OPERATOR_BEFORE && c.operator != flagv1.Operator_OPERATOR_AFTER {
		return false
	}
	t, ok := v.instant()
	if !ok {
		return false
	}
	order := t.compare(c.operands.instant)
	if c.operator == flagv1.Operator_OPERATOR_BEFORE {
		return order < 0
	}
	return order > 0
}

func (c *clause) matchVersion(s string) bool {
	if c.operands == nil || len(c.operands.versions) == 0 {
		return false
	}
	v, ok := parseVersion(s)
	if !ok {
		return false
	}
	w := c.operands.versions[0]
	switch c.operator {
	case flagv1.Operator_OPERATOR_SEMVER_EQUALS:
		for i := range c.operands.versions {
			if v.compare(c.operands.versions[i]) == 0 {
				return true
			}
		}
		return false
	case flagv1.Operator_OPERATOR_SEMVER_LESS_THAN:
		return v.compare(w) < 0
	case flagv1.Operator_OPERATOR_SEMVER_LESS_THAN_OR_EQUAL:
		return v.compare(w) <= 0
	case flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN:
		return v.compare(w) > 0
	case flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN_OR_EQUAL:
		return v.compare(w) >= 0
	case flagv1.Operator_OPERATOR_SEMVER_SAME_MAJOR:
		return v.sameMajor(w)
	case flagv1.Operator_OPERATOR_SEMVER_SAME_MINOR:
		return v.sameMinor(w)
	}
	return false
}
