package eval

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// ReadsTime tells whether the flag's answer may depend on [Context.Now], through its
// prerequisites and segments too. It may say yes in vain, but never no: whoever evaluates
// spares itself a clock where it says no.
func (e *Environment) ReadsTime(f *Flag) bool {
	if f == nil {
		return false
	}
	return f.readsTime || e != nil && e.timed > 0 && (len(f.prerequisites) > 0 || len(f.segments) > 0)
}

// AnyReadsTime tells whether the answer of some flag may depend on [Context.Now].
func (e *Environment) AnyReadsTime() bool { return e != nil && e.timed > 0 }

// timed counts a flag that reads the time itself.
func (f *Flag) timed() int {
	if f != nil && f.readsTime {
		return 1
	}
	return 0
}

func (s *Segment) timed() int {
	if s != nil && s.readsTime {
		return 1
	}
	return 0
}

func flagReadsTime(f *flagv1.Flag) bool {
	return outcomeReadsTime(f.GetDefaultOutcome()) || slices.ContainsFunc(f.GetRules(), func(r *flagv1.Rule) bool {
		return clausesReadTime(r.GetClauses()) || expressionReadsTime(r.GetExpression()) || outcomeReadsTime(r.GetOutcome())
	})
}

func segmentReadsTime(s *flagv1.Segment) bool {
	return leadsToTime(s.GetKeyAttribute()) || slices.ContainsFunc(s.GetRules(), func(r *flagv1.SegmentRule) bool {
		return clausesReadTime(r.GetClauses())
	})
}

func clausesReadTime(clauses []*flagv1.Clause) bool {
	return slices.ContainsFunc(clauses, func(c *flagv1.Clause) bool { return leadsToTime(c.GetAttribute()) })
}

func outcomeReadsTime(o *flagv1.Outcome) bool {
	return leadsToTime(o.GetSplit().GetBucketBy()) || expressionReadsTime(o.GetExpression())
}

// leadsToTime: a path of the reserved ones, but for those that surely have no time. Empty
// elements do not count in expressions.
func leadsToTime(path string) bool {
	path = strings.TrimLeft(path, ".")
	switch path {
	case "$flagd.flagKey", "$tidegate.region":
		return false
	}
	return strings.HasPrefix(path, "$flagd") || strings.HasPrefix(path, "$tidegate")
}

// expressionReadsTime looks for texts that lead to the time, and for names that are
// computed, which may. An empty name is the whole context.
func expressionReadsTime(v *structpb.Value) bool {
	switch kind := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return leadsToTime(kind.StringValue)
	case *structpb.Value_ListValue:
		return slices.ContainsFunc(kind.ListValue.GetValues(), expressionReadsTime)
	case *structpb.Value_StructValue:
		for operator, operands := range kind.StructValue.GetFields() {
			if readsByName(operator, operands) || expressionReadsTime(operands) {
				return true
			}
		}
	}
	return false
}

// readsByName tells whether an operator takes a name that is not written out.
func readsByName(operator string, operands *structpb.Value) bool {
	switch operator {
	case "var": // what follows the name stands in for what is absent
		if list := operands.GetListValue().GetValues(); len(list) > 0 {
			operands = list[0]
		}
		return !namesOnly(operands)
	case "missing", "missing_some":
		return !namesOnly(operands)
	}
	return false
}

// namesOnly tells whether operands that are names are written out, and none is empty.
func namesOnly(v *structpb.Value) bool {
	switch kind := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return kind.StringValue != ""
	case *structpb.Value_NumberValue:
		return true
	case *structpb.Value_ListValue:
		return len(kind.ListValue.GetValues()) > 0 && !slices.ContainsFunc(kind.ListValue.GetValues(), func(v *structpb.Value) bool { return !namesOnly(v) })
	}
	return false
}
