package manifest

import (
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/examples"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/bucketing"
)

func TestMarshalRefusesToLose(t *testing.T) {
	boolean := func(change func(*flagv1.Flag)) *flagv1.Flag {
		f := &flagv1.Flag{
			Key: "a", Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN,
			Variants: []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}},
			Rules:    []*flagv1.Rule{{Id: "r", Clauses: []*flagv1.Clause{{Attribute: "x", Operator: flagv1.Operator_OPERATOR_EXISTS}}}},
		}
		change(f)
		return f
	}
	for _, test := range []struct {
		name string
		flag *flagv1.Flag
		want string
	}{
		{"unknown field", newest(t), "flags[a] cannot be written without loss"},
		{"unknown type", boolean(func(f *flagv1.Flag) { f.Type = 99 }), "flags[a].type cannot be written"},
		{"unknown operator", boolean(func(f *flagv1.Flag) { f.Rules[0].Clauses[0].Operator = 99 }), "flags[a].rules[0].when[0]"},
		{"unknown outcome", boolean(func(f *flagv1.Flag) { f.DefaultOutcome = &flagv1.Outcome{} }), "flags[a] cannot be written without loss"},
		{"values of exists", boolean(func(f *flagv1.Flag) {
			f.Rules[0].Clauses[0].Values = []*structpb.Value{structpb.NewBoolValue(true)}
		}), "flags[a] cannot be written without loss"},
		{"same variant twice", boolean(func(f *flagv1.Flag) { f.Variants = append(f.Variants, f.GetVariants()[0]) }), "flags[a].variants[on]"},
		{"bucketing version", boolean(func(f *flagv1.Flag) {
			f.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
				Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: 1}}, BucketingVersion: 9,
			}}}
		}), "flags[a].default.bucketingVersion cannot be written: must be 2 or 3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Marshal(&Document{Flags: []*flagv1.Flag{test.flag}})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// What any text can hold comes back, as a key, a value and a description.
func TestMarshalTexts(t *testing.T) {
	for _, s := range []string{
		"on", "Off", "yes", "n", "null", "~", "", " ", "a ", " a", "a  b", "1", "1.5", "0x1f", "017", "1_000", "1:30", ".5", "-", "- a", "--- a",
		"? a", ": a", "a: b", "a:b", "a #b", "#a", "&a", "*a", "!a", "!!str", "%a", "@a", "`a`", "'a'", `"a"`, `\`, "{a}", "[a]", "a, b", "<<", "=",
		"2026-01-01", "a\nb", "a\n", "\na", "\n", "a\n\nb\n", "a\n b", " a\nb", "a \nb", "a\n\tb", "a\r\nb", "a\tb", "\x00\x1b\x7f", "\u0085\u2028\u2029\ufeff",
		"é", "日本語", "🚩", "\U0010ffff", "\ufffd", "\ufffe", strings.Repeat("k", 2000), strings.Repeat("é\n", 600),
	} {
		f := &flagv1.Flag{
			Key: "a", Type: flagv1.ValueType_VALUE_TYPE_OBJECT, Description: s, Tags: []string{"t", s},
			Variants: []*flagv1.Variant{{Name: "v", Value: structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
				s: structpb.NewStringValue(s), "x": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue(s)}}),
			}})}},
		}
		out, err := Marshal(&Document{Flags: []*flagv1.Flag{f}})
		if err != nil {
			t.Errorf("%q: %v\n%s", s, err, out)
			continue
		}
		if d := decode("", out); !proto.Equal(bucketing.Pin(f), d.document.Flags[0]) {
			t.Errorf("%q: %v", s, d.document.Flags[0])
		}
	}
}

func BenchmarkParse(b *testing.B) {
	out := manyFlags(b)
	b.SetBytes(int64(len(out)))
	for b.Loop() {
		if _, err := Parse("f", out); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMarshal(b *testing.B) {
	d, err := Parse("f", manyFlags(b))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Marshal(d); err != nil {
			b.Fatal(err)
		}
	}
}

// manyFlags is a file of 1000 flags as the examples have them.
func manyFlags(b *testing.B) []byte {
	b.Helper()
	d, err := Parse("examples/flags.yaml", examples.Flags)
	if err != nil {
		b.Fatal(err)
	}
	many := &Document{Segments: d.Segments}
	for i := range 1000 {
		f := proto.CloneOf(d.Flags[i%len(d.Flags)])
		f.Key += "-" + strconv.Itoa(i)
		many.Flags = append(many.Flags, f)
	}
	out, err := Marshal(many)
	if err != nil {
		b.Fatal(err)
	}
	return out
}
