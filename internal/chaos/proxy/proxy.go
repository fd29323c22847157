// Package proxy is a TCP proxy that does what networks do to connections: it delays,
// throttles, swallows, stalls, corrupts, cuts and resets, each direction apart, as it is
// told while it runs. What it draws at random it draws from a seed.
//
// A connection has four goroutines, two a direction; they end with it, and all of them
// with Close.
package proxy

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Direction is what is done to the bytes that go one way. The zero value passes them on.
type Direction struct {
	// Delay, and up to Jitter more, passes before a piece goes on; the order stays.
	Delay, Jitter time.Duration
	// Rate in bytes a second; 0: no limit.
	Rate int
	// Stall reads nothing: the sender's buffers fill, as behind a cable that was cut.
	// What has been read goes on when the stall ends.
	Stall bool
	// Swallow reads, and passes nothing on: the sender believes that all is well. A
	// connection that lost bytes is reset when it would pass some on again.
	Swallow bool
	// CorruptEvery flips one bit in every so many bytes on average; 0: none.
	CorruptEvery int
	// CutAfter resets a connection after so many bytes more; 0: never.
	CutAfter int64
}

// Stats count since the start. Up is from the client to the target.
type Stats struct {
	Accepted          int64
	Open              int64
	UpBytes           int64 // passed on
	DownBytes         int64
	Swallowed         int64
	Flipped           int64 // bits
	Resets            int64 // connections that the proxy has reset
	RefusedOrUnserved int64 // connections that were refused, or whose target did not answer
}

// Proxy is one listening address in front of a target.
type Proxy struct {
	target   atomic.Pointer[string]
	seed     uint64
	listener *net.TCPListener
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	running  sync.WaitGroup

	up, down way
	refusing atomic.Bool

	accepted, unserved, resets atomic.Int64

	mu    sync.Mutex
	conns map[*connection]struct{}
}

// way is one direction of all connections.
type way struct {
	mu      sync.Mutex
	now     *Direction
	changed chan struct{} // closed when now is another

	bytes, swallowed, flipped atomic.Int64
}

func (w *way) set(d Direction) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = &d
	close(w.changed)
	w.changed = make(chan struct{})
}

// get returns what stands, one pointer for as long as it does, and what tells of the next.
func (w *way) get() (*Direction, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now, w.changed
}

// New listens on a free port of loopback and forwards to the target.
func New(target string, seed uint64) (*Proxy, error) { return Listen("127.0.0.1:0", target, seed) }

// Listen listens on an address and forwards to the target, which need not be there yet.
func Listen(address, target string, seed uint64) (*Proxy, error) {
	l, err := net.Listen("tcp", address) //nolint:noctx // returns at once
	if err != nil {
		return nil, fmt.Errorf("proxy to %s: %w", target, err)
	}
	p := &Proxy{seed: seed, listener: l.(*net.TCPListener), conns: make(map[*connection]struct{})}
	p.target.Store(&target)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for _, w := range []*way{&p.up, &p.down} {
		w.now, w.changed = &Direction{}, make(chan struct{})
	}
	p.running.Go(p.accept)
	return p, nil
}

// SetTarget changes where new connections go.
func (p *Proxy) SetTarget(target string) { p.target.Store(&target) }

// Addr is where to connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set says what is done from now on, to connections that are open and to new ones; up is
// from the client to the target.
func (p *Proxy) Set(up, down Direction) { p.up.set(up); p.down.set(down) }

// SetUp is Set of one direction.
func (p *Proxy) SetUp(d Direction) { p.up.set(d) }

// SetDown is Set of one direction.
func (p *Proxy) SetDown(d Direction) { p.down.set(d) }

// Refuse resets new connections at once, until it is told to stop.
func (p *Proxy) Refuse(refuse bool) { p.refusing.Store(refuse) }

// Reset resets every open connection.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.reset()
	}
}

// Heal undoes everything that Set and Refuse did.
func (p *Proxy) Heal() {
	p.Refuse(false)
	p.Set(Direction{}, Direction{})
}

// Stats returns the counts.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	open := int64(len(p.conns))
	p.mu.Unlock()
	return Stats{
		Accepted: p.accepted.Load(), Open: open, RefusedOrUnserved: p.unserved.Load(), Resets: p.resets.Load(),
		UpBytes: p.up.bytes.Load(), DownBytes: p.down.bytes.Load(),
		Swallowed: p.up.swallowed.Load() + p.down.swallowed.Load(),
		Flipped:   p.up.flipped.Load() + p.down.flipped.Load(),
	}
}

// Close resets every connection and returns when no goroutine is left.
func (p *Proxy) Close() error {
	p.cancel()
	err := p.listener.Close()
	p.running.Wait()
	return err
}

func (p *Proxy) accept() {
	for number := uint64(0); ; number++ {
		client, err := p.listener.AcceptTCP()
		if err != nil {
			if p.ctx.Err() != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of descriptors, for one
			continue
		}
		p.accepted.Add(1)
		if p.refusing.Load() {
			p.unserved.Add(1)
			abort(client)
			continue
		}
		p.running.Go(func() { p.serve(client, number) })
	}
}

// serve forwards one connection until it ends.
func (p *Proxy) serve(client *net.TCPConn, number uint64) {
	defer client.Close()
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(p.ctx, "tcp", *p.target.Load())
	if err != nil {
		p.unserved.Add(1)
		abort(client)
		return
	}
	target := conn.(*net.TCPConn)
	defer target.Close()
	c := newConnection(p, client, target, number)
	defer c.cancel()
	p.mu.Lock()
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	c.run()
}

// abort closes a connection with RST instead of FIN.
func abort(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
