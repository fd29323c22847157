package collector

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	namespace = "tidegate"
	subsystem = "collector"
)

// metrics are labelled by nothing that grows with the number of senders.
type metrics struct {
	c        *Collector
	batches  *prometheus.CounterVec
	commits  *prometheus.CounterVec
	seconds  prometheus.Histogram
	bytes    prometheus.Counter
	setAside prometheus.Counter
	pending  prometheus.Gauge
	streams  prometheus.Gauge
}

func newMetrics(c *Collector) *metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	m := &metrics{
		c: c,
		batches: prometheus.NewCounterVec(counter("batches_total",
			"Batches that were done with: counted, duplicate (counted before), refused (they make no sense), late (they may have been counted before)."), []string{"verdict"}),
		commits: prometheus.NewCounterVec(counter("commits_total",
			"Transactions: committed, conflict (what they went by had changed; tried again), failed (the store or the judge did not answer; tried again)."), []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "commit_seconds", Help: "Time that transactions took that committed.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 13),
		}),
		bytes:    prometheus.NewCounter(counter("committed_bytes_total", "Bytes written to the store, keys included.")),
		setAside: prometheus.NewCounter(counter("cells_set_aside_total", "Cells that were counted and belong to no rollout, step or metric that is there.")),
		pending:  gauge("pending_bytes", "Batches that wait for their commit, by encoded size."),
		streams:  gauge("streams", "Streams on which batches come."),
	}
	for _, v := range []verdict{verdictCounted, verdictDuplicate, verdictRefused, verdictLate} {
		m.batches.WithLabelValues(string(v)) // so that rates begin at 0
	}
	for _, o := range []string{"committed", "conflict", "failed"} {
		m.commits.WithLabelValues(o)
	}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.batches, m.commits, m.seconds, m.bytes, m.setAside, m.pending, m.streams, accounts{m.c}} {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}

func (m *metrics) observe(took time.Duration, bytes, setAside int) {
	m.commits.WithLabelValues("committed").Inc()
	m.seconds.Observe(took.Seconds())
	m.bytes.Add(float64(bytes))
	m.setAside.Add(float64(setAside))
}

var (
	eventsDesc = prometheus.NewDesc("tidegate_telemetry_events",
		"Exposures and observations that senders have told of, over all time, by what became of them: emitted is the sum of counted, lost (declared by the sender), refused, late and missing. Only the leader tells.",
		[]string{"state"}, nil)
	oldestDesc = prometheus.NewDesc("tidegate_collector_oldest_pending_seconds",
		"How long the oldest batch waits that is neither counted nor judged; 0: none waits. Only the leader tells.", nil, nil)
	sendersDesc = prometheus.NewDesc("tidegate_telemetry_senders", "Boots of senders whose marks are kept. Only the leader tells.", nil, nil)
)

// accounts adds up the ledger when it is asked.
type accounts struct{ c *Collector }

// Describe names what Collect sends.
func (a accounts) Describe(out chan<- *prometheus.Desc) {
	out <- eventsDesc
	out <- sendersDesc
	out <- oldestDesc
}

// Collect adds up.
func (a accounts) Collect(out chan<- prometheus.Metric) {
	sum, ok := a.c.Account()
	if !ok {
		return
	}
	for _, state := range []struct {
		name  string
		count uint64
	}{
		{"emitted", sum.Emitted},
		{"counted", sum.Counted},
		{"lost", sum.Lost},
		{"refused", sum.Refused},
		{"late", sum.Late},
		{"missing", sum.Missing},
	} {
		out <- prometheus.MustNewConstMetric(eventsDesc, prometheus.GaugeValue, float64(state.count), state.name)
	}
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	out <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, a.c.oldestLocked().Seconds())
	if a.c.ledger != nil {
		out <- prometheus.MustNewConstMetric(sendersDesc, prometheus.GaugeValue, float64(len(a.c.ledger.byID)))
	}
}

// oldestLocked is how long the oldest batch waits.
func (c *Collector) oldestLocked() time.Duration {
	var age time.Duration
	for _, box := range c.order {
		if len(box.waiting) > 0 {
			age = max(age, time.Since(box.waiting[0].came))
		}
	}
	return age
}
