package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// A segment is a magic number, which names its kind and format version, and frames: a
// header and a payload. All integers are little-endian.
//
//	length of the payload, uint32 | CRC-32C of the payload, uint32 | kind, uint32
//	of a batch: sequence, emitted, lost, counted, milliseconds since 1970, each 64 bits
//	CRC-32C of the bytes before, uint32 | payload
//
// The header has a checksum of its own, and the figures of the account: where only the
// payload is damaged, it is known what was lost.
const (
	segmentMagic = "TGSPOL\x00\x01"
	magicSize    = len(segmentMagic)
	headerSize   = 56
	// maxPayload is above what is written: a batch, the marks that came with it, or a
	// checkpoint.
	maxPayload = 32 << 20
)

const (
	// kindBatch: the payload is marks, and an encoded Batch without its tally.
	kindBatch = 1
	// kindState: the payload is accounts and marks, those that have changed.
	kindState = 2
	// kindCheckpoint: the same, of all that is not settled. It is the first of a segment.
	kindCheckpoint = 3
	// kindPart is kindBatch, of several that were appended together, but for the last of them:
	// without that one they are not there.
	kindPart = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// errTorn: nothing whole comes any more, as after a crash while it was written.
	errTorn = errors.New("ends within a record")
	// errDamaged: bytes are not what was written.
	errDamaged = errors.New("damaged")
)

// header of a frame. But for length, sum and kind it is 0 in those that hold no batch.
type header struct {
	length, sum, kind uint32
	sequence          uint64
	// emitted and lost are the boot's, up to and with this batch; lost before it came into
	// the spool.
	emitted, lost uint64
	// counted is what this batch stands for.
	counted uint64
	at      int64
}

// batch tells whether the frame is one of a batch.
func (h *header) batch() bool { return h.kind == kindBatch || h.kind == kindPart }

// total is how many events the boot's batches stand for, up to and with this one.
func (h *header) total() uint64 { return h.emitted - h.lost }

func (h *header) time() time.Time { return time.UnixMilli(h.at) }

// plausible tells whether the figures can be an account.
func (h *header) plausible() bool {
	switch h.kind {
	case kindBatch, kindPart:
		return h.sequence > 0 && h.lost <= h.emitted && h.counted <= h.total()
	case kindState, kindCheckpoint:
		return true
	}
	return false
}

// appendFrame appends a frame; it sets the header's length and sum.
func appendFrame(b []byte, h header, payload []byte) []byte {
	h.length, h.sum = uint32(len(payload)), crc32.Checksum(payload, castagnoli)
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, h.length)
	b = binary.LittleEndian.AppendUint32(b, h.sum)
	b = binary.LittleEndian.AppendUint32(b, h.kind)
	b = binary.LittleEndian.AppendUint64(b, h.sequence)
	b = binary.LittleEndian.AppendUint64(b, h.emitted)
	b = binary.LittleEndian.AppendUint64(b, h.lost)
	b = binary.LittleEndian.AppendUint64(b, h.counted)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.at))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	return append(b, payload...)
}

// readHeader reads a header from the beginning of b; false: there is none.
func readHeader(b []byte) (h header, ok bool) {
	if len(b) < headerSize {
		return h, false
	}
	le := binary.LittleEndian
	h = header{
		length: le.Uint32(b), sum: le.Uint32(b[4:]), kind: le.Uint32(b[8:]),
		sequence: le.Uint64(b[12:]), emitted: le.Uint64(b[20:]), lost: le.Uint64(b[28:]),
		counted: le.Uint64(b[36:]), at: int64(le.Uint64(b[44:])),
	}
	ok = h.length <= maxPayload && h.plausible() &&
		crc32.Checksum(b[:headerSize-4], castagnoli) == le.Uint32(b[headerSize-4:])
	return h, ok
}

// frameReader reads the frames in data, of which the first byte is at a frame's beginning.
type frameReader struct {
	data []byte
	// at is where the next frame begins.
	at int
}

// next returns the next frame; the payload is a part of the data. io.EOF: there is none.
// errTorn: what is left holds no whole frame. errDamaged: bytes were passed over; the
// header is that of the frame whose payload was damaged, or 0 where the header was; the
// reader goes on behind.
func (r *frameReader) next() (h header, payload []byte, err error) {
	rest := r.data[r.at:]
	if len(rest) == 0 {
		return header{}, nil, io.EOF
	}
	h, ok := readHeader(rest)
	if !ok || len(rest)-headerSize < int(h.length) {
		return header{}, nil, r.resume()
	}
	payload = rest[headerSize : headerSize+int(h.length)]
	if crc32.Checksum(payload, castagnoli) != h.sum {
		// A length that is not the frame's would have failed the header's checksum.
		err = fmt.Errorf("%w: checksum of the record at byte %d", errDamaged, r.at)
		r.at += headerSize + len(payload)
		return h, nil, err
	}
	r.at += headerSize + len(payload)
	return h, payload, nil
}

// resume looks for the next whole frame.
func (r *frameReader) resume() error {
	for at := r.at + 1; at+headerSize <= len(r.data); at++ {
		h, ok := readHeader(r.data[at:])
		if !ok || len(r.data)-at-headerSize < int(h.length) {
			continue
		}
		if payload := r.data[at+headerSize : at+headerSize+int(h.length)]; crc32.Checksum(payload, castagnoli) == h.sum {
			err := fmt.Errorf("%w: no record at byte %d; the next one is at byte %d", errDamaged, r.at, at)
			r.at = at
			return err
		}
	}
	return errTorn
}

// checkMagic tells whether data begins a segment that this program reads.
func checkMagic(data []byte) error {
	switch {
	case len(data) < magicSize:
		return errTorn
	case string(data[:magicSize]) == segmentMagic:
		return nil
	case string(data[:magicSize-1]) == segmentMagic[:magicSize-1]:
		return fmt.Errorf("%w: format version %d, this program reads %d", errDamaged, data[magicSize-1], segmentMagic[magicSize-1])
	}
	return fmt.Errorf("%w: not a segment of a spool", errDamaged)
}
