package clientsdk_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/clientsdk"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// patience is how long a test waits for what must happen; it never decides how fast.
const patience = 30 * time.Second

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func patiently(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// receive waits for a value.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
		panic("unreachable")
	}
}

func variant(name string, v any) *flagv1.Variant {
	value, err := structpb.NewValue(v)
	if err != nil {
		panic(err)
	}
	return &flagv1.Variant{Name: name, Value: value}
}

func serve(name string) *flagv1.Outcome {
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: name}}
}

func clause(attribute string, op flagv1.Operator, values ...any) *flagv1.Clause {
	list, err := structpb.NewList(values)
	if err != nil {
		panic(err)
	}
	return &flagv1.Clause{Attribute: attribute, Operator: op, Values: list.GetValues()}
}

// boolean returns a flag that serves 'on' or 'off' to everyone.
func boolean(key string, on bool) *flagv1.Flag {
	f := &flagv1.Flag{
		Key:            key,
		Type:           flagv1.ValueType_VALUE_TYPE_BOOLEAN,
		Enabled:        true,
		Variants:       []*flagv1.Variant{variant("on", true), variant("off", false)},
		DefaultOutcome: serve("off"),
	}
	if on {
		f.DefaultOutcome = serve("on")
	}
	return f
}

// checkout is on for Canada and for half of the rest.
func checkout() *flagv1.Flag {
	f := boolean("new-checkout", false)
	f.OffVariant = "off"
	f.Rules = []*flagv1.Rule{{
		Id:      "canada",
		Clauses: []*flagv1.Clause{clause("country", flagv1.Operator_OPERATOR_IN, "CA")},
		Outcome: serve("on"),
	}}
	f.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
		Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: 50}, {Variant: "off", Weight: 50}},
	}}}
	f.Metadata, _ = structpb.NewStruct(map[string]any{"team": "payments"})
	return f
}

// hours is on in one region, at some hours of working days.
func hours() *flagv1.Flag {
	f := boolean("hours", false)
	f.Rules = []*flagv1.Rule{{
		Id: "open", Outcome: serve("on"),
		Clauses: []*flagv1.Clause{
			clause("$tidegate.region", flagv1.Operator_OPERATOR_IN, "eu-west"),
			clause("$tidegate.weekday", flagv1.Operator_OPERATOR_LESS_THAN, 6),
			clause("$tidegate.timeOfDay", flagv1.Operator_OPERATOR_GREATER_THAN, 8.5),
		},
	}}
	return f
}

// typedFlags is one flag of each type, and those that answer with an error.
func typedFlags() []*flagv1.Flag {
	single := func(key string, t flagv1.ValueType, v any) *flagv1.Flag {
		return &flagv1.Flag{Key: key, Type: t, Enabled: true, Variants: []*flagv1.Variant{variant("a", v)}, DefaultOutcome: serve("a")}
	}
	disabled := boolean("disabled", true)
	disabled.Enabled = false
	return []*flagv1.Flag{
		checkout(),
		hours(),
		disabled,
		single("bool", flagv1.ValueType_VALUE_TYPE_BOOLEAN, true),
		single("string", flagv1.ValueType_VALUE_TYPE_STRING, "text"),
		single("int", flagv1.ValueType_VALUE_TYPE_INTEGER, 42),
		single("float", flagv1.ValueType_VALUE_TYPE_DOUBLE, 0.5),
		single("whole", flagv1.ValueType_VALUE_TYPE_DOUBLE, 2),
		single("object", flagv1.ValueType_VALUE_TYPE_OBJECT, map[string]any{
			"model": "m-1", "limits": map[string]any{"tokens": 100}, "tags": []any{"a", "b"},
		}),
	}
}

func offline(t testing.TB, flags ...*flagv1.Flag) *clientsdk.Offline {
	t.Helper()
	c := clientsdk.NewOffline()
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Apply(clientsdk.Edit{Flags: flags}); err != nil {
		t.Fatal(err)
	}
	return c
}
