package eval

import "strings"

// membership is the constant list of an 'in', brought into sets. Elements of other types
// than strings and numbers are met one by one.
type membership struct {
	strings []string            // few
	set     map[string]struct{} // many
	// What strings and numbers come to as numbers.
	numbers   []float64
	numberSet map[float64]struct{}
}

func (m *membership) hasString(s string) bool {
	if m.set != nil {
		_, ok := m.set[s]
		return ok
	}
	for _, v := range m.strings {
		if s == v {
			return true
		}
	}
	return false
}

func (m *membership) hasNumber(f float64) bool {
	if m.numberSet != nil {
		_, ok := m.numberSet[f]
		return ok
	}
	for _, v := range m.numbers {
		if f == v {
			return true
		}
	}
	return false
}

// in tells whether text contains text, or a list a value.
func (x *expression) in(n *term, ctx *Context, l *lookups, f *frame) Value {
	a := x.eval(&n.operands[0], ctx, l, f)
	if m := n.membership; m != nil {
		switch a.kind {
		case kindString:
			return BoolValue(m.hasString(a.text()))
		case kindNumber:
			return BoolValue(m.hasNumber(a.number()))
		}
	}
	if list := &n.operands[1]; list.operator == opList {
		return x.inOperands(a, list.operands, ctx, l, f)
	}
	b := x.eval(&n.operands[1], ctx, l, f)
	switch b.kind {
	case kindString:
		if a.kind != kindString {
			return l.fail(opIn)
		}
		if !l.charge(len(b.text()) / scannedAStep) {
			return Value{}
		}
		return BoolValue(strings.Contains(b.text(), a.text()))
	case kindList:
		return inList(a, b, l)
	}
	return BoolValue(false)
}

func inList(a, list Value, l *lookups) Value {
	for i := range list.length() {
		element := list.at(i)
		if !l.chargeFor(element, 1) {
			return Value{}
		}
		switch found, ok := elementIs(element, a, l); {
		case !ok:
			return l.fail(opIn)
		case found:
			return BoolValue(true)
		}
	}
	return BoolValue(false)
}

// inOperands is inList for a list whose elements are expressions. All are evaluated.
func (x *expression) inOperands(a Value, elements []term, ctx *Context, l *lookups, f *frame) Value {
	decided, found := false, false
	for i := range elements {
		element := x.eval(&elements[i], ctx, l, f)
		if decided {
			continue
		}
		var ok bool
		if found, ok = elementIs(element, a, l); !ok {
			return l.fail(opIn)
		}
		decided = found
	}
	return BoolValue(found)
}

// elementIs tells whether an element of a list stands for the value: it is equal, or it
// is a range, which a list of two numbers is.
func elementIs(element, v Value, l *lookups) (found, ok bool) {
	switch {
	case element.kind == kindList:
		return inRange(element, v, l)
	case v.kind == kindNumber:
		number, ok := element.operand()
		return ok && number == v.number(), ok
	}
	return identical(element, v)
}

func inRange(bounds, v Value, l *lookups) (found, ok bool) {
	if bounds.length() < 2 {
		return false, false
	}
	from, to := bounds.at(0), bounds.at(1)
	if !l.charge(v.scanned() + from.scanned() + to.scanned()) {
		return false, false
	}
	number, ok := v.operand()
	if !ok {
		return false, false
	}
	low, ok := from.operand()
	if !ok {
		return false, false
	}
	if number < low || number != number {
		return false, true
	}
	high, ok := to.operand()
	return ok && high >= number, ok
}

// merge makes one list of lists and of what is none.
func (x *expression) merge(n *term, ctx *Context, l *lookups, f *frame) Value {
	if !n.bare {
		return flatten(ListValue(x.evalAll(n.operands, ctx, l, f)), l)
	}
	v := x.eval(&n.operands[0], ctx, l, f)
	switch {
	case v.kind == kindList:
		return flatten(v, l)
	case v.primitive():
		return ListValue(values{v})
	}
	return l.fail(opMerge)
}

