package eval_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// TestWithoutRules: what is served stays, and nothing else of the definition: no name that only
// its author knows is anywhere in the result.
func TestWithoutRules(t *testing.T) {
	const hidden = "hush" // part of all names that are not to be told
	serve := func(variant string) *flagv1.Outcome {
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: variant}}
	}
	split := func(by string) *flagv1.Outcome {
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
			BucketBy: by, Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: 1}, {Variant: "hush-off", Weight: 1}},
		}}}
	}
	expression := func(v any) *structpb.Value {
		made, err := structpb.NewValue(v)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	base := func(change func(*flagv1.Flag)) *flagv1.Flag {
		f := &flagv1.Flag{
			Key: "f", Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, ClientVisible: true, DefaultOutcome: serve("on"), OffVariant: "on",
			Variants: []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "hush-off", Value: structpb.NewBoolValue(false)}},
			Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{"hush-team": structpb.NewStringValue("x")}},
		}
		change(f)
		return f
	}
	for name, tc := range map[string]struct {
		flag *flagv1.Flag
		want eval.ErrorCode
	}{
		"a rule": {flag: base(func(f *flagv1.Flag) { f.Rules = []*flagv1.Rule{{Id: "hush-rule", Outcome: serve("on")}} })},
		"an unmet prerequisite": {flag: base(func(f *flagv1.Flag) {
			f.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "hush-flag", Variants: []string{"on"}}}
		})},
		"no targeting key": {flag: base(func(f *flagv1.Flag) { f.Rules = []*flagv1.Rule{{Id: "hush-rule", Outcome: split("")}} }), want: eval.TargetingKeyMissing},
		"no attribute":     {flag: base(func(f *flagv1.Flag) { f.DefaultOutcome = split("hushAttribute") }), want: eval.InvalidContext},
		"a reserved one": {flag: base(func(f *flagv1.Flag) {
			f.Rules = []*flagv1.Rule{{Id: "hush-rule", Outcome: split("$tidegate.region")}}
		}), want: eval.InvalidContext},
		"an expression that fails": {flag: base(func(f *flagv1.Flag) {
			f.Rules = []*flagv1.Rule{{Id: "hush-rule", Expression: expression(map[string]any{"+": []any{map[string]any{"var": "hush"}, "hush"}}), Outcome: serve("on")}}
		})},
		"wrong type": {flag: base(func(*flagv1.Flag) {}), want: eval.TypeMismatch},
		"no flag":    {want: eval.FlagNotFound},
	} {
		c := eval.Changes{}
		if tc.flag != nil {
			compiled, err := eval.Compile(tc.flag, 3)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !compiled.ClientVisible() {
				t.Errorf("%s: the flag is not visible to clients", name)
			}
			c.Flags = append(c.Flags, compiled)
		}
		full := (*eval.Environment)(nil).With(c).Evaluate("f", &eval.Context{})
		if tc.want == eval.TypeMismatch {
			full = full.As(flagv1.ValueType_VALUE_TYPE_STRING)
		}
		shown := full.WithoutRules()
		if full.ErrorCode != tc.want && tc.want != "" {
			t.Errorf("%s: the test's own evaluation came to %s: %s", name, full.ErrorCode, full.ErrorMessage())
		}
		if shown.Flag != full.Flag || shown.Variant != full.Variant || shown.Reason != full.Reason || shown.ErrorCode != full.ErrorCode {
			t.Errorf("%s: %+v of %+v", name, shown, full)
		}
		said := shown.Rule + shown.UnmetPrerequisite() + shown.ErrorMessage()
		if strings.Contains(said, hidden) || strings.Contains(said, "region") || shown.Metadata() != nil || full.Flag != nil && full.Metadata() == nil {
			t.Errorf("%s: told %q, %v", name, said, shown.Metadata())
		}
		if (shown.ErrorCode == "") != (shown.ErrorMessage() == "") {
			t.Errorf("%s: %s: %q", name, shown.ErrorCode, shown.ErrorMessage())
		}
		wantOutcome, wantHash := full.Assignment()
		if outcome, hash := shown.Assignment(); outcome != wantOutcome || hash != wantHash {
			t.Errorf("%s: counted as another", name)
		}
	}
	if found, made := (*eval.Environment)(nil).Evaluate("f", nil), eval.NotFound("f"); found.ErrorMessage() != made.ErrorMessage() || found.ErrorCode != made.ErrorCode || found.Reason != made.Reason {
		t.Errorf("%+v, %+v", found, made)
	}
}
