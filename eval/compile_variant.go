package eval

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// maxObjectDepth is how deep objects and lists may nest in a value.
const maxObjectDepth = 32

func (c *compiler) compileVariants(f *flagv1.Flag) []Variant {
	if !knownType(f.GetType()) {
		c.add(root.field("type"), "%s is not a type; use one of BOOLEAN, STRING, INTEGER, DOUBLE, OBJECT", typeName(f.GetType()))
	}
	switch n := len(f.GetVariants()); {
	case n == 0:
		c.add(root.field("variants"), "is empty; a flag needs at least one variant")
	case n > maxVariants:
		c.add(root.field("variants"), "there are %d; at most %d are allowed", n, maxVariants)
		return nil
	}
	variants := make([]Variant, len(f.GetVariants()))
	c.variants = make(map[string]*Variant, len(variants))
	for i, def := range f.GetVariants() {
		at := root.item("variants", i)
		v := &variants[i]
		v.Name, v.index = def.GetName(), i
		c.checkName(at.field("name"), v.Name)
		if c.variants[v.Name] != nil && v.Name != "" {
			c.add(at.field("name"), "%s is the name of another variant too; names are unique in a flag", quote(v.Name))
		}
		c.variants[v.Name] = v
		if knownType(f.GetType()) {
			v.Value = c.compileValue(at.field("value"), f.GetType(), def.GetValue())
			v.encoded = c.encode(at.field("value"), v.Value.Proto)
			v.convert()
		}
	}
	return variants
}

// encode makes the wire form of an object that was checked, once for all answers.
func (c *compiler) encode(at *path, s *structpb.Struct) string {
	if s == nil {
		return ""
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		c.add(at, "cannot be encoded: %v", err)
	}
	return string(data)
}

// checkName checks the name of a variant, which flagd gives more freedom than a key.
func (c *compiler) checkName(at *path, name string) {
	switch {
	case name == "":
		c.add(at, "is empty; "+nameRule)
	case len(name) > maxKeyLength:
		c.add(at, "%s takes %d bytes; "+nameRule, quote(name), len(name))
	case !utf8.ValidString(name):
		c.checkText(at, name)
	case strings.ContainsFunc(name, unicode.IsControl):
		c.add(at, "%s has a control character; "+nameRule, quote(name))
	}
}

const nameRule = "use 1 to 128 bytes of text"

// variant looks a variant up that another field names.
func (c *compiler) variant(at *path, name string) *Variant {
	v := c.variants[name]
	if v == nil {
		names := make([]string, 0, len(c.variants))
		for n := range c.variants {
			names = append(names, quote(n))
		}
		slices.Sort(names)
		c.add(at, "%s is not a variant of this flag; it has %s", quote(name), listOf(names))
	}
	return v
}

