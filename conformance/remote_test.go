//go:build conformance

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// remotes are the relay's protocols, asked without a provider between, for both
// environments.
func remotes(t *testing.T, b *bed, contexts []map[string]any) []participant {
	t.Helper()
	conn := dial(t, b.grpc)
	native := evaluationv1.NewEvaluationServiceClient(conn)
	v1, v2 := flagdv1.NewServiceClient(conn), flagdv2.NewServiceClient(conn)
	var all []participant
	for _, environment := range []string{version2, version3} {
		add := func(name string, answer func(t *testing.T, p pair, context map[string]any) (verdict, error)) {
			all = append(all, participant{name, environment, answer})
		}
		add("evaluation RPC", func(t *testing.T, p pair, context map[string]any) (verdict, error) {
			key, _ := context["targetingKey"].(string)
			attributes := maps.Clone(context)
			delete(attributes, "targetingKey")
			r, err := native.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{
				Environment: environment, FlagKey: p.flag.GetKey(),
				Context: &evaluationv1.EvaluationContext{TargetingKey: key, Attributes: value(attributes).GetStructValue()},
			})
			if err != nil || r.GetVariant() == "" {
				return verdict{}, err
			}
			return verdict{r.GetVariant(), nativeValue(r)}, nil
		})
		add("flagd v1", func(t *testing.T, p pair, context map[string]any) (verdict, error) {
			return resolveV1(outgoing(t, environment), v1, p.flag, value(context).GetStructValue())
		})
		add("flagd v2", func(t *testing.T, p pair, context map[string]any) (verdict, error) {
			return resolveV2(outgoing(t, environment), v2, p.flag, value(context).GetStructValue())
		})
		add("flagd v1 ResolveAll", perContext(contexts, func(t *testing.T, context map[string]any) (map[string]verdict, error) {
			r, err := v1.ResolveAll(outgoing(t, environment), &flagdv1.ResolveAllRequest{Context: value(context).GetStructValue()})
			verdicts := map[string]verdict{}
			for key, f := range r.GetFlags() {
				if f.GetVariant() != "" {
					verdicts[key] = verdict{f.GetVariant(), flagdValue(f)}
				}
			}
			return verdicts, err
		}))
		add("OFREP", func(t *testing.T, p pair, context map[string]any) (verdict, error) {
			var r ofrepAnswer
			err := post(t, b, environment, "/ofrep/v1/evaluate/flags/"+p.flag.GetKey(), context, &r)
			return r.verdict(), err
		})
		add("OFREP bulk", perContext(contexts, func(t *testing.T, context map[string]any) (map[string]verdict, error) {
			var r struct {
				Flags []ofrepAnswer `json:"flags"`
			}
			err := post(t, b, environment, "/ofrep/v1/evaluate/flags", context, &r)
			verdicts := map[string]verdict{}
			for _, f := range r.Flags {
				verdicts[f.Key] = f.verdict()
			}
			return verdicts, err
		}))
	}
	return all
}

// perContext answers pairs from bulk evaluations, one a context.
func perContext(contexts []map[string]any, ask func(*testing.T, map[string]any) (map[string]verdict, error)) func(*testing.T, pair, map[string]any) (verdict, error) {
	type reply struct {
		once     sync.Once
		verdicts map[string]verdict
		err      error
	}
	replies := make([]reply, len(contexts))
	return func(t *testing.T, p pair, context map[string]any) (verdict, error) {
		r := &replies[p.context]
		r.once.Do(func() { r.verdicts, r.err = ask(t, context) })
		return r.verdicts[p.flag.GetKey()], r.err
	}
}

func nativeValue(r *evaluationv1.EvaluateResponse) any {
	switch v := r.GetValue().(type) {
	case *evaluationv1.EvaluateResponse_BoolValue:
		return v.BoolValue
	case *evaluationv1.EvaluateResponse_StringValue:
		return v.StringValue
	case *evaluationv1.EvaluateResponse_IntValue:
		return float64(v.IntValue)
	case *evaluationv1.EvaluateResponse_DoubleValue:
		return v.DoubleValue
	case *evaluationv1.EvaluateResponse_ObjectValue:
		return v.ObjectValue.AsMap()
	}
	return nil
}

func flagdValue(f *flagdv1.AnyFlag) any {
	switch v := f.GetValue().(type) {
	case *flagdv1.AnyFlag_BoolValue:
		return v.BoolValue
	case *flagdv1.AnyFlag_StringValue:
		return v.StringValue
	case *flagdv1.AnyFlag_DoubleValue:
		return v.DoubleValue
	case *flagdv1.AnyFlag_ObjectValue:
		return v.ObjectValue.AsMap()
	}
	return nil
}

