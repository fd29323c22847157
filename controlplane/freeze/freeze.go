// Package freeze tells whether an environment is frozen at a time: by somebody, who froze it or
// all of them, or in a window of its settings. It is pure: the time is given, and so is what is
// stored.
package freeze

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// InForce are the freezes whose time is not over.
func InForce(all *controlv1.Freezes, now time.Time) []*controlv1.Freeze {
	var held []*controlv1.Freeze
	for _, f := range all.GetFreezes() {
		if f.GetUntil() == nil || now.Before(f.GetUntil().AsTime()) {
			held = append(held, f)
		}
	}
	return held
}

// By is what somebody froze of an environment, what lasts longest first.
func By(all *controlv1.Freezes, environment string, now time.Time) []*rolloutv1.Frozen {
	var held []*rolloutv1.Frozen
	for _, f := range InForce(all, now) {
		if f.GetEnvironment() == "" || f.GetEnvironment() == environment {
			held = append(held, &rolloutv1.Frozen{
				Actor: f.GetActor(), Reason: f.GetReason(), Since: f.GetSince(), Until: f.GetUntil(),
				Everywhere: f.GetEnvironment() == "",
			})
		}
	}
	longestFirst(held)
	return held
}

// In are the windows that an environment with such settings is in, what lasts longest first.
func In(settings *controlv1.EnvironmentSettings, now time.Time) []*rolloutv1.Frozen {
	var held []*rolloutv1.Frozen
	for _, w := range settings.GetFreezeWindows() {
		for _, s := range spansAround(w, now) {
			if s.holds(now) {
				held = append(held, s.of(w))
			}
		}
	}
	longestFirst(held)
	return held
}

// At is all that an environment is frozen by, what lasts longest first.
func At(all *controlv1.Freezes, settings *controlv1.EnvironmentSettings, environment string, now time.Time) []*rolloutv1.Frozen {
	held := append(By(all, environment, now), In(settings, now)...)
	longestFirst(held)
	return held
}

// Next is the window that begins next; nil: none does within the horizon.
func Next(settings *controlv1.EnvironmentSettings, now time.Time) *rolloutv1.Frozen {
	var next *rolloutv1.Frozen
	for _, w := range settings.GetFreezeWindows() {
		for _, s := range spansAround(w, now) {
			if s.start.After(now) && s.start.Before(now.Add(horizon)) && (next == nil || s.start.Before(next.GetSince().AsTime())) {
				next = s.of(w)
			}
		}
	}
	return next
}

// horizon is how far ahead Next looks: over a year, so that a window of next year's end is told.
const horizon = 400 * 24 * time.Hour

// maxChained is how many freezes, one after the other, Until follows.
const maxChained = 64

// Until is when an environment that is frozen now will not be any more; false: nobody knows, or
// it is not frozen. Where one freeze goes over into the next it is when the last of them ends.
func Until(all *controlv1.Freezes, settings *controlv1.EnvironmentSettings, environment string, now time.Time) (time.Time, bool) {
	end := now
	for range maxChained {
		held := At(all, settings, environment, end)
		switch {
		case len(held) == 0:
			return end, end.After(now)
		case held[0].GetUntil() == nil:
			return time.Time{}, false
		}
		end = held[0].GetUntil().AsTime()
	}
	return time.Time{}, false
}

func longestFirst(held []*rolloutv1.Frozen) {
	slices.SortStableFunc(held, func(a, b *rolloutv1.Frozen) int { return compareEnds(b.GetUntil(), a.GetUntil()) })
}

// Later tells whether an end is after another; unset is after every time.
func Later(a, b *timestamppb.Timestamp) bool { return compareEnds(a, b) > 0 }

func compareEnds(a, b *timestamppb.Timestamp) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return a.AsTime().Compare(b.AsTime())
}
