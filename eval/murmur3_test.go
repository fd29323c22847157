package eval

import (
	"encoding/binary"
	"math/bits"
	"testing"
)

// flagd's vectors (its testbed, v2): with weights of 25 each the four suits, or 1 each.
func TestBucketVectors(t *testing.T) {
	for _, v := range []struct {
		text          string
		hash          uint32
		total, bucket uint64
	}{
		{"fractional-flagjack", 2682799072, 100, 62},
		{"fractional-flagqueen", 4278517551, 100, 99},
		{"fractional-flagten", 801845258, 100, 18},
		{"fractional-flagnine", 1406129861, 100, 32},
		{"fractional-flag3", 604371928, 100, 14},
		{"shared-seedseven", 2854277753, 100, 66},
		{"shared-seedeight", 1563615273, 100, 36},
		{"shared-seednine", 803549583, 100, 18},
		{"shared-seedtwo", 3695917884, 100, 86},
		{"fractional-flag-shorthandjon@company.com", 618039204, 2, 0},
		{"fractional-flag-shorthandjane@company.com", 2316038310, 2, 1},
		{"ejOoVL", 0, 100, 0},
		{"bY9fO-", 1, 100, 0},
		{"SI7p-", 2147483647, 100, 49},
		{"6LvT0", 2147483648, 100, 50},
		{"ceQdGm", 4294967295, 100, 99},
	} {
		for i := range len(v.text) + 1 { // wherever the salt ends
			if got := (murmur3{}).write(v.text[:i]).sum(v.text[i:]); got != v.hash {
				t.Errorf("hash of %q + %q = %d, want %d", v.text[:i], v.text[i:], got, v.hash)
			}
		}
		if got := uint64(v.hash) * v.total >> 32; got != v.bucket {
			t.Errorf("bucket of %q = %d, want %d", v.text, got, v.bucket)
		}
	}
}

func FuzzMurmur3(f *testing.F) {
	f.Add("", "")
	f.Add("salt", "value")
	f.Add("a", "bcdefg\xff")
	f.Fuzz(func(t *testing.T, salt, value string) {
		if got, want := (murmur3{}).write(salt).sum(value), naiveMurmur3([]byte(salt+value)); got != want {
			t.Errorf("hash of %q + %q = %d, want %d", salt, value, got, want)
		}
	})
}

// naiveMurmur3 is the algorithm as it is published, over bytes in one piece.
func naiveMurmur3(data []byte) uint32 {
	var h uint32
	length := uint32(len(data))
	scrambled := func(k uint32) uint32 { return bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593 }
	for ; len(data) >= 4; data = data[4:] {
		h ^= scrambled(binary.LittleEndian.Uint32(data))
		h = bits.RotateLeft32(h, 13)*5 + 0xe6546b64
	}
	if len(data) > 0 {
		var tail [4]byte
		copy(tail[:], data)
		h ^= scrambled(binary.LittleEndian.Uint32(tail[:]))
	}
	h ^= length
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
