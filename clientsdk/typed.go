package clientsdk

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// source answers one flag for callers that can use one type. It is the seam between
// the typed calls, which all clients share, and the modes.
type source interface {
	// value returns the value to serve, or nil where the default stands. The value is
	// shared and must not be modified.
	value(ctx context.Context, key string, ec Context, want flagv1.ValueType) *eval.VariantValue
	// explain is value, and how it came about.
	explain(ctx context.Context, key string, ec Context, want flagv1.ValueType) (*eval.VariantValue, Resolution)
}

// Observer is called after each evaluation, in the caller's goroutine: keep it short.
type Observer func(ctx context.Context, ec Context, r Resolution)

// then returns both, one after the other; either may be nil.
func (o Observer) then(next Observer) Observer {
	switch {
	case o == nil:
		return next
	case next == nil:
		return o
	}
	return func(ctx context.Context, ec Context, r Resolution) {
		o(ctx, ec, r)
		next(ctx, ec, r)
	}
}

// typed makes the typed calls of a Client out of a source.
type typed struct {
	source
	// observe may be nil; then plain calls skip the resolution.
	observe Observer
}

func (t *typed) IsEnabled(ctx context.Context, key string, ec Context) bool {
	return t.Boolean(ctx, key, ec, false)
}

func (t *typed) Boolean(ctx context.Context, key string, ec Context, def bool) bool {
	if v := t.plain(ctx, key, ec, flagv1.ValueType_VALUE_TYPE_BOOLEAN); v != nil {
		return v.Bool
	}
	return def
}

func (t *typed) String(ctx context.Context, key string, ec Context, def string) string {
	if v := t.plain(ctx, key, ec, flagv1.ValueType_VALUE_TYPE_STRING); v != nil {
		return v.String
	}
	return def
}

func (t *typed) Int(ctx context.Context, key string, ec Context, def int64) int64 {
	if v := t.plain(ctx, key, ec, flagv1.ValueType_VALUE_TYPE_INTEGER); v != nil {
		return v.Int
	}
	return def
}

func (t *typed) Float(ctx context.Context, key string, ec Context, def float64) float64 {
	if v := t.plain(ctx, key, ec, flagv1.ValueType_VALUE_TYPE_DOUBLE); v != nil {
		return v.Double
	}
	return def
}

func (t *typed) Object(ctx context.Context, key string, ec Context, def map[string]any) map[string]any {
	if v := t.plain(ctx, key, ec, flagv1.ValueType_VALUE_TYPE_OBJECT); v != nil {
		return cloneObject(v.Object)
	}
	return def
}

func (t *typed) BooleanDetails(ctx context.Context, key string, ec Context, def bool) Details[bool] {
	v, r := t.detailed(ctx, key, ec, flagv1.ValueType_VALUE_TYPE_BOOLEAN)
	if v != nil {
		def = v.Bool
	}
	return Details[bool]{Value: def, Resolution: r}
}

func (t *typed) StringDetails(ctx context.Context, key string, ec Context, def string) Details[string] {
	v, r := t.detailed(ctx, key, ec, flagv1.ValueType_VALUE_TYPE_STRING)
	if v != nil {
		def = v.String
	}
	return Details[string]{Value: def, Resolution: r}
}

func (t *typed) IntDetails(ctx context.Context, key string, ec Context, def int64) Details[int64] {
	v, r := t.detailed(ctx, key, ec, flagv1.ValueType_VALUE_TYPE_INTEGER)
	if v != nil {
		def = v.Int
	}
	return Details[int64]{Value: def, Resolution: r}
}

func (t *typed) FloatDetails(ctx context.Context, key string, ec Context, def float64) Details[float64] {
	v, r := t.detailed(ctx, key, ec, flagv1.ValueType_VALUE_TYPE_DOUBLE)
	if v != nil {
		def = v.Double
	}
	return Details[float64]{Value: def, Resolution: r}
}

func (t *typed) ObjectDetails(ctx context.Context, key string, ec Context, def map[string]any) Details[map[string]any] {
	v, r := t.detailed(ctx, key, ec, flagv1.ValueType_VALUE_TYPE_OBJECT)
	if v != nil {
		def = cloneObject(v.Object)
	}
	return Details[map[string]any]{Value: def, Resolution: r}
}

func (t *typed) plain(ctx context.Context, key string, ec Context, want flagv1.ValueType) *eval.VariantValue {
	if t.observe == nil {
		return t.value(ctx, key, ec, want)
	}
	v, _ := t.detailed(ctx, key, ec, want)
	return v
}

// detailed is the one place that every observed evaluation passes.
func (t *typed) detailed(ctx context.Context, key string, ec Context, want flagv1.ValueType) (*eval.VariantValue, Resolution) {
	v, r := t.explain(ctx, key, ec, want)
	if t.observe != nil {
		t.observe(ctx, ec, r)
	}
	return v, r
}

// ObjectAs is [Client.ObjectDetails] with the object decoded into a T, by the rules of
// encoding/json. Where it does not fit, the default is served with PARSE_ERROR.
func ObjectAs[T any](ctx context.Context, c Client, key string, ec Context, def T) Details[T] {
	d := c.ObjectDetails(ctx, key, ec, nil)
	out := Details[T]{Value: def, Resolution: d.Resolution}
	if d.Value == nil {
		return out
	}
	var decoded T
	data, err := json.Marshal(d.Value)
	if err == nil {
		err = json.Unmarshal(data, &decoded)
	}
	if err != nil {
		out.Variant, out.Rule = "", ""
		out.Reason, out.ErrorCode = ReasonError, ErrorParse
		out.ErrorMessage = fmt.Sprintf("variant %q does not fit %T: %v", d.Variant, def, err)
		return out
	}
	out.Value = decoded
	return out
}

// cloneObject copies a JSON object deeply.
func cloneObject(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = cloneJSON(v)
	}
	return out
}

func cloneJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return cloneObject(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = cloneJSON(v[i])
		}
		return out
	}
	return v
}
