package clientsdk

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// Context is OpenFeature's evaluation context: who or what asks, and what is known of
// them. It is immutable and small; build it once per request and use it for every
// flag. The zero Context is empty and usable.
//
// Attribute values are strings, booleans, numbers, time.Time, and slices and
// string-keyed maps of them; named types count as what they are made of, pointers as
// what they point to, and encoding.TextMarshaler as its text. Both modes see the same:
// times become RFC 3339 strings, integers beyond ±(2^53-1) become decimal strings
// (JSON cannot carry them), and bytes that are not UTF-8 become U+FFFD. Values of other
// types (structs, functions, NaN) are left out, as if absent; [Context.Err] tells.
type Context struct{ data *contextData }

type contextData struct {
	eval eval.Context
	err  error
	// wire is made when first needed.
	wire atomic.Pointer[evaluationv1.EvaluationContext]
}

// targetingKeyName is reserved: rules read the targeting key by this name.
const targetingKeyName = "targetingKey"

// maxExactInteger is the largest integer that every JSON reader keeps.
const maxExactInteger = 1<<53 - 1

// maxDepth bounds attributes that contain themselves.
const maxDepth = 16

// noContext stands for the zero Context; never written.
var noContext eval.Context

// User returns a context with a targeting key and no attributes. The key identifies
// whoever asks, be it a user, a device or a job; splits hash it.
func User(targetingKey string) Context {
	return Context{&contextData{eval: eval.Context{TargetingKey: validText(targetingKey)}}}
}

// NewContext returns a context with a targeting key (may be empty) and a copy of the
// attributes.
func NewContext(targetingKey string, attributes map[string]any) Context {
	d := &contextData{eval: eval.Context{TargetingKey: validText(targetingKey)}}
	if len(attributes) > 0 {
		m := make(eval.Map, len(attributes))
		for name, v := range attributes {
			d.put(m, name, v)
		}
		d.eval.Attributes = m
	}
	return Context{d}
}

// With returns the context with one more attribute, or with another value for it; nil
// removes it. The receiver stays as it is. To set many, NewContext is cheaper.
func (c Context) With(name string, value any) Context {
	d := &contextData{eval: eval.Context{TargetingKey: c.TargetingKey()}, err: c.Err()}
	m := make(eval.Map, len(c.attributes())+1)
	maps.Copy(m, c.attributes())
	d.put(m, name, value)
	d.eval.Attributes = m
	return Context{d}
}

// TargetingKey returns the targeting key.
func (c Context) TargetingKey() string {
	if c.data == nil {
		return ""
	}
	return c.data.eval.TargetingKey
}

// Attributes returns a copy of the attributes, as rules see them.
func (c Context) Attributes() map[string]any {
	return cloneObject(c.attributes())
}

// Err reports the attributes that could not be used, and why; nil if there are none.
// Evaluation ignores them: check it in tests.
func (c Context) Err() error {
	if c.data == nil {
		return nil
	}
	return c.data.err
}

func (c Context) attributes() eval.Map {
	if c.data == nil || c.data.eval.Attributes == nil {
		return nil
	}
	return c.data.eval.Attributes.(eval.Map)
}

// forEval returns what the engine reads.
func (c Context) forEval() *eval.Context {
	if c.data == nil {
		return &noContext
	}
	return &c.data.eval
}

// forWire returns what a relay reads; shared, not to be modified.
func (c Context) forWire() *evaluationv1.EvaluationContext {
	if c.data == nil {
		return nil
	}
	if w := c.data.wire.Load(); w != nil {
		return w
	}
	w := &evaluationv1.EvaluationContext{TargetingKey: c.data.eval.TargetingKey}
	if m := c.attributes(); len(m) > 0 {
		w.Attributes = wireStruct(m)
	}
	c.data.wire.Store(w)
	return w
}