// listOf lists a few names for a message.
func listOf(names []string) string {
	const most = 8
	switch n := len(names); {
	case n == 0:
		return "none"
	case n > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}

func knownType(t flagv1.ValueType) bool {
	return t > flagv1.ValueType_VALUE_TYPE_UNSPECIFIED && t <= flagv1.ValueType_VALUE_TYPE_OBJECT
}

// typeName is the type's short name, such as BOOLEAN.
func typeName(t flagv1.ValueType) string { return strings.TrimPrefix(t.String(), "VALUE_TYPE_") }

func (c *compiler) compileValue(at *path, t flagv1.ValueType, def *structpb.Value) VariantValue {
	v := VariantValue{Type: t}
	switch k := def.GetKind().(type) {
	case *structpb.Value_BoolValue:
		v.Bool = k.BoolValue
		c.checkType(at, t, flagv1.ValueType_VALUE_TYPE_BOOLEAN, "a boolean")
	case *structpb.Value_StringValue:
		v.String = k.StringValue
		c.checkType(at, t, flagv1.ValueType_VALUE_TYPE_STRING, "a string")
		c.checkText(at, v.String)
	case *structpb.Value_NumberValue:
		c.compileNumber(at, &v, k.NumberValue)
	case *structpb.Value_StructValue:
		c.checkType(at, t, flagv1.ValueType_VALUE_TYPE_OBJECT, "an object")
		if before := c.count; t == flagv1.ValueType_VALUE_TYPE_OBJECT {
			c.checkObject(at, k.StructValue, 1)
			if c.count == before { // only then is it safe to descend
				v.Proto, v.Object = k.StructValue, k.StructValue.AsMap()
			}
		}
	case *structpb.Value_ListValue:
		c.checkType(at, t, flagv1.ValueType_VALUE_TYPE_UNSPECIFIED, "a list")
	case *structpb.Value_NullValue:
		c.checkType(at, t, flagv1.ValueType_VALUE_TYPE_UNSPECIFIED, "null")
	default:
		c.add(at, "is missing; give a value of the flag's type, %s", typeName(t))
	}
	return v
}

func (c *compiler) checkType(at *path, want, got flagv1.ValueType, is string) {
	if want != got {
		c.add(at, "is %s; the flag is of type %s", is, typeName(want))
	}
}

func (c *compiler) compileNumber(at *path, v *VariantValue, f float64) {
	switch v.Type {
	case flagv1.ValueType_VALUE_TYPE_DOUBLE:
		v.Double = f
		c.checkFinite(at, f)
	case flagv1.ValueType_VALUE_TYPE_INTEGER:
		var ok bool
		if v.Int, ok = wholeNumber(f); !ok {
			c.add(at, "%v is not a whole number between -(2^53-1) and 2^53-1", f)
		}
	default:
		c.checkType(at, v.Type, flagv1.ValueType_VALUE_TYPE_UNSPECIFIED, "a number")
	}
}

func (c *compiler) checkFinite(at *path, f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		c.add(at, "%v is not a finite number", f)
	}
}

// checkObject checks that an object can be written as JSON.
func (c *compiler) checkObject(at *path, s *structpb.Struct, depth int) {
	for _, name := range sortedNames(s) {
		c.checkText(at, name)
		c.checkJSON(at.field(fieldName(name)), s.GetFields()[name], depth+1)
	}
}

func (c *compiler) checkJSON(at *path, v *structpb.Value, depth int) {
	if depth > maxObjectDepth {
		c.add(at, "is nested too deep; at most %d levels are allowed", maxObjectDepth)
		return
	}
	switch k := v.GetKind().(type) {
	case *structpb.Value_NullValue, *structpb.Value_BoolValue:
	case *structpb.Value_NumberValue:
		c.checkFinite(at, k.NumberValue)
	case *structpb.Value_StringValue:
		c.checkText(at, k.StringValue)
	case *structpb.Value_StructValue:
		c.checkObject(at, k.StructValue, depth)
	case *structpb.Value_ListValue:
		for i, element := range k.ListValue.GetValues() {
			c.checkJSON(at.item("", i), element, depth+1)
		}
	default:
		c.add(at, "is missing; use null for no value")
	}
}

func (c *compiler) checkMetadata(s *structpb.Struct) {
	metadata := root.field("metadata")
	for _, name := range sortedNames(s) {
		at := metadata.field(fieldName(name))
		c.checkText(metadata, name)
		if name == "" {
			c.add(metadata, "a name is empty")
		}
		switch k := s.GetFields()[name].GetKind().(type) {
		case *structpb.Value_BoolValue:
		case *structpb.Value_NumberValue:
			c.checkFinite(at, k.NumberValue)
		case *structpb.Value_StringValue:
			c.checkText(at, k.StringValue)
		default:
			c.add(at, "must be a string, a number or a boolean")
		}
	}
}

// sortedNames makes the order of errors the same each time.
func sortedNames(s *structpb.Struct) []string {
	names := make([]string, 0, len(s.GetFields()))
	for name := range s.GetFields() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// fieldName is an object's member as an element of a path.
func fieldName(name string) string {
	if validKey(name) && !strings.Contains(name, ".") {
		return name
	}
	return quote(name)
}
