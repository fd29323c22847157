package manifest

import (
	"math"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func (d *decoder) state(e entry, at *place, f *flagv1.Flag) {
	here := at.field("enabled", ".state", d.valuePosition(e))
	switch {
	case e.value.Kind == yaml.ScalarNode && e.value.Value == "ENABLED":
		f.Enabled = true
	case e.value.Kind == yaml.ScalarNode && e.value.Value == "DISABLED":
	default:
		d.fail(here, "must be ENABLED or DISABLED, is %s", describe(e.value))
	}
}

// flagdVariants reads the variants, and the flag's type, which is theirs.
func (d *decoder) flagdVariants(e entry, at *place, f *flagv1.Flag) {
	here := at.field("variants", ".variants", d.valuePosition(e))
	f.Variants = d.variants(e.value, here)
	for i, v := range f.GetVariants() {
		if t := typeOf(v.GetValue()); v.GetValue() != nil {
			d.variantType(f, t, here.items[i])
		}
	}
	if f.GetType() == flagv1.ValueType_VALUE_TYPE_UNSPECIFIED {
		f.Type = flagv1.ValueType_VALUE_TYPE_BOOLEAN // there is no variant that is of a type
	}
}

// variantType takes the variant's type for the flag's, or checks that it is.
func (d *decoder) variantType(f *flagv1.Flag, t flagv1.ValueType, at *place) {
	const integer, double = flagv1.ValueType_VALUE_TYPE_INTEGER, flagv1.ValueType_VALUE_TYPE_DOUBLE
	switch is := f.GetType(); {
	case t == flagv1.ValueType_VALUE_TYPE_UNSPECIFIED:
		d.fail(at, "must be a boolean, a text, a number or an object")
	case is == flagv1.ValueType_VALUE_TYPE_UNSPECIFIED || is == integer && t == double:
		f.Type = t
	case is == t || is == double && t == integer:
	default:
		d.fail(at, "is of type %s, and a variant before it of type %s: the variants of a flag are of one type", typeWord(t), typeWord(is))
	}
}

// typeOf is the type of a flag with that variant; unspecified for what cannot be one.
func typeOf(v *structpb.Value) flagv1.ValueType {
	switch k := v.GetKind().(type) {
	case *structpb.Value_BoolValue:
		return flagv1.ValueType_VALUE_TYPE_BOOLEAN
	case *structpb.Value_StringValue:
		return flagv1.ValueType_VALUE_TYPE_STRING
	case *structpb.Value_StructValue:
		return flagv1.ValueType_VALUE_TYPE_OBJECT
	case *structpb.Value_NumberValue:
		if k.NumberValue == math.Trunc(k.NumberValue) && math.Abs(k.NumberValue) <= maxInteger {
			return flagv1.ValueType_VALUE_TYPE_INTEGER
		}
		return flagv1.ValueType_VALUE_TYPE_DOUBLE
	}
	return flagv1.ValueType_VALUE_TYPE_UNSPECIFIED
}

func typeWord(t flagv1.ValueType) string {
	if t == flagv1.ValueType_VALUE_TYPE_INTEGER || t == flagv1.ValueType_VALUE_TYPE_DOUBLE {
		return "number"
	}
	for _, v := range valueTypes {
		if v.t == t {
			return v.name
		}
	}
	return "unknown"
}

// defaultVariant reads the variant to fall back to; null and "" are none.
func (d *decoder) defaultVariant(e entry, at *place, f *flagv1.Flag) {
	here := at.field("default_outcome", ".defaultVariant", d.valuePosition(e))
	var name string
	if isNull(e.value) {
		return
	}
	if d.json && e.value.Kind == yaml.ScalarNode && e.value.ShortTag() != "!!str" {
		d.fail(here, "must be the name of a variant, in quotes, or null, is %s", describe(e.value))
		return
	}
	if d.text(&name)(e.value, here.field("variant", "", here.Position)); name != "" {
		f.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: name}}
	}
}

// targeting reads the flag's JsonLogic; {} is none.
func (d *decoder) targeting(e entry, at *place, f *flagv1.Flag) {
	position := d.valuePosition(e)
	outcome := at.field("rules", "", position).item("", position).field("outcome", "", position)
	here := outcome.field("expression", ".targeting", position)
	if isNull(e.value) || !d.expect(e.value, here, yaml.MappingNode, "an object: JsonLogic, or {} for none") || len(e.value.Content) == 0 {
		return
	}
	d.references = resolved
	expression := d.value(e.value, here)
	d.references = plain
	if expression != nil {
		f.Rules = []*flagv1.Rule{{Id: "targeting", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: expression}}}}
	}
}

// flagdMetadata reads the metadata of a set or a flag.
func (d *decoder) flagdMetadata(n *yaml.Node, at *place) *structpb.Struct {
	if isNull(n) {
		return nil
	}
	s := d.structValue(n, at)
	for name, v := range s.GetFields() {
		switch v.GetKind().(type) {
		case *structpb.Value_BoolValue, *structpb.Value_NumberValue, *structpb.Value_StringValue:
		default:
			d.fail(at.fields[name], "must be a text, a number or a boolean")
		}
	}
	return s
}

// mergeMetadata gives the flag its metadata and what it has from its set, and takes the
// bucketing version out of it.
func (d *decoder) mergeMetadata(f *flagv1.Flag, own *structpb.Struct, at *place, set *flagdSet) {
	fields := map[string]*structpb.Value{}
	places := map[string]*place{}
	here := at.fields["metadata"]
	if here == nil {
		here = at.field("metadata", ".metadata", at.Position)
	}
	for name, v := range set.metadata.GetFields() {
		fields[name], places[name] = v, set.metadataPlace.fields[name]
	}
	for name, v := range own.GetFields() {
		fields[name], places[name] = v, here.fields[name]
	}
	here.fields = places
	switch fields["bucketingVersion"].GetNumberValue() {
	case 2:
		f.BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_2
		delete(fields, "bucketingVersion")
	case 3:
		f.BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_3
		delete(fields, "bucketingVersion")
	}
	if len(fields) > 0 {
		f.Metadata = &structpb.Struct{Fields: fields}
	}
}
