package tally

import (
	"cmp"
	"slices"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

var wireArms = [arms]telemetryv1.Arm{control: telemetryv1.Arm_ARM_CONTROL, treatment: telemetryv1.Arm_ARM_TREATMENT}

// drain takes what a step counted in the window: a cell for each arm that has anything. With
// last, nothing is counted after it: who tries is told so. With part, the window goes on.
// Counters are swapped, so that what is counted meanwhile is in this window or in the next.
func (t *Tally) drain(s *step, last, part bool) []*telemetryv1.Cell {
	exposures := s.takeExposures(last)
	for a := range exposures {
		for _, n := range exposures[a] {
			t.account.drained += n
		}
	}
	fresh := int(exposures[control][firstAtStep] + exposures[treatment][firstAtStep])
	inWindow := fresh + int(exposures[control][firstInWindow]+exposures[treatment][firstInWindow])
	segments := s.takeSegments()

	s.mu.Lock()
	defer s.mu.Unlock()
	counters := s.newCounters
	s.newCounters = [arms]uint64{}
	for a := range exposures {
		if exposures[a][firstAtStep] > 0 && !s.began[a] {
			s.began[a] = true
			counters[a]++
		}
		for n := range exposures[a] {
			exposures[a][n] += s.reported[a][n]
		}
	}
	s.reported = [arms][novelties]uint64{}
	by := segmentDrain{lanes: segments, reported: s.reportedSegments}
	s.reportedSegments = nil
	var cells []*telemetryv1.Cell
	for a := control; a < arms; a++ {
		n := exposures[a]
		c := &telemetryv1.Cell{
			Rollout: s.plan.key, Step: s.number, Arm: wireArms[a],
			Exposures:   n[repeated] + n[firstInWindow] + n[firstAtStep],
			Subjects:    n[firstInWindow] + n[firstAtStep],
			NewSubjects: n[firstAtStep],
			NewCounters: counters[a],
		}
		by.cell = c
		c.Metrics = s.takeMetrics(t, a, &by)
		if c.GetExposures() > 0 || len(c.GetMetrics()) > 0 {
			cells = append(cells, c)
		}
	}
	switch {
	case last:
		s.close(t)
	case s.lanes != nil:
		s.fit(t, inWindow, fresh, part)
	}
	return cells
}

func (s *step) takeExposures(last bool) (sums [arms][novelties]uint64) {
	for l := range s.lanes {
		for a := range sums {
			for n := range sums[a] {
				switch c := &s.lanes[l].counts[a][n]; {
				case last:
					sums[a][n] += c.Swap(sealed)
				case c.Load() > 0:
					sums[a][n] += c.Swap(0)
				}
			}
		}
	}
	return sums
}

// segmentSums are a dimension's exposures: repeated, and first in the window.
type segmentSums [maxSegments + 1][arms][2]uint64

// takeSegments takes the exposures of segments, by dimension.
func (s *step) takeSegments() []segmentSums {
	if s.segments == nil {
		return nil
	}
	sums := make([]segmentSums, len(s.segments))
	for d := range s.segments {
		for l := range s.segments[d] {
			for i := range sums[d] {
				for a := range sums[d][i] {
					for n := range sums[d][i][a] {
						if c := &s.segments[d][l].counts[i][a][n]; c.Load() > 0 {
							sums[d][i][a][n] += c.Swap(0)
						}
					}
				}
			}
		}
	}
	return sums
}

// takeMetrics takes an arm's metrics, in the order of the plan, each followed by its segments
// in the order of their names; mu is held.
func (s *step) takeMetrics(t *Tally, a arm, by *segmentDrain) []*telemetryv1.MetricCell {
	var list []*telemetryv1.MetricCell
	for i := range s.plan.metrics {
		m := &s.plan.metrics[i]
		if s.cells != nil {
			if c := s.takeCell(t, &s.cells[i*int(arms)+int(a)], m); c != nil {
				list = append(list, c)
			}
		}
		if m.dimension >= 0 {
			list = append(list, s.takeMetricSegments(t, i, a, by)...)
		}
	}
	return list
}

// segmentDrain is what segments were exposed to, as it is taken.
type segmentDrain struct {
	lanes    []segmentSums // by dimension; nil: there are none
	reported map[segmentKey][novelties]uint64
	cell     *telemetryv1.Cell // that the segments are of
}

// take returns the exposures of a segment, those of new subjects apart, and what is left for the
// next window: an exposure is counted in the cell and then in its segment, and a window may end
// between the two. No segment has more than its cell.
func (d *segmentDrain) take(key segmentKey, dimension int) (n, rest [novelties]uint64) {
	n = d.reported[key]
	if d.lanes != nil {
		n[repeated] += d.lanes[dimension][key.segment][key.arm][0]
		n[firstInWindow] += d.lanes[dimension][key.segment][key.arm][1]
	}
	all := n
	n[firstInWindow] = min(n[firstInWindow], d.cell.GetSubjects())
	n[repeated] = min(n[repeated], d.cell.GetExposures()-n[firstInWindow])
	rest[firstInWindow], rest[repeated] = all[firstInWindow]-n[firstInWindow], all[repeated]-n[repeated]
	return n, rest
}

func (s *step) takeMetricSegments(t *Tally, i int, a arm, by *segmentDrain) []*telemetryv1.MetricCell {
	m := &s.plan.metrics[i]
	var list []*telemetryv1.MetricCell
	for segment := range maxSegments + 1 {
		var c *telemetryv1.MetricCell
		if s.cells != nil && s.segmentCells[i] != nil {
			c = s.takeCell(t, &s.segmentCells[i][segment*int(arms)+int(a)], m)
		}
		key := segmentKey{i, segment, a}
		n, rest := by.take(key, m.dimension)
		s.reportSegment(key, rest)
		if c == nil {
			if n == [novelties]uint64{} {
				continue
			}
			c = &telemetryv1.MetricCell{Metric: m.name}
		}
		c.Segment = s.plan.dimensions[m.dimension].values.name(segment)
		c.Exposures, c.Subjects = n[repeated]+n[firstInWindow], n[firstInWindow]
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *telemetryv1.MetricCell) int { return cmp.Compare(a.GetSegment(), b.GetSegment()) })
	return list
}

