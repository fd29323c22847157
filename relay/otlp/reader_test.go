package otlp

import (
	"math"
	"strings"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	metricsv1 "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/tally"
)

// counts is a Counter that keeps the cells.
type counts struct {
	watched tally.Watched
	cells   []*telemetryv1.MetricCell
}

func (c *counts) Watches(metric string) bool { return metric != "unwatched" }

func (c *counts) Sum(x *telemetryv1.Exposure, _ string, _ time.Time, cell func(tally.Watched) (*telemetryv1.MetricCell, string)) string {
	if x.GetVariant() == "nobody" {
		return "no such variant"
	}
	m, problem := cell(c.watched)
	if problem == "" {
		c.cells = append(c.cells, m)
	}
	return problem
}

type totals struct {
	count, events uint64
	sum           float64
}

// total adds up the cells.
func (c *counts) total() (t totals) {
	for _, m := range c.cells {
		t.count += m.GetCount()
		t.events += m.GetEvents()
		t.sum += m.GetSum()
	}
	return t
}

func text(pairs ...string) (list []*commonv1.KeyValue) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, &commonv1.KeyValue{
			Key: pairs[i], Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: pairs[i+1]}},
		})
	}
	return list
}

func of(variant string, more ...string) []*commonv1.KeyValue {
	return text(append([]string{"feature_flag.key", "f", "feature_flag.result.variant", variant}, more...)...)
}

const (
	delta      = metricsv1.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	cumulative = metricsv1.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
)

func sumOf(t metricsv1.AggregationTemporality, value int64, start, at uint64, attributes []*commonv1.KeyValue) *metricsv1.Metric {
	return &metricsv1.Metric{Name: "m", Data: &metricsv1.Metric_Sum{Sum: &metricsv1.Sum{
		IsMonotonic: true, AggregationTemporality: t,
		DataPoints: []*metricsv1.NumberDataPoint{{
			Value: &metricsv1.NumberDataPoint_AsInt{AsInt: value}, StartTimeUnixNano: start, TimeUnixNano: at, Attributes: attributes,
		}},
	}}}
}

func histogramOf(t metricsv1.AggregationTemporality, p *metricsv1.HistogramDataPoint) *metricsv1.Metric {
	return &metricsv1.Metric{Name: "m", Unit: "ms", Data: &metricsv1.Metric_Histogram{Histogram: &metricsv1.Histogram{
		AggregationTemporality: t, DataPoints: []*metricsv1.HistogramDataPoint{p},
	}}}
}

func request(metrics ...*metricsv1.Metric) *collectorv1.ExportMetricsServiceRequest {
	return &collectorv1.ExportMetricsServiceRequest{ResourceMetrics: []*metricsv1.ResourceMetrics{{
		ScopeMetrics: []*metricsv1.ScopeMetrics{{Metrics: metrics}},
	}}}
}

