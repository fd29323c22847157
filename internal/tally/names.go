package tally

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// Other stands for what there was no room for: labels beyond the 32nd of a model, values
// beyond the 16th of a segment, and what is too long or no text.
const Other = "other"

const (
	maxLabels   = 32
	maxSegments = 16
	maxText     = 64 // bytes of a label or of a segment's value
)

// names numbers texts in the order of their first appearance, up to a limit; the number of
// what comes after is the limit. Numbers stay. Looking up takes no lock.
type names struct {
	limit int
	mu    sync.Mutex // held by who adds
	known atomic.Pointer[nameTable]
}

type nameTable struct {
	numbers map[string]int
	list    []string
}

func newNames(limit int) *names {
	n := &names{limit: limit}
	n.known.Store(&nameTable{})
	return n
}

func (n *names) number(text string) int {
	known := n.known.Load()
	if at, ok := known.numbers[text]; ok {
		return at
	}
	return n.add(known, text)
}

// numberOf is number for bytes that may be anything; it allocates only where the text is new.
func (n *names) numberOf(text []byte) int {
	known := n.known.Load()
	if at, ok := known.numbers[string(text)]; ok {
		return at
	}
	if len(known.list) == n.limit || len(text) > maxText || !isText(string(text)) {
		return n.limit
	}
	return n.add(known, string(text))
}

// isText tells whether a label or a segment's value can be told: it is shown to people.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func (n *names) add(known *nameTable, text string) int {
	if len(known.list) == n.limit || text == Other {
		return n.limit
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	known = n.known.Load()
	if at, ok := known.numbers[text]; ok {
		return at
	}
	at := len(known.list)
	if at == n.limit {
		return at
	}
	next := &nameTable{numbers: maps.Clone(known.numbers), list: append(known.list[:at:at], text)}
	if next.numbers == nil {
		next.numbers = map[string]int{}
	}
	next.numbers[text] = at
	n.known.Store(next)
	return at
}

// name is the text of a number that was given.
func (n *names) name(number int) string {
	if list := n.known.Load().list; number < len(list) {
		return list[number]
	}
	return Other
}
