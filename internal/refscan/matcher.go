package refscan

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// maxKey is the length of the longest key.
const maxKey = 128

// The classes of bytes.
const (
	isQuote uint8 = 1 << iota
	// isKey: may be within a key; isKeyStart: may begin one.
	isKey
	isKeyStart
	// isWord: a letter, a digit, '_' or '$', or part of a character beyond ASCII.
	isWord
)

var classes = func() (table [256]uint8) {
	for i := range table {
		c := byte(i)
		switch {
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			table[i] = isKey | isKeyStart | isWord
		case c == '_':
			table[i] = isKey | isWord
		case c == '-' || c == '.':
			table[i] = isKey
		case c == '$' || c >= 0x80:
			table[i] = isWord
		case c == '"' || c == '\'' || c == '`':
			table[i] = isQuote
		}
	}
	return table
}()

// keyLength is how many bytes of a key the text begins with.
func keyLength[T string | []byte](text T) int {
	if len(text) == 0 || classes[text[0]]&isKeyStart == 0 {
		return 0
	}
	n := 1
	for n < len(text) && classes[text[n]]&isKey != 0 {
		n++
	}
	if n > maxKey {
		return 0
	}
	return n
}

// hit is one place in a text.
type hit struct {
	offset           int
	key, alias, call string
	missing          bool // there is no such flag
}

// alias is a name that stands for keys: usually one, but two keys may make the same.
type alias struct {
	text string
	// lead is how much of it comes before its first word.
	lead int
	keys []string
}

// matcher finds keys, aliases and calls in one pass over a text. It is not changed by that,
// and safe for concurrent use.
type matcher struct {
	// keys is nil if it is not known which there are.
	keys map[string]string
	// aliases by their first word, the longest first.
	aliases map[string][]alias
	calls   map[string]callKind
}

func newMatcher(o Options) (*matcher, error) {
	m := &matcher{calls: callNames(o.Calls)}
	if o.Keys == nil {
		return m, nil
	}
	m.keys = make(map[string]string, len(o.Keys))
	for _, key := range o.Keys {
		if err := checkKey(key); err != nil {
			return nil, err
		}
		m.keys[key] = key
	}
	byText := map[string][]string{}
	for key, names := range o.Aliases {
		if _, ok := m.keys[key]; !ok {
			return nil, fmt.Errorf("aliases of %q: there is no such flag", key)
		}
		for _, name := range names {
			byText[name] = append(byText[name], key)
		}
	}
	for _, form := range o.AliasForms {
		for key := range m.keys {
			name, err := Expand(form, key)
			if err != nil {
				return nil, err
			}
			byText[name] = append(byText[name], key)
		}
	}
	m.aliases = map[string][]alias{}
	for _, text := range slices.Sorted(maps.Keys(byText)) {
		if err := m.addAlias(text, byText[text]); err != nil {
			return nil, err
		}
	}
	for _, list := range m.aliases {
		slices.SortStableFunc(list, func(a, b alias) int { return len(b.text) - len(a.text) })
	}
	return m, nil
}

func (m *matcher) addAlias(text string, keys []string) error {
	lead := 0
	for lead < len(text) && classes[text[lead]]&isWord == 0 {
		lead++
	}
	if lead == len(text) {
		return fmt.Errorf("alias %q of %q: expected a letter or a digit in it", text, keys[0])
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("alias %q of %q: expected no control characters in it", text, keys[0])
	}
	slices.Sort(keys)
	first := text[lead : lead+wordLength(text[lead:])]
	m.aliases[first] = append(m.aliases[first], alias{text: text, lead: lead, keys: slices.Compact(keys)})
	return nil
}

func wordLength[T string | []byte](text T) int {
	n := 0
	for n < len(text) && classes[text[n]]&isWord != 0 {
		n++
	}
	return n
}

// find reports what is in a text, from its beginning to its end.
func (m *matcher) find(data []byte, report func(hit)) {
	var ahead *hit // of a call, whose key comes later
	for i := 0; i < len(data); {
		if ahead != nil && i >= ahead.offset {
			report(*ahead)
			ahead = nil
		}
		switch class := classes[data[i]]; {
		case class&isQuote != 0:
			n := quoted(data, i)
			if key, ok := m.keys[string(data[i+1:i+1+n])]; ok && n > 0 {
				report(hit{offset: i + 1, key: key})
				i += n + 1 // the closing quote opens nothing
			}
			i++
		case class&isWord != 0:
			n := wordLength(data[i:])
			if len(m.aliases) > 0 {
				m.findAlias(data, i, n, report)
			}
			if h, ok := m.call(data, i, n); ok && ahead == nil {
				ahead = &h
			}
			i += n
		default:
			i++
		}
	}
	if ahead != nil {
		report(*ahead)
	}
}

// quoted is the length of the text between the quote at i and its like, if it might be a key.
func quoted(data []byte, i int) int {
	n := keyLength(data[i+1:])
	if n == 0 {
		return 0
	}
	end := i + 1 + n
	escaped := i > 0 && data[i-1] == '\\' && bytes.HasPrefix(data[end:], []byte{'\\', data[i]})
	if escaped || end < len(data) && data[end] == data[i] {
		return n
	}
	return 0
}

// findAlias reports the longest alias whose first word is the one at i.
func (m *matcher) findAlias(data []byte, i, n int, report func(hit)) {
	for _, a := range m.aliases[string(data[i:i+n])] {
		start := i - a.lead
		end := start + len(a.text)
		switch {
		case start < 0 || end > len(data) || string(data[start:end]) != a.text:
		case end < len(data) && classes[data[end]]&isWord != 0 && classes[data[end-1]]&isWord != 0:
		default:
			for _, key := range a.keys {
				report(hit{offset: start, key: key, alias: a.text})
			}
			return
		}
	}
}
