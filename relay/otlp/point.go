package otlp

import (
	"fmt"
	"math"
	"slices"
	"strings"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	metricsv1 "go.opentelemetry.io/proto/otlp/metrics/v1"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/ddsketch"
	"github.com/tidegate/tidegate/internal/tally"
)

// shape is what kind of data a metric has.
type shape uint8

const (
	counter   shape = iota // a monotonic sum
	gauge                  // or a sum that may fall
	histogram              // of buckets with given bounds, or exponential ones
)

var shapeNames = [...]string{counter: "a monotonic sum", gauge: "a gauge", histogram: "a histogram"}

// point is a data point in the terms of this package.
type point struct {
	shape      shape
	cumulative bool
	start, at  uint64 // Unix time in ns
	attributes []*commonv1.KeyValue

	value float64 // of a counter or gauge
	// Of a histogram. sum is NaN if it is not told.
	count  uint64
	sum    float64
	bounds []float64
	counts []uint64
	least  float64 // the smallest and the largest value, NaN if not told
	most   float64
	exp    *exponential // instead of bounds and counts
}

type exponential struct {
	scale              int32
	zeros              uint64
	positive, negative buckets
}

type buckets struct {
	offset int32
	counts []uint64
}

// pointsOf are a metric's points, or why it has none that can be used.
func pointsOf(m *metricsv1.Metric) (list []point, problem string) {
	switch d := m.GetData().(type) {
	case *metricsv1.Metric_Sum:
		s := gauge
		if d.Sum.GetIsMonotonic() {
			s = counter
		}
		cumulative, problem := temporality(d.Sum.GetAggregationTemporality())
		if s == gauge { // a level: cumulative is its value, a delta says nothing of it
			if !cumulative {
				return nil, "a sum that is not monotonic, of delta temporality: want cumulative, which is its level"
			}
			cumulative = false
		}
		return numbers(d.Sum.GetDataPoints(), s, cumulative), problem
	case *metricsv1.Metric_Gauge:
		return numbers(d.Gauge.GetDataPoints(), gauge, false), ""
	case *metricsv1.Metric_Histogram:
		cumulative, problem := temporality(d.Histogram.GetAggregationTemporality())
		for _, p := range d.Histogram.GetDataPoints() {
			if p.GetFlags()&noValue == 0 {
				list = append(list, histogramPoint(p, cumulative))
			}
		}
		return list, problem
	case *metricsv1.Metric_ExponentialHistogram:
		cumulative, problem := temporality(d.ExponentialHistogram.GetAggregationTemporality())
		for _, p := range d.ExponentialHistogram.GetDataPoints() {
			if p.GetFlags()&noValue == 0 {
				list = append(list, exponentialPoint(p, cumulative))
			}
		}
		return list, problem
	}
	return nil, "it is neither a sum, a gauge nor a histogram"
}

const noValue = uint32(metricsv1.DataPointFlags_DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK)

func temporality(t metricsv1.AggregationTemporality) (cumulative bool, problem string) {
	switch t {
	case metricsv1.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA:
		return false, ""
	case metricsv1.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE:
		return true, ""
	}
	return false, "its aggregation_temporality is not set: want DELTA"
}

func numbers(points []*metricsv1.NumberDataPoint, s shape, cumulative bool) []point {
	list := make([]point, 0, len(points))
	for _, p := range points {
		if p.GetFlags()&noValue != 0 {
			continue
		}
		value := p.GetAsDouble()
		if v, ok := p.GetValue().(*metricsv1.NumberDataPoint_AsInt); ok {
			value = float64(v.AsInt)
		}
		list = append(list, point{
			shape: s, cumulative: cumulative, start: p.GetStartTimeUnixNano(), at: p.GetTimeUnixNano(),
			attributes: p.GetAttributes(), value: value,
		})
	}
	return list
}

func histogramPoint(p *metricsv1.HistogramDataPoint, cumulative bool) point {
	return point{
		shape: histogram, cumulative: cumulative, start: p.GetStartTimeUnixNano(), at: p.GetTimeUnixNano(),
		attributes: p.GetAttributes(), count: p.GetCount(), sum: orNaN(p.Sum), least: orNaN(p.Min), most: orNaN(p.Max),
		bounds: p.GetExplicitBounds(), counts: p.GetBucketCounts(),
	}
}

func exponentialPoint(p *metricsv1.ExponentialHistogramDataPoint, cumulative bool) point {
	return point{
		shape: histogram, cumulative: cumulative, start: p.GetStartTimeUnixNano(), at: p.GetTimeUnixNano(),
		attributes: p.GetAttributes(), count: p.GetCount(), sum: orNaN(p.Sum), least: orNaN(p.Min), most: orNaN(p.Max),
		exp: &exponential{
			scale: p.GetScale(), zeros: p.GetZeroCount(),
			positive: buckets{p.GetPositive().GetOffset(), p.GetPositive().GetBucketCounts()},
			negative: buckets{p.GetNegative().GetOffset(), p.GetNegative().GetBucketCounts()},
		},
	}
}

func orNaN(p *float64) float64 {
	if p == nil {
		return math.NaN()
	}
	return *p
}

const (
	// maxBuckets bounds a histogram's, of either sign.
	maxBuckets = 512
	// maxOffset bounds where exponential buckets begin: far beyond what a float64 holds.
	maxOffset = 1 << 28
)

