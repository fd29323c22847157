package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/examples"
)

func addSeeds(f *testing.F) {
	f.Helper()
	f.Add(examples.Flags)
	for _, pattern := range []string{"testdata/valid/*.yaml", "testdata/invalid/*.yaml", "testdata/flagd/*/*.json", "testdata/flagd/*/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
}

// FuzzParse: no input panics, and each error names a place in the file.
func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse("f", data)
		if err == nil {
			return
		}
		var errs Errors
		if !errors.As(err, &errs) || len(errs) == 0 || d != nil {
			t.Fatalf("got %v, %v", d, err)
		}
		// YAML ends lines at other characters too.
		last := 1
		for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
			last += strings.Count(string(data), end)
		}
		for i, e := range errs {
			if e.Position.File != "f" || e.Position.Line < 1 || e.Position.Column < 1 || e.Position.Line > last || e.Problem == "" {
				t.Errorf("%+v in a file of %d lines", e, last)
			}
			if i > 0 && e.Position.Line < errs[i-1].Position.Line {
				t.Errorf("out of order: %v after %v", e, errs[i-1])
			}
		}
	})
}

// FuzzRoundTrip: what Parse accepts, Marshal writes and Parse reads back.
func FuzzRoundTrip(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse("f", data)
		if err != nil {
			return
		}
		out, err := Marshal(d)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		again, err := Parse("canonical", out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		requireSame(t, d, again)
		twice, err := Marshal(again)
		if err != nil || string(twice) != string(out) {
			t.Errorf("the canonical form is not stable (%v):\n%s\n%s", err, out, twice)
		}
	})
}
