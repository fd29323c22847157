package eval

import "strconv"

// split is a compiled split. Integers only: the assignment is the same on every
// machine and in every language.
type split struct {
	salted   murmur3 // what comes before the value, hashed; not of formText
	bucketBy *attribute
	form     form
	salt     string // of formText
	total    uint64
	shares   []share // of more than zero weight; at least one
}

// share is one variant's range of buckets: from the share before up to below end.
type share struct {
	end     uint64
	variant *Variant
}

// choose returns the variant for the context, or nil if there is nothing to hash, and the
// hash.
func (s *split) choose(ctx *Context) (*Variant, uint32) {
	hash, ok := s.hash(ctx)
	if !ok {
		return nil, 0
	}
	bucket := Bucket(hash, s.total)
	last := len(s.shares) - 1
	for i := range last {
		if bucket < s.shares[i].end {
			return s.shares[i].variant, hash
		}
	}
	return s.shares[last].variant, hash
}

// form is which bytes are hashed.
type form uint8

const (
	formPlain form = iota // salt and value
	formPair              // CBOR of the list of flag's key and targeting key
	formText              // CBOR of the text of salt and value
)

func (s *split) hash(ctx *Context) (uint32, bool) {
	if s.bucketBy.isTargetingKey() {
		return s.sum(ctx.TargetingKey), ctx.TargetingKey != ""
	}
	v := s.bucketBy.value(ctx)
	if v.kind == kindString {
		text := v.text()
		return s.sum(text), text != ""
	}
	n, ok := v.whole()
	if !ok {
		return 0, false
	}
	var digits [20]byte
	return s.sum(string(strconv.AppendInt(digits[:0], n, 10))), true
}

func (s *split) sum(value string) uint32 {
	switch s.form {
	case formPair:
		return s.salted.sumText(value)
	case formText:
		return murmur3{}.writeTextHead(len(s.salt) + len(value)).write(s.salt).sum(value)
	}
	return s.salted.sum(value)
}