// outgoing is a context that names the environment as flagd's clients do.
func outgoing(t *testing.T, environment string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "flagd-selector", "flagSetId="+environment)
}

// resolveV1 asks by the method of the flag's type. NOT_FOUND is how version 1 says "use
// your default"; FAILED_PRECONDITION how the relay says that a split lacks its key.
func resolveV1(ctx context.Context, c flagdv1.ServiceClient, f *flagv1.Flag, subject *structpb.Struct) (verdict, error) {
	key := f.GetKey()
	var variant string
	var v any
	var err error
	switch f.GetType() {
	case flagv1.ValueType_VALUE_TYPE_BOOLEAN:
		r, e := c.ResolveBoolean(ctx, &flagdv1.ResolveBooleanRequest{FlagKey: key, Context: subject})
		variant, v, err = r.GetVariant(), r.GetValue(), e
	case flagv1.ValueType_VALUE_TYPE_STRING:
		r, e := c.ResolveString(ctx, &flagdv1.ResolveStringRequest{FlagKey: key, Context: subject})
		variant, v, err = r.GetVariant(), r.GetValue(), e
	case flagv1.ValueType_VALUE_TYPE_INTEGER:
		r, e := c.ResolveInt(ctx, &flagdv1.ResolveIntRequest{FlagKey: key, Context: subject})
		variant, v, err = r.GetVariant(), float64(r.GetValue()), e
	case flagv1.ValueType_VALUE_TYPE_DOUBLE:
		r, e := c.ResolveFloat(ctx, &flagdv1.ResolveFloatRequest{FlagKey: key, Context: subject})
		variant, v, err = r.GetVariant(), r.GetValue(), e
	default:
		r, e := c.ResolveObject(ctx, &flagdv1.ResolveObjectRequest{FlagKey: key, Context: subject})
		variant, v, err = r.GetVariant(), r.GetValue().AsMap(), e
	}
	return resolved(variant, v, err)
}

func resolveV2(ctx context.Context, c flagdv2.ServiceClient, f *flagv1.Flag, subject *structpb.Struct) (verdict, error) {
	key := f.GetKey()
	var variant string
	var v any
	var err error
	switch f.GetType() {
	case flagv1.ValueType_VALUE_TYPE_BOOLEAN:
		r, e := c.ResolveBoolean(ctx, &flagdv2.ResolveBooleanRequest{FlagKey: key, Context: subject})
		variant, v, err = r.GetVariant(), r.GetValue(), e
	case flagv1.ValueType_VALUE_TYPE_STRING:
		r, e := c.ResolveString(ctx, &flagdv2.ResolveStringRequest{FlagKey: key, Context: subject})
		variant, v, err = r.GetVariant(), r.GetValue(), e
	case flagv1.ValueType_VALUE_TYPE_INTEGER:
		r, e := c.ResolveInt(ctx, &flagdv2.ResolveIntRequest{FlagKey: key, Context: subject})
		variant, v, err = r.GetVariant(), float64(r.GetValue()), e
	case flagv1.ValueType_VALUE_TYPE_DOUBLE:
		r, e := c.ResolveFloat(ctx, &flagdv2.ResolveFloatRequest{FlagKey: key, Context: subject})
		variant, v, err = r.GetVariant(), r.GetValue(), e
	default:
		r, e := c.ResolveObject(ctx, &flagdv2.ResolveObjectRequest{FlagKey: key, Context: subject})
		variant, v, err = r.GetVariant(), r.GetValue().AsMap(), e
	}
	return resolved(variant, v, err)
}

func resolved(variant string, v any, err error) (verdict, error) {
	if code := status.Code(err); code == codes.NotFound || code == codes.FailedPrecondition {
		return verdict{}, nil
	}
	if err != nil || variant == "" {
		return verdict{}, err
	}
	return verdict{variant, v}, nil
}

// ofrepAnswer is what OFREP says of one flag; what fails has no variant.
type ofrepAnswer struct {
	Key     string `json:"key"`
	Variant string `json:"variant"`
	Value   any    `json:"value"`
}

func (a ofrepAnswer) verdict() verdict { return verdict{a.Variant, a.Value} }

func post(t *testing.T, b *bed, environment, path string, context map[string]any, into any) error {
	body, err := json.Marshal(map[string]any{"context": context})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+loopback(b.http)+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Flagd-Selector", "flagSetId="+environment)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	// 400 is how OFREP says that a split lacks its key.
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusBadRequest {
		return fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return json.Unmarshal(answer, into)
}
