package manifest

import (
	"testing"

	"github.com/tidegate/tidegate/eval"
)

// What flagd's published behaviour says about definitions (flagd.md, section 4, and what
// section 3 says of evaluating them), each row by its name.
func TestFlagdDefinitionFacts(t *testing.T) {
	ctx := &eval.Context{TargetingKey: "jon@company.com", Attributes: eval.Map{"email": "a@faas.com", "yes": true, "n": 5.0}}
	const onOff = `"variants": {"on": true, "off": false}`
	for _, test := range []struct {
		row, definition string
		variant         string
		reason          eval.Reason
		code            eval.ErrorCode
	}{
		{row: "no targeting: defaultVariant, STATIC", definition: `{"flags": {"f": {"state": "ENABLED", ` + onOff + `, "defaultVariant": "on"}}}`, variant: "on", reason: eval.ReasonStatic},
		{row: "targeting {} is none", definition: `{"flags": {"f": {"state": "ENABLED", ` + onOff + `, "defaultVariant": "on", "targeting": {}}}}`, variant: "on", reason: eval.ReasonStatic},
		{row: "defaultVariant null is the code default", definition: `{"flags": {"f": {"state": "ENABLED", ` + onOff + `, "defaultVariant": null}}}`, reason: eval.ReasonDefault},
		{row: "defaultVariant absent is the code default", definition: `{"flags": {"f": {"state": "ENABLED", ` + onOff + `}}}`, reason: eval.ReasonDefault},
		{row: `defaultVariant "" is none`, definition: `{"flags": {"f": {"state": "ENABLED", ` + onOff + `, "defaultVariant": ""}}}`, reason: eval.ReasonDefault},
		{row: "DISABLED: no value", definition: `{"flags": {"f": {"state": "DISABLED", ` + onOff + `, "defaultVariant": "on"}}}`, reason: eval.ReasonDisabled},
		{row: "targeting null: defaultVariant, DEFAULT", definition: `{"flags": {"f": {"state": "ENABLED", ` + onOff + `, "defaultVariant": "off", "targeting": {"if": [false, "on"]}}}}`, variant: "off", reason: eval.ReasonDefault},
		{row: "targeting null without defaultVariant: code default, DEFAULT", definition: `{"flags": {"f": {"state": "ENABLED", ` + onOff + `, "targeting": {"if": [false, "on"]}}}}`, reason: eval.ReasonDefault},
		{row: "a variant's name: TARGETING_MATCH", definition: `{"flags": {"f": {"state": "ENABLED", ` + onOff + `, "defaultVariant": "off", "targeting": {"if": [{"var": "yes"}, "on"]}}}}`, variant: "on", reason: eval.ReasonTargetingMatch},
		{row: "not a variant's name: GENERAL", definition: `{"flags": {"f": {"state": "ENABLED", ` + onOff + `, "defaultVariant": "off", "targeting": {"if": [{"var": "yes"}, "up"]}}}}`, reason: eval.ReasonError, code: eval.General},
		{row: "JsonLogic failure: PARSE_ERROR", definition: `{"flags": {"f": {"state": "ENABLED", ` + onOff + `, "targeting": {"+": [{"var": "yes"}, 1]}}}}`, reason: eval.ReasonError, code: eval.ParseError},
		{row: "boolean shorthand", definition: `{"flags": {"f": {"state": "ENABLED", "variants": {"true": 1, "false": 0}, "targeting": {"==": [{"var": "yes"}, true]}}}}`, variant: "true", reason: eval.ReasonTargetingMatch},
		{row: "a number names a variant by its text", definition: `{"flags": {"f": {"state": "ENABLED", "variants": {"6": "six"}, "targeting": {"+": [{"var": "n"}, 1]}}}}`, variant: "6", reason: eval.ReasonTargetingMatch},
		{row: "flags as an array, each with its key", definition: `{"flags": [{"key": "f", "state": "ENABLED", ` + onOff + `, "defaultVariant": "on"}]}`, variant: "on", reason: eval.ReasonStatic},
		{row: "$ref is replaced by the evaluator", definition: `{"$evaluators": {"isFaas": {"in": ["@faas.com", {"var": ["email"]}]}},
			"flags": {"f": {"state": "ENABLED", ` + onOff + `, "targeting": {"if": [{"$ref": "isFaas"}, "on", "off"]}}}}`, variant: "on", reason: eval.ReasonTargetingMatch},
		{row: "fractional hit: TARGETING_MATCH, never SPLIT", definition: `{"flags": {"fractional-flag-shorthand": {"state": "ENABLED", "variants": {"heads": "h", "tails": "t"}, "targeting": {"fractional": [["heads"], ["tails", 1]]}}}}`, variant: "heads", reason: eval.ReasonTargetingMatch},
		{row: "fractional v3, by the metadata", definition: `{"metadata": {"bucketingVersion": 3}, "flags": {"fractional-flag-shorthand": {"state": "ENABLED", "variants": {"heads": "h", "tails": "t"}, "targeting": {"fractional": [["heads"], ["tails", 1]]}}}}`, variant: "tails", reason: eval.ReasonTargetingMatch},
	} {
		t.Run(test.row, func(t *testing.T) {
			d, err := Parse("flags.json", []byte(test.definition))
			if err != nil {
				t.Fatal(err)
			}
			f, err := eval.Compile(d.Flags[0], 1)
			if err != nil {
				t.Fatal(err)
			}
			var none *eval.Environment
			r := none.With(eval.Changes{Flags: []*eval.Flag{f}}).Evaluate(f.Key(), ctx)
			variant := ""
			if r.Variant != nil {
				variant = r.Variant.Name
			}
			if variant != test.variant || r.Reason != test.reason || r.ErrorCode != test.code {
				t.Errorf("%q %s %s, want %q %s %s", variant, r.Reason, r.ErrorCode, test.variant, test.reason, test.code)
			}
		})
	}
}

// Flag metadata overrides set metadata, flagSetId too (flagd.md, section 4).
func TestFlagdMetadataFacts(t *testing.T) {
	d, err := Parse("flags.json", []byte(`{"metadata": {"flagSetId": "set", "version": "v1"}, "flags": {
		"a": {"state": "ENABLED", "variants": {"on": true}},
		"b": {"state": "ENABLED", "variants": {"on": true}, "metadata": {"flagSetId": "other", "team": "web"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []map[string]any{
		{"flagSetId": "set", "version": "v1"}, {"flagSetId": "other", "version": "v1", "team": "web"},
	} {
		got := d.Flags[i].GetMetadata().AsMap()
		if len(got) != len(want) {
			t.Errorf("flag %d: %v", i, got)
		}
		for name, v := range want {
			if got[name] != v {
				t.Errorf("flag %d: %s is %v, want %v", i, name, got[name], v)
			}
		}
	}
}

// A definition may have no flags.
func TestFlagdEmptyDefinition(t *testing.T) {
	for _, text := range []string{`{"flags": {}}`, `{"flags": []}`, `{"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": {}}`} {
		if d, err := Parse("flags.json", []byte(text)); err != nil || len(d.Flags) != 0 {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
}
