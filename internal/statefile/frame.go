package statefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/tidegate/tidegate/internal/fault"
)

// A file is a magic number, which names its kind and format version, and frames:
//
//	length of payload, uint32 LE | CRC-32C of payload, uint32 LE
//	CRC-32C of the eight bytes before, uint32 LE | payload
//
// The header has a checksum of its own so that a flipped bit in a length is told from a
// file that merely ends early.
const (
	snapshotMagic = "TGSNAP\x00\x02"
	logMagic      = "TGDLOG\x00\x02"
	magicSize     = len(logMagic)
	// firstVersion knew no recordKept; its files are read, and replaced.
	firstVersion = 1

	frameHeaderSize = 12
	// maxPayload is far above what is written: an item has at most 512 KiB.
	maxPayload = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// errTorn: the file ends within a frame, as after a crash while it was written.
	errTorn = errors.New("ends within a record")
	// errDamaged: bytes are not what was written.
	errDamaged = errors.New("damaged")
)

// appendFrame appends one frame to b.
func appendFrame(b, payload []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	return append(b, payload...)
}

// frameReader reads frames and knows where the last one ended.
type frameReader struct {
	r io.Reader
	// end is the offset after the last whole frame.
	end int64
	// old: the file is of an earlier version.
	old bool
	buf []byte
}

// newFrameReader checks the magic number. io.EOF: the file is empty.
func newFrameReader(r io.Reader, magic string) (*frameReader, error) {
	got := make([]byte, magicSize)
	n, err := io.ReadFull(r, got)
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		if string(got[:n]) == magic[:n] || allZero(got[:n]) {
			return nil, errTorn
		}
		return nil, fmt.Errorf("%w: not a state file", errDamaged)
	case err != nil:
		return nil, err
	case string(got) == magic, string(got) == magic[:magicSize-1]+string(rune(firstVersion)):
		return &frameReader{r: r, end: int64(magicSize), old: string(got) != magic}, nil
	case string(got[:magicSize-1]) == magic[:magicSize-1]:
		return nil, fmt.Errorf("%w: format version %d, this program reads %d to %d",
			errDamaged, got[magicSize-1], firstVersion, magic[magicSize-1])
	case allZero(got):
		return nil, zeroTail(r)
	}
	return nil, fmt.Errorf("%w: not a state file", errDamaged)
}

// next returns the payload of the next frame, valid until the next call. io.EOF: there
// is none. Other errors are errTorn, errDamaged, and those of the reader.
func (f *frameReader) next() ([]byte, error) {
	var header [frameHeaderSize]byte
	switch _, err := io.ReadFull(f.r, header[:]); {
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errTorn
	case err != nil:
		return nil, err
	}
	if allZero(header[:]) {
		return nil, zeroTail(f.r)
	}
	if crc32.Checksum(header[:8], castagnoli) != binary.LittleEndian.Uint32(header[8:]) {
		return nil, fmt.Errorf("%w: checksum of the record header at byte %d", errDamaged, f.end)
	}
	size := int(binary.LittleEndian.Uint32(header[:]))
	if size > maxPayload {
		return nil, fmt.Errorf("%w: record of %d bytes at byte %d", errDamaged, size, f.end)
	}
	if cap(f.buf) < size {
		f.buf = make([]byte, size)
	}
	payload := f.buf[:size]
	switch _, err := io.ReadFull(f.r, payload); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errTorn
	case err != nil:
		return nil, err
	}
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(header[4:]) && !fault.Planted("state-unverified") {
		return nil, fmt.Errorf("%w: checksum of the record at byte %d", errDamaged, f.end)
	}
	f.end += int64(frameHeaderSize + size)
	return payload, nil
}

// zeroTail tells what zeros mean: a file system that lost power may leave them where
// data was not yet written, up to the end of the file.
func zeroTail(r io.Reader) error {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		if !allZero(buf[:n]) {
			return fmt.Errorf("%w: zeros between records", errDamaged)
		}
		if errors.Is(err, io.EOF) {
			return errTorn
		}
		if err != nil {
			return err
		}
	}
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
