package manifest

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// JSON is read into the nodes that YAML is read into, by a reader of its own: YAML's
// takes neither tabs nor the escapes of characters beyond U+FFFF.

// maxJSONDepth is how deep objects and lists may nest in a file.
const maxJSONDepth = 500

// isJSON tells whether a file is meant to be JSON: by its name, or by its beginning.
func isJSON(name string, data []byte) bool {
	if isJSONFile(name) {
		return true
	}
	rest, ok := bytes.CutPrefix(bytes.TrimSpace(data), []byte("{"))
	return ok && bytes.HasPrefix(bytes.TrimSpace(rest), []byte(`"`))
}

func isJSONFile(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".json") }

// readJSON reads a file that holds one JSON value; nil for an empty file.
func readJSON(name string, data []byte) (*yaml.Node, *Error) {
	r := &jsonReader{data: data, position: Position{File: name, Line: 1, Column: 1}}
	if r.space(); r.at == len(data) {
		return nil, nil
	}
	n := r.value(0)
	if r.space(); r.at < len(data) {
		r.fail("there is something after the end: remove it, or check the brackets before it")
	}
	if r.err != nil {
		return nil, r.err
	}
	return n, nil
}

// jsonReader reads forward; after an error it reads on to nothing.
type jsonReader struct {
	data     []byte
	at       int
	position Position // of at
	err      *Error
}

// fail notes the first error and ends the reading.
func (r *jsonReader) fail(problem string) {
	if r.err == nil {
		r.err = &Error{Position: r.position, Problem: problem}
		r.at = len(r.data)
	}
}

// next is the byte to be read next; 0 at the end.
func (r *jsonReader) next() byte {
	if r.at < len(r.data) {
		return r.data[r.at]
	}
	return 0
}

// skip goes on by n bytes.
func (r *jsonReader) skip(n int) {
	for _, b := range r.data[r.at : r.at+n] {
		switch {
		case b == '\n':
			r.position.Line, r.position.Column = r.position.Line+1, 1
		case utf8.RuneStart(b):
			r.position.Column++
		}
	}
	r.at += n
}

func (r *jsonReader) space() {
	if r.at == 0 && bytes.HasPrefix(r.data, []byte("\ufeff")) {
		r.at = len("\ufeff")
	}
	for r.at < len(r.data) && strings.IndexByte(" \t\r\n", r.data[r.at]) >= 0 {
		r.skip(1)
	}
}

// take reads the byte, if it comes next.
func (r *jsonReader) take(b byte) bool {
	if r.next() != b {
		return false
	}
	r.skip(1)
	return true
}

func (r *jsonReader) node(kind yaml.Kind, tag string) *yaml.Node {
	return &yaml.Node{Kind: kind, Tag: tag, Line: r.position.Line, Column: r.position.Column}
}

func (r *jsonReader) value(depth int) *yaml.Node {
	if depth > maxJSONDepth {
		r.fail("is nested too deeply")
	}
	switch r.next() {
	case '{':
		return r.object(depth)
	case '[':
		return r.list(depth)
	case '"':
		return r.text()
	}
	return r.word()
}

func (r *jsonReader) object(depth int) *yaml.Node {
	n := r.node(yaml.MappingNode, "!!map")
	n.Style = yaml.FlowStyle
	r.skip(1)
	for r.space(); !r.take('}'); r.separator('}', "an object") {
		if r.next() != '"' {
			r.fail(`a name in double quotes is expected here, as in {"name": "value"}`)
			break
		}
		key := r.text()
		if r.space(); !r.take(':') {
			r.fail("a ':' is missing after the name")
			break
		}
		r.space()
		n.Content = append(n.Content, key, r.value(depth+1))
		r.space()
	}
	return n
}

func (r *jsonReader) list(depth int) *yaml.Node {
	n := r.node(yaml.SequenceNode, "!!seq")
	n.Style = yaml.FlowStyle
	r.skip(1)
	for r.space(); !r.take(']'); r.separator(']', "a list") {
		if r.at == len(r.data) {
			r.fail("a list is not closed: its ']' is missing")
			break
		}
		n.Content = append(n.Content, r.value(depth+1))
		r.space()
	}
	return n
}

