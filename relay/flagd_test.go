package relay

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// TestFlagdEvaluation is flagd's behaviour, row by row, over gRPC.
func TestFlagdEvaluation(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, flagdFlags(t)...)
	upstream, _ := p.serve()
	o := options(upstream, production)
	o.Region = "eu-west"
	r, _ := startReady(t, o, p.revision)
	conn := dial(t, r.GRPCAddr())
	v1, v2 := flagdv1.NewServiceClient(conn), flagdv2.NewServiceClient(conn)
	for _, c := range flagdCases() {
		t.Run(c.row, func(t *testing.T) {
			subject := structOf(t, c.context)
			requireFlagd(t, "v2", askV2(t.Context(), v2, c.as, c.key, subject), c.v2)
			want := c.v2
			if c.v1 != nil {
				want = *c.v1
			}
			requireFlagd(t, "v1", askV1(t.Context(), v1, c.as, c.key, subject), want)
		})
	}
}

func requireFlagd(t *testing.T, version string, got, want flagdAnswer) {
	t.Helper()
	// An error has no metadata on the wire.
	if want.code != codes.OK {
		want.hasVariant, want.metadata = false, nil
	}
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		t.Errorf("%s: got\n%#v, want\n%#v", version, got, want)
	}
}

// Failures of expressions have statuses of their own.
func TestFlagdFailures(t *testing.T) {
	t.Parallel()
	for code, want := range map[eval.ErrorCode]error{
		"": nil, eval.FlagNotFound: errFlagNotFound, eval.TypeMismatch: errTypeMismatch, eval.ParseError: errParse, eval.General: errGeneral,
		eval.ProviderNotReady: errGeneral,
	} {
		if got := failureOf(eval.Result{Reason: eval.ReasonError, ErrorCode: code}); !errors.Is(got, want) {
			t.Errorf("%q: %v, want %v", code, got, want)
		}
	}
	requireStatus(t, errParse, codes.DataLoss, "Error parsing input or configuration")
	requireStatus(t, errGeneral, codes.Unknown, "General error")
}

func TestInteger(t *testing.T) {
	t.Parallel()
	for f, want := range map[float64]int64{
		0: 0, 1.9: 1, -1.9: -1, 1 << 53: 1 << 53, 1e19: math.MaxInt64, -1e19: math.MinInt64,
		math.MaxInt64: math.MaxInt64, math.MinInt64: math.MinInt64,
	} {
		if got := integer(eval.VariantValue{Type: flagv1.ValueType_VALUE_TYPE_DOUBLE, Double: f}); got != want {
			t.Errorf("%v: %d, want %d", f, got, want)
		}
	}
}

// ResolveAll leaves out what version 1 cannot say, and errors.
func TestFlagdResolveAll(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, flagdFlags(t)...)
	s := &flagdServiceV1{evaluation: service(p)}
	got, err := s.ResolveAll(t.Context(), &flagdv1.ResolveAllRequest{Context: structOf(t, map[string]any{"country": "Canada"})})
	if err != nil {
		t.Fatal(err)
	}
	keys := slices.Sorted(maps.Keys(got.GetFlags()))
	want := []string{"described", "disabled", "disabled-with-off", "double", "huge", "int", "object", "other-set", "region", "shorthand", "static", "string", "targeted"}
	if !slices.Equal(keys, want) {
		t.Errorf("flags %v, want %v", keys, want)
	}
	if got.GetMetadata().AsMap()[flagSetID] != production {
		t.Errorf("metadata %v", got.GetMetadata())
	}
	set := structOf(t, map[string]any{flagSetID: production})
	for key, want := range map[string]*flagdv1.AnyFlag{
		"disabled": {Reason: "DISABLED", Metadata: set},
		"targeted": {Reason: "TARGETING_MATCH", Variant: "on", Value: &flagdv1.AnyFlag_BoolValue{BoolValue: true}, Metadata: set},
		"string":   {Reason: "STATIC", Variant: "only", Value: &flagdv1.AnyFlag_StringValue{StringValue: "hello"}, Metadata: set},
		"int":      {Reason: "STATIC", Variant: "only", Value: &flagdv1.AnyFlag_DoubleValue{DoubleValue: 42}, Metadata: set},
		"object":   {Reason: "STATIC", Variant: "only", Value: &flagdv1.AnyFlag_ObjectValue{ObjectValue: structOf(t, map[string]any{"model": "m-1"})}, Metadata: set},
	} {
		if !proto.Equal(got.GetFlags()[key], want) {
			t.Errorf("%s: got %v, want %v", key, got.GetFlags()[key], want)
		}
	}
}

