package hub

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// request is a StreamRequest as it came. Of a stream's two goroutines, one does nothing
// but receive, and its stack is as large as the deepest that it ever went: so it looks at
// bytes, and has what is not a plain acknowledgement decoded elsewhere. It implements
// rpc.Decoder.
type request struct {
	wire    []byte
	decoded *syncv1.StreamRequest // by a codec that does not know of decoders
}

// DecodeWire takes the message.
func (r *request) DecodeWire(data mem.BufferSlice) error {
	r.wire = data.Materialize()
	return nil
}

// ProtoReflect is for other codecs.
func (r *request) ProtoReflect() protoreflect.Message {
	if r.decoded == nil {
		r.decoded = &syncv1.StreamRequest{}
	}
	return r.decoded.ProtoReflect()
}

// message decodes the request.
func (r *request) message() (*syncv1.StreamRequest, error) {
	if r.decoded != nil {
		return r.decoded, nil
	}
	m := &syncv1.StreamRequest{}
	return m, proto.Unmarshal(r.wire, m)
}

// plainAck is an Ack without rejections. The environment is a part of what it was read from.
type plainAck struct {
	environment []byte
	cursor      snapshot.Cursor
}

// readAck reads a request that is an Ack, in the form in which everyone encodes it and
// without rejections; of all else the generated code is the judge.
func readAck(wire []byte) (a plainAck, ok bool) {
	body, rest, ok := readBytes(wire, 2)
	if !ok || len(rest) != 0 {
		return a, false
	}
	if a.environment, body, ok = readBytes(body, 1); !ok {
		return a, false
	}
	cursor, rest, ok := readBytes(body, 2)
	if !ok || len(rest) != 0 {
		return a, false
	}
	a.cursor, ok = readCursor(cursor)
	return a, ok
}

func readCursor(b []byte) (c snapshot.Cursor, ok bool) {
	epoch, b, ok := readBytes(b, 1)
	if !ok {
		return c, false
	}
	if c.Epoch.Counter, epoch, ok = readVarint(epoch, 1); !ok {
		return c, false
	}
	if len(epoch) > 0 {
		if len(epoch) != 9 || epoch[0] != 2<<3|byte(protowire.Fixed64Type) {
			return c, false
		}
		c.Epoch.Random, _ = protowire.ConsumeFixed64(epoch[1:])
	}
	revision, b, ok := readVarint(b, 2)
	if !ok || int64(revision) < 0 {
		return c, false
	}
	c.Revision = int64(revision)
	digest, rest, ok := readBytes(b, 3)
	if !ok || len(rest) != 0 {
		return c, false
	}
	var err error
	c.Digest, err = snapshot.DigestFromBytes(digest)
	return c, err == nil
}

// readBytes reads the field if it is the next.
func readBytes(b []byte, field byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != field<<3|byte(protowire.BytesType) {
		return nil, b, false
	}
	value, n := protowire.ConsumeBytes(b[1:])
	if n < 0 {
		return nil, b, false
	}
	return value, b[1+n:], true
}

// readVarint reads the field if it is the next; else it is zero.
func readVarint(b []byte, field byte) (value uint64, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != field<<3|byte(protowire.VarintType) {
		return 0, b, true
	}
	value, n := protowire.ConsumeVarint(b[1:])
	if n < 0 {
		return 0, b, false
	}
	return value, b[1+n:], true
}
