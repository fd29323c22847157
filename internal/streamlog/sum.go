package streamlog

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Sum is the digest that sync.proto defines, in its wire form: a number of 128 bits,
// least significant byte first. It shares no code with the digests that it is to check,
// and is made to be read, not to be fast.
type Sum [16]byte

// Of returns the digest of one item.
func Of(kind int32, key string, modRevision int64, data []byte) Sum {
	var b []byte
	b = binary.LittleEndian.AppendUint32(b, uint32(kind))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(key)))
	b = append(b, key...)
	b = binary.LittleEndian.AppendUint64(b, uint64(modRevision))
	b = append(b, data...)
	whole := sha256.Sum256(b)
	return Sum(whole[:16])
}

// Plus returns the digest of the items of both.
func (s Sum) Plus(o Sum) Sum {
	carry := 0
	for i := range s {
		carry += int(s[i]) + int(o[i])
		s[i] = byte(carry & 0xff)
		carry >>= 8
	}
	return s
}

// Minus returns the digest of the items of s without those of o.
func (s Sum) Minus(o Sum) Sum {
	for i := range o {
		o[i] = ^o[i]
	}
	return s.Plus(o).Plus(Sum{1})
}

// String is the digest in hexadecimal.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }
