package eval_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Every wrong field is named, all of them at once.
func TestCompileReportsEveryProblem(t *testing.T) {
	flag := &flagv1.Flag{
		Key: "-a", Type: integer, Enabled: true,
		Variants:      []*flagv1.Variant{variant("", 1), variant("one", 1), variant("one", "1"), variant("half", 0.5)},
		OffVariant:    "none",
		Prerequisites: []*flagv1.Prerequisite{{}, requires("-a", "x", "x")},
		Rules: []*flagv1.Rule{
			{Id: "r", Clauses: []*flagv1.Clause{clause("a..b", opLess, 1, 2), clause("", opIn)}, Outcome: serve("two")},
			{Id: "r", Outcome: split("one", 0, "one", 0)},
			{},
		},
		DefaultOutcome: &flagv1.Outcome{},
	}
	_, err := eval.Compile(flag, 1)
	expectErrors(t, "all at once", err,
		`key: "-a" is not valid; use 1 to 128 letters`,
		"variants[0].name: is empty",
		"variants[2].name: unique",
		"variants[2].value: is a string; the flag is of type INTEGER",
		"variants[3].value: 0.5 is not a whole number",
		`off_variant: "none" is not a variant of this flag; it has "", "half", "one"`,
		"prerequisites[0].flag_key: is empty",
		"prerequisites[0].variants: is empty",
		`prerequisites[1].flag_key: "-a" is not valid`,
		"prerequisites[1].flag_key: its own prerequisite",
		"prerequisites[1].variants[1]: twice",
		"rules[0].clauses[0].values: there are 2; LESS_THAN takes exactly one",
		`rules[0].clauses[0].attribute: "a..b" has an empty element`,
		"rules[0].clauses[1].values: at least one",
		"rules[0].clauses[1].attribute: is empty",
		`rules[0].outcome.variant: "two" is not a variant`,
		`rules[1].id: "r" is the id of another rule too`,
		`rules[1].outcome.split.variants[1].variant: "one" is listed twice`,
		"rules[1].outcome.split.variants: add up to 0",
		"rules[2].id: is empty",
		"rules[2].outcome: name a variant or a split",
		"default_outcome: name a variant or a split",
	)
}

