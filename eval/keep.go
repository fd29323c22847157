package eval

import (
	"google.golang.org/protobuf/types/known/structpb"
)

// maxKeptDepth is how deep objects and lists may nest in what Struct copies.
const maxKeptDepth = 32

// Struct copies the attributes, so that they outlive the caller's memory: evaluated with
// [StructAttributes] they give the same. False: they cannot tell which they have, or nest too
// deep. A time is copied as text.
func (c *Context) Struct() (s *structpb.Struct, ok bool) {
	if c.Attributes == nil {
		return nil, true
	}
	return structOf(ObjectValue(c.Attributes), maxKeptDepth)
}

func structOf(v Value, depth int) (*structpb.Struct, bool) {
	names, ok := v.memberNames()
	if !ok || depth == 0 {
		return nil, false
	}
	s := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(names))}
	for _, name := range names {
		member, ok := protoOf(v.member(name), depth-1)
		if !ok {
			return nil, false
		}
		s.Fields[name] = member
	}
	return s, true
}

// protoOf copies a value. Strings are copied, too: a caller's may be bytes that it uses again.
func protoOf(v Value, depth int) (*structpb.Value, bool) {
	switch v = asJSON(v); v.kind {
	case kindBool:
		return structpb.NewBoolValue(v.bits != 0), true
	case kindNumber:
		return structpb.NewNumberValue(v.number()), true
	case kindString:
		return structpb.NewStringValue(string([]byte(v.text()))), true
	case kindList:
		if depth == 0 {
			return nil, false
		}
		l := &structpb.ListValue{Values: make([]*structpb.Value, v.length())}
		for i := range l.Values {
			var ok bool
			if l.Values[i], ok = protoOf(v.at(i), depth-1); !ok {
				return nil, false
			}
		}
		return structpb.NewListValue(l), true
	case kindObject:
		s, ok := structOf(v, depth)
		return structpb.NewStructValue(s), ok
	}
	return structpb.NewNullValue(), true
}
