package jsondoc

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// plain makes of a node what encoding/json makes of its text.
func plain(n *Node) any {
	switch n.Kind() {
	case Bool:
		return n.bits != 0
	case Number:
		return math.Float64frombits(n.bits)
	case String:
		return strings.Clone(n.Text())
	case List:
		all := []any{}
		for at := n.at + 1; at < n.next; at = n.doc.nodes[at].next {
			all = append(all, plain(&n.doc.nodes[at]))
		}
		return all
	case Object:
		all := map[string]any{}
		for at := n.at + 1; at < n.next; at = n.doc.nodes[at+1].next {
			all[n.doc.nodes[at].Text()] = plain(&n.doc.nodes[at+1])
		}
		return all
	}
	return nil
}

// depth is how deeply a text nests, outside of strings.
func depth(text []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

var texts = []string{
	`{}`, `[]`, `null`, `true`, `false`, `0`, `-0`, `-0.0`, `1`, `-12`, `1.5`, `1e3`, `1E+3`, `2e-7`, `123456789012345`, `1234567890123456789`,
	`999999999999999999999999`, `1e308`, `1e309`, `-1e999`, `1e-999`, `01`, `1.`, `.5`, `-`, `+1`, `1e`, `1e+`, `0x1`, `NaN`,
	`""`, `"a"`, `"é€😀"`, `"\"\\\/\b\f\n\r\t"`, `"\u0041\u00e9\u20ac"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\ud83dx"`, `"\ud83d\u0041"`,
	`"\u00"`, `"\u12g4"`, `"\x"`, `"`, `"a`, `"\`, "\"\x01\"", "\"\xff\"", "\"\u0000\"", "\x00",
	`{"a":1}`, `{"a":1,"a":2}`, `{"a":{"b":[1,{"c":null}]},"d":"e"}`, `{"\u0061":1}`, `{"a\nb":"c\td"}`, ` { "a" : [ 1 , 2 ] } `, "\t{\r\n}\n",
	`{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{a:1}`, `{"a" 1}`, `{1:2}`, `[`, `[1`, `[1,`, `[1,]`, `[,]`, `[1 2]`, `]`, `}`, ``, ` `,
	`{}{}`, `1 2`, `tru`, `nul`, `truee`, `{"a":tru}`, `[nulll]`, `{"a":"\ud800"}`, `{"\ud800":1}`, `/**/1`, "\ufeff{}",
	strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth), strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
	strings.Repeat(`{"a":`, MaxDepth) + "1" + strings.Repeat("}", MaxDepth),
}

// compare reads a text as encoding/json does: what one refuses the other refuses, but for
// what the package says.
func compare(t *testing.T, d *Document, text []byte) {
	t.Helper()
	var want any
	wantErr := json.Unmarshal(text, &want)
	refused := wantErr != nil || !utf8.Valid(text) || depth(text) > MaxDepth
	err := d.Parse(append([]byte(nil), text...))
	var at *Error
	if err != nil && (!errors.As(err, &at) || at.Offset > len(text) || at.Problem == "") {
		t.Fatalf("%q: the error is %v", text, err)
	}
	if (err != nil) != refused {
		t.Fatalf("%q: got %v; encoding/json: %v", text, err, wantErr)
	}
	if err != nil {
		return
	}
	if got := plain(d.Root()); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: got %#v, want %#v", text, got, want)
	}
	look(t, d.Root(), want)
}

// look compares what eval sees.
func look(t *testing.T, n *Node, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		for name, v := range want {
			m := n.Member(name)
			if m == nil {
				t.Fatalf("no member %q", name)
			}
			if n.Attribute(name).Exists() != (v != nil) {
				t.Fatalf("member %q: exists %v", name, v == nil)
			}
			look(t, m, v)
		}
		if _, there := want["nobody"]; !there && n.Member("nobody") != nil {
			t.Fatal("there is a member that is not there")
		}
	case []any:
		if n.Len() != len(want) {
			t.Fatalf("%d elements, want %d", n.Len(), len(want))
		}
		for i := range want {
			if n.At(i).Exists() != (want[i] != nil) {
				t.Fatalf("element %d: exists %v", i, want[i] == nil)
			}
		}
		if n.At(-1).Exists() || n.At(len(want)).Exists() {
			t.Fatal("there are elements beyond the list")
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	var d Document // one for all: nothing stays behind
	for _, text := range texts {
		compare(t, &d, []byte(text))
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                       "at byte 0: want a JSON value",
		`{"a" 1}`:                "at byte 5: want ':' after the member's name",
		`{"a":1,}`:               `at byte 7: want a member's name in "`,
		`[1 2]`:                  "at byte 3: want ',' or ']'",
		`{"a":01}`:               "at byte 5: want a number, without leading zeros",
		`{"a":1e999}`:            "at byte 5: the number is larger than a double can be",
		`{"a":"b`:                `at byte 7: the string is not ended: want "`,
		`{"a":"\q"}`:             `at byte 6: want an escape: \" \\ \/ \b \f \n \r \t, or \u and four hexadecimal digits`,
		"[\"\n\"]":               "at byte 2: want control characters escaped",
		`{} x`:                   "at byte 3: want nothing after the value",
		`{"a":truth}`:            "at byte 5: want a JSON value, such as true",
		"[\"a\xff\"]":            "at byte 3: want UTF-8",
		strings.Repeat("[", 101): "at byte 100: values are nested more than 100 deep",
	} {
		if err := new(Document).Parse([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// Elements are found in any order, and in time that does not grow with their places if it
// is theirs.
func TestList(t *testing.T) {
	t.Parallel()
	var d Document
	if err := d.Parse([]byte(`["a",["b",["c"]],{"d":"e"},"f"]`)); err != nil {
		t.Fatal(err)
	}
	l := d.Root()
	for _, i := range []int{3, 0, 2, 1, 3, 3, 0} {
		if !l.At(i).Exists() {
			t.Errorf("element %d is absent", i)
		}
		if got, want := plain(&d.nodes[uint32(l.bits)]), plain(l).([]any)[i]; !reflect.DeepEqual(got, want) {
			t.Errorf("element %d is %v, want %v", i, got, want)
		}
	}
}

// A long list that is not read in order is walked once, not for each element.
func TestLongList(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, `,[%d,["x"]]`, i)
	}
	var d Document
	if err := d.Parse([]byte("[" + b.String()[1:] + "]")); err != nil {
		t.Fatal(err)
	}
	l := d.Root()
	check := func(i int) {
		t.Helper()
		if !l.At(i).Exists() {
			t.Errorf("element %d is absent", i)
		}
		if got := plain(&d.nodes[uint32(l.bits)]).([]any)[0]; got != float64(i) {
			t.Errorf("element %d is %v", i, got)
		}
	}
	for i := range 200 {
		check(i)
	}
	if d.places != nil {
		t.Error("reading in order took memory")
	}
	for _, i := range []int{199, 0, 100, 23, 24, 199, 150, 176, 0} {
		check(i)
	}
	if len(d.places[l.at]) != 200 {
		t.Errorf("%d places are known", len(d.places[l.at]))
	}
	d.Reset()
	if d.places != nil {
		t.Error("the places of the text before are kept")
	}
}

// Whether an object holds something, and what, is known of a node as of a Struct: an
// expression comes to the same over both.
func TestMembersInExpressions(t *testing.T) {
	t.Parallel()
	const text = `{"empty": {}, "few": {"b": 1, "a": [2, null], "b": {"c": {}}}, "list": [{}, {"x": 1}]}`
	var d Document
	if err := d.Parse([]byte(text)); err != nil {
		t.Fatal(err)
	}
	s := &structpb.Struct{}
	if err := s.UnmarshalJSON([]byte(strings.Replace(text, `"b": 1, `, "", 1))); err != nil {
		t.Fatal(err)
	}
	for _, expression := range []string{
		`{"!!": {"var": "empty"}}`, `{"!!": {"var": "few"}}`, `{"!!": {"var": "list.0"}}`,
		`{"fractional": [{"var": "empty"}, ["true", 1], ["false", 1]]}`,
		`{"fractional": [{"var": "few"}, ["true", 1], ["false", 1]]}`,
		`{"fractional": [{"merge": [{"var": "few"}, 1]}, ["true", 1], ["false", 1]]}`,
	} {
		rule := &structpb.Value{}
		if err := rule.UnmarshalJSON([]byte(expression)); err != nil {
			t.Fatal(err)
		}
		f, err := eval.Compile(&flagv1.Flag{
			Key: "flag", Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, BucketingVersion: flagv1.BucketingVersion_BUCKETING_VERSION_3,
			Variants: []*flagv1.Variant{{Name: "true", Value: structpb.NewBoolValue(true)}, {Name: "false", Value: structpb.NewBoolValue(false)}},
			Rules:    []*flagv1.Rule{{Id: "rule", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: rule}}}},
		}, 1)
		if err != nil {
			t.Fatal(err)
		}
		var none *eval.Environment
		env := none.With(eval.Changes{Flags: []*eval.Flag{f}})
		node := env.Evaluate("flag", &eval.Context{Attributes: d.Root()})
		plain := env.Evaluate("flag", &eval.Context{Attributes: eval.StructAttributes(s)})
		if node.Reason != plain.Reason || node.ErrorCode != plain.ErrorCode || node.Variant != plain.Variant {
			t.Errorf("%s: %+v, and over a Struct %+v", expression, node, plain)
		}
	}
}

// An object tells its members, each once, and whether it has any.
func TestMembers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{`{}`: nil, `{"a":1,"b":null,"a":{"c":2}}`: {"a", "b"}} {
		var d Document
		if err := d.Parse([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(slices.Values(d.Root().Names())); !slices.Equal(got, want) || d.Root().Empty() != (want == nil) {
			t.Errorf("%s has %v, empty: %v", text, got, d.Root().Empty())
		}
	}
}

// Objects with many members have an index; the last of equal names counts there too.
func TestManyMembers(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, `,"k%d":%d`, i%150, i)
	}
	text := "{" + b.String()[1:] + "}"
	var d Document
	compare(t, &d, []byte(text))
	if d.indexes == nil {
		t.Error("no index was made")
	}
}

// In the common cases a context is read and looked up without allocation.
func TestNoAllocation(t *testing.T) {
	text := []byte(`{"context":{"targetingKey":"user-1","email":"a@example.com","plan":"pro","age":42,"tags":["a","b"],"device":{"os":"linux"},"note":"a\tb"}}`)
	var d Document
	own := make([]byte, len(text))
	allocations := testing.AllocsPerRun(100, func() {
		copy(own, text)
		if err := d.Parse(own); err != nil {
			t.Fatal(err)
		}
		var a eval.Attributes = d.Root().Member("context")
		for _, name := range []string{"email", "plan", "age", "tags", "device", "note", "nobody"} {
			a.Attribute(name)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations, want none", allocations)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var d Document
		compare(t, &d, text)
	})
}

func BenchmarkParse(b *testing.B) {
	text := []byte(`{"context":{"targetingKey":"user-1","email":"a@example.com","plan":"pro","country":"CA","version":"1.2.3","beta":"yes"}}`)
	own := make([]byte, len(text))
	var d Document
	for b.Loop() {
		copy(own, text)
		if err := d.Parse(own); err != nil {
			b.Fatal(err)
		}
	}
}
