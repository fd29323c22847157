package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// initialWindow is what HTTP/2 begins with.
	initialWindow = 65535
	// followerWindow is what a relay has on the connection and on the stream. As it is
	// fixed, no pings look for a better one.
	followerWindow = 4 << 20
	frameHeader    = 9
	path           = "/tidegate.sync.v1.SyncService/Stream"
)

// conn speaks as much HTTP/2 and gRPC as the streams of a follower need, and says what
// grpc-go would say. One goroutine reads; opening streams is for any.
type conn struct {
	net    net.Conn
	in     *bufio.Reader
	framer *http2.Framer // reads from in, writes to out
	ended  func(*stream) // called under mu when a stream ends before the connection
	// window of the connection, and of each stream. When a quarter of it was received, the
	// sender is given that back, as grpc-go does.
	window uint32

	mu      sync.Mutex // of all that follows
	out     *bufio.Writer
	headers bytes.Buffer
	encoder *hpack.Encoder
	streams map[uint32]*stream
	next    uint32
	// What may be sent on the connection, and on a new stream; what was received.
	room, initialRoom int64
	received          uint32
	broken            bool
}

func newConn(c net.Conn, window uint32) *conn {
	h := &conn{
		net: c, in: bufio.NewReaderSize(c, 8<<10), out: bufio.NewWriterSize(c, 2<<10), window: window,
		streams: make(map[uint32]*stream), next: 1, room: initialWindow, initialRoom: initialWindow,
	}
	h.encoder = hpack.NewEncoder(&h.headers)
	h.framer = http2.NewFramer(h.out, h.in)
	h.framer.SetReuseFrames()
	h.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return h
}

// greet sends what opens the connection.
func (h *conn) greet() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := h.out.WriteString(http2.ClientPreface); err != nil {
		return err
	}
	err := h.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: h.window})
	if err == nil && h.window > initialWindow {
		err = h.framer.WriteWindowUpdate(0, h.window-initialWindow)
	}
	return errors.Join(err, h.out.Flush())
}

// open opens a stream with its Hello, unless the connection broke.
func (h *conn) open(s *stream) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken {
		return nil
	}
	id := h.next
	h.next += 2
	h.streams[id] = s
	s.begin(id, h.initialRoom)
	h.headers.Reset()
	for _, f := range [...][2]string{
		{":method", "POST"},
		{":scheme", "http"},
		{":path", path},
		{":authority", h.net.RemoteAddr().String()},
		{"content-type", "application/grpc"},
		{"user-agent", "fanout"},
		{"te", "trailers"},
	} {
		if err := h.encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	err := h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.headers.Bytes(), EndHeaders: true})
	if err == nil {
		err = h.send(s, s.hello())
	}
	if err == nil {
		err = h.out.Flush()
	}
	return err
}

// send sends one message; there must be room for it.
func (h *conn) send(s *stream, message []byte) error {
	framed := binary.BigEndian.AppendUint32(make([]byte, 1, 5+len(message)), uint32(len(message)))
	framed = append(framed, message...)
	h.room -= int64(len(framed))
	s.room -= int64(len(framed))
	return h.framer.WriteData(s.id, false, framed)
}

// acknowledge sends the stream's newest state, if there is room for it: of those that
// wait for room, the newest is the one that counts.
func (h *conn) acknowledge(s *stream) error {
	if !s.unacknowledged || min(h.room, s.room) < 5+maxAck {
		return nil
	}
	s.unacknowledged = false
	return h.send(s, s.ack())
}

// receive reads until the connection breaks; stall may block before each frame.
func (h *conn) receive(stall func()) error {
	for {
		stall()
		frame, err := h.framer.ReadFrame()
		if err != nil {
			return err
		}
		// What is to be said to frames that came together is sent together.
		if err := h.handle(frame, h.in.Buffered() < frameHeader); err != nil {
			return err
		}
	}
}

func (h *conn) handle(frame http2.Frame, flush bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var err error
	switch f := frame.(type) {
	case *http2.DataFrame:
		err = h.handleData(f)
	case *http2.MetaHeadersFrame:
		if f.StreamEnded() {
			h.drop(f.StreamID, "status "+value(f, "grpc-status")+" "+value(f, "grpc-message"))
		}
	case *http2.RSTStreamFrame:
		h.drop(f.StreamID, "reset "+f.ErrCode.String())
	case *http2.WindowUpdateFrame:
		err = h.handleWindow(f)
	case *http2.SettingsFrame:
		err = h.handleSettings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			err = h.framer.WritePing(true, f.Data)
		}
	case *http2.GoAwayFrame:
		return fmt.Errorf("the server goes away: %v %s", f.ErrCode, f.DebugData())
	}
	if err != nil || !flush {
		return err
	}
	return h.out.Flush()
}

func value(f *http2.MetaHeadersFrame, name string) string {
	for _, field := range f.Fields {
		if field.Name == name {
			return field.Value
		}
	}
	return ""
}

func (h *conn) handleData(f *http2.DataFrame) error {
	var err error
	data := f.Data()
	if h.received += f.Length; h.received >= h.window/4 {
		err, h.received = h.framer.WriteWindowUpdate(0, h.received), 0
	}
	s := h.streams[f.StreamID]
	if s == nil || err != nil {
		return err
	}
	if s.received += f.Length; s.received >= h.window/4 {
		if err := h.framer.WriteWindowUpdate(s.id, s.received); err != nil {
			return err
		}
		s.received = 0
	}
	if err := s.take(data, time.Now()); err != nil {
		return err
	}
	return h.acknowledge(s)
}

func (h *conn) handleWindow(f *http2.WindowUpdateFrame) error {
	if f.StreamID != 0 {
		s := h.streams[f.StreamID]
		if s == nil {
			return nil
		}
		s.room += int64(f.Increment)
		return h.acknowledge(s)
	}
	h.room += int64(f.Increment)
	for _, s := range h.streams {
		if err := h.acknowledge(s); err != nil {
			return err
		}
	}
	return nil
}

func (h *conn) handleSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	if size, ok := f.Value(http2.SettingInitialWindowSize); ok {
		for _, s := range h.streams {
			s.room += int64(size) - h.initialRoom
		}
		h.initialRoom = int64(size)
	}
	return h.framer.WriteSettingsAck()
}

// drop forgets a stream that ended.
func (h *conn) drop(id uint32, why string) {
	if s := h.streams[id]; s != nil {
		delete(h.streams, id)
		s.end(why)
		h.ended(s)
	}
}

// dropAll forgets all streams, as the connection broke, and takes no new ones.
func (h *conn) dropAll(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = true
	for _, s := range h.streams {
		s.end(why)
	}
}
