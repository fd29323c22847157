package batchcheck

import telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"

// Counted is what a batch's cells stand for: what its tally must say.
func Counted(b *telemetryv1.Batch) (n uint64) {
	for _, w := range b.GetWindows() {
		for _, c := range w.GetCells() {
			n += Contributions(c)
		}
	}
	return n
}

// Contributions is what a cell stands for in [telemetryv1.Tally]: its exposures, and the
// observations in its metrics without a segment.
func Contributions(c *telemetryv1.Cell) uint64 {
	n := c.GetExposures()
	for _, m := range c.GetMetrics() {
		if m.GetSegment() == "" {
			n += Observations(m)
		}
	}
	return n
}

// Observations is how many a metric's cell was made from: predictions whose truth is not known
// are in no count.
func Observations(m *telemetryv1.MetricCell) uint64 {
	var predictions uint64
	for _, n := range m.GetPredictions() {
		predictions += n
	}
	return max(m.GetCount(), predictions)
}
