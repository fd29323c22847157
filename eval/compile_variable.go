package eval

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
)

// compileVariable compiles the operands of 'var': a path and maybe a default.
func (c *expressionCompiler) compileVariable(operands operandPath, defs []*structpb.Value, listed bool, s scope) term {
	v := &variable{hops: s.hops(), listed: listed}
	n := term{operator: opVar, steps: 1, variable: v}
	if len(defs) == 0 {
		return n
	}
	// The operands are evaluated in each of the frames that the variable looks in.
	own := scope{depth: s.depth, nested: s.nested}
	name := c.compile(operands.item(0), defs[0], own)
	switch {
	case name.operator != opConstant:
		v.kind, v.name = variableComputed, &name
	case name.constant.kind == kindString:
		c.setPath(v, name.constant.text(), listed)
	case name.constant.kind == kindNumber && !listed:
		text, _ := name.constant.toText()
		c.setPath(v, text, listed)
	case name.constant.kind == kindAbsent && !listed:
		v.kind = variableNull
	case isOperation(defs[0]):
		v.kind, v.name = variableComputed, &name
	default:
		c.add(operands.item(0), "is %s; 'var' takes the path of an attribute, such as \"device.os\"", kindName(defs[0]))
	}
	if len(defs) == 2 {
		fallback := c.compile(operands.item(1), defs[1], own)
		v.fallback = &fallback
	} else if v.attribute != nil && v.attribute.source == fromFlagKey && int(v.hops[0]) == s.depth {
		return constantTerm(StringValue(c.flagKey))
	}
	n.steps += v.steps()
	return n
}

func isOperation(def *structpb.Value) bool {
	_, ok := def.GetKind().(*structpb.Value_StructValue)
	return ok
}

// setPath splits a path. Empty elements do not count; flagd looks for a path that begins
// with one in the innermost data only.
func (c *expressionCompiler) setPath(v *variable, full string, listed bool) {
	if !listed && (full == "" || full[0] == '.') {
		v.hops = []uint8{0}
	}
	v.path = slices.DeleteFunc(strings.Split(full, "."), func(name string) bool { return name == "" })
	if len(v.path) > 0 {
		v.attribute = c.variableAttribute(v.path)
	}
}

// variableAttribute is where the path leads in the context.
func (c *compiler) variableAttribute(path []string) *attribute {
	full := strings.Join(path, ".")
	key := full
	if len(path) > 1 { // unlike that of a clause, the path may lead into lists
		key = "\x00" + full
	}
	if a := c.attributes[key]; a != nil {
		c.giveSlot(a)
		return a
	}
	a := &attribute{full: full, slot: -1, intoLists: true}
	if a.source = sourceOf(path[0]); a.source == fromAttributes {
		a.name, a.path = path[0], path[1:]
	} else {
		for _, member := range path[1:] {
			a.source = memberSource(a.source, member)
		}
		a.flagKey = c.flagKey
	}
	c.attributes[key] = a
	return a
}

// compileMissing compiles the names of 'missing' and 'missing_some' if all are constants
// that flagd takes: text and numbers.
func (c *expressionCompiler) compileMissing(n *term) {
	names, least := n.operands, 0
	switch {
	case n.operator == opMissingSome:
		number, ok := n.operands[0].constant.operand()
		list := &n.operands[1]
		if !ok || n.operands[0].operator != opConstant || list.operator != opConstant || list.constant.kind != kindList {
			return
		}
		least, names = truncate(number, maxMissing+1), constantTerms(list.constant)
	case n.bare && n.operands[0].constant.kind == kindList:
		names = constantTerms(n.operands[0].constant)
	}
	if len(names) > maxMissing {
		return
	}
	m := &missing{least: least}
	for i := range names {
		name := names[i].constant
		if names[i].operator != opConstant || name.kind != kindString && (name.kind != kindNumber || n.bare) {
			return
		}
		text, _ := name.toText()
		v := variable{hops: []uint8{0}}
		c.setPath(&v, text, false)
		n.steps += 1 + v.steps()
		m.variables = append(m.variables, v)
		m.names.all = append(m.names.all, name)
	}
	n.missing = m
}

// maxMissing is how many names a subset can tell apart.
const maxMissing = 64

func constantTerms(list Value) []term {
	terms := make([]term, list.length())
	for i := range terms {
		terms[i] = constantTerm(list.at(i))
	}
	return terms
}
