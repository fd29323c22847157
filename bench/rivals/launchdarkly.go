package main

import (
	"fmt"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	evaluation "github.com/launchdarkly/go-server-sdk-evaluation/v3"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
)

// store is the data provider: prerequisites and segments are looked up in it.
type store struct {
	flags    map[string]*ldmodel.FeatureFlag
	segments map[string]*ldmodel.Segment
}

func (s store) GetFeatureFlag(key string) *ldmodel.FeatureFlag { return s.flags[key] }
func (s store) GetSegment(key string) *ldmodel.Segment         { return s.segments[key] }

// newLaunchDarkly builds the case for LaunchDarkly's evaluator. It is handed the flag,
// without a look-up.
func newLaunchDarkly(d definition) (contender, error) {
	s := store{flags: map[string]*ldmodel.FeatureFlag{}, segments: map[string]*ldmodel.Segment{}}
	for _, f := range d.flags() {
		built := buildFlag(f)
		s.flags[f.key] = &built
	}
	for _, set := range d.sets {
		built := ldbuilders.NewSegmentBuilder(set.key).Included(set.keys...).Build()
		s.segments[set.key] = &built
	}
	evaluator, flag, ctx := evaluation.NewEvaluator(s), s.flags[d.flag.key], launchDarklyContext(d.contextKey())
	return contender{decide: func() bool { return evaluator.Evaluate(flag, ctx, nil).Detail.Value.BoolValue() }}, nil
}

//go:noinline
func launchDarklyContext(key string) ldcontext.Context {
	return ldcontext.NewBuilder(key).
		SetString("email", attributes["email"]).SetString("country", attributes["country"]).
		SetString("plan", attributes["plan"]).SetString("device", attributes["device"]).
		SetString("language", attributes["language"]).Build()
}

// The variations are in the order off, on. Build also brings the flag into the form
// that LaunchDarkly evaluates.
func buildFlag(f flagSpec) ldmodel.FeatureFlag {
	b := ldbuilders.NewFlagBuilder(f.key).On(!f.disabled).Version(1).Salt("salt").
		Variations(ldvalue.Bool(false), ldvalue.Bool(true)).OffVariation(0).Fallthrough(serves(f.serves))
	if f.prerequisite != "" {
		b.AddPrerequisite(f.prerequisite, 1)
	}
	for i, r := range f.rules {
		clause := ldbuilders.SegmentMatchClause(r.segments...)
		if len(r.segments) == 0 {
			values := make([]ldvalue.Value, len(r.values))
			for j, v := range r.values {
				values[j] = ldvalue.String(v)
			}
			clause = ldbuilders.Clause(r.attribute, ldmodel.Operator(r.operator), values...)
		}
		b.AddRule(ldbuilders.NewRuleBuilder().ID(fmt.Sprint("rule-", i)).Clauses(clause).VariationOrRollout(serves(r.serves)))
	}
	return b.Build()
}

func serves(s share) ldmodel.VariationOrRollout {
	if s.fixed {
		return ldbuilders.Variation(min(s.on, 1))
	}
	return ldbuilders.Rollout(ldbuilders.Bucket(1, s.on), ldbuilders.Bucket(0, 100_000-s.on))
}
