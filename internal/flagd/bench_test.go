package flagd_test

import (
	"fmt"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/flagd"
	"github.com/tidegate/tidegate/internal/manifest"
)

// large is an environment of 10,000 flags like those of the examples, every tenth with a
// prerequisite, and a segment of 10,000 keys that each flag uses.
func large() ([]*flagv1.Flag, []*flagv1.Segment) {
	members := &flagv1.Segment{Key: "members"}
	for i := range 10_000 {
		members.Included = append(members.Included, "user-"+strconv.Itoa(i))
	}
	text := structpb.NewStringValue
	flags := make([]*flagv1.Flag, 10_000)
	for i := range flags {
		f := &flagv1.Flag{
			Key: fmt.Sprintf("flag-%05d", i), Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, OffVariant: "off",
			Variants: []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)}},
			Rules: []*flagv1.Rule{
				{Id: "staff", Clauses: []*flagv1.Clause{{Attribute: "email", Operator: flagv1.Operator_OPERATOR_ENDS_WITH, Values: []*structpb.Value{text("@example.com")}}}, Outcome: serve("on")},
				{Id: "members", Clauses: []*flagv1.Clause{{Operator: flagv1.Operator_OPERATOR_IN_SEGMENT, Values: []*structpb.Value{text("members")}}}, Outcome: serve("on")},
			},
			DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
				Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: 5}, {Variant: "off", Weight: 95}},
			}}},
		}
		if i%10 == 9 {
			f.Prerequisites = []*flagv1.Prerequisite{{FlagKey: flags[i-1].GetKey(), Variants: []string{"on"}}}
		}
		flags[i] = f
	}
	return flags, []*flagv1.Segment{members}
}

func serve(variant string) *flagv1.Outcome {
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: variant}}
}

func BenchmarkExport(b *testing.B) {
	flags, segments := large()
	b.ReportAllocs()
	for b.Loop() {
		if _, omitted := flagd.Export(flags, segments, nil); len(omitted) > 0 {
			b.Fatal(omitted)
		}
	}
}

// One flag changes between two exports.
func BenchmarkExporter(b *testing.B) {
	flags, segments := large()
	var e flagd.Exporter
	e.Export(flags, segments, nil)
	b.ReportAllocs()
	for b.Loop() {
		flags[5000] = proto.CloneOf(flags[5000])
		e.Export(flags, segments, nil)
	}
}

func BenchmarkImport(b *testing.B) {
	flags, segments := large()
	segments[0].Included = segments[0].Included[:100]
	data, _ := flagd.Export(flags, segments, nil)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := manifest.Parse("f.json", data); err != nil {
			b.Fatal(err)
		}
	}
}