func TestCompileFlagFields(t *testing.T) {
	long := strings.Repeat("k", 129)
	const broken = "a\xffb"
	number := structpb.NewNumberValue
	deep := value("x")
	for range 40 {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
	}
	objectOf := func(v *structpb.Value) *flagv1.Flag {
		f := valueFlag(object, map[string]any{})
		f.Variants[0].Value.GetStructValue().Fields = map[string]*structpb.Value{"a": value(map[string]any{"b.c": nil}), "l": value([]any{1})}
		f.Variants[0].Value.GetStructValue().Fields["a"].GetStructValue().Fields["b.c"] = v
		f.Variants[0].Value.GetStructValue().Fields["l"].GetListValue().Values = []*structpb.Value{number(1), v}
		return f
	}
	typed := func(t flagv1.ValueType, v *structpb.Value) *flagv1.Flag {
		f := valueFlag(t, true)
		f.Variants[0].Value = v
		return f
	}
	edited := func(edit func(*flagv1.Flag)) *flagv1.Flag {
		f := boolFlag("flag")
		edit(f)
		return f
	}
	manyVariants := boolFlag("flag")
	for i := range 300 {
		manyVariants.Variants = append(manyVariants.Variants, variant("v"+strconv.Itoa(i), true))
	}
	for _, c := range []struct {
		name string
		flag *flagv1.Flag
		want []string
	}{
		{"nil", nil, []string{": the flag is missing"}},
		{"empty", &flagv1.Flag{}, []string{"key: is empty", "type: UNSPECIFIED is not a type", "variants: at least one"}},
		{"long key", edited(func(f *flagv1.Flag) { f.Key = long }), []string{"key: is not valid"}},
		{"key with a space", edited(func(f *flagv1.Flag) { f.Key = "a b" }), []string{`key: "a b" is not valid`}},
		{"key of other letters", edited(func(f *flagv1.Flag) { f.Key = "clé" }), []string{"key: is not valid"}},
		{"unknown type", edited(func(f *flagv1.Flag) { f.Type = 77 }), []string{"type: 77 is not a type"}},
		{"too many variants", manyVariants, []string{"variants: there are 302; at most 256", "off_variant: none", "default_outcome.variant: none"}},
		{"too large", edited(func(f *flagv1.Flag) { f.Description = strings.Repeat("x", 300<<10) }), []string{": at most 262144 are allowed"}},
		{
			"broken text", edited(func(f *flagv1.Flag) { f.Description, f.Owner, f.Tags = broken, broken, []string{"a", broken} }),
			[]string{`description: "a\xffb" is not valid UTF-8`, "owner: not valid UTF-8", "tags[1]: not valid UTF-8"},
		},
		{"nil variant", edited(func(f *flagv1.Flag) { f.Variants = append(f.Variants, nil) }), []string{"variants[2].name: is empty", "variants[2].value: is missing"}},

		{"missing value", typed(boolean, nil), []string{"variants[0].value: is missing"}},
		{"unset value", typed(boolean, &structpb.Value{}), []string{"variants[0].value: is missing"}},
		{"null", typed(boolean, structpb.NewNullValue()), []string{"variants[0].value: is null; the flag is of type BOOLEAN"}},
		{"list", typed(boolean, value([]any{})), []string{"variants[0].value: is a list"}},
		{"number for boolean", typed(boolean, number(1)), []string{"variants[0].value: is a number; the flag is of type BOOLEAN"}},
		{"boolean for string", typed(text, value(true)), []string{"variants[0].value: is a boolean"}},
		{"string for double", typed(double, value("1")), []string{"variants[0].value: is a string"}},
		{"object for string", typed(text, value(map[string]any{})), []string{"variants[0].value: is an object"}},
		{"string for object", typed(object, value("{}")), []string{"variants[0].value: is a string"}},
		{"broken string", typed(text, structpb.NewStringValue(broken)), []string{"variants[0].value: not valid UTF-8"}},
		{"largest integer", typed(integer, number(1<<53-1)), nil},
		{"too large an integer", typed(integer, number(1<<53)), []string{"variants[0].value: 2^53-1"}},
		{"too small an integer", typed(integer, number(-(1 << 53))), []string{"variants[0].value: 2^53-1"}},
		{"infinite integer", typed(integer, number(math.Inf(1))), []string{"variants[0].value: 2^53-1"}},
		{"largest double", typed(double, number(math.MaxFloat64)), nil},
		{"infinite double", typed(double, number(math.Inf(-1))), []string{"variants[0].value: not a finite number"}},
		{"NaN", typed(double, number(math.NaN())), []string{"variants[0].value: not a finite number"}},
		{"null in an object", objectOf(structpb.NewNullValue()), nil},
		{"NaN in an object", objectOf(number(math.NaN())), []string{`variants[0].value.a."b.c": finite`, "variants[0].value.l[1]: finite"}},
		{"unset in an object", objectOf(nil), []string{`variants[0].value.a."b.c": is missing`, "variants[0].value.l[1]: is missing"}},
		{"broken text in an object", objectOf(structpb.NewStringValue(broken)), []string{`variants[0].value.a."b.c": UTF-8`, "variants[0].value.l[1]: UTF-8"}},
		{
			"broken name in an object", objectOf(&structpb.Value{Kind: &structpb.Value_StructValue{StructValue: &structpb.Struct{Fields: map[string]*structpb.Value{broken: value(1)}}}}),
			[]string{`variants[0].value.a."b.c": UTF-8`, "variants[0].value.l[1]: UTF-8"},
		},
		{
			"deep object", objectOf(deep),
			[]string{`variants[0].value.a."b.c"` + strings.Repeat("[0]", 30) + ": nested too deep", "variants[0].value.l[1]" + strings.Repeat("[0]", 30) + ": nested too deep"},
		},

		{"metadata", edited(func(f *flagv1.Flag) {
			f.Metadata = &structpb.Struct{Fields: map[string]*structpb.Value{
				"a": value("x"), "b": value(1), "c": value(true), "d": value(nil), "e": value([]any{}), "f": nil, "g": number(math.NaN()), "h": structpb.NewStringValue(broken), "": value(1), "x\xff": value(1),
			}}
		}), []string{
			"metadata: a name is empty", "metadata.d: a string, a number or a boolean", "metadata.e: a string", "metadata.f: a string", "metadata.g: finite", "metadata.h: UTF-8",
			"metadata: not valid UTF-8",
		}},
		{"outcome of nothing", edited(func(f *flagv1.Flag) { f.DefaultOutcome = serve("") }), []string{`default_outcome.variant: "" is not a variant of this flag; it has "off", "on"`}},

		{"nil prerequisite", edited(func(f *flagv1.Flag) { f.Prerequisites = []*flagv1.Prerequisite{nil} }), []string{"prerequisites[0].flag_key: is empty", "prerequisites[0].variants: is empty"}},
		{"prerequisite twice", edited(func(f *flagv1.Flag) {
			f.Prerequisites = []*flagv1.Prerequisite{requires("a", "on"), requires("b", "on"), requires("a", "off")}
		}), []string{`prerequisites[2].flag_key: "a" is listed twice`}},
		{"too many prerequisites", edited(func(f *flagv1.Flag) {
			for i := range 65 {
				f.Prerequisites = append(f.Prerequisites, requires("f"+strconv.Itoa(i), "on"))
			}
		}), []string{"prerequisites: there are 65; at most 64"}},
		{"too many variants of a prerequisite", edited(func(f *flagv1.Flag) {
			f.Prerequisites = []*flagv1.Prerequisite{requires("a", stringsOf(names("v", 257))...)}
		}), []string{"prerequisites[0].variants: there are 257; at most 256"}},

		{"nil rule", edited(func(f *flagv1.Flag) { f.Rules = []*flagv1.Rule{nil} }), []string{"rules[0].id: is empty", "rules[0].outcome: is missing"}},
		{"too many rules", edited(func(f *flagv1.Flag) { f.Rules = make([]*flagv1.Rule, 1001) }), []string{"rules: there are 1001; at most 1000"}},
		{"broken description", edited(func(f *flagv1.Flag) {
			f.Rules = []*flagv1.Rule{{Id: "r", Description: broken, Outcome: serve("on")}}
		}), []string{"rules[0].description: UTF-8"}},
	} {
		_, err := eval.Compile(c.flag, 1)
		expectErrors(t, c.name, err, c.want...)
	}
}

