package flagd_test

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Random environments that have a form in flagd, and contexts that meet them: few names
// and values, so that clauses match as often as not, and values on the edge between
// types.

var (
	attributes = []string{"a", "b", "c", "a.b", "b.a", "a.b.c", "ü", "targetingKey", "$tidegate.region"}
	clock      = []string{"$flagd.timestamp", "$tidegate.timeOfDay", "$tidegate.weekday"}
	strs       = []string{"", "a", "ab", "b", "A", "1", "0", "5", "1.5", "-1", "true", "null", " a", "a ", "ü", "𝄞", "1.2.0", "v1.2.0-rc.1", "1.2", "abc", `"\`, "2026-03-01T12:00:00Z"}
	numbers    = []float64{0, 1, -1, 5, 1.5, 1.2, 7, 0.1, 9007199254740991, -9007199254740991, 9007199254740992, -9007199254740992, 1e21, 1e-7, math.Copysign(0, -1)}
	versions   = []string{"1.2.0", "v1.2.0", "1.2", "1", "1.2.0-rc.1", "2.0.0", "0.0.0", "5"}
	names      = []string{"on", "off", "true", "5", "a b", "ü"}
)

func draw[T any](t *rapid.T, from ...T) T { return rapid.SampledFrom(from).Draw(t, "choice") }

func oneIn(t *rapid.T, n int) bool { return rapid.IntRange(1, n).Draw(t, "chance") == 1 }

// world is a random environment.
type world struct {
	flags    []*flagv1.Flag
	segments []*flagv1.Segment
	version  flagv1.BucketingVersion
}

func drawWorld(t *rapid.T) *world {
	w := &world{version: draw(t, flagv1.BucketingVersion_BUCKETING_VERSION_2, flagv1.BucketingVersion_BUCKETING_VERSION_3)}
	for i := range rapid.IntRange(0, 3).Draw(t, "segments") {
		w.segments = append(w.segments, w.segment(t, fmt.Sprint("s.", i)))
	}
	count := rapid.IntRange(1, 5).Draw(t, "flags")
	for i := range count {
		w.flags = append(w.flags, w.flag(t, fmt.Sprint("f", i), i == count-1))
	}
	return w
}

// flag draws a flag that may need those before it. Only the last one, which none needs,
// may have expressions.
func (w *world) flag(t *rapid.T, key string, last bool) *flagv1.Flag {
	f := &flagv1.Flag{Key: key, Type: flagv1.ValueType_VALUE_TYPE_STRING, Enabled: !oneIn(t, 6), BucketingVersion: w.version}
	for _, name := range names {
		f.Variants = append(f.Variants, &flagv1.Variant{Name: name, Value: structpb.NewStringValue(name)})
	}
	if !oneIn(t, 3) {
		f.OffVariant = draw(t, names...)
	}
	for _, needed := range w.flags {
		if oneIn(t, 3) {
			f.Prerequisites = append(f.Prerequisites, &flagv1.Prerequisite{
				FlagKey: needed.GetKey(), Variants: rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 4, rapid.ID).Draw(t, "variants"),
			})
		}
	}
	if oneIn(t, 10) {
		f.Prerequisites = append(f.Prerequisites, &flagv1.Prerequisite{FlagKey: "missing", Variants: names[:1]})
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "rules") {
		r := &flagv1.Rule{Id: fmt.Sprint("r", i), Outcome: w.outcome(t, last)}
		if last && oneIn(t, 4) {
			r.Expression = value(draw(t, conditions...))
		} else {
			r.Clauses = w.clauses(t, rapid.IntRange(0, 3).Draw(t, "clauses"), true)
		}
		if last && oneIn(t, 4) {
			r.Outcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: value(draw(t, outcomes...))}}
		}
		f.Rules = append(f.Rules, r)
	}
	if !oneIn(t, 4) {
		f.DefaultOutcome = w.outcome(t, last)
	}
	return f
}

func (w *world) outcome(t *rapid.T, last bool) *flagv1.Outcome {
	if rapid.Bool().Draw(t, "variant") {
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: draw(t, names...)}}
	}
	s := &flagv1.Split{BucketBy: draw(t, append([]string{""}, attributes...)...), BucketingVersion: w.version}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 4, rapid.ID).Draw(t, "split") {
		s.Variants = append(s.Variants, &flagv1.WeightedVariant{Variant: name, Weight: draw[uint32](t, 0, 1, 3, 1000)})
	}
	s.Variants[0].Weight++
	// Version 3 cannot hash the key of another flag.
	if inlined := !last && w.version == flagv1.BucketingVersion_BUCKETING_VERSION_3; inlined || rapid.Bool().Draw(t, "salted") {
		s.Salt = proto.String(draw(t, strs...))
	}
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: s}}
}

func (w *world) segment(t *rapid.T, key string) *flagv1.Segment {
	s := &flagv1.Segment{Key: key, KeyAttribute: draw(t, append([]string{""}, attributes...)...)}
	if oneIn(t, 6) {
		s.KeyAttribute = draw(t, clock...)
	}
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom(append([]string{"05", "5.0", "-0", "+1", "7"}, strs[1:]...)), 0, 8, rapid.ID)
	s.Included, s.Excluded = keys.Draw(t, "included"), keys.Draw(t, "excluded")
	for range rapid.IntRange(0, 2).Draw(t, "rules") {
		s.Rules = append(s.Rules, &flagv1.SegmentRule{Clauses: w.clauses(t, rapid.IntRange(1, 2).Draw(t, "clauses"), false)})
	}
	return s
}

func (w *world) clauses(t *rapid.T, n int, segments bool) []*flagv1.Clause {
	var clauses []*flagv1.Clause
	for range n {
		if segments && oneIn(t, 4) {
			clauses = append(clauses, segmentClause(t))
			continue
		}
		clauses = append(clauses, clause(t, segments))
	}
	return clauses
}

func segmentClause(t *rapid.T) *flagv1.Clause {
	c := &flagv1.Clause{Operator: flagv1.Operator_OPERATOR_IN_SEGMENT, Negate: rapid.Bool().Draw(t, "negate")}
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"s.0", "s.1", "s.2", "missing"}), 1, 3, rapid.ID).Draw(t, "segments") {
		c.Values = append(c.Values, structpb.NewStringValue(key))
	}
	return c
}

func clause(t *rapid.T, ofFlag bool) *flagv1.Clause {
	c := &flagv1.Clause{Attribute: draw(t, attributes...), Negate: oneIn(t, 4)}
	switch {
	case oneIn(t, 6):
		c.Attribute = draw(t, clock...)
	case ofFlag && oneIn(t, 10):
		c.Attribute = "$flagd.flagKey"
	}
	values := func(from *rapid.Generator[*structpb.Value], most int) {
		c.Values = rapid.SliceOfN(from, 1, most).Draw(t, "values")
	}
	switch c.Operator = draw(t, operators...); {
	case c.Operator == flagv1.Operator_OPERATOR_EXISTS:
	case c.Operator == flagv1.Operator_OPERATOR_IN:
		values(rapid.OneOf(aString(strs), aNumber, rapid.Just(structpb.NewBoolValue(true)), rapid.Just(structpb.NewBoolValue(false))), 12)
	case c.Operator <= flagv1.Operator_OPERATOR_ENDS_WITH:
		values(aString(strs[1:]), 3)
	case c.Operator <= flagv1.Operator_OPERATOR_GREATER_THAN_OR_EQUAL:
		values(aNumber, 1)
	case c.Operator <= flagv1.Operator_OPERATOR_AFTER:
		c.Attribute = "$flagd.timestamp"
		values(rapid.SampledFrom(dates), 1)
	case c.Operator == flagv1.Operator_OPERATOR_SEMVER_EQUALS:
		values(aString(versions), 3)
	default:
		values(aString(versions), 1)
	}
	return c
}

var (
	aNumber = rapid.Map(rapid.SampledFrom(numbers), structpb.NewNumberValue)
	dates   = []*structpb.Value{
		value("2026-03-01T12:00:00Z"), value("2026-03-01T12:00:00.5Z"), value("2026-03-01T13:00:01+01:00"),
		value(1772366400.0), value(1772366400.5), value(1772366401.0),
	}
	operators = []flagv1.Operator{
		flagv1.Operator_OPERATOR_IN, flagv1.Operator_OPERATOR_IN, flagv1.Operator_OPERATOR_CONTAINS, flagv1.Operator_OPERATOR_STARTS_WITH, flagv1.Operator_OPERATOR_ENDS_WITH,
		flagv1.Operator_OPERATOR_LESS_THAN, flagv1.Operator_OPERATOR_LESS_THAN_OR_EQUAL, flagv1.Operator_OPERATOR_GREATER_THAN, flagv1.Operator_OPERATOR_GREATER_THAN_OR_EQUAL,
		flagv1.Operator_OPERATOR_BEFORE, flagv1.Operator_OPERATOR_AFTER, flagv1.Operator_OPERATOR_SEMVER_EQUALS,
		flagv1.Operator_OPERATOR_SEMVER_LESS_THAN, flagv1.Operator_OPERATOR_SEMVER_LESS_THAN_OR_EQUAL, flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN, flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN_OR_EQUAL,
		flagv1.Operator_OPERATOR_SEMVER_SAME_MAJOR, flagv1.Operator_OPERATOR_SEMVER_SAME_MINOR, flagv1.Operator_OPERATOR_EXISTS,
	}
	conditions = []any{
		object("==", object("var", "a"), "a"), object("var", "b"), object("<", object("var", "a"), 5.0), true,
		object("in", object("var", "$flagd.flagKey"), []any{"f0", "f1"}), object("<", map[string]any{"var": "$tidegate.timeOfDay"}, 12.0),
		object("some", object("merge", object("var", "b")), object("===", object("var", ""), "a")),
	}
	outcomes = []any{
		"on", nil, true, 5.0, "none", object("if", object("var", "a"), "on"), object("if", object("var", "b"), "off", nil),
		object("fractional", []any{"on", 1.0}, []any{"off", 1.0}), object("fractional", object("var", "a"), []any{"on", 1.0}, []any{"off"}),
		object("+", object("var", "a"), 4.0), object("var", "c"),
	}
)

// object is an operator with its operands.
func object(operator string, operands ...any) map[string]any {
	return map[string]any{operator: operands}
}

func aString(from []string) *rapid.Generator[*structpb.Value] {
	return rapid.Map(rapid.SampledFrom(from), structpb.NewStringValue)
}

func value(v any) *structpb.Value {
	p, err := structpb.NewValue(v)
	if err != nil {
		panic(err)
	}
	return p
}

// drawContext draws a context that JSON can hold.
func drawContext(t *rapid.T) *eval.Context {
	ctx := &eval.Context{TargetingKey: draw(t, strs...), Region: draw(t, "", "a", "ab"), Now: draw[int64](t, 0, 1, 1772366399, 1772366400, 1772366401, 1772300000)}
	ctx.Attributes = eval.Map(drawObject(t, 3))
	return ctx
}

func drawObject(t *rapid.T, depth int) map[string]any {
	o := map[string]any{}
	for _, name := range []string{"a", "b", "c", "ü"} {
		if !oneIn(t, 4) {
			o[name] = drawValue(t, depth-1)
		}
	}
	return o
}

func drawValue(t *rapid.T, depth int) any {
	switch kind := rapid.IntRange(0, 11).Draw(t, "kind"); {
	case kind < 5:
		return draw(t, strs...)
	case kind < 7:
		return draw(t, numbers...)
	case kind < 8:
		return draw[any](t, true, false, nil)
	case kind < 10 && depth > 0:
		l := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			l = append(l, drawValue(t, depth-1))
		}
		return l
	case depth > 0:
		return drawObject(t, depth)
	}
	return draw(t, strs...)
}
