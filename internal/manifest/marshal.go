package manifest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/bucketing"
	"github.com/tidegate/tidegate/internal/rollout"
)

// Marshal writes a document that Parse reads back as it was, flags and segments in the
// order of their keys, the same bytes for the same document. It fails rather than lose
// anything: fields that this version does not know, or values that have no form in a
// file.
func Marshal(d *Document) ([]byte, error) {
	if len(d.Rollouts) > 0 {
		return nil, errors.New("manifest: rollouts cannot be written to a file of flags and segments")
	}
	flags := make([]*flagv1.Flag, len(d.Flags))
	for i, f := range d.Flags {
		flags[i] = bucketing.Pin(f) // as it is read
	}
	slices.SortStableFunc(flags, func(a, b *flagv1.Flag) int { return strings.Compare(a.GetKey(), b.GetKey()) })
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
		if !proto.Equal(d.document.Flags[i], f) {
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

func flagNode(f *flagv1.Flag) node {
	m := mapping{}
	m.addText("description", f.GetDescription())
	m.addText("owner", f.GetOwner())
	m.addTexts("tags", f.GetTags())
	m.addText("kind", FlagKindName(f.GetKind()))
	if d := f.GetExpectedLifetime(); d != nil {
		m.add("expectedLifetime", text(rollout.FormatDuration(d.AsDuration())))
	}
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
			l.items = append(l.items, ruleNode(r, f.GetBucketingVersion()))
		}
		m.add("rules", l)
	}
	if f.GetDefaultOutcome() != nil {
		m.add("default", outcomeNode(f.GetDefaultOutcome(), f.GetBucketingVersion()))
	}
	if v := f.GetBucketingVersion(); v != bucketing.Default {
		m.add("bucketingVersion", number(float64(v)))
	}
	if f.GetClientVisible() {
		m.add("clientVisible", boolean(true))
	}
	return m
}

func ruleNode(r *flagv1.Rule, version flagv1.BucketingVersion) node {
	m := mapping{}
	m.addText("id", r.GetId())
	m.addText("description", r.GetDescription())
	if len(r.GetClauses()) > 0 {
		m.add("when", clausesNode(r.GetClauses()))
	}
	if r.GetExpression() != nil {
		m.add("expression", valueNode(r.GetExpression()))
	}
	if r.GetOutcome() != nil {
		m.add("serve", outcomeNode(r.GetOutcome(), version))
	}
	return m
}

func clausesNode(clauses []*flagv1.Clause) node {
	l := list{flow: len(clauses) == 1}
	for _, c := range clauses {
		m := mapping{flow: true}
		m.addText("attribute", c.GetAttribute())
		name := OperatorName(c.GetOperator())
		if c.GetOperator() == flagv1.Operator_OPERATOR_EXISTS {
			m.add(name, boolean(!c.GetNegate()))
		} else {
			m.add(name, clauseValuesNode(c.GetValues()))
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

// outcomeNode is an outcome in a flag of the bucketing version.
func outcomeNode(o *flagv1.Outcome, version flagv1.BucketingVersion) node {
	switch kind := o.GetKind().(type) {
	case *flagv1.Outcome_Split:
		return splitNode(kind.Split, version)
	case *flagv1.Outcome_Expression:
		m := mapping{flow: true}
		m.add("expression", valueNode(kind.Expression))
		return m
	}
	return text(o.GetVariant())
}

func splitNode(s *flagv1.Split, version flagv1.BucketingVersion) node {
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
	if v := s.GetBucketingVersion(); v != version {
		m.add("bucketingVersion", number(float64(v)))
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
