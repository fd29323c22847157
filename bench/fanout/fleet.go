package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// opening is how many streams are brought in sync at a time in the beginning, or one
// connection's. Those that are opened again are opened as they come.
const opening = 64

// clients is where connections come from. It is not the servers' address: a client
// could take the port of a server that is about to be back, or even connect to itself.
var clients = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}

// fleet is a number of followers on a number of connections.
type fleet struct {
	addr, environment string
	collector         *collector
	acks              atomic.Bool
	// empty followers ask for everything, whatever they have.
	empty atomic.Bool

	links []*link
	done  sync.WaitGroup
	stop  context.CancelFunc
}

// link is one connection of a fleet, again and again.
type link struct {
	fleet   *fleet
	streams []*stream
	// stalled is nil, or blocks until it is closed.
	stalled atomic.Pointer[chan struct{}]
	net     atomic.Pointer[net.TCPConn]
	// joining are the streams that were never in sync; joined is called after the last.
	joining atomic.Int64
	joined  func()
	window  uint32
}

// stalls is how many of n connections are those that are to stall: one of twenty.
func stalls(n int) int { return n / 20 }

// startFleet opens n connections with m streams each, and waits until all are in sync.
func startFleet(ctx context.Context, addr, environment string, n, m int) (*fleet, error) {
	f := &fleet{addr: addr, environment: environment, collector: new(collector)}
	f.collector.renew()
	f.acks.Store(true)
	ctx, f.stop = context.WithCancel(ctx)
	first := make(chan struct{}, max(opening/m, 1))
	for i := range n {
		l := &link{fleet: f, joined: sync.OnceFunc(func() { <-first }), window: followerWindow}
		if i < stalls(n) {
			l.window = initialWindow
		}
		l.joining.Store(int64(m))
		for j := range m {
			l.streams = append(l.streams, &stream{fleet: f, link: l, name: fmt.Sprintf("follower-%d-%d", i, j)})
		}
		f.links = append(f.links, l)
		f.done.Go(func() {
			select {
			case first <- struct{}{}:
				l.run(ctx)
				l.joined()
			case <-ctx.Done():
			}
		})
	}
	if _, err := f.collector.awaitBack(ctx, 0, n*m); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// close ends all streams, and waits for it.
func (f *fleet) close() {
	f.stop()
	f.release()
	f.cut()
	f.done.Wait()
}

// cut breaks all connections at once, without a word.
func (f *fleet) cut() {
	for _, l := range f.links {
		l.cut()
	}
}

// stall stops the reading on the first n connections.
func (f *fleet) stall(n int) {
	for _, l := range f.links[:n] {
		c := make(chan struct{})
		l.stalled.Store(&c)
	}
}

// resume replaces the first n connections, which were stalled, and waits until all
// streams are in sync.
func (f *fleet) resume(ctx context.Context, n int) error {
	f.collector.renew()
	lost := 0
	for _, l := range f.links[:n] {
		l.cut()
		lost += len(l.streams)
	}
	f.release()
	_, err := f.collector.awaitBack(ctx, lost, len(f.links)*len(f.links[0].streams))
	return err
}

func (f *fleet) release() {
	for _, l := range f.links {
		if c := l.stalled.Swap(nil); c != nil {
			close(*c)
		}
	}
}

// run keeps the connection up until ctx ends.
func (l *link) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := l.connect(ctx); err != nil {
			l.fleet.collector.end(err.Error(), false)
			for _, s := range l.streams {
				s.failures++
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(l.streams[0].wait()):
		}
	}
}

// connect opens the streams on a new connection and receives until it breaks. It fails
// if there is no connection.
func (l *link) connect(ctx context.Context) error {
	dialer := net.Dialer{LocalAddr: clients}
	dialed, err := dialer.DialContext(ctx, "tcp", l.fleet.addr)
	if err != nil {
		return plain(err)
	}
	tcp := dialed.(*net.TCPConn)
	// It ends without a word, and leaves no port behind that nobody may use for a minute.
	if err := tcp.SetLinger(0); err != nil {
		return errors.Join(plain(err), tcp.Close())
	}
	l.net.Store(tcp)
	defer l.net.Store(nil)
	defer tcp.Close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	h := newConn(tcp, l.window)
	h.ended = func(s *stream) { l.ended(h, s) }
	err = h.greet()
	for _, s := range l.streams {
		if err == nil {
			err = h.open(s)
		}
	}
	if err == nil {
		err = h.receive(l.stall)
	}
	h.dropAll(plain(err).Error())
	return nil
}

// ended opens a stream again, on its connection if it has others, else on a new one.
func (l *link) ended(h *conn, s *stream) {
	if len(l.streams) == 1 {
		h.net.Close()
		return
	}
	time.AfterFunc(s.wait(), func() {
		if err := h.open(s); err != nil {
			h.net.Close()
		}
	})
}

func (l *link) cut() {
	if c := l.net.Load(); c != nil {
		c.Close()
	}
}

// stall blocks while the link does not read.
func (l *link) stall() {
	if c := l.stalled.Load(); c != nil {
		<-*c
	}
}

// plain is an error without addresses, of which each connection has its own.
func plain(err error) error {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF):
		return errors.New("connection closed")
	}
	return err
}
