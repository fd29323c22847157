package manifest

import (
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/bucketing"
)

func (d *decoder) flag(key string, n *yaml.Node, at *place) *flagv1.Flag {
	f := &flagv1.Flag{Key: key}
	at.field("key", "", at.Position)
	if isNull(n) {
		d.fail(at, "is empty: give it at least type, enabled and variants")
		return f
	}
	present := d.fields(n, at, []field{
		{"description", "description", d.text(&f.Description)},
		{"owner", "owner", d.text(&f.Owner)},
		{"tags", "tags", d.texts(&f.Tags)},
		{"kind", "kind", d.flagKind(&f.Kind)},
		{"expectedLifetime", "expected_lifetime", d.duration(&f.ExpectedLifetime)},
		{"metadata", "metadata", func(n *yaml.Node, at *place) { f.Metadata = d.structValue(n, at) }},
		{"type", "type", d.valueType(&f.Type)},
		{"enabled", "enabled", d.boolean(&f.Enabled)},
		{"variants", "variants", func(n *yaml.Node, at *place) { f.Variants = d.variants(n, at) }},
		{"offVariant", "off_variant", d.text(&f.OffVariant)},
		{"prerequisites", "prerequisites", func(n *yaml.Node, at *place) {
			d.list(n, at, func(n *yaml.Node, at *place) {
				f.Prerequisites = append(f.Prerequisites, d.prerequisite(n, at))
			})
		}},
		{"rules", "rules", func(n *yaml.Node, at *place) {
			d.list(n, at, func(n *yaml.Node, at *place) {
				f.Rules = append(f.Rules, d.rule(n, at))
			})
		}},
		{"default", "default_outcome", func(n *yaml.Node, at *place) { f.DefaultOutcome = d.outcome(n, at) }},
		{"bucketingVersion", "bucketing_version", d.bucketingVersion(&f.BucketingVersion)},
		{"clientVisible", "client_visible", d.boolean(&f.ClientVisible)},
	})
	f = bucketing.Pin(f)
	if at.faulty { // not a mapping
		return f
	}
	for _, required := range []struct{ name, proto, hint string }{
		{"type", "type", "one of boolean, string, integer, double, object"},
		{"enabled", "enabled", "true or false"},
		{"variants", "variants", "at least one, as in {on: true, off: false}"},
	} {
		if !present[required.name] {
			d.fail(at.field(required.proto, "."+required.name, at.Position), "is missing: %s", required.hint)
		}
	}
	return f
}

func (d *decoder) valueType(into *flagv1.ValueType) func(*yaml.Node, *place) {
	return func(n *yaml.Node, at *place) {
		var name string
		d.text(&name)(n, at)
		if at.faulty {
			return
		}
		names := make([]string, len(valueTypes))
		for i, t := range valueTypes {
			names[i] = t.name
			if t.name == name {
				*into = t.t
				return
			}
		}
		d.fail(at, "unknown type %q: %s", name, didYouMean(name, names))
	}
}

func (d *decoder) flagKind(into *flagv1.FlagKind) func(*yaml.Node, *place) {
	return func(n *yaml.Node, at *place) {
		var name string
		d.text(&name)(n, at)
		if at.faulty {
			return
		}
		kind, ok := ParseFlagKind(name)
		if !ok {
			d.fail(at, "unknown kind %q: %s", name, didYouMean(name, FlagKinds()))
		}
		*into = kind
	}
}

// variants reads 'name: value' in its order.
func (d *decoder) variants(n *yaml.Node, at *place) []*flagv1.Variant {
	entries := d.entries(n, at)
	variants := make([]*flagv1.Variant, 0, len(entries))
	for _, e := range entries {
		here := at.item("["+e.name+"]", d.valuePosition(e))
		here.field("name", "", d.position(e.key))
		if isNull(e.value) {
			d.fail(here, "has no value: give it one of the flag's type")
		}
		v := &flagv1.Variant{Name: e.name}
		if !here.faulty {
			v.Value = d.value(e.value, here.field("value", "", here.Position))
		}
		variants = append(variants, v)
	}
	return variants
}

