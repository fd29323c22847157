package manifest

import (
	"strings"
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
	w := normalise(written)
	best, distance := "", 3
	if len(w) <= 4 {
		distance = 2
	}
	for _, name := range names {
		if otherWords[w] == name {
			return name
		}
		if d := editDistance(w, normalise(name)); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// didYouMean is a suggestion, or else the list of names, as the end of a message.
func didYouMean(written string, names []string) string {
	if s := suggest(written, names); s != "" {
		return "did you mean '" + s + "'?"
	}
	return "expected one of " + strings.Join(names, ", ")
}

func normalise(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(name))
}

// editDistance counts the insertions, deletions, substitutions and swaps of neighbours
// that turn a into b; names longer than any of ours are far from all.
func editDistance(a, b string) int {
	const longest = 40
	if len(a) > longest || len(b) > longest {
		return longest
	}
	// Distances between the beginnings of a and b; the two rows before the current one.
	var before, last []int
	for i := range len(a) + 1 {
		row := make([]int, len(b)+1)
		for j := range row {
			switch {
			case i == 0 || j == 0:
				row[j] = i + j
				continue
			case a[i-1] == b[j-1]:
				row[j] = last[j-1]
			default:
				row[j] = 1 + min(last[j-1], last[j], row[j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