// put normalises an attribute into m.
func (d *contextData) put(m eval.Map, name string, v any) {
	name = validText(name)
	if name == targetingKeyName {
		if v == d.eval.TargetingKey {
			return // as in OpenFeature's flattened contexts
		}
		d.err = errors.Join(d.err, fmt.Errorf("attribute %q is reserved: pass the targeting key to User or NewContext", name))
		return
	}
	n, err := normalise(v, maxDepth)
	what := "left out"
	if n == nil {
		delete(m, name)
	} else {
		m[name] = n
		what = "left out in part"
	}
	if err != nil {
		d.err = errors.Join(d.err, fmt.Errorf("attribute %q is %s: %w", name, what, err))
	}
}

// normalise returns v as nil, bool, string, float64, int64, []any or map[string]any,
// sharing nothing with v.
func normalise(v any, depth int) (any, error) {
	if depth == 0 {
		return nil, fmt.Errorf("more than %d levels deep", maxDepth)
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case bool:
		return v, nil
	case string:
		return validText(v), nil
	case int:
		return normaliseInt(int64(v)), nil
	case int64:
		return normaliseInt(v), nil
	case float64:
		return normaliseFloat(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), nil
	}
	return normaliseReflect(reflect.ValueOf(v), depth)
}

func normaliseReflect(v reflect.Value, depth int) (any, error) {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, nil
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err != nil {
			return nil, err
		}
		return validText(string(text)), nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		return normalise(v.Elem().Interface(), depth-1)
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.String:
		return validText(v.String()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return normaliseInt(v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if u := v.Uint(); u > maxExactInteger {
			return strconv.FormatUint(u, 10), nil
		}
		return int64(v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return normaliseFloat(v.Float())
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return nil, fmt.Errorf("a %s cannot be an attribute: make it a string", v.Type())
		}
		return normaliseList(v, depth)
	case reflect.Map:
		return normaliseMap(v, depth)
	default:
		return nil, fmt.Errorf("a %s cannot be an attribute: use a string, boolean, number, time, slice or map", v.Type())
	}
}

func normaliseInt(i int64) any {
	if i > maxExactInteger || i < -maxExactInteger {
		return strconv.FormatInt(i, 10)
	}
	return i
}

func normaliseFloat(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("%v is not a finite number", f)
	}
	return f, nil
}

func normaliseList(v reflect.Value, depth int) (any, error) {
	out := make([]any, 0, v.Len())
	var errs error
	for i := range v.Len() {
		n, err := normalise(v.Index(i).Interface(), depth-1)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("element %d: %w", i, err))
		}
		if n != nil || err == nil {
			out = append(out, n)
		}
	}
	return out, errs
}

func normaliseMap(v reflect.Value, depth int) (any, error) {
	if v.Type().Key().Kind() != reflect.String {
		return nil, fmt.Errorf("a %s cannot be an attribute: the keys of a map must be strings", v.Type())
	}
	out := make(map[string]any, v.Len())
	var errs error
	for iter := v.MapRange(); iter.Next(); {
		name := validText(iter.Key().String())
		n, err := normalise(iter.Value().Interface(), depth-1)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("%q: %w", name, err))
		}
		if n != nil || err == nil {
			out[name] = n
		}
	}
	return out, errs
}

func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func wireStruct(m map[string]any) *structpb.Struct {
	fields := make(map[string]*structpb.Value, len(m))
	for name, v := range m {
		fields[name] = wireValue(v)
	}
	return &structpb.Struct{Fields: fields}
}

// wireValue converts what normalise returns.
func wireValue(v any) *structpb.Value {
	switch v := v.(type) {
	case bool:
		return structpb.NewBoolValue(v)
	case string:
		return structpb.NewStringValue(v)
	case int64:
		return structpb.NewNumberValue(float64(v))
	case float64:
		return structpb.NewNumberValue(v)
	case map[string]any:
		return structpb.NewStructValue(wireStruct(v))
	case []any:
		list := make([]*structpb.Value, len(v))
		for i := range v {
			list[i] = wireValue(v[i])
		}
		return structpb.NewListValue(&structpb.ListValue{Values: list})
	}
	return structpb.NewNullValue()
}