func (d *decoder) prerequisite(n *yaml.Node, at *place) *flagv1.Prerequisite {
	p := &flagv1.Prerequisite{}
	d.fields(n, at, []field{
		{"flag", "flag_key", d.text(&p.FlagKey)},
		{"variants", "variants", d.texts(&p.Variants)},
	})
	return p
}

func (d *decoder) rule(n *yaml.Node, at *place) *flagv1.Rule {
	r := &flagv1.Rule{}
	d.fields(n, at, []field{
		{"id", "id", d.text(&r.Id)},
		{"description", "description", d.text(&r.Description)},
		{"when", "clauses", d.clauses(&r.Clauses)},
		{"expression", "expression", func(n *yaml.Node, at *place) { r.Expression = d.value(n, at) }},
		{"serve", "outcome", func(n *yaml.Node, at *place) { r.Outcome = d.outcome(n, at) }},
	})
	return r
}

// outcome reads a variant's name, a split, or an expression.
func (d *decoder) outcome(n *yaml.Node, at *place) *flagv1.Outcome {
	if n.Kind == yaml.ScalarNode {
		var variant string
		d.text(&variant)(n, at.field("variant", "", at.Position))
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: variant}}
	}
	if !d.expect(n, at, yaml.MappingNode, "the name of a variant, or a mapping with 'split' or 'expression'") {
		return nil
	}
	s := &flagv1.Split{}
	var expression *structpb.Value
	split := at.field("split", "", at.Position)
	present := d.fields(n, split, []field{
		{"split", "variants", func(n *yaml.Node, at *place) {
			d.list(n, at, func(n *yaml.Node, at *place) {
				s.Variants = append(s.Variants, d.weightedVariant(n, at))
			})
		}},
		{"bucketBy", "bucket_by", d.text(&s.BucketBy)},
		{"salt", "salt", func(n *yaml.Node, at *place) {
			s.Salt = new(string)
			d.text(s.Salt)(n, at)
		}},
		{"bucketingVersion", "bucketing_version", d.bucketingVersion(&s.BucketingVersion)},
		{"expression", "expression", func(n *yaml.Node, at *place) { expression = d.value(n, at) }},
	})
	if present["expression"] {
		// Written beside what a split has, it is not a part of one.
		at.fields["expression"] = split.fields["expression"]
		if len(present) > 1 {
			d.fail(at, "has 'expression' and what belongs to a split: an outcome is one or the other")
		}
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: expression}}
	}
	if !present["split"] {
		d.fail(split, "split is missing: a list of variants and weights, as in [{variant: on, weight: 5}, {variant: off, weight: 95}]")
	}
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: s}}
}

func (d *decoder) weightedVariant(n *yaml.Node, at *place) *flagv1.WeightedVariant {
	w := &flagv1.WeightedVariant{}
	present := d.fields(n, at, []field{
		{"variant", "variant", d.text(&w.Variant)},
		{"weight", "weight", d.weight(&w.Weight)},
	})
	if n.Kind == yaml.MappingNode && !present["weight"] {
		d.fail(at, "weight is missing: a whole number from 0 to 2147483647")
	}
	return w
}

func (d *decoder) segment(key string, n *yaml.Node, at *place) *flagv1.Segment {
	s := &flagv1.Segment{Key: key}
	at.field("key", "", at.Position)
	if isNull(n) { // a segment that holds nobody yet
		return s
	}
	d.fields(n, at, []field{
		{"description", "description", d.text(&s.Description)},
		{"owner", "owner", d.text(&s.Owner)},
		{"keyAttribute", "key_attribute", d.text(&s.KeyAttribute)},
		{"included", "included", d.texts(&s.Included)},
		{"excluded", "excluded", d.texts(&s.Excluded)},
		{"rules", "rules", func(n *yaml.Node, at *place) {
			d.list(n, at, func(n *yaml.Node, at *place) {
				r := &flagv1.SegmentRule{}
				d.fields(n, at, []field{{"when", "clauses", d.clauses(&r.Clauses)}})
				s.Rules = append(s.Rules, r)
			})
		}},
	})
	return s
}

// structValue reads a mapping of any values.
func (d *decoder) structValue(n *yaml.Node, at *place) *structpb.Struct {
	if !d.expect(n, at, yaml.MappingNode, "a mapping of 'name: value'") {
		return nil
	}
	return d.value(n, at).GetStructValue()
}
