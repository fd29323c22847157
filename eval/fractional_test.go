package eval_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

const suits = `["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]`

// flagd.md, section 5: every vector, by the text that is hashed.
func TestFractionalVectors(t *testing.T) {
	const (
		v2 = flagv1.BucketingVersion_BUCKETING_VERSION_2
		v3 = flagv1.BucketingVersion_BUCKETING_VERSION_3
	)
	byKey, bySeed := `{"fractional": [`+suits+`]}`, `{"fractional": [{"cat": ["shared-seed", {"var": "name"}]}, `+suits+`]}`
	shorthand := `{"fractional": [["heads"], ["tails", 1]]}`
	halves := `{"fractional": [{"var": "name"}, ["lower", 50], ["upper", 50]]}`
	for _, c := range []struct {
		version         flagv1.BucketingVersion
		flag, text, key string
		want            string
	}{
		// v2
		{v2, "fractional-flag", byKey, "jack", "hearts"},
		{v2, "fractional-flag", byKey, "queen", "spades"},
		{v2, "fractional-flag", byKey, "ten", "clubs"},
		{v2, "fractional-flag", byKey, "nine", "diamonds"},
		{v2, "fractional-flag", byKey, "3", "clubs"},
		{v2, "other-flag", bySeed, "seven", "hearts"},
		{v2, "other-flag", bySeed, "eight", "diamonds"},
		{v2, "other-flag", bySeed, "nine", "clubs"},
		{v2, "other-flag", bySeed, "two", "spades"},
		{v2, "fractional-flag-shorthand", shorthand, "jon@company.com", "heads"},
		{v2, "fractional-flag-shorthand", shorthand, "jane@company.com", "tails"},
		{v2, "any", halves, "ejOoVL", "lower"},
		{v2, "any", halves, "bY9fO-", "lower"},
		{v2, "any", halves, "SI7p-", "lower"},
		{v2, "any", halves, "6LvT0", "upper"},
		{v2, "any", halves, "ceQdGm", "upper"},
		// v3: CBOR(text)
		{v3, "other-flag", `{"fractional": [{"cat": ["fractional-flag", {"var": "name"}]}, ` + suits + `]}`, "jack", "diamonds"},
		{v3, "other-flag", `{"fractional": [{"cat": ["fractional-flag", {"var": "name"}]}, ` + suits + `]}`, "queen", "diamonds"},
		{v3, "other-flag", `{"fractional": [{"cat": ["fractional-flag", {"var": "name"}]}, ` + suits + `]}`, "ten", "clubs"},
		{v3, "fractional-flag", `{"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "name"}]}, ` + suits + `]}`, "nine", "clubs"},
		{v3, "fractional-flag", `{"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "name"}]}, ` + suits + `]}`, "3", "spades"},
		{v3, "other-flag", bySeed, "seven", "hearts"},
		{v3, "other-flag", bySeed, "eight", "hearts"},
		{v3, "other-flag", bySeed, "nine", "diamonds"},
		{v3, "other-flag", bySeed, "two", "diamonds"},
		// v3: CBOR([flag key, targeting key])
		{v3, "fractional-flag-shorthand", shorthand, "jon@company.com", "tails"},
		{v3, "fractional-flag-shorthand", shorthand, "jane@company.com", "tails"},
		{v3, "fractional-flag-shorthand", shorthand, "user-1", "heads"},
		{v3, "fractional-flag-shorthand", shorthand, "user-2", "tails"},
		{v3, "fractional-flag-shorthand", shorthand, "user-3", "heads"},
	} {
		f := outcomeFlag(c.text, "clubs", "diamonds", "hearts", "spades", "heads", "tails", "lower", "upper")
		f.Key, f.BucketingVersion = c.flag, c.version
		ctx := &eval.Context{TargetingKey: c.key, Attributes: eval.Map{"name": c.key}}
		if got := resultOf(t, f, ctx); got != c.want {
			t.Errorf("%s, %s, %s: %s, want %s", c.version, c.flag, c.key, got, c.want)
		}
		if f.BucketingVersion == v2 {
			f.BucketingVersion = 0
			if got := resultOf(t, f, ctx); got != c.want {
				t.Errorf("no version, %s, %s: %s, want %s", c.flag, c.key, got, c.want)
			}
		}
	}
}