func TestCompileSplit(t *testing.T) {
	const broken = "a\xffb"
	for _, c := range []struct {
		name string
		edit func(*flagv1.Split)
		want []string
	}{
		{"valid", func(*flagv1.Split) {}, nil},
		{"version 2", func(s *flagv1.Split) { s.BucketingVersion = 2 }, nil},
		{"version 1", func(s *flagv1.Split) { s.BucketingVersion = 1 }, []string{"bucketing_version: 1 is not a version that is known here"}},
		{"version 3", func(s *flagv1.Split) { s.BucketingVersion = 3 }, nil},
		{"version 4", func(s *flagv1.Split) { s.BucketingVersion = 4 }, []string{"bucketing_version: 4 is not a version that is known here"}},
		{"no variants", func(s *flagv1.Split) { s.Variants = nil }, []string{"variants: at least one"}},
		{"too many variants", func(s *flagv1.Split) { s.Variants = make([]*flagv1.WeightedVariant, 257) }, []string{"variants: there are 257; at most 256"}},
		{"nil variant", func(s *flagv1.Split) { s.Variants = append(s.Variants, nil) }, []string{`variants[2].variant: "" is not a variant`}},
		{"unknown variant", func(s *flagv1.Split) { s.Variants[1].Variant = "red" }, []string{`variants[1].variant: "red" is not a variant`}},
		{"variant twice", func(s *flagv1.Split) { s.Variants[1].Variant = "on" }, []string{"variants[1].variant: twice"}},
		{"largest total", func(s *flagv1.Split) { s.Variants[0].Weight, s.Variants[1].Weight = 1, math.MaxInt32-1 }, nil},
		{"total too large", func(s *flagv1.Split) { s.Variants[0].Weight, s.Variants[1].Weight = 1, math.MaxInt32 }, []string{"variants: add up to 2147483648; they must add up to 1 to 2^31-1"}},
		{"weight too large", func(s *flagv1.Split) { s.Variants[1].Weight = math.MaxUint32 }, []string{"variants[1].weight: too large", "variants: add up to"}},
		{"total of zero", func(s *flagv1.Split) { s.Variants[0].Weight, s.Variants[1].Weight = 0, 0 }, []string{"variants: add up to 0"}},
		{"broken salt", func(s *flagv1.Split) { b := broken; s.Salt = &b }, []string{"salt: UTF-8"}},
		{"broken attribute", func(s *flagv1.Split) { s.BucketBy = broken }, []string{"bucket_by: UTF-8"}},
		{"long attribute", func(s *flagv1.Split) { s.BucketBy = strings.Repeat("a", 257) }, []string{"bucket_by: takes 257 bytes; at most 256"}},
		{"attribute of the targeting key", func(s *flagv1.Split) { s.BucketBy = "targetingKey.id" }, []string{"bucket_by: use 'targetingKey'"}},
	} {
		f := boolFlag("flag")
		f.DefaultOutcome = split("on", 1, "off", 1)
		c.edit(f.DefaultOutcome.GetSplit())
		_, err := eval.Compile(f, 1)
		for i := range c.want {
			c.want[i] = "default_outcome.split." + c.want[i]
		}
		expectErrors(t, c.name, err, c.want...)
	}
	f := boolFlag("flag")
	f.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Split{}}
	_, err := eval.Compile(f, 1)
	expectErrors(t, "nil split", err, "default_outcome.split.variants: at least one")
}

