package directhttp

import (
	"bytes"
	"strings"
)

const (
	maxHead    = 4 << 10
	maxBody    = 16 << 10
	maxHeaders = 64
)

// verdict is what is to be done with what was read.
type verdict uint8

const (
	left   verdict = iota // it is net/http's
	more                  // it may become a request for here
	answer                // it is one
)

// parsed is a request; it lies in what was read.
type parsed struct {
	path, host, body []byte
	// headers are the values of Options.Headers; nil: not given.
	headers [][]byte
	// size is of the whole request.
	size int
}

var (
	endOfHead = []byte("\r\n\r\n")
	method    = "POST "
	protocol  = " HTTP/1.1"
)

// parse looks at the beginning of b.
func (o *Options) parse(b []byte, p *parsed) verdict {
	if !couldBe(b, method+o.Prefix) {
		return left
	}
	end := bytes.Index(b[:min(len(b), maxHead)], endOfHead)
	if end < 0 {
		if len(b) >= maxHead || bareNewline(b) {
			return left
		}
		return more
	}
	length, ok := o.parseHead(b[:end], p)
	if !ok {
		return left
	}
	from := end + len(endOfHead)
	p.size = from + length
	if len(b) < p.size {
		return more
	}
	p.body = b[from:p.size]
	return answer
}

// couldBe tells whether b begins with want, as far as it goes.
func couldBe(b []byte, want string) bool {
	n := min(len(b), len(want))
	return string(b[:n]) == want[:n]
}

// bareNewline: a line that does not end in CR LF, which net/http takes.
func bareNewline(b []byte) bool {
	for i, c := range b {
		if c == '\n' && (i == 0 || b[i-1] != '\r') {
			return true
		}
	}
	return false
}

// parseHead reads the lines before the body, and how long that is.
func (o *Options) parseHead(head []byte, p *parsed) (length int, ok bool) {
	line, rest, _ := bytes.Cut(head, endOfHead[:2])
	line, ok = bytes.CutSuffix(line, []byte(protocol))
	if !ok {
		return 0, false
	}
	p.path = line[len(method):]
	name := p.path[len(o.Prefix):]
	if len(name) == 0 || !all(name, unreserved) {
		return 0, false
	}
	p.host, p.headers = nil, append(p.headers[:0], make([][]byte, len(o.Headers))...)
	length = -1
	for lines := 0; len(rest) > 0; lines++ {
		line, rest, _ = bytes.Cut(rest, endOfHead[:2])
		if lines == maxHeaders || !o.parseHeader(line, p, &length) {
			return 0, false
		}
	}
	return length, length >= 0 && p.host != nil
}

// parseHeader reads one header; ok: it may be part of a request for here.
func (o *Options) parseHeader(line []byte, p *parsed, length *int) (ok bool) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || !all(line[:colon], nameByte) {
		return false
	}
	name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
	if !all(value, valueByte) {
		return false
	}
	for i, wanted := range o.Headers {
		if equalFold(name, wanted) {
			ok = p.headers[i] == nil && len(value) > 0
			p.headers[i] = value
			return ok
		}
	}
	switch {
	case equalFold(name, "host"):
		ok = p.host == nil && len(value) > 0 && all(value, hostByte)
		p.host = value
		return ok
	case equalFold(name, "content-length"):
		ok = *length < 0
		*length = number(value)
		return ok && *length >= 0 && *length <= maxBody
	case equalFold(name, "connection"):
		return equalFold(value, "keep-alive")
	}
	return !changesMeaning(name)
}

// meaningful are headers that change what a request is, or who may send it.
var meaningful = []string{
	"transfer-encoding", "content-encoding", "expect", "upgrade", "te", "trailer", "http2-settings",
	"proxy-connection", "origin", "sec-fetch-site",
}

func changesMeaning(name []byte) bool {
	for _, m := range meaningful {
		if equalFold(name, m) {
			return true
		}
	}
	return false
}

// number reads a number of at most five digits; -1: it is not one.
func number(b []byte) int {
	if len(b) == 0 || len(b) > 5 || len(b) > 1 && b[0] == '0' {
		return -1
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

func equalFold(b []byte, s string) bool { return len(b) == len(s) && strings.EqualFold(string(b), s) }

// Classes of bytes.
const (
	unreserved uint8 = 1 << iota // of a path's last element
	nameByte                     // of a header's name
	hostByte
	valueByte // of a header's value
)

var classes = func() (table [256]uint8) {
	for c := range table {
		b := byte(c)
		if 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' {
			table[c] = unreserved | nameByte | hostByte
		}
		if ' ' <= b && b <= '~' || b == '\t' {
			table[c] |= valueByte
		}
	}
	for class, more := range map[uint8]string{unreserved: "-._~", nameByte: "-", hostByte: "-.:"} {
		for _, b := range []byte(more) {
			table[b] |= class
		}
	}
	return table
}()

// all tells whether every byte is of the class.
func all(b []byte, class uint8) bool {
	for _, c := range b {
		if classes[c]&class == 0 {
			return false
		}
	}
	return true
}
