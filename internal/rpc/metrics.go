package rpc

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// Metrics are collected under the names that gRPC's middlewares gave them, which
// dashboards know. What a call counts is looked up once a method, not once a call.

var secondsBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// metrics count the calls of all servers of one registry.
type metrics struct {
	started, handled, received, sent *prometheus.CounterVec
	seconds                          *prometheus.HistogramVec

	methods sync.Map // full method -> *methodMetrics
}

// methodMetrics are those of one method.
type methodMetrics struct {
	name    string // /PACKAGE.SERVICE/METHOD
	labels  []string
	handled *prometheus.CounterVec

	started, received, sent, ok prometheus.Counter
	seconds                     prometheus.Observer
}

// newMetrics are shared by the servers of one registry, which may be nil.
func newMetrics(r prometheus.Registerer) *metrics {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		started:  counter("grpc_server_started_total", "Calls that began.", labels...),
		handled:  counter("grpc_server_handled_total", "Calls that ended, by their status.", append(labels[:3:3], "grpc_code")...),
		received: counter("grpc_server_msg_received_total", "Messages received.", labels...),
		sent:     counter("grpc_server_msg_sent_total", "Messages sent.", labels...),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "grpc_server_handling_seconds", Help: "How long calls took, without the transport's part.", Buckets: secondsBuckets,
		}, labels),
	}
	if r == nil {
		return m
	}
	var there prometheus.AlreadyRegisteredError
	if err := r.Register(m); errors.As(err, &there) {
		if shared, ok := there.ExistingCollector.(*metrics); ok {
			return shared
		}
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(out)
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(out)
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.started, m.handled, m.received, m.sent, m.seconds}
}

// What grpc_type says.
const (
	typeUnary        = "unary"
	typeClientStream = "client_stream"
	typeServerStream = "server_stream"
	typeBidiStream   = "bidi_stream"
)

func (m *metrics) method(name, kind string) *methodMetrics {
	if known, ok := m.methods.Load(name); ok {
		return known.(*methodMetrics)
	}
	service, method, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	labels := []string{kind, service, method}
	known, _ := m.methods.LoadOrStore(name, &methodMetrics{
		name: name, labels: labels, handled: m.handled,
		started: m.started.WithLabelValues(labels...), received: m.received.WithLabelValues(labels...),
		sent: m.sent.WithLabelValues(labels...), seconds: m.seconds.WithLabelValues(labels...),
		ok: m.handled.WithLabelValues(append(labels[:3:3], codes.OK.String())...),
	})
	return known.(*methodMetrics)
}

func (m *methodMetrics) end(c codes.Code, took time.Duration) {
	if c == codes.OK {
		m.ok.Inc()
	} else {
		m.handled.WithLabelValues(append(m.labels[:3:3], c.String())...).Inc()
	}
	m.seconds.Observe(took.Seconds())
}
