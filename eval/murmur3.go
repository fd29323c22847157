package eval

import "math/bits"

// murmur3 is MurmurHash3 x86 32 (Austin Appleby, public domain), seed 0, fed in two
// parts: what was written to it so far, and the string given to sum. So a salt is
// hashed once, when it is compiled, and the two are never concatenated.
type murmur3 struct {
	hash   uint32 // of the whole blocks of 4 bytes
	tail   uint32 // the bytes after them, little endian
	tailed uint32 // their number, 0 to 3
	length uint32 // of everything, modulo 2^32
}

const (
	murmurC1 = 0xcc9e2d51
	murmurC2 = 0x1b873593
)

func (m murmur3) write(s string) murmur3 {
	pending, shift := uint64(m.tail), m.tailed*8
	m.length += uint32(len(s))
	for ; len(s) >= 4; s = s[4:] {
		word := uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
		pending |= uint64(word) << shift
		m.hash = mixBlock(m.hash, uint32(pending))
		pending >>= 32
	}
	for i := range len(s) {
		pending |= uint64(s[i]) << shift
		shift += 8
	}
	if shift >= 32 {
		m.hash = mixBlock(m.hash, uint32(pending))
		pending >>= 32
		shift -= 32
	}
	m.tail, m.tailed = uint32(pending), shift/8
	return m
}

// sum returns the hash of everything written, then s. It changes nothing.
func (m murmur3) sum(s string) uint32 {
	m = m.write(s)
	h := m.hash ^ scramble(m.tail) // 0 for an empty tail
	h ^= m.length
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	h ^= h >> 16
	return h
}

func mixBlock(hash, block uint32) uint32 {
	return bits.RotateLeft32(hash^scramble(block), 13)*5 + 0xe6546b64
}

func scramble(block uint32) uint32 {
	return bits.RotateLeft32(block*murmurC1, 15) * murmurC2
}
