package jsondoc

import (
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"
)

// AppendValue writes a value, the members of objects in the order of their names.
func AppendValue(b []byte, v *structpb.Value) []byte {
	switch k := v.GetKind().(type) {
	case *structpb.Value_BoolValue:
		return strconv.AppendBool(b, k.BoolValue)
	case *structpb.Value_NumberValue:
		return AppendNumber(b, k.NumberValue)
	case *structpb.Value_StringValue:
		return AppendString(b, k.StringValue)
	case *structpb.Value_StructValue:
		return AppendObject(b, k.StructValue)
	case *structpb.Value_ListValue:
		b = append(b, '[')
		for i, element := range k.ListValue.GetValues() {
			if i > 0 {
				b = append(b, ',')
			}
			b = AppendValue(b, element)
		}
		return append(b, ']')
	}
	return append(b, "null"...)
}

// AppendObject writes an object, its members in the order of their names.
func AppendObject(b []byte, o *structpb.Struct) []byte {
	names := make([]string, 0, len(o.GetFields()))
	for name := range o.GetFields() {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendString(b, name)
		b = append(b, ':')
		b = AppendValue(b, o.GetFields()[name])
	}
	return append(b, '}')
}

// AppendNumber writes a number as JavaScript does: exponents only where there would be
// many zeros, and null for what is not finite.
func AppendNumber(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	size := math.Abs(f)
	if size == 0 || size >= 1e-6 && size < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' { // strconv writes e-07
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}

// AppendString writes a string as JSON; what is not UTF-8 becomes U+FFFD.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(b, s[from:i]...)
				b = append(b, "\uFFFD"...)
				from = i + 1
			}
			i += size
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}
