package eval

import "math/bits"

// keySet is an immutable set of keys. It is handed their hashes, so that whoever asks
// several sets for one key hashes it once.
type keySet struct {
	// Keys whose hashes end alike stand together: keys[starts[i]:starts[i+1]] end in i.
	starts []uint32
	keys   []string
	tags   []uint8 // how the hash of each begins, so that few keys are compared in vain
}

// newKeySet makes a set; a key may be given several times.
func newKeySet(keys []string) keySet {
	if len(keys) == 0 {
		return keySet{}
	}
	s := keySet{
		starts: make([]uint32, 1<<bits.Len(uint(len(keys)-1))+1),
		keys:   make([]string, len(keys)), tags: make([]uint8, len(keys)),
	}
	hashes := make([]uint64, len(keys))
	for i, key := range keys {
		hashes[i] = hashOf(key)
		s.starts[s.place(hashes[i])]++
	}
	end := uint32(0)
	for i := range s.starts {
		end += s.starts[i]
		s.starts[i] = end // the end, for now: each place is filled from behind
	}
	for i, key := range keys {
		p := s.place(hashes[i])
		s.starts[p]--
		s.keys[s.starts[p]], s.tags[s.starts[p]] = key, tag(hashes[i])
	}
	return s
}

func (s *keySet) place(hash uint64) uint64 { return hash & uint64(len(s.starts)-2) }

func tag(hash uint64) uint8 { return uint8(hash >> 56) }

// has tells whether the key, which has that hash, is in the set.
func (s *keySet) has(key string, hash uint64) bool {
	if len(s.keys) == 0 {
		return false
	}
	p := s.place(hash)
	for i := s.starts[p]; i < s.starts[p+1]; i++ {
		if s.tags[i] == tag(hash) && s.keys[i] == key {
			return true
		}
	}
	return false
}
