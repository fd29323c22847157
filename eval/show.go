package eval

import (
	"math"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
)

// maxShownDepth is how deep lists and objects are shown.
const maxShownDepth = 16

// Proto returns the value for people to look at; nil if it is absent. Numbers that JSON does not
// have are texts, objects that cannot tell their members are empty, and what is nested too deep
// is null.
func (v Value) Proto() *structpb.Value { return v.proto(maxShownDepth) }

func (v Value) proto(depth int) *structpb.Value {
	if depth == 0 {
		return structpb.NewNullValue()
	}
	v = asJSON(v)
	switch v.kind {
	case kindBool:
		return structpb.NewBoolValue(v.bits != 0)
	case kindNumber:
		if f := v.number(); math.IsNaN(f) || math.IsInf(f, 0) {
			text, _ := v.toText()
			return structpb.NewStringValue(text)
		}
		return structpb.NewNumberValue(v.number())
	case kindString:
		return structpb.NewStringValue(strings.ToValidUTF8(v.text(), "\ufffd"))
	case kindList:
		list := &structpb.ListValue{Values: make([]*structpb.Value, v.length())}
		for i := range list.GetValues() {
			list.Values[i] = orNull(v.at(i).proto(depth - 1))
		}
		return structpb.NewListValue(list)
	case kindObject, kindReserved:
		o := &structpb.Struct{Fields: map[string]*structpb.Value{}}
		members, _ := v.memberNames()
		for _, name := range members {
			o.Fields[strings.ToValidUTF8(name, "\ufffd")] = orNull(v.member(name).proto(depth - 1))
		}
		return structpb.NewStructValue(o)
	}
	return nil
}

func orNull(v *structpb.Value) *structpb.Value {
	if v == nil {
		return structpb.NewNullValue()
	}
	return v
}

// Read returns what 'var' with that path reads of the context in an expression of the flag with
// that key; absent also where the path is of what is reserved and no single value.
func (c *Context) Read(flagKey, path string) Value {
	elements := strings.FieldsFunc(path, func(r rune) bool { return r == '.' })
	switch {
	case len(elements) == 0:
		return Value{}
	case reserved(elements[0]) && !isEnvironmental(path):
		return Value{}
	}
	a := newAttribute(strings.Join(elements, "."), flagKey)
	a.intoLists = true
	return a.value(c)
}
