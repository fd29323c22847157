package flagd_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/flagd"
	"github.com/tidegate/tidegate/internal/manifest"
)

// A flag that is exported and imported again serves every context what it served.
func TestExportEvaluatesAlike(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		before := environment(t, w.flags, w.segments)
		data, omitted := flagd.Export(w.flags, w.segments, nil)
		if len(omitted) > 0 {
			t.Fatalf("omitted %v", omitted)
		}
		d, err := manifest.Parse("exported.json", data)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		after := environment(t, d.Flags, d.Segments)
		for range 8 {
			ctx := drawContext(t)
			for _, f := range w.flags {
				was, is := before.Evaluate(f.GetKey(), ctx), after.Evaluate(f.GetKey(), ctx)
				if nameOf(was) != nameOf(is) {
					t.Fatalf("%s serves %q to %+v, and exported %q (%s %s)\n%v\n%s",
						f.GetKey(), nameOf(was), ctx, nameOf(is), is.Reason, is.ErrorMessage(), f, data)
				}
			}
		}
	})
}

func nameOf(r eval.Result) string {
	if r.Variant == nil {
		return ""
	}
	return r.Variant.Name
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func environment(t failer, flags []*flagv1.Flag, segments []*flagv1.Segment) *eval.Environment {
	t.Helper()
	var c eval.Changes
	for _, f := range flags {
		compiled, err := eval.Compile(f, 1)
		if err != nil {
			t.Fatalf("%v\n%v", err, f)
		}
		c.Flags = append(c.Flags, compiled)
	}
	for _, s := range segments {
		compiled, err := eval.CompileSegment(s, 1)
		if err != nil {
			t.Fatalf("%v\n%v", err, s)
		}
		c.Segments = append(c.Segments, compiled)
	}
	var none *eval.Environment
	return none.With(c)
}
