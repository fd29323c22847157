package eval

import (
	"bytes"
	"math"
	"math/bits"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"
)

// CBOR (RFC 8949) in core deterministic encoding: what bucketing version 3 hashes.

// Major types.
const (
	cborUnsigned = 0 << 5
	cborNegative = 1 << 5
	cborText     = 3 << 5
	cborArray    = 4 << 5
	cborMap      = 5 << 5
	cborSimple   = 7 << 5
)

// Of cborSimple.
const (
	cborFalse  = cborSimple | 20
	cborTrue   = cborSimple | 21
	cborNull   = cborSimple | 22
	cborHalf   = cborSimple | 25
	cborSingle = cborSimple | 26
	cborDouble = cborSimple | 27
)

// cborScalarSize is enough for the head of anything, and for any number.
const cborScalarSize = 9

// maxCBORDepth bounds how deep lists and objects nest in what is hashed.
const maxCBORDepth = 32

// appendCBORHead writes a major type and its argument in the shortest form.
func appendCBORHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return append(b, major|25, byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		return append(b, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, major|27, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// appendCBORNumber writes a whole number as an integer, so that 1.0 is 1, and any other
// in the shortest floating-point form that holds it exactly.
func appendCBORNumber(b []byte, f float64) []byte {
	if f == math.Trunc(f) {
		switch {
		case 0 <= f && f < 1<<64:
			return appendCBORHead(b, cborUnsigned, uint64(f))
		case -1<<63 <= f && f < 0:
			return appendCBORHead(b, cborNegative, uint64(-1-int64(f)))
		}
	}
	if half, ok := halfFloat(f); ok {
		return append(b, cborHalf, byte(half>>8), byte(half))
	}
	if single := float32(f); float64(single) == f {
		n := math.Float32bits(single)
		return append(b, cborSingle, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	n := math.Float64bits(f)
	return append(b, cborDouble, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// halfFloat returns f as an IEEE 754 half, if that is exact.
func halfFloat(f float64) (uint16, bool) {
	const notANumber, infinity = 0x7e00, 0x7c00
	if f != f {
		return notANumber, true
	}
	sign := uint16(math.Float64bits(f) >> 63 << 15)
	f = math.Abs(f)
	if math.IsInf(f, 0) {
		return sign | infinity, true
	}
	// A half is a multiple of 2^-24, of which it keeps 11 significant bits.
	units := math.Ldexp(f, 24)
	if f > 65504 || units != math.Trunc(units) {
		return 0, false
	}
	n := uint64(units)
	length := bits.Len64(n)
	if length <= 10 { // no larger than a fraction: subnormal
		return sign | uint16(n), true
	}
	cut := length - 11
	if n>>cut<<cut != n {
		return 0, false
	}
	return sign | uint16(cut+1)<<10 | uint16(n>>cut)&(1<<10-1), true
}

// appendCBOR writes any value. ok is false for an object that cannot tell its members,
// for what is nested too deep, and for what is too much work.
func appendCBOR(b []byte, v Value, depth int, l *lookups) (_ []byte, ok bool) {
	if !l.chargeFor(v, 1) {
		return b, false
	}
	switch v.kind {
	case kindAbsent:
		return append(b, cborNull), true
	case kindBool:
		if v.bits != 0 {
			return append(b, cborTrue), true
		}
		return append(b, cborFalse), true
	case kindNumber:
		return appendCBORNumber(b, v.number()), true
	case kindString:
		return append(appendCBORHead(b, cborText, v.bits), v.text()...), true
	case kindTime:
		return appendCBOR(b, asJSON(v), depth, l)
	case kindList:
		if depth == 0 {
			return b, false
		}
		b, ok = appendCBORHead(b, cborArray, uint64(v.length())), true
		for i := 0; ok && i < v.length(); i++ {
			b, ok = appendCBOR(b, v.at(i), depth-1, l)
		}
		return b, ok
	case kindObject:
		return appendCBORMap(b, v, depth, l)
	}
	return b, false
}

// sortedSteps is how many steps a member takes to be listed and brought into order.
const sortedSteps = 4

// appendCBORMap writes the members in the order of their encoded names.
func appendCBORMap(b []byte, v Value, depth int, l *lookups) (_ []byte, ok bool) {
	names, ok := v.memberNames()
	if !ok || depth == 0 || !l.charge(sortedSteps*len(names)) {
		return b, false
	}
	encoded := make([][]byte, len(names))
	for i, name := range names {
		encoded[i] = append(appendCBORHead(nil, cborText, uint64(len(name))), name...)
		if encoded[i], ok = appendCBOR(encoded[i], v.member(name), depth-1, l); !ok || !l.charge(len(encoded[i])/producedAStep) {
			return b, false
		}
	}
	// A name's encoding is no prefix of another's, so the values do not decide.
	slices.SortFunc(encoded, bytes.Compare)
	b = appendCBORHead(b, cborMap, uint64(len(encoded)))
	for _, member := range encoded {
		b = append(b, member...)
	}
	return b, true
}

// memberNames lists an object's members, if it can tell them.
func (v Value) memberNames() (names []string, ok bool) {
	switch o := v.ref.(type) {
	case map[string]any:
		return namesOf(o), true
	case Map:
		return namesOf(o), true
	case structAttributes:
		return namesOf(o.GetFields()), true
	case Object:
		return o.Names(), true
	}
	return nil, false
}

func namesOf[T any | *structpb.Value](m map[string]T) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	return names
}

// writeText adds the encoding of a text of that length, which is written after it.
func (m murmur3) writeTextHead(length int) murmur3 {
	var head [cborScalarSize]byte
	return m.write(string(appendCBORHead(head[:0], cborText, uint64(length))))
}

// hashCBOR hashes the encoding of a value. ok is false where there is none.
func hashCBOR(v Value, l *lookups) (hash uint32, ok bool) {
	var buffer [cborScalarSize]byte
	switch v.kind {
	case kindString:
		return murmur3{}.writeTextHead(len(v.text())).sum(v.text()), true
	case kindNumber:
		return murmur3{}.sum(string(appendCBORNumber(buffer[:0], v.number()))), true
	}
	encoded, ok := appendCBOR(nil, v, maxCBORDepth, l)
	return murmur3{}.sum(string(encoded)), ok
}

// cborPair is the beginning of the encoding of [first, second] up to the second text.
func cborPair(first string) murmur3 {
	return murmur3{}.write(string(appendCBORHead(nil, cborArray, 2))).writeTextHead(len(first)).write(first)
}

// sumText hashes the text as what follows.
func (m murmur3) sumText(s string) uint32 { return m.writeTextHead(len(s)).sum(s) }
