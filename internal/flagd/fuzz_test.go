package flagd_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	"github.com/tidegate/tidegate/examples"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/flagd"
	"github.com/tidegate/tidegate/internal/manifest"
)

// No file makes the reader panic; what it accepts compiles, and exported and read again
// it serves what it served.
func FuzzFlagdJSON(f *testing.F) {
	for _, pattern := range []string{"testdata/*.json", "../manifest/testdata/flagd/*/*.json"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("%s: %v, %v", pattern, paths, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add(examples.Flags)
	contexts := []*eval.Context{
		{}, {TargetingKey: "user-1", Region: "eu", Now: 1772366400, Attributes: eval.Map{
			"email": "a@example.com", "version": "1.3.0", "customer": false, "x": 1, "color": "yellow",
			"plan": []any{"gold", 5.0, nil, map[string]any{"a": "b"}}, "jobId": 7.0, "country": "Canada",
		}},
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := manifest.Parse("f.json", data)
		if err != nil {
			var errs manifest.Errors
			if !errors.As(err, &errs) || len(errs) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		before := environment(t, d.Flags, d.Segments)
		exported, omitted := flagd.Export(d.Flags, d.Segments, nil)
		again, err := manifest.Parse("exported.json", exported)
		if err != nil {
			t.Fatalf("%v\n%s", err, exported)
		}
		if len(again.Flags)+len(omitted) != len(d.Flags) {
			t.Fatalf("of %d flags, %d were omitted and %d exported", len(d.Flags), len(omitted), len(again.Flags))
		}
		after := environment(t, again.Flags, again.Segments)
		for _, f := range again.Flags {
			for _, ctx := range contexts {
				if was, is := before.Evaluate(f.GetKey(), ctx), after.Evaluate(f.GetKey(), ctx); nameOf(was) != nameOf(is) {
					t.Errorf("%s serves %q to %+v, and exported %q\n%s", f.GetKey(), nameOf(was), ctx, nameOf(is), exported)
				}
			}
		}
	})
}

// Whatever messages arrive, exporting them gives JSON.
func FuzzExport(f *testing.F) {
	for _, name := range []string{"clauses", "decisions"} {
		d := parse(f, "testdata/"+name+".yaml")
		for i, flag := range d.Flags {
			f.Add(encode(f, flag), encode(f, d.Flags[0]), encode(f, segmentOf(d, i)))
		}
	}
	f.Fuzz(func(t *testing.T, first, second, third []byte) {
		var a, b flagv1.Flag
		var s flagv1.Segment
		if proto.Unmarshal(first, &a) != nil || proto.Unmarshal(second, &b) != nil || proto.Unmarshal(third, &s) != nil {
			return
		}
		data, _ := flagd.Export([]*flagv1.Flag{&a, &b, nil}, []*flagv1.Segment{&s, nil}, nil)
		if !json.Valid(data) {
			t.Errorf("%s", data)
		}
	})
}

func segmentOf(d *manifest.Document, i int) *flagv1.Segment {
	if len(d.Segments) == 0 {
		return nil
	}
	return d.Segments[i%len(d.Segments)]
}

func encode(f *testing.F, m proto.Message) []byte {
	f.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	return data
}
