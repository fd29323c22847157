package controlplane

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// baseFlag is what the golden cases start from.
const baseFlag = `{
  "key": "checkout", "description": "the new checkout", "type": "VALUE_TYPE_STRING", "enabled": true,
  "variants": [
    {"name": "old", "value": "v1"}, {"name": "new", "value": "v2"}, {"name": "beta", "value": "v3"}
  ],
  "offVariant": "old",
  "prerequisites": [{"flagKey": "payments", "variants": ["on"]}],
  "rules": [
    {"id": "staff", "clauses": [
      {"attribute": "email", "operator": "OPERATOR_ENDS_WITH", "values": ["@example.com"]},
      {"attribute": "age", "operator": "OPERATOR_GREATER_THAN", "values": [18]}
    ], "outcome": {"variant": "beta"}},
    {"id": "canada", "clauses": [{"attribute": "country", "operator": "OPERATOR_IN", "values": ["CA"]}], "outcome": {"variant": "new"}},
    {"id": "everyone", "outcome": {"split": {"variants": [{"variant": "new", "weight": 1}, {"variant": "old", "weight": 99}]}}},
    {"id": "logic", "expression": {"and": [{"in": ["@x.", {"var": "email"}]}, {">": [{"var": "age"}, 18]}]},
      "outcome": {"expression": {"if": [{"in": [{"var": "plan"}, ["a", "b"]]}, "new", null]}}}
  ],
  "defaultOutcome": {"variant": "old"},
  "owner": "web", "tags": ["ui", "q3"], "metadata": {"ticket": "T-1", "risk": 2}
}`

const baseSegment = `{
  "key": "staff", "included": ["u1", "u2", "u3"], "excluded": ["x"],
  "rules": [{"clauses": [{"attribute": "email", "operator": "OPERATOR_ENDS_WITH", "values": ["@example.com"]}]}]
}`

