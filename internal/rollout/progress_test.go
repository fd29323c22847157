package rollout

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

func TestStart(t *testing.T) {
	for _, test := range []struct {
		name, want string
		edit       func(r *rolloutv1.Rollout, f *flagv1.Flag)
		outcome    string
	}{
		{name: "default", outcome: "on 100, off 9900", edit: func(*rolloutv1.Rollout, *flagv1.Flag) {}},
		{name: "control named", outcome: "on 100, off 9900", edit: func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Control = "off" }},
		{name: "split", outcome: "on 100, off 9900", edit: func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Rule = "split" }},
		{name: "split of one", outcome: "on 100, off 9900 by account salt", edit: func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Rule = "salted" }},
		{
			name: "treatment second", want: `treatment: "on" has a share of the outcome already, and does not stand first`,
			edit: func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Rule = "reversed" },
		},
		{
			name: "treatment second, but without a share", outcome: "on 100, off 9900",
			edit: func(r *rolloutv1.Rollout, f *flagv1.Flag) {
				r.Rule = "reversed"
				f.Rules[1].Outcome.GetSplit().Variants[1].Weight = 0
			},
		},
		{
			name: "share above the first stage", want: "stages[0].weight: 1% is less than the treatment has already: begin at 2%",
			edit: func(r *rolloutv1.Rollout, f *flagv1.Flag) {
				r.Rule = "split"
				f.Rules[0].Outcome.GetSplit().Variants[0].Weight, f.Rules[0].Outcome.GetSplit().Variants[1].Weight = 2, 98
			},
		},
		{name: "disabled", want: `flag_key: flag "f" is disabled`, edit: func(_ *rolloutv1.Rollout, f *flagv1.Flag) { f.Enabled = false }},
		{name: "no rule", want: `rule: flag "f" has no rule "nope"`, edit: func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Rule = "nope" }},
		{name: "no default", want: `rule: flag "f" has no default outcome`, edit: func(_ *rolloutv1.Rollout, f *flagv1.Flag) { f.DefaultOutcome = nil }},
		{name: "no such treatment", want: `treatment: flag "f" has no variant "blue": it has "on", "off", "other"`, edit: func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Treatment = "blue" }},
		{name: "no such control", want: `control: flag "f" has no variant "blue"`, edit: func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Control = "blue" }},
		{name: "other control", want: `control: the default outcome of flag "f" serves "off": name that`, edit: func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Control = "other" }},
		{name: "served already", want: `treatment: the default outcome of flag "f" serves "off" already`, edit: func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Treatment = "off" }},
		{name: "three variants", want: `rule: the outcome of rule "many" of flag "f" serves neither one variant nor`, edit: func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Rule = "many" }},
		{name: "expression", want: `rule: the outcome of rule "expression"`, edit: func(r *rolloutv1.Rollout, _ *flagv1.Flag) { r.Rule = "expression" }},
	} {
		r, f := canary(), flag()
		test.edit(r, f)
		was, before := proto.CloneOf(r), proto.CloneOf(f)
		next, err := Start(r, f, At{Time: noon, Relays: 3})
		if !proto.Equal(was, r) || !proto.Equal(before, f) {
			t.Errorf("%s: what was given was changed", test.name)
		}
		if test.want != "" || err != nil {
			if got := problems(err); test.want == "" || !strings.HasPrefix(got, test.want) {
				t.Errorf("%s: got %q, want %q", test.name, got, test.want)
			}
			continue
		}
		o, _ := outcomeOf(next.Flag, r.GetRule())
		if got := outcomeText(o); got != test.outcome {
			t.Errorf("%s: serves %q, want %q", test.name, got, test.outcome)
		}
		s := next.Rollout.GetStatus()
		if s.GetState() != rolloutv1.State_STATE_RUNNING || s.GetStep() != 1 || len(s.GetSteps()) != 1 || s.GetWeight() != 100 || s.GetRelays() != 3 ||
			next.Rollout.GetControl() != "off" || !Ready(next.Rollout, next.Flag) || s.GetPlainOutcome() != (r.GetRule() == "") {
			t.Errorf("%s: %v", test.name, next.Rollout)
		}
	}
}

func outcomeText(o *flagv1.Outcome) string {
	if o.GetSplit() == nil {
		return o.GetVariant()
	}
	var parts []string
	for _, v := range o.GetSplit().GetVariants() {
		parts = append(parts, v.GetVariant()+" "+decimal(float64(v.GetWeight())))
	}
	text := strings.Join(parts, ", ")
	if by := o.GetSplit().GetBucketBy(); by != "" {
		text += " by " + by + " " + o.GetSplit().GetSalt()
	}
	return text
}

