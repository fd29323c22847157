package tally

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/ddsketch"
)

// Errors of [Tally.Merge]: what they are wrapped by says where and why.
var (
	// ErrReport says that a report cannot be what somebody counted. Nothing of it was counted.
	ErrReport = errors.New("tally: malformed report")
	// ErrAhead says that a report is of a step that is not known here yet. Nothing of it was
	// counted; it may be later.
	ErrAhead = errors.New("tally: report of a step that is not known here")
)

// Merge counts what an SDK has added up. It is checked as if a stranger had sent it, and
// counted whole or not at all. lost is what the sender declares lost that it had not
// before. Who sends is the caller's to look at, and that nothing is merged twice.
//
// It counts in the window under way here, whatever the sender's clock says: the weight is the
// same all through a step, so the shares of the arms are, and both arms of the sender's
// window come together.
func (t *Tally) Merge(r *telemetryv1.ReportRequest, lost uint64) error {
	v := t.view.Load()
	counted := uint64(0)
	for i, w := range r.GetWindows() {
		n, err := v.check(w)
		if err != nil {
			return fmt.Errorf("windows[%d]: %w", i, err)
		}
		counted += n
	}
	if got := r.GetTally().GetCounted(); got != counted {
		return fmt.Errorf("%w: tally.counted is %d, but the windows hold %d exposures and observations", ErrReport, got, counted)
	}
	for _, w := range r.GetWindows() {
		for _, c := range w.GetCells() {
			t.merge(v.byKey[c.GetRollout()], c)
		}
	}
	t.lose(Below, lost)
	return nil
}

// merge counts a cell that was checked.
func (t *Tally) merge(c *course, in *telemetryv1.Cell) {
	if c == nil {
		t.lose(Unknown, Contributions(in))
		return
	}
	s := c.rollout.open(c, in.GetStep())
	if s == nil {
		t.lose(Late, Contributions(in))
		return
	}
	defer s.mu.Unlock()
	a := control
	if in.GetArm() == telemetryv1.Arm_ARM_TREATMENT {
		a = treatment
	}
	n := &s.reported[a]
	n[repeated] += in.GetExposures() - in.GetSubjects()
	n[firstInWindow] += in.GetSubjects() - in.GetNewSubjects()
	n[firstAtStep] += in.GetNewSubjects()
	for _, m := range in.GetMetrics() {
		at, known := c.plan.byName[m.GetMetric()]
		why := Overflow
		if !known {
			why = Unknown
		} else if s.mergeMetric(t, at, a, m) {
			continue
		}
		if m.GetSegment() == "" {
			t.lose(why, observations(m))
		}
	}
}

// mergeMetric counts a metric's cell; mu is held. It tells whether there was memory.
func (s *step) mergeMetric(t *Tally, at int, a arm, in *telemetryv1.MetricCell) bool {
	if !s.open(t) {
		return false
	}
	m := &s.plan.metrics[at]
	if in.GetSegment() == "" {
		return s.mergeCell(t, &s.cells[at*int(arms)+int(a)], m, in)
	}
	segment := s.plan.dimensions[m.dimension].values.number(in.GetSegment())
	if in.GetExposures() > 0 {
		if s.reportedSegments == nil {
			s.reportedSegments = map[segmentKey][novelties]uint64{}
		}
		key := segmentKey{at, segment, a}
		n := s.reportedSegments[key]
		n[repeated] += in.GetExposures() - in.GetSubjects()
		n[firstInWindow] += in.GetSubjects()
		s.reportedSegments[key] = n
	}
	c := s.segmentCell(t, at, segment, a)
	return c != nil && s.mergeCell(t, c, m, in)
}

func (s *step) mergeCell(t *Tally, c *cell, m *metric, in *telemetryv1.MetricCell) bool {
	if m.sketch && in.GetSketch() != nil {
		sketch, err := ddsketch.FromProto(in.GetSketch())
		if err != nil || c.sketch == nil && !s.take(t, sketchBytes) {
			return false
		}
		if c.sketch == nil {
			c.sketch = &ddsketch.Sketch{}
		}
		c.sketch.Merge(sketch)
	}
	if len(in.GetPredictions()) > 0 {
		if c.model == nil && !s.take(t, modelBytes) {
			return false
		}
		if c.model == nil {
			c.model = &model{}
		}
		c.model.merge(m, in)
	}
	c.count += in.GetCount()
	c.events += in.GetEvents()
	c.ambiguous += in.GetAmbiguous()
	c.sum += in.GetSum()
	c.squares += in.GetSumSquares()
	return true
}

func (m *model) merge(of *metric, in *telemetryv1.MetricCell) {
	m.truePositives += in.GetConfusion().GetTruePositives()
	m.falsePositives += in.GetConfusion().GetFalsePositives()
	m.trueNegatives += in.GetConfusion().GetTrueNegatives()
	m.falseNegatives += in.GetConfusion().GetFalseNegatives()
	for _, label := range slices.Sorted(maps.Keys(in.GetPredictions())) {
		m.predictions[of.labels.number(label)] += in.GetPredictions()[label]
	}
}
