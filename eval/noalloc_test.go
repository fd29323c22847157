package eval_test

import (
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// No evaluation allocates, whatever it runs into.
func TestNoAlloc(t *testing.T) {
	for _, c := range benchCases(t) {
		t.Run(c.name, func(t *testing.T) {
			f := c.env.Flag(c.flag)
			noAlloc(t, "EvaluateFlag", func() { c.env.EvaluateFlag(f, c.ctx) })
			noAlloc(t, "Evaluate", func() { c.env.Evaluate(c.flag, c.ctx) })

			attributes := plain(map[string]any(c.ctx.Attributes.(eval.Map)))
			s, err := structpb.NewStruct(attributes.(map[string]any))
			if err != nil {
				t.Fatal(err)
			}
			noAlloc(t, "Evaluate with a Struct", func() {
				ctx := *c.ctx
				ctx.Attributes = eval.StructAttributes(s)
				if r := c.env.Evaluate(c.flag, &ctx); r.Reason != c.want {
					t.Errorf("reason %s, want %s", r.Reason, c.want)
				}
			})
		})
	}
}

func TestNoAllocForErrors(t *testing.T) {
	f := boolFlag("flag")
	f.DefaultOutcome = split("on", 1, "off", 1)
	env := environment(t, f)
	noAlloc(t, "unknown flag", func() { env.Evaluate("unknown", &eval.Context{}) })
	noAlloc(t, "no targeting key", func() { env.Evaluate("flag", nil) })
	noAlloc(t, "wrong type", func() {
		env.Evaluate("flag", &eval.Context{TargetingKey: "a"}).As(flagv1.ValueType_VALUE_TYPE_STRING)
	})
}

func noAlloc(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%s: %v allocations", what, n)
	}
}

// plain replaces what structpb does not take.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = plain(e)
		}
		return m
	case []string:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = e
		}
		return l
	}
	return v
}