// TestLife takes random ways through a rollout: weights rise until it ends, every change of the
// weight is a step, the flag serves what the status says, and nothing else of it changes.
func TestLife(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r, f := canary(), flag()
		r.Rule = []string{"", "split", "salted"}[rng.IntN(3)]
		if rng.IntN(2) == 0 {
			r.Holdback = proto.Uint32(0)
		}
		began := proto.CloneOf(f)
		next, err := Start(r, f, At{Time: noon})
		if err != nil {
			t.Fatal(err)
		}
		at := noon
		for Active(next.Rollout) {
			at = at.Add(time.Second)
			was := next
			next = randomStep(t, rng, was, At{Time: at, Relays: 2})
			checkStep(t, was, next)
		}
		end, _ := outcomeOf(next.Flag, r.GetRule())
		completed := next.Rollout.GetStatus().GetState() == rolloutv1.State_STATE_COMPLETED
		want := map[bool]string{true: "on", false: "off"}[completed]
		if r.GetRule() != "" {
			want = map[bool]string{true: "on 10000, off 0", false: "on 0, off 10000"}[completed]
		}
		if r.GetRule() == "salted" {
			want += " by account salt"
		}
		if got := outcomeText(end); got != want {
			t.Fatalf("seed %d: %v ended with %q, want %q", seed, next.Rollout.GetStatus(), got, want)
		}
		edited, _ := outcomeOf(began, r.GetRule())
		began = withOutcome(began, r.GetRule(), end)
		if edited == nil || !proto.Equal(began, next.Flag) {
			t.Fatalf("seed %d: something else of the flag changed", seed)
		}
		if _, err := Pause(next.Rollout); !strings.Contains(problems(err), "is over: it was") {
			t.Fatalf("seed %d: paused after its end: %v", seed, err)
		}
	}
}

// Where it is not known how many relays there are, there are as many as before: to divide by
// fewer would have those that are cut off shut a good rollout.
func TestUnknownRelays(t *testing.T) {
	t.Parallel()
	r, f := canary(), flag()
	next, err := Start(r, f, At{Time: noon, Relays: 7})
	if err != nil {
		t.Fatal(err)
	}
	if next, err = Advance(next.Rollout, next.Flag, 1, At{Time: noon}); err != nil || next.Rollout.GetStatus().GetRelays() != 7 {
		t.Errorf("%v, %v", next.Rollout.GetStatus(), err)
	}
	if next, err = Advance(next.Rollout, next.Flag, 2, At{Time: noon, Relays: 2}); err != nil || next.Rollout.GetStatus().GetRelays() != 2 {
		t.Errorf("%v, %v", next.Rollout.GetStatus(), err)
	}
}

func randomStep(t *testing.T, rng *rand.Rand, n Next, at At) Next {
	t.Helper()
	r := n.Rollout
	stage := int(r.GetStatus().GetStage())
	var (
		next = n
		err  error
	)
	switch rng.IntN(8) {
	case 0:
		next.Rollout, err = Pause(r)
	case 1:
		next.Rollout, err = Resume(r)
	case 2:
		next, err = Finish(r, n.Flag, rolloutv1.State_STATE_ROLLED_BACK, at)
	case 3:
		next, err = Finish(r, n.Flag, rolloutv1.State_STATE_ABORTED, at)
	default:
		next, err = Advance(r, n.Flag, stage+1+rng.IntN(len(r.GetStages())-stage), at)
	}
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func checkStep(t *testing.T, was, is Next) {
	t.Helper()
	a, b := was.Rollout.GetStatus(), is.Rollout.GetStatus()
	over := !Active(is.Rollout)
	last := b.GetSteps()[len(b.GetSteps())-1]
	switch {
	case a.GetWeight() == b.GetWeight() && a.GetStep() != b.GetStep(), a.GetWeight() != b.GetWeight() && b.GetStep() != a.GetStep()+1:
		t.Fatalf("step %d at %d became step %d at %d", a.GetStep(), a.GetWeight(), b.GetStep(), b.GetWeight())
	case last.GetStep() != b.GetStep() || last.GetWeight() != b.GetWeight():
		t.Fatalf("the newest step is not the one in force: %v", b)
	case !over && (b.GetWeight() < a.GetWeight() || !Ready(is.Rollout, is.Flag)):
		t.Fatalf("%v became %v", a, b)
	case over != (b.GetEndedAt() != nil):
		t.Fatalf("over is %v: %v", over, b)
	}
}

func TestAdvance(t *testing.T) {
	next, err := Start(canary(), flag(), At{Time: noon})
	if err != nil {
		t.Fatal(err)
	}
	for stage, want := range map[int]string{
		0: "stage: must be above the one in force, 0 (1%); got 0", -1: "stage: must be above", 6: "stage: must be at most 5, which completes",
	} {
		if _, err := Advance(next.Rollout, next.Flag, stage, At{Time: noon}); !strings.HasPrefix(problems(err), want) {
			t.Errorf("to %d: got %v, want %q", stage, err, want)
		}
	}
	// An outcome that is no longer the rollout's is not built upon, but the end leaves no
	// treatment behind.
	other := proto.CloneOf(next.Flag)
	other.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "other"}}
	if _, err := Advance(next.Rollout, other, 1, At{Time: noon}); !strings.Contains(problems(err), "no longer what the rollout wrote") {
		t.Errorf("on another outcome: %v", err)
	}
	end, err := Finish(next.Rollout, other, rolloutv1.State_STATE_ROLLED_BACK, At{Time: noon})
	if err != nil || end.Flag.GetDefaultOutcome().GetVariant() != "off" {
		t.Errorf("rolled back to %v, %v", end.Flag.GetDefaultOutcome(), err)
	}
	// A disabled flag is advanced like any other: the switch is not the rollout's.
	disabled := proto.CloneOf(next.Flag)
	disabled.Enabled = false
	if n, err := Advance(next.Rollout, disabled, 1, At{Time: noon}); err != nil || n.Flag.GetEnabled() {
		t.Errorf("disabled: %v, %v", n, err)
	}
	if Ready(next.Rollout, disabled) {
		t.Error("a disabled flag is ready")
	}
	// Steps that are long gone are forgotten.
	r := next.Rollout
	for range 2 * maxSteps {
		beginStep(r, 1, At{Time: noon})
	}
	if s := r.GetStatus(); len(s.GetSteps()) != maxSteps || s.GetSteps()[maxSteps-1].GetStep() != 2*maxSteps+1 {
		t.Errorf("%d steps", len(s.GetSteps()))
	}
}

