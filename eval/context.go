package eval

import (
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
)

// Context is what is known of the subject: OpenFeature's evaluation context; and of the
// place of the evaluation, which whoever evaluates knows and callers cannot set.
type Context struct {
	TargetingKey string
	Attributes   Attributes // nil: none

	// Region is where the evaluation happens; empty: not known.
	Region string
	// Now is the time in seconds since 1970 UTC; 0: not known.
	Now int64
}

// Attributes looks up an attribute by its name; absent: the zero [Value]. What it
// returns must not change while the evaluation lasts.
type Attributes interface {
	Attribute(name string) Value
}

// Object is implemented by attributes that can tell which they have, as an object in a
// context needs to be tested for being empty, and to be hashed.
type Object interface {
	Attributes
	// Empty tells whether there is no member.
	Empty() bool
	// Names lists the members, each once, in any order.
	Names() []string
}

// Map makes attributes of plain Go values: strings, booleans, all integer and float
// types, time.Time, []any, []string, map[string]any, Map and [Value]; anything else
// reads as absent. It does not allocate when put into a Context.
type Map map[string]any

// Attribute implements [Attributes].
func (m Map) Attribute(name string) Value {
	v := m[name]
	if s, ok := v.(string); ok {
		return StringValue(s)
	}
	return ValueOf(v)
}

// StructAttributes makes attributes of a protobuf Struct, which may be nil. It does
// not allocate.
func StructAttributes(s *structpb.Struct) Attributes { return structAttributes{s} }

type structAttributes struct{ *structpb.Struct }

func (a structAttributes) Attribute(name string) Value { return structValue(a.GetFields()[name]) }

// targetingKey is the attribute that stands for Context.TargetingKey.
const targetingKey = "targetingKey"

// attribute is the path to an attribute, split when it is compiled.
type attribute struct {
	name      string   // of the attribute; empty: it is provided, by source
	path      []string // of members, from the attribute on
	full      string   // as the author wrote it
	flagKey   string   // of fromFlagKey
	slot      int      // in lookups; -1: none
	source    source
	intoLists bool // path leads into lists by index too, as it does in expressions
}

// newAttribute splits the path of a clause, a split or a segment.
func newAttribute(full, flagKey string) *attribute {
	a := &attribute{full: full, slot: -1}
	for _, e := range environmental {
		if full == e.name {
			a.source, a.flagKey = e.source, flagKey
			return a
		}
	}
	if full == targetingKey || full == "" {
		a.full, a.source = targetingKey, fromTargetingKey
		return a
	}
	elements := strings.Split(full, ".")
	a.name, a.path = elements[0], elements[1:]
	return a
}

func (a *attribute) isTargetingKey() bool { return a.source == fromTargetingKey }

// value looks the attribute up. An empty targeting key is absent.
func (a *attribute) value(ctx *Context) Value {
	if a.name == "" {
		return provided(a.source, ctx, a.flagKey)
	}
	if ctx.Attributes == nil {
		return Value{}
	}
	v := ctx.Attributes.Attribute(a.name)
	for _, name := range a.path {
		if a.intoLists {
			v = v.step(name)
		} else {
			v = v.member(name)
		}
	}
	return v
}