func TestCompileClauses(t *testing.T) {
	const broken = "a\xffb"
	unset := func(o flagv1.Operator) *flagv1.Clause {
		return &flagv1.Clause{Attribute: "a", Operator: o, Values: []*structpb.Value{{}}}
	}
	costly := make([]any, 12)
	for i := range costly {
		costly[i] = "(abcdefg){100}" // 900 each
	}
	for _, c := range []struct {
		name   string
		clause *flagv1.Clause
		want   []string
	}{
		{"nil", nil, []string{"operator: is missing", "attribute: is empty"}},
		{"unknown operator", clause("a", 99, 1), []string{"operator: 99 is not an operator that is known here"}},
		{"attribute ends with a dot", clause("a.", opExists), []string{"attribute: empty element"}},
		{"attribute is a dot", clause(".", opExists), []string{"attribute: empty element"}},
		{"broken attribute", clause(broken, opExists), []string{"attribute: UTF-8"}},
		{"in without values", clause("a", opIn), []string{"values: at least one"}},
		{"in of null, list and object", clause("a", opIn, nil, []any{}, map[string]any{}), []string{"values[0]: is null", "values[1]: is a list", "values[2]: is an object"}},
		{"in of unset", unset(opIn), []string{"values[0]: is missing"}},
		{"in of NaN", clause("a", opIn, math.NaN()), []string{"values[0]: finite"}},
		{"in of broken text", &flagv1.Clause{Attribute: "a", Operator: opIn, Values: []*structpb.Value{structpb.NewStringValue(broken)}}, []string{"values[0]: UTF-8"}},
		{"contains without values", clause("a", opContains), []string{"values: at least one"}},
		{"contains a number", clause("a", opContains, "x", 1), []string{"values[1]: is a number; it must be a string"}},
		{"ends with nothing", clause("a", opEndsWith, ""), []string{"values[0]: every string matches"}},
		{"starts with unset", unset(opStartsWith), []string{"values[0]: is missing"}},
		{"matches without values", clause("a", opMatches), []string{"values: at least one"}},
		{"matches a bad expression", clause("a", opMatches, "ok", "a(b"), []string{"values[1]: \"a(b\" is not a regular expression (RE2 syntax): error parsing regexp: missing closing )"}},
		{"matches a back reference", clause("a", opMatches, `(a)\1`), []string{"values[0]: RE2 syntax"}},
		{"matches a broken expression", &flagv1.Clause{Attribute: "a", Operator: opMatches, Values: []*structpb.Value{structpb.NewStringValue(broken)}}, []string{"values[0]: not valid UTF-8", "values[0]: RE2"}},
		{"matches a long expression", clause("a", opMatches, strings.Repeat("a", 1025)), []string{"values[0]: takes 1025 bytes; at most 1024"}},
		{"matches a costly expression", clause("a", opMatches, "(abcdefgh){1000}"), []string{"values[0]: too costly"}},
		{"matches costly expressions", clause("a", opMatches, costly...), []string{"values[11]: too costly together"}},
		{"matches a repeated class", clause("a", opMatches, `^[\p{L}\p{N} ]{1,20}$`), nil},
		{"matches a number", clause("a", opMatches, 1), []string{"values[0]: is a number; it must be a regular expression"}},
		{"less than nothing", clause("a", opLess), []string{"values: there are 0; LESS_THAN takes exactly one"}},
		{"at most two", clause("a", opLessOrEqual, 1, 2), []string{"values: there are 2; LESS_THAN_OR_EQUAL takes exactly one"}},
		{"greater than a string", clause("a", opGreater, "1"), []string{"values[0]: is a string; it must be a number"}},
		{"at least infinity", clause("a", opGreaterOrEqual, math.Inf(1)), []string{"values[0]: finite"}},
		{"before nothing", clause("a", opBefore), []string{"values: there are 0; BEFORE takes exactly one"}},
		{"before two", clause("a", opBefore, 1, 2), []string{"values: there are 2; BEFORE takes exactly one"}},
		{"after a day", clause("a", opAfter, "2026-01-31"), []string{"values[0]: \"2026-01-31\" is not an RFC 3339 date"}},
		{"after the end of time", clause("a", opAfter, "2026-02-29T00:00:00Z"), []string{"values[0]: RFC 3339"}},
		{"after milliseconds", clause("a", opAfter, 1772366400000), []string{"values[0]: not milliseconds"}},
		{"after NaN", clause("a", opAfter, math.NaN()), []string{"values[0]: seconds"}},
		{"after true", clause("a", opAfter, true), []string{"values[0]: is a boolean"}},
		{"version of nothing", clause("a", opVersion), []string{"values: at least one"}},
		{"version less than two", clause("a", opVersionLess, "1", "2"), []string{"values: SEMVER_LESS_THAN takes exactly one"}},
		{"bad version", clause("a", opVersionAtLeast, "1.x"), []string{"values[0]: \"1.x\" is not a semantic version"}},
		{"version as a number", clause("a", opSameMajor, 1), []string{"values[0]: is a number; it must be a semantic version"}},
		{"bad version of several", clause("a", opVersion, "1", "latest"), []string{"values[1]: not a semantic version"}},
		{"exists with a value", clause("a", opExists, true), []string{"values: there are 1; EXISTS takes none"}},
		{"segment with attribute", clause("a", opInSegment, "s"), []string{"attribute: not used by IN_SEGMENT"}},
		{"no segment", clause("", opInSegment), []string{"values: at least one"}},
		{"segment twice", clause("", opInSegment, "s", "t", "s"), []string{`values[2]: "s" is listed twice`}},
		{"too many segments", clause("", opInSegment, names("s", 65)...), []string{"values: there are 65; at most 64"}},
		{"bad segment key", clause("", opInSegment, "a b", 1), []string{"values[0]: not valid", "values[1]: is a number; it must be the key of a segment"}},
	} {
		for i := range c.want {
			c.want[i] = "rules[0].clauses[0]." + c.want[i]
		}
		_, err := eval.Compile(ruleFlag(c.clause), 1)
		expectErrors(t, c.name, err, c.want...)
	}
	_, err := eval.Compile(ruleFlag(clause("", opInSegment, names("s", 64)...), clause("", opInSegment, "s63", "s64")), 1)
	expectErrors(t, "too many segments in all", err, `rules[0].clauses[1].values[1]: "s64" is one segment too many; a flag may refer to at most 64`)
	_, err = eval.Compile(ruleFlag(make([]*flagv1.Clause, 65)...), 1)
	expectErrors(t, "too many clauses", err, "rules[0].clauses: there are 65; at most 64")
}