func TestDisturbed(t *testing.T) {
	r := canary()
	r.Rule = "split"
	next, err := Start(r, flag(), At{Time: noon})
	if err != nil {
		t.Fatal(err)
	}
	claim := ClaimOf(next.Rollout)
	for _, test := range []struct {
		name string
		want []string // fields
		edit func(f *flagv1.Flag)
	}{
		{"nothing", nil, func(*flagv1.Flag) {}},
		{"switch", nil, func(f *flagv1.Flag) { f.Enabled = false }},
		{"description", nil, func(f *flagv1.Flag) { f.Description = "x" }},
		{"another outcome", nil, func(f *flagv1.Flag) { f.DefaultOutcome = nil }},
		{"another variant", nil, func(f *flagv1.Flag) { f.Variants = slices.Delete(f.Variants, 2, 3) }},
		{"another rule", nil, func(f *flagv1.Flag) { f.Rules = f.Rules[:1] }},
		{"its place", nil, func(f *flagv1.Flag) { slices.Reverse(f.Rules) }},
		{"its clauses", nil, func(f *flagv1.Flag) { f.Rules[0].Clauses = []*flagv1.Clause{{Attribute: "a"}} }},
		{"pinned", nil, func(f *flagv1.Flag) { f.BucketingVersion = flagv1.BucketingVersion_BUCKETING_VERSION_2 }},
		{"its weights", []string{"rules[0].outcome"}, func(f *flagv1.Flag) { f.Rules[0].Outcome.GetSplit().Variants[0].Weight++ }},
		{"its salt", []string{"rules[0].outcome"}, func(f *flagv1.Flag) { f.Rules[0].Outcome.GetSplit().Salt = proto.String("x") }},
		{"its bucketing", []string{"rules[0].outcome"}, func(f *flagv1.Flag) { f.Rules[0].Outcome.GetSplit().BucketingVersion = 3 }},
		{"the rule", []string{"rules"}, func(f *flagv1.Flag) { f.Rules = f.Rules[1:] }},
		{"the treatment's value", []string{"variants[0].value"}, func(f *flagv1.Flag) { f.Variants[0].Value = structpb.NewStringValue("x") }},
		{"the control", []string{"variants"}, func(f *flagv1.Flag) { f.Variants = slices.Delete(f.Variants, 1, 2) }},
	} {
		f := proto.CloneOf(next.Flag)
		test.edit(f)
		var got []string
		for _, e := range claim.Disturbed(next.Flag, f) {
			got = append(got, e.Field)
			if !strings.Contains(e.Problem, `rollout "r" owns it`) {
				t.Errorf("%s: %s", test.name, e.Problem)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
	if errs := claim.Disturbed(next.Flag, nil); len(errs) != 1 {
		t.Errorf("deleted: %v", errs)
	}
}