func TestPoints(t *testing.T) {
	t.Parallel()
	rate, share, values := tally.Watched{Happened: true}, tally.Watched{Happened: true, Observations: true}, tally.Watched{Values: true, Sketch: true}
	gaugeOf := func(v float64) *metricsv1.Metric {
		return &metricsv1.Metric{Name: "m", Data: &metricsv1.Metric_Gauge{Gauge: &metricsv1.Gauge{
			DataPoints: []*metricsv1.NumberDataPoint{{Value: &metricsv1.NumberDataPoint_AsDouble{AsDouble: v}, Attributes: of("on")}},
		}}}
	}
	buckets := func(attributes []*commonv1.KeyValue, counts ...uint64) *metricsv1.Metric {
		var n uint64
		for _, c := range counts {
			n += c
		}
		return histogramOf(delta, &metricsv1.HistogramDataPoint{
			Count: n, Sum: proto.Float64(1000), ExplicitBounds: []float64{10, 100}, BucketCounts: counts, Attributes: attributes,
		})
	}
	for _, c := range []struct {
		name          string
		watched       tally.Watched
		metric        *metricsv1.Metric
		count, events uint64
		sum           float64
		problem       string
	}{
		{"a counter's things happen", rate, sumOf(delta, 5, 0, 1, of("on")), 5, 5, 0, ""},
		{"unless it says that they did not", rate, sumOf(delta, 5, 0, 1, of("on", "outcome", "SUCCESS")), 5, 0, 0, ""},
		{"or they are observations", share, sumOf(delta, 5, 0, 1, of("on")), 5, 0, 0, ""},
		{"of which these happened", share, sumOf(delta, 5, 0, 1, of("on", "error.type", "timeout")), 5, 5, 0, ""},
		{"and these", share, sumOf(delta, 5, 0, 1, of("on", "outcome", "failure")), 5, 5, 0, ""},
		{"the older attribute", rate, sumOf(delta, 5, 0, 1, text("feature_flag.key", "f", "feature_flag.variant", "on")), 5, 5, 0, ""},
		{"of no flag", rate, sumOf(delta, 5, 0, 1, nil), 0, 0, 0, ""},
		{"no variant", rate, sumOf(delta, 5, 0, 1, text("feature_flag.key", "f")), 0, 0, 0, "feature_flag.result.variant"},
		{"another variant", rate, sumOf(delta, 5, 0, 1, of("nobody")), 0, 0, 0, "no such variant"},
		{"negative", rate, sumOf(delta, -5, 0, 1, of("on")), 0, 0, 0, "want a count"},
		{"temporality", rate, sumOf(0, 5, 0, 1, of("on")), 0, 0, 0, "aggregation_temporality is not set"},
		{"a counter has no values", values, sumOf(delta, 5, 0, 1, of("on")), 0, 0, 0, "it is a monotonic sum"},
		{"a histogram's count", rate, buckets(of("on"), 1, 2, 3), 6, 0, 0, ""},
		{"of failures", rate, buckets(of("on", "error.type", "timeout"), 1, 2, 3), 6, 6, 0, ""},
		{"a histogram's values, in seconds", values, buckets(of("on"), 1, 2, 3), 6, 0, 1, ""},
		{"too few buckets", values, buckets(of("on"), 1, 2), 0, 0, 0, "2 buckets for 2 bounds"},
		{"buckets and count", values, histogramOf(delta, &metricsv1.HistogramDataPoint{Count: 3, BucketCounts: []uint64{1}, Attributes: of("on")}), 0, 0, 0, "its count is 3"},
		{"a gauge", values, gaugeOf(7), 1, 0, 7, ""},
		{"a gauge counts nothing", rate, gaugeOf(7), 0, 0, 0, "it is a gauge"},
		{"no data", rate, &metricsv1.Metric{Name: "m"}, 0, 0, 0, "neither a sum, a gauge nor a histogram"},
	} {
		got := &counts{watched: c.watched}
		result := NewReader().Read(request(c.metric), "host", got, time.Now())
		if sum := got.total(); sum.count != c.count || sum.events != c.events || math.Abs(sum.sum-c.sum) > 1e-9 {
			t.Errorf("%s: %+v, want %d, %d, %v", c.name, sum, c.count, c.events, c.sum)
		}
		if !strings.Contains(result.Message, c.problem) || (result.Rejected > 0) != (c.problem != "") {
			t.Errorf("%s: rejected %d, %q; want %q", c.name, result.Rejected, result.Message, c.problem)
		}
	}
}

