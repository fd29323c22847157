package tally

import (
	"math/bits"
	"slices"
	"sync/atomic"
)

// Sizes of sets of subjects, in bits. A set is one bit for each value of some bits of the
// bucketing hash. Subjects whose bits are the same count once; as the hash is uniform, they
// are of either arm with the probabilities of the split, whatever the set's size and however
// full it is: shares and ratios stay unbiased, only the counts are lower.
const (
	minBits     = 1 << 12
	maxBits     = 1 << 18 // of a window
	maxStepBits = 1 << 20 // of a step
	// roominess is how many bits there are for a subject at least, where there is room.
	roominess = 8
)

// bitset is a set that any number of goroutines add to.
type bitset struct {
	mask  uint32 // size - 1
	words []atomic.Uint64
}

func newBitset(size int) *bitset {
	return &bitset{mask: uint32(size - 1), words: make([]atomic.Uint64, size/64)}
}

func (s *bitset) size() int { return len(s.words) * 64 }

// add tells whether the hash was not there before.
func (s *bitset) add(hash uint32) bool {
	at := hash & s.mask
	word, bit := &s.words[at/64], uint64(1)<<(at%64)
	if word.Load()&bit != 0 {
		return false
	}
	return word.Or(bit)&bit == 0
}

// filter is who was seen over the whole life of a step: a scalable Bloom filter (Almeida et
// al., Information Processing Letters 2007) of blocks of one word, two bits a subject. A
// false positive misses a subject, of either arm with the same probability. It is immutable
// but for its bits.
type filter struct{ generations []*bitset }

// growth is how much larger each generation is than the one before.
const growth = 8

func newFilter() *filter { return &filter{generations: []*bitset{newBitset(minBits)}} }

// add tells whether the hash was not there before.
func (f *filter) add(hash uint32) bool {
	h := mix(hash, 1)
	both := uint64(1)<<(h>>26) | uint64(1)<<(h>>20&63)
	last := len(f.generations) - 1
	for _, g := range f.generations[:last] {
		if g.word(h).Load()&both == both {
			return false
		}
	}
	word := f.generations[last].word(h)
	if word.Load()&both == both {
		return false
	}
	return word.Or(both)&both != both
}

// has tells whether the hash may be there.
func (f *filter) has(hash uint32) bool {
	h := mix(hash, 1)
	both := uint64(1)<<(h>>26) | uint64(1)<<(h>>20&63)
	for _, g := range f.generations {
		if g.word(h).Load()&both == both {
			return true
		}
	}
	return false
}

// word is the block of a hash: no bits above the 20th are used, the others choose in it.
func (s *bitset) word(hash uint32) *atomic.Uint64 { return &s.words[hash&(s.mask>>6)] }

// room is how many subjects the newest generation is meant for.
func (f *filter) room() int { return f.generations[len(f.generations)-1].size() / roominess }

// grown returns the filter with another generation, of that size.
func (f *filter) grown(size int) *filter {
	return &filter{generations: append(slices.Clone(f.generations), newBitset(size))}
}

// nextSize is the size of the generation after the newest, 0 if that is the last.
func (f *filter) nextSize() int {
	size := f.generations[len(f.generations)-1].size()
	if size >= maxStepBits {
		return 0
	}
	return min(size*growth, maxStepBits)
}

func (f *filter) bytes() int {
	n := 0
	for _, g := range f.generations {
		n += g.size() / 8
	}
	return n
}

// marks is a bitset for one goroutine at a time, of one period.
type marks struct {
	words  []uint64
	period int64
	count  int
}

// add tells whether the hash was not there before.
func (m *marks) add(hash uint32) bool {
	at := hash & uint32(len(m.words)*64-1)
	word, bit := &m.words[at/64], uint64(1)<<(at%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	m.count++
	return true
}

// sizeFor returns the size that suits a number of subjects: a power of two.
func sizeFor(subjects, most int) int {
	if subjects*roominess <= minBits {
		return minBits
	}
	return min(1<<bits.Len(uint(subjects*roominess-1)), most)
}

// mix makes an independent hash out of a hash and what else tells apart (the finalizer of
// MurmurHash3 x86 32).
func mix(hash, with uint32) uint32 {
	h := hash ^ with*0x9e3779b1
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}

// budget bounds the memory that grows with traffic, in bytes.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take reserves memory if there is enough.
func (b *budget) take(n int) bool {
	if b.used.Add(int64(n)) <= b.limit {
		return true
	}
	b.used.Add(-int64(n))
	return false
}

// claim reserves memory for what there must be.
func (b *budget) claim(n int) { b.used.Add(int64(n)) }

func (b *budget) give(n int) { b.used.Add(-int64(n)) }
