package notify

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count by target. What waits is told by the leader alone.
type metrics struct {
	sent, failed, dead *prometheus.CounterVec
	waiting            collector
}

func newMetrics(n *Notifier) *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "tidegate", Subsystem: "notify", Name: name, Help: help,
		}, []string{"target"})
		for _, t := range n.o.Targets {
			v.WithLabelValues(t.Name)
		}
		return v
	}
	return &metrics{
		sent:    counter("sent_total", "Notifications that the target took."),
		failed:  counter("failed_attempts_total", "Attempts to notify that failed."),
		dead:    counter("dead_total", "Notifications that were given up."),
		waiting: collector{n},
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	return errors.Join(r.Register(m.sent), r.Register(m.failed), r.Register(m.dead), r.Register(m.waiting))
}

var (
	waitingDesc = prometheus.NewDesc("tidegate_notify_waiting",
		"Notifications that the target has not taken yet; told by the leader.", []string{"target"}, nil)
	oldestDesc = prometheus.NewDesc("tidegate_notify_oldest_seconds",
		"For how long the oldest of them has waited; 0: there is none.", []string{"target"}, nil)
)

// collector looks when it is asked: nothing is counted in between.
type collector struct{ n *Notifier }

// Describe names what Collect sends.
func (c collector) Describe(out chan<- *prometheus.Desc) { out <- waitingDesc; out <- oldestDesc }

// Collect looks at the lanes.
func (c collector) Collect(out chan<- prometheus.Metric) {
	d := c.n.term.Load()
	if d == nil {
		return
	}
	type waiting struct{ count, age float64 }
	all := make(map[string]waiting)
	for _, t := range c.n.o.Targets {
		all[t.Name] = waiting{}
	}
	for _, l := range d.all() {
		var w waiting
		count, oldest := l.waiting()
		if w.count = float64(count); count > 0 {
			w.age = max(0, time.Since(oldest).Seconds())
		}
		all[l.target] = w
	}
	for target, w := range all {
		out <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, w.count, target)
		out <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, w.age, target)
	}
}
