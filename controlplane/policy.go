package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/controlplane/usage"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// checkPolicy refuses flags that are not as their environment asks.
func (s *state) checkPolicy(drafts []*draft) error {
	var problems eval.Errors
	for _, d := range drafts {
		after, ok := d.desired.(*flagv1.Flag)
		if !ok || d.kind != flagKind || d.unchecked {
			continue
		}
		settings, err := s.environmentSettings(d.environment)
		if err != nil {
			return err
		}
		before, _ := d.current.message.(*flagv1.Flag)
		s.policed = s.policed || before == nil
		for _, p := range breaches(settings.GetFlagPolicy(), before, after) {
			p.Field = fieldBelow(d.field, p.Field)
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		return &PreconditionError{Fields: problems}
	}
	return nil
}

// breaches tells what a policy has against a flag; before is nil for one that is new.
func breaches(p *controlv1.FlagPolicy, before, after *flagv1.Flag) eval.Errors {
	var problems eval.Errors
	add := func(field, problem string) {
		if text := strings.TrimSpace(p.GetExplanation()); text != "" {
			problem += " (" + text + ")"
		}
		problems = append(problems, eval.FieldError{Field: field, Problem: problem})
	}
	key := after.GetKey()
	if pattern, err := wholeKey(p.GetKeyPattern()); before == nil && p.GetKeyPattern() != "" && (err != nil || !pattern.MatchString(key)) {
		add("key", fmt.Sprintf("%q does not match %s, as the policy of this environment asks", key, p.GetKeyPattern()))
	}
	prefixed := slices.ContainsFunc(p.GetKeyPrefixes(), func(prefix string) bool { return strings.HasPrefix(key, prefix) })
	if before == nil && len(p.GetKeyPrefixes()) > 0 && !prefixed {
		add("key", fmt.Sprintf("%q does not begin with %s, as the policy of this environment asks", key, strings.Join(p.GetKeyPrefixes(), " or ")))
	}
	hasOwner := func(f *flagv1.Flag) bool { return strings.TrimSpace(f.GetOwner()) != "" }
	if p.GetRequireOwner() && !hasOwner(after) && (before == nil || hasOwner(before)) {
		add("owner", "is required by the policy of this environment: say whom to ask")
	}
	hasKind := func(f *flagv1.Flag) bool { return f.GetKind() != flagv1.FlagKind_FLAG_KIND_UNSPECIFIED }
	if p.GetRequireKind() && !hasKind(after) && (before == nil || hasKind(before)) {
		add("kind", "is required by the policy of this environment: release, experiment, operational or permission")
	}
	return problems
}

// checkUnused refuses to delete a flag that relays have told is evaluated.
func (a *Authority) checkUnused(ctx context.Context, environment, key, field string) error {
	u, err := usage.Read(ctx, a.store, environment)
	if err != nil {
		return usageError(err)
	}
	f, now := u.Flag(key), a.now()
	if f == nil {
		return nil
	}
	n := f.LastHour(now)
	if n == 0 {
		return nil
	}
	var served []string
	for name, last := range f.Variants() {
		if now.Sub(last) > 2*time.Hour { // what is counted is a little more than the last hour
			continue
		}
		if name == "" {
			name = "the caller's default"
		}
		served = append(served, name)
	}
	slices.Sort(served)
	return precluded(field, fmt.Sprintf(
		"was evaluated %d times in the last hour, last at %s, and served %s: take it out of the code first, or force its deletion, which gives callers their own default",
		n, f.Last().Format(time.RFC3339), strings.Join(served, ", ")))
}