// TestCalledEnvironment is how a call says which environment it is about.
func TestCalledEnvironment(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production, staging)
	p.put(staging, boolFlag("only-staging"))
	upstream, _ := p.serve()
	r, _ := startReady(t, options(upstream, production, staging), p.revision)
	c := flagdv2.NewServiceClient(dial(t, r.GRPCAddr()))
	for _, tc := range []struct {
		name    string
		headers []string
		want    codes.Code
		message string
	}{
		{"none: the default", nil, codes.NotFound, "Flag not found"},
		{"header", []string{environmentHeader, staging}, codes.OK, ""},
		{"flagSetId", []string{selectorHeader, "flagSetId=staging"}, codes.OK, ""},
		{"source", []string{selectorHeader, "source=staging"}, codes.OK, ""},
		{"bare", []string{selectorHeader, staging}, codes.OK, ""},
		{"header before selector", []string{selectorHeader, production, environmentHeader, staging}, codes.OK, ""},
		{"empty header: selector", []string{environmentHeader, "", selectorHeader, staging}, codes.OK, ""},
		{"empty selector: the default", []string{selectorHeader, ""}, codes.NotFound, "Flag not found"},
		{"unknown key", []string{selectorHeader, "region=staging"}, codes.InvalidArgument, `invalid selector: unknown key "region": want flagSetId=ENVIRONMENT`},
		{"no set", []string{selectorHeader, "flagSetId="}, codes.InvalidArgument, "invalid selector: flagSetId is empty"},
		{"two keys", []string{selectorHeader, "flagSetId=a,source=b"}, codes.InvalidArgument, "want one key and one value"},
		{"twice", []string{selectorHeader, staging, selectorHeader, production}, codes.InvalidArgument, "the header flagd-selector is there 2 times"},
		{"two environments", []string{environmentHeader, staging, environmentHeader, production}, codes.InvalidArgument, "the header tidegate-environment is there 2 times"},
		{"unknown environment", []string{selectorHeader, "flagSetId=dev"}, codes.NotFound, `environment "dev" is not followed here; followed: production, staging`},
		{"unknown environment in the header", []string{environmentHeader, "dev"}, codes.NotFound, `environment "dev" is not followed here; followed: production, staging`},
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), tc.headers...)
		_, err := c.ResolveBoolean(ctx, &flagdv2.ResolveBooleanRequest{FlagKey: "only-staging"})
		if status.Code(err) != tc.want || !strings.Contains(status.Convert(err).Message(), tc.message) {
			t.Errorf("%s: %v, want %v with %q", tc.name, err, tc.want, tc.message)
		}
	}
}

// A selector is one of the forms, or refused with what would be right.
func FuzzSelector(f *testing.F) {
	for _, seed := range []string{"", "production", "flagSetId=production", "source=production", "flagSetId=", "=", "a=b", "flagSetId=a=b", "flagSetId=a,source=b", "\xff="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, selector string) {
		name, err := environmentOf(selector)
		if err != nil {
			if !errors.Is(err, errSelector) || name != "" {
				t.Errorf("%q: %q, %v", selector, name, err)
			}
			return
		}
		if name == "" || selector != name && selector != "flagSetId="+name && selector != "source="+name {
			t.Errorf("%q was read as %q", selector, name)
		}
	})
}

func TestFlagdBeforeTheFirst(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	s := service(p)
	p.replicas.Add("empty")
	s.byName["empty"] = newEnvironment("empty", p.replicas.Replica("empty"))
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(environmentHeader, "empty"))
	_, err := (&flagdServiceV2{evaluation: s}).ResolveBoolean(ctx, &flagdv2.ResolveBooleanRequest{FlagKey: "a"})
	requireStatus(t, err, codes.Unavailable, "nothing came from upstream yet")
	_, err = (&flagdServiceV1{evaluation: s}).ResolveAll(ctx, &flagdv1.ResolveAllRequest{})
	requireStatus(t, err, codes.Unavailable, "nothing came from upstream yet")
}

// The place and the time of an evaluation are the relay's, whatever a caller sends.
func TestHere(t *testing.T) {
	t.Parallel()
	s := service(newPublisher(t, production))
	s.region = "eu-west"
	c := s.flagdContext(structOf(t, map[string]any{"$tidegate": map[string]any{"region": "mars"}, "targetingKey": "k"}))
	if c.Region != "eu-west" || c.Now == 0 || c.TargetingKey != "k" {
		t.Errorf("context %+v", c)
	}
}

// What flagd's protocols answer is counted as what the native one does.
func TestFlagdCounts(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, flagdFlags(t)...)
	s := service(p)
	v1, v2 := &flagdServiceV1{evaluation: s}, &flagdServiceV2{evaluation: s}
	for _, key := range []string{"static", "string", "nobody", "split", "disabled"} {
		// What they answer is another test's.
		_, _ = v1.ResolveBoolean(t.Context(), &flagdv1.ResolveBooleanRequest{FlagKey: key})
		_, _ = v2.ResolveBoolean(t.Context(), &flagdv2.ResolveBooleanRequest{FlagKey: key})
	}
	total := s.environments[0].answers.total()
	for reason, want := range map[eval.Reason]uint64{eval.ReasonStatic: 2, eval.ReasonError: 6, eval.ReasonDisabled: 2} {
		if got := total[reasonIndex(string(reason))]; got != want {
			t.Errorf("%s was counted %d times, want %d", reason, got, want)
		}
	}
}
