package eval

import (
	"math/bits"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
)

// values is a list that an expression makes, or holds as a constant.
type values []Value

// Len implements [List].
func (l values) Len() int { return len(l) }

// At implements [List].
func (l values) At(i int) Value { return l[i] }

// subset is a list of some of at most 64 constants: those whose bit the Value has. So
// the list of what is missing takes no memory.
type subset struct{ all []Value }

var noValues = ListValue(values{})

// length is the number of a list's elements.
func (v Value) length() int {
	if v.kind != kindList {
		return 0
	}
	switch l := v.ref.(type) {
	case values:
		return len(l)
	case *structpb.ListValue:
		return len(l.GetValues())
	case []any:
		return len(l)
	case []string:
		return len(l)
	case *subset:
		return bits.OnesCount64(v.bits)
	case List:
		return l.Len()
	}
	return 0
}

// at returns an element of a list as JSON has it.
func (v Value) at(i int) Value {
	switch l := v.ref.(type) {
	case values:
		return l[i]
	case *structpb.ListValue:
		return structValue(l.GetValues()[i])
	case []any:
		return asJSON(ValueOf(l[i]))
	case []string:
		return StringValue(l[i])
	case *subset:
		left := v.bits
		for range i {
			left &= left - 1
		}
		return l.all[bits.TrailingZeros64(left)]
	case List:
		return asJSON(l.At(i))
	}
	return Value{}
}

// asJSON makes a string of a time, which JSON does not have.
func asJSON(v Value) Value {
	if v.kind != kindTime {
		return v
	}
	return StringValue(time.Unix(int64(v.bits), int64(v.nsec)).UTC().Format(time.RFC3339Nano))
}

// step returns a member of an object, or the element of a list that a number names.
func (v Value) step(name string) Value {
	if v.kind != kindList {
		return v.member(name)
	}
	i, ok := index(name)
	if !ok || i >= v.length() {
		return Value{}
	}
	return v.at(i)
}

// index reads an element's index as flagd does: any number, its fraction cut off.
func index(s string) (int, bool) {
	if len(s) == 1 && isDigit(s[0]) {
		return int(s[0] - '0'), true
	}
	f, err := parseFloat(s)
	if err != nil || !(f > -1 && f < maxWhole) {
		return 0, false
	}
	return int(f), true
}

// parseFloat is strconv.ParseFloat, without the allocation for most of what is no
// number.
func parseFloat(s string) (float64, error) {
	digits := s
	if digits != "" && (digits[0] == '-' || digits[0] == '+') {
		digits = digits[1:]
	}
	if digits == "" || !isDigit(digits[0]) && digits[0] != '.' && digits[0]|0x20 != 'i' && digits[0]|0x20 != 'n' {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(s, 64)
}
