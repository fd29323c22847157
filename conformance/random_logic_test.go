//go:build conformance

package conformance

// This file makes random JsonLogic as flagd files hold it.

type object = map[string]any

func logic(name string, operands ...any) object { return object{name: operands} }

func read(attribute string) object { return object{"var": attribute} }

// outcome is an expression whose result names a variant, or is null.
func (g *generator) outcome(names []string, depth int) any {
	switch {
	case depth == 0 || g.chance(20):
		if g.chance(20) {
			return nil
		}
		return pick(g, names...)
	case names[0] == "true" && g.chance(25): // a result of its own names the variant
		return logic("!!", g.condition(2))
	case g.chance(35):
		return g.fractional(names)
	}
	branches := []any{g.condition(2), g.outcome(names, depth-1)}
	for range g.IntN(2) {
		branches = append(branches, g.condition(1), g.outcome(names, depth-1))
	}
	if g.chance(80) {
		branches = append(branches, g.outcome(names, depth-1))
	}
	return logic("if", branches...)
}

func (g *generator) fractional(names []string) object {
	hashed := pick(g, "", "email", "targetingKey")
	var operands []any
	switch hashed {
	case "": // the shorthand
	case "email":
		operands = append(operands, logic("cat", read("$flagd.flagKey"), read(hashed)))
	default:
		operands = append(operands, logic("cat", pick(g, "salt-1", "salt-2"), read(hashed)))
	}
	for i, name := range names {
		switch {
		case g.chance(20):
			operands = append(operands, []any{name})
		case i == 0:
			operands = append(operands, []any{name, float64(1 + g.IntN(50))})
		default:
			operands = append(operands, []any{name, float64(g.IntN(50))})
		}
	}
	if hashed == "" {
		return logic("fractional", operands...)
	}
	return logic("if", present(hashed), logic("fractional", operands...), nil)
}

// present is true where the context has the attribute. It guards operators that flagd,
// and so the engine, applies to an absent attribute in another way than other languages.
func present(attribute string) object { return logic("!==", read(attribute), nil) }

// condition is an expression that is used for its truth.
func (g *generator) condition(depth int) any {
	if depth > 0 && g.chance(40) {
		switch g.IntN(4) {
		case 0:
			return logic("and", g.condition(depth-1), g.condition(depth-1))
		case 1:
			return logic("or", g.condition(depth-1), g.condition(depth-1))
		case 2:
			return logic("!", g.condition(depth-1))
		default:
			return logic("if", g.condition(depth-1), g.condition(depth-1), g.condition(depth-1))
		}
	}
	switch g.IntN(5) {
	case 0, 1:
		return g.textCondition()
	case 2:
		return g.numberCondition()
	case 3:
		return g.listCondition()
	default:
		return g.otherCondition()
	}
}

func (g *generator) textCondition() any {
	name := pick(g, textAttributes...)
	literal := pick(g, texts[name]...)
	switch g.IntN(6) {
	case 0:
		return logic(pick(g, "==", "===", "!=", "!=="), read(name), literal)
	case 1:
		return logic("in", read(name), anys(several(g, texts[name])))
	case 2:
		return logic(pick(g, "starts_with", "ends_with"), read(name), pick(g, "pro", "e", "@example.com", "D"))
	case 3:
		return logic("sem_ver", read("version"), pick(g, "=", "!=", "<", "<=", ">", ">=", "^", "~"), pick(g, versions...))
	case 4:
		return logic("and", present("plan"), present("country"),
			logic("==", logic("cat", read("plan"), "/", read("country")), pick(g, "pro/DE", "free/US", "enterprise/JP")))
	default:
		return logic("and", present("email"),
			logic("==", logic("substr", read("email"), float64(-pick(g, 3, 4))), pick(g, ".com", "com", ".org", ".de")))
	}
}

func (g *generator) numberCondition() any {
	name := pick(g, numberAttributes...)
	compare := pick(g, "<", "<=", ">", ">=")
	var test any
	switch g.IntN(5) {
	case 0:
		test = logic(compare, read(name), g.number())
	case 1:
		test = logic(pick(g, "<", "<="), g.number(), read(name), g.number())
	case 2:
		test = logic(compare, logic(pick(g, "+", "-", "*"), read(name), float64(g.IntN(9))), g.number())
	case 3:
		// Python's remainder of a negative number is positive.
		test = logic("and", logic(">=", read(name), 0.0), logic("==", logic("%", read(name), float64(2+g.IntN(3))), float64(g.IntN(2))))
	default:
		test = logic(compare, logic(pick(g, "min", "max"), read(name), g.number()), g.number())
	}
	return logic("and", present(name), test)
}

func (g *generator) listCondition() any {
	list := logic("merge", read("tags")) // an absent one is a list of null
	tag := pick(g, tags...)
	switch g.IntN(5) {
	case 0:
		return logic("in", tag, list)
	case 1:
		return logic("some", list, logic("==", read(""), tag))
	case 2:
		return logic("none", list, logic("==", read(""), tag))
	case 3:
		return logic(">", logic("reduce", logic("map", list, 1.0), logic("+", read("accumulator"), read("current")), 0.0), float64(g.IntN(4)))
	default:
		return logic("in", tag, logic("filter", list, logic("in", read(""), anys(several(g, tags)))))
	}
}

func (g *generator) otherCondition() any {
	switch g.IntN(5) {
	case 0:
		return read("beta")
	case 1:
		return logic("and", present("beta"), logic("==", read("beta"), g.chance(50)))
	case 2:
		return logic("in", pick(g, textAttributes...), logic("missing", "email", "country", "device.os"))
	case 3:
		return logic("!!", read(pick(g, textAttributes...)))
	default:
		return logic("==", read("targetingKey"), g.key())
	}
}
