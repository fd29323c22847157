package rollout

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/bucketing"
)

// Claim is what a rollout that is not over owns of its flag: an outcome, and the meaning of
// the two variants in it. It has a JSON form, as the control plane keeps it.
type Claim struct {
	Rollout   string `json:"rollout"`
	Rule      string `json:"rule,omitempty"` // empty: the default outcome
	Control   string `json:"control"`
	Treatment string `json:"treatment"`
}

// ClaimOf is what the rollout owns while it is not over.
func ClaimOf(r *rolloutv1.Rollout) Claim {
	return Claim{Rollout: r.GetKey(), Rule: r.GetRule(), Control: r.GetControl(), Treatment: r.GetTreatment()}
}

// Disturbed finds what a change of the flag would do to the claim; after is nil where the flag
// is deleted. Field paths are those of the flag. Whatever else the change does is free.
func (c Claim) Disturbed(before, after *flagv1.Flag) eval.Errors {
	if after == nil {
		return eval.Errors{{Problem: c.refusal("the flag cannot be deleted")}}
	}
	before, after = bucketing.Pin(before), bucketing.Pin(after)
	var errs eval.Errors
	add := func(field, what string) {
		errs = append(errs, eval.FieldError{Field: field, Problem: c.refusal(what)})
	}
	had, _ := outcomeOf(before, c.Rule)
	has, field := outcomeOf(after, c.Rule)
	switch {
	case had == nil: // lost already: nothing that is left can be disturbed
	case has == nil && c.Rule != "":
		add("rules", fmt.Sprintf("rule %q cannot be removed", c.Rule))
	case !proto.Equal(had, has):
		add(field, OutcomeWord(c.Rule)+" cannot be changed")
	}
	for _, name := range []string{c.Control, c.Treatment} {
		was, _ := variantOf(before, name)
		is, at := variantOf(after, name)
		switch {
		case was == nil:
		case is == nil:
			add("variants", fmt.Sprintf("variant %q cannot be removed", name))
		case !proto.Equal(was, is):
			add(fmt.Sprintf("variants[%d].value", at), fmt.Sprintf("the value of variant %q cannot be changed", name))
		}
	}
	return errs
}

func (c Claim) refusal(what string) string {
	return fmt.Sprintf("%s while rollout %q owns it: end the rollout first ('tidegate rollout abort %s'), or leave it as it is; to stop everything at once, disable the flag",
		what, c.Rollout, c.Rollout)
}

// outcomeOf is the outcome of a rule, or the default one where rule is empty, and its path;
// nil if there is none.
func outcomeOf(f *flagv1.Flag, rule string) (o *flagv1.Outcome, path string) {
	if rule == "" {
		return f.GetDefaultOutcome(), "default_outcome"
	}
	for i, r := range f.GetRules() {
		if r.GetId() == rule {
			return r.GetOutcome(), fmt.Sprintf("rules[%d].outcome", i)
		}
	}
	return nil, "rules"
}

// withOutcome is the flag with another outcome, which it must have already.
func withOutcome(f *flagv1.Flag, rule string, o *flagv1.Outcome) *flagv1.Flag {
	f = proto.CloneOf(f)
	if rule == "" {
		f.DefaultOutcome = o
		return f
	}
	for _, r := range f.GetRules() {
		if r.GetId() == rule {
			r.Outcome = o
		}
	}
	return f
}

func variantOf(f *flagv1.Flag, name string) (*flagv1.Variant, int) {
	i := slices.IndexFunc(f.GetVariants(), func(v *flagv1.Variant) bool { return v.GetName() == name })
	if i < 0 {
		return nil, i
	}
	return f.GetVariants()[i], i
}

// Ready tells whether the flag serves what the rollout says: it is enabled, and the outcome is
// the split with the weight in force. Where it is not, what is counted means something else.
func Ready(r *rolloutv1.Rollout, f *flagv1.Flag) bool {
	o, _ := outcomeOf(f, r.GetRule())
	shares := o.GetSplit().GetVariants()
	return f.GetEnabled() && len(shares) == 2 &&
		shares[0].GetVariant() == r.GetTreatment() && shares[0].GetWeight() == r.GetStatus().GetWeight() &&
		shares[1].GetVariant() == r.GetControl() && shares[1].GetWeight() == TotalWeight-r.GetStatus().GetWeight()
}

// split is the outcome with the treatment at a weight: treatment first and the total constant,
// so that widening moves nobody out of it. What else the outcome's split says is kept.
func split(f *flagv1.Flag, o *flagv1.Outcome, r *rolloutv1.Rollout, weight uint32) *flagv1.Outcome {
	s := &flagv1.Split{BucketingVersion: bucketing.Pin(f).GetBucketingVersion()}
	if had := o.GetSplit(); had != nil {
		s = proto.CloneOf(had)
	}
	s.Variants = []*flagv1.WeightedVariant{
		{Variant: r.GetTreatment(), Weight: weight},
		{Variant: r.GetControl(), Weight: TotalWeight - weight},
	}
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: s}}
}

// Controlled is the flag where the outcome of a rule, or the default one where rule is empty,
// gives the control to everybody. A split of it stays one, so that the answer's reason, and what
// a split demands of the context, are as before. False: there is no such outcome.
func Controlled(f *flagv1.Flag, rule, control string) (*flagv1.Flag, bool) {
	o, _ := outcomeOf(f, rule)
	if o == nil {
		return f, false
	}
	o = proto.CloneOf(o)
	shares := o.GetSplit().GetVariants()
	i := slices.IndexFunc(shares, func(v *flagv1.WeightedVariant) bool { return v.GetVariant() == control })
	if i < 0 {
		o.Kind = &flagv1.Outcome_Variant{Variant: control}
		return withOutcome(f, rule, o), true
	}
	var total uint32
	for _, v := range shares {
		total += v.GetWeight()
		v.Weight = 0
	}
	shares[i].Weight = total
	return withOutcome(f, rule, o), true
}

// variantNames lists the variants for a message.
func variantNames(f *flagv1.Flag) string {
	const shown = 5
	var names []string
	for i, v := range f.GetVariants() {
		if i == shown {
			names = append(names, "...")
			break
		}
		names = append(names, fmt.Sprintf("%q", shortened(v.GetName())))
	}
	return strings.Join(names, ", ")
}
