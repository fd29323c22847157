package judge

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// The arms, as indexes.
const (
	treatment = iota
	control
)

// stratum is what was counted in one window of one step, by all senders: what the arms are
// compared within.
type stratum struct {
	key  stratumKey
	arms [2]cell
}

// stratumKey names a stratum. Times only keep windows apart that are not of the same hour;
// nothing is read from them, so a clock that is wrong does no harm.
type stratumKey struct {
	began  int64 // Unix time in ns
	length time.Duration
	step   uint64
}

func (k stratumKey) compare(o stratumKey) int {
	return cmp.Or(cmp.Compare(k.step, o.step), cmp.Compare(k.began, o.began), cmp.Compare(k.length, o.length))
}

type cell struct {
	exposures, subjects, newSubjects, newCounters int64
	metrics                                       []metric // sorted
}

type metricKey struct{ name, segment string }

func (k metricKey) compare(o metricKey) int {
	return cmp.Or(cmp.Compare(k.name, o.name), cmp.Compare(k.segment, o.segment))
}

type metric struct {
	key                 metricKey
	count, events       int64
	first               sums   // of the first sender
	sums                []sums // of all, where there are several, until they are added
	sum, sumSquares     float64
	sketch              sketch
	confusion           guardrail.Confusion
	predictions         map[string]int64
	exposures, subjects int64
}

type sums struct{ sum, squares float64 }

// merger adds up windows. What it ends with does not depend on the order in which they came:
// integers add up to the same in any, and floats are sorted first.
type merger struct {
	plan    *Plan
	strata  []*stratum // few: the seconds since the last time, at one step or two
	refused uint64
	refusal string
}

func (p *Plan) merge(windows []*telemetryv1.Window) ([]*stratum, uint64, string) {
	m := merger{plan: p}
	for _, w := range windows {
		for _, c := range w.GetCells() {
			if c.GetRollout() != p.key {
				continue
			}
			if err := m.add(w, c); err != nil {
				m.refused++
				m.refusal = max(m.refusal, err.Error()) // one of them, whatever their order
			}
		}
	}
	for _, s := range m.strata {
		for i := range s.arms {
			s.arms[i].finish()
		}
	}
	slices.SortFunc(m.strata, func(a, b *stratum) int { return a.key.compare(b.key) })
	return m.strata, m.refused, m.refusal
}

func (m *merger) add(w *telemetryv1.Window, c *telemetryv1.Cell) error {
	arm, err := check(c)
	if err != nil {
		return err
	}
	a := &m.stratum(w, c).arms[arm]
	a.exposures = add(a.exposures, c.GetExposures())
	a.subjects = add(a.subjects, c.GetSubjects())
	a.newSubjects = add(a.newSubjects, c.GetNewSubjects())
	a.newCounters = add(a.newCounters, c.GetNewCounters())
	for _, x := range c.GetMetrics() {
		if m.plan.watches(x.GetMetric()) {
			a.metric(metricKey{x.GetMetric(), x.GetSegment()}, len(c.GetMetrics())).add(x)
		}
	}
	return nil
}

func (m *merger) stratum(w *telemetryv1.Window, c *telemetryv1.Cell) *stratum {
	key := stratumKey{
		began:  w.GetBeganAt().AsTime().UnixNano(),
		length: w.GetLength().AsDuration(),
		step:   c.GetStep(),
	}
	for i := len(m.strata) - 1; i >= 0; i-- {
		if m.strata[i].key == key {
			return m.strata[i]
		}
	}
	s := &stratum{key: key}
	m.strata = append(m.strata, s)
	return s
}

// watches says whether anything is judged by a metric.
func (p *Plan) watches(name string) bool {
	for _, g := range p.guards {
		if g.metric == name {
			return true
		}
	}
	return p.success != nil && p.success.metric == name
}

// add adds up counts, up to what a float64 holds exactly.
func add(a int64, b uint64) int64 {
	return a + int64(min(b, uint64(guardrail.MaxCount-a)))
}

