package jsondoc

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

const (
	// MaxDepth is how deeply values may be nested.
	MaxDepth = 100
	// MaxBytes is how long a text may be.
	MaxBytes = 1 << 30
)

// Error says what is wrong with a text, and where.
type Error struct {
	Offset  int // in bytes
	Problem string
}

func (e *Error) Error() string { return fmt.Sprintf("at byte %d: %s", e.Offset, e.Problem) }

// Parse reads a text, which becomes the document's: escaped strings are unescaped in it.
// After an error there is no Root.
func (d *Document) Parse(text []byte) error {
	d.Reset()
	if len(text) > MaxBytes {
		return &Error{MaxBytes, "the text goes on: want at most " + strconv.Itoa(MaxBytes) + " bytes"}
	}
	if !utf8.Valid(text) {
		return &Error{firstInvalid(text), "want UTF-8"}
	}
	d.text = text
	p := parser{doc: d, text: text}
	p.space()
	if p.value(0); p.problem == "" {
		p.space()
		if p.at < len(text) {
			p.fail("want nothing after the value")
		}
	}
	if p.problem != "" {
		d.Reset()
		return &Error{p.at, p.problem}
	}
	return nil
}

func firstInvalid(text []byte) int {
	at := 0
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

// parser reads one text. Once something is wrong, problem says what, and at is where.
type parser struct {
	doc     *Document
	text    []byte
	at      int
	problem string
}

// fail notes what is wrong. The first problem counts.
func (p *parser) fail(problem string) {
	if p.problem == "" {
		p.problem = problem
	}
}

// peek returns the next byte; 0, which is nowhere right, at the end.
func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// add appends a node, which for now has nothing in it.
func (p *parser) add(kind Kind, bits uint64) uint32 {
	at := uint32(len(p.doc.nodes))
	p.doc.nodes = append(p.doc.nodes, Node{doc: p.doc, bits: bits, at: at, next: at + 1, kind: kind})
	return at
}

// value reads one value, at which the parser stands.
func (p *parser) value(depth int) {
	switch c := p.peek(); c {
	case '{':
		p.object(depth)
	case '[':
		p.list(depth)
	case '"':
		p.string()
	case 't':
		p.literal("true", Bool, 1)
	case 'f':
		p.literal("false", Bool, 0)
	case 'n':
		p.literal("null", Null, 0)
	default:
		if c != '-' && !isDigit(c) {
			p.fail("want a JSON value")
			return
		}
		p.number()
	}
}

func (p *parser) literal(word string, kind Kind, bits uint64) {
	if len(p.text)-p.at < len(word) || string(p.text[p.at:p.at+len(word)]) != word {
		p.fail("want a JSON value, such as " + word)
		return
	}
	p.at += len(word)
	p.add(kind, bits)
}

const tooDeep = "values are nested more than 100 deep"

func (p *parser) object(depth int) {
	if depth >= MaxDepth {
		p.fail(tooDeep)
		return
	}
	self, size := p.add(Object, 0), uint32(0)
	for p.begin('}') {
		if p.peek() != '"' {
			p.fail(`want a member's name in "`)
			return
		}
		p.string()
		p.space()
		if p.problem == "" && p.peek() != ':' {
			p.fail("want ':' after the member's name")
		}
		if p.problem != "" {
			return
		}
		p.at++
		p.space()
		p.value(depth + 1)
		size++
		if !p.end('}') {
			break
		}
	}
	p.close(self, size)
}

func (p *parser) list(depth int) {
	if depth >= MaxDepth {
		p.fail(tooDeep)
		return
	}
	self, size := p.add(List, 0), uint32(0)
	for p.begin(']') {
		p.value(depth + 1)
		size++
		if !p.end(']') {
			break
		}
	}
	p.close(self, size)
}

// begin goes over a '{', '[' or ',', and tells whether an element follows: after a comma
// one must.
func (p *parser) begin(end byte) bool {
	first := p.text[p.at] != ','
	p.at++
	p.space()
	if first && p.peek() == end {
		p.at++
		return false
	}
	return true
}

// end goes on to a comma (true), or over the end.
func (p *parser) end(end byte) bool {
	if p.problem != "" {
		return false
	}
	p.space()
	switch p.peek() {
	case ',':
		return true
	case end:
		p.at++
		return false
	}
	p.fail("want ',' or '" + string(rune(end)) + "'")
	return false
}

func (p *parser) close(self, size uint32) {
	n := &p.doc.nodes[self]
	n.size, n.next = size, uint32(len(p.doc.nodes))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// digits goes over digits, and tells whether there was one.
func (p *parser) digits() bool {
	from := p.at
	for p.at < len(p.text) && isDigit(p.text[p.at]) {
		p.at++
	}
	return p.at > from
}

// exactDigits is how many digits every double holds.
const exactDigits = 15

func (p *parser) number() {
	from := p.at
	negative := p.peek() == '-'
	if negative {
		p.at++
	}
	begin := p.at
	if !p.digits() || p.text[begin] == '0' && p.at > begin+1 {
		p.at = from
		p.fail("want a number, without leading zeros")
		return
	}
	whole := p.at
	fine := true
	if p.peek() == '.' {
		p.at++
		fine = p.digits()
	}
	if c := p.peek(); fine && (c == 'e' || c == 'E') {
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		fine = p.digits()
	}
	if !fine {
		p.fail("want a digit")
		return
	}
	if p.at == whole && whole-begin <= exactDigits {
		p.add(Number, math.Float64bits(small(p.text[begin:whole], negative)))
		return
	}
	f, err := strconv.ParseFloat(unsafe.String(&p.text[from], p.at-from), 64) //nolint:gosec // it is not kept
	if err != nil {
		p.at = from
		p.fail("the number is larger than a double can be")
		return
	}
	p.add(Number, math.Float64bits(f))
}

// small reads a few digits.
func small(digits []byte, negative bool) float64 {
	n := 0
	for _, c := range digits {
		n = n*10 + int(c-'0')
	}
	if negative {
		return -float64(n)
	}
	return float64(n)
}

// string reads a string, and unescapes it where it stands: no escape is shorter than what
// it stands for.
func (p *parser) string() {
	p.at++
	from := p.at
	to := from
	for {
		plain := p.at
		for p.at < len(p.text) && p.text[p.at] != '"' && p.text[p.at] != '\\' && p.text[p.at] >= ' ' {
			p.at++
		}
		if to != plain {
			copy(p.text[to:], p.text[plain:p.at])
		}
		to += p.at - plain
		switch c := p.peek(); {
		case p.at == len(p.text):
			p.fail(`the string is not ended: want "`)
			return
		case c == '"':
			p.at++
			self := p.add(String, 0)
			p.doc.nodes[self].from, p.doc.nodes[self].size = uint32(from), uint32(to-from)
			return
		case c != '\\':
			p.fail("want control characters escaped")
			return
		}
		r, ok := p.escape()
		if !ok {
			p.fail(`want an escape: \" \\ \/ \b \f \n \r \t, or \u and four hexadecimal digits`)
			return
		}
		to += utf8.EncodeRune(p.text[to:], r)
	}
}

// escape reads what a backslash begins.
func (p *parser) escape() (rune, bool) {
	if p.at+1 >= len(p.text) {
		return 0, false
	}
	c := p.text[p.at+1]
	if c == 'u' {
		return p.unicode()
	}
	var r rune
	switch c {
	case '"', '\\', '/':
		r = rune(c)
	case 'b':
		r = '\b'
	case 'f':
		r = '\f'
	case 'n':
		r = '\n'
	case 'r':
		r = '\r'
	case 't':
		r = '\t'
	default:
		return 0, false
	}
	p.at += 2
	return r, true
}

// unicode reads \uXXXX, or two of them that are the halves of one character.
func (p *parser) unicode() (rune, bool) {
	r, ok := p.hex(p.at)
	if !ok {
		return 0, false
	}
	p.at += 6
	if !utf16.IsSurrogate(r) {
		return r, true
	}
	if other, ok := p.hex(p.at); ok {
		if both := utf16.DecodeRune(r, other); both != utf8.RuneError {
			p.at += 6
			return both, true
		}
	}
	return utf8.RuneError, true
}

// hex reads the \uXXXX at a place.
func (p *parser) hex(at int) (r rune, ok bool) {
	if at+6 > len(p.text) || p.text[at] != '\\' || p.text[at+1] != 'u' {
		return 0, false
	}
	for _, c := range p.text[at+2 : at+6] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
