package eval

import (
	"math"
	"time"
	"unsafe"

	"google.golang.org/protobuf/types/known/structpb"
)

// Value is an attribute's value: a boolean, a number, a string, a time, a list or an
// object. The zero Value is absent, which is also what null reads as.
//
// All numbers are doubles, as in JSON, so that a context means the same whether it is
// evaluated in process or sent to a relay.
type Value struct {
	kind kind
	nsec int32 // of kindTime
	// bits are, of kindBool, 0 or 1; of kindNumber, IEEE 754; of kindTime, Unix seconds;
	// of kindString, the length; of kindReserved, the source.
	bits uint64
	// ref is, of kindString, the *byte where it begins (four words are what the compiler
	// keeps in registers; a string beside an interface would be five); of kindList, a
	// []any, []string, *structpb.ListValue or List; of kindObject, a map[string]any or
	// Attributes. A list stays in the interface that it came in: boxing it allocates.
	ref any
}

type kind uint8

const (
	kindAbsent kind = iota
	kindBool
	kindNumber
	kindString
	kindTime
	kindList
	kindObject
	kindReserved // an object that a source provides; only expressions meet it
)

// List is a list of an implementation's own.
type List interface {
	Len() int
	At(i int) Value
}

// StringValue returns s as a Value.
func StringValue(s string) Value {
	return Value{kind: kindString, bits: uint64(len(s)), ref: unsafe.StringData(s)} //nolint:gosec // text puts the two halves together again
}

// text returns the string of a kindString.
func (v Value) text() string {
	return unsafe.String(v.ref.(*byte), int(v.bits)) //nolint:gosec // the two halves that StringValue made
}

// NumberValue returns f as a Value.
func NumberValue(f float64) Value { return Value{kind: kindNumber, bits: math.Float64bits(f)} }

// BoolValue returns b as a Value.
func BoolValue(b bool) Value {
	v := Value{kind: kindBool}
	if b {
		v.bits = 1
	}
	return v
}

// TimeValue returns t as a Value; only the date operators take it.
func TimeValue(t time.Time) Value {
	return Value{kind: kindTime, bits: uint64(t.Unix()), nsec: int32(t.Nanosecond())}
}

// ListValue returns l as a Value; nil is absent.
func ListValue(l List) Value {
	if l == nil {
		return Value{}
	}
	return Value{kind: kindList, ref: l}
}

// ObjectValue returns a as a Value; nil is absent.
func ObjectValue(a Attributes) Value {
	if a == nil {
		return Value{}
	}
	return Value{kind: kindObject, ref: a}
}

// ValueOf reads a Go value as [Map] does: what it does not know is absent.
func ValueOf(v any) Value {
	switch x := v.(type) {
	case string:
		return StringValue(x)
	case bool:
		return BoolValue(x)
	case float64:
		return NumberValue(x)
	case int:
		return NumberValue(float64(x))
	case []any, []string:
		return Value{kind: kindList, ref: v}
	case map[string]any:
		return Value{kind: kindObject, ref: v}
	case Map:
		return Value{kind: kindObject, ref: v}
	case time.Time:
		return TimeValue(x)
	case Value:
		return x
	}
	return numberOf(v)
}

// numberOf reads the number types that are rarer than int and float64.
func numberOf(v any) Value {
	switch x := v.(type) {
	case int64:
		return NumberValue(float64(x))
	case int32:
		return NumberValue(float64(x))
	case int16:
		return NumberValue(float64(x))
	case int8:
		return NumberValue(float64(x))
	case uint:
		return NumberValue(float64(x))
	case uint64:
		return NumberValue(float64(x))
	case uint32:
		return NumberValue(float64(x))
	case uint16:
		return NumberValue(float64(x))
	case uint8:
		return NumberValue(float64(x))
	case float32:
		return NumberValue(float64(x))
	}
	return Value{}
}

func structValue(v *structpb.Value) Value {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return StringValue(k.StringValue)
	case *structpb.Value_NumberValue:
		return NumberValue(k.NumberValue)
	case *structpb.Value_BoolValue:
		return BoolValue(k.BoolValue)
	case *structpb.Value_ListValue:
		return Value{kind: kindList, ref: k.ListValue}
	case *structpb.Value_StructValue:
		return Value{kind: kindObject, ref: structAttributes{k.StructValue}}
	}
	return Value{}
}

// Exists tells whether there is a value at all.
func (v Value) Exists() bool { return v.kind != kindAbsent }

func (v Value) number() float64 { return math.Float64frombits(v.bits) }

// member returns a member of an object; absent if there is none or v is no object.
func (v Value) member(name string) Value {
	if v.kind != kindObject {
		return Value{}
	}
	switch o := v.ref.(type) {
	case map[string]any:
		return ValueOf(o[name])
	case Attributes:
		return o.Attribute(name)
	}
	return Value{}
}

// instant returns the point in time that v stands for: a time, an RFC 3339 string, or
// seconds since 1970.
func (v Value) instant() (instant, bool) {
	switch v.kind {
	case kindTime:
		return instant{sec: int64(v.bits), nsec: v.nsec}, true
	case kindString:
		return parseInstant(v.text())
	case kindNumber:
		return instantOfSeconds(v.number())
	}
	return instant{}, false
}

// maxWhole is the largest whole number that every language reads from JSON without
// loss: 2^53-1.
const maxWhole = 1<<53 - 1

// whole returns a number without a fraction, of at most maxWhole in size.
func (v Value) whole() (int64, bool) {
	if v.kind != kindNumber {
		return 0, false
	}
	return wholeNumber(v.number())
}

func wholeNumber(f float64) (int64, bool) {
	if f != math.Trunc(f) || math.Abs(f) > maxWhole { // NaN and Inf fail one of them
		return 0, false
	}
	return int64(f), true
}