func TestCompileSegment(t *testing.T) {
	rule := func(clauses ...*flagv1.Clause) []*flagv1.SegmentRule {
		return []*flagv1.SegmentRule{{Clauses: clauses}}
	}
	for _, c := range []struct {
		name    string
		segment *flagv1.Segment
		want    []string
	}{
		{"nil", nil, []string{": the segment is missing"}},
		{"empty", &flagv1.Segment{}, []string{"key: is empty"}},
		{"key alone", segment("s"), nil},
		{"bad lists", &flagv1.Segment{Key: "s", Included: []string{"a", ""}, Excluded: []string{"b\xff"}}, []string{"included[1]: is empty", "excluded[0]: UTF-8"}},
		{"bad attribute", &flagv1.Segment{Key: "s", KeyAttribute: "a..b"}, []string{"key_attribute: empty element"}},
		{"broken text", &flagv1.Segment{Key: "s", Description: "\xff", Owner: "\xff"}, []string{"description: UTF-8", "owner: UTF-8"}},
		{"nil rule", &flagv1.Segment{Key: "s", Rules: []*flagv1.SegmentRule{nil}}, []string{"rules[0].clauses: at least one"}},
		{"too many rules", &flagv1.Segment{Key: "s", Rules: make([]*flagv1.SegmentRule, 1001)}, []string{"rules: there are 1001"}},
		{"bad clause", &flagv1.Segment{Key: "s", Rules: rule(clause("a", opExists), clause("a", opIn))}, []string{"rules[0].clauses[1].values: at least one"}},
		{"segment of segments", &flagv1.Segment{Key: "s", Rules: rule(clause("", opInSegment, "t"))}, []string{"rules[0].clauses[0].operator: cannot use IN_SEGMENT"}},
		{"too large", segment("s", strings.Repeat("k", 600<<10)), []string{": takes 614"}},
	} {
		_, err := eval.CompileSegment(c.segment, 1)
		expectErrors(t, c.name, err, c.want...)
	}
}

