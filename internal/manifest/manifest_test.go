package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/examples"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/bucketing"
)

var update = flag.Bool("update", false, "write golden files")

// Every file in testdata/invalid has its errors beside it.
func TestParseErrors(t *testing.T) {
	for _, path := range glob(t, "testdata/invalid/*.yaml") {
		name := filepath.Base(path)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			d, err := Parse(name, read(t, path))
			var errs Errors
			if !errors.As(err, &errs) || len(errs) == 0 || d != nil {
				t.Fatalf("got %v, %v; want Errors", d, err)
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".txt", []byte(errs.Error()+"\n"))
		})
	}
}

// Every file in testdata/valid has its meaning and its canonical form beside it.
func TestParse(t *testing.T) {
	for _, path := range glob(t, "testdata/valid/*.yaml") {
		name := filepath.Base(path)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			d, err := Parse(name, read(t, path))
			if err != nil {
				t.Fatal(err)
			}
			base := strings.TrimSuffix(path, ".yaml")
			golden(t, base+".json", meaning(t, d))
			out, err := Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, base+".canonical", out)
			again, err := Parse("canonical", out)
			if err != nil {
				t.Fatal(err)
			}
			requireSame(t, d, again)
		})
	}
}

func TestExamplesRoundTrip(t *testing.T) {
	d, err := Parse("examples/flags.yaml", examples.Flags)
	if err != nil {
		t.Fatal(err)
	}
	out, err := Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("canonical", out)
	if err != nil {
		t.Fatal(err)
	}
	requireSame(t, d, again)
	twice, err := Marshal(again)
	if err != nil || !bytes.Equal(out, twice) {
		t.Errorf("the canonical form is not stable (%v):\n%s\n%s", err, out, twice)
	}
}

