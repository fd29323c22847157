package preview

import (
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Subjects is how many a sample has at most.
const Subjects = 256

// everything is a bound that no hash reaches.
const everything = math.MaxUint64

// sample is some subjects of one flag. It does not change.
type sample struct {
	// seed of the hashes, and the span of time in which they were seen.
	seed uint64
	span int64
	// below: all subjects with lower hashes are in it.
	below uint64
	// hashes ascend, all of them below; contexts are theirs, nil where one could not be kept.
	hashes   []uint64
	contexts []*kept
}

// hash places a targeting key. Without the seed nobody can tell which keys have low ones.
func (s *sample) hash(key string) uint64 { return hashOf(key, s.seed) }

func hashOf(key string, seed uint64) uint64 { return mix(xxhash.Sum64String(key) ^ seed) }

// mix is one to one.
func mix(h uint64) uint64 {
	// Murmur3's finalizer.
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// wants tells whether a subject belongs into the sample, and is not there.
func (s *sample) wants(hash uint64) bool {
	if hash >= s.below {
		return false
	}
	_, found := slices.BinarySearch(s.hashes, hash)
	return !found
}

// with is the sample with a subject that it wants.
func (s *sample) with(hash uint64, c *kept) *sample {
	at, _ := slices.BinarySearch(s.hashes, hash)
	next := *s
	next.hashes = insert(s.hashes, at, hash)
	next.contexts = insert(s.contexts, at, c)
	return &next
}

// insert is slices.Insert into a copy.
func insert[T any](list []T, at int, v T) []T {
	next := make([]T, len(list)+1)
	copy(next, list[:at])
	next[at] = v
	copy(next[at+1:], list[at:])
	return next
}

// cut is the sample with at most k subjects, the lowest.
func (s *sample) cut(k int) *sample {
	if len(s.hashes) < k || k == 0 {
		return s
	}
	next := *s
	next.hashes, next.contexts = s.hashes[:k:k], s.contexts[:k:k]
	next.below = next.hashes[k-1] + 1
	return &next
}

// under is the sample of those with hashes below a bound.
func (s *sample) under(below uint64) *sample {
	if below >= s.below {
		return s
	}
	at, _ := slices.BinarySearch(s.hashes, below)
	next := *s
	next.below, next.hashes, next.contexts = below, s.hashes[:at:at], s.contexts[:at:at]
	return &next
}

// union is the sample of the subjects of both, at most k. Of one in both, the context is a's.
func union(a, b *sample, k int) *sample {
	below := min(a.below, b.below)
	a, b = a.under(below), b.under(below)
	for i, hash := range b.hashes {
		if a.wants(hash) {
			a = a.with(hash, b.contexts[i])
		}
	}
	return a.cut(k)
}
