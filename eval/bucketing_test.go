package eval_test

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func suitsFlag(key string) *flagv1.Flag {
	return &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_STRING, Enabled: true,
		Variants: []*flagv1.Variant{
			variant("clubs", "c"), variant("diamonds", "d"), variant("hearts", "h"), variant("spades", "s"),
		},
		DefaultOutcome: split("clubs", 25, "diamonds", 25, "hearts", 25, "spades", 25),
	}
}

func TestSplitAssignsAsFlagd(t *testing.T) {
	byFlag := suitsFlag("fractional-flag")
	bySeed := suitsFlag("other-flag")
	bySeed.DefaultOutcome.GetSplit().Salt = proto.String("shared-seed")
	byAttribute := suitsFlag("third-flag")
	byAttribute.DefaultOutcome.GetSplit().Salt = proto.String("")
	byAttribute.DefaultOutcome.GetSplit().BucketBy = "user.email"
	env := environment(t, byFlag, bySeed, byAttribute)
	for _, c := range []struct{ flag, key, want string }{
		{"fractional-flag", "jack", "hearts"},
		{"fractional-flag", "queen", "spades"},
		{"fractional-flag", "ten", "clubs"},
		{"fractional-flag", "nine", "diamonds"},
		{"fractional-flag", "3", "clubs"},
		{"other-flag", "seven", "hearts"},
		{"other-flag", "eight", "diamonds"},
		{"other-flag", "nine", "clubs"},
		{"other-flag", "two", "spades"},
		{"third-flag", "fractional-flagjack", "hearts"}, // an empty salt: the value alone
		{"third-flag", "ceQdGm", "spades"},
		{"third-flag", "ejOoVL", "clubs"},
	} {
		ctx := &eval.Context{TargetingKey: c.key, Attributes: eval.Map{"user": map[string]any{"email": c.key}}}
		r := env.Evaluate(c.flag, ctx)
		if r.Variant == nil || r.Variant.Name != c.want || r.Reason != eval.ReasonSplit {
			t.Errorf("%s for %s: %+v, want %s", c.flag, c.key, r, c.want)
		}
	}
}

// The edge hashes: an even split divides at 2^31.
func TestSplitBoundaries(t *testing.T) {
	for _, c := range []struct {
		key  string
		want string
	}{
		{"ejOoVL", "on"}, {"bY9fO-", "on"}, {"SI7p-", "on"}, {"6LvT0", "off"}, {"ceQdGm", "off"},
	} {
		for _, total := range []int{2, 100, math.MaxInt32 - 1} {
			f := boolFlag("flag")
			f.DefaultOutcome = split("on", total/2, "off", total/2)
			f.DefaultOutcome.GetSplit().Salt = proto.String("")
			if got := environment(t, f).Evaluate("flag", &eval.Context{TargetingKey: c.key}).Variant.Name; got != c.want {
				t.Errorf("%s of total %d: %s, want %s", c.key, total, got, c.want)
			}
		}
	}
}

func TestSplitSkipsWeightZero(t *testing.T) {
	f := boolFlag("flag")
	f.DefaultOutcome = split("on", 0, "off", 1)
	f.DefaultOutcome.GetSplit().Salt = proto.String("")
	if got := environment(t, f).Evaluate("flag", &eval.Context{TargetingKey: "ejOoVL"}).Variant.Name; got != "off" {
		t.Errorf("the lowest bucket got %s, whose weight is 0", got)
	}
}