// problem says what cannot be of the point; empty: nothing.
func (p *point) problem() string {
	var total uint64
	switch {
	case p.shape == counter && !(p.value >= 0 && p.value <= 1<<53):
		return fmt.Sprintf("its value is %v: want a count", p.value)
	case p.shape == counter && p.value != math.Trunc(p.value):
		return fmt.Sprintf("its value is %v: want a whole number of events", p.value)
	case p.shape != histogram:
		return ""
	case p.exp == nil && len(p.counts) == 0:
		return ""
	case p.exp == nil:
		if len(p.counts) != len(p.bounds)+1 || len(p.counts) > maxBuckets {
			return fmt.Sprintf("%d buckets for %d bounds: want one more, and at most %d", len(p.counts), len(p.bounds), maxBuckets)
		}
		if !slices.IsSorted(p.bounds) || slices.ContainsFunc(p.bounds, func(b float64) bool { return math.IsNaN(b) || math.IsInf(b, 0) }) {
			return "its bounds are not finite numbers that rise"
		}
		total = sum(p.counts)
	default:
		if max(len(p.exp.positive.counts), len(p.exp.negative.counts)) > maxBuckets || p.exp.scale > 20 || p.exp.scale < -10 {
			return fmt.Sprintf("its scale is %d, of %d buckets: want -10 to 20, and at most %d", p.exp.scale, len(p.exp.positive.counts), maxBuckets)
		}
		for _, side := range []buckets{p.exp.positive, p.exp.negative} {
			if side.offset < -maxOffset || side.offset > maxOffset {
				return fmt.Sprintf("its buckets begin at %d: want at most %d", side.offset, maxOffset)
			}
		}
		total = p.exp.zeros + sum(p.exp.positive.counts) + sum(p.exp.negative.counts)
	}
	if total != p.count {
		return fmt.Sprintf("its count is %d, its buckets hold %d", p.count, total)
	}
	return ""
}

func sum(counts []uint64) (total uint64) {
	for _, n := range counts {
		total += n
	}
	return total
}

// cell is what the point, which is of a time by itself, adds to a metric; unit is the value's
// in seconds, or 1.
func (p *point) cell(metric string, unit float64, w tally.Watched) (*telemetryv1.MetricCell, string) {
	c := &telemetryv1.MetricCell{Metric: metric}
	used := false
	if w.Happened && p.shape != gauge {
		c.Count, used = p.things(), true
		if p.happened(w) {
			c.Events = c.GetCount()
		}
	}
	if w.Values && p.shape != counter {
		used = true
		p.values(c, unit, w.Sketch)
	}
	if !used {
		return nil, fmt.Sprintf("it is %s: want one for what is watched of it", shapeNames[p.shape])
	}
	return c, ""
}

// things are how many the point counts.
func (p *point) things() uint64 {
	if p.shape == counter {
		return uint64(p.value)
	}
	return p.count
}

// happened tells whether what the point counts is what is watched for.
func (p *point) happened(w tally.Watched) bool {
	if attribute(p.attributes, "error.type") != "" {
		return true
	}
	switch strings.ToLower(attribute(p.attributes, "outcome")) {
	case "":
		return p.shape == counter && !w.Observations
	case "success", "redirection", "informational":
		return false
	}
	return true
}

// values adds the values: each bucket's as what stands for it.
func (p *point) values(c *telemetryv1.MetricCell, unit float64, sketched bool) {
	var sketch ddsketch.Sketch
	var total, squares float64
	p.each(func(v float64, n uint64) {
		v *= unit
		total += v * float64(n)
		squares += v * v * float64(n)
		sketch.AddN(v, n)
	})
	c.Count = 1
	if p.shape == histogram {
		c.Count = p.count
		if !math.IsNaN(p.sum) {
			total = p.sum * unit
		}
	}
	c.Sum = total
	// What stands for a bucket may leave less than the sum needs.
	if n := float64(c.GetCount()); n > 0 {
		squares = max(squares, total/n*total)
	}
	c.SumSquares = squares
	if sketched {
		c.Sketch = sketch.Proto()
	}
}

// each calls f with what stands for the values, and how many it stands for.
func (p *point) each(f func(v float64, n uint64)) {
	switch {
	case p.shape != histogram:
		f(p.value, 1)
	case p.exp != nil:
		p.exp.each(f)
	case len(p.counts) == 0: // the sum alone
		if p.count > 0 && !math.IsNaN(p.sum) {
			f(p.sum/float64(p.count), p.count)
		}
	default:
		for i, n := range p.counts {
			if n > 0 {
				f(p.middle(i), n)
			}
		}
	}
}

// middle is what stands for a bucket: its middle, or, at the ends, half way to the smallest
// or largest value, or to zero.
func (p *point) middle(i int) float64 {
	switch {
	case len(p.bounds) == 0:
		return p.sum / float64(p.count)
	case i == 0:
		low := math.Min(0, p.bounds[0])
		if !math.IsNaN(p.least) {
			low = math.Min(p.least, p.bounds[0])
		}
		return (low + p.bounds[0]) / 2
	case i == len(p.bounds):
		last := p.bounds[i-1]
		if !math.IsNaN(p.most) {
			return (last + math.Max(p.most, last)) / 2
		}
		return last
	}
	return (p.bounds[i-1] + p.bounds[i]) / 2
}

// each goes by the geometric middles of the buckets (base^i, base^(i+1)], base = 2^(2^-scale).
func (e *exponential) each(f func(v float64, n uint64)) {
	if e.zeros > 0 {
		f(0, e.zeros)
	}
	for _, side := range []struct {
		of   buckets
		sign float64
	}{{e.positive, 1}, {e.negative, -1}} {
		for i, n := range side.of.counts {
			if n > 0 {
				exponent := (float64(side.of.offset) + float64(i) + 0.5) * math.Exp2(-float64(e.scale))
				f(side.sign*math.Exp2(exponent), n)
			}
		}
	}
}

// attribute returns a text attribute; empty if there is none.
func attribute(list []*commonv1.KeyValue, key string) string {
	for _, a := range list {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}