// flagd.md, section 5: what is bucketed by, and the rules on weights.
func TestFractional(t *testing.T) {
	const someone = `{"targetingKey": "user-1", "name": "6LvT0", "age": 42, "on": true, "list": ["a", 1], "weight": 1, "empty": "",
		"device": {"os": "android"}, "other": {"os": "android"}, "people": [{"targetingKey": "x", "name": "6LvT0"}], "texts": ["6LvT0"]}`
	for _, c := range []struct{ name, text, v2, v3 string }{
		{"a text", `{"fractional": [{"var": "name"}, ["a"], ["b"]]}`, "b", "b"},
		{"an empty text", `{"fractional": [{"var": "empty"}, ["a"], ["b"]]}`, "a", "a"},
		{"unset: the default", `{"fractional": [{"var": "nothing"}, ["a"], ["b"]]}`, "b", null},
		{"null: the default", `{"fractional": [null, ["a"], ["b"]]}`, "b", null},
		{"a number", `{"fractional": [{"var": "age"}, ["a"], ["b"]]}`, null, "a"},
		{"the same number", `{"fractional": [42, ["a"], ["b"]]}`, null, "a"},
		{"a boolean", `{"fractional": [{"var": "on"}, ["a"], ["b"]]}`, null, "a"},
		{"an object", `{"fractional": [{"var": "device"}, ["a"], ["b"]]}`, null, "a"},
		{"an object like it", `{"fractional": [{"var": "other"}, ["a"], ["b"]]}`, null, "a"},
		{"the context", `{"fractional": [{"var": ""}, ["a"], ["b"]]}`, null, null},
		{"a list is a share", `{"fractional": [{"var": "list"}, ["b", 0]]}`, "a", "a"},
		{"a list that is computed", `{"fractional": [{"merge": ["a", 1]}, ["b", 0]]}`, "a", "a"},
		{"only what is bucketed by", `{"fractional": [{"var": "name"}]}`, null, null},
		{"one share", `{"fractional": [["a"]]}`, "a", "a"},
		{"no list", `{"fractional": [["a"], "b"]}`, null, null},
		{"an empty list", `{"fractional": [["a"], []]}`, null, null},
		{"a boolean's variant", `{"fractional": [[true, 1]]}`, "true", "true"},
		{"a number's variant", `{"fractional": [[1.5, 1]]}`, "1.5", "1.5"},
		{"null for a variant", `{"fractional": [[null, 1]]}`, null, null},
		{"a list for a variant", `{"fractional": [[["a"], 1]]}`, null, null},
		{"nested", `{"fractional": [[{"fractional": [["a", 1]]}, {"var": "weight"}], ["b", {"-": [1, 1]}]]}`, "a", "a"},
		{"null for a weight", `{"fractional": [["a", null], ["b", 0]]}`, "a", "a"},
		{"an unset weight", `{"fractional": [["a", {"var": "nothing"}], ["b", 0]]}`, "a", "a"},
		{"a fraction for a weight", `{"fractional": [["a", 1.5]]}`, null, null},
		{"a text for a weight", `{"fractional": [["a", "1"]]}`, null, null},
		{"a negative weight is 0", `{"fractional": [["b", -5], ["a", 1]]}`, "a", "a"},
		{"negative weights only", `{"fractional": [["b", -5]]}`, null, null},
		{"a weight of 0", `{"fractional": [["b", 0], ["a", 1]]}`, "a", "a"},
		{"weights of 0 only", `{"fractional": [["a", 0], ["b", 0]]}`, null, null},
		{"the largest weight", `{"fractional": [["a", 2147483647]]}`, "a", "a"},
		{"a weight too large", `{"fractional": [["a", 2147483648]]}`, null, null},
		{"a sum too large", `{"fractional": [["a", 2147483647], ["b", 1]]}`, null, null},
		{"a sum too large, computed", `{"fractional": [["a", 2147483647], ["b", {"var": "weight"}]]}`, null, null},
		{"more than two elements", `{"fractional": [["a", 1, {"var": "weight"}], ["b", 0, 7]]}`, "a", "a"},
		{"what fails", `{"fractional": [1, ["a", {"+": [true]}]]}`, failed, failed},
		{"cat that fails", `{"fractional": [{"cat": ["x", {"var": "on"}]}, ["a"]]}`, failed, failed},
		{"cat that is trimmed", `{"fractional": [{"cat": [" 6Lv", "T0", {"var": "empty"}, " "]}, ["a"], ["b"]]}`, "b", "b"},
		{"cat that is trimmed, at evaluation", `{"fractional": [{"cat": [" 6Lv", "T0", {"var": "nothing"}, " "]}, ["a"], ["b"]]}`, "b", "b"},
		{"in an element", `{"cat": {"map": [{"var": "people"}, {"fractional": [{"var": "name"}, ["a"], ["b"]]}]}}`, "b", "b"},
		{"in an element, by default", `{"cat": {"map": [{"var": "people"}, {"fractional": [["a"], ["b", 0]]}]}}`, "a", "a"},
		{"in a text", `{"!!": {"filter": [{"var": "texts"}, {"fractional": [{"var": ""}, ["a"]]}]}}`, "false", "false"},
	} {
		for version, want := range map[flagv1.BucketingVersion]string{2: c.v2, 3: c.v3} {
			for _, ctx := range contexts(t, someone) {
				f := outcomeFlag(c.text, "a", "b", "true", "false", "1.5")
				f.BucketingVersion = version
				if got := resultOf(t, f, ctx); got != want {
					t.Errorf("%s, version %d: %s, want %s", c.name, version, got, want)
				}
			}
		}
	}
	for _, version := range []flagv1.BucketingVersion{2, 3} {
		f := outcomeFlag(`{"fractional": [["on"]]}`)
		f.BucketingVersion = version
		if got := resultOf(t, f, &eval.Context{}); got != null {
			t.Errorf("no targeting key, version %d: %s", version, got)
		}
	}
}