func TestSplitByAttribute(t *testing.T) {
	f := boolFlag("flag")
	f.DefaultOutcome = split("on", 50, "off", 50)
	f.DefaultOutcome.GetSplit().BucketBy = "account"
	env := environment(t, f)
	as := func(v any) eval.Result {
		return env.Evaluate("flag", &eval.Context{TargetingKey: "k", Attributes: eval.Map{"account": v}})
	}
	for text, same := range map[string][]any{
		"7":                 {7, int64(7), uint8(7), 7.0, float32(7)},
		"-12":               {-12, -12.0},
		"0":                 {0, math.Copysign(0, -1)},
		"9007199254740991":  {int64(1<<53 - 1), float64(1<<53 - 1)},
		"-9007199254740991": {int64(-(1<<53 - 1))},
	} {
		want := as(text)
		if want.Reason != eval.ReasonSplit {
			t.Fatalf("%q: %+v", text, want)
		}
		for _, v := range same {
			if got := as(v); got.Variant != want.Variant || got.Reason != eval.ReasonSplit {
				t.Errorf("%v (%T) is not assigned as %q is", v, v, text)
			}
		}
	}
	for _, v := range []any{nil, "", 1.5, math.NaN(), math.Inf(1), int64(1 << 53), uint64(math.MaxUint64), true, []any{"a"}, map[string]any{}} {
		r := as(v)
		if r.Variant != nil || r.Reason != eval.ReasonError || r.ErrorCode != eval.InvalidContext {
			t.Errorf("%v (%T): %+v, want INVALID_CONTEXT", v, v, r)
		}
	}
}

const subjects = 1_000_000

// Widening a rollout moves nobody out of the treatment, and each stage has its share.
func TestWideningMovesNobodyOut(t *testing.T) {
	stages := []int{1, 5, 20, 50, 100}
	envs := make([]*eval.Environment, len(stages))
	flags := make([]*eval.Flag, len(stages))
	for i, percent := range stages {
		f := boolFlag("new-checkout")
		f.DefaultOutcome = split("on", percent, "off", 100-percent)
		envs[i] = environment(t, f)
		flags[i] = envs[i].Flag("new-checkout")
	}
	treated := make([]int, len(stages))
	for n := range subjects {
		ctx := eval.Context{TargetingKey: "user-" + strconv.Itoa(n)}
		before := false
		for i := range stages {
			in := envs[i].EvaluateFlag(flags[i], &ctx).Variant.Value.Bool
			if before && !in {
				t.Fatalf("%s left the treatment at %d%%", ctx.TargetingKey, stages[i])
			}
			if in {
				treated[i]++
			}
			before = in
		}
	}
	for i, percent := range stages {
		p := float64(percent) / 100
		deviation := math.Sqrt(subjects * p * (1 - p))
		if off := math.Abs(float64(treated[i]) - subjects*p); off > 5*deviation {
			t.Errorf("%d%%: %d of %d are treated, %.1f standard deviations off", percent, treated[i], subjects, off/deviation)
		}
	}
}

// Two flags assign independently of each other: chi-squared over the four cells. Flags
// that share a salt assign alike.
func TestFlagsAssignIndependently(t *testing.T) {
	half := func(key string, salt *string) *flagv1.Flag {
		f := boolFlag(key)
		f.DefaultOutcome = split("on", 50, "off", 50)
		f.DefaultOutcome.GetSplit().Salt = salt
		return f
	}
	env := environment(t, half("one", nil), half("two", nil), half("shared-1", proto.String("s")), half("shared-2", proto.String("s")))
	cells := map[string]int{}
	for n := range subjects {
		ctx := eval.Context{TargetingKey: "user-" + strconv.Itoa(n)}
		serves := func(key string) string { return env.Evaluate(key, &ctx).Variant.Name }
		cells[fmt.Sprint(serves("one"), serves("two"))]++
		if serves("shared-1") != serves("shared-2") {
			t.Fatalf("%s is assigned differently under one salt", ctx.TargetingKey)
		}
	}
	chi2, expected := 0.0, float64(subjects)/4
	for _, count := range cells {
		chi2 += (float64(count) - expected) * (float64(count) - expected) / expected
	}
	// 3 degrees of freedom: 22.5 has a probability of 5e-5. The keys are fixed, so the
	// test passes always or never.
	if len(cells) != 4 || chi2 > 22.5 {
		t.Errorf("chi-squared %.1f over %v", chi2, cells)
	}
}