// Cumulative streams: what is counted is what was added since.
func TestCumulative(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_700_000_000, 0)
	at := func(seconds int) uint64 { return uint64(start.Add(time.Duration(seconds) * time.Second).UnixNano()) }
	read, got := NewReader(), &counts{watched: tally.Watched{Happened: true}}
	for _, c := range []struct {
		name    string
		host    string
		seconds int
		value   int64
		start   uint64
		kind    string
		want    uint64 // added
	}{
		{"of a source that is new, the first is where counting begins", "a", 0, 100, 1, "x", 0},
		{"the difference", "a", 10, 103, 1, "x", 3},
		{"again", "a", 10, 103, 1, "x", 0},
		{"out of order", "a", 5, 101, 1, "x", 0},
		{"a stream that is new by now", "a", 20, 4, 1, "y", 4},
		{"began again", "a", 30, 2, at(29), "x", 2},
		{"goes on", "a", 40, 5, at(29), "x", 3},
		{"fell without saying so", "a", 50, 1, at(29), "x", 1},
		{"another host", "b", 60, 1000, 1, "x", 0},
		{"goes on there", "b", 70, 1001, 1, "x", 1},
	} {
		before := got.total().events
		read.Read(request(sumOf(cumulative, c.value, c.start, at(c.seconds), of("on", "kind", c.kind))), c.host, got, start.Add(time.Duration(c.seconds)*time.Second))
		if added := got.total().events - before; added != c.want {
			t.Errorf("%s: %d were added, want %d", c.name, added, c.want)
		}
	}
}

// An exponential histogram may become coarser from one export to the next.
func TestCoarser(t *testing.T) {
	t.Parallel()
	fine := &exponential{scale: 1, zeros: 1, positive: buckets{-3, []uint64{1, 2, 3, 4, 5}}}
	coarse := &exponential{scale: 0, zeros: 2, positive: buckets{-2, []uint64{2, 6, 9}}}
	d, ok := coarse.minus(fine) // -3,-2,-1,0,1 become -2,-1,-1,0,0: 1, 5, 9
	if !ok || d.zeros != 1 || len(d.positive.counts) != 3 || d.positive.counts[0] != 1 || d.positive.counts[1] != 1 || d.positive.counts[2] != 0 {
		t.Errorf("%+v, %v", d, ok)
	}
	if _, ok := fine.minus(coarse); ok {
		t.Error("a histogram became finer")
	}
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	s, now := newStreams(), time.Unix(1_700_000_000, 0)
	from := s.of("a", nil, now)
	for i := range uint64(maxStreams + 1) {
		_, _, problem := s.difference(from, "m", point{shape: counter, start: i, at: 1, value: 1}, now)
		if full := i == maxStreams; full != (problem != "") {
			t.Fatalf("stream %d: %q", i, problem)
		}
	}
	s.forget(now.Add(sourceIdle + 1))
	if s.count != 0 || len(s.sources) != 0 {
		t.Errorf("%d streams of %d sources are remembered", s.count, len(s.sources))
	}
}

// Whatever comes, what is counted can be what somebody counted.
func FuzzRead(f *testing.F) {
	seed := func(m *metricsv1.Metric) {
		b, err := proto.Marshal(request(m))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed(sumOf(cumulative, 5, 1, 2, of("on")))
	seed(histogramOf(cumulative, &metricsv1.HistogramDataPoint{Count: 3, BucketCounts: []uint64{3}, Attributes: of("on")}))
	seed(&metricsv1.Metric{Name: "m", Data: &metricsv1.Metric_ExponentialHistogram{ExponentialHistogram: &metricsv1.ExponentialHistogram{
		AggregationTemporality: cumulative, DataPoints: []*metricsv1.ExponentialHistogramDataPoint{{
			Count: 3, Scale: 2, Positive: &metricsv1.ExponentialHistogramDataPoint_Buckets{Offset: 5, BucketCounts: []uint64{1, 2}}, Attributes: of("on"),
		}},
	}}})
	f.Fuzz(func(t *testing.T, data []byte) {
		q := &collectorv1.ExportMetricsServiceRequest{}
		if proto.Unmarshal(data, q) != nil {
			t.Skip()
		}
		got := &counts{watched: tally.Watched{Happened: true, Values: true, Sketch: true}}
		r, now := NewReader(), time.Unix(1_700_000_000, 0)
		r.Read(q, "a", got, now)
		r.Read(q, "a", got, now.Add(time.Minute))
		for _, m := range got.cells {
			if m.GetEvents() > m.GetCount() {
				t.Errorf("%d events of %d", m.GetEvents(), m.GetCount())
			}
		}
	})
}
