package controlplane

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/usage"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// constant is what a flag serves that serves everyone the same; no variant: the caller's
// default.
type constant struct {
	variant  string
	disabled bool
}

func (c constant) words() string {
	what := c.variant
	if what == "" {
		what = "the caller's default"
	}
	if c.disabled {
		return "is disabled, and so has served everyone " + what
	}
	return "has served everyone " + what
}

// constantOutcome tells what a flag serves everyone; false: it depends on who asks.
func constantOutcome(f *flagv1.Flag) (constant, bool) {
	switch {
	case !f.GetEnabled():
		return constant{f.GetOffVariant(), true}, true
	case len(f.GetPrerequisites()) > 0:
		return constant{}, false
	}
	same, ok := onlyVariant(f.GetDefaultOutcome())
	for _, r := range f.GetRules() {
		variant, one := onlyVariant(r.GetOutcome())
		ok = ok && one && variant == same
	}
	return constant{variant: same}, ok
}

// onlyVariant is the variant that an outcome always serves: one by name, or one that has all
// of a split.
func onlyVariant(o *flagv1.Outcome) (string, bool) {
	switch {
	case o == nil:
		return "", true
	case o.GetVariant() != "":
		return o.GetVariant(), true
	}
	variant := ""
	for _, w := range o.GetSplit().GetVariants() {
		switch {
		case w.GetWeight() == 0 || w.GetVariant() == variant:
		case variant != "":
			return "", false
		default:
			variant = w.GetVariant()
		}
	}
	return variant, variant != ""
}

// inDays writes a duration as people tell an age: in days from two on, else in hours.
func inDays(d time.Duration) string {
	const hour = time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*hour:
		return fmt.Sprintf("%d hours", d/hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return "less than 2 minutes"
}

func usageProto(f *usage.Flag, now time.Time) *controlv1.FlagUsage {
	if f == nil {
		return nil
	}
	m := &controlv1.FlagUsage{LastEvaluatedAt: timestamppb.New(f.Last()), EvaluationsLastHour: f.LastHour(now)}
	times := f.Variants()
	for _, name := range slices.Sorted(maps.Keys(times)) {
		m.Variants = append(m.Variants, &controlv1.VariantUsage{Variant: name, LastServedAt: timestamppb.New(times[name])})
	}
	return m
}
