package manifest

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Whatever the engine accepts, a file holds without loss.
func TestGeneratedRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := &Document{}
		for i := range rapid.IntRange(0, 3).Draw(t, "flags") {
			f := genFlag(t, fmt.Sprint(genName.Draw(t, "key"), "-", i))
			if _, err := eval.Compile(f, 1); err != nil {
				t.Fatalf("the generator is wrong: %v\n%v", err, f)
			}
			d.Flags = append(d.Flags, f)
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "segments") {
			s := genSegment(t, fmt.Sprint(genName.Draw(t, "key"), "-", i))
			if _, err := eval.CompileSegment(s, 1); err != nil {
				t.Fatalf("the generator is wrong: %v\n%v", err, s)
			}
			d.Segments = append(d.Segments, s)
		}
		out, err := Marshal(d)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		again, err := Parse("generated", out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		requireSame(t, d, again)
	})
}

var (
	genName = rapid.OneOf(
		rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,12}`),
		rapid.SampledFrom([]string{"on", "off", "yes", "no", "true", "null", "1", "1.0", "0x1F", "1e3", "2026-01-01", "y", "N"}),
	)
	genText = rapid.OneOf(rapid.String(), rapid.StringMatching(`[ a-z:#,\-\n'"\[\]{}&*!|>%@]{0,20}`), genName)
)

func genFlag(t *rapid.T, key string) *flagv1.Flag {
	f := &flagv1.Flag{
		Key: key, Description: genText.Draw(t, "description"), Owner: genText.Draw(t, "owner"),
		Enabled: rapid.Bool().Draw(t, "enabled"), Type: valueTypes[rapid.IntRange(0, len(valueTypes)-1).Draw(t, "type")].t,
	}
	f.Kind = flagv1.FlagKind(rapid.IntRange(0, len(flagv1.FlagKind_name)-1).Draw(t, "kind"))
	if rapid.Bool().Draw(t, "has a lifetime") {
		f.ExpectedLifetime = durationpb.New(time.Duration(rapid.Int64Range(1, 1<<50).Draw(t, "lifetime")))
	}
	if rapid.Bool().Draw(t, "has metadata") {
		f.Metadata = &structpb.Struct{Fields: map[string]*structpb.Value{
			genText.Filter(func(s string) bool { return s != "" }).Draw(t, "name"): genScalar(t),
		}}
	}
	names := rapid.SliceOfNDistinct(genName, 1, 4, rapid.ID).Draw(t, "variants")
	for _, name := range names {
		f.Variants = append(f.Variants, &flagv1.Variant{Name: name, Value: genVariantValue(t, f.GetType())})
	}
	if rapid.Bool().Draw(t, "has off variant") {
		f.OffVariant = rapid.SampledFrom(names).Draw(t, "off")
	}
	for _, needed := range rapid.SliceOfNDistinct(genName, 0, 2, rapid.ID).Draw(t, "prerequisites") {
		f.Prerequisites = append(f.Prerequisites, &flagv1.Prerequisite{FlagKey: "needed-" + needed, Variants: []string{genName.Draw(t, "variant")}})
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "rules") {
		r := &flagv1.Rule{Id: fmt.Sprint("rule-", i), Description: genText.Draw(t, "description"), Outcome: genOutcome(t, names)}
		if rapid.Bool().Draw(t, "has an expression") {
			r.Expression = genExpression(t, rapid.IntRange(0, 3).Draw(t, "depth"))
		} else {
			for range rapid.IntRange(0, 3).Draw(t, "clauses") {
				r.Clauses = append(r.Clauses, genClause(t, true))
			}
		}
		if rapid.Bool().Draw(t, "serves an expression") {
			r.Outcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: genExpression(t, 3)}}
		}
		f.Rules = append(f.Rules, r)
	}
	f.BucketingVersion = genVersion(t)
	f.ClientVisible = rapid.Bool().Draw(t, "client visible")
	if rapid.Bool().Draw(t, "has default") {
		f.DefaultOutcome = genOutcome(t, names)
	}
	return f
}

