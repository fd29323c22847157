package flagd

import (
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Clauses are strict about types where JsonLogic converts: "5" is not 5, and nothing is
// not 0. So each clause is written with what makes the difference, and in a form that
// no implementation fails on: 'starts_with' is null for what is no string, '===' false
// for another type.

// clauses writes the clauses, joined by 'and'.
func (w *writer) clauses(clauses []*flagv1.Clause) verdict {
	return w.and(len(clauses), func(i int) verdict { return w.clause(clauses[i]) })
}

func (w *writer) clause(c *flagv1.Clause) verdict {
	if c.GetNegate() {
		return w.not(func() verdict { return w.plainClause(c) })
	}
	return w.plainClause(c)
}

// plainClause writes the clause without its negation.
func (w *writer) plainClause(c *flagv1.Clause) verdict {
	if c.GetOperator() == flagv1.Operator_OPERATOR_IN_SEGMENT {
		return w.or(len(c.GetValues()), func(i int) verdict { return w.segment(c.GetValues()[i].GetStringValue()) })
	}
	a := w.attribute(c.GetAttribute())
	switch o := c.GetOperator(); o {
	case flagv1.Operator_OPERATOR_EXISTS:
		return w.exists(a)
	case flagv1.Operator_OPERATOR_IN:
		return w.in(a, c.GetValues())
	case flagv1.Operator_OPERATOR_LESS_THAN, flagv1.Operator_OPERATOR_LESS_THAN_OR_EQUAL,
		flagv1.Operator_OPERATOR_GREATER_THAN, flagv1.Operator_OPERATOR_GREATER_THAN_OR_EQUAL:
		return w.compare(a, comparisons[o], w.single(c).GetNumberValue())
	case flagv1.Operator_OPERATOR_BEFORE, flagv1.Operator_OPERATOR_AFTER:
		return w.date(c, a)
	case flagv1.Operator_OPERATOR_MATCHES:
		w.omit("a clause matches a regular expression, which JsonLogic does not know")
	default:
		if test, ok := textTests[o]; ok {
			return w.test(a, test, c.GetValues())
		}
		w.omit("a clause has an operator that is not known here: %d", o)
	}
	return never
}

// single is the value of an operator that takes one.
func (w *writer) single(c *flagv1.Clause) *structpb.Value {
	if len(c.GetValues()) != 1 {
		w.omit("a clause has %d values where one is needed", len(c.GetValues()))
		return nil
	}
	return c.GetValues()[0]
}

func (w *writer) exists(a attribute) verdict {
	switch a.kind {
	case fromFlagKey:
		return always
	case asText:
		w.raw(`{"!!":[`, a.operand, `]}`) // an empty one is missing
	case ofClock:
		w.raw(`{"!!":[`, timestamp, `]}`)
	default:
		w.raw(`{"!==":[`, a.operand, `,null]}`)
	}
	return depends
}

// in writes OPERATOR_IN. Numbers come apart from strings because flagd's 'in' converts
// the list's strings where the attribute is a number.
func (w *writer) in(a attribute, values []*structpb.Value) verdict {
	var strs []string
	var numbers []float64
	truths := map[bool]bool{}
	for _, v := range values {
		switch k := v.GetKind().(type) {
		case *structpb.Value_StringValue:
			strs = append(strs, k.StringValue)
		case *structpb.Value_NumberValue:
			numbers = append(numbers, k.NumberValue)
		case *structpb.Value_BoolValue:
			truths[k.BoolValue] = true
		}
	}
	switch a.kind {
	case fromFlagKey:
		return settled(slices.Contains(strs, a.flagKey))
	case asText:
		strs = slices.DeleteFunc(strs, func(s string) bool { return s == "" })
		return w.equalsAny(a.operand, strs, true)
	case ofClock:
		return w.and(2, func(i int) verdict {
			if i == 0 {
				w.raw(timestamp)
				return depends
			}
			return w.equalsAnyNumber(a.operand, numbers)
		})
	}
	return w.anyOf(a.operand, func(x string) verdict {
		return w.or(4, func(i int) verdict {
			switch {
			case i == 0:
				return w.equalsAny(x, strs, false)
			case i == 1:
				return w.equalsAnyNumber(x, numbers)
			case i == 2 && truths[true]:
				w.raw(`{"===":[`, x, `,true]}`)
			case i == 3 && truths[false]:
				w.raw(`{"===":[`, x, `,false]}`)
			default:
				return never
			}
			return depends
		})
	})
}

// equalsAny writes that x is one of the strings.
func (w *writer) equalsAny(x string, strs []string, isText bool) verdict {
	switch len(strs) {
	case 0:
		return never
	case 1:
		w.raw(`{"===":[`, x, `,`)
		w.string(strs[0])
		w.raw(`]}`)
		return depends
	}
	if !isText { // a number is found where the list has its text, but "" is not in it
		w.raw(`{"and":[`)
	}
	w.raw(`{"in":[`, x, `,`)
	w.list(len(strs), func(i int) { w.string(strs[i]) })
	w.raw(`]}`)
	if !isText {
		w.raw(`,{"in":["",`, x, `]}]}`)
	}
	return depends
}

// equalsAnyNumber writes that x is one of the numbers.
func (w *writer) equalsAnyNumber(x string, numbers []float64) verdict {
	switch len(numbers) {
	case 0:
		return never
	case 1:
		w.raw(`{"===":[`, x, `,`)
		w.number(numbers[0])
		w.raw(`]}`)
		return depends
	}
	w.raw(`{"in":[`, x, `,`)
	w.list(len(numbers), func(i int) { w.number(numbers[i]) })
	w.raw(`]}`)
	return depends
}

// anyOf writes that the condition holds for x or, if it is a list, for an element.
func (w *writer) anyOf(x string, condition func(x string) verdict) verdict {
	start := len(w.buf)
	w.raw(`{"some":[{"merge":[`, x, `]},`)
	if v := condition(element); v != depends {
		w.buf = w.buf[:start]
		return v
	}
	w.raw(`]}`)
	return depends
}
