package manifest

import (
	"slices"
	"strings"

	"github.com/tidegate/tidegate/internal/nearest"
)

// otherWords are what people write from habit, normalised, and what it is called here.
var otherWords = map[string]string{
	"equals": "in", "equal": "in", "eq": "in", "is": "in", "oneof": "in", "isoneof": "in", "attr": "attribute",
	"regex": "matches", "prefix": "startsWith", "suffix": "endsWith", "segment": "inSegment",
	"lt": "lessThan", "lte": "lessThanOrEqual", "gt": "greaterThan", "gte": "greaterThanOrEqual",
	"targeting": "expression", "jsonlogic": "expression", "logic": "expression",
	"name": "id", "if": "when", "clauses": "when", "then": "serve", "outcome": "serve",
	"defaultoutcome": "default", "defaultvariant": "default", "fallthrough": "default",
	"treatment": "to", "control": "from", "dwell": "minDwell", "percent": "weight", "share": "weight",
	"state": "enabled", "flagkey": "flag", "key": "flag", "negate": "not",
	"bool": "boolean", "int": "integer", "number": "double", "float": "double", "json": "object", "text": "string",
}

// suggest finds the name that was probably meant, or "".
func suggest(written string, names []string) string {
	if other := otherWords[nearest.Plain(written)]; slices.Contains(names, other) {
		return other
	}
	return nearest.Name(written, names)
}

// didYouMean is a suggestion, or else the list of names, as the end of a message.
func didYouMean(written string, names []string) string {
	if s := suggest(written, names); s != "" {
		return "did you mean '" + s + "'?"
	}
	return "expected one of " + strings.Join(names, ", ")
}
