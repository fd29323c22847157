package eval

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// operand returns an operand of an operator that takes any number of them; list is the
// value of a bare one, whose elements' lengths have not been counted yet.
func (x *expression) operand(n *term, list Value, i int, ctx *Context, l *lookups, f *frame) Value {
	if n.bare {
		element := list.at(i)
		if !l.chargeFor(element, 0) {
			return Value{}
		}
		return element
	}
	return x.eval(&n.operands[i], ctx, l, f)
}

// arithmetic has the operators that join numbers: '+', '-', '*', '/', 'max' and 'min'.
func (x *expression) arithmetic(n *term, ctx *Context, l *lookups, f *frame) Value {
	count := len(n.operands)
	var list Value
	if n.bare {
		if list = x.eval(&n.operands[0], ctx, l, f); list.kind != kindList {
			return withoutList(n.operator, list, l)
		}
		if count = list.length(); !l.charge(count) {
			return Value{}
		}
	}
	if count == 0 {
		return withoutOperands(n.operator)
	}
	result, ok := x.operand(n, list, 0, ctx, l, f).operand()
	switch {
	case n.operator == opSubtract && count == 1:
		result = -result
	case n.operator == opAdd:
		result += 0 // so that the sum of -0 is 0
	}
	for i := 1; i < count; i++ {
		next, isNumber := x.operand(n, list, i, ctx, l, f).operand()
		ok = ok && isNumber
		result = calculate(n.operator, result, next)
	}
	if !ok {
		return l.fail(n.operator)
	}
	return NumberValue(result)
}

func calculate(o operator, a, b float64) float64 {
	switch {
	case o == opAdd:
		return a + b
	case o == opSubtract:
		return a - b
	case o == opMultiply:
		return a * b
	case o == opDivide:
		return a / b
	case o == opMax && b > a, o == opMin && b < a:
		return b
	}
	return a
}

// withoutList is what the operators make of a bare operand that is no list.
func withoutList(o operator, v Value, l *lookups) Value {
	if o != opAdd {
		return withoutOperands(o)
	}
	number, ok := v.operand()
	if !ok {
		return l.fail(o)
	}
	return NumberValue(number)
}

func withoutOperands(o operator) Value {
	switch o {
	case opMax, opMin:
		return Value{}
	case opMultiply:
		return NumberValue(1)
	}
	return NumberValue(0)
}

func (x *expression) remainder(n *term, ctx *Context, l *lookups, f *frame) Value {
	a, aOK := x.eval(&n.operands[0], ctx, l, f).operand()
	b, bOK := x.eval(&n.operands[1], ctx, l, f).operand()
	if !aOK || !bOK {
		return l.fail(opRemainder)
	}
	return NumberValue(math.Mod(a, b))
}

// affix is 'starts_with' and 'ends_with'; null if one of the two is no text.
func (x *expression) affix(n *term, ctx *Context, l *lookups, f *frame) Value {
	s, affix := x.eval(&n.operands[0], ctx, l, f), x.eval(&n.operands[1], ctx, l, f)
	if s.kind != kindString || affix.kind != kindString {
		return Value{}
	}
	if n.operator == opStartsWith {
		return BoolValue(strings.HasPrefix(s.text(), affix.text()))
	}
	return BoolValue(strings.HasSuffix(s.text(), affix.text()))
}

// cat joins texts and numbers, and cuts off the space around the whole.
func (x *expression) cat(n *term, ctx *Context, l *lookups, f *frame) Value {
	count := len(n.operands)
	var list Value
	if n.bare {
		if list = x.eval(&n.operands[0], ctx, l, f); list.kind == kindString {
			return list
		}
		if count = list.length(); list.kind != kindList {
			return l.fail(opCat)
		}
	}
	if count == 1 {
		text, ok := x.operand(n, list, 0, ctx, l, f).toText()
		if !ok {
			return l.fail(opCat)
		}
		return StringValue(text)
	}
	var joined []byte
	ok := true
	for i := range count {
		var isText bool
		before := len(joined)
		part := x.operand(n, list, i, ctx, l, f)
		if part.kind == kindString && !l.charge(len(part.text())/producedAStep) {
			return Value{}
		}
		joined, isText = part.appendText(joined)
		ok = ok && isText
		if !l.charge(1 + (len(joined)-before)/producedAStep) {
			return Value{}
		}
	}
	if !ok {
		return l.fail(opCat)
	}
	return StringValue(strings.TrimSpace(string(joined)))
}