// A flag at the limit of size compiles; so does the largest segment.
func TestCompileAtTheLimits(t *testing.T) {
	f := boolFlag("flag")
	f.Description = strings.Repeat("x", 250<<10)
	if _, err := eval.Compile(f, 1); err != nil {
		t.Error(err)
	}
	if _, err := eval.CompileSegment(segment("s", shortKeys(100_000)...), 1); err != nil {
		t.Error(err)
	}
}

func TestManyProblemsAreCounted(t *testing.T) {
	f := boolFlag("flag")
	f.Tags = make([]string, 1000)
	for i := range f.Tags {
		f.Tags[i] = "\xff"
	}
	_, err := eval.Compile(f, 1)
	problems, ok := err.(eval.Errors) //nolint:errorlint // the type itself is promised
	if !ok || len(problems) != 101 || problems[100].Problem != "900 more problems" || problems[100].Error() != "900 more problems" {
		t.Errorf("%d problems: %.100v", len(problems), err)
	}
	if got := err.Error(); !strings.HasPrefix(got, `tags[0]: "\xff" is not valid UTF-8; tags[1]: `) {
		t.Errorf("%.100s", got)
	}
}

func TestCompiledFlag(t *testing.T) {
	def := boolFlag("flag")
	f, err := eval.Compile(def, 42)
	if err != nil {
		t.Fatal(err)
	}
	if f.Key() != "flag" || f.Revision() != 42 || f.Type() != boolean || f.Metadata() != def.GetMetadata() {
		t.Errorf("%s %d %s", f.Key(), f.Revision(), f.Type())
	}
	if v := f.Variant("on"); v == nil || v.Name != "on" || !v.Value.Bool || f.Variant("red") != nil {
		t.Errorf("variant on is %+v", v)
	}
	seg := segment("s")
	s, err := eval.CompileSegment(seg, 43)
	if err != nil {
		t.Fatal(err)
	}
	if s.Key() != "s" || s.Revision() != 43 {
		t.Errorf("%s %d", s.Key(), s.Revision())
	}
}
