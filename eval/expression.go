package eval

// expression is a compiled JsonLogic expression of a flag.
type expression struct {
	root    term
	flagKey string
}

// term is a part of an expression: an operator and its operands.
type term struct {
	operator operator
	// bare: the only operand was not written in a list. If its value is a list, that
	// list's elements are the operands.
	bare     bool
	steps    uint32 // that it takes beside its operands
	operands []term

	constant   Value
	variable   *variable   // of opVar
	missing    *missing    // of opMissing and opMissingSome
	membership *membership // of opIn: of the constant list
	fractional *fractional
	comparison *versionComparison // of opSemVer
}

// operator says what a term does.
type operator uint8

const (
	noOperator operator = iota
	opConstant
	opList // a list in the expression
	opFail // constants that the operator in failed cannot take
	opVar
	opMissing
	opMissingSome
	opIf
	opEqual
	opStrictlyEqual
	opNotEqual
	opStrictlyNotEqual
	opLess
	opLessOrEqual
	opGreater
	opGreaterOrEqual
	opRemainder
	opDivide
	opMultiply
	opAdd
	opSubtract
	opMax
	opMin
	opNot
	opTruthy
	opOr
	opAnd
	opIn
	opCat
	opSubstr
	opMerge
	opMap
	opFilter
	opAll
	opNone
	opSome
	opReduce
	opFractional
	opStartsWith
	opEndsWith
	opSemVer
)

// frame is the data that an operator like 'map' evaluates its expression over: an
// element of a list. The nil frame is the context.
type frame struct {
	data  Value
	outer *frame
}

// maxSteps bounds the work of the expressions of one flag in one evaluation, whatever
// the context holds: a step is an operand evaluated (a constant is one too), an element
// looked at, or some bytes scanned, made, or followed as a path.
const (
	maxSteps      = 1 << 18
	scannedAStep  = 64 // bytes
	producedAStep = 16 // bytes
	followedAStep = 16 // bytes of a path that is computed
	walkedAStep   = 8  // frames and elements of a path that is known
)

// charge counts work. It tells whether there is some left.
func (l *lookups) charge(steps int) bool {
	if l.failure == noOperator && steps >= 0 && steps <= maxSteps-int(l.steps) {
		l.steps += uint32(steps)
		return true
	}
	if l.failure == noOperator {
		l.failure = opFail
	}
	return false
}

// chargeFor counts work on a value, and what its length adds.
func (l *lookups) chargeFor(v Value, steps int) bool { return l.charge(steps + v.scanned()) }

// scanned is how many steps it takes to look at all of a text.
func (v Value) scanned() int {
	if v.kind != kindString {
		return 0
	}
	return int(v.bits / scannedAStep)
}

// fail notes the first operator that could not take its operands. What it returns is
// ignored in the end, as is everything after it.
func (l *lookups) fail(o operator) Value {
	if l.failure == noOperator {
		l.failure = o
	}
	return Value{}
}

// eval returns the value of a term. Whether it failed is noted in l.
func (x *expression) eval(n *term, ctx *Context, l *lookups, f *frame) Value {
	if !l.charge(int(n.steps)) {
		return Value{}
	}
	switch n.operator {
	case opConstant:
		return n.constant
	case opVar:
		return x.variable(n.variable, ctx, l, f)
	case opIf:
		return x.conditional(n, ctx, l, f)
	case opAnd, opOr:
		return x.connective(n, ctx, l, f)
	case opNot, opTruthy:
		return BoolValue(x.negation(n, ctx, l, f) == (n.operator == opNot))
	case opIn:
		return x.in(n, ctx, l, f)
	case opEqual, opStrictlyEqual, opNotEqual, opStrictlyNotEqual:
		return BoolValue(x.equality(n, ctx, l, f))
	case opLess, opLessOrEqual, opGreater, opGreaterOrEqual:
		return BoolValue(x.ordering(n, ctx, l, f))
	case opStartsWith, opEndsWith:
		return x.affix(n, ctx, l, f)
	case opSemVer:
		return x.compareVersions(n, ctx, l, f)
	case opFractional:
		return x.fractional(n, ctx, l, f)
	case opMissing, opMissingSome:
		return x.missing(n, ctx, l, f)
	case opAdd, opSubtract, opMultiply, opDivide, opMax, opMin:
		return x.arithmetic(n, ctx, l, f)
	case opRemainder:
		return x.remainder(n, ctx, l, f)
	}
	return x.evalRarer(n, ctx, l, f)
}

