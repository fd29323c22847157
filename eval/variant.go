package eval

import (
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Variant is a named value of a compiled flag.
type Variant struct {
	Name string
	// Value is shared and must not be modified.
	Value VariantValue

	// converted is the same variant with its number in the other number type; nil where
	// that would lose a digit.
	converted *Variant
	encoded   string // of an object
	index     int    // among the flag's variants
}

// Index is the variant's place among those of its flag.
func (v *Variant) Index() int { return v.index }

// EncodedObject returns an object's google.protobuf.Struct, encoded.
func (v *Variant) EncodedObject() string { return v.encoded }

// VariantValue is a typed value; only the fields of its type are set.
type VariantValue struct {
	Type   flagv1.ValueType
	Bool   bool
	Int    int64
	Double float64
	String string
	Object map[string]any   // what structpb.Struct.AsMap returns
	Proto  *structpb.Struct // the same object
}

// Any returns the value as a bool, string, int64, float64 or map[string]any.
func (v VariantValue) Any() any {
	switch v.Type {
	case flagv1.ValueType_VALUE_TYPE_BOOLEAN:
		return v.Bool
	case flagv1.ValueType_VALUE_TYPE_STRING:
		return v.String
	case flagv1.ValueType_VALUE_TYPE_INTEGER:
		return v.Int
	case flagv1.ValueType_VALUE_TYPE_DOUBLE:
		return v.Double
	case flagv1.ValueType_VALUE_TYPE_OBJECT:
		return v.Object
	}
	return nil
}

// convert makes the number's other form.
func (v *Variant) convert() {
	switch v.Value.Type {
	case flagv1.ValueType_VALUE_TYPE_INTEGER:
		v.converted = &Variant{Name: v.Name, index: v.index, Value: VariantValue{
			Type: flagv1.ValueType_VALUE_TYPE_DOUBLE, Double: float64(v.Value.Int),
		}}
	case flagv1.ValueType_VALUE_TYPE_DOUBLE:
		n, ok := wholeNumber(v.Value.Double)
		if !ok {
			return
		}
		v.converted = &Variant{Name: v.Name, index: v.index, Value: VariantValue{
			Type: flagv1.ValueType_VALUE_TYPE_INTEGER, Int: n,
		}}
	default:
		return
	}
	v.converted.converted = v
}
