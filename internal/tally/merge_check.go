package tally

import (
	"fmt"
	"math"
	"time"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/batchcheck"
	"github.com/tidegate/tidegate/internal/ddsketch"
)

// Bounds of what is reported.
const (
	maxCount  = batchcheck.MaxCount // of anything in one cell
	maxLength = batchcheck.MaxLength
	// maxMerged is how much of what is reported comes into one cell of a window: with what is
	// counted here, it is a count that the collector takes.
	maxMerged = maxCount / 2
	// maxReport is how much one report tells of, and maxReported how much all of them do: an
	// account of more is refused by the collector, with all that comes after.
	maxReport   = 1 << 36
	maxReported = 1 << 45
	// slack is how far sums of the same values may be apart for the order that they were added
	// in.
	slack = 1e-6
	// least is what squares below are too small for, to be told exactly.
	least = 1e-300
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrReport}, args...)...)
}

// check tells whether a window can be what somebody counted, and how many exposures and
// observations it stands for.
func (v *view) check(w *telemetryv1.Window) (uint64, error) {
	if err := w.GetBeganAt().CheckValid(); err != nil {
		return 0, malformed("began_at is missing or not a time")
	}
	if l := w.GetLength(); l.CheckValid() != nil || l.AsDuration() < time.Second || l.AsDuration() > maxLength {
		return 0, malformed("length is %s; it is between a second and an hour", l.AsDuration())
	}
	type place struct {
		rollout string
		step    uint64
		arm     telemetryv1.Arm
	}
	seen := make(map[place]bool, len(w.GetCells()))
	var counted uint64
	for i, c := range w.GetCells() {
		at := place{c.GetRollout(), c.GetStep(), c.GetArm()}
		err := v.checkCell(c)
		switch {
		case err != nil:
			return 0, fmt.Errorf("cells[%d]: %w", i, err)
		case seen[at]:
			return 0, malformed("cells[%d]: rollout %.64q, step %d, arm %s is there twice", i, at.rollout, at.step, at.arm)
		}
		seen[at] = true
		counted += batchcheck.Contributions(c)
	}
	return counted, nil
}

func (v *view) checkCell(c *telemetryv1.Cell) error {
	if c.GetArm() != telemetryv1.Arm_ARM_CONTROL && c.GetArm() != telemetryv1.Arm_ARM_TREATMENT {
		return malformed("arm is %s; it is CONTROL or TREATMENT", c.GetArm())
	}
	if c.GetRollout() == "" || c.GetStep() == 0 {
		return malformed("rollout is %.64q and step %d; both are needed, the first step is 1", c.GetRollout(), c.GetStep())
	}
	if c.GetExposures() > maxCount || c.GetSubjects() > c.GetExposures() || c.GetNewSubjects() > c.GetSubjects() || c.GetNewCounters() > c.GetNewSubjects() {
		return malformed("%d exposures of %d subjects, %d of them new, to %d who count: none is larger than the one before, nor than 2^40",
			c.GetExposures(), c.GetSubjects(), c.GetNewSubjects(), c.GetNewCounters())
	}
	course := v.byKey[c.GetRollout()]
	if course != nil && c.GetStep() > course.newest {
		return fmt.Errorf("%w: step %d of rollout %q, whose newest is %d", ErrAhead, c.GetStep(), c.GetRollout(), course.newest)
	}
	seen := make(map[[2]string]bool, len(c.GetMetrics()))
	for i, m := range c.GetMetrics() {
		key := [2]string{m.GetMetric(), m.GetSegment()}
		if seen[key] {
			return malformed("metrics[%d]: metric %.64q, segment %.64q is there twice", i, key[0], key[1])
		}
		seen[key] = true
		err := checkCounts(m)
		if err == nil && (m.GetExposures() > c.GetExposures() || m.GetSubjects() > c.GetSubjects()) {
			err = malformed("segment %.64q has %d exposures of %d subjects; not more than its cell, with %d of %d",
				m.GetSegment(), m.GetExposures(), m.GetSubjects(), c.GetExposures(), c.GetSubjects())
		}
		if at, known := course.metric(m.GetMetric()); err == nil && known {
			err = course.plan.check(at, m)
		}
		if err != nil {
			return fmt.Errorf("metrics[%d] (%.64q): %w", i, m.GetMetric(), err)
		}
	}
	return nil
}

func (c *course) metric(name string) (int, bool) {
	if c == nil {
		return 0, false
	}
	at, known := c.plan.byName[name]
	return at, known
}

