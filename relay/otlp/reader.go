package otlp

import (
	"fmt"
	"sync"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metricsv1 "go.opentelemetry.io/proto/otlp/metrics/v1"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/tally"
)

// Counter is what points are counted in: [tally.Tally].
type Counter interface {
	Watches(metric string) bool
	Sum(x *telemetryv1.Exposure, metric string, now time.Time, cell func(tally.Watched) (*telemetryv1.MetricCell, string)) (problem string)
}

// Reader reads what is exported to one environment. It is safe for concurrent use.
type Reader struct {
	mu      sync.Mutex
	streams *streams
}

// NewReader returns a reader that knows no streams yet.
func NewReader() *Reader { return &Reader{streams: newStreams()} }

// Result says what came of an export.
type Result struct {
	// Counted: there is something to be brought to disk.
	Counted bool
	// Rejected are data points that should have been counted and could not be; Message is what
	// was wrong with the first one, and what would be right.
	Rejected int64
	Message  string
}

// Read counts the points that are of watched metrics and name a flag. host is who sends.
func (r *Reader) Read(q *collectorv1.ExportMetricsServiceRequest, host string, to Counter, now time.Time) Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := intake{reader: r, to: to, now: now}
	for _, resource := range q.GetResourceMetrics() {
		in.source = r.streams.of(host, resource.GetResource().GetAttributes(), now)
		for _, scope := range resource.GetScopeMetrics() {
			for _, m := range scope.GetMetrics() {
				if to.Watches(m.GetName()) {
					in.metric(m)
				}
			}
		}
	}
	r.streams.forget(now)
	return in.result
}

// intake reads one request.
type intake struct {
	reader *Reader
	to     Counter
	now    time.Time
	source *source
	result Result
}

func (in *intake) metric(m *metricsv1.Metric) {
	points, problem := pointsOf(m)
	for i := range points {
		p := &points[i]
		x := &telemetryv1.Exposure{
			FlagKey: attribute(p.attributes, "feature_flag.key"), Variant: attribute(p.attributes, "feature_flag.result.variant"),
		}
		if x.GetFlagKey() == "" {
			continue
		}
		if x.GetVariant() == "" {
			x.Variant = attribute(p.attributes, "feature_flag.variant")
		}
		why := problem
		if why == "" {
			why = in.point(m, p, x)
		}
		if why != "" {
			in.reject(m.GetName(), why)
		}
	}
	if len(points) == 0 && problem != "" {
		in.reject(m.GetName(), problem)
	}
}

func (in *intake) reject(metric, why string) {
	in.result.Rejected++
	if in.result.Message == "" {
		in.result.Message = fmt.Sprintf("metric %.64q: %s", metric, why)
	}
}

// point counts one, and says what is wrong with it; empty: nothing.
func (in *intake) point(m *metricsv1.Metric, p *point, x *telemetryv1.Exposure) string {
	if x.GetVariant() == "" {
		return "a point has feature_flag.key, and not feature_flag.result.variant, which is what was served"
	}
	if why := p.problem(); why != "" {
		return why
	}
	if p.cumulative {
		d, ok, why := in.reader.streams.difference(in.source, m.GetName(), *p, in.now)
		if !ok {
			return why
		}
		*p = d
	}
	if p.shape != gauge && p.things() == 0 {
		return ""
	}
	in.result.Counted = true
	return in.to.Sum(x, m.GetName(), in.now, func(w tally.Watched) (*telemetryv1.MetricCell, string) {
		return p.cell(m.GetName(), secondsOf(m.GetUnit()), w)
	})
}

// secondsOf is what one of a unit is in seconds, if it is one of time; else 1.
func secondsOf(unit string) float64 {
	switch unit {
	case "ns":
		return 1e-9
	case "us", "µs", "μs":
		return 1e-6
	case "ms":
		return 1e-3
	case "min":
		return 60
	case "h":
		return 3600
	}
	return 1
}
