// Package directhttp answers small POST requests over HTTP/1.1 with a fraction of what
// they cost in net/http: a goroutine a connection that reads, answers and writes, and
// nothing else.
//
// It takes only requests of the one form that clients send who ask often: everything else
// (another path or method, chunked bodies, upgrades, HTTP/2, what comes from a browser's
// page, anything malformed) is left to net/http, with the connection and every byte that
// was read of it, and stays there. So there is one judge of what is valid, and it is not
// this package. See docs/adr/0014-direct-methods.md.
package directhttp

import (
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	// idle is how long a connection may be silent; it is renewed at most every renew.
	idle  = 2 * time.Minute
	renew = 30 * time.Second
	// arrival is how long a request may take from its first byte to its last.
	arrival = 10 * time.Second
)

// Options of a Listener.
type Options struct {
	// Prefix of the paths that are answered here; a name of letters, digits and '-._~'
	// follows it.
	Prefix string
	// Headers are the names, as net/http writes them, of the request headers that the
	// handler reads. It sees no others.
	Headers []string
	// Handler answers, in one Write at most, and keeps neither request nor writer.
	Handler http.Handler
	Logger  zerolog.Logger
}

// Listener answers what it can on the connections of another listener, and accepts the
// rest: it is to be served by a net/http server.
type Listener struct {
	net.Listener
	o Options

	start  sync.Once
	handed chan net.Conn
	failed chan error
	closed chan struct{}
	stop   sync.Once

	mu    sync.Mutex
	conns map[*conn]struct{}
}

// Listen makes a Listener of another one, which it closes when it is closed.
func Listen(inner net.Listener, o Options) *Listener {
	return &Listener{
		Listener: inner, o: o,
		handed: make(chan net.Conn), failed: make(chan error), closed: make(chan struct{}),
		conns: make(map[*conn]struct{}),
	}
}

// Accept returns the next connection that is not answered here.
func (l *Listener) Accept() (net.Conn, error) {
	l.start.Do(func() { go l.accept() })
	select {
	case c := <-l.handed:
		return c, nil
	case err := <-l.failed:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close closes the inner listener and the connections that wait for a request. Those
// that have one answer it, and close then.
func (l *Listener) Close() error {
	err := net.ErrClosed
	l.stop.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		for c := range l.conns {
			if c.waiting.Load() {
				_ = c.SetReadDeadline(time.Unix(1, 0)) // one that fails is closed already
			}
		}
	})
	return err
}

func (l *Listener) accept() {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			select {
			case l.failed <- err:
			case <-l.closed:
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		c := newConn(l, inner)
		l.mu.Lock()
		l.conns[c] = struct{}{}
		l.mu.Unlock()
		go l.serve(c)
	}
}

// serve answers on the connection, and closes it or hands it on.
func (l *Listener) serve(c *conn) {
	handOn := false
	defer func() {
		if p := recover(); p != nil {
			handOn = false
			l.o.Logger.Error().Interface("panic", p).Bytes("stack", debug.Stack()).Msg("panic in a handler")
		}
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
		if handOn && c.SetDeadline(time.Time{}) == nil {
			select {
			case l.handed <- &begun{Conn: c.Conn, before: c.in}:
				return
			case <-l.closed:
			}
		}
		_ = c.Close() // nothing is left to be told
	}()
	handOn = c.run()
}

func (l *Listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// begun is a connection of which something was read.
type begun struct {
	net.Conn
	before []byte
}

// Read implements net.Conn.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.before) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.before)
	b.before = b.before[n:]
	return n, nil
}

// CloseWrite lets net/http say that it is done before it closes.
func (b *begun) CloseWrite() error {
	if c, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// date is the present time as HTTP writes it, made once a second.
type date struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[date]

func appendDate(b []byte, now time.Time) []byte {
	d := lastDate.Load()
	if second := now.Unix(); d == nil || d.second != second {
		d = &date{second: second, text: now.UTC().Format(http.TimeFormat)}
		lastDate.Store(d)
	}
	return append(b, d.text...)
}
