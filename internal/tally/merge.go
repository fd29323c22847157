package tally

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tidegate/tidegate/eval"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/batchcheck"
	"github.com/tidegate/tidegate/internal/ddsketch"
)

// Errors of [Tally.Merge]: what they are wrapped by says where and why.
var (
	// ErrReport says that a report cannot be what somebody counted. Nothing of it was counted.
	ErrReport = errors.New("tally: malformed report")
	// ErrAhead says that a report is of a step that is not known here yet. Nothing of it was
	// counted; it may be later.
	ErrAhead = errors.New("tally: report of a step that is not known here")
	// ErrFull says that the account has no room for what is reported. Nothing of it was counted.
	ErrFull = errors.New("tally: more was reported than there is an account for")
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
	for i, e := range r.GetEvaluations() {
		if e.GetCount() > maxReport {
			return fmt.Errorf("evaluations[%d]: %w", i, malformed("count is %d; at most 2^36 at a time", e.GetCount()))
		}
	}
	if got := r.GetTally().GetCounted(); got != counted {
		return fmt.Errorf("%w: tally.counted is %d, but the windows hold %d exposures and observations", ErrReport, got, counted)
	}
	if err := t.reserve(counted, lost); err != nil {
		return err
	}
	for _, w := range r.GetWindows() {
		for _, c := range w.GetCells() {
			t.merge(v.byKey[c.GetRollout()], c)
		}
	}
	for _, e := range r.GetEvaluations() {
		t.mergeEvaluations(v.env, e)
	}
	t.lose(Below, lost)
	return nil
}

// mergeEvaluations counts what a flag served elsewhere, if it is known here what that is.
func (t *Tally) mergeEvaluations(env *eval.Environment, in *telemetryv1.Evaluations) {
	f := env.Flag(in.GetFlagKey())
	if f == nil {
		return
	}
	var variant *eval.Variant
	if name := in.GetVariant(); name != "" {
		if variant = f.Variant(name); variant == nil {
			return
		}
	}
	c, ok := f.Attached().(*counters)
	if !ok {
		c = t.attach(f)
	}
	if c.served != nil {
		c.served.add(t.lane(), variant, in.GetCount())
	}
}

// reserve makes room in the account for what somebody else has counted.
func (t *Tally) reserve(counted, lost uint64) error {
	if counted > maxReport || lost > maxReport {
		return malformed("%d exposures and observations, %d lost; at most 2^36 at a time", counted, lost)
	}
	if t.reported.Add(counted+lost) > maxReported {
		t.reported.Add(-(counted + lost))
		return fmt.Errorf("%w: at most 2^45 exposures and observations since the start", ErrFull)
	}
	return nil
}

// merge counts a cell that was checked.
func (t *Tally) merge(c *course, in *telemetryv1.Cell) {
	if c == nil {
		t.lose(Unknown, batchcheck.Contributions(in))
		return
	}
	s := c.rollout.open(c, in.GetStep())
	if s == nil {
		t.lose(Late, batchcheck.Contributions(in))
		return
	}
	defer s.mu.Unlock()
	a := control
	if in.GetArm() == telemetryv1.Arm_ARM_TREATMENT {
		a = treatment
	}
	n := &s.reported[a]
	if n[repeated]+n[firstInWindow]+n[firstAtStep]+in.GetExposures() > maxMerged {
		t.lose(Overflow, batchcheck.Contributions(in))
		return
	}
	n[repeated] += in.GetExposures() - in.GetSubjects()
	n[firstInWindow] += in.GetSubjects() - in.GetNewSubjects()
	n[firstAtStep] += in.GetNewSubjects()
	s.newCounters[a] += in.GetNewCounters()
	for _, m := range in.GetMetrics() {
		at, known := c.plan.byName[m.GetMetric()]
		why := Overflow
		if !known {
			why = Unknown
		} else if s.mergeMetric(t, at, a, m) {
			continue
		}
		if m.GetSegment() == "" {
			t.lose(why, batchcheck.Observations(m))
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
	s.reportSegment(segmentKey{at, segment, a}, [novelties]uint64{
		repeated: in.GetExposures() - in.GetSubjects(), firstInWindow: in.GetSubjects(),
	})
	c := s.segmentCell(t, at, segment, a)
	return c != nil && s.mergeCell(t, c, m, in)
}

// reportSegment adds to what a segment was exposed to; mu is held.
func (s *step) reportSegment(key segmentKey, more [novelties]uint64) {
	if more == [novelties]uint64{} {
		return
	}
	if s.reportedSegments == nil {
		s.reportedSegments = map[segmentKey][novelties]uint64{}
	}
	n := s.reportedSegments[key]
	for i := range n {
		n[i] += more[i]
	}
	s.reportedSegments[key] = n
}

// mergeCell counts all of a cell, or nothing; mu is held.
func (s *step) mergeCell(t *Tally, c *cell, m *metric, in *telemetryv1.MetricCell) bool {
	n := batchcheck.Observations(in) + in.GetAmbiguous()
	if c.merged+n > maxMerged {
		return false
	}
	sketched, modelled := m.sketch && in.GetSketch() != nil, len(in.GetPredictions()) > 0
	if sketched && !s.makeSketch(t, c) || modelled && !s.makeModel(t, c) {
		return false
	}
	if sketched {
		sketch, err := ddsketch.FromProto(in.GetSketch())
		if err != nil {
			return false
		}
		s.grow(t, c, func() { c.sketch.Merge(sketch) })
	}
	if modelled {
		c.model.merge(m, in)
	}
	c.merged += n
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