// checkCounts checks what holds for every metric.
func checkCounts(m *telemetryv1.MetricCell) error {
	x := m.GetConfusion()
	confused := [...]uint64{x.GetTruePositives(), x.GetFalsePositives(), x.GetTrueNegatives(), x.GetFalseNegatives()}
	var total uint64
	for _, n := range confused {
		if n > maxCount {
			return malformed("confusion counts %d; at most 2^40", n)
		}
		total += n
	}
	if len(m.GetPredictions()) > maxLabels+1 {
		return malformed("predictions have %d labels; at most %d", len(m.GetPredictions()), maxLabels+1)
	}
	for label, n := range m.GetPredictions() {
		if label == "" || len(label) > maxText || !isText(label) || n > maxCount {
			return malformed("predictions[%.64q] is %d; a label has 1 to %d bytes of text, a count at most 2^40", label, n, maxText)
		}
	}
	switch {
	case m.GetMetric() == "" || len(m.GetMetric()) > maxMetric:
		return malformed("metric has %d bytes; 1 to %d", len(m.GetMetric()), maxMetric)
	case len(m.GetSegment()) > maxText || !isText(m.GetSegment()):
		return malformed("segment %.64q; at most %d bytes of text", m.GetSegment(), maxText)
	case m.GetCount() > maxCount || m.GetEvents() > m.GetCount() || m.GetAmbiguous() > maxCount:
		return malformed("%d events of %d observations, %d ambiguous; there are at most as many events as observations, and at most 2^40", m.GetEvents(), m.GetCount(), m.GetAmbiguous())
	case total > m.GetCount():
		return malformed("confusion counts %d outcomes of %d observations", total, m.GetCount())
	case m.GetSegment() == "" && m.GetExposures() > 0, m.GetExposures() > maxCount, m.GetSubjects() > m.GetExposures():
		return malformed("%d exposures of %d subjects: they are of segments, and there are not more subjects than exposures", m.GetExposures(), m.GetSubjects())
	}
	return checkSums(m)
}

// checkSums checks that sums can be those of that many values (Cauchy-Schwarz).
func checkSums(m *telemetryv1.MetricCell) error {
	n, sum, squares := float64(m.GetCount()), m.GetSum(), m.GetSumSquares()
	switch {
	case math.IsNaN(sum) || math.Abs(sum) > n*maxNumber*(1+slack):
		return malformed("sum is %v, of %v values that are finite, and at most 1e20 in size", sum, n)
	case !(squares >= 0 && squares <= n*maxNumber*maxNumber*(1+slack)):
		return malformed("sum_squares is %v; it is finite, and not negative", squares)
	case sum/math.Sqrt(n)*sum/math.Sqrt(n) > squares*(1+slack)+least && n > 0:
		return malformed("sum is %v and sum_squares %v; no %v values have both", sum, squares, n)
	}
	return nil
}

// check checks a metric's cell against what is watched.
func (p *plan) check(at int, in *telemetryv1.MetricCell) error {
	m := &p.metrics[at]
	if in.GetSegment() != "" && m.dimension < 0 {
		return malformed("segment is %.64q, but the rollout %q does not watch the metric by segments", in.GetSegment(), p.key)
	}
	if m.kinds&(kindHappened|kindOutcome) == 0 && in.GetEvents() > 0 {
		return malformed("%d events, but the rollout %q watches %s of it", in.GetEvents(), p.key, m.kinds)
	}
	if m.kinds&kindValue == 0 && (in.GetSum() != 0 || in.GetSumSquares() != 0) {
		return malformed("sum is %v, but the rollout %q watches %s of it", in.GetSum(), p.key, m.kinds)
	}
	var predictions uint64
	for _, n := range in.GetPredictions() {
		predictions += n
	}
	switch {
	case m.kinds&kindOutcome == 0 && (predictions > 0 || in.GetConfusion() != nil):
		return malformed("it has outcomes of a model, but the rollout %q watches %s of it", p.key, m.kinds)
	case m.kinds == kindOutcome && predictions < in.GetCount():
		return malformed("%d outcomes with only %d predictions", in.GetCount(), predictions)
	}
	sketch, err := ddsketch.FromProto(in.GetSketch())
	if err != nil {
		return malformed("%w", err)
	}
	values := sketch.Count()
	if values > in.GetCount() || m.sketch && m.kinds == kindValue && values != in.GetCount() {
		return malformed("the sketch counts %d values of %d", values, in.GetCount())
	}
	return nil
}