func genSegment(t *rapid.T, key string) *flagv1.Segment {
	s := &flagv1.Segment{Key: key, Description: genText.Draw(t, "description"), KeyAttribute: rapid.SampledFrom([]string{"", "email"}).Draw(t, "attribute")}
	nonEmpty := rapid.OneOf(genName, rapid.StringN(1, 10, 40))
	all := rapid.SliceOfNDistinct(nonEmpty, 0, 40, rapid.ID).Draw(t, "keys")
	cut := rapid.IntRange(0, len(all)).Draw(t, "cut")
	s.Included, s.Excluded = all[:cut:cut], all[cut:]
	for range rapid.IntRange(0, 2).Draw(t, "rules") {
		r := &flagv1.SegmentRule{}
		for range rapid.IntRange(1, 2).Draw(t, "clauses") {
			r.Clauses = append(r.Clauses, genClause(t, false))
		}
		s.Rules = append(s.Rules, r)
	}
	if len(s.Included) == 0 {
		s.Included = nil
	}
	if len(s.Excluded) == 0 {
		s.Excluded = nil
	}
	return s
}

func genOutcome(t *rapid.T, names []string) *flagv1.Outcome {
	if rapid.Bool().Draw(t, "one variant") {
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: rapid.SampledFrom(names).Draw(t, "variant")}}
	}
	s := &flagv1.Split{BucketingVersion: genVersion(t), BucketBy: rapid.SampledFrom([]string{"", "jobId", "a.b"}).Draw(t, "bucket by")}
	for _, name := range names {
		s.Variants = append(s.Variants, &flagv1.WeightedVariant{Variant: name, Weight: rapid.Uint32Range(1, 1000).Draw(t, "weight")})
	}
	if rapid.Bool().Draw(t, "has salt") {
		s.Salt = proto.String(genText.Draw(t, "salt"))
	}
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: s}}
}

func genVersion(t *rapid.T) flagv1.BucketingVersion {
	return rapid.SampledFrom([]flagv1.BucketingVersion{
		flagv1.BucketingVersion_BUCKETING_VERSION_UNSPECIFIED, flagv1.BucketingVersion_BUCKETING_VERSION_2, flagv1.BucketingVersion_BUCKETING_VERSION_3,
	}).Draw(t, "bucketing version")
}

// genExpression draws JsonLogic: operators of several shapes, and any values.
func genExpression(t *rapid.T, depth int) *structpb.Value {
	of := func(operator string, operands ...*structpb.Value) *structpb.Value {
		list := structpb.NewListValue(&structpb.ListValue{Values: operands})
		return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{operator: list}})
	}
	variable := func() *structpb.Value {
		name := structpb.NewStringValue(rapid.SampledFrom([]string{"email", "device.os", "targetingKey", "$tidegate.region"}).Draw(t, "name"))
		return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"var": name}})
	}
	if depth == 0 {
		switch rapid.IntRange(0, 2).Draw(t, "constant") {
		case 0:
			return structpb.NewNullValue()
		case 1:
			return genScalar(t)
		}
		return variable()
	}
	operand := func() *structpb.Value { return genExpression(t, depth-1) }
	switch rapid.IntRange(0, 6).Draw(t, "operator") {
	case 0:
		return of(rapid.SampledFrom([]string{"==", "===", "!=", "<", ">=", "%"}).Draw(t, "name"), operand(), operand())
	case 1:
		return of("if", operand(), operand(), structpb.NewNullValue())
	case 2:
		return of("in", variable(), structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{genScalar(t), genScalar(t)}}))
	case 3:
		return of(rapid.SampledFrom([]string{"starts_with", "ends_with"}).Draw(t, "name"), variable(), structpb.NewStringValue(genText.Draw(t, "text")))
	case 4:
		return of("sem_ver", variable(), structpb.NewStringValue("^"), structpb.NewStringValue("1.2.3"))
	case 5:
		share := func(name string) *structpb.Value {
			return structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{
				structpb.NewStringValue(name), structpb.NewNumberValue(float64(rapid.IntRange(0, 100).Draw(t, "weight"))),
			}})
		}
		return of("fractional", share("on"), share("off"))
	}
	operands := make([]*structpb.Value, rapid.IntRange(1, 3).Draw(t, "operands"))
	for i := range operands {
		operands[i] = operand()
	}
	return of(rapid.SampledFrom([]string{"and", "or", "cat", "merge"}).Draw(t, "name"), operands...)
}

