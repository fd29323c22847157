package rpc

import (
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// Decoder is a message that reads itself from what came over the wire. The data is the
// transport's: it must not be used after DecodeWire returns.
type Decoder interface {
	DecodeWire(data mem.BufferSlice) error
}

// Encoded is a message that was encoded already, and may be sent by any number of streams
// at once. A codec that does not know it encodes what it reflects.
type Encoded interface {
	proto.Message
	// Wire is the message. It is shared, of buffers that nobody frees.
	Wire() mem.BufferSlice
}

// codec is protobuf's, and knows messages that decode or encode themselves.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(grpcproto.Name)} }

// Codec is what the servers of this package use, for servers that are made otherwise.
func Codec() encoding.CodecV2 { return newCodec() }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(m any) (mem.BufferSlice, error) {
	switch m := m.(type) {
	case *Reply:
		return m.Buffers(), nil
	case Encoded:
		return m.Wire(), nil
	}
	return c.CodecV2.Marshal(m)
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, m any) error {
	if d, ok := m.(Decoder); ok {
		return d.DecodeWire(data)
	}
	return c.CodecV2.Unmarshal(data, m)
}

// Reply is a message that was encoded already. It is sent once.
type Reply struct {
	// Small replies are made in one allocation, of this.
	room   [replyRoom]byte
	bytes  mem.SliceBuffer
	single [1]mem.Buffer

	large mem.BufferSlice // instead
}

// replyRoom makes a Reply one of the allocator's size classes.
const replyRoom = 256

// Room is where to begin to append a small reply, for Set.
func (r *Reply) Room() []byte { return r.room[:0] }

// Set makes b the message.
func (r *Reply) Set(b []byte) { r.bytes = b }

// SetLarge makes the buffers the message. They are the transport's from here on.
func (r *Reply) SetLarge(b mem.BufferSlice) { r.large = b }

// Buffers are the message. Whoever sends it frees them.
func (r *Reply) Buffers() mem.BufferSlice {
	if r.large != nil {
		return r.large
	}
	r.single[0] = &r.bytes
	return r.single[:]
}
