package flagd_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/flagd"
	"github.com/tidegate/tidegate/internal/manifest"
)

var update = flag.Bool("update", false, "write golden files")

// Every file in testdata has its export beside it, and what was left out.
func TestExport(t *testing.T) {
	for _, name := range []string{"clauses", "decisions"} {
		t.Run(name, func(t *testing.T) {
			d := parse(t, filepath.Join("testdata", name+".yaml"))
			data, omitted := flagd.Export(d.Flags, d.Segments, metadata(t, map[string]any{"flagSetId": "production", "revision": 7}))
			golden(t, filepath.Join("testdata", name+".json"), data)
			var b strings.Builder
			for _, o := range omitted {
				b.WriteString(o.Flag + ": " + o.Reason + "\n")
			}
			golden(t, filepath.Join("testdata", name+".omitted"), []byte(b.String()))
		})
	}
}

func TestExportOfNothing(t *testing.T) {
	const want = "{\n  \"$schema\": \"https://flagd.dev/schema/v0/flags.json\",\n  \"flags\": {}\n}\n"
	if data, omitted := flagd.Export(nil, nil, nil); string(data) != want || omitted != nil {
		t.Errorf("%s%v", data, omitted)
	}
}

// An exporter gives after each change what a new one would give.
func TestExporterFollowsChanges(t *testing.T) {
	d := parse(t, "testdata/decisions.yaml")
	var e flagd.Exporter
	check := func(what string) {
		t.Helper()
		got, gotOmitted := e.Export(d.Flags, d.Segments, nil)
		want, wantOmitted := flagd.Export(d.Flags, d.Segments, nil)
		if !bytes.Equal(got, want) || len(gotOmitted) != len(wantOmitted) {
			t.Errorf("%s: the exporter gave\n%s%v\nwant\n%s%v", what, got, gotOmitted, want, wantOmitted)
		}
	}
	check("first")
	check("without a change")
	change := func(key string, edit func(*flagv1.Flag)) {
		t.Helper()
		for i, f := range d.Flags {
			if f.GetKey() == key {
				d.Flags[i] = proto.CloneOf(f)
				edit(d.Flags[i])
				check(key)
				return
			}
		}
		t.Fatalf("no flag %s", key)
	}
	change("static", func(f *flagv1.Flag) { f.Enabled = false })
	change("split", func(f *flagv1.Flag) { f.Enabled = false })
	change("needs", func(f *flagv1.Flag) { f.OffVariant = "on" })
	change("expressions", func(f *flagv1.Flag) { f.Rules = nil })
	for i, s := range d.Segments {
		d.Segments[i] = proto.CloneOf(s)
		d.Segments[i].Included = append(d.Segments[i].Included, "zed", "zoë")
		check(s.GetKey())
	}
	d.Segments = d.Segments[1:]
	check("a segment less")
	d.Flags = d.Flags[1:]
	check("a flag less")
	d.Flags = append(d.Flags, &flagv1.Flag{
		Key: "new", Enabled: true, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN,
		Variants: []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}},
	})
	check("a flag more")
}

// What depends on too much is left out rather than written without end.
func TestExportBounds(t *testing.T) {
	flagWith := func(key string, prerequisites ...string) *flagv1.Flag {
		f := &flagv1.Flag{
			Key: key, Enabled: true, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN,
			Variants: []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}},
			DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
				Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: 1}},
			}}},
		}
		for _, p := range prerequisites {
			f.Prerequisites = append(f.Prerequisites, &flagv1.Prerequisite{FlagKey: p, Variants: []string{"on"}})
		}
		return f
	}
	name := func(i int) string { return "f" + string(rune('a'+i)) }
	var diamonds, constant, chain []*flagv1.Flag
	for i := range 18 { // each level needs both of the one below
		var both, single []string
		if i > 0 {
			both, single = []string{"l-" + name(i-1), "r-" + name(i-1)}, []string{name(i - 1)}
		}
		diamonds = append(diamonds, flagWith("l-"+name(i), both...), flagWith("r-"+name(i), both...))
		chain = append(chain, flagWith(name(i), single...))
	}
	for _, f := range diamonds {
		f = proto.CloneOf(f)
		f.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}}
		constant = append(constant, f)
	}
	for what, test := range map[string]struct {
		flags []*flagv1.Flag
		want  string
	}{
		"diamonds": {diamonds, "its targeting would take more than 1 MiB, with that of its prerequisites and segments"},
		"constant": {constant, "its targeting would take more than 1 MiB, with that of its prerequisites and segments"},
		"chain":    {chain, "its prerequisites have prerequisites, more than 16 deep"},
		"cycle":    {[]*flagv1.Flag{flagWith("a", "b"), flagWith("b", "c"), flagWith("c", "b")}, `its prerequisites form a cycle through "b"`},
	} {
		data, omitted := flagd.Export(test.flags, nil, nil)
		if len(omitted) == 0 || omitted[len(omitted)-1].Reason != test.want && omitted[0].Reason != test.want {
			t.Errorf("%s: omitted %v", what, omitted)
		}
		if len(data) > 20<<20 {
			t.Errorf("%s: %d bytes", what, len(data))
		}
		if what == "diamonds" { // some are too large to import
			continue
		}
		if d, err := manifest.Parse("exported.json", data); err != nil || len(d.Flags)+len(omitted) != len(test.flags) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func metadata(t *testing.T, values map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(values)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parse(t testing.TB, path string) *manifest.Document {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := manifest.Parse(path, data)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (write it again with -update); it is now\n%s", path, got)
	}
}