// Bytes that an editor would spoil in a file of testdata.
func TestParseBytes(t *testing.T) {
	for _, test := range []struct{ name, content, want string }{
		{"empty", "", "f:1:1: there is nothing in the file: it must begin with 'apiVersion: tidegate/v1'"},
		{"comment only", "# nothing\n", "f:1:1: there is nothing in the file: it must begin with 'apiVersion: tidegate/v1'"},
		{"empty documents", "---\n---\n", "f:1:1: there is nothing in the file: it must begin with 'apiVersion: tidegate/v1'"},
		{"latin 1", "apiVersion: tidegate/v1\n# caf\xe9\n", "f:2:6: byte 0xe9 is not UTF-8: save the file as UTF-8"},
		{"UTF-16", "\xff\xfea\x00", "f:1:1: is UTF-16: save the file as UTF-8"},
		{"NUL", "a: \x00\n", "f:1:4: control character U+0000: remove it, or write it as an escape in double quotes"},
		{"DEL", "# é\x7f\n", "f:1:4: control character U+007F: remove it, or write it as an escape in double quotes"},
		{"tab", "apiVersion: tidegate/v1\nflags:\n\ta: 1\n", "f:3:2: a tab indents this line: indent with spaces"},
		{"deep", "apiVersion: " + strings.Repeat("[", 20000), "f:1:1: is nested too deeply"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("f", []byte(test.content))
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
	for name, content := range map[string]string{
		"byte order mark": "\ufeffapiVersion: tidegate/v1\n",
		"CRLF":            "apiVersion: tidegate/v1\r\nflags: {}\r\n",
		"JSON":            `{"apiVersion": "tidegate/v1", "segments": {"s": {"included": ["a"]}}}`,
	} {
		if _, err := Parse(name, []byte(content)); err != nil {
			t.Error(err)
		}
	}
}

func TestLocate(t *testing.T) {
	const file = `apiVersion: tidegate/v1
flags:
  a.b:
    type: boolean
    enabled: true
    variants:
      on: true
      off: false
    prerequisites: [{flag: base, variants: [on]}]
    rules:
      - id: one
        when:
          - {attribute: x, in: [1, 2]}
          - attribute: y
            endsWith: z
        serve: on
      - id: two
        serve: {split: [{variant: on, weight: 1}, {variant: off, weight: 2}], bucketBy: z}
segments:
  s:
    included:
      - ann
      - bob
    rules:
      - when: [{attribute: x, exists: true}]
`
	d, err := Parse("f", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ field, want string }{
		{"flags[a.b]", "f:3:3: flags[a.b]: !"},
		{"flags[a.b].key", "f:3:3: flags[a.b]: !"},
		{"flags[a.b].type", "f:4:11: flags[a.b].type: !"},
		{"flags[a.b].variants[1].name", "f:8:7: flags[a.b].variants[off]: !"},
		{"flags[a.b].variants[1].value", "f:8:12: flags[a.b].variants[off]: !"},
		{"flags[a.b].off_variant", "f:3:3: flags[a.b].offVariant: !"},
		{"flags[a.b].prerequisites[0].flag_key", "f:9:28: flags[a.b].prerequisites[0].flag: !"},
		{"flags[a.b].prerequisites[0].variants[0]", "f:9:45: flags[a.b].prerequisites[0].variants[0]: !"},
		{"flags[a.b].rules[0].clauses[0].values[1]", "f:13:36: flags[a.b].rules[0].when[0].in[1]: !"},
		{"flags[a.b].rules[0].clauses[1].values[0]", "f:15:23: flags[a.b].rules[0].when[1].endsWith: !"},
		{"flags[a.b].rules[0].outcome.variant", "f:16:16: flags[a.b].rules[0].serve: !"},
		{"flags[a.b].rules[1].clauses", "f:17:9: flags[a.b].rules[1].when: !"},
		{"flags[a.b].rules[1].outcome.split.variants[1].weight", "f:18:74: flags[a.b].rules[1].serve.split[1].weight: !"},
		{"flags[a.b].rules[1].outcome.split.bucket_by", "f:18:89: flags[a.b].rules[1].serve.bucketBy: !"},
		{"flags[a.b].rules[9].id", "f:10:5: flags[a.b].rules[9]: !"},
		{"flags[a.b].default_outcome", "f:3:3: flags[a.b].default: !"},
		{"segments[s].included[1]", "f:23:9: segments[s].included[1]: !"},
		{"segments[s].rules[0].clauses[0].operator", "f:25:31: segments[s].rules[0].when[0].exists: !"},
	} {
		got, ok := d.Explain(test.field, "!")
		if !ok || got.Error() != test.want {
			t.Errorf("%s:\ngot  %v\nwant %s", test.field, got, test.want)
		}
		if at, ok := d.Locate(test.field); !ok || at != got.Position {
			t.Errorf("%s: located at %v, %t", test.field, at, ok)
		}
	}
	for _, field := range []string{"", "flags", "flags[a", "flags[other].id", "segments[a.b]", "reason", "flags[s]"} {
		if at, ok := d.Locate(field); ok {
			t.Errorf("%q is not in the file, located at %v", field, at)
		}
	}
}

func TestMerge(t *testing.T) {
	const a = "apiVersion: tidegate/v1\nsegments: {s: {included: [a]}, only-a: {included: [a]}}\n"
	const b = "apiVersion: tidegate/v1\nsegments:\n  only-b: {included: [a]}\n  s: {included: [b]}\n"
	parse := func(name, content string) *Document {
		d, err := Parse(name, []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	_, err := Merge(parse("a", a), parse("b", b))
	want := "b:4:3: segments[s]: is already defined at a:2:12: keep one of the two"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	merged, err := Merge(parse("a", a), parse("c", strings.ReplaceAll(b, "  s:", "  t:")))
	if err != nil || len(merged.Segments) != 4 {
		t.Fatalf("got %v, %v", merged, err)
	}
	if at, ok := merged.Locate("segments[t].included[0]"); !ok || at != (Position{"c", 4, 18}) {
		t.Errorf("located at %v, %t", at, ok)
	}
}

func meaning(t *testing.T, d *Document) []byte {
	t.Helper()
	var b bytes.Buffer
	add := func(m proto.Message) {
		data, err := protojson.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Indent(&b, data, "", "  "); err != nil {
			t.Fatal(err)
		}
		b.WriteByte('\n')
	}
	for _, f := range d.Flags {
		add(f)
	}
	for _, s := range d.Segments {
		add(s)
	}
	return b.Bytes()
}

// failer is a test, or a check of a property.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// requireSame compares documents, but for bucketing versions that are not spelled out.
func requireSame(t failer, want, got *Document) {
	t.Helper()
	byKey := func(d *Document) map[string]proto.Message {
		m := map[string]proto.Message{}
		for _, f := range d.Flags {
			m["f"+f.GetKey()] = bucketing.Pin(f)
		}
		for _, s := range d.Segments {
			m["s"+s.GetKey()] = s
		}
		return m
	}
	a, b := byKey(want), byKey(got)
	if len(a) != len(b) {
		t.Fatalf("got %d resources, want %d", len(b), len(a))
	}
	for key, m := range a {
		if !proto.Equal(m, b[key]) {
			t.Fatalf("%s:\ngot  %v\nwant %v", key[1:], b[key], m)
		}
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := read(t, path); !bytes.Equal(got, want) {
		t.Errorf("%s differs (write it again with -update):\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v, %v", pattern, paths, err)
	}
	return paths
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// newest is what a newer version might send: a field that this one does not know.
func newest(t *testing.T) *flagv1.Flag {
	t.Helper()
	f := &flagv1.Flag{}
	unknown := []byte{0xfa, 0x3f, 0x01, 'x'} // field 1023
	if err := proto.Unmarshal(unknown, f); err != nil {
		t.Fatal(err)
	}
	f.Key, f.Type = "a", flagv1.ValueType_VALUE_TYPE_BOOLEAN
	return f
}
