package eval_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func compiled(t *testing.T, f *flagv1.Flag) *eval.Flag {
	t.Helper()
	flag, err := eval.Compile(f, 1)
	if err != nil {
		t.Fatal(err)
	}
	return flag
}

// The hash and the outcome of an answer, with what is known of the split, give the variant.
func TestAssignment(t *testing.T) {
	f := boolFlag("flag")
	f.Type = flagv1.ValueType_VALUE_TYPE_INTEGER
	f.Variants = []*flagv1.Variant{variant("on", 1), variant("off", 2)}
	f.DefaultOutcome = split("on", 25, "off", 75)
	f.Rules = []*flagv1.Rule{
		{Id: "plain", Clauses: []*flagv1.Clause{clause("plan", opIn, "free")}, Outcome: serve("off")},
		{Id: "staff", Clauses: []*flagv1.Clause{clause("plan", opIn, "staff")}, Outcome: split("on", 0, "off", 3)},
	}
	env := environment(t, f)
	flag := env.Flag("flag")
	for plan, rule := range map[string]string{"": "", "staff": "staff"} {
		s, ok := flag.Split(rule)
		if !ok {
			t.Fatalf("rule %q: no split", rule)
		}
		for i := range 1000 {
			r := env.EvaluateFlag(flag, &eval.Context{TargetingKey: fmt.Sprint(i), Attributes: eval.Map{"plan": plan}})
			outcome, hash := r.Assignment()
			if outcome != s.Outcome || outcome == 0 {
				t.Fatalf("rule %q: outcome %d, want %d", rule, outcome, s.Outcome)
			}
			bucket, at := eval.Bucket(hash, s.Total), 0
			for bucket >= s.Shares[at].Weight {
				bucket -= s.Shares[at].Weight
				at++
			}
			if got := s.Shares[at].Variant; got != r.Variant {
				t.Fatalf("rule %q: the shares give %q, the answer is %q", rule, got.Name, r.Variant.Name)
			}
			double := r.As(flagv1.ValueType_VALUE_TYPE_DOUBLE)
			if o, h := double.Assignment(); o != outcome || h != hash || double.Variant.Index() != r.Variant.Index() {
				t.Fatal("the number in its other form is another answer")
			}
		}
	}
	for name, ctx := range map[string]*eval.Context{
		"another rule": {TargetingKey: "a", Attributes: eval.Map{"plan": "free"}},
		"no key":       {},
	} {
		r := env.EvaluateFlag(flag, ctx)
		if outcome, _ := r.Assignment(); outcome != 0 {
			t.Errorf("%s: outcome %d, want none", name, outcome)
		}
	}
	mismatch := env.EvaluateFlag(flag, &eval.Context{TargetingKey: "a"}).As(flagv1.ValueType_VALUE_TYPE_STRING)
	if outcome, _ := mismatch.Assignment(); outcome != 0 {
		t.Error("an answer that the caller cannot use was assigned")
	}
	for _, rule := range []string{"plain", "missing"} {
		if _, ok := flag.Split(rule); ok {
			t.Errorf("rule %q has a split", rule)
		}
	}
	if s, _ := flag.Split("staff"); len(s.Shares) != 1 || s.Total != 3 || s.Shares[0].Weight != 3 {
		t.Errorf("the split of staff is %+v", s)
	}
	if got := flag.Variants(); !slices.Equal(got, []string{"on", "off"}) {
		t.Errorf("variants %q", got)
	}
}

// What is attached stays with the compiled flag, and changes no answer.
func TestAttach(t *testing.T) {
	f := boolFlag("flag")
	flag := compiled(t, f)
	if flag.Attached() != nil {
		t.Error("something is attached from the beginning")
	}
	env := (*eval.Environment)(nil).With(eval.Changes{Flags: []*eval.Flag{flag}})
	before := env.Evaluate("flag", nil)
	counter := new(int)
	flag.Attach(counter)
	if got := env.Flag("flag").Attached(); got != counter {
		t.Errorf("attached is %v", got)
	}
	if after := env.Evaluate("flag", nil); after != before {
		t.Errorf("answer %+v, before %+v", after, before)
	}
	if compiled(t, f).Attached() != nil {
		t.Error("a flag that was compiled anew has something attached")
	}
}

func TestPath(t *testing.T) {
	ctx := &eval.Context{TargetingKey: "user-1", Region: "eu", Attributes: eval.Map{
		"country": "Canada", "age": 42, "half": 0.5, "beta": true, "device": map[string]any{"os": "android"}, "list": []any{"a"},
	}}
	for full, want := range map[string]string{
		"country": "Canada", "age": "42", "beta": "true", "device.os": "android", "targetingKey": "user-1",
		"$tidegate.region": "eu", "$flagd.flagKey": "flag",
		"half": "", "device": "", "list": "", "missing": "",
	} {
		p, err := eval.NewPath(full, "flag")
		if err != nil {
			t.Fatal(err)
		}
		got, ok := p.AppendText(append(make([]byte, 0, 64), '='), ctx)
		if ok != (want != "") || string(got) != "="+want && ok {
			t.Errorf("%s: %q, %v, want %q", full, got, ok, want)
		}
	}
	for full, room := range map[string]int{"country": 3, "age": 1, "beta": 2} {
		p, _ := eval.NewPath(full, "flag")
		got, ok := p.AppendText(make([]byte, 0, room), ctx)
		if !ok || len(got) != room {
			t.Errorf("%s: %q in %d bytes", full, got, room)
		}
		buffer := make([]byte, 0, 64)
		if n := testing.AllocsPerRun(100, func() { p.AppendText(buffer, ctx) }); n != 0 {
			t.Errorf("%s: %v allocations", full, n)
		}
	}
	if _, err := eval.NewPath("a..b", "flag"); err == nil {
		t.Error("a path with an empty element is taken")
	}
}
