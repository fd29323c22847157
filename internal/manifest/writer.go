package manifest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// pageWidth is where a list or mapping stops being written on one line, in characters.
const pageWidth = 100

// longestKey is the length, in characters, from which YAML wants keys marked with '?'.
const longestKey = 1000

// node is a piece of output: a scalar, a list or a mapping.
type node interface {
	// line is the node on one line.
	line() string
	// oneLine: the node is a scalar, or may be written on one line where it fits.
	oneLine() bool
}

type scalar struct {
	inline string
	block  string // where there is room for lines of their own; may be empty
}

type list struct {
	items []node
	flow  bool
}

type mapping struct {
	entries []mappingEntry
	flow    bool
}

type mappingEntry struct {
	key   string
	value node
}

func (m *mapping) add(name string, value node) {
	m.entries = append(m.entries, mappingEntry{key: quote(name), value: value})
}

func (m *mapping) addText(name, value string) {
	if value != "" {
		m.add(name, text(value))
	}
}

func (m *mapping) addTexts(name string, values []string) {
	if len(values) == 0 {
		return
	}
	l := list{flow: true}
	for _, v := range values {
		l.items = append(l.items, scalar{inline: quote(v)})
	}
	m.add(name, l)
}

func text(s string) node { return scalar{inline: quote(s), block: literal(s)} }

func boolean(b bool) node { return scalar{inline: strconv.FormatBool(b)} }

// number writes as JSON does; exponents get a fraction, without which some readers take
// them for texts.
func number(v float64) node {
	if v == math.Trunc(v) && math.Abs(v) <= maxInteger {
		return scalar{inline: strconv.FormatInt(int64(v), 10)}
	}
	s := strconv.FormatFloat(v, 'g', -1, 64)
	if i := strings.IndexByte(s, 'e'); i >= 0 && !strings.Contains(s, ".") {
		s = s[:i] + ".0" + s[i:]
	}
	return scalar{inline: s}
}

func (s scalar) line() string  { return s.inline }
func (s scalar) oneLine() bool { return s.block == "" }

func (l list) oneLine() bool { return l.flow || len(l.items) == 0 }

func (l list) line() string {
	lines := make([]string, len(l.items))
	for i, item := range l.items {
		lines[i] = item.line()
	}
	return "[" + strings.Join(lines, ", ") + "]"
}

func (m mapping) oneLine() bool { return m.flow || len(m.entries) == 0 }

func (m mapping) line() string {
	lines := make([]string, len(m.entries))
	for i, e := range m.entries {
		mark := ""
		if utf8.RuneCountInString(e.key) > longestKey {
			mark = "? "
		}
		lines[i] = mark + e.key + ": " + e.value.line()
	}
	return "{" + strings.Join(lines, ", ") + "}"
}

// writer lays nodes out on lines.
type writer struct{ strings.Builder }

func (w *writer) indent(n int) { w.WriteString(strings.Repeat(" ", n)) }

// mapping writes the entries; the first one where the line stands, the others on lines
// of their own.
func (w *writer) mapping(m mapping, indent int) {
	for i, e := range m.entries {
		if i > 0 {
			w.indent(indent)
		}
		width := indent + utf8.RuneCountInString(e.key) + 1
		if utf8.RuneCountInString(e.key) > longestKey {
			w.WriteString("? " + e.key + "\n")
			w.indent(indent)
			width = indent + 1
		} else {
			w.WriteString(e.key)
		}
		w.WriteString(":")
		w.value(e.value, indent, width)
	}
}

// value writes what follows a ':' or '-' and ends the line. indent is that of the
// parent; the line is width characters long already.
func (w *writer) value(n node, indent, width int) {
	if n.oneLine() {
		line := n.line()
		_, isScalar := n.(scalar)
		if isScalar || len(line) == 2 || width+1+utf8.RuneCountInString(line) <= pageWidth {
			w.WriteString(" " + line + "\n")
			return
		}
	}
	switch n := n.(type) {
	case scalar:
		w.block(n.block, indent+2)
	case list:
		w.WriteString("\n")
		for _, item := range n.items {
			w.indent(indent + 2)
			w.WriteString("-")
			w.element(item, indent+2)
		}
	case mapping:
		w.WriteString("\n")
		w.indent(indent + 2)
		w.mapping(n, indent+2)
	}
}

// element writes an item of a list after its '-'.
func (w *writer) element(n node, indent int) {
	m, ok := n.(mapping)
	if !ok || m.oneLine() && indent+2+utf8.RuneCountInString(m.line()) <= pageWidth {
		w.value(n, indent, indent+1)
		return
	}
	w.WriteString(" ")
	w.mapping(m, indent+2)
}

func (w *writer) block(s string, indent int) {
	if strings.HasSuffix(s, "\n") {
		w.WriteString(" |\n")
	} else {
		w.WriteString(" |-\n")
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(s, "\n"), "\n") {
		if line != "" {
			w.indent(indent)
		}
		w.WriteString(line + "\n")
	}
}

// literal returns s where it can be written as a block of lines without any doubt.
func literal(s string) string {
	body := strings.TrimSuffix(s, "\n")
	if !strings.Contains(body, "\n") {
		return ""
	}
	for i, line := range strings.Split(body, "\n") {
		if line != strings.TrimSpace(line) && (i == 0 || line != strings.TrimRight(line, " ")) || !printable(line) {
			return ""
		}
	}
	if strings.HasPrefix(body, "\n") || strings.HasSuffix(body, "\n") {
		return ""
	}
	return s
}

func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// quote writes a text on one line: plain where every reader takes it for a text, else
// in quotes; in single ones where it is full of what double ones escape.
func quote(s string) string {
	if isPlain(s) {
		return s
	}
	if strings.ContainsAny(s, `\"`) && printable(s) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// isPlain is strict: it must hold for readers of YAML 1.1, which take words such as on
// and no for booleans, as well as for those of 1.2.
func isPlain(s string) bool {
	switch strings.ToLower(s) {
	case "", "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return false
	}
	for i, r := range s {
		switch {
		case unicode.IsLetter(r), r == '_', r == '/', r == '$':
		case i > 0 && (r >= '0' && r <= '9' || strings.ContainsRune(".-+@", r)):
		case i > 0 && r == ' ' && i+1 < len(s):
		default:
			return false
		}
	}
	return true
}