// check says which arm a cell is of, or what cannot be of it. A cell is counted as a whole or
// not at all.
func check(c *telemetryv1.Cell) (int, error) {
	bad := func(what string, args ...any) (int, error) {
		return 0, fmt.Errorf("a cell of step %d: %s", c.GetStep(), fmt.Sprintf(what, args...))
	}
	var arm int
	switch c.GetArm() {
	case telemetryv1.Arm_ARM_TREATMENT:
		arm = treatment
	case telemetryv1.Arm_ARM_CONTROL:
		arm = control
	default:
		return bad("its arm is %v: it must be control or treatment", c.GetArm())
	}
	if c.GetExposures() > guardrail.MaxCount {
		return bad("%d exposures: at most 2^53", c.GetExposures())
	}
	if c.GetSubjects() > c.GetExposures() || c.GetNewSubjects() > c.GetSubjects() || c.GetNewCounters() > c.GetNewSubjects() {
		return bad("%d exposures of %d subjects, %d of them new, to %d who count: none can be more than the one before",
			c.GetExposures(), c.GetSubjects(), c.GetNewSubjects(), c.GetNewCounters())
	}
	for _, m := range c.GetMetrics() {
		if problem := checkMetric(m); problem != "" {
			return bad("metric '%s': %s", m.GetMetric(), problem)
		}
	}
	return arm, nil
}

func checkMetric(m *telemetryv1.MetricCell) string {
	if m.GetCount() > guardrail.MaxCount || m.GetEvents() > m.GetCount() {
		return fmt.Sprintf("%d events of %d observations: at most as many, and at most 2^53", m.GetEvents(), m.GetCount())
	}
	if m.GetSubjects() > m.GetExposures() || m.GetExposures() > guardrail.MaxCount {
		return fmt.Sprintf("%d exposures of %d subjects: at least as many, and at most 2^53", m.GetExposures(), m.GetSubjects())
	}
	sample := guardrail.Sample{N: int64(m.GetCount()), Sum: m.GetSum(), SumSq: m.GetSumSquares()}
	if err := sample.Validate(); err != nil {
		return err.Error()
	}
	if c := m.GetConfusion(); c != nil {
		total := uint64(0)
		for _, n := range [...]uint64{c.GetTruePositives(), c.GetFalsePositives(), c.GetTrueNegatives(), c.GetFalseNegatives()} {
			if n > m.GetCount()-total {
				return fmt.Sprintf("more outcomes than its %d observations", m.GetCount())
			}
			total += n
		}
	}
	// They may be more than the observations: those whose truth is not known are in no count.
	for label, n := range m.GetPredictions() {
		if n > guardrail.MaxCount {
			return fmt.Sprintf("%d predictions of %.64q: at most 2^53", n, label)
		}
	}
	return checkSketch(m.GetSketch(), m.GetCount())
}

// metric returns what was observed of a metric, to be added to; expected is how many there may
// be.
func (c *cell) metric(key metricKey, expected int) *metric {
	if c.metrics == nil {
		c.metrics = make([]metric, 0, expected)
	}
	i, found := slices.BinarySearchFunc(c.metrics, key, func(m metric, k metricKey) int { return m.key.compare(k) })
	if !found {
		c.metrics = slices.Insert(c.metrics, i, metric{key: key})
	}
	return &c.metrics[i]
}

// find returns what was observed of a metric; nothing, if nothing was.
func (c *cell) find(name, segment string) *metric {
	for i := range c.metrics {
		if k := &c.metrics[i].key; k.name == name && k.segment == segment {
			return &c.metrics[i]
		}
	}
	return &metric{}
}

