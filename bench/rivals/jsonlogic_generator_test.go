package main

import "math/rand/v2"

// generator draws expressions and contexts, the same ones for the same seed.
type generator struct{ *rand.Rand }

// scopeKind is where an expression stands.
type scopeKind int

const (
	scopeContext scopeKind = iota
	scopeElement
	scopeReduce
)

func operation(operator string, operands ...any) any {
	if operands == nil {
		operands = []any{}
	}
	return map[string]any{operator: operands}
}

func variable(path any) any { return map[string]any{"var": path} }

func pick[T any](g *generator, all ...T) T { return all[g.IntN(len(all))] }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g *generator) scalar() any {
	return pick[any](g,
		"", " ", "a", "b", "abc", "1", "1.5", "-2", "a.b", " x ", "äöü", "Infinity", "0x10", "NaN", "1.0.0", "v1.2", "1.3.0-rc.1",
		0.0, 1.0, 1.5, -1.0, 2.0, 3.0, 10.0, 1e21, 1e-7, 123456789.0,
		true, false, nil,
	)
}

func (g *generator) list(depth int) any {
	l := []any{}
	for range g.IntN(4) {
		l = append(l, g.value(depth-1))
	}
	if g.chance(15) {
		return []any{float64(g.IntN(4)), float64(g.IntN(6))}
	}
	return l
}

// object has no or several members, see the test.
func (g *generator) object(depth int) any {
	if g.chance(10) {
		return map[string]any{}
	}
	return map[string]any{"a": g.value(depth - 1), "b": g.value(depth - 1), "id": g.scalar()}
}

func (g *generator) value(depth int) any {
	switch n := g.IntN(10); {
	case n == 0 && depth > 0:
		return g.object(depth)
	case n <= 2 && depth > 0:
		return g.list(depth)
	}
	return g.scalar()
}

func (g *generator) context() map[string]any {
	context := map[string]any{
		"l": g.list(2), "m": []any{g.object(1), g.object(1), g.scalar()}, "n": pick[any](g, []any{1.0, 2.0, 3.0}, []any{"x", "y"}, []any{}),
		"$flagd": map[string]any{"flagKey": flagKey, "timestamp": float64(timestamp)},
	}
	for _, name := range []string{"a", "b", "c"} {
		if g.chance(80) {
			context[name] = g.value(2)
		}
	}
	if g.chance(70) {
		context["targetingKey"] = "user-1"
	}
	return context
}

func (g *generator) path() string {
	return pick(g, "a", "b", "c", "l", "m", "n", "a.b", "b.a", "l.0", "m.1.a", "m.0.id", "l.1.0", "c.b.a", "l.x", "l.-1", "l.9", "missing",
		"a..b", ".a", "b.", "", "targetingKey", "targetingKey.x", "$flagd.flagKey", "$flagd.timestamp", "$flagd.other", "$flagd", "id")
}

func (g *generator) pathIn(s scopeKind) string {
	switch {
	case s == scopeReduce && g.chance(80):
		return pick(g, "current", "accumulator", "current.a", "valueType", "current.id")
	case s == scopeElement && g.chance(60):
		return pick(g, "", "a", "b", "id", "0", "1", "a.a", ".a")
	}
	return g.path()
}

// variable draws a 'var'; one that may fail only where it is sure to be evaluated.
func (g *generator) variable(depth int, s scopeKind) any {
	n := g.IntN(12)
	if s != scopeContext {
		n += 5
	}
	switch n {
	case 0:
		return variable([]any{g.pathIn(s), g.expression(depth-1, s)})
	case 1, 2:
		return variable([]any{g.operation(depth-1, s), "default"})
	case 3, 4:
		return variable(map[string]any{pick(g, "merge", "cat"): []any{g.expression(depth-1, s), g.expression(depth-1, s)}})
	case 5:
		return variable([]any{g.pathIn(s)})
	case 6:
		return variable([]any{})
	case 7:
		return variable(pick[any](g, 0.0, 1.0, nil))
	case 8:
		return variable(operation("cat", pick(g, "a", "b", "l", "$flagd"), pick(g, ".b", ".0", "", ".flagKey")))
	case 9:
		return variable([]any{g.pathIn(s), g.scalar()})
	}
	return variable(g.pathIn(s))
}