// diffCases change the base; nil results mean that it is not there.
var diffCases = []struct {
	name string
	edit func(f *flagv1.Flag, s *flagv1.Segment) (before, after proto.Message)
}{
	{"nothing", func(f *flagv1.Flag, _ *flagv1.Segment) (proto.Message, proto.Message) {
		return f, proto.CloneOf(f)
	}},
	{"flag created", func(f *flagv1.Flag, _ *flagv1.Segment) (proto.Message, proto.Message) { return nil, f }},
	{"flag deleted", func(f *flagv1.Flag, _ *flagv1.Segment) (proto.Message, proto.Message) { return f, nil }},
	{"flag created disabled", func(f *flagv1.Flag, _ *flagv1.Segment) (proto.Message, proto.Message) {
		return nil, &flagv1.Flag{Key: f.GetKey()}
	}},
	{"metadata emptied", func(f *flagv1.Flag, _ *flagv1.Segment) (proto.Message, proto.Message) {
		before, after := proto.CloneOf(f), proto.CloneOf(f)
		before.Metadata.Fields, after.Metadata = nil, nil
		return before, after
	}},
	{"segment created", func(_ *flagv1.Flag, s *flagv1.Segment) (proto.Message, proto.Message) { return nil, s }},
	{"scalars", edited(func(f *flagv1.Flag) {
		f.Enabled, f.Description, f.Owner, f.OffVariant = false, "<b>", "", "new"
	})},
	{"variant values", edited(func(f *flagv1.Flag) {
		f.Variants[0].Value = parseValue(`{"z": 1, "a": [true, null]}`)
		f.Variants[1].Value = parseValue(`"v9"`)
	})},
	{"variants added and removed", edited(func(f *flagv1.Flag) {
		f.Variants = append(f.Variants[:1], &flagv1.Variant{Name: "nova", Value: parseValue(`"v4"`)})
	})},
	{"weights", edited(func(f *flagv1.Flag) {
		split := f.GetRules()[2].GetOutcome().GetSplit()
		split.Variants[0].Weight, split.Variants[1].Weight = 5, 95
	})},
	{"weight to nothing", edited(func(f *flagv1.Flag) {
		f.GetRules()[2].GetOutcome().GetSplit().Variants[0].Weight = 0
	})},
	{"split order", edited(func(f *flagv1.Flag) {
		v := f.GetRules()[2].GetOutcome().GetSplit().GetVariants()
		v[0], v[1] = v[1], v[0]
	})},
	{"variant to split", edited(func(f *flagv1.Flag) {
		f.DefaultOutcome = proto.CloneOf(f.GetRules()[2].GetOutcome())
	})},
	{"salt set to empty", edited(func(f *flagv1.Flag) {
		f.GetRules()[2].GetOutcome().GetSplit().Salt = proto.String("")
	})},
	{"expression by operand", edited(func(f *flagv1.Flag) {
		f.GetRules()[3].Expression = parseValue(`{"and": [{"in": ["@y.", {"var": "email"}]}, {">=": [{"var": "age"}, 18]}]}`)
		f.GetRules()[3].GetOutcome().Kind = &flagv1.Outcome_Expression{Expression: parseValue(
			`{"if": [{"in": [{"var": "plan"}, ["a", "b", "c"]]}, "beta", "old"]}`)}
	})},
	{"expression as a whole", edited(func(f *flagv1.Flag) {
		f.GetRules()[3].Expression = parseValue(`{"or": [{"!": [{"var": "email"}]}]}`)
	})},
	{"expression to clauses", edited(func(f *flagv1.Flag) {
		f.GetRules()[3].Expression, f.GetRules()[3].Clauses = nil, f.GetRules()[1].GetClauses()
		f.GetRules()[3].Outcome = f.GetRules()[1].GetOutcome()
	})},
	{"expression deeper than followed", func(f *flagv1.Flag, _ *flagv1.Segment) (proto.Message, proto.Message) {
		after := proto.CloneOf(f)
		f.Rules[3].Expression = negated(`{"var": "a"}`, maxDescent)
		after.Rules[3].Expression = negated(`{"var": "b"}`, maxDescent)
		return f, after
	}},
	{"bucketing version", edited(func(f *flagv1.Flag) {
		f.BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_3
	})},
	{"outcome removed", edited(func(f *flagv1.Flag) { f.DefaultOutcome = nil })},
	{"rules reordered", edited(func(f *flagv1.Flag) { f.Rules[0], f.Rules[1] = f.Rules[1], f.Rules[0] })},
	{"rule inserted first", edited(func(f *flagv1.Flag) {
		f.Rules = append([]*flagv1.Rule{{Id: "first", Outcome: f.GetDefaultOutcome()}}, f.GetRules()...)
	})},
	{"rule appended", edited(func(f *flagv1.Flag) {
		f.Rules = append(f.Rules, &flagv1.Rule{Id: "last", Outcome: f.GetDefaultOutcome()})
	})},
	{"rule removed", edited(func(f *flagv1.Flag) { f.Rules = f.Rules[1:] })},
	{"clause values and operator", edited(func(f *flagv1.Flag) {
		c := f.GetRules()[0].GetClauses()[0]
		c.Values, c.Operator, c.Negate = append(c.Values, parseValue(`"@example.org"`)), flagv1.Operator_OPERATOR_CONTAINS, true
	})},
	{"clause removed", edited(func(f *flagv1.Flag) { f.Rules[0].Clauses = f.Rules[0].Clauses[:1] })},
	{"ids not unique", edited(func(f *flagv1.Flag) { f.Rules[1].Id = "staff" })},
	{"prerequisite variants", edited(func(f *flagv1.Flag) {
		f.Prerequisites[0].Variants = []string{"on", "beta"}
		f.Prerequisites = append(f.Prerequisites, &flagv1.Prerequisite{FlagKey: "cards", Variants: []string{"on"}})
	})},
	{"tags and metadata", edited(func(f *flagv1.Flag) {
		f.Tags = []string{"q4", "ui"}
		delete(f.Metadata.Fields, "ticket")
		f.Metadata.Fields["risk"] = parseValue(`3`)
		f.Metadata.Fields["new"] = parseValue(`true`)
	})},
	{"metadata removed", edited(func(f *flagv1.Flag) { f.Metadata = nil })},
	{"tags reordered", edited(func(f *flagv1.Flag) { f.Tags[0], f.Tags[1] = f.Tags[1], f.Tags[0] })},
	{"segment", func(_ *flagv1.Flag, s *flagv1.Segment) (proto.Message, proto.Message) {
		after := proto.CloneOf(s)
		after.Included = []string{"u3", "u1", "u4"}
		after.Excluded = nil
		after.Rules[0].Clauses[0].Attribute = "mail"
		after.Rules = append(after.Rules, proto.CloneOf(s.GetRules()[0]))
		return s, after
	}},
	{"long value", edited(func(f *flagv1.Flag) {
		f.Description = strings.Repeat("x", maxChangeText)
	})},
}

// negated is an expression of nested operators.
func negated(operand string, times int) *structpb.Value {
	return parseValue(strings.Repeat(`{"!":[`, times) + operand + strings.Repeat("]}", times))
}

func edited(edit func(*flagv1.Flag)) func(*flagv1.Flag, *flagv1.Segment) (proto.Message, proto.Message) {
	return func(f *flagv1.Flag, _ *flagv1.Segment) (proto.Message, proto.Message) {
		after := proto.CloneOf(f)
		edit(after)
		return f, after
	}
}

