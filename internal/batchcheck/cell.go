package batchcheck

import (
	"errors"
	"fmt"
	"math"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// checker looks at a batch's windows, and counts what they hold.
type checker struct {
	cells, metricCells int
	rollouts           map[string]struct{}
}

func (c *checker) window(w *telemetryv1.Window) error {
	if err := checkTime(w.GetBeganAt()); err != nil {
		return fmt.Errorf("began_at: %w", err)
	}
	if err := checkLength(w.GetLength()); err != nil {
		return fmt.Errorf("length: %w", err)
	}
	if c.cells += len(w.GetCells()); c.cells > maxCells {
		return fmt.Errorf("cells: more than %d in a batch", maxCells)
	}
	for i, cell := range w.GetCells() {
		if err := c.cell(cell); err != nil {
			return fmt.Errorf("cells[%d].%w", i, err)
		}
	}
	return nil
}

// rollout notes which one something is of.
func (c *checker) rollout(key string, step uint64) error {
	if err := checkText(key, maxName); err != nil {
		return fmt.Errorf("rollout: %w", err)
	}
	if c.rollouts[key] = struct{}{}; len(c.rollouts) > maxRollouts {
		return fmt.Errorf("rollout: more than %d of them in a batch", maxRollouts)
	}
	if step == 0 || step > MaxCount {
		return fmt.Errorf("step %d: want 1 for the first", step)
	}
	return nil
}

func (c *checker) cell(cell *telemetryv1.Cell) error {
	if err := c.rollout(cell.GetRollout(), cell.GetStep()); err != nil {
		return err
	}
	if a := cell.GetArm(); a != telemetryv1.Arm_ARM_CONTROL && a != telemetryv1.Arm_ARM_TREATMENT {
		return fmt.Errorf("arm %d: want control or treatment", a)
	}
	switch e, s, n := cell.GetExposures(), cell.GetSubjects(), cell.GetNewSubjects(); {
	case e > MaxCount:
		return fmt.Errorf("exposures %d: want at most %d", e, uint64(MaxCount))
	case s > e:
		return fmt.Errorf("subjects %d: more than the %d exposures", s, e)
	case n > s:
		return fmt.Errorf("new_subjects %d: more than the %d subjects", n, s)
	case cell.GetNewCounters() > n:
		return fmt.Errorf("new_counters %d: more than the %d new_subjects", cell.GetNewCounters(), n)
	}
	if c.metricCells += len(cell.GetMetrics()); c.metricCells > maxMetricCells {
		return fmt.Errorf("metrics: more than %d in a batch", maxMetricCells)
	}
	for i, m := range cell.GetMetrics() {
		if err := checkMetric(m, cell); err != nil {
			return fmt.Errorf("metrics[%d].%w", i, err)
		}
	}
	return nil
}

func checkMetric(m *telemetryv1.MetricCell, of *telemetryv1.Cell) error {
	if err := checkText(m.GetMetric(), maxMetric); err != nil {
		return fmt.Errorf("metric: %w", err)
	}
	if s := m.GetSegment(); s != "" {
		if err := checkText(s, maxSegment); err != nil {
			return fmt.Errorf("segment: %w", err)
		}
	}
	switch {
	case m.GetCount() > MaxCount:
		return fmt.Errorf("count %d: want at most %d", m.GetCount(), uint64(MaxCount))
	case m.GetEvents() > m.GetCount():
		return fmt.Errorf("events %d: more than the %d observations", m.GetEvents(), m.GetCount())
	case m.GetExposures() > of.GetExposures():
		return fmt.Errorf("exposures %d: more than the cell's %d", m.GetExposures(), of.GetExposures())
	case m.GetSubjects() > of.GetSubjects():
		return fmt.Errorf("subjects %d: more than the cell's %d", m.GetSubjects(), of.GetSubjects())
	}
	for _, err := range []error{checkMoments(m), checkSketch(m), checkOutcomes(m)} {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkMoments looks at whether some numbers can have these sums: by Cauchy and Schwarz the
// square of the sum is at most the count times the sum of squares. What floats round is let
// pass.
func checkMoments(m *telemetryv1.MetricCell) error {
	const (
		slack   = 1e-6
		largest = 1e140  // the square is finite, and so are sums of many
		least   = 1e-300 // squares below are too small for a float to be told exactly
	)
	n, sum, squares := float64(m.GetCount()), m.GetSum(), m.GetSumSquares()
	switch {
	case !(math.Abs(sum) <= largest): // nor if it is NaN
		return fmt.Errorf("sum %v: want a finite number of at most %g", sum, largest)
	case !(squares >= 0 && squares <= largest*largest):
		return fmt.Errorf("sum_squares %v: want a finite number, not negative", squares)
	case sum*sum > n*squares*(1+slack)+least:
		return fmt.Errorf("sum %v, sum_squares %v: no %d numbers have them", sum, squares, m.GetCount())
	case n == 0 && squares != 0:
		return fmt.Errorf("sum_squares %v of no observations", squares)
	}
	return nil
}

func checkSketch(m *telemetryv1.MetricCell) error {
	s := m.GetSketch()
	if s == nil {
		return nil
	}
	total := s.GetZeros()
	for _, half := range []struct {
		name   string
		offset int32
		bins   []uint64
	}{
		{"", s.GetOffset(), s.GetBins()},
		{"negative_", s.GetNegativeOffset(), s.GetNegativeBins()},
	} {
		if n := len(half.bins); n > maxBins {
			return fmt.Errorf("sketch.%sbins: %d: want at most %d", half.name, n, maxBins)
		}
		if half.offset > maxBinOffset || half.offset < -maxBinOffset {
			return fmt.Errorf("sketch.%soffset %d: no number has that bin", half.name, half.offset)
		}
		for _, b := range half.bins {
			if b > MaxCount {
				return fmt.Errorf("sketch.%sbins: %d: want at most %d", half.name, b, uint64(MaxCount))
			}
			total += b
		}
	}
	if s.GetZeros() > MaxCount || total > m.GetCount() {
		return fmt.Errorf("sketch: it holds %d values of %d observations", total, m.GetCount())
	}
	return nil
}

func checkOutcomes(m *telemetryv1.MetricCell) error {
	if c := m.GetConfusion(); c != nil {
		var total uint64
		for _, n := range []uint64{c.GetTruePositives(), c.GetFalsePositives(), c.GetTrueNegatives(), c.GetFalseNegatives()} {
			if n > MaxCount {
				return fmt.Errorf("confusion: %d: want at most %d", n, uint64(MaxCount))
			}
			total += n
		}
		if total > m.GetCount() {
			return fmt.Errorf("confusion: %d outcomes of %d observations", total, m.GetCount())
		}
	}
	if n := len(m.GetPredictions()); n > maxPredictions {
		return fmt.Errorf("predictions: %d labels: want at most %d", n, maxPredictions)
	}
	// They may be more than the observations: those whose truth is not known are in no count.
	for label, n := range m.GetPredictions() {
		if label != "" {
			if err := checkText(label, maxMetric); err != nil {
				return fmt.Errorf("predictions: label: %w", err)
			}
		}
		if n > MaxCount {
			return fmt.Errorf("predictions: %d: want at most %d", n, uint64(MaxCount))
		}
	}
	return nil
}

func (c *checker) trip(t *telemetryv1.Trip) error {
	if err := c.rollout(t.GetRollout(), t.GetStep()); err != nil {
		return err
	}
	if err := checkText(t.GetGuardrail(), maxMetric); err != nil {
		return fmt.Errorf("guardrail: %w", err)
	}
	if err := checkTime(t.GetTime()); err != nil {
		return fmt.Errorf("time: %w", err)
	}
	if t.GetLiftedAt() != nil {
		if err := checkTime(t.GetLiftedAt()); err != nil {
			return fmt.Errorf("lifted_at: %w", err)
		}
	}
	for _, f := range []float64{t.GetLogE(), t.GetLogThreshold()} {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return errors.New("log_e, log_threshold: want finite numbers")
		}
	}
	for _, n := range []uint64{t.GetTreatmentEvents(), t.GetControlEvents(), t.GetTreatmentExposures(), t.GetControlExposures()} {
		if n > MaxCount {
			return fmt.Errorf("events, exposures: %d: want at most %d", n, uint64(MaxCount))
		}
	}
	return nil
}
