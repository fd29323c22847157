package eval

import (
	"math"
	"strings"
)

// fractional is a compiled 'fractional': flagd's split. Versions 2 and 3 differ in the
// bytes that are hashed.
type fractional struct {
	cbor bool // version 3
	// pair is the hash of the flag's key, before the targeting key: what is bucketed by
	// where the expression does not say.
	pair murmur3
	// joined: the first operand is a 'cat', hashed without joining it; prefix is then the
	// hash of its first operand, if that is constant text.
	joined bool
	prefix *murmur3
	// The portions that constants give: from the first operand on, and from the second.
	all, rest *portions
}

// portions are the shares of a 'fractional', as its operands give them.
type portions struct {
	list    []portion
	total   uint64
	invalid bool // an operand is no share: the whole is null
}

// portion is one share: of the buckets from the one before up to below end.
type portion struct {
	end   uint64
	value Value
}

// with returns the portions and a share: a list of a value and maybe a weight, which is 1
// by default. (Portions are passed by value so that they stay on the stack.)
func (p portions) with(share Value) portions {
	switch n := share.length(); n {
	case 0: // or no list
		p.invalid = true
		return p
	case 1:
		return p.withWeighted(share.at(0), Value{})
	}
	return p.withWeighted(share.at(0), share.at(1))
}

func (p portions) withWeighted(v, weight Value) portions {
	w := 1.0
	if weight.Exists() {
		w = max(0, weight.number())
		p.invalid = p.invalid || weight.kind != kindNumber || weight.number() != math.Trunc(weight.number())
	}
	if p.invalid || v.Exists() && !v.primitive() || w > math.MaxInt32 {
		p.invalid = true
		return p
	}
	p.total += uint64(w)
	p.invalid = p.total > math.MaxInt32
	p.list = append(p.list, portion{end: p.total, value: v})
	return p
}

func (p *portions) choose(hash uint32) Value {
	if p.invalid {
		return Value{}
	}
	bucket := uint64(hash) * p.total >> 32
	for i := range p.list {
		if bucket < p.list[i].end {
			return p.list[i].value
		}
	}
	return Value{} // the weights add up to 0
}

// portionsAStep is how many portions are looked at in a step.
const portionsAStep = 16

// fractional returns the value of the share that the hash falls into; null where flagd's
// does: nothing to hash, or a share that is none.
func (x *expression) fractional(n *term, ctx *Context, l *lookups, f *frame) Value {
	s := n.fractional
	if s.all != nil {
		hash, ok := x.bucketByDefault(s, ctx, f)
		return pick(s.all, hash, ok, l)
	}
	hash, ok, first := x.bucketBy(n, ctx, l, f)
	shares := n.operands[1:]
	if n.operands[0].operator == opList {
		shares = n.operands
	} else if s.rest != nil && !first.Exists() {
		return pick(s.rest, hash, ok, l)
	}
	var few [8]portion
	p := portions{list: few[:0]}
	if first.Exists() {
		p = p.with(first)
	}
	for i := range shares {
		share, weight := x.share(&shares[i], ctx, l, f)
		if shares[i].operator == opList {
			p = p.withWeighted(share, weight)
		} else {
			p = p.with(share)
		}
	}
	return pick(&p, hash, ok, l)
}

func pick(p *portions, hash uint32, ok bool, l *lookups) Value {
	if !ok || !l.charge(len(p.list)/portionsAStep) {
		return Value{}
	}
	return p.choose(hash)
}

// share evaluates a share; one that is a list in the expression is not made a list, its
// first two elements are returned.
func (x *expression) share(n *term, ctx *Context, l *lookups, f *frame) (v, weight Value) {
	if n.operator != opList {
		return x.eval(n, ctx, l, f), Value{}
	}
	for i := range n.operands {
		switch element := x.eval(&n.operands[i], ctx, l, f); i {
		case 0:
			v = element
		case 1:
			weight = element
		}
	}
	return v, weight
}

