package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math/bits"
)

// Digest is the 128-bit multiset hash that sync.proto defines: a sum over the items,
// modulo 2^128. The zero Digest is that of no items.
type Digest struct{ Lo, Hi uint64 }

// Bytes is the wire form: 16 bytes, little-endian.
func (d Digest) Bytes() []byte {
	b := make([]byte, 0, 16)
	b = binary.LittleEndian.AppendUint64(b, d.Lo)
	return binary.LittleEndian.AppendUint64(b, d.Hi)
}

// DigestFromBytes reads the wire form.
func DigestFromBytes(b []byte) (Digest, error) {
	if len(b) != 16 {
		return Digest{}, fmt.Errorf("digest is %d bytes long, not 16", len(b))
	}
	return Digest{Lo: binary.LittleEndian.Uint64(b), Hi: binary.LittleEndian.Uint64(b[8:])}, nil
}

// String is the wire form in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d.Bytes()) }

func (d Digest) add(o Digest) Digest {
	lo, carry := bits.Add64(d.Lo, o.Lo, 0)
	hi, _ := bits.Add64(d.Hi, o.Hi, carry)
	return Digest{Lo: lo, Hi: hi}
}

func (d Digest) sub(o Digest) Digest {
	lo, borrow := bits.Sub64(d.Lo, o.Lo, 0)
	hi, _ := bits.Sub64(d.Hi, o.Hi, borrow)
	return Digest{Lo: lo, Hi: hi}
}

// hasher computes the digests of single items; it is used by one goroutine.
type hasher struct {
	sha  hash.Hash
	head []byte
	sum  [sha256.Size]byte
}

func newHasher() *hasher { return &hasher{sha: sha256.New()} }

func (h *hasher) item(it Item) Digest {
	head := binary.LittleEndian.AppendUint32(h.head[:0], uint32(it.Kind))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(it.Key)))
	head = append(head, it.Key...)
	head = binary.LittleEndian.AppendUint64(head, uint64(it.ModRevision))
	h.head = head
	h.sha.Reset()
	h.sha.Write(head)
	h.sha.Write(it.Data)
	sum := h.sha.Sum(h.sum[:0])
	return Digest{Lo: binary.LittleEndian.Uint64(sum), Hi: binary.LittleEndian.Uint64(sum[8:])}
}
