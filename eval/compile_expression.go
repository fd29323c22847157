package eval

import (
	"slices"
	"strconv"

	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// maxExpressionDepth is how deep operators and lists may nest in an expression.
const maxExpressionDepth = 64

// operatorRule says how an operator is written.
type operatorRule struct {
	operator operator
	// How many operands it takes; most -1: any number.
	least, most int
	bare        bool // a single one need not be in a list
}

var operatorRules = map[string]operatorRule{
	"var": {opVar, 0, 2, true}, "missing": {opMissing, 0, -1, true}, "missing_some": {opMissingSome, 2, 2, false},
	"if": {opIf, 0, -1, false}, "and": {opAnd, 0, -1, false}, "or": {opOr, 0, -1, false},
	"!": {opNot, 0, 1, true}, "!!": {opTruthy, 0, 1, true},
	"==": {opEqual, 2, 2, false}, "===": {opStrictlyEqual, 2, 2, false},
	"!=": {opNotEqual, 2, 2, false}, "!==": {opStrictlyNotEqual, 2, 2, false},
	"<": {opLess, 2, 3, false}, "<=": {opLessOrEqual, 2, 3, false},
	">": {opGreater, 2, 3, false}, ">=": {opGreaterOrEqual, 2, 3, false},
	"%": {opRemainder, 2, 2, false}, "/": {opDivide, 0, -1, true}, "*": {opMultiply, 0, -1, true},
	"+": {opAdd, 0, -1, true}, "-": {opSubtract, 0, -1, true}, "max": {opMax, 0, -1, true}, "min": {opMin, 0, -1, true},
	"in": {opIn, 2, 2, false}, "cat": {opCat, 0, -1, true}, "substr": {opSubstr, 2, 3, false}, "merge": {opMerge, 0, -1, true},
	"map": {opMap, 2, 2, false}, "filter": {opFilter, 2, 2, false}, "reduce": {opReduce, 3, 3, false},
	"all": {opAll, 2, 2, false}, "none": {opNone, 2, 2, false}, "some": {opSome, 2, 2, false},
	"fractional": {opFractional, 1, -1, false}, "sem_ver": {opSemVer, 3, 3, false},
	"starts_with": {opStartsWith, 2, 2, false}, "ends_with": {opEndsWith, 2, 2, false},
}

// scope is where an expression stands: how many operators like 'map' are around it, and
// which of them have flagd look in the data around them before the element.
type scope struct {
	depth  int
	outer  []int // depths of the data to look in first
	nested int   // how deep the expression is nested in all
}

// within is the scope of the expression that an operator like 'map' evaluates.
func (s scope) within(o operator) scope {
	if o != opMap && o != opReduce {
		s.outer = append(slices.Clip(s.outer), s.depth)
	}
	s.depth++
	return s
}

func (s scope) hops() []uint8 {
	hops := make([]uint8, 0, len(s.outer)+1)
	for _, depth := range s.outer {
		hops = append(hops, uint8(s.depth-depth))
	}
	return append(hops, 0)
}

// expressionCompiler compiles one expression.
type expressionCompiler struct {
	*compiler
	x *expression
}

func (c *compiler) compileExpression(at *path, def *structpb.Value) *expression {
	x := &expression{flagKey: c.flagKey}
	e := &expressionCompiler{compiler: c, x: x}
	x.root = e.compile(at, def, scope{})
	return x
}

// compile compiles what may stand for a value.
func (c *expressionCompiler) compile(at *path, def *structpb.Value, s scope) term {
	if s.nested++; s.nested > maxExpressionDepth {
		c.add(at, "is nested too deep; at most %d levels are allowed", maxExpressionDepth)
		return term{operator: opFail}
	}
	switch k := def.GetKind().(type) {
	case *structpb.Value_StructValue:
		return c.compileOperation(at, k.StructValue, s)
	case *structpb.Value_ListValue:
		elements := make([]term, len(k.ListValue.GetValues()))
		for i, element := range k.ListValue.GetValues() {
			elements[i] = c.compile(at.item("", i), element, s)
		}
		return c.fold(term{operator: opList, steps: 1, operands: elements})
	}
	c.checkJSON(at, def, 1)
	return constantTerm(structValue(def))
}

// constantTerm is a constant; whatever an operator does to a text takes time by its length.
func constantTerm(v Value) term {
	return term{operator: opConstant, steps: uint32(1 + v.scanned()), constant: v}
}

// compileOperation compiles an object: its only member is an operator with its operands.
func (c *expressionCompiler) compileOperation(at *path, def *structpb.Struct, s scope) term {
	unusable := term{operator: opFail}
	names := sortedNames(def)
	if len(names) != 1 {
		c.add(at, "is an object with %d members; an operation has one, its operator, such as {\"var\": \"email\"}", len(names))
		return unusable
	}
	name := names[0]
	rule, known := operatorRules[name]
	if !known {
		c.unknownOperator(at, name)
		return unusable
	}
	n := term{operator: rule.operator, steps: 1}
	defs := []*structpb.Value{def.GetFields()[name]}
	list, listed := defs[0].GetKind().(*structpb.Value_ListValue)
	if listed {
		defs = list.ListValue.GetValues()
	}
	n.bare = !listed
	if !c.checkArity(at.field(name), rule, len(defs), listed) {
		return unusable
	}
	operands := operandPath{at, name, listed}
	switch rule.operator {
	case opVar:
		return c.compileVariable(operands, defs, listed, s)
	case opMap, opFilter, opAll, opNone, opSome, opReduce:
		return c.compileIteration(operands, n, defs, s)
	}
	n.operands = make([]term, len(defs))
	for i := range defs {
		n.operands[i] = c.compile(operands.item(i), defs[i], s)
	}
	switch rule.operator {
	case opMissing, opMissingSome:
		c.compileMissing(&n)
	case opIn:
		n.membership = newMembership(&n.operands[1])
	case opFractional:
		n.fractional = c.compileFractional(n.operands)
	case opSemVer:
		n.comparison = newVersionComparison(n.operands)
	}
	return c.fold(n)
}

// operandPath leads to the operands of an operator.
type operandPath struct {
	at     *path
	name   string
	listed bool
}

func (p operandPath) item(i int) *path {
	if p.listed {
		return p.at.item(p.name, i)
	}
	return p.at.field(p.name)
}

func (c *expressionCompiler) checkArity(at *path, rule operatorRule, count int, listed bool) bool {
	switch {
	case !listed && !rule.bare:
		c.add(at, "takes a list of operands: %s", operandCount(rule))
	case count < rule.least || rule.most >= 0 && count > rule.most:
		c.add(at, "has %d operands; it takes %s", count, operandCount(rule))
	default:
		return true
	}
	return false
}

func operandCount(rule operatorRule) string {
	switch {
	case rule.most < 0 && rule.least == 0:
		return "any number"
	case rule.most < 0:
		return strconv.Itoa(rule.least) + " or more"
	case rule.least == rule.most:
		return "exactly " + strconv.Itoa(rule.least)
	}
	return strconv.Itoa(rule.least) + " to " + strconv.Itoa(rule.most)
}

// compileIteration compiles an operator that evaluates an expression over each element
// of a list. A list that is written there holds data, not expressions; anything else that
// is written there is as good as nothing.
func (c *expressionCompiler) compileIteration(operands operandPath, n term, defs []*structpb.Value, s scope) term {
	n.operands = make([]term, len(defs))
	if isOperation(defs[0]) {
		n.operands[0] = c.compile(operands.item(0), defs[0], s)
	} else {
		c.checkJSON(operands.item(0), defs[0], 1)
		var data Value
		if _, listed := defs[0].GetKind().(*structpb.Value_ListValue); listed {
			data = constantValue(defs[0])
		}
		n.operands[0] = constantTerm(data)
	}
	n.operands[1] = c.compile(operands.item(1), defs[1], s.within(n.operator))
	if len(defs) > 2 {
		n.operands[2] = c.compile(operands.item(2), defs[2], s)
	}
	return n
}

// fold evaluates what depends on nothing.
func (c *expressionCompiler) fold(n term) term {
	switch n.operator {
	case opMissing, opMissingSome, opFractional:
		return n
	}
	for i := range n.operands {
		if n.operands[i].operator != opConstant {
			return n
		}
	}
	var l lookups
	v := c.x.eval(&n, &Context{}, &l, nil)
	if l.failure == opFail { // too much for one evaluation
		return n
	}
	if l.failure != noOperator {
		return term{operator: opFail, constant: Value{bits: uint64(l.failure)}}
	}
	return constantTerm(v)
}

// newMembership makes sets of a constant list; nil if it is none, or holds what 'in'
// meets in the order of the list.
func newMembership(n *term) *membership {
	if n.operator != opConstant || n.constant.kind != kindList {
		return nil
	}
	m := &membership{}
	for i := range n.constant.length() {
		element := n.constant.at(i)
		if element.kind != kindString && element.kind != kindNumber {
			return nil
		}
		if element.kind == kindString {
			m.strings = append(m.strings, element.text())
		}
		number, _ := element.operand()
		m.numbers = append(m.numbers, number)
	}
	if len(m.strings) > linearLimit {
		m.set, m.strings = setOf(m.strings), nil
	}
	if len(m.numbers) > linearLimit {
		m.numberSet, m.numbers = setOf(m.numbers), nil
	}
	return m
}

func newVersionComparison(operands []term) *versionComparison {
	c := &versionComparison{}
	for i := range c.versions {
		n := &operands[2*i]
		if n.operator != opConstant {
			continue
		}
		v, ok := versionOf(n.constant)
		c.versions[i], c.constant[i], c.invalid = v, true, c.invalid || !ok
	}
	if n := &operands[1]; n.operator == opConstant {
		if n.constant.kind == kindString && slices.Contains(versionOperators, n.constant.text()) {
			c.operator = n.constant.text()
		} else {
			c.invalid = true
		}
	}
	return c
}

var versionOperators = []string{"=", "!=", "<", "<=", ">", ">=", "^", "~"}

func (c *expressionCompiler) compileFractional(operands []term) *fractional {
	f := &fractional{cbor: c.bucketing == flagv1.BucketingVersion_BUCKETING_VERSION_3}
	if f.cbor {
		f.pair = cborPair(c.flagKey)
	} else {
		f.pair = murmur3{}.write(c.flagKey)
	}
	first := &operands[0]
	if first.operator == opCat && !first.bare && len(first.operands) >= 2 && len(first.operands) <= maxJoined {
		f.joined = true
		if part := &first.operands[0]; part.operator == opConstant && part.constant.kind == kindString {
			prefix := murmur3{}.write(part.constant.text())
			f.prefix = &prefix
		}
	}
	if f.rest = constantPortions(operands[1:]); f.rest != nil && first.operator == opConstant && first.constant.kind == kindList {
		f.all = constantPortions(operands)
	}
	return f
}

// constantPortions returns the shares if all are constants, else nil.
func constantPortions(operands []term) *portions {
	var p portions
	for i := range operands {
		if operands[i].operator != opConstant {
			return nil
		}
		p = p.with(operands[i].constant)
	}
	return &p
}
