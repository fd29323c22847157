package decider

import (
	"errors"
	"maps"

	"github.com/prometheus/client_golang/prometheus"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

const (
	namespace = "tidegate"
	subsystem = "decider"
)

type metrics struct {
	d         *Decider
	decisions *prometheus.CounterVec
	seconds   prometheus.Histogram
}

func newMetrics(d *Decider) *metrics {
	m := &metrics{
		d: d,
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "decisions_total", Help: "Decisions that this server committed, by verdict.",
		}, []string{"verdict"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "round_seconds",
			Help:    "Time that it took to judge all rollouts once, without the commit.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 13),
		}),
	}
	for number := range rolloutv1.Verdict_name {
		if v := rolloutv1.Verdict(number); v != rolloutv1.Verdict_VERDICT_UNSPECIFIED {
			m.decisions.WithLabelValues(word(v)) // so that rates begin at 0
		}
	}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	return errors.Join(r.Register(m.decisions), r.Register(m.seconds), r.Register(evidences{m.d}))
}

// maxShown is how many rollouts the metrics of evidence are of, at most.
const maxShown = 100

var (
	labels       = []string{"environment", "rollout", "guardrail"}
	evidenceDesc = prometheus.NewDesc("tidegate_rollout_evidence_ratio",
		"Evidence of harm of a rollout that is not over, as the logarithm of the e-value over that of what is a breach: at 1 it is one. Only the leader tells, of 100 rollouts at most.", labels, nil)
	gateDesc = prometheus.NewDesc("tidegate_rollout_gate_ratio",
		"Evidence of safety at the stage, as tidegate_rollout_evidence_ratio: at 1 it is proven.", labels, nil)
)

// evidences tells how the evidence stands when it is asked.
type evidences struct{ d *Decider }

// Describe names what Collect sends.
func (e evidences) Describe(out chan<- *prometheus.Desc) { out <- evidenceDesc; out <- gateDesc }

// Collect assesses what was judged last.
func (e evidences) Collect(out chan<- prometheus.Metric) {
	e.d.mu.Lock()
	standing := maps.Clone(e.d.standing)
	e.d.mu.Unlock()
	shown := 0
	for i, s := range standing {
		if shown++; shown > maxShown {
			return
		}
		for _, g := range s.assess().GetGuardrails() {
			send := func(desc *prometheus.Desc, logE *float64, threshold float64) {
				if logE != nil && threshold > 0 {
					out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, *logE/threshold, i.environment, i.rollout, g.GetName())
				}
			}
			send(evidenceDesc, g.LogE, g.GetLogThreshold())
			send(gateDesc, g.GateLogE, g.GetGateLogThreshold())
		}
	}
}
