package clientsdk_test

import (
	"errors"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/clientsdk"
)

type country string

// unwritable is half a text, and an error.
type unwritable struct{}

func (unwritable) MarshalText() ([]byte, error) { return []byte("half"), errors.New("no text") }

func TestContextAttributes(t *testing.T) {
	yes := true
	loop := []any{nil}
	loop[0] = loop
	for name, tt := range map[string]struct {
		in, want any
		problem  string
	}{
		"string":         {in: "CA", want: "CA"},
		"named string":   {in: country("CA"), want: "CA"},
		"invalid UTF-8":  {in: "a\xffb", want: "a\uFFFDb"},
		"bool":           {in: true, want: true},
		"pointer":        {in: &yes, want: true},
		"nil pointer":    {in: (*bool)(nil), want: nil},
		"int":            {in: 7, want: int64(7)},
		"int8":           {in: int8(-7), want: int64(-7)},
		"uint64":         {in: uint64(7), want: int64(7)},
		"large int":      {in: int64(1) << 60, want: "1152921504606846976"},
		"large negative": {in: -int64(1)<<53 - 1, want: "-9007199254740993"},
		"large uint":     {in: uint64(math.MaxUint64), want: "18446744073709551615"},
		"largest exact":  {in: int64(1)<<53 - 1, want: int64(1)<<53 - 1},
		"float32":        {in: float32(0.5), want: 0.5},
		"NaN":            {in: math.NaN(), problem: "not a finite number"},
		"time":           {in: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)), want: "2026-01-02T02:04:05Z"},
		"duration":       {in: time.Second, want: int64(time.Second)},
		"text":           {in: netip.MustParseAddr("10.0.0.1"), want: "10.0.0.1"},
		"strings":        {in: []string{"a", "b"}, want: []any{"a", "b"}},
		"list with a bad element": {
			in: []any{1, func() {}, "x"}, want: []any{int64(1), "x"}, problem: `attribute "a" is left out in part: element 1: a func() cannot be an attribute`,
		},
		"map": {
			in:   map[string]any{"os": country("linux"), "build": 3},
			want: map[string]any{"os": "linux", "build": int64(3)},
		},
		"map by number":   {in: map[int]string{1: "a"}, problem: "the keys of a map must be strings"},
		"text that fails": {in: unwritable{}, problem: `attribute "a" is left out: no text`},
		"bytes":           {in: []byte("x"), problem: "make it a string"},
		"struct":          {in: struct{ A int }{1}, problem: "cannot be an attribute"},
		"itself":          {in: loop, problem: "levels deep", want: nested(16)},
	} {
		t.Run(name, func(t *testing.T) {
			for how, c := range map[string]clientsdk.Context{
				"With":       clientsdk.User("u").With("a", tt.in),
				"NewContext": clientsdk.NewContext("u", map[string]any{"a": tt.in}),
			} {
				if got := c.Attributes()["a"]; !reflect.DeepEqual(got, tt.want) {
					t.Errorf("%s: got %#v, want %#v", how, got, tt.want)
				}
				err := c.Err()
				if (err == nil) != (tt.problem == "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
					t.Errorf("%s: error %v, want %q", how, err, tt.problem)
				}
			}
		})
	}
}

// nested is what is left of a list that contains itself.
func nested(depth int) any {
	var v any = []any{}
	for range depth - 1 {
		v = []any{v}
	}
	return v
}

func TestContextSharesNothing(t *testing.T) {
	groups := []string{"a"}
	device := map[string]any{"os": "linux"}
	attributes := map[string]any{"groups": groups, "device": device}
	base := clientsdk.NewContext("u", attributes)
	left, right := base.With("side", "left"), base.With("side", "right")

	groups[0], device["os"] = "changed", "changed"
	attributes["more"] = true
	left.Attributes()["device"].(map[string]any)["os"] = "changed"

	want := map[string]any{"groups": []any{"a"}, "device": map[string]any{"os": "linux"}}
	if got := base.Attributes(); !reflect.DeepEqual(got, want) {
		t.Errorf("base is %v, want %v", got, want)
	}
	if l, r := left.Attributes()["side"], right.Attributes()["side"]; l != "left" || r != "right" {
		t.Errorf("sides are %v and %v", l, r)
	}
	if got := left.With("side", nil).Attributes(); !reflect.DeepEqual(got, want) {
		t.Errorf("without side: %v, want %v", got, want)
	}
}

func TestContextTargetingKey(t *testing.T) {
	if got := (clientsdk.Context{}).With("a", 1).TargetingKey(); got != "" {
		t.Errorf("zero context: %q", got)
	}
	c := clientsdk.User("u")
	if c.With("a", 1).TargetingKey() != "u" {
		t.Error("With lost the targeting key")
	}
	if err := clientsdk.NewContext("u", map[string]any{"targetingKey": "u"}).Err(); err != nil {
		t.Errorf("the same targeting key among the attributes: %v", err)
	}
	other := c.With("targetingKey", "v")
	if other.TargetingKey() != "u" || other.Err() == nil {
		t.Errorf("targeting key %q, error %v: the attribute must be refused", other.TargetingKey(), other.Err())
	}
}
