package flagtest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// addVariant returns the name of the flag's variant with the value, added if it is not
// there, and gives a flag without a type the value's.
func addVariant(f *flagv1.Flag, value any) (string, error) {
	valueType, v, err := convert(value)
	if err != nil {
		return "", err
	}
	if f.GetType() == flagv1.ValueType_VALUE_TYPE_UNSPECIFIED {
		f.Type = valueType
	}
	if f.GetType() != valueType {
		return "", fmt.Errorf("it is of type %v, the value %v is of type %v", f.GetType(), value, valueType)
	}
	names := map[string]bool{}
	for _, variant := range f.GetVariants() {
		if proto.Equal(variant.GetValue(), v) {
			return variant.GetName(), nil
		}
		names[variant.GetName()] = true
	}
	name := unused(names, variantName(value, len(names)))
	f.Variants = append(f.Variants, &flagv1.Variant{Name: name, Value: v})
	return name, nil
}

// variantName is 'on' or 'off' for booleans, else 'value-1', 'value-2' ...
func variantName(value any, n int) string {
	switch v := reflect.ValueOf(value); {
	case v.Kind() == reflect.Bool && v.Bool():
		return "on"
	case v.Kind() == reflect.Bool:
		return "off"
	}
	return "value-" + strconv.Itoa(n+1)
}

func unused(names map[string]bool, name string) string {
	for names[name] {
		name += "-"
	}
	return name
}

// convert returns the type and the value that a Go value has in a flag.
func convert(value any) (flagv1.ValueType, *structpb.Value, error) {
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.Bool:
		return flagv1.ValueType_VALUE_TYPE_BOOLEAN, structpb.NewBoolValue(v.Bool()), nil
	case reflect.String:
		return flagv1.ValueType_VALUE_TYPE_STRING, structpb.NewStringValue(v.String()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return flagv1.ValueType_VALUE_TYPE_INTEGER, structpb.NewNumberValue(float64(v.Int())), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return flagv1.ValueType_VALUE_TYPE_INTEGER, structpb.NewNumberValue(float64(v.Uint())), nil
	case reflect.Float32, reflect.Float64:
		return flagv1.ValueType_VALUE_TYPE_DOUBLE, structpb.NewNumberValue(v.Float()), nil
	default:
		object, err := convertObject(value)
		return flagv1.ValueType_VALUE_TYPE_OBJECT, object, err
	}
}

func convertObject(value any) (*structpb.Value, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	object := &structpb.Struct{}
	if err := object.UnmarshalJSON(data); err != nil || value == nil {
		return nil, fmt.Errorf("%s cannot be a flag's value: want a boolean, a string, a number or an object", data)
	}
	return structpb.NewStructValue(object), nil
}

// targetingRule serves a variant to targeting keys.
func targetingRule(f *flagv1.Flag, variant string, targetingKeys []string) *flagv1.Rule {
	ids := map[string]bool{}
	for _, r := range f.GetRules() {
		ids[r.GetId()] = true
	}
	values := make([]*structpb.Value, len(targetingKeys))
	for i, key := range targetingKeys {
		values[i] = structpb.NewStringValue(key)
	}
	return &flagv1.Rule{
		Id: unused(ids, "set-for-"+strconv.Itoa(len(ids)+1)),
		Clauses: []*flagv1.Clause{{
			Attribute: "targetingKey",
			Operator:  flagv1.Operator_OPERATOR_IN,
			Values:    values,
		}},
		Outcome: outcome(variant),
	}
}

func outcome(variant string) *flagv1.Outcome {
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: variant}}
}