func flatten(list Value, l *lookups) Value {
	total := 0
	for i := range list.length() {
		if total += max(1, list.at(i).length()); !l.charge(1) {
			return Value{}
		}
	}
	if !l.charge(total) {
		return Value{}
	}
	flat := make(values, 0, total)
	for i := range list.length() {
		element := list.at(i)
		if element.kind != kindList {
			flat = append(flat, element)
			continue
		}
		for j := range element.length() {
			flat = append(flat, element.at(j))
		}
	}
	return ListValue(flat)
}

// transform is 'map' and 'filter'.
func (x *expression) transform(n *term, ctx *Context, l *lookups, f *frame) Value {
	list := x.eval(&n.operands[0], ctx, l, f)
	if !list.Exists() {
		return noValues
	}
	if list.kind != kindList {
		return l.fail(n.operator)
	}
	var result values
	inner := &frame{outer: f}
	for i := range list.length() {
		if !l.charge(1) {
			return Value{}
		}
		inner.data = list.at(i)
		v := x.eval(&n.operands[1], ctx, l, inner)
		switch {
		case n.operator == opMap:
			result = append(result, v)
		case v.truthy():
			result = append(result, inner.data)
		}
	}
	return ListValue(result)
}

// quantify is 'all', 'some' and 'none'. Nothing is true of all of an empty list.
func (x *expression) quantify(n *term, ctx *Context, l *lookups, f *frame) Value {
	list := x.eval(&n.operands[0], ctx, l, f)
	if !list.truthy() {
		return BoolValue(n.operator == opNone)
	}
	if list.kind != kindList {
		return l.fail(n.operator)
	}
	inner := &frame{outer: f}
	for i := range list.length() {
		if !l.charge(1) {
			return Value{}
		}
		inner.data = list.at(i)
		if x.eval(&n.operands[1], ctx, l, inner).truthy() != (n.operator == opAll) {
			return BoolValue(n.operator == opSome)
		}
	}
	return BoolValue(n.operator != opSome)
}

// reduction is the data that 'reduce' evaluates its expression over.
type reduction struct {
	current, accumulator Value
	valueType            string
}

// Attribute implements [Attributes].
func (r *reduction) Attribute(name string) Value {
	switch name {
	case "current":
		return r.current
	case "accumulator":
		return r.accumulator
	case "valueType":
		return StringValue(r.valueType)
	}
	return Value{}
}

// reduce keeps the type of the initial value: each result is converted to it.
func (x *expression) reduce(n *term, ctx *Context, l *lookups, f *frame) Value {
	r := &reduction{accumulator: x.eval(&n.operands[2], ctx, l, f)}
	kept := r.accumulator.kind
	switch kept {
	case kindBool:
		r.valueType = "bool"
	case kindNumber:
		r.valueType = "number"
	case kindString:
		r.valueType = "string"
	default:
		return l.fail(opReduce)
	}
	list := x.eval(&n.operands[0], ctx, l, f)
	if !list.Exists() {
		return NumberValue(0)
	}
	if list.kind != kindList {
		return l.fail(opReduce)
	}
	inner := &frame{data: ObjectValue(r), outer: f}
	for i := range list.length() {
		if !l.charge(1) {
			return Value{}
		}
		if r.current = list.at(i); !r.current.Exists() {
			continue
		}
		v, ok := x.eval(&n.operands[1], ctx, l, inner).convert(kept)
		if !ok {
			return l.fail(opReduce)
		}
		r.accumulator = v
	}
	return r.accumulator
}

// convert makes a boolean, a number or a string of a value.
func (v Value) convert(to kind) (_ Value, ok bool) {
	switch to {
	case kindBool:
		return BoolValue(v.truthy()), true
	case kindNumber:
		f, ok := v.operand()
		return NumberValue(f), ok
	}
	text, ok := v.toText()
	return StringValue(text), ok
}
