// Package rollout says what a rollout is: what makes it valid, what is filled in where its
// author left something out, which outcome of its flag it owns, how its steps follow each
// other, and how people write its guardrails. The control plane, the judge and relays share it.
//
// Everything in it is pure. What is given is never modified: what is returned is new.
package rollout

import (
	"fmt"
	"strconv"
	"time"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// TotalWeight is what the weights of the two variants add up to.
const TotalWeight = 10_000

const (
	maxSize         = 64 << 10
	maxText         = 4 << 10 // bytes
	maxOwner        = 256
	maxStages       = 32
	maxHoldback     = 2_000
	maxGuardrails   = 32
	maxGuardrailLen = 64
	maxVariantLen   = 128
	maxAttribute    = 256
	maxWeight       = 1_000
	maxRatio        = 1_000
	maxAbsolute     = 1e15
	maxNotify       = 32
	maxBudget       = 0.2
	maxSteps        = 64 // that a status keeps

	maxDwell    = 30 * 24 * time.Hour
	maxGiveUp   = 365 * 24 * time.Hour
	minEdgeWait = 6 * time.Second
	maxEdgeWait = time.Hour
)

// What is filled in.
const (
	DefaultDwell      = time.Minute
	DefaultBake       = 10 * time.Minute // the last stage of a preset
	DefaultHoldback   = 200
	DefaultBudget     = 0.01
	DefaultEdgeWait   = 10 * time.Second
	DefaultAlpha      = 0.05
	DefaultDifference = 0.05
	DefaultDrift      = 0.1
)

// defaultRatios are the promotion ratios of the first stages; the last one is that of all
// others.
func defaultRatios() []float64 { return []float64{5, 3, 2, 1.5} }

// Active tells whether a rollout is not over: it owns its outcome, and telemetry is judged.
func Active(r *rolloutv1.Rollout) bool {
	switch r.GetStatus().GetState() {
	case rolloutv1.State_STATE_RUNNING, rolloutv1.State_STATE_PAUSED:
		return true
	}
	return false
}

// Shut tells whether a change of a rollout takes the treatment away from all who have it.
func Shut(before, after *rolloutv1.Rollout) bool {
	return Active(before) && before.GetStatus().GetWeight() > 0 && after.GetStatus().GetWeight() == 0
}

// StageWeight is the weight that is in force at a stage: the listed one, less what the
// holdback keeps.
func StageWeight(r *rolloutv1.Rollout, stage int) uint32 {
	return min(r.GetStages()[stage].GetWeight(), TotalWeight-r.GetHoldback())
}

// Percent writes a weight as people do: 500 is '5%'.
func Percent(weight uint32) string {
	return strconv.FormatFloat(float64(weight)/(TotalWeight/100), 'f', -1, 64) + "%"
}

// StateWord is a state as people say it, such as 'rolled back'.
func StateWord(s rolloutv1.State) string {
	switch s {
	case rolloutv1.State_STATE_RUNNING:
		return "running"
	case rolloutv1.State_STATE_PAUSED:
		return "paused"
	case rolloutv1.State_STATE_COMPLETED:
		return "completed"
	case rolloutv1.State_STATE_ROLLED_BACK:
		return "rolled back"
	case rolloutv1.State_STATE_ABORTED:
		return "aborted"
	}
	return fmt.Sprintf("unknown (%d)", s)
}

// OutcomeWord names the outcome that a rollout of the rule owns.
func OutcomeWord(rule string) string {
	if rule == "" {
		return "the default outcome"
	}
	return fmt.Sprintf("the outcome of rule %q", rule)
}
