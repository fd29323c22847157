package main

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/bucketing"
)

// flagEdit is what 'flag set' changes; nil: stays as it is.
type flagEdit struct {
	description, owner, offVariant *string
	addTags, removeTags            []string
	kind                           *flagv1.FlagKind
	expectedLifetime               *time.Duration // 0: none
	clientVisible                  *bool

	// Of the default outcome, or of the rule named.
	rule     string
	serve    *string
	split    []*flagv1.WeightedVariant
	bucketBy *string

	// Of the flag and all of its splits; unspecified: stays as it is.
	bucketing flagv1.BucketingVersion
}

// apply returns the flag with the edit.
func (e *flagEdit) apply(f *flagv1.Flag) (*flagv1.Flag, error) {
	f = proto.CloneOf(f)
	if e.description != nil {
		f.Description = *e.description
	}
	if e.owner != nil {
		f.Owner = *e.owner
	}
	if e.kind != nil {
		f.Kind = *e.kind
	}
	if e.expectedLifetime != nil {
		f.ExpectedLifetime = nil
		if d := *e.expectedLifetime; d != 0 {
			f.ExpectedLifetime = durationpb.New(d)
		}
	}
	if e.offVariant != nil {
		f.OffVariant = *e.offVariant
	}
	if e.clientVisible != nil {
		f.ClientVisible = *e.clientVisible
	}
	for _, tag := range e.addTags {
		if !slices.Contains(f.GetTags(), tag) {
			f.Tags = append(f.Tags, tag)
		}
	}
	f.Tags = slices.DeleteFunc(f.Tags, func(tag string) bool { return slices.Contains(e.removeTags, tag) })

	outcome := &f.DefaultOutcome
	if e.rule != "" {
		i := slices.IndexFunc(f.GetRules(), func(r *flagv1.Rule) bool { return r.GetId() == e.rule })
		if i < 0 {
			return nil, usagef("--rule %s: %s has %s", e.rule, f.GetKey(), ruleNames(f))
		}
		outcome = &f.GetRules()[i].Outcome
	}
	if err := e.applyOutcome(f, outcome); err != nil {
		return nil, err
	}
	if e.bucketing != flagv1.BucketingVersion_BUCKETING_VERSION_UNSPECIFIED {
		bucketing.Set(f, e.bucketing)
	}
	return f, nil
}

// applyOutcome changes one outcome. The order of a split that is there stays: another
// order would move people between variants.
func (e *flagEdit) applyOutcome(f *flagv1.Flag, outcome **flagv1.Outcome) error {
	named := make([]string, 0, len(e.split)+1)
	switch {
	case e.serve != nil:
		named = append(named, *e.serve)
		*outcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: *e.serve}}
	case e.split != nil:
		split := (*outcome).GetSplit()
		if split == nil {
			split = &flagv1.Split{} // of the flag's bucketing version
			*outcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: split}}
		}
		split.Variants = inOrderOf(split.GetVariants(), e.split)
		if e.bucketBy != nil {
			split.BucketBy = *e.bucketBy
		}
		for _, v := range e.split {
			named = append(named, v.GetVariant())
		}
	}
	for _, name := range named {
		if !slices.ContainsFunc(f.GetVariants(), func(v *flagv1.Variant) bool { return v.GetName() == name }) {
			return usagef("%s is not a variant of %s; it has %s", name, f.GetKey(), variantNames(f))
		}
	}
	return nil
}

// inOrderOf sorts new shares as the old ones stand; what is new comes last.
func inOrderOf(before, after []*flagv1.WeightedVariant) []*flagv1.WeightedVariant {
	place := make(map[string]int, len(before))
	for i, v := range before {
		place[v.GetVariant()] = i
	}
	rank := func(v *flagv1.WeightedVariant) int {
		if i, ok := place[v.GetVariant()]; ok {
			return i
		}
		return len(before)
	}
	after = slices.Clone(after)
	slices.SortStableFunc(after, func(a, b *flagv1.WeightedVariant) int { return rank(a) - rank(b) })
	return after
}

func variantNames(f *flagv1.Flag) string {
	names := make([]string, len(f.GetVariants()))
	for i, v := range f.GetVariants() {
		names[i] = v.GetName()
	}
	return strings.Join(names, ", ")
}

func ruleNames(f *flagv1.Flag) string {
	if len(f.GetRules()) == 0 {
		return "no rules"
	}
	names := make([]string, len(f.GetRules()))
	for i, r := range f.GetRules() {
		names[i] = r.GetId()
	}
	return "the rules " + strings.Join(names, ", ")
}
