package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/manifest"
)

// explanation writes steps, each as far in as it is part of others.
type explanation struct {
	*client
	out io.Writer
}

func (c *client) writeExplanation(out io.Writer, key string, r *controlv1.ExplainEvaluationResponse) {
	a := r.GetAnswer()
	value := "(the caller's default)"
	if a.GetValue() != nil {
		value = shortened(valueText(a.GetValue()))
	}
	fmt.Fprintf(out, "%s = %s\n", c.paint.bold(singleLine(key)), c.paint.green(value))
	if a.GetErrorCode() != "" {
		fmt.Fprintf(out, "  %s %s\n", c.paint.red(a.GetErrorCode()), singleLine(a.GetErrorMessage()))
	}
	x := explanation{c, out}
	x.flag(1, r.GetExplanation())
	fmt.Fprintln(out, c.paint.dim(fmt.Sprintf("as of revision %d of %s", r.GetEnvironmentRevision(), c.environment)))
}

func (x explanation) line(depth int, format string, args ...any) {
	fmt.Fprintf(x.out, "%s%s\n", strings.Repeat("  ", depth), singleLine(fmt.Sprintf(format, args...)))
}

// mark tells in color whether something holds.
func (x explanation) mark(depth int, holds bool, yes, no, format string, args ...any) {
	word := x.paint.red(no)
	if holds {
		word = x.paint.green(yes)
	}
	fmt.Fprintf(x.out, "%s%s: %s\n", strings.Repeat("  ", depth), singleLine(fmt.Sprintf(format, args...)), word)
}

func (x explanation) flag(depth int, e *controlv1.FlagExplanation) {
	for _, p := range e.GetPrerequisites() {
		x.mark(depth, p.GetHeld(), "holds", "does not hold", "prerequisite: %s serves %s", p.GetFlagKey(), strings.Join(p.GetWanted(), " or "))
		switch {
		case p.GetCyclic():
			x.line(depth+1, "it depends on this flag")
		case p.GetFlag() != nil:
			x.line(depth+1, "it serves %s", orDefault(p.GetFlag().GetServed()))
			x.flag(depth+1, p.GetFlag())
		}
	}
	for _, r := range e.GetRules() {
		x.rule(depth, r)
	}
	x.split(depth, e.GetSplit())
	switch e.GetDecided() {
	case controlv1.FlagExplanation_DECIDED_NOT_FOUND:
		x.line(depth, "there is no such flag")
	case controlv1.FlagExplanation_DECIDED_DISABLED:
		x.line(depth, "it is disabled: the off variant, %s", orDefault(e.GetServed()))
	case controlv1.FlagExplanation_DECIDED_PREREQUISITE:
		x.line(depth, "a prerequisite does not hold: the off variant, %s", orDefault(e.GetServed()))
	case controlv1.FlagExplanation_DECIDED_RULE:
		x.line(depth, "rule %s serves %s", e.GetRules()[len(e.GetRules())-1].GetId(), orDefault(e.GetServed()))
	case controlv1.FlagExplanation_DECIDED_DEFAULT:
		if len(e.GetRules()) > 0 {
			x.line(depth, "no rule matches")
		}
		x.line(depth, "the default: %s", orDefault(e.GetServed()))
	case controlv1.FlagExplanation_DECIDED_HIDDEN:
		x.line(depth, "why is not for you to see")
	}
}

func orDefault(variant string) string {
	if variant == "" {
		return "the caller's default"
	}
	return variant
}

func (x explanation) rule(depth int, r *controlv1.RuleExplanation) {
	x.mark(depth, r.GetMatched(), "matches", "does not match", "rule %s", strings.TrimSpace(r.GetId()+" "+inBrackets(r.GetDescription())))
	x.clauses(depth+1, r.GetClauses())
	x.expression(depth+1, "its expression", r.GetExpression())
	x.expression(depth+1, "the variant that it names", r.GetOutcome())
	x.split(depth+1, r.GetSplit())
}

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

func (x explanation) clauses(depth int, clauses []*controlv1.ClauseExplanation) {
	for _, c := range clauses {
		def := c.GetClause()
		about := def.GetAttribute()
		if def.GetOperator() != flagv1.Operator_OPERATOR_IN_SEGMENT {
			about += " is " + shownValue(c.GetValue())
		}
		x.mark(depth, c.GetMatched(), "yes", "no", "%s %s", about, clauseText(def))
		for _, s := range c.GetSegments() {
			x.segment(depth+1, s)
		}
	}
}

// clauseText is what a clause asks of its attribute.
func clauseText(c *flagv1.Clause) string {
	values := make([]string, len(c.GetValues()))
	for i, v := range c.GetValues() {
		values[i] = valueText(v)
	}
	text := strings.TrimSpace(manifest.OperatorName(c.GetOperator()) + " " + strings.Join(values, ", "))
	if c.GetNegate() {
		text = "not " + text
	}
	return shortened(text)
}

func shownValue(v *structpb.Value) string {
	if v == nil {
		return "not there,"
	}
	return shortened(valueText(v)) + ","
}

func (x explanation) segment(depth int, s *controlv1.SegmentExplanation) {
	why := map[controlv1.SegmentExplanation_Membership]string{
		controlv1.SegmentExplanation_MEMBERSHIP_NOT_FOUND: "there is no such segment",
		controlv1.SegmentExplanation_MEMBERSHIP_INCLUDED:  "its list includes " + valueText(s.GetKey()),
		controlv1.SegmentExplanation_MEMBERSHIP_EXCLUDED:  "its list excludes " + valueText(s.GetKey()),
		controlv1.SegmentExplanation_MEMBERSHIP_RULE:      "by a rule",
		controlv1.SegmentExplanation_MEMBERSHIP_NONE:      "neither listed nor by a rule",
		controlv1.SegmentExplanation_MEMBERSHIP_HIDDEN:    "why is not for you to see",
	}[s.GetMembership()]
	x.mark(depth, s.GetBelongs(), "in it, "+why, "not in it, "+why, "segment %s", s.GetSegmentKey())
	for i, r := range s.GetRules() {
		x.mark(depth+1, r.GetMatched(), "matches", "does not match", "rule %d", i+1)
		x.clauses(depth+2, r.GetClauses())
	}
}

func (x explanation) expression(depth int, what string, e *controlv1.ExpressionExplanation) {
	if e == nil {
		return
	}
	result := "null"
	switch {
	case e.GetFailure() != "":
		result = "failed: " + e.GetFailure()
	case e.GetResult() != nil:
		result = shortened(valueText(e.GetResult()))
	}
	x.line(depth, "%s: %s", what, result)
	for _, name := range slices.Sorted(maps.Keys(e.GetAttributes())) {
		x.line(depth+1, "%s is %s", name, shortened(valueText(e.GetAttributes()[name])))
	}
}

func (x explanation) split(depth int, s *controlv1.SplitExplanation) {
	switch {
	case s == nil:
		return
	case s.GetVariant() == "":
		x.line(depth, "split by %s: it is %s so there is nothing to hash", s.GetBucketBy(), shownValue(s.GetValue()))
	default:
		x.line(depth, "split by %s %s: bucket %d of %d gives %s", s.GetBucketBy(), shortened(valueText(s.GetValue())), s.GetBucket(), s.GetTotal(), s.GetVariant())
	}
	for _, r := range s.GetRanges() {
		x.line(depth+1, "%s: %d to %d", r.GetVariant(), r.GetFrom(), r.GetEnd()-1)
	}
	if s.GetRolloutKey() != "" {
		x.line(depth+1, "rollout %s moves it", s.GetRolloutKey())
	}
}
