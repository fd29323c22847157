package eval

import (
	"testing"
	"time"
	"unsafe"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// silent are attributes that cannot tell which they have.
type silent struct{}

func (silent) Attribute(string) Value { return Value{} }

// TestStruct: a copied context is the caller's, whatever form that has.
func TestStruct(t *testing.T) {
	t.Parallel()
	want, err := structpb.NewStruct(map[string]any{
		"plan": "gold", "age": 42.5, "beta": true, "none": nil,
		"tags": []any{"a", 1.0, map[string]any{"deep": []any{}}}, "address": map[string]any{"city": "Bern"},
		"since": "2026-01-02T03:04:05Z",
	})
	if err != nil {
		t.Fatal(err)
	}
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, attributes := range map[string]Attributes{
		"struct": StructAttributes(want),
		"map": Map{
			"plan": "gold", "age": 42.5, "beta": true, "none": nil,
			"tags": []any{"a", 1, map[string]any{"deep": []string{}}}, "address": Map{"city": "Bern"},
			"since": since,
		},
	} {
		got, ok := (&Context{Attributes: attributes}).Struct()
		if !ok || !proto.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, ok, want)
		}
	}
	if got, ok := (&Context{}).Struct(); !ok || got != nil {
		t.Errorf("no attributes: got %v, %v", got, ok)
	}
	if _, ok := (&Context{Attributes: silent{}}).Struct(); ok {
		t.Error("attributes that cannot tell which they have were copied")
	}
	deep := Map{}
	for range maxKeptDepth {
		deep = Map{"in": deep}
	}
	if _, ok := (&Context{Attributes: deep}).Struct(); ok {
		t.Error("attributes without end were copied")
	}
}

// TestStructOwnsItsStrings: what a caller does with its bytes afterwards changes nothing.
func TestStructOwnsItsStrings(t *testing.T) {
	t.Parallel()
	text := []byte("gold")
	got, ok := (&Context{Attributes: oneValue{StringValue(unsafe.String(&text[0], len(text)))}}).Struct()
	copy(text, "lead")
	if !ok || got.GetFields()["plan"].GetStringValue() != "gold" {
		t.Errorf("got %v, %v", got, ok)
	}
}

// oneValue is the attribute plan.
type oneValue struct{ v Value }

func (o oneValue) Attribute(string) Value { return o.v }
func (o oneValue) Empty() bool            { return false }
func (o oneValue) Names() []string        { return []string{"plan"} }
