package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2/hpack"
)

// This file is a gRPC client that costs next to nothing, so that one core of it keeps one
// core of a server busy: requests are encoded beforehand, a connection is one goroutine,
// and nothing of an answer is decoded but where it ends. Headers are compressed as
// grpc-go's clients do it.

// HTTP/2 frames.
const (
	frameData         = 0
	frameHeaders      = 1
	frameReset        = 3
	frameSettings     = 4
	framePing         = 6
	frameGoAway       = 7
	frameWindowUpdate = 8

	flagAck        = 1
	flagEndStream  = 1
	flagEndHeaders = 4

	frameHeader = 9
	// window is what we are ready to receive: no answer ever waits for it.
	window = 1<<31 - 1
)

// grpcLoad calls a method.
type grpcLoad struct {
	addr, path string
	// authorization is the header's value; empty: there is none.
	authorization string
	messages      [][]byte // of requests, in turn
	// stream: all messages go over one call.
	stream   bool
	inFlight int // on one connection
}

type grpcConn struct {
	load    grpcLoad
	conn    net.Conn
	in      *bufio.Reader
	out     []byte
	block   []byte   // the headers of every call but the first
	data    [][]byte // the messages, with gRPC's prefix
	turn    int      // of data
	begun   map[uint32]time.Time
	next    uint32
	arrived int // bytes since the last window update
	done    func(time.Duration)
}

func (l grpcLoad) run(ctx context.Context, done func(time.Duration)) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c := &grpcConn{load: l, conn: conn, in: bufio.NewReaderSize(conn, 256<<10), begun: map[uint32]time.Time{}, next: 1, done: done}
	for _, m := range l.messages {
		c.data = append(c.data, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...))
	}
	err = c.run()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (c *grpcConn) run() error {
	c.out = append(c.out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"...)
	c.frame(frameSettings, 0, 0, []byte{0, 4, 0x7f, 0xff, 0xff, 0xff}) // the window of a stream
	c.grant(0, window-65535)
	c.headers()
	var err error
	if c.load.stream {
		err = c.pipeline()
	} else {
		err = c.unary()
	}
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: the connection ended", c.load.path)
	}
	return err
}

// headers makes the header block of every call, and puts the first call's, which fills
// the server's table, into the way of the first frame that needs one.
func (c *grpcConn) headers() {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for i := range 2 {
		block.Reset()
		for _, f := range [][2]string{
			{":method", "POST"},
			{":scheme", "http"},
			{":path", c.load.path},
			{":authority", c.load.addr},
			{"content-type", "application/grpc"},
			{"user-agent", "grpc-go/1.85.0"},
			{"te", "trailers"},
			{"authorization", c.load.authorization},
		} {
			if f[1] == "" {
				continue
			}
			_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // into memory
		}
		if i == 0 {
			c.open(block.Bytes())
		}
	}
	c.block = block.Bytes()
}

// open begins a call; the caller sends its data.
func (c *grpcConn) open(block []byte) {
	c.frame(frameHeaders, flagEndHeaders, c.next, block)
	c.begun[c.next] = time.Now()
	c.next += 2
}

func (c *grpcConn) unary() error {
	c.frame(frameData, flagEndStream, 1, c.request())
	for range c.load.inFlight - 1 {
		c.call()
	}
	bodies := map[uint32]int{}
	for {
		kind, flags, stream, payload, err := c.read()
		if err != nil {
			return err
		}
		if kind == frameData {
			bodies[stream] += len(payload)
		}
		if (kind != frameHeaders && kind != frameData) || flags&flagEndStream == 0 {
			continue
		}
		if bodies[stream] == 0 {
			return fmt.Errorf("%s: a call failed", c.load.path)
		}
		c.done(time.Since(c.begun[stream]))
		delete(c.begun, stream)
		delete(bodies, stream)
		c.call()
	}
}

// request is the next message to send.
func (c *grpcConn) request() []byte {
	c.turn = (c.turn + 1) % len(c.data)
	return c.data[c.turn]
}

func (c *grpcConn) call() {
	c.open(c.block)
	c.frame(frameData, flagEndStream, c.next-2, c.request())
}

// pipeline sends a message for every one that comes back, on one call.
func (c *grpcConn) pipeline() error {
	sent := make([]time.Time, 0, c.load.inFlight) // in a ring
	for range c.load.inFlight {
		sent = append(sent, time.Now())
		c.frame(frameData, 0, 1, c.request())
	}
	var have []byte
	for at := 0; ; {
		kind, flags, _, payload, err := c.read()
		if err != nil {
			return err
		}
		if kind == frameHeaders && flags&flagEndStream != 0 {
			return fmt.Errorf("%s: the stream ended", c.load.path)
		}
		if kind != frameData {
			continue
		}
		for have = append(have, payload...); len(have) >= 5; {
			n := 5 + int(binary.BigEndian.Uint32(have[1:5]))
			if len(have) < n {
				break
			}
			have = append(have[:0], have[n:]...)
			c.done(time.Since(sent[at]))
			sent[at] = time.Now()
			at = (at + 1) % len(sent)
			c.frame(frameData, 0, 1, c.request())
		}
	}
}

// frame appends a frame to what goes out when nothing is left to read.
func (c *grpcConn) frame(kind, flags byte, stream uint32, payload []byte) {
	n := len(payload)
	c.out = append(c.out, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	c.out = binary.BigEndian.AppendUint32(c.out, stream)
	c.out = append(c.out, payload...)
}

func (c *grpcConn) grant(stream uint32, bytes int) {
	c.frame(frameWindowUpdate, 0, stream, binary.BigEndian.AppendUint32(nil, uint32(bytes)))
}

// read returns the next frame, valid until the next read, and does what the transport
// asks for.
func (c *grpcConn) read() (kind, flags byte, stream uint32, payload []byte, err error) {
	for {
		if c.in.Buffered() < frameHeader && len(c.out) > 0 {
			if _, err = c.conn.Write(c.out); err != nil {
				return
			}
			c.out = c.out[:0]
		}
		var h []byte
		if h, err = c.in.Peek(frameHeader); err != nil {
			return
		}
		n := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
		kind, flags, stream = h[3], h[4], binary.BigEndian.Uint32(h[5:])
		if payload, err = c.in.Peek(frameHeader + n); err != nil {
			return
		}
		payload = payload[frameHeader:]
		if _, err = c.in.Discard(frameHeader + n); err != nil {
			return
		}
		switch kind {
		case frameSettings:
			if flags&flagAck == 0 {
				c.frame(frameSettings, flagAck, 0, nil)
			}
		case framePing:
			if flags&flagAck == 0 {
				c.frame(framePing, flagAck, 0, payload)
			}
		case frameReset, frameGoAway:
			return kind, flags, stream, payload, fmt.Errorf("%s: the server sent frame %d: %q", c.load.path, kind, payload)
		case frameData:
			if c.arrived += n; c.arrived > window/2 {
				c.grant(0, c.arrived)
				if c.load.stream {
					c.grant(stream, c.arrived)
				}
				c.arrived = 0
			}
			return
		case frameHeaders:
			return
		}
	}
}
