package relay

import (
	"encoding/binary"
	"math"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// This file appends answers as they go over the wire: what generated code makes of what
// answer.go makes, field by field in the same order (TestDirect, FuzzEvaluateRequest).

// moment is of which snapshot an answer is; the zero moment is not told.
type moment struct {
	revision int64
	age      time.Duration
	told     bool
}

func (src *source) moment() moment {
	return moment{src.snapshot.Cursor().Revision, src.age, true}
}

// appendAnswer appends an EvaluateResponse.
func (src *source) appendAnswer(b []byte, key string, r *eval.Result, m moment) []byte {
	b = appendText(b, 1, key)
	failed := r.Reason == eval.ReasonError
	if v := r.Variant; v != nil && !failed {
		b = appendValue(b, v)
		b = appendText(b, 7, v.Name)
	}
	b = appendText(b, 8, string(src.reason(*r)))
	b = appendText(b, 9, r.Rule)
	if r.Flag != nil {
		b = appendInteger(b, 10, r.Flag.Revision())
	}
	if m.told {
		b = appendMoment(b, 11, m)
	}
	if failed {
		b = appendText(b, 13, string(r.ErrorCode))
		b = appendText(b, 14, r.ErrorMessage())
	}
	if r.Metadata() != nil {
		b = appendBytes(b, 15, r.Flag.EncodedMetadata())
	}
	return appendText(b, 16, r.UnmetPrerequisite())
}

// appendValue appends the value as its type's field.
func appendValue(b []byte, v *eval.Variant) []byte {
	switch v.Value.Type {
	case flagv1.ValueType_VALUE_TYPE_BOOLEAN:
		b = protowire.AppendTag(b, 2, protowire.VarintType)
		return protowire.AppendVarint(b, protowire.EncodeBool(v.Value.Bool))
	case flagv1.ValueType_VALUE_TYPE_STRING:
		return appendBytes(b, 3, v.Value.String)
	case flagv1.ValueType_VALUE_TYPE_INTEGER:
		b = protowire.AppendTag(b, 4, protowire.VarintType)
		return protowire.AppendVarint(b, uint64(v.Value.Int))
	case flagv1.ValueType_VALUE_TYPE_DOUBLE:
		b = protowire.AppendTag(b, 5, protowire.Fixed64Type)
		return protowire.AppendFixed64(b, math.Float64bits(v.Value.Double))
	case flagv1.ValueType_VALUE_TYPE_OBJECT:
		return appendBytes(b, 6, v.EncodedObject())
	}
	return b
}

// appendMoment appends the revision as the field, and the age as the next one.
func appendMoment(b []byte, number protowire.Number, m moment) []byte {
	b = appendInteger(b, number, m.revision)
	b = protowire.AppendTag(b, number+1, protowire.BytesType)
	b = append(b, 0)
	at := len(b)
	b = appendInteger(b, 1, int64(m.age/time.Second))
	b = appendInteger(b, 2, int64(m.age%time.Second))
	b[at-1] = byte(len(b) - at) // a duration takes less than 128 bytes
	return b
}

func appendInteger(b []byte, number protowire.Number, v int64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, number, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(v))
}

func appendText(b []byte, number protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return appendBytes(b, number, s)
}

func appendBytes(b []byte, number protowire.Number, s string) []byte {
	b = protowire.AppendTag(b, number, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(s)))
	return append(b, s...)
}

// begin begins a message in the message, of which the length is not known.
func begin(b []byte, number protowire.Number) (_ []byte, at int) {
	b = append(protowire.AppendTag(b, number, protowire.BytesType), 0)
	return b, len(b)
}

// end fills in the length of what was appended since begin.
func end(b []byte, at int) []byte {
	n := len(b) - at
	if n < 0x80 {
		b[at-1] = byte(n)
		return b
	}
	var size [binary.MaxVarintLen64]byte
	more := binary.PutUvarint(size[:], uint64(n)) - 1
	b = append(b, size[:more]...)
	copy(b[at+more:], b[at:])
	copy(b[at-1:], size[:more+1])
	return b
}

// pieces are a large message in buffers of the transport's pool, which it takes back when
// they are sent: nothing is copied in order to grow.
type pieces struct {
	full mem.BufferSlice
	buf  *[]byte
	open []byte
}

const (
	pieceBytes = 16 << 10
	// pieceRoom is what most answers fit in.
	pieceRoom = 512
)

// next is where to append the next part of the message, which is then to be kept in open.
func (p *pieces) next() []byte {
	if p.buf != nil && len(p.open) > pieceBytes-pieceRoom {
		p.close()
	}
	if p.buf == nil {
		p.buf = mem.DefaultBufferPool().Get(pieceBytes)
		p.open = (*p.buf)[:0]
	}
	return p.open
}

// close ends the piece that is open.
func (p *pieces) close() {
	if p.buf != nil {
		*p.buf = p.open
		p.full = append(p.full, mem.NewBuffer(p.buf, mem.DefaultBufferPool()))
		p.buf, p.open = nil, nil
	}
}
