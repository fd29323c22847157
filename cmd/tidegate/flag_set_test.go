package main

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func TestParseSplit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"on=5%,off=95%", "on=5 off=95"},
		{"on=0.5%, off=99.5%", "on=5 off=995"},
		{"on=0.25%,off=99.75%", "on=25 off=9975"},
		{"on=33.33333%,off=66.66667%", "on=3333333 off=6666667"},
		{"on=100%", "on=100"},
		{"on=0%,off=100%", "on=0 off=100"},
		{"on=5%,off=90%", "error: the shares add up to 95%: they must add up to 100%"},
		{"on=0.1%,off=99.85%", "error: the shares add up to 99.95%: they must add up to 100%"},
		{"on=0.000000001%,off=99.999999999%", "error: the shares have too many digits: 0.00001% is the smallest step"},
		{"on=5", "error: on=5: expected a share in %, such as 5% or 0.5%"},
		{"on=1%,off=99", "error: off=99: expected a share in %, such as 5% or 0.5%"},
		{"on=-1%,off=101%", "error: on=-1%: expected a share in %, such as 5% or 0.5%"},
		{"on=1/3%,off=2/3%", "error: on=1/3%: expected a share in %, such as 5% or 0.5%"},
		{"on=1e2%", "error: on=1e2%: expected a share in %, such as 5% or 0.5%"},
		{"on=%,off=100%", "error: on=%: expected a share in %, such as 5% or 0.5%"},
		{"on=1%,on=99%", "error: variant on is named twice"},
		{"on", `error: "on": expected VARIANT=SHARE, as in on=5%,off=95%`},
		{"=5%", `error: "=5%": expected VARIANT=SHARE, as in on=5%,off=95%`},
		{"on=5%,", `error: "": expected VARIANT=SHARE, as in on=5%,off=95%`},
	} {
		shares, err := parseSplit(test.text)
		got := splitText(shares)
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.text, got, test.want)
		}
	}
}

func splitText(shares []*flagv1.WeightedVariant) string {
	var parts []string
	for _, s := range shares {
		parts = append(parts, s.GetVariant()+"="+numberText(s.GetWeight()))
	}
	return strings.Join(parts, " ")
}

func numberText(n uint32) string { return number(int64(n)).text }

// Percentages of any precision keep their proportion exactly.
func TestParseSplitKeepsProportions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const whole = 10_000_000 // 100% in steps of 0.00001%
		share := rapid.Uint32Range(0, whole).Draw(t, "share")
		percent := func(n uint32) string {
			text := numberText(n)
			text = strings.Repeat("0", max(0, 6-len(text))) + text
			return text[:len(text)-5] + "." + text[len(text)-5:] + "%"
		}
		shares, err := parseSplit("on=" + percent(share) + ",off=" + percent(whole-share))
		if err != nil {
			t.Fatal(err)
		}
		on, total := uint64(shares[0].GetWeight()), uint64(shares[0].GetWeight())+uint64(shares[1].GetWeight())
		if on*whole != uint64(share)*total {
			t.Fatalf("%d of %d for %d of %d", on, total, share, whole)
		}
	})
}

func FuzzParseSplit(f *testing.F) {
	for _, seed := range []string{"on=5%,off=95%", "on=1,off=99", "on=.5%", "=,=", "on=99999999999999999999%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shares, err := parseSplit(text)
		if err != nil {
			return
		}
		var total uint64
		for _, s := range shares {
			total += uint64(s.GetWeight())
		}
		if total == 0 || total > maxTotal {
			t.Errorf("%q: total %d", text, total)
		}
	})
}

// A split that is there keeps its order: another would move people between variants.
func TestEditKeepsOrderOfSplit(t *testing.T) {
	t.Parallel()
	before := &flagv1.Flag{
		Key: "f", Variants: []*flagv1.Variant{{Name: "a"}, {Name: "b"}, {Name: "c"}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
			Variants: []*flagv1.WeightedVariant{{Variant: "b", Weight: 1}, {Variant: "a", Weight: 99}}, BucketBy: "jobId", Salt: proto.String("s"),
		}}},
	}
	was := proto.CloneOf(before)
	split, err := parseSplit("c=10%,a=70%,b=20%")
	if err != nil {
		t.Fatal(err)
	}
	after, err := (&flagEdit{split: split}).apply(before)
	if err != nil {
		t.Fatal(err)
	}
	got := after.GetDefaultOutcome().GetSplit()
	if splitText(got.GetVariants()) != "b=20 a=70 c=10" || got.GetBucketBy() != "jobId" || got.GetSalt() != "s" {
		t.Errorf("got %v", got)
	}
	if !proto.Equal(before, was) {
		t.Error("the edit changed the flag that it was given")
	}
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, "\ty\n": true, "n\n": false, "\n": false, "": false, "yeah\n": false, "y": true} {
		var out bytes.Buffer
		if got := confirm(strings.NewReader(answer), &out, "sure?"); got != want || out.String() != "sure? [y/N] " {
			t.Errorf("%q: %t, asked %q", answer, got, out.String())
		}
	}
}
