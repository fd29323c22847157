package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// The key is where the split looks for it, whatever else the subject has.
func TestPreviewSubject(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, attribute string
		attributes      map[string]any
	}{
		{"targeting key", "", nil},
		{"targeting key beside attributes", "", map[string]any{"plan": "gold"}},
		{"attribute", "jobId", map[string]any{"plan": "gold"}},
		{"member", "account.id", map[string]any{"plan": "gold"}},
		{"member of what is there", "account.id", map[string]any{"account": map[string]any{"plan": "gold"}}},
		{"member of another type", "account.id", map[string]any{"account": "gold"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &flagv1.Flag{
				Key: "a", Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true,
				Variants: []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)}},
				DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
					BucketBy: test.attribute, Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: 1}, {Variant: "off", Weight: 1}},
				}}},
			}
			var none *eval.Environment
			compiled, err := eval.Compile(f, 1)
			if err != nil {
				t.Fatal(err)
			}
			environment := none.With(eval.Changes{Flags: []*eval.Flag{compiled}})
			p := &preview{key: "a", before: environment, after: environment, sample: 1000, keyAttribute: test.attribute, attributes: test.attributes}
			if err := p.run(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			on, off := p.counts[stays("on")], p.counts[stays("off")]
			if p.moved != 0 || on+off != 1000 || on < 400 || off < 400 {
				t.Errorf("%d on, %d off, %d moved: %s", on, off, p.moved, p.problem)
			}
		})
	}
}

func stays(variant string) move { return move{answered{variant: variant}, answered{variant: variant}} }

func TestPreviewKeys(t *testing.T) {
	t.Parallel()
	keys := func(ctx context.Context, input string) (string, error) {
		var got []string
		p := &preview{file: "-"}
		err := p.eachKey(ctx, strings.NewReader(input), func(key string) { got = append(got, key) })
		return strings.Join(got, "|"), err
	}
	for _, test := range []struct{ input, want string }{
		{"", ""},
		{"\n\n", ""},
		{"a", "a"},
		{"a\nb\n", "a|b"},
		{"a\r\n\r\nb", "a|b"},
		{" a \n\tb", " a |\tb"},
	} {
		if got, err := keys(t.Context(), test.input); err != nil || got != test.want {
			t.Errorf("%q: got %q, %v; want %q", test.input, got, err, test.want)
		}
	}
	if _, err := keys(t.Context(), "a\n"+strings.Repeat("k", longestTargetingKey)); err == nil || err.Error() != "<stdin>, line 2: bufio.Scanner: token too long" {
		t.Errorf("a line without an end: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, p := range []*preview{{file: "-"}, {sample: 5}} {
		if err := p.eachKey(ended, strings.NewReader("a\n"), func(string) { t.Error("visited") }); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted: %v", err)
		}
	}
}
