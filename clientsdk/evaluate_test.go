package clientsdk_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/tidegate/tidegate/clientsdk"
)

// testTypedCalls holds for every client that serves typedFlags.
func testTypedCalls(t *testing.T, c clientsdk.Client) {
	t.Helper()
	ctx := context.Background()
	user := clientsdk.User("user-1")
	object := map[string]any{"model": "m-1", "limits": map[string]any{"tokens": 100.0}, "tags": []any{"a", "b"}}

	if !c.Boolean(ctx, "bool", user, false) || !c.IsEnabled(ctx, "bool", user) {
		t.Error("bool is not true")
	}
	if got := c.String(ctx, "string", user, "x"); got != "text" {
		t.Errorf("string is %q", got)
	}
	if got := c.Int(ctx, "int", user, 1); got != 42 {
		t.Errorf("int is %d", got)
	}
	if got := c.Int(ctx, "whole", user, 1); got != 2 {
		t.Errorf("whole as int is %d", got)
	}
	if got := c.Float(ctx, "float", user, 1); got != 0.5 {
		t.Errorf("float is %v", got)
	}
	if got := c.Float(ctx, "int", user, 1); got != 42 {
		t.Errorf("int as float is %v", got)
	}
	if got := c.Object(ctx, "object", user, nil); !reflect.DeepEqual(got, object) {
		t.Errorf("object is %v", got)
	}
	testDefaults(t, c)
	testResolutions(t, c)
}

func testDefaults(t *testing.T, c clientsdk.Client) {
	t.Helper()
	ctx := context.Background()
	user := clientsdk.User("user-1")
	if !c.Boolean(ctx, "none", user, true) || c.Boolean(ctx, "string", user, false) || c.IsEnabled(ctx, "", user) {
		t.Error("boolean default is not served")
	}
	if got := c.String(ctx, "bool", user, "x"); got != "x" {
		t.Errorf("string default: %q", got)
	}
	if got := c.Int(ctx, "float", user, 7); got != 7 {
		t.Errorf("int default: %d", got)
	}
	if got := c.Float(ctx, "string", user, 7); got != 7 {
		t.Errorf("float default: %v", got)
	}
	def := map[string]any{"a": 1}
	if got := c.Object(ctx, "bool", user, def); !reflect.DeepEqual(got, def) {
		t.Errorf("object default: %v", got)
	}
}

func testResolutions(t *testing.T, c clientsdk.Client) {
	t.Helper()
	ctx := context.Background()
	for name, tt := range map[string]struct {
		key     string
		ec      clientsdk.Context
		value   bool
		variant string
		reason  clientsdk.Reason
		rule    string
		code    clientsdk.ErrorCode
	}{
		"static":        {key: "bool", value: true, variant: "a", reason: clientsdk.ReasonStatic},
		"rule":          {key: "new-checkout", ec: clientsdk.User("u").With("country", "CA"), value: true, variant: "on", reason: clientsdk.ReasonTargetingMatch, rule: "canada"},
		"disabled":      {key: "disabled", value: true, reason: clientsdk.ReasonDisabled},
		"unknown":       {key: "none", value: true, reason: clientsdk.ReasonError, code: clientsdk.ErrorFlagNotFound},
		"empty key":     {key: "", value: true, reason: clientsdk.ReasonError, code: clientsdk.ErrorFlagNotFound},
		"not UTF-8":     {key: "a\xff", value: true, reason: clientsdk.ReasonError, code: clientsdk.ErrorFlagNotFound},
		"wrong type":    {key: "string", value: true, reason: clientsdk.ReasonError, code: clientsdk.ErrorTypeMismatch},
		"no target key": {key: "new-checkout", value: true, reason: clientsdk.ReasonError, code: clientsdk.ErrorTargetingKeyMissing},
	} {
		d := c.BooleanDetails(ctx, tt.key, tt.ec, true)
		if d.Value != tt.value || d.Variant != tt.variant || d.Reason != tt.reason || d.Rule != tt.rule || d.ErrorCode != tt.code || d.FlagKey != tt.key {
			t.Errorf("%s: got %+v, want %+v", name, d, tt)
		}
		var e *clientsdk.EvaluationError
		if errors.As(d.Err(), &e) != (tt.code != "") || (tt.code != "") != (d.ErrorMessage != "") {
			t.Errorf("%s: error %v, message %q", name, d.Err(), d.ErrorMessage)
		}
		if e != nil && (e.Code != tt.code || e.FlagKey != tt.key) {
			t.Errorf("%s: error %+v", name, e)
		}
	}
	d := c.BooleanDetails(ctx, "new-checkout", clientsdk.User("u").With("country", "CA"), false)
	if d.FlagRevision == 0 || d.EnvironmentRevision < d.FlagRevision {
		t.Errorf("revisions: flag %d, environment %d", d.FlagRevision, d.EnvironmentRevision)
	}
	if got, want := d.FlagMetadata(), map[string]any{"team": "payments"}; !reflect.DeepEqual(got, want) {
		t.Errorf("metadata %v, want %v", got, want)
	}
}

