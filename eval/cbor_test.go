package eval

import (
	"encoding/hex"
	"math"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"
)

// RFC 8949, appendix A, as far as JSON has the values; and section 4.2.2: numbers that
// are whole are integers.
func TestCBOR(t *testing.T) {
	object := func(m map[string]any) Value { return ValueOf(m) }
	for _, c := range []struct {
		v    Value
		want string
	}{
		{NumberValue(0), "00"},
		{NumberValue(math.Copysign(0, -1)), "00"},
		{NumberValue(1), "01"},
		{NumberValue(10), "0a"},
		{NumberValue(23), "17"},
		{NumberValue(24), "1818"},
		{NumberValue(100), "1864"},
		{NumberValue(255), "18ff"},
		{NumberValue(256), "190100"},
		{NumberValue(1000), "1903e8"},
		{NumberValue(65535), "19ffff"},
		{NumberValue(65536), "1a00010000"},
		{NumberValue(1000000), "1a000f4240"},
		{NumberValue(4294967295), "1affffffff"},
		{NumberValue(4294967296), "1b0000000100000000"},
		{NumberValue(1000000000000), "1b000000e8d4a51000"},
		{NumberValue(18446744073709549568), "1bfffffffffffff800"}, // the largest below 2^64
		{NumberValue(1 << 64), "fa5f800000"},
		{NumberValue(-1), "20"},
		{NumberValue(-10), "29"},
		{NumberValue(-100), "3863"},
		{NumberValue(-1000), "3903e7"},
		{NumberValue(-1 << 63), "3b7fffffffffffffff"},
		{NumberValue(-9223372036854777856), "fbc3e0000000000001"},
		{NumberValue(1.1), "fb3ff199999999999a"},
		{NumberValue(1.5), "f93e00"},
		{NumberValue(3.4028234663852886e+38), "fa7f7fffff"},
		{NumberValue(1.0e+300), "fb7e37e43c8800759c"},
		{NumberValue(5.960464477539063e-8), "f90001"},
		{NumberValue(0.00006103515625), "f90400"},
		{NumberValue(6.097555160522461e-05), "f903ff"}, // the largest subnormal half
		{NumberValue(65503.5), "fa477fdf80"},
		{NumberValue(0.1), "fb3fb999999999999a"},
		{NumberValue(0.333251953125), "f93555"},
		{NumberValue(5e-324), "fb0000000000000001"},
		{NumberValue(2.98023223876953125e-8), "fa33000000"}, // half of the smallest half
		{NumberValue(-4.1), "fbc010666666666666"},
		{NumberValue(math.Inf(1)), "f97c00"},
		{NumberValue(math.Inf(-1)), "f9fc00"},
		{NumberValue(math.NaN()), "f97e00"},
		{BoolValue(false), "f4"},
		{BoolValue(true), "f5"},
		{Value{}, "f6"},
		{StringValue(""), "60"},
		{StringValue("a"), "6161"},
		{StringValue("IETF"), "6449455446"},
		{StringValue("\"\\"), "62225c"},
		{StringValue("ü"), "62c3bc"},
		{ValueOf([]any{}), "80"},
		{ValueOf([]any{1, []any{2, 3}, []any{4, 5}}), "8301820203820405"},
		{ValueOf([]string{"a"}), "816161"},
		{object(map[string]any{}), "a0"},
		{object(map[string]any{"a": 1, "b": []any{2, 3}}), "a26161016162820203"},
		{object(map[string]any{"bb": 1, "a": nil, "c": 2}), "a36161f66163026262620" + "1"}, // shorter names first
		{ValueOf(Map{"a": true}), "a16161f5"},
		{structValue(structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewNullValue()}})), "a16161f6"},
	} {
		got, ok := appendCBOR(nil, c.v, maxCBORDepth, &lookups{})
		if !ok || hex.EncodeToString(got) != c.want {
			t.Errorf("%v: %x, want %s", c.v, got, c.want)
		}
	}
}

func TestCBORRefuses(t *testing.T) {
	deep := ValueOf([]any{})
	for range maxCBORDepth {
		deep = ListValue(values{deep})
	}
	cyclic := map[string]any{}
	cyclic["self"] = cyclic
	for name, v := range map[string]Value{
		"too deep": deep, "without end": ValueOf(cyclic), "of members unknown": ObjectValue(&reduction{}),
		"the context": provided(fromContext, &Context{}, ""),
	} {
		if got, ok := appendCBOR(nil, v, maxCBORDepth, &lookups{}); ok {
			t.Errorf("%s: %x", name, got)
		}
	}
}

// Every half is written as one, or as an integer.
func TestHalfFloat(t *testing.T) {
	for bits := range 1 << 16 {
		exponent, fraction := bits>>10&0x1f, float64(bits&0x3ff)
		f := math.Ldexp(1024+fraction, exponent-25)
		switch exponent {
		case 0:
			f = math.Ldexp(fraction, -24)
		case 0x1f:
			continue
		}
		if bits>>15 != 0 {
			f = -f
		}
		if got, ok := halfFloat(f); !ok || int(got) != bits {
			t.Fatalf("%v: %#x %v, want %#x", f, got, ok, bits)
		}
		if got, ok := halfFloat(math.Nextafter(f, 1e300)); ok && f != 0 {
			t.Fatalf("beside %v: %#x", f, got)
		}
	}
}

// What is hashed piece by piece is what is encoded.
func TestHashCBOR(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringN(0, 400, -1)).Draw(t, "text")
		for _, v := range []Value{StringValue(text), NumberValue(rapid.Float64().Draw(t, "number")), BoolValue(true), ValueOf(map[string]any{text: 1})} {
			encoded, _ := appendCBOR(nil, v, maxCBORDepth, &lookups{})
			if got, ok := hashCBOR(v, &lookups{}); !ok || got != (murmur3{}).sum(string(encoded)) {
				t.Fatalf("%v: %d, %v", v, got, ok)
			}
		}
		other := rapid.String().Draw(t, "other")
		encoded, _ := appendCBOR(nil, ListValue(values{StringValue(text), StringValue(other)}), maxCBORDepth, &lookups{})
		if got := cborPair(text).sumText(other); got != (murmur3{}).sum(string(encoded)) {
			t.Fatalf("[%q, %q]: %d", text, other, got)
		}
	})
}
