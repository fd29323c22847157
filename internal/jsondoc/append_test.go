package jsondoc

import (
	"encoding/json"
	"math"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"
)

func TestAppendValue(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`null`, `true`, `false`, `0`, `-1.5`, `1e21`, `1e-7`, `0.000001`, `123456789`, `"a\"\\\u0001é😀"`,
		`[]`, `[1,[2,null],{}]`, `{}`, `{"b":1,"a":{"d":[true],"c":"x"}}`,
	} {
		v := &structpb.Value{}
		if err := v.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		got := AppendValue([]byte("x"), v)[1:]
		if want, err := json.Marshal(v.AsInterface()); err != nil || string(got) != string(want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := AppendValue(nil, nil); string(got) != "null" {
		t.Errorf("nothing is written as %s", got)
	}
}

// What is written reads as what it was; what is not UTF-8 reads as U+FFFD.
func FuzzAppend(f *testing.F) {
	f.Add("a", 1.5)
	f.Add("\xff\"\\\n\u2028", math.Copysign(0, -1))
	f.Add("\u0000\u007f\n\t", 1e300)
	f.Add("", math.NaN())
	f.Add("", math.Inf(-1))
	f.Fuzz(func(t *testing.T, s string, n float64) {
		written := AppendString(nil, s)
		var text string
		if err := json.Unmarshal(written, &text); err != nil {
			t.Fatalf("%q: %s: %v", s, written, err)
		}
		if utf8.ValidString(s) && text != s || text != string([]rune(s)) {
			t.Fatalf("%q was read as %q", s, text)
		}
		if math.IsNaN(n) || math.IsInf(n, 0) { // no value of a flag is
			if got := AppendNumber(nil, n); string(got) != "null" {
				t.Fatalf("%v was written as %s", n, got)
			}
			return
		}
		var number float64
		if written = AppendNumber(nil, n); json.Unmarshal(written, &number) != nil || number != n {
			t.Fatalf("%v was written as %s", n, written)
		}
	})
}