// expression draws an operation, a list or a constant.
func (g *generator) expression(depth int, s scopeKind) any {
	switch n := g.IntN(20); {
	case depth <= 0 && n < 8, n < 2:
		return g.scalar()
	case depth <= 0, n < 5:
		return g.variable(depth, s)
	case n < 6:
		return g.operands(g.IntN(4), depth, s)
	}
	return g.operation(depth, s)
}

func (g *generator) operands(n, depth int, s scopeKind) []any {
	all := make([]any, n)
	for i := range all {
		all[i] = g.expression(depth-1, s)
	}
	return all
}

func (g *generator) operation(depth int, s scopeKind) any {
	switch g.IntN(9) {
	case 0, 1:
		return operation(pick(g, "==", "===", "!=", "!==", "%", "in", "in", "starts_with", "ends_with"), g.operands(2, depth, s)...)
	case 2:
		if g.chance(20) {
			return operation("substr", g.operands(2, depth, s)...)
		}
		return operation(pick(g, "<", "<=", ">", ">="), g.operands(2+g.IntN(2), depth, s)...)
	case 3:
		return operation(pick(g, "if", "if", "and", "or"), g.operands(g.IntN(5), depth, s)...)
	case 4:
		operator := pick(g, "+", "-", "*", "/", "max", "min", "cat", "merge", "missing")
		switch {
		case operator == "-" || operator == "/":
			return operation(operator, g.operands(1+g.IntN(3), depth, s)...)
		case g.chance(20):
			return map[string]any{operator: g.expression(depth-1, s)}
		}
		return operation(operator, g.operands(g.IntN(4), depth, s)...)
	case 5:
		operator := pick(g, "!", "!!")
		if g.chance(40) {
			return map[string]any{operator: pick(g, g.variable(depth, s), g.operation(depth-1, s), g.scalar())}
		}
		return operation(operator, g.operands(g.IntN(2), depth, s)...)
	case 6:
		return g.rarer(depth, s)
	}
	return g.iteration(depth, s)
}

func (g *generator) rarer(depth int, s scopeKind) any {
	switch g.IntN(4) {
	case 0:
		return operation("sem_ver", pick[any](g, "1.0.0", "v1.2", "2", g.variable(depth, s)), pick[any](g, "=", "!=", "<", "<=", ">", ">=", "^", "~", "?"),
			pick[any](g, "1.0.0", "1.3.0-rc.1", "V1.2.3+b", g.expression(depth-1, s)))
	case 1:
		return operation("missing", pick[any](g, "a", "b.a", "l.0", "nothing", "targetingKey", 1.0, nil), g.path())
	case 2:
		return operation("missing_some", pick[any](g, 0.0, 1.0, 2.0, 3.5, -1.0, "1", variable("n.0"), true),
			pick[any](g, []any{"a", "b", "nothing"}, []any{"a", []any{"nothing", 1.0}}, []any{}, g.expression(depth-1, s)))
	}
	return operation("substr", pick[any](g, "jsonlogic", "äöü", 12345.0, g.expression(depth-1, s)), pick[any](g, 0.0, 1.0, -2.0, 4.0, -20.0, 20.0, "1"), pick[any](g, 0.0, 2.0, -1.0, -3.0, 20.0))
}

// iteration draws an operator that runs over a list.
func (g *generator) iteration(depth int, s scopeKind) any {
	subject := pick[any](g, variable("l"), variable("m"), variable("n"), variable("nothing"), g.list(2), operation("merge", g.operands(2, depth, s)...))
	if s == scopeContext {
		subject = pick(g, subject, g.operation(depth-1, s))
	}
	switch operator := pick(g, "map", "filter", "all", "none", "some", "reduce"); operator {
	case "map", "filter":
		return operation(operator, subject, g.expression(depth-1, scopeElement))
	case "reduce":
		initial := pick[any](g, 0.0, "", true, g.expression(depth-1, s))
		return operation(operator, subject, operation(pick(g, "+", "cat", "max", "if", "or"), g.operands(2, depth, scopeReduce)...), initial)
	default:
		condition := operation(pick(g, "==", "!=", "<", "in", "and"), g.operands(2, depth, scopeElement)...)
		return operation(operator, subject, pick(g, condition, operation("!!", g.expression(depth-1, scopeElement))))
	}
}