// A split and the 'fractional' that says the same assign alike.
func TestSplitIsFractional(t *testing.T) {
	salted := func(salt *string, bucketBy string) *flagv1.Split {
		s := suitsFlag("f").GetDefaultOutcome().GetSplit()
		s.Salt, s.BucketBy = salt, bucketBy
		return s
	}
	for _, version := range []flagv1.BucketingVersion{0, 2, 3} {
		for _, own := range []flagv1.BucketingVersion{0, 2, 3} {
			for _, c := range []struct {
				split *flagv1.Split
				first string
			}{
				{salted(nil, ""), ``},
				{salted(proto.String("salt"), ""), `{"cat": ["salt", {"var": "targetingKey"}]}, `},
				{salted(proto.String(""), ""), `{"var": "targetingKey"}, `},
				{salted(nil, "email"), `{"cat": [{"var": "$flagd.flagKey"}, {"var": "email"}]}, `},
				{salted(proto.String("salt"), "number"), `{"cat": ["salt", {"var": "number"}]}, `},
			} {
				bySplit := suitsFlag("my-flag")
				bySplit.BucketingVersion, c.split.BucketingVersion = version, own
				bySplit.DefaultOutcome.Kind = &flagv1.Outcome_Split{Split: c.split}
				byExpression := outcomeFlag(`{"fractional": [`+c.first+suits+`]}`, "clubs", "diamonds", "hearts", "spades")
				byExpression.Key, byExpression.BucketingVersion = "my-flag", version
				if own != 0 {
					byExpression.BucketingVersion = own
				}
				for i := range 50 {
					ctx := &eval.Context{TargetingKey: fmt.Sprint("user-", i), Attributes: eval.Map{"email": fmt.Sprint(i, "@example.com"), "number": i * 1000}}
					want := resultOf(t, byExpression, ctx)
					if r := environment(t, bySplit).Evaluate("my-flag", ctx); r.Variant == nil || r.Variant.Name != want || r.Reason != eval.ReasonSplit {
						t.Fatalf("flag's version %d, split's %d, %v: %+v, want %s", version, own, c.split, r, want)
					}
				}
			}
		}
	}
}
