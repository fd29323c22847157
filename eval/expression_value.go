package eval

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
)

// How expressions read values of another type than they want. It is what flagd's
// JsonLogic library does, which is JavaScript where things are compared, and stricter
// where they are calculated with.

// truthy tells whether a value counts as true: what is not false, 0, empty or absent.
func (v Value) truthy() bool {
	switch v.kind {
	case kindBool:
		return v.bits != 0
	case kindNumber:
		return v.number() != 0
	case kindString:
		return v.bits != 0
	case kindTime, kindReserved:
		return true
	case kindList:
		return v.length() > 0
	case kindObject:
		return v.hasMembers()
	}
	return false
}

// hasMembers tells whether an object has any; one that cannot tell has.
func (v Value) hasMembers() bool {
	switch o := v.ref.(type) {
	case map[string]any:
		return len(o) > 0
	case Map:
		return len(o) > 0
	case structAttributes:
		return len(o.GetFields()) > 0
	case Object:
		return !o.Empty()
	}
	return true
}

func (v Value) primitive() bool { return v.kind >= kindBool && v.kind <= kindTime }

// comparand returns the number that '==' and '<' take a value for, as JavaScript does.
func (v Value) comparand() float64 {
	switch v.kind {
	case kindAbsent:
		return 0
	case kindBool:
		return float64(v.bits)
	case kindNumber:
		return v.number()
	case kindString:
		f, err := parseFloat(v.text())
		if err == nil {
			return f
		}
		if strings.TrimSpace(v.text()) == "" {
			return 0
		}
	}
	return math.NaN()
}

// looselyEqual is '=='.
func looselyEqual(a, b Value) bool {
	switch {
	case a.kind == kindString && b.kind == kindString:
		return a.text() == b.text()
	case a.kind == kindAbsent || b.kind == kindAbsent:
		return a.kind == b.kind
	}
	return a.comparand() == b.comparand()
}

// strictlyEqual is '==='. Lists and objects equal nothing.
func strictlyEqual(a, b Value) bool { return a.kind == b.kind && looselyEqual(a, b) }

// less is '<'.
func less(a, b Value) bool {
	if a.kind == kindString && b.kind == kindString {
		return a.text() < b.text()
	}
	return a.comparand() < b.comparand()
}

func lessOrEqual(a, b Value) bool { return less(a, b) || looselyEqual(a, b) }

// identical is how 'in' compares an element with what is no number. ok is false where
// flagd fails: two objects cannot be compared.
func identical(a, b Value) (equal, ok bool) {
	if a.kind != b.kind {
		return false, !a.object() || !b.object()
	}
	switch a.kind {
	case kindAbsent:
		return true, true
	case kindBool, kindNumber:
		return looselyEqual(a, b), true
	case kindString:
		return a.text() == b.text(), true
	}
	return false, false
}

func (v Value) object() bool { return v.kind == kindObject || v.kind == kindReserved }

// operand returns the number that arithmetic takes a value for; text that is no number
// is 0. ok is false for what is neither number nor text.
func (v Value) operand() (f float64, ok bool) {
	switch v.kind {
	case kindNumber:
		return v.number(), true
	case kindString:
		f, err := parseFloat(v.text())
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, true
		}
		return f, true
	}
	return 0, false
}

// numberSize is enough for most numbers' text.
const numberSize = 32

// appendText appends what 'cat' makes of a value. ok is false for what has no text.
func (v Value) appendText(b []byte) (_ []byte, ok bool) {
	switch v.kind {
	case kindAbsent:
		return b, true
	case kindString:
		return append(b, v.text()...), true
	case kindNumber:
		return strconv.AppendFloat(b, v.number(), 'f', -1, 64), true
	}
	return b, false
}

// toText is appendText for a single value.
func (v Value) toText() (_ string, ok bool) {
	if v.kind == kindString {
		return v.text(), true
	}
	var buffer [numberSize]byte
	b, ok := v.appendText(buffer[:0])
	return string(b), ok
}

// appendJSONNumber writes a number as encoding/json does.
func appendJSONNumber(b []byte, f float64) []byte {
	if abs := math.Abs(f); abs == 0 || 1e-6 <= abs && abs < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); n >= 4 && b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' { // e-09 is written e-9
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}

// constantValue brings a definition's value into the form that is fastest to read.
func constantValue(def *structpb.Value) Value {
	list, ok := def.GetKind().(*structpb.Value_ListValue)
	if !ok {
		return structValue(def)
	}
	elements := make(values, len(list.ListValue.GetValues()))
	for i, e := range list.ListValue.GetValues() {
		elements[i] = constantValue(e)
	}
	return ListValue(elements)
}
