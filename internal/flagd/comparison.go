package flagd

import (
	"math"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/jsondoc"
)

// textTest is a test of a string against another: open, attribute, middle, value.
type textTest struct {
	open, middle string
	valueFirst   bool // value, middle, attribute
	typed        bool // does not hold for what is no string
}

var textTests = map[flagv1.Operator]textTest{
	flagv1.Operator_OPERATOR_CONTAINS:                     {open: `{"in":[`, middle: `,`, valueFirst: true},
	flagv1.Operator_OPERATOR_STARTS_WITH:                  {open: `{"starts_with":[`, middle: `,`, typed: true},
	flagv1.Operator_OPERATOR_ENDS_WITH:                    {open: `{"ends_with":[`, middle: `,`, typed: true},
	flagv1.Operator_OPERATOR_SEMVER_EQUALS:                {open: `{"sem_ver":[`, middle: `,"=",`},
	flagv1.Operator_OPERATOR_SEMVER_LESS_THAN:             {open: `{"sem_ver":[`, middle: `,"<",`},
	flagv1.Operator_OPERATOR_SEMVER_LESS_THAN_OR_EQUAL:    {open: `{"sem_ver":[`, middle: `,"<=",`},
	flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN:          {open: `{"sem_ver":[`, middle: `,">",`},
	flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN_OR_EQUAL: {open: `{"sem_ver":[`, middle: `,">=",`},
	flagv1.Operator_OPERATOR_SEMVER_SAME_MAJOR:            {open: `{"sem_ver":[`, middle: `,"^",`},
	flagv1.Operator_OPERATOR_SEMVER_SAME_MINOR:            {open: `{"sem_ver":[`, middle: `,"~",`},
}

// test writes that the string passes the test with one of the values.
func (w *writer) test(a attribute, t textTest, values []*structpb.Value) verdict {
	switch a.kind {
	case ofClock:
		return never
	case asText, fromFlagKey:
		return w.testAny(a.operand, t, values)
	}
	// A string is tested as it is, so that no list operator is needed for the usual case.
	w.raw(`{"if":[{"starts_with":[`, a.operand, `,""]},`)
	w.testAny(a.operand, t, values)
	w.raw(`,{"!!":[`, a.operand, `]},{"some":[{"merge":[`, a.operand, `]},`)
	if t.typed {
		w.testAny(element, t, values)
	} else {
		w.raw(`{"and":[{"starts_with":[`, element, `,""]},`)
		w.testAny(element, t, values)
		w.raw(`]}`)
	}
	w.raw(`]}]}`)
	return depends
}

func (w *writer) testAny(x string, t textTest, values []*structpb.Value) verdict {
	return w.or(len(values), func(i int) verdict {
		value := string(jsondoc.AppendString(nil, values[i].GetStringValue()))
		first, second := x, value
		if t.valueFirst {
			first, second = value, x
		}
		w.raw(t.open, first, t.middle, second, `]}`)
		return depends
	})
}

// comparison is a comparison of numbers.
type comparison struct {
	operator string
	holds    func(a, b float64) bool
}

var comparisons = map[flagv1.Operator]comparison{
	flagv1.Operator_OPERATOR_LESS_THAN:             {`<`, func(a, b float64) bool { return a < b }},
	flagv1.Operator_OPERATOR_LESS_THAN_OR_EQUAL:    {`<=`, func(a, b float64) bool { return a <= b }},
	flagv1.Operator_OPERATOR_GREATER_THAN:          {`>`, func(a, b float64) bool { return a > b }},
	flagv1.Operator_OPERATOR_GREATER_THAN_OR_EQUAL: {`>=`, func(a, b float64) bool { return a >= b }},
}

// compare writes a comparison with a number.
func (w *writer) compare(a attribute, c comparison, n float64) verdict {
	switch a.kind {
	case asText, fromFlagKey:
		return never
	case ofClock:
		w.raw(`{"and":[`, timestamp, `,`)
		w.compared(a.operand, c, n)
		w.raw(`]}`)
		return depends
	}
	w.raw(`{"and":[{"!":[{"starts_with":[`, a.operand, `,""]}]},`)
	w.anyOf(a.operand, func(x string) verdict {
		w.raw(`{"and":[`)
		w.compared(x, c, n)
		w.raw(`,`)
		w.isNumber(x, c.holds(0, n) || c.holds(1, n))
		w.raw(`]}`)
		return depends
	})
	w.raw(`]}`)
	return depends
}

func (w *writer) compared(x string, c comparison, n float64) {
	w.raw(`{"`, c.operator, `":[`, x, `,`)
	w.number(n)
	w.raw(`]}`)
}

// isNumber writes that x, which compared as a number, is one. Where neither 0 nor 1
// compares so, it can only be a number or a numeric string; else it can be null or a
// boolean too, which '+' fails on.
func (w *writer) isNumber(x string, orOther bool) {
	if !orOther {
		w.raw(`{"===":[`, x, `,{"+":[`, x, `]}]}`)
		return
	}
	// (Some implementations take true for 1: 0 and 1 are not excluded with the booleans.)
	w.raw(`{"or":[{"in":[`, x, `,[0,1]]},{"and":[{"!==":[`, x, `,null]},{"!==":[`, x, `,true]},{"!==":[`, x, `,false]},`)
	w.raw(`{"===":[`, x, `,{"+":[`, x, `]}]}]}]}`)
}

// date writes BEFORE and AFTER, which JsonLogic knows for the time of the evaluation
// alone: an attribute may hold a date as text.
func (w *writer) date(c *flagv1.Clause, a attribute) verdict {
	if a.operand != timestamp {
		w.omit("a clause compares the attribute %q with a date, which JsonLogic cannot read", c.GetAttribute())
		return never
	}
	var seconds float64
	fraction := false
	switch k := w.single(c).GetKind().(type) {
	case *structpb.Value_StringValue:
		t, err := time.Parse(time.RFC3339Nano, k.StringValue)
		if err != nil {
			w.omit("a clause has the date %q, which is none", k.StringValue)
		}
		seconds, fraction = float64(t.Unix()), t.Nanosecond() > 0
	case *structpb.Value_NumberValue:
		seconds = math.Floor(k.NumberValue)
		fraction = seconds != k.NumberValue && k.NumberValue-seconds >= 1e-9
	}
	o := flagv1.Operator_OPERATOR_GREATER_THAN
	switch {
	case c.GetOperator() == flagv1.Operator_OPERATOR_AFTER:
	case fraction: // a whole second is before it, or equal to its whole part
		o = flagv1.Operator_OPERATOR_LESS_THAN_OR_EQUAL
	default:
		o = flagv1.Operator_OPERATOR_LESS_THAN
	}
	return w.compare(a, comparisons[o], seconds)
}
