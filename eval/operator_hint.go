package eval

import (
	"maps"
	"slices"
	"strings"
)

// unknownOperator says what an object could mean instead.
func (c *expressionCompiler) unknownOperator(at *path, name string) {
	switch closest := closestOperator(name); {
	case name == "$ref":
		c.add(at, "\"$ref\" is resolved when a flagd file is imported; put the evaluator that it names in its place")
	case closest != "":
		c.add(at, "%s is not an operator; did you mean %s?", quote(name), quote(closest))
	default:
		c.add(at, "%s is not an operator; there are %s", quote(name), strings.Join(slices.Sorted(maps.Keys(operatorRules)), " "))
	}
}

// closestOperator returns the operator that someone may have meant, or nothing.
func closestOperator(name string) string {
	switch name { // of other JsonLogic libraries, and of earlier flagd versions
	case "?:":
		return "if"
	case "fractionalEvaluation":
		return "fractional"
	}
	best, least := "", 2*min(3, len(name))
	for _, candidate := range slices.Sorted(maps.Keys(operatorRules)) {
		distance := 2 * editDistance(plainName(name), plainName(candidate))
		if len(name) != len(candidate) { // rather letters swapped than lost
			distance++
		}
		if distance < least {
			best, least = candidate, distance
		}
	}
	return best
}

// plainName makes startsWith and starts_with alike.
func plainName(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
}

// editDistance counts the bytes to insert, delete or replace.
func editDistance(a, b string) int {
	if len(a) > maxKeyLength {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