// bucketBy reads the first operand: what to bucket by, whose hash it returns if there is
// any, or the first share, which a list is.
func (x *expression) bucketBy(n *term, ctx *Context, l *lookups, f *frame) (hash uint32, ok bool, share Value) {
	s, first := n.fractional, &n.operands[0]
	if s.joined {
		hash, ok = x.bucketByJoined(s, first, ctx, l, f)
		return hash, ok, Value{}
	}
	if first.operator != opList { // else it has expressions, and is evaluated with the others
		switch v := x.eval(first, ctx, l, f); {
		case v.kind == kindList:
			share = v
		case s.cbor && v.Exists():
			hash, ok = hashCBOR(v, l)
			return hash, ok && dataHasMembers(f), share
		case v.kind == kindString:
			return s.hashText(v.text()), dataHasMembers(f), share
		case v.Exists() || s.cbor:
			return 0, false, share
		}
	}
	hash, ok = x.bucketByDefault(s, ctx, f)
	return hash, ok, share
}

// bucketByDefault hashes the flag's key and the targeting key. Within an operator like
// 'map' both are looked for in the element, as flagd does, where there is no flag's key.
func (x *expression) bucketByDefault(s *fractional, ctx *Context, f *frame) (hash uint32, ok bool) {
	key, pair := ctx.TargetingKey, s.pair
	if f != nil {
		v := x.step(f.data, targetingKey, ctx)
		if v.kind != kindString {
			return 0, false
		}
		key, pair = v.text(), murmur3{}
		if s.cbor {
			pair = cborPair("")
		}
	}
	if s.cbor {
		return pair.sumText(key), key != ""
	}
	return pair.sum(key), key != ""
}

func (s *fractional) hashText(text string) uint32 {
	if s.cbor {
		return murmur3{}.sumText(text)
	}
	return murmur3{}.sum(text)
}

// dataHasMembers tells whether the data is an object: flagd refuses to bucket otherwise.
func dataHasMembers(f *frame) bool { return f == nil || f.data.object() }

// maxJoined is how many operands of a 'cat' are hashed without joining them.
const maxJoined = 4

// bucketByJoined hashes what a 'cat' would make. Text that it would cut space off is
// joined after all.
func (x *expression) bucketByJoined(s *fractional, cat *term, ctx *Context, l *lookups, f *frame) (hash uint32, ok bool) {
	var all [maxJoined]Value
	parts := all[:len(cat.operands)]
	for i := range parts {
		parts[i] = x.eval(&cat.operands[i], ctx, l, f)
		if k := parts[i].kind; k != kindString && k != kindNumber && k != kindAbsent {
			l.fail(opCat)
			return 0, false
		}
	}
	switch {
	case !parts[0].startsPrinting() || !parts[len(parts)-1].endsPrinting():
		hash = s.hashText(trimmed(parts))
	case s.cbor:
		hash = hashParts(murmur3{}.writeTextHead(textLength(parts)), parts)
	case s.prefix != nil:
		hash = hashParts(*s.prefix, parts[1:])
	default:
		hash = hashParts(murmur3{}, parts)
	}
	return hash, dataHasMembers(f)
}

func hashParts(hash murmur3, parts []Value) uint32 {
	var buffer [numberSize]byte
	for i := range parts {
		switch parts[i].kind {
		case kindString:
			hash = hash.write(parts[i].text())
		case kindNumber:
			text, _ := parts[i].appendText(buffer[:0])
			hash = hash.write(string(text))
		}
	}
	return hash.sum("")
}

// textLength is the length of the parts' texts together.
func textLength(parts []Value) (length int) {
	var buffer [numberSize]byte
	for i := range parts {
		switch parts[i].kind {
		case kindString:
			length += len(parts[i].text())
		case kindNumber:
			text, _ := parts[i].appendText(buffer[:0])
			length += len(text)
		}
	}
	return length
}

func trimmed(parts []Value) string {
	var joined []byte
	for i := range parts {
		joined, _ = parts[i].appendText(joined)
	}
	return strings.TrimSpace(string(joined))
}

// startsPrinting and endsPrinting tell whether a part of a 'cat' surely keeps it from
// being trimmed on that side.
func (v Value) startsPrinting() bool {
	return v.kind == kindNumber || v.kind == kindString && v.bits > 0 && prints(v.text()[0])
}

func (v Value) endsPrinting() bool {
	return v.kind == kindNumber || v.kind == kindString && v.bits > 0 && prints(v.text()[v.bits-1])
}

// prints tells whether a byte is a character of ASCII that is no space.
func prints(b byte) bool { return ' ' < b && b < 0x7f }