func TestFieldChanges(t *testing.T) {
	var got strings.Builder
	for _, test := range diffCases {
		var f flagv1.Flag
		var s flagv1.Segment
		parse(baseFlag, &f)
		parse(baseSegment, &s)
		before, after := test.edit(&f, &s)
		fmt.Fprintf(&got, "=== %s\n", test.name)
		for _, c := range fieldChanges(before, after) {
			fmt.Fprintf(&got, "%s: %s -> %s\n", c.GetPath(), orDash(c.GetBefore()), orDash(c.GetAfter()))
		}
	}
	golden(t, "field_changes.txt", got.String())
}

// TestFieldChangesSayWhetherSomethingChanged: none if and only if nothing differs.
func TestFieldChangesSayWhetherSomethingChanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		version := func(name string) *flagv1.Flag {
			f := new(flagv1.Flag)
			parse(baseFlag, f)
			for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(diffCases)-1), 0, 4).Draw(t, name) {
				f = editedBy(i, f)
			}
			return f
		}
		a, b := version("a"), version("b")
		changes := fieldChanges(a, b)
		if equal := proto.Equal(a, b); equal != (len(changes) == 0) {
			t.Fatalf("equal: %v, changes: %v", equal, changes)
		}
	})
}

// editedBy returns the flag after a case's edit; as it was, if the case does not edit a
// flag, or asks for what an earlier edit took away.
func editedBy(i int, f *flagv1.Flag) (edited *flagv1.Flag) {
	defer func() {
		if recover() != nil {
			edited = f
		}
	}()
	var s flagv1.Segment
	parse(baseSegment, &s)
	_, after := diffCases[i].edit(proto.CloneOf(f), &s)
	if flag, ok := after.(*flagv1.Flag); ok && flag != nil {
		return flag
	}
	return f
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if g != w {
			t.Fatalf("%s, line %d (-rewrite if that is right):\n got %s\nwant %s", path, i+1, g, w)
		}
	}
}

func TestFieldChangesAreBounded(t *testing.T) {
	many := &flagv1.Segment{Key: "s"}
	for i := range 5000 {
		many.Included = append(many.Included, fmt.Sprintf("user-%d", i))
	}
	changes := fieldChanges(&flagv1.Segment{Key: "s"}, many)
	if len(changes) != maxChanges+1 || changes[maxChanges].GetPath() != fmt.Sprintf("(%d more)", 5000-maxChanges) {
		t.Errorf("%d changes, the last is %v", len(changes), changes[len(changes)-1])
	}
	long := &flagv1.Segment{Key: "s"}
	for i := range 100 {
		long.Included = append(long.Included, fmt.Sprintf("%d%s", i, strings.Repeat("k", maxChangeText-100)))
	}
	size := 0
	for _, c := range fieldChanges(&flagv1.Segment{Key: "s"}, long) {
		size += len(c.GetPath()) + len(c.GetBefore()) + len(c.GetAfter())
	}
	if size > maxChangesText+100 || size < maxChangesText/2 {
		t.Errorf("%d bytes of changes, want about %d", size, maxChangesText)
	}
}

// TestNoMapsInTheSchema: fieldChanges knows no map but Struct's.
func TestNoMapsInTheSchema(t *testing.T) {
	messages := flagv1.File_tidegate_flag_v1_flag_proto.Messages()
	for i := range messages.Len() {
		fields := messages.Get(i).Fields()
		for j := range fields.Len() {
			if fd := fields.Get(j); fd.IsMap() || fd.Kind() == protoreflect.GroupKind {
				t.Errorf("%s is a map or group: teach fieldChanges to compare it", fd.FullName())
			}
		}
	}
}

func parse(text string, m proto.Message) {
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		panic(err)
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// A conflict fits in the trailers that any client takes, whatever was written.
func TestConflictIsBounded(t *testing.T) {
	f, _ := newFixture(t)
	base := f.create(boolFlag("a")).GetFlag().GetRevision()
	changed := boolFlag("a")
	for i := range 1000 {
		changed.Tags = append(changed.Tags, fmt.Sprint("tag-", i))
	}
	changed.Description = strings.Repeat("é", 10_000)
	if _, err := f.UpdateFlag(f.ctx, alice, &controlv1.UpdateFlagRequest{
		Environment: production, Flag: changed, BaseRevision: base, Reason: strings.Repeat("é", 1000),
	}); err != nil {
		t.Fatal(err)
	}
	_, err := f.update(boolFlag("a"), base)
	c := as[*ConflictError](t, err).Conflict
	if size := proto.Size(c); size > 4<<10 {
		t.Errorf("the conflict takes %d bytes", size)
	}
	if n := len(c.GetChanges()); n < 10 || c.GetLatest().GetReason() == "" {
		t.Errorf("%d changes; latest %v", n, c.GetLatest())
	}
}