func (m *metric) add(x *telemetryv1.MetricCell) {
	m.count = add(m.count, x.GetCount())
	m.events = add(m.events, x.GetEvents())
	m.exposures = add(m.exposures, x.GetExposures())
	m.subjects = add(m.subjects, x.GetSubjects())
	m.addSums(sums{x.GetSum(), x.GetSumSquares()})
	if c := x.GetConfusion(); c != nil {
		m.confusion.TP = add(m.confusion.TP, c.GetTruePositives())
		m.confusion.FP = add(m.confusion.FP, c.GetFalsePositives())
		m.confusion.TN = add(m.confusion.TN, c.GetTrueNegatives())
		m.confusion.FN = add(m.confusion.FN, c.GetFalseNegatives())
	}
	if x.GetSketch() != nil {
		m.sketch.addProto(x.GetSketch())
	}
	for label, n := range x.GetPredictions() {
		if m.predictions == nil {
			m.predictions = map[string]int64{}
		}
		m.predictions[label] = add(m.predictions[label], n)
	}
}

func (m *metric) addSums(s sums) {
	switch {
	case s == sums{}:
	case m.first == sums{}:
		m.first = s
	case m.sums == nil:
		m.sums = []sums{m.first, s}
	default:
		m.sums = append(m.sums, s)
	}
}

// finish adds up the sums. Those of each sender were checked; rounding, and the limits of a
// count, may leave less than the squares need, which is mended.
func (c *cell) finish() {
	for i := range c.metrics {
		m := &c.metrics[i]
		m.sum, m.sumSquares = m.first.sum, m.first.squares
		if m.sums != nil {
			slices.SortFunc(m.sums, func(a, b sums) int {
				return cmp.Or(cmp.Compare(a.sum, b.sum), cmp.Compare(a.squares, b.squares))
			})
			m.sum, m.sumSquares = 0, 0
			for _, s := range m.sums {
				m.sum += s.sum
				m.sumSquares += s.squares
			}
			m.sums = nil
		}
		if m.count > 0 {
			m.sumSquares = max(m.sumSquares, float64(m.sum*(m.sum/float64(m.count))))
		}
	}
}

func (m *metric) sample() guardrail.Sample {
	return guardrail.Sample{N: m.count, Sum: m.sum, SumSq: m.sumSquares}
}

// windowsOf writes strata as windows again.
func (p *Plan) windowsOf(strata []*stratum) []*telemetryv1.Window {
	windows := make([]*telemetryv1.Window, 0, len(strata))
	for _, s := range strata {
		w := &telemetryv1.Window{BeganAt: timestamppb.New(time.Unix(0, s.key.began)), Length: durationpb.New(s.key.length)}
		for arm, name := range [...]telemetryv1.Arm{treatment: telemetryv1.Arm_ARM_TREATMENT, control: telemetryv1.Arm_ARM_CONTROL} {
			w.Cells = append(w.Cells, s.arms[arm].proto(p.key, s.key.step, name))
		}
		windows = append(windows, w)
	}
	return windows
}

func (c *cell) proto(rollout string, step uint64, arm telemetryv1.Arm) *telemetryv1.Cell {
	out := &telemetryv1.Cell{
		Rollout: rollout, Step: step, Arm: arm,
		Exposures: uint64(c.exposures), Subjects: uint64(c.subjects), NewSubjects: uint64(c.newSubjects), NewCounters: uint64(c.newCounters),
	}
	for i := range c.metrics {
		m := &c.metrics[i]
		x := &telemetryv1.MetricCell{
			Metric: m.key.name, Segment: m.key.segment, Count: uint64(m.count), Events: uint64(m.events),
			Sum: m.sum, SumSquares: m.sumSquares, Exposures: uint64(m.exposures), Subjects: uint64(m.subjects),
		}
		if m.confusion != (guardrail.Confusion{}) {
			x.Confusion = &telemetryv1.Confusion{
				TruePositives: uint64(m.confusion.TP), FalsePositives: uint64(m.confusion.FP),
				TrueNegatives: uint64(m.confusion.TN), FalseNegatives: uint64(m.confusion.FN),
			}
		}
		if m.sketch.total > 0 {
			x.Sketch = m.sketch.proto()
		}
		for label, n := range m.predictions {
			if x.Predictions == nil {
				x.Predictions = map[string]uint64{}
			}
			x.Predictions[label] = uint64(n)
		}
		out.Metrics = append(out.Metrics, x)
	}
	return out
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