// separator reads what stands between two elements, unless the closing bracket comes.
func (r *jsonReader) separator(end byte, what string) {
	switch {
	case r.next() == end:
		return
	case !r.take(','):
		r.fail(what + " lacks a ',' before this, or its '" + string(end) + "'")
		return
	}
	if r.space(); r.next() == end {
		r.fail("a ',' comes before the '" + string(end) + "': remove it")
	}
}

// word reads a number, true, false or null.
func (r *jsonReader) word() *yaml.Node {
	end := r.at
	for end < len(r.data) && strings.IndexByte(" \t\r\n,:[]{}\"", r.data[end]) < 0 {
		end++
	}
	n := r.node(yaml.ScalarNode, "!!float")
	n.Value = string(r.data[r.at:end])
	switch {
	case n.Value == "true", n.Value == "false":
		n.Tag = "!!bool"
	case n.Value == "null":
		n.Tag = "!!null"
	case wholeNumber.MatchString(n.Value) && jsonNumber.MatchString(n.Value):
		n.Tag = "!!int"
	case jsonNumber.MatchString(n.Value):
	case n.Value == "":
		r.fail("a value is missing")
	case strings.HasPrefix(n.Value, "/"), strings.HasPrefix(n.Value, "#"):
		r.fail("JSON has no comments: remove it")
	default:
		r.fail("is not JSON: put texts in double quotes; without are numbers, true, false and null")
	}
	r.skip(min(end, len(r.data)) - min(r.at, end))
	return n
}

// text reads a text in double quotes.
func (r *jsonReader) text() *yaml.Node {
	n := r.node(yaml.ScalarNode, "!!str")
	n.Style = yaml.DoubleQuotedStyle
	r.skip(1)
	var b []byte
	for {
		plain := 0
		for _, c := range r.data[r.at:] {
			if c == '"' || c == '\\' || c < ' ' {
				break
			}
			plain++
		}
		b = append(b, r.data[r.at:r.at+plain]...)
		r.skip(plain)
		switch c := r.next(); {
		case r.at == len(r.data):
			r.failAt(n, "a text in quotes is not closed")
		case c == '\\':
			b = r.escape(b)
			continue
		case c == '"':
			r.skip(1)
		default:
			r.fail(`a line break, a tab or another control character stands in a text: write \n, \t or \u00XX, or close the text`)
		}
		n.Value = string(b)
		return n
	}
}

func (r *jsonReader) failAt(n *yaml.Node, problem string) {
	if r.err == nil {
		r.position.Line, r.position.Column = n.Line, n.Column
		r.fail(problem)
	}
}

// escape reads what begins with a backslash.
func (r *jsonReader) escape(b []byte) []byte {
	const from, to = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if r.at+1 < len(r.data) {
		if i := strings.IndexByte(from, r.data[r.at+1]); i >= 0 {
			r.skip(2)
			return append(b, to[i])
		}
	}
	first, ok := hexEscape(r.data[r.at:])
	if !ok {
		r.fail(`a text holds an unknown escape: write \\ for a backslash`)
		return b
	}
	if !utf16.IsSurrogate(first) {
		r.skip(hexEscapeSize)
		return utf8.AppendRune(b, first)
	}
	second, ok := hexEscape(r.data[r.at+hexEscapeSize:])
	pair := utf16.DecodeRune(first, second)
	if !ok || pair == utf8.RuneError {
		r.fail("a text holds half of a pair of escapes: write both, or the character itself")
		return b
	}
	r.skip(2 * hexEscapeSize)
	return utf8.AppendRune(b, pair)
}

const hexEscapeSize = len(`\u0000`)

// hexEscape reads \uXXXX.
func hexEscape(data []byte) (rune, bool) {
	if len(data) < hexEscapeSize || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range data[2:hexEscapeSize] {
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if digit < 0 || c < '0' {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	return r, true
}