func TestOfflineTypedCalls(t *testing.T) {
	testTypedCalls(t, offline(t, typedFlags()...))
}

func TestDetailsOfEachType(t *testing.T) {
	c, ctx, user := offline(t, typedFlags()...), context.Background(), clientsdk.User("u")
	for key, r := range map[string]clientsdk.Resolution{
		"bool":   c.BooleanDetails(ctx, "bool", user, false).Resolution,
		"string": c.StringDetails(ctx, "string", user, "").Resolution,
		"int":    c.IntDetails(ctx, "int", user, 0).Resolution,
		"float":  c.FloatDetails(ctx, "float", user, 0).Resolution,
		"object": c.ObjectDetails(ctx, "object", user, nil).Resolution,
	} {
		if r.FlagKey != key || r.Variant != "a" || r.Reason != clientsdk.ReasonStatic || r.Err() != nil {
			t.Errorf("%s: %+v", key, r)
		}
	}
	if d := c.IntDetails(ctx, "int", user, 0); d.Value != 42 {
		t.Errorf("int %+v", d)
	}
	if d := c.FloatDetails(ctx, "float", user, 0); d.Value != 0.5 {
		t.Errorf("float %+v", d)
	}
	if d := c.StringDetails(ctx, "string", user, ""); d.Value != "text" {
		t.Errorf("string %+v", d)
	}
}

func TestObjectIsTheCallersOwn(t *testing.T) {
	c, ctx := offline(t, typedFlags()...), context.Background()
	got := c.Object(ctx, "object", clientsdk.Context{}, nil)
	got["model"] = "changed"
	got["limits"].(map[string]any)["tokens"] = 0
	got["tags"].([]any)[0] = "changed"
	again := c.ObjectDetails(ctx, "object", clientsdk.Context{}, nil).Value
	want := map[string]any{"model": "m-1", "limits": map[string]any{"tokens": 100.0}, "tags": []any{"a", "b"}}
	if !reflect.DeepEqual(again, want) {
		t.Errorf("a caller changed the flag: %v", again)
	}
}

func TestObjectAs(t *testing.T) {
	type config struct {
		Model  string
		Limits struct{ Tokens int }
	}
	c, ctx := offline(t, typedFlags()...), context.Background()
	d := clientsdk.ObjectAs(ctx, c, "object", clientsdk.Context{}, config{})
	if d.Value.Model != "m-1" || d.Value.Limits.Tokens != 100 || d.Variant != "a" {
		t.Errorf("got %+v", d)
	}
	def := config{Model: "default"}
	if d := clientsdk.ObjectAs(ctx, c, "none", clientsdk.Context{}, def); d.Value != def || d.ErrorCode != clientsdk.ErrorFlagNotFound {
		t.Errorf("unknown flag: %+v", d)
	}
	if d := clientsdk.ObjectAs(ctx, c, "object", clientsdk.Context{}, struct{ Model int }{7}); d.Value.Model != 7 || d.ErrorCode != clientsdk.ErrorParse || d.Err() == nil {
		t.Errorf("does not fit: %+v", d)
	}
}

func TestObserverSeesEveryEvaluation(t *testing.T) {
	var seen []clientsdk.Resolution
	c := clientsdk.NewOffline(clientsdk.WithObserver(func(_ context.Context, ec clientsdk.Context, r clientsdk.Resolution) {
		if ec.TargetingKey() != "u" {
			t.Errorf("context %+v", ec.Attributes())
		}
		seen = append(seen, r)
	}))
	if err := c.Apply(clientsdk.Edit{Flags: typedFlags()}); err != nil {
		t.Fatal(err)
	}
	ctx, user := context.Background(), clientsdk.User("u")
	c.IsEnabled(ctx, "bool", user)
	c.StringDetails(ctx, "string", user, "")
	c.Object(ctx, "none", user, nil)
	want := []clientsdk.Reason{clientsdk.ReasonStatic, clientsdk.ReasonStatic, clientsdk.ReasonError}
	if len(seen) != len(want) {
		t.Fatalf("saw %+v", seen)
	}
	for i := range want {
		if seen[i].Reason != want[i] {
			t.Errorf("evaluation %d: %+v", i, seen[i])
		}
	}
}
