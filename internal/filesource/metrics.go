package filesource

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	files           prometheus.Gauge
	problems        prometheus.Gauge
	good            prometheus.Gauge
	refused         prometheus.Counter
	journalFailures prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "tidegate", Subsystem: "file", Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tidegate", Subsystem: "file", Name: name, Help: help})
	}
	m := &metrics{
		files:           gauge("files", "Files found at the last look."),
		problems:        gauge("problems", "Problems for which the files, as they are now, are not served; 0 if they are."),
		good:            gauge("last_good_timestamp_seconds", "When the files were last found to be what is served."),
		refused:         counter("refused_total", "Contents of the files that were refused."),
		journalFailures: counter("journal_failures_total", "Changes that could not be written or synced to disk."),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.files, m.problems, m.good, m.refused, m.journalFailures} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("filesource: a metric cannot be exported: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) observe(s State) {
	m.files.Set(float64(s.Files))
	problems := 0
	if s.Err != nil {
		problems = 1 + strings.Count(s.Err.Error(), "\n")
	}
	m.problems.Set(float64(problems))
	if !s.Good.IsZero() {
		m.good.Set(float64(s.Good.UnixNano()) / 1e9)
	}
}
