package judge

import (
	"time"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// Bounds of what a State remembers.
const (
	maxSegments = 16
	keptSteps   = 16
	maxLabels   = 40
)

// State is the evidence of one rollout in the form that is computed with. It has one owner.
type State struct {
	plan *Plan
	// Of the step that is judged. since and counted are zero before anything was counted.
	step           uint64
	stage          int
	since, counted time.Time
	exposures      [2]int64
	ratio          ratio
	guards         []guardState
	success        contrast
	refused        uint64
	refusal        string
}

type guardState struct {
	segments []segmentState // the first is that of all subjects
	steps    []stepCounts   // oldest first
	level    level
	contrast contrast // of this step
	scale    scale
	quantile quantileState
	labels   []labelCount // sorted
	// Of a share of exposures: something was told of the metric since the rollout began; and
	// what was told, of this step, that did not happen.
	told        bool
	notHappened [2]int64
}

type segmentState struct {
	name          string
	steady, onset guardrail.RateBreakerState
	gate, excess  guardrail.RateGateState
	mean          guardrail.MeanBreakerState
	counts        guardrail.Counts // of this step
}

type stepCounts struct {
	step   uint64
	counts guardrail.Counts
}

// contrast is a difference of means, with what it was made of.
type contrast struct {
	difference guardrail.DifferenceState
	pending    [2]guardrail.Sample
	total      [2]guardrail.Sample
	eta        float64               // 0: not frozen yet
	test       *guardrail.Difference // by eta; nil: not frozen yet
}

// level is control's rate, of late and before. See control.go.
type level struct{ recent, before faded }

type faded struct{ events, exposures float64 }

// scale is what a mean's changes are measured with, once shifts is set.
type scale struct {
	control guardrail.Sample
	shifts  []float64
	breaker *guardrail.MeanBreaker // by shifts; nil: not frozen yet
}

type quantileState struct {
	frozen bool
	bins   [2]int // above which a value exceeds
	values [2]sketch
}

type labelCount struct {
	label  string
	counts [2]int64
}

// NewState returns the state before anything was counted.
func (p *Plan) NewState() *State {
	s := &State{plan: p, guards: make([]guardState, len(p.guards))}
	for i := range s.guards {
		s.guards[i].segments = make([]segmentState, 1)
	}
	return s
}

// begin starts a step: what is known of the one before is no evidence of this one. What
// breakers remember of harm that may begin at any time stays.
func (s *State) begin(status *rolloutv1.Status, stage int) {
	before := s.stage
	s.step, s.stage = status.GetStep(), stage
	s.since, s.counted = time.Time{}, time.Time{}
	s.exposures = [2]int64{}
	s.ratio = ratio{weight: status.GetWeight()}
	for i := range s.guards {
		g := s.plan.guards[i]
		s.guards[i].begin(g, keepsGate(s.plan.stages, stage) && g.sameGate(before, stage))
	}
	s.success.pending = [2]guardrail.Sample{}
	s.success.difference.EndStage()
}

func (g *guardState) begin(plan *guard, keepGate bool) {
	for i := range g.segments {
		s := &g.segments[i]
		s.onset = guardrail.RateBreakerState{}
		if !keepGate {
			s.gate, s.excess = guardrail.RateGateState{}, guardrail.RateGateState{}
		}
		s.mean.EndStage()
		s.counts = guardrail.Counts{}
	}
	if !keepGate {
		g.contrast = contrast{eta: g.contrast.eta, test: g.contrast.test}
		g.labels = nil
	} else {
		g.contrast.pending = [2]guardrail.Sample{}
		g.contrast.difference.EndStage()
	}
	g.notHappened = [2]int64{}
	if plan.kind == kindQuantile {
		g.quantile.freeze(plan)
		g.quantile.values = [2]sketch{}
	}
}

// segment returns the index of a segment's state; -1 if there are too many.
func (g *guardState) segment(name string) int {
	for i := range g.segments {
		if g.segments[i].name == name {
			return i
		}
	}
	if len(g.segments) > maxSegments {
		return -1
	}
	g.segments = append(g.segments, segmentState{name: name})
	return len(g.segments) - 1
}

// stepCounts returns the counts of a step, to be added to; nil if it is too long ago.
func (g *guardState) stepCounts(step uint64) *guardrail.Counts {
	at := len(g.steps)
	for at > 0 && g.steps[at-1].step >= step {
		at--
	}
	if at < len(g.steps) && g.steps[at].step == step {
		return &g.steps[at].counts
	}
	if len(g.steps) == keptSteps {
		if at == 0 {
			return nil
		}
		g.steps = append(g.steps[:0], g.steps[1:]...)
		at--
	}
	g.steps = append(g.steps, stepCounts{})
	copy(g.steps[at+1:], g.steps[at:])
	g.steps[at] = stepCounts{step: step}
	return &g.steps[at].counts
}

// stepOf finds a step in a rollout's status, and the stage's weight in it.
func stepOf(status *rolloutv1.Status, step uint64) (*rolloutv1.Step, bool) {
	for _, s := range status.GetSteps() {
		if s.GetStep() == step {
			return s, true
		}
	}
	return nil, false
}

func exposed(c *cell, unit rolloutv1.Unit) int64 {
	if unit == rolloutv1.Unit_UNIT_REQUEST {
		return c.exposures
	}
	return c.subjects
}

func exposedMetric(m *metric, unit rolloutv1.Unit) int64 {
	if unit == rolloutv1.Unit_UNIT_REQUEST {
		return m.exposures
	}
	return m.subjects
}

// count takes in what was counted since. Windows of steps that are over add to what is shown;
// those of steps that never were are refused.
func (s *State) count(status *rolloutv1.Status, windows []*telemetryv1.Window, now time.Time) {
	strata, refused, refusal := s.plan.merge(windows)
	s.refuse(refused, refusal)
	for _, st := range strata {
		step, ok := stepOf(status, st.key.step)
		if !ok {
			if len(status.GetSteps()) == 0 || st.key.step > status.GetSteps()[len(status.GetSteps())-1].GetStep() {
				s.refuse(1, "a window of a step that never was")
			}
			continue
		}
		s.observe(st, float64(step.GetWeight())/fullWeight, now)
	}
}

func (s *State) refuse(n uint64, why string) {
	if n > 0 {
		s.refused += n
		s.refusal = why
	}
}

func (s *State) observe(st *stratum, share float64, now time.Time) {
	current := st.key.step == s.step
	units := [2]int64{exposed(&st.arms[treatment], s.plan.unit), exposed(&st.arms[control], s.plan.unit)}
	if current {
		if s.since.IsZero() {
			s.since = now
		}
		s.counted = now
		for arm := range units {
			s.exposures[arm] = add(s.exposures[arm], uint64(units[arm]))
			s.ratio.subjects[arm] = add(s.ratio.subjects[arm], uint64(st.arms[arm].newSubjects))
			s.ratio.counters[arm] = add(s.ratio.counters[arm], uint64(st.arms[arm].newCounters))
		}
	}
	for i, g := range s.plan.guards {
		s.guards[i].observe(g, observation{stratum: st, units: units, unit: s.plan.unit, stage: s.stage, share: share, current: current})
	}
	if s.plan.success != nil {
		s.success.observeSuccess(s.plan.success, st, units, current)
	}
}
