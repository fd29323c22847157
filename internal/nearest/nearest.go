// Package nearest finds the name that somebody probably meant. Its functions are pure.
package nearest

import "strings"

// longest is how many bytes are compared: as long as keys get.
const longest = 128

// Name is the first of the names that are nearest to what was written, and near enough that it
// was probably meant: one slip in a short name, two in others; "" if none is. Capitals and
// separators make no difference.
func Name(written string, names []string) string {
	w := Plain(written)
	best, distance := "", 3
	if len(w) <= 4 {
		distance = 2
	}
	for _, name := range names {
		if d := slips(w, Plain(name)); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// Plain is a name without what people vary: startsWith and starts_with are alike.
func Plain(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(name))
}

// slips counts the insertions, deletions, substitutions and swaps of neighbours that turn a into
// b; what is too long is far from all.
func slips(a, b string) int {
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
