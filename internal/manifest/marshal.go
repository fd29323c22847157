package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Marshal writes a document that Parse reads back as it was, flags and segments in the
// order of their keys, the same bytes for the same document. It fails rather than lose
// anything: fields that this version does not know, or values that have no form in a
// file.
func Marshal(d *Document) ([]byte, error) {
	flags := slices.SortedStableFunc(slices.Values(d.Flags), func(a, b *flagv1.Flag) int {
		return strings.Compare(a.GetKey(), b.GetKey())
	})
	segments := slices.SortedStableFunc(slices.Values(d.Segments), func(a, b *flagv1.Segment) int {
		return strings.Compare(a.GetKey(), b.GetKey())
	})

	root := mapping{}
	root.add("apiVersion", text(apiVersion))
	if len(flags) > 0 {
		m := mapping{}
		for _, f := range flags {
			m.add(f.GetKey(), flagNode(f))
		}
		root.add("flags", m)
	}
	if len(segments) > 0 {
		m := mapping{}
		for _, s := range segments {
			m.add(s.GetKey(), segmentNode(s))
		}
		root.add("segments", m)
	}
	var w writer
	w.mapping(root, 0)
	out := []byte(w.String())
	return out, verify(out, flags, segments)
}

// verify reads back what was written.
func verify(out []byte, flags []*flagv1.Flag, segments []*flagv1.Segment) error {
	d := decode("", out)
	if len(d.errs) > 0 {
		first := d.errs[0]
		return fmt.Errorf("manifest: %s cannot be written: %s", first.Field, first.Problem)
	}
	const lossy = "manifest: %s cannot be written without loss: it holds something that this version of tidegate does not know"
	for i, f := range flags {
		if !proto.Equal(d.document.Flags[i], pinned(f)) {
			return fmt.Errorf(lossy, flagPath(f.GetKey()))
		}
	}
	for i, s := range segments {
		if !proto.Equal(d.document.Segments[i], s) {
			return fmt.Errorf(lossy, segmentPath(s.GetKey()))
		}
	}
	return nil
}

// pinned is the flag with the bucketing version that an unspecified one is read as.
func pinned(f *flagv1.Flag) *flagv1.Flag {
	f = proto.CloneOf(f)
	outcomes := make([]*flagv1.Outcome, 0, len(f.GetRules())+1)
	outcomes = append(outcomes, f.GetDefaultOutcome())
	for _, r := range f.GetRules() {
		outcomes = append(outcomes, r.GetOutcome())
	}
	for _, o := range outcomes {
		if s := o.GetSplit(); s.GetBucketingVersion() == flagv1.BucketingVersion_BUCKETING_VERSION_UNSPECIFIED && s != nil {
			s.BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_2
		}
	}
	return f
}

func flagNode(f *flagv1.Flag) node {
	m := mapping{}
	m.addText("description", f.GetDescription())
	m.addText("owner", f.GetOwner())
	m.addTexts("tags", f.GetTags())
	if f.GetMetadata() != nil {
		m.add("metadata", structNode(f.GetMetadata()))
	}
	typeName := ""
	for _, t := range valueTypes {
		if t.t == f.GetType() {
			typeName = t.name
		}
	}
	m.add("type", text(typeName))
	m.add("enabled", boolean(f.GetEnabled()))
	variants := mapping{flow: true}
	for _, v := range f.GetVariants() {
		variants.add(v.GetName(), valueNode(v.GetValue()))
	}
	m.add("variants", variants)
	m.addText("offVariant", f.GetOffVariant())
	if len(f.GetPrerequisites()) > 0 {
		l := list{}
		for _, p := range f.GetPrerequisites() {
			prerequisite := mapping{flow: true}
			prerequisite.addText("flag", p.GetFlagKey())
			prerequisite.addTexts("variants", p.GetVariants())
			l.items = append(l.items, prerequisite)
		}
		m.add("prerequisites", l)
	}
	if len(f.GetRules()) > 0 {
		l := list{}
		for _, r := range f.GetRules() {
			l.items = append(l.items, ruleNode(r))
		}
		m.add("rules", l)
	}
	if f.GetDefaultOutcome() != nil {
		m.add("default", outcomeNode(f.GetDefaultOutcome()))
	}
	return m
}

func ruleNode(r *flagv1.Rule) node {
	m := mapping{}
	m.addText("id", r.GetId())
	m.addText("description", r.GetDescription())
	if len(r.GetClauses()) > 0 {
		m.add("when", clausesNode(r.GetClauses()))
	}
	if r.GetOutcome() != nil {
		m.add("serve", outcomeNode(r.GetOutcome()))
	}
	return m
}

func clausesNode(clauses []*flagv1.Clause) node {
	l := list{flow: len(clauses) == 1}
	for _, c := range clauses {
		m := mapping{flow: true}
		m.addText("attribute", c.GetAttribute())
		o, _ := operatorOf(c.GetOperator())
		if o.op == flagv1.Operator_OPERATOR_EXISTS {
			m.add(o.name, boolean(!c.GetNegate()))
		} else {
			m.add(o.name, clauseValuesNode(c.GetValues()))
			if c.GetNegate() {
				m.add("not", boolean(true))
			}
		}
		l.items = append(l.items, m)
	}
	return l
}

func clauseValuesNode(values []*structpb.Value) node {
	if len(values) == 1 {
		return valueNode(values[0])
	}
	l := list{flow: true}
	for _, v := range values {
		l.items = append(l.items, valueNode(v))
	}
	return l
}

func outcomeNode(o *flagv1.Outcome) node {
	s := o.GetSplit()
	if s == nil {
		return text(o.GetVariant())
	}
	shares := list{flow: true}
	for _, v := range s.GetVariants() {
		share := mapping{flow: true}
		share.add("variant", text(v.GetVariant()))
		share.add("weight", number(float64(v.GetWeight())))
		shares.items = append(shares.items, share)
	}
	m := mapping{}
	m.add("split", shares)
	m.addText("bucketBy", s.GetBucketBy())
	if s.Salt != nil {
		m.add("salt", text(s.GetSalt()))
	}
	return m
}

func segmentNode(s *flagv1.Segment) node {
	m := mapping{}
	m.addText("description", s.GetDescription())
	m.addText("owner", s.GetOwner())
	m.addText("keyAttribute", s.GetKeyAttribute())
	m.addTexts("included", s.GetIncluded())
	m.addTexts("excluded", s.GetExcluded())
	if len(s.GetRules()) > 0 {
		l := list{}
		for _, r := range s.GetRules() {
			rule := mapping{}
			rule.add("when", clausesNode(r.GetClauses()))
			l.items = append(l.items, rule)
		}
		m.add("rules", l)
	}
	return m
}

func valueNode(v *structpb.Value) node {
	switch kind := v.GetKind().(type) {
	case *structpb.Value_BoolValue:
		return boolean(kind.BoolValue)
	case *structpb.Value_NumberValue:
		return number(kind.NumberValue)
	case *structpb.Value_StringValue:
		return text(kind.StringValue)
	case *structpb.Value_StructValue:
		return structNode(kind.StructValue)
	case *structpb.Value_ListValue:
		l := list{flow: true}
		for _, element := range kind.ListValue.GetValues() {
			l.items = append(l.items, valueNode(element))
		}
		return l
	}
	return scalar{inline: "null"}
}

// structNode writes the fields in the order of their names: a Struct has none.
func structNode(s *structpb.Struct) node {
	m := mapping{flow: true}
	for _, name := range slices.Sorted(maps.Keys(s.GetFields())) {
		m.add(name, valueNode(s.GetFields()[name]))
	}
	return m
}
