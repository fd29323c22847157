package eval_test

import (
	"strings"
	"testing"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

const (
	boolean = flagv1.ValueType_VALUE_TYPE_BOOLEAN
	text    = flagv1.ValueType_VALUE_TYPE_STRING
	integer = flagv1.ValueType_VALUE_TYPE_INTEGER
	double  = flagv1.ValueType_VALUE_TYPE_DOUBLE
	object  = flagv1.ValueType_VALUE_TYPE_OBJECT
	anyType = flagv1.ValueType_VALUE_TYPE_UNSPECIFIED
)

// valueFlag serves one value.
func valueFlag(t flagv1.ValueType, v any) *flagv1.Flag {
	return &flagv1.Flag{
		Key: "flag", Type: t, Enabled: true,
		Variants: []*flagv1.Variant{variant("only", v)}, DefaultOutcome: serve("only"),
	}
}

func TestResultAs(t *testing.T) {
	for _, c := range []struct {
		is    flagv1.ValueType
		value any
		want  flagv1.ValueType
		got   any // nil: TYPE_MISMATCH
	}{
		{boolean, true, boolean, true},
		{boolean, true, anyType, true},
		{boolean, true, text, nil},
		{boolean, true, integer, nil},
		{text, "a", text, "a"},
		{text, "1", integer, nil},
		{text, "1", flagv1.ValueType(99), nil},
		{integer, 3, integer, int64(3)},
		{integer, 3, double, 3.0},
		{integer, 1<<53 - 1, double, float64(1<<53 - 1)},
		{integer, 3, anyType, int64(3)},
		{integer, 3, boolean, nil},
		{double, 3.0, integer, int64(3)},
		{double, 3.5, double, 3.5},
		{double, 3.5, integer, nil},
		{double, 1e300, integer, nil},
		{double, 3.5, object, nil},
		{object, map[string]any{"a": 1.0}, double, nil},
	} {
		r := environment(t, valueFlag(c.is, c.value)).Evaluate("flag", nil).As(c.want)
		if c.got == nil {
			if r.ErrorCode != eval.TypeMismatch || r.Reason != eval.ReasonError || r.Variant != nil || r.ErrorMessage() == "" || r.Flag == nil {
				t.Errorf("%v as %s: %+v, want TYPE_MISMATCH", c.value, c.want, r)
			}
			continue
		}
		if r.Variant == nil || r.Variant.Value.Any() != c.got || r.Reason != eval.ReasonStatic || r.Variant.Name != "only" {
			t.Errorf("%v as %s: %+v", c.value, c.want, r)
			continue
		}
		if c.want != anyType && r.Variant.Value.Type != c.want {
			t.Errorf("%v as %s has type %s", c.value, c.want, r.Variant.Value.Type)
		}
		if back := r.As(c.is); back.Variant.Value.Type != c.is {
			t.Errorf("%v as %s does not convert back", c.value, c.want)
		}
	}
}

func TestResultAsWithoutValue(t *testing.T) {
	f := valueFlag(double, 1.5)
	f.Enabled = false
	disabled := environment(t, f).Evaluate("flag", nil)
	if r := disabled.As(integer); r != disabled {
		t.Errorf("numbers differ where there is none: %+v", r)
	}
	if r := disabled.As(text); r.ErrorCode != eval.TypeMismatch {
		t.Errorf("the wrong type of a disabled flag goes unnoticed: %+v", r)
	}
	unknown := environment(t).Evaluate("flag", nil)
	if r := unknown.As(text); r != unknown {
		t.Errorf("an error was replaced by %+v", r)
	}
}

func TestObjectValues(t *testing.T) {
	r := environment(t, valueFlag(object, map[string]any{"a": []any{1.0, "x", nil}})).Evaluate("flag", nil)
	v := r.Variant.Value
	if l, ok := v.Object["a"].([]any); !ok || len(l) != 3 || l[1] != "x" {
		t.Errorf("object is %v", v.Object)
	}
	if v.Proto.GetFields()["a"].GetListValue().GetValues()[1].GetStringValue() != "x" {
		t.Errorf("proto is %v", v.Proto)
	}
}

// Every message names the flag and says what would be right.
func TestErrorMessages(t *testing.T) {
	byKey := boolFlag("by-key")
	byKey.DefaultOutcome = split("on", 1, "off", 1)
	byAttribute := boolFlag("by-attribute")
	byAttribute.Rules = []*flagv1.Rule{{Id: "half", Outcome: split("on", 1, "off", 1)}}
	byAttribute.Rules[0].Outcome.GetSplit().BucketBy = "account.id"
	half := valueFlag(double, 0.5)
	half.Key = "half-flag"
	env := environment(t, byKey, byAttribute, half, boolFlag("boolean"))
	withCode := func(code eval.ErrorCode) eval.Result {
		r := env.Evaluate("boolean", nil)
		r.Reason, r.ErrorCode = eval.ReasonError, code
		return r
	}
	for _, c := range []struct {
		result eval.Result
		code   eval.ErrorCode
		rule   string
		parts  []string
	}{
		{env.Evaluate("boolean", nil), "", "", nil},
		{env.Evaluate("missing", nil), eval.FlagNotFound, "", []string{`"missing"`, "check the key"}},
		{env.Evaluate(strings.Repeat("x\xff", 100), nil), eval.FlagNotFound, "", []string{`x\xff`, "..."}},
		{env.EvaluateFlag(nil, nil), eval.FlagNotFound, "", []string{`""`}},
		{env.Evaluate("by-key", nil), eval.TargetingKeyMissing, "", []string{`"by-key"`, "set a targeting key"}},
		{env.Evaluate("by-attribute", nil), eval.InvalidContext, "half", []string{`"by-attribute"`, `"half"`, `"account.id"`, "whole number"}},
		{env.Evaluate("boolean", nil).As(text), eval.TypeMismatch, "", []string{`"boolean"`, "BOOLEAN, not STRING", "ask for BOOLEAN"}},
		{env.Evaluate("boolean", nil).As(99), eval.TypeMismatch, "", []string{"99 is not a type"}},
		{env.Evaluate("half-flag", nil).As(integer), eval.TypeMismatch, "", []string{`"half-flag"`, `"only"`, "INTEGER", "ask for DOUBLE"}},
		{withCode(eval.ProviderNotReady), eval.ProviderNotReady, "", []string{"wait"}},
		{withCode(eval.ParseError), eval.ParseError, "", []string{`"boolean"`}},
		{withCode(eval.General), eval.General, "", []string{`"boolean"`}},
	} {
		message := c.result.ErrorMessage()
		if c.result.ErrorCode != c.code || c.result.Rule != c.rule || (c.code == "") != (message == "") {
			t.Errorf("%+v: code %q, rule %q, message %q", c.result, c.result.ErrorCode, c.result.Rule, message)
		}
		if (c.code != "") != (c.result.Reason == eval.ReasonError) {
			t.Errorf("code %q with reason %s", c.code, c.result.Reason)
		}
		for _, part := range c.parts {
			if !strings.Contains(message, part) {
				t.Errorf("message %q lacks %q", message, part)
			}
		}
	}
}
