//go:build conformance

package conformance

import (
	"reflect"
	"testing"
)

// want is what an evaluation has to give. With a code, the value is the caller's default.
type want struct {
	value   any
	variant string
	reason  string
	code    string
}

// check is one evaluation that every target is asked for.
type check struct {
	name     string
	flag     string
	kind     string
	fallback any
	context  map[string]any
	want     want
	// except is what a target gives instead, by its name ('java in-process'), its bucketing
	// ('version 3'), or its mode; the first of these that is there.
	except map[string]want
}

func (c check) wanted(to target) want {
	for _, key := range []string{to.String(), map[int]string{1: "version 1", 3: "version 3"}[to.bucketing], to.mode} {
		if w, ok := c.except[key]; ok {
			return w
		}
	}
	return c.want
}

// user is a context of a targeting key and attributes, in pairs.
func user(key string, attributes ...any) map[string]any {
	context := map[string]any{}
	if key != "" {
		context["targetingKey"] = key
	}
	for i := 0; i < len(attributes); i += 2 {
		context[attributes[i].(string)] = attributes[i+1]
	}
	return context
}

func match(value any, variant string) want { return want{value, variant, "TARGETING_MATCH", ""} }
func fixed(value any, variant string) want { return want{value, variant, "STATIC", ""} }
func other(value any, variant string) want { return want{value, variant, "DEFAULT", ""} }
func failed(value any, code string) want   { return want{value, "", "ERROR", code} }

var model = map[string]any{
	"model": "atlas-3", "limits": map[string]any{"tokens": 4096.0, "rate": 0.5}, "tags": []any{"a", "b"}, "beta": false,
}

// TestAnswers asks every provider for values, variants, reasons and error codes.
func TestAnswers(t *testing.T) {
	b := newBed(t)
	b.load(t)
	for _, to := range targets(b) {
		t.Run(to.String(), func(t *testing.T) {
			t.Parallel() // Java's provider waits and tries again on every error
			p := start(t, to, request{BackoffMS: 1000})
			for _, c := range checks {
				t.Run(c.name, func(t *testing.T) {
					a := p.evaluate(t, c.flag, c.kind, c.fallback, c.context)
					got := want{a.Value, a.Variant, a.Reason, a.ErrorCode}
					if w := c.wanted(to); !reflect.DeepEqual(got, w) {
						t.Errorf("%s for %v\n got %+v %s\nwant %+v", c.flag, c.context, got, a.ErrorMessage, w)
					}
				})
			}
			t.Run("metadata", func(t *testing.T) {
				a := p.evaluate(t, "boolean", "boolean", false, nil)
				w := map[string]any{"team": "web", "priority": 3.0, "public": true, "flagSetId": to.environment()}
				if to.String() == "python rpc" {
					w = map[string]any{} // it drops them
				}
				if !reflect.DeepEqual(a.Metadata, w) {
					t.Errorf("got %v, want %v", a.Metadata, w)
				}
			})
		})
	}
}