// evalRarer has the operators that may allocate.
func (x *expression) evalRarer(n *term, ctx *Context, l *lookups, f *frame) Value {
	switch n.operator {
	case opList:
		return ListValue(x.evalAll(n.operands, ctx, l, f))
	case opCat:
		return x.cat(n, ctx, l, f)
	case opSubstr:
		return x.substr(n, ctx, l, f)
	case opMerge:
		return x.merge(n, ctx, l, f)
	case opMap, opFilter:
		return x.transform(n, ctx, l, f)
	case opAll, opNone, opSome:
		return x.quantify(n, ctx, l, f)
	case opReduce:
		return x.reduce(n, ctx, l, f)
	case opFail:
		return l.fail(operator(n.constant.bits))
	}
	return Value{}
}

func (x *expression) evalAll(terms []term, ctx *Context, l *lookups, f *frame) values {
	all := make(values, len(terms))
	for i := range terms {
		all[i] = x.eval(&terms[i], ctx, l, f)
	}
	return all
}

// conditional is 'if': condition and value in turn, and what is left over.
func (x *expression) conditional(n *term, ctx *Context, l *lookups, f *frame) Value {
	operands := n.operands
	for len(operands) >= 2 {
		if x.eval(&operands[0], ctx, l, f).truthy() {
			return x.eval(&operands[1], ctx, l, f)
		}
		operands = operands[2:]
	}
	if len(operands) == 1 {
		return x.eval(&operands[0], ctx, l, f)
	}
	return Value{}
}

// connective is 'and' and 'or': the value of the operand that decides.
func (x *expression) connective(n *term, ctx *Context, l *lookups, f *frame) (last Value) {
	for i := range n.operands {
		last = x.eval(&n.operands[i], ctx, l, f)
		if last.truthy() == (n.operator == opOr) {
			return last
		}
	}
	return last
}

// negation is the truth of '!'. Of several operands (from a list that a bare operand is)
// the first counts.
func (x *expression) negation(n *term, ctx *Context, l *lookups, f *frame) bool {
	if len(n.operands) == 0 {
		return true
	}
	v := x.eval(&n.operands[0], ctx, l, f)
	if n.bare && v.length() > 0 {
		v = v.at(0)
	}
	return !v.truthy()
}

func (x *expression) equality(n *term, ctx *Context, l *lookups, f *frame) bool {
	a, b := x.eval(&n.operands[0], ctx, l, f), x.eval(&n.operands[1], ctx, l, f)
	switch n.operator {
	case opEqual:
		return looselyEqual(a, b)
	case opNotEqual:
		return !looselyEqual(a, b)
	case opStrictlyEqual:
		return strictlyEqual(a, b)
	}
	return !strictlyEqual(a, b)
}

// ordering compares two operands, or tests whether the second lies between the others.
func (x *expression) ordering(n *term, ctx *Context, l *lookups, f *frame) bool {
	a, b := x.eval(&n.operands[0], ctx, l, f), x.eval(&n.operands[1], ctx, l, f)
	if len(n.operands) == 2 {
		return ordered(n.operator, a, b)
	}
	c := x.eval(&n.operands[2], ctx, l, f)
	return ordered(n.operator, a, b) && ordered(n.operator, b, c)
}

func ordered(o operator, a, b Value) bool {
	switch o {
	case opLess:
		return less(a, b)
	case opLessOrEqual:
		return lessOrEqual(a, b)
	case opGreater:
		return less(b, a)
	}
	return lessOrEqual(b, a)
}
