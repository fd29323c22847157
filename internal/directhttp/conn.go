package directhttp

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// firstRoom is what most requests fit in.
const firstRoom = 1 << 10

// conn is one connection. What a request takes is kept for the next one.
type conn struct {
	net.Conn
	listener *Listener
	// waiting: nothing of a request has come.
	waiting atomic.Bool
	// renewed is when the idle deadlines were set; zero: a shorter one is.
	renewed time.Time
	// arriving: the deadlines are those of the request that has begun.
	arriving bool

	in, out []byte
	parsed  parsed
	request http.Request
	url     url.URL
	values  [][]string // of the headers, as they were last
	body    body
	reply   reply
}

func newConn(l *Listener, inner net.Conn) *conn {
	c := &conn{Conn: inner, listener: l, in: make([]byte, 0, firstRoom), values: make([][]string, len(l.o.Headers))}
	c.request = http.Request{
		Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL: &c.url, Header: make(http.Header, len(l.o.Headers)), Body: &c.body, RemoteAddr: inner.RemoteAddr().String(),
	}
	c.reply.header = make(http.Header, 4)
	return c
}

// run answers requests until the connection ends, or something comes that is left to
// net/http: then it returns true.
func (c *conn) run() (handOn bool) {
	for {
		switch c.listener.o.parse(c.in, &c.parsed) {
		case left:
			return true
		case answer:
			if !c.answer() {
				return false
			}
			c.in = c.in[:copy(c.in, c.in[c.parsed.size:])]
			c.arriving = false
			continue
		}
		if !c.read() {
			return false
		}
	}
}

// read reads some more. False: the connection is over.
func (c *conn) read() bool {
	begun := len(c.in) > 0
	if now := time.Now(); begun && !c.arriving {
		c.arriving, c.renewed = true, time.Time{}
		if c.SetDeadline(now.Add(arrival)) != nil {
			return false
		}
	} else if !begun && now.Sub(c.renewed) > renew {
		c.renewed = now
		if c.SetDeadline(now.Add(idle)) != nil {
			return false
		}
	}
	if len(c.in) == cap(c.in) {
		c.in = append(c.in, 0)[:len(c.in)]
	}
	if !begun {
		c.waiting.Store(true)
		if c.listener.isClosed() {
			return false
		}
	}
	n, err := c.Read(c.in[len(c.in):cap(c.in)])
	c.waiting.Store(false)
	c.in = c.in[:len(c.in)+n]
	return n > 0 || err == nil
}

// answer answers the request that was parsed. False: the connection is over.
func (c *conn) answer() bool {
	c.prepare()
	c.listener.o.Handler.ServeHTTP(&c.reply, &c.request)
	last := c.listener.isClosed()
	c.out = c.reply.append(c.out[:0], last)
	_, err := c.Write(c.out)
	return err == nil && !last
}

// prepare makes an http.Request of what was parsed. Texts are made anew only where they
// differ from the request before.
func (c *conn) prepare() {
	p := &c.parsed
	keep(&c.url.Path, p.path)
	keep(&c.request.Host, p.host)
	c.request.RequestURI = c.url.Path
	for i, name := range c.listener.o.Headers {
		if p.headers[i] == nil {
			delete(c.request.Header, name)
			continue
		}
		if c.values[i] == nil {
			c.values[i] = make([]string, 1)
		}
		keep(&c.values[i][0], p.headers[i])
		c.request.Header[name] = c.values[i]
	}
	c.request.ContentLength = int64(len(p.body))
	c.body.rest = p.body
	c.reply.reset()
}

func keep(s *string, b []byte) {
	if *s != string(b) {
		*s = string(b)
	}
}

// body is a request's body.
type body struct{ rest []byte }

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	if len(b.rest) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// Close implements io.Closer.
func (b *body) Close() error { return nil }

// reply is an http.ResponseWriter that keeps the answer until it is whole.
type reply struct {
	header http.Header
	code   int
	body   []byte
}

func (r *reply) reset() {
	clear(r.header)
	r.code, r.body = 0, r.body[:0]
}

// Header implements http.ResponseWriter.
func (r *reply) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *reply) WriteHeader(code int) {
	if r.code == 0 {
		r.code = code
	}
}

// Write implements http.ResponseWriter.
func (r *reply) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	r.body = append(r.body, p...)
	return len(p), nil
}

// SetReadDeadline is what http.ResponseController looks for: the body is there.
func (r *reply) SetReadDeadline(time.Time) error { return nil }

// oneLine keeps a header's value from becoming two headers.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// append appends the answer as it goes over the wire.
func (r *reply) append(b []byte, last bool) []byte {
	r.WriteHeader(http.StatusOK)
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(r.code), 10)
	b = append(append(b, ' '), http.StatusText(r.code)...)
	for name, values := range r.header {
		if name == "Content-Length" {
			continue
		}
		for _, v := range values {
			b = append(append(append(b, "\r\n"...), name...), ": "...)
			b = append(b, oneLine.Replace(v)...)
		}
	}
	b = append(b, "\r\nDate: "...)
	b = appendDate(b, time.Now())
	if last {
		b = append(b, "\r\nConnection: close"...)
	}
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(r.body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, r.body...)
}
