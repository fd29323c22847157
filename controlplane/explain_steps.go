package controlplane

import (
	"slices"
	"strconv"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// What package eval explains is put beside the definitions here: what it compiled does not have
// them as they were written.

const (
	// maxShown is how much of a text is shown, in bytes, of those that an expression may make long.
	maxShown = 4 << 10
	// maxNames is how many attributes are shown that an expression reads.
	maxNames = 64
)

func (x *explainer) flag(e *eval.Explanation) *controlv1.FlagExplanation {
	m := &controlv1.FlagExplanation{FlagKey: e.Key}
	if e.Variant != nil {
		m.Served = e.Variant.Name
	}
	if !x.reader.Sees(e.Key) {
		m.Decided = controlv1.FlagExplanation_DECIDED_HIDDEN
		return m
	}
	m.Decided = [...]controlv1.FlagExplanation_Decided{
		eval.ByNothing:      controlv1.FlagExplanation_DECIDED_NOT_FOUND,
		eval.ByDisabled:     controlv1.FlagExplanation_DECIDED_DISABLED,
		eval.ByPrerequisite: controlv1.FlagExplanation_DECIDED_PREREQUISITE,
		eval.ByRule:         controlv1.FlagExplanation_DECIDED_RULE,
		eval.ByDefault:      controlv1.FlagExplanation_DECIDED_DEFAULT,
	}[e.Decided]
	if e.Flag == nil {
		return m
	}
	m.Revision = e.Flag.Revision()
	def := x.flagOf(e.Key)
	for i := range e.Prerequisites {
		m.Prerequisites = append(m.Prerequisites, x.prerequisite(&e.Prerequisites[i]))
	}
	for i := range e.Rules {
		m.Rules = append(m.Rules, x.rule(def, &e.Rules[i]))
	}
	m.Split = x.split(def, "", def.GetDefaultOutcome(), e.Split)
	return m
}

func (x *explainer) prerequisite(p *eval.PrerequisiteStep) *controlv1.PrerequisiteExplanation {
	m := &controlv1.PrerequisiteExplanation{FlagKey: p.Key, Wanted: p.Wanted, Held: p.Held, Cyclic: p.Cyclic}
	if p.Explanation != nil {
		m.Flag = x.flag(p.Explanation)
	}
	return m
}

func (x *explainer) rule(f *flagv1.Flag, r *eval.RuleStep) *controlv1.RuleExplanation {
	def := f.GetRules()[r.Index]
	return &controlv1.RuleExplanation{
		Id: r.ID, Description: def.GetDescription(), Matched: r.Matched,
		Clauses:    x.clauses(def.GetClauses(), r.Clauses),
		Expression: x.expression(f.GetKey(), def.GetExpression(), r.Condition),
		Split:      x.split(f, r.ID, def.GetOutcome(), r.Split),
		Outcome:    x.expression(f.GetKey(), def.GetOutcome().GetExpression(), r.Outcome),
	}
}

func (x *explainer) clauses(defs []*flagv1.Clause, steps []eval.ClauseStep) []*controlv1.ClauseExplanation {
	all := make([]*controlv1.ClauseExplanation, len(steps))
	for i := range steps {
		all[i] = &controlv1.ClauseExplanation{Clause: defs[i], Value: shown(steps[i].Value), Matched: steps[i].Matched}
		for j := range steps[i].Segments {
			all[i].Segments = append(all[i].Segments, x.segment(&steps[i].Segments[j]))
		}
	}
	return all
}

func (x *explainer) segment(s *eval.SegmentStep) *controlv1.SegmentExplanation {
	m := &controlv1.SegmentExplanation{SegmentKey: s.Key, Belongs: s.Belongs}
	if !x.reader.Sees(s.Key) {
		m.Membership = controlv1.SegmentExplanation_MEMBERSHIP_HIDDEN
		return m
	}
	m.Membership = [...]controlv1.SegmentExplanation_Membership{
		eval.NoSegment: controlv1.SegmentExplanation_MEMBERSHIP_NOT_FOUND,
		eval.Included:  controlv1.SegmentExplanation_MEMBERSHIP_INCLUDED,
		eval.Excluded:  controlv1.SegmentExplanation_MEMBERSHIP_EXCLUDED,
		eval.ByItsRule: controlv1.SegmentExplanation_MEMBERSHIP_RULE,
		eval.NotListed: controlv1.SegmentExplanation_MEMBERSHIP_NONE,
	}[s.Membership]
	m.KeyAttribute, m.Key = s.Attribute, shown(s.Value)
	def := x.segmentOf(s.Key)
	for i := range s.Rules {
		m.Rules = append(m.Rules, &controlv1.SegmentRuleExplanation{
			Matched: s.Rules[i].Matched, Clauses: x.clauses(def.GetRules()[i].GetClauses(), s.Rules[i].Clauses),
		})
	}
	return m
}

func (x *explainer) expression(flagKey string, def *structpb.Value, e *eval.ExpressionStep) *controlv1.ExpressionExplanation {
	if e == nil {
		return nil
	}
	m := &controlv1.ExpressionExplanation{Expression: def, Result: shown(e.Result), Failure: e.Failure}
	for _, path := range pathsIn(def) {
		if v := shown(x.ctx.Read(flagKey, path)); v != nil {
			if m.Attributes == nil {
				m.Attributes = make(map[string]*structpb.Value)
			}
			m.Attributes[path] = v
		}
	}
	return m
}

// pathsIn are those that 'var' in an expression is given as they are written, each once.
func pathsIn(def *structpb.Value) (paths []string) {
	var look func(v *structpb.Value)
	look = func(v *structpb.Value) {
		for _, one := range v.GetListValue().GetValues() {
			look(one)
		}
		for operator, operands := range v.GetStructValue().GetFields() {
			if operator == "var" {
				paths = append(paths, pathOf(operands))
			}
			look(operands)
		}
	}
	look(def)
	slices.Sort(paths)
	paths = slices.DeleteFunc(slices.Compact(paths), func(path string) bool { return path == "" })
	return paths[:min(len(paths), maxNames)]
}

// pathOf is the path that 'var' is given; empty: it is computed, or the whole context.
func pathOf(operands *structpb.Value) string {
	if list := operands.GetListValue().GetValues(); len(list) > 0 {
		operands = list[0]
	}
	if n, ok := operands.GetKind().(*structpb.Value_NumberValue); ok {
		return strconv.FormatFloat(n.NumberValue, 'g', -1, 64)
	}
	return operands.GetStringValue()
}

// split puts a split beside its definition, if it is one.
func (x *explainer) split(f *flagv1.Flag, rule string, o *flagv1.Outcome, s *eval.SplitStep) *controlv1.SplitExplanation {
	if s == nil {
		return nil
	}
	m := &controlv1.SplitExplanation{
		BucketBy: s.Attribute, Value: shown(s.Value), Salt: f.GetKey(), BucketingVersion: flagv1.BucketingVersion_BUCKETING_VERSION_2,
		Hash: s.Hash, Bucket: s.Bucket, Total: s.Total, RolloutKey: x.ownerOf(f.GetKey(), rule),
	}
	if o.GetSplit().Salt != nil {
		m.Salt = o.GetSplit().GetSalt()
	}
	if s.CBOR {
		m.BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_3
	}
	for _, r := range s.Ranges {
		m.Ranges = append(m.Ranges, &controlv1.SplitRange{Variant: r.Variant.Name, From: r.From, End: r.End})
	}
	if s.Variant != nil {
		m.Variant = s.Variant.Name
	}
	return m
}

// shown is a value as it is shown: a text that is too long is cut, and says so.
func shown(v eval.Value) *structpb.Value {
	p := v.Proto()
	if text, ok := p.GetKind().(*structpb.Value_StringValue); ok && len(text.StringValue) > maxShown {
		return structpb.NewStringValue(truncate(text.StringValue, maxShown))
	}
	return p
}
