package eval

import "strconv"

// split is a compiled split. Integers only: the assignment is the same on every
// machine and in every language.
type split struct {
	salted   murmur3 // the salt, hashed
	bucketBy *attribute
	total    uint64
	shares   []share // of more than zero weight; at least one
}

// share is one variant's range of buckets: from the share before up to below end.
type share struct {
	end     uint64
	variant *Variant
}

// choose returns the variant for the context, or nil if there is nothing to hash.
func (s *split) choose(ctx *Context) *Variant {
	hash, ok := s.hash(ctx)
	if !ok {
		return nil
	}
	bucket := uint64(hash) * s.total >> 32
	last := len(s.shares) - 1
	for i := range last {
		if bucket < s.shares[i].end {
			return s.shares[i].variant
		}
	}
	return s.shares[last].variant
}

func (s *split) hash(ctx *Context) (uint32, bool) {
	if s.bucketBy.isTargetingKey() {
		return s.salted.sum(ctx.TargetingKey), ctx.TargetingKey != ""
	}
	v := s.bucketBy.value(ctx)
	if v.kind == kindString {
		text := v.text()
		return s.salted.sum(text), text != ""
	}
	n, ok := v.whole()
	if !ok {
		return 0, false
	}
	var digits [20]byte
	return s.salted.sum(string(strconv.AppendInt(digits[:0], n, 10))), true
}