func genClause(t *rapid.T, segments bool) *flagv1.Clause {
	o := rapid.SampledFrom(operators).Draw(t, "operator")
	c := &flagv1.Clause{Attribute: rapid.SampledFrom([]string{"a", "device.os", "targetingKey", "n"}).Draw(t, "attribute"), Operator: o.op, Negate: rapid.Bool().Draw(t, "not")}
	text := func(s string) []*structpb.Value { return []*structpb.Value{structpb.NewStringValue(s)} }
	switch {
	case o.name == "exists":
	case o.name == "inSegment" && segments:
		c.Attribute, c.Values = "", text(genName.Draw(t, "segment"))
	case o.name == "inSegment":
		c.Operator, c.Values = flagv1.Operator_OPERATOR_STARTS_WITH, text("x")
	case o.name == "matches":
		c.Values = text(`^\d+"'$`)
	case o.name == "in":
		for range rapid.IntRange(1, 5).Draw(t, "values") {
			c.Values = append(c.Values, genScalar(t))
		}
	case o.name == "before" || o.name == "after":
		c.Values = text("2026-01-01T00:00:00Z")
	case o.text && len(o.name) > 6 && o.name[:6] == "semver":
		c.Values = text(rapid.SampledFrom([]string{"1", "1.10", "v1.2.3", "1.2.3-rc.1"}).Draw(t, "version"))
	case o.text:
		c.Values = text(genText.Filter(func(s string) bool { return s != "" }).Draw(t, "text"))
	default:
		c.Values = []*structpb.Value{structpb.NewNumberValue(genNumber(t))}
	}
	return c
}

func genNumber(t *rapid.T) float64 {
	if rapid.Bool().Draw(t, "whole") {
		return float64(rapid.Int64Range(-maxInteger, maxInteger).Draw(t, "number"))
	}
	return rapid.Float64Range(-1e300, 1e300).Draw(t, "number")
}

func genScalar(t *rapid.T) *structpb.Value {
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		return structpb.NewBoolValue(rapid.Bool().Draw(t, "bool"))
	case 1:
		return structpb.NewNumberValue(genNumber(t))
	}
	return structpb.NewStringValue(genText.Draw(t, "text"))
}

func genVariantValue(t *rapid.T, of flagv1.ValueType) *structpb.Value {
	switch of {
	case flagv1.ValueType_VALUE_TYPE_BOOLEAN:
		return structpb.NewBoolValue(rapid.Bool().Draw(t, "bool"))
	case flagv1.ValueType_VALUE_TYPE_INTEGER:
		return structpb.NewNumberValue(float64(rapid.Int64Range(-maxInteger, maxInteger).Draw(t, "number")))
	case flagv1.ValueType_VALUE_TYPE_DOUBLE:
		return structpb.NewNumberValue(genNumber(t))
	case flagv1.ValueType_VALUE_TYPE_OBJECT:
		return structpb.NewStructValue(genStruct(t, 3))
	}
	return structpb.NewStringValue(genText.Draw(t, "text"))
}

func genStruct(t *rapid.T, depth int) *structpb.Struct {
	s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for range rapid.IntRange(0, 3).Draw(t, "fields") {
		s.Fields[genText.Draw(t, "name")] = genValue(t, depth)
	}
	return s
}

func genValue(t *rapid.T, depth int) *structpb.Value {
	kind := rapid.IntRange(0, 4).Draw(t, "kind")
	switch {
	case kind == 0 && depth > 0:
		return structpb.NewStructValue(genStruct(t, depth-1))
	case kind == 1 && depth > 0:
		l := &structpb.ListValue{}
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			l.Values = append(l.Values, genValue(t, depth-1))
		}
		return structpb.NewListValue(l)
	case kind == 2:
		return structpb.NewNullValue()
	}
	return genScalar(t)
}