// substr cuts characters out of a text, as JavaScript's does, with flagd's exceptions:
// an end before the beginning fails.
func (x *expression) substr(n *term, ctx *Context, l *lookups, f *frame) Value {
	text, isText := x.eval(&n.operands[0], ctx, l, f).toText()
	first, isNumber := x.eval(&n.operands[1], ctx, l, f).operand()
	var last float64
	hasLast := true
	if len(n.operands) == 3 {
		last, hasLast = x.eval(&n.operands[2], ctx, l, f).operand()
	}
	if !isText || !isNumber {
		return l.fail(opSubstr)
	}
	length := utf8.RuneCountInString(text)
	from := truncate(first, length+1)
	if from < 0 {
		from += length
	}
	if from < 0 || from > length { // before a third operand is looked at
		return StringValue(text)
	}
	to := length
	if len(n.operands) == 3 {
		if to = truncate(last, length+1); to < 0 {
			to += length
		} else {
			to = min(from+to, length)
		}
	}
	if !hasLast || to < from {
		return l.fail(opSubstr)
	}
	return StringValue(cutRunes(text, from, to))
}

// truncate cuts the fraction off and what lies beyond the limit, on both sides. NaN lies
// below.
func truncate(f float64, limit int) int {
	if f != f {
		return -limit
	}
	return int(max(float64(-limit), min(float64(limit), f)))
}

// cutRunes returns the characters from one to before another.
func cutRunes(s string, from, to int) string {
	begin, end, n := len(s), len(s), 0
	for i := range s {
		if n == from {
			begin = i
		}
		if n == to {
			end = i
			break
		}
		n++
	}
	return s[begin:end]
}

// versionComparison holds what a 'sem_ver' has as constants.
type versionComparison struct {
	operator string
	versions [2]version // where constant[i]
	constant [2]bool
	invalid  bool // a constant is no version, or no operator
}

// compareVersions is 'sem_ver'; null if something is no version or no operator.
func (x *expression) compareVersions(n *term, ctx *Context, l *lookups, f *frame) Value {
	c := n.comparison
	a, aOK := x.version(n, 0, ctx, l, f)
	operator := c.operator
	if operator == "" {
		v := x.eval(&n.operands[1], ctx, l, f)
		if v.kind != kindString {
			aOK = false
		} else {
			operator = v.text()
		}
	}
	b, bOK := x.version(n, 2, ctx, l, f)
	if !aOK || !bOK || c.invalid {
		return Value{}
	}
	switch operator {
	case "=":
		return BoolValue(a.compare(b) == 0)
	case "!=":
		return BoolValue(a.compare(b) != 0)
	case "<":
		return BoolValue(a.compare(b) < 0)
	case "<=":
		return BoolValue(a.compare(b) <= 0)
	case ">":
		return BoolValue(a.compare(b) > 0)
	case ">=":
		return BoolValue(a.compare(b) >= 0)
	case "^":
		return BoolValue(a.sameMajor(b))
	case "~":
		return BoolValue(a.sameMinor(b))
	}
	return Value{}
}

// versionOf reads text or a number as a version.
func versionOf(v Value) (version, bool) {
	switch v.kind {
	case kindString:
		return parseVersion(v.text())
	case kindNumber: // as Go prints it
		return parseVersion(strconv.FormatFloat(v.number(), 'g', -1, 64))
	}
	return version{}, false
}

// version returns the version that an operand, the first or the last one, stands for.
func (x *expression) version(n *term, i int, ctx *Context, l *lookups, f *frame) (version, bool) {
	if n.comparison.constant[i/2] {
		return n.comparison.versions[i/2], true
	}
	return versionOf(x.eval(&n.operands[i], ctx, l, f))
}
