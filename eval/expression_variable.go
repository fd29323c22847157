package eval

import "strings"

// variable is a compiled 'var': a path that is known, or an expression for it.
type variable struct {
	attribute *attribute // of the context, where the path leads; nil: the path is computed, or empty
	path      []string   // from an element of a list on
	kind      variableKind
	name      *term // of variableComputed: the operand, or the first one of a list
	listed    bool  // the operand is a list, whose first element must be text
	fallback  *term // nil: none
	// hops are the frames to look in, as steps outwards from the innermost: the first
	// that has a value decides. The operators that flagd evaluates lists with ('filter',
	// 'all', 'none', 'some') look in the data around them before the element.
	hops []uint8
}

// steps is how many it takes to follow the path through all frames, beyond the first.
func (v *variable) steps() uint32 {
	return uint32(len(v.hops) * (len(v.hops) + len(v.path)) / walkedAStep)
}

type variableKind uint8

const (
	variablePath     variableKind = iota
	variableNull                  // null: the data itself, if it is no list or object
	variableComputed              // by an expression
)

// variable returns the value of a 'var'. Whatever an operator does to a text takes time
// by its length, so that is counted here.
func (x *expression) variable(v *variable, ctx *Context, l *lookups, f *frame) Value {
	value := x.find(v, ctx, l, f)
	if value.kind == kindString && value.bits >= scannedAStep {
		l.chargeFor(value, 0)
	}
	return value
}

func (x *expression) find(v *variable, ctx *Context, l *lookups, f *frame) Value {
	if f == nil && v.attribute != nil && v.fallback == nil {
		return asJSON(l.value(v.attribute, ctx))
	}
	for _, hops := range v.hops {
		at := f
		for range hops {
			at = at.outer
		}
		if value := x.variableIn(v, ctx, l, at); value.Exists() {
			return value
		}
	}
	return Value{}
}

// variableIn looks in one frame.
func (x *expression) variableIn(v *variable, ctx *Context, l *lookups, f *frame) Value {
	var fallback, value Value
	if v.fallback != nil {
		fallback = x.eval(v.fallback, ctx, l, f)
	}
	switch {
	case v.kind == variableComputed:
		name := x.eval(v.name, ctx, l, f)
		if v.listed && name.kind != kindString {
			return l.fail(opVar)
		}
		return x.lookup(name, fallback, ctx, l, f)
	case v.kind == variableNull:
		return primitiveData(f)
	case f == nil && v.attribute != nil:
		value = asJSON(l.value(v.attribute, ctx))
	default:
		value = x.data(f)
		for i, name := range v.path {
			if i == 0 {
				value = x.enter(value, name, ctx)
			} else {
				value = x.step(value, name, ctx)
			}
		}
	}
	if !value.Exists() {
		return fallback
	}
	return value
}

// lookup is 'var' with a computed name.
func (x *expression) lookup(name, fallback Value, ctx *Context, l *lookups, f *frame) Value {
	switch name.kind {
	case kindAbsent:
		return primitiveData(f)
	case kindString:
		return x.walk(name.text(), fallback, ctx, l, f)
	case kindNumber:
		text, _ := name.toText()
		return x.walk(text, fallback, ctx, l, f)
	case kindList:
		return x.lookupListed(name, ctx, l, f)
	}
	if !x.data(f).Exists() { // nothing leads into null
		return fallback
	}
	return l.fail(opVar)
}

// lookupListed is 'var' with a computed list of a name and maybe a default.
func (x *expression) lookupListed(list Value, ctx *Context, l *lookups, f *frame) Value {
	n := list.length()
	if n == 0 {
		return x.data(f)
	}
	name, fallback := list.at(0), Value{}
	if name.kind != kindString {
		return l.fail(opVar)
	}
	if n == 2 {
		fallback = list.at(1)
	}
	return x.walk(name.text(), fallback, ctx, l, f)
}

// walk follows a path that was not known before. Empty elements do not count.
func (x *expression) walk(path string, fallback Value, ctx *Context, l *lookups, f *frame) Value {
	if !l.charge(len(path) / followedAStep) {
		return Value{}
	}
	value, entered := x.data(f), false
	for more := true; more; {
		var name string
		name, path, more = strings.Cut(path, ".")
		switch {
		case name == "":
		case entered:
			value = x.step(value, name, ctx)
		default:
			value, entered = x.enter(value, name, ctx), true
		}
	}
	if !value.Exists() {
		return fallback
	}
	return value
}

// data is what an empty path leads to.
func (x *expression) data(f *frame) Value {
	if f == nil {
		return Value{kind: kindReserved, bits: uint64(fromContext)}
	}
	return f.data
}

func primitiveData(f *frame) Value {
	if f != nil && f.data.primitive() {
		return f.data
	}
	return Value{}
}

// enter goes the first element of a path. In an element of a caller's list, too, names
// that callers cannot set lead to nothing.
func (x *expression) enter(data Value, name string, ctx *Context) Value {
	if data.kind != kindReserved && reserved(name) {
		return Value{}
	}
	return x.step(data, name, ctx)
}

// step goes one element of a path further.
func (x *expression) step(v Value, name string, ctx *Context) Value {
	if v.kind != kindReserved {
		return asJSON(v.step(name))
	}
	s := memberSource(source(v.bits), name)
	if s != fromAttributes {
		return provided(s, ctx, x.flagKey)
	}
	if ctx.Attributes == nil {
		return Value{}
	}
	return asJSON(ctx.Attributes.Attribute(name))
}

// missing is a compiled 'missing' or 'missing_some' whose names are constants; nil: they
// are computed.
type missing struct {
	variables []variable
	names     subset
	least     int // of missing_some: so many must be there
}

// missing returns the list of the names that lead to nothing.
func (x *expression) missing(n *term, ctx *Context, l *lookups, f *frame) Value {
	m := n.missing
	if m == nil {
		return x.missingComputed(n, ctx, l, f)
	}
	var absent uint64
	for i := range m.variables {
		if !x.variable(&m.variables[i], ctx, l, f).Exists() {
			absent |= 1 << i
		}
	}
	v := Value{kind: kindList, bits: absent, ref: &m.names}
	if n.operator == opMissingSome && len(m.variables)-v.length() >= m.least {
		v.bits = 0
	}
	return v
}

func (x *expression) missingComputed(n *term, ctx *Context, l *lookups, f *frame) Value {
	var names Value
	least := 0.0
	switch {
	case n.operator == opMissingSome:
		number, ok := x.eval(&n.operands[0], ctx, l, f).operand()
		if names = x.eval(&n.operands[1], ctx, l, f); !ok {
			return l.fail(n.operator)
		}
		if names.kind != kindList {
			return noValues
		}
		least = number
	case n.bare:
		names = x.eval(&n.operands[0], ctx, l, f)
		if names.kind == kindString {
			names = ListValue(values{names})
		}
		if names.kind != kindList {
			return l.fail(n.operator)
		}
	default:
		names = ListValue(x.evalAll(n.operands, ctx, l, f))
	}
	count := names.length()
	if !l.charge(count) {
		return Value{}
	}
	absent := make(values, 0, count)
	for i := range count {
		if name := names.at(i); !x.lookup(name, Value{}, ctx, l, f).Exists() {
			absent = append(absent, name)
		}
	}
	if n.operator == opMissingSome && count-len(absent) >= truncate(least, count+1) {
		return noValues
	}
	return ListValue(absent)
}