// takeCell takes a cell and leaves it empty; nil if it is. mu is held.
func (s *step) takeCell(t *Tally, c *cell, m *metric) *telemetryv1.MetricCell {
	if c.empty() {
		return nil
	}
	out := &telemetryv1.MetricCell{
		Metric: m.name, Count: c.count, Events: c.events, Ambiguous: c.ambiguous,
		Sum: c.sum, SumSquares: c.squares, Sketch: c.sketch.Proto(),
	}
	freed := 0
	if c.sketch != nil {
		freed += costOf(c.sketch)
	}
	if c.model != nil {
		freed += modelBytes
		c.model.fill(out, m)
	}
	t.memory.give(freed)
	s.held -= freed
	*c = cell{}
	return out
}

func (m *model) fill(out *telemetryv1.MetricCell, of *metric) {
	if m.truePositives+m.falsePositives+m.trueNegatives+m.falseNegatives > 0 {
		out.Confusion = &telemetryv1.Confusion{
			TruePositives: m.truePositives, FalsePositives: m.falsePositives,
			TrueNegatives: m.trueNegatives, FalseNegatives: m.falseNegatives,
		}
	}
	out.Predictions = map[string]uint64{}
	for label, n := range m.predictions {
		if n > 0 {
			out.Predictions[of.labels.name(label)] += n
		}
	}
}

// fit gives the sets of subjects the sizes that suit the traffic, as far as there is memory,
// and begins with an empty one for the next window, unless this one goes on. mu is held.
func (s *step) fit(t *Tally, inWindow, fresh int, part bool) {
	s.inWindow += inWindow
	if inWindow = s.inWindow; inWindow > 0 && !part {
		s.inWindow = 0
		now := s.window.Load().size()
		size := max(sizeFor(inWindow, maxBits), now/2)
		if size < now {
			t.memory.give((now - size) / 8)
		} else if size > now && !t.memory.take((size-now)/8) {
			size = now
		}
		s.window.Store(newBitset(size))
	}
	s.filled += fresh
	seen := s.seen.Load()
	if size := seen.nextSize(); s.filled > seen.room() && size > 0 && t.memory.take(size/8) {
		s.seen.Store(seen.grown(size))
		s.filled = 0
	}
}

// close gives all memory back; mu is held.
func (s *step) close(t *Tally) {
	t.memory.give(s.held)
	if s.lanes != nil {
		t.memory.give(s.bitBytes())
	}
	s.cells, s.segmentCells, s.reportedSegments, s.marks, s.held = nil, nil, nil, nil, 0
	s.closed = true
}
