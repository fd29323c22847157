package main

import (
	"strings"
	"testing"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// Stages are counted from 1, as they are shown, and what cannot be is told in the same way.
func TestChosenStage(t *testing.T) {
	t.Parallel()
	r := &rolloutv1.Rollout{
		Key: "r", Stages: []*rolloutv1.Stage{{Weight: 100}, {Weight: 500}, {Weight: 10_000}},
		Status: &rolloutv1.Status{Stage: 1, Weight: 500},
	}
	for stage, want := range map[int]string{
		3: "", 4: "",
		-1: "r has 3 stages, and 4 completes it", 0: "r has 3 stages", 5: "r has 3 stages",
		1: "r is at stage 2 of 3 (5%) already", 2: "r is at stage 2 of 3 (5%) already",
	} {
		to, err := chosenStage(r, stage)
		switch {
		case want == "" && (err != nil || int(to) != stage-1):
			t.Errorf("%d: %d, %v", stage, to, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%d: %v, want %q", stage, err, want)
		}
	}
}
