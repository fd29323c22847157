package refscan

import (
	"bytes"
	"strings"
)

// callKind says how sure it is that a function evaluates flags.
type callKind int

const (
	noCall callKind = iota
	// surely: its name says so.
	surely
	// withContext: only if a context comes before the key; many functions are called so.
	withContext
)

const (
	// longestCall is that of the names of functions.
	longestCall = 64
	// longestArgument is how far the key may be from the bracket.
	longestArgument = 200
)

// callNames are the functions that evaluate flags, in small letters and without '_': those
// of OpenFeature's SDKs in all their languages, and of tidegate's own.
func callNames(more []string) map[string]callKind {
	names := map[string]callKind{
		"isenabled": withContext, "useflag": surely, "usefeatureflag": surely, "boolvariation": surely, "stringvariation": surely,
	}
	for _, kind := range []string{"bool", "boolean", "string", "int", "integer", "int64", "long", "float", "float64", "double", "number", "object", "struct"} {
		names[kind] = withContext
		for _, what := range []string{"value", "details", "valuedetails", "flagvalue", "flagdetails"} {
			for _, verb := range []string{"", "get", "fetch", "use", "resolve", "evaluate"} {
				names[verb+kind+what] = surely
				names[verb+kind+what+"async"] = surely
			}
		}
	}
	for _, name := range more {
		names[plainName(name)] = surely
	}
	return names
}

func plainName(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// call tells whether the word at i is a call that evaluates a flag whose key is in quotes:
// one that is missing or, if it is not known which there are, any. Other keys are found as
// what they are.
func (m *matcher) call(data []byte, i, n int) (hit, bool) {
	open := i + n
	if n > longestCall || open >= len(data) {
		return hit{}, false
	}
	window := data[open:min(len(data), open+longestArgument)]
	rest := skipSpace(window)
	if len(rest) > 0 && rest[0] == '<' { // type arguments
		end := bytes.IndexAny(rest, ">\n")
		if end < 0 || rest[end] != '>' {
			return hit{}, false
		}
		rest = skipSpace(rest[end+1:])
	}
	if len(rest) == 0 || rest[0] != '(' {
		return hit{}, false
	}
	kind := m.callKind(data[i:open])
	if kind == noCall {
		return hit{}, false
	}
	rest, ok := keyArgument(rest[1:], kind)
	if !ok {
		return hit{}, false
	}
	h := hit{
		offset: open + len(window) - len(rest), key: string(rest[:keyLength(rest)]),
		call: string(data[i:open]), missing: m.keys != nil,
	}
	_, exists := m.keys[h.key]
	return h, !exists
}

// callKind is m.calls[plainName(word)], without a string for each word.
func (m *matcher) callKind(word []byte) callKind {
	var name [longestCall]byte
	n := 0
	for _, c := range word {
		if c == '_' {
			continue
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		name[n] = c
		n++
	}
	return m.calls[string(name[:n])]
}

// keyArgument finds the key among what follows the bracket: the first argument or, after a
// context, the second. The default follows it.
func keyArgument(text []byte, kind callKind) ([]byte, bool) {
	text = skipSpace(text)
	context := false
	if len(text) > 0 && classes[text[0]]&isQuote == 0 {
		comma := bytes.IndexByte(text, ',')
		label := bytes.IndexAny(text, ":=")
		switch {
		case label > 0 && wordLength(text) == label && (comma < 0 || label < comma): // flag_key: "key"
			text = text[label+1:]
		case comma > 0 && isContext(text[:comma]):
			text, context = text[comma+1:], true
		default:
			return nil, false
		}
		text = skipSpace(text)
	}
	if len(text) == 0 || classes[text[0]]&isQuote == 0 || kind == withContext && !context {
		return nil, false
	}
	n := quoted(text, 0)
	if n == 0 {
		return nil, false
	}
	after := skipSpace(text[n+len(`""`):])
	return text[1:], len(after) > 0 && after[0] == ','
}

// isContext says whether an argument looks like a context of a call: ctx, r.Context().
func isContext(argument []byte) bool {
	lower := bytes.ToLower(argument)
	return (bytes.Contains(lower, []byte("ctx")) || bytes.Contains(lower, []byte("context"))) && !bytes.ContainsAny(lower, "\"'`{};")
}

func skipSpace(text []byte) []byte {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\t' || text[0] == '\r' || text[0] == '\n') {
		text = text[1:]
	}
	return text
}
