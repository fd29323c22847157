package follower

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are labelled with environments and reasons: few, and known beforehand.
type metrics struct {
	connected       prometheus.Gauge
	disconnects     *prometheus.CounterVec
	messages        prometheus.Counter
	updates         *prometheus.CounterVec
	revision        *prometheus.GaugeVec
	rejected        *prometheus.GaugeVec
	revoked         *prometheus.GaugeVec
	journalFailures prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "tidegate", Subsystem: "follower", Name: name, Help: help}
	}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: "tidegate", Subsystem: "follower", Name: name, Help: help}
	}
	m := &metrics{
		connected:       prometheus.NewGauge(gauge("connected", "1 while an upstream is followed.")),
		disconnects:     prometheus.NewCounterVec(counter("disconnects_total", "Streams that ended or could not be opened, by reason."), []string{"reason"}),
		messages:        prometheus.NewCounter(counter("messages_total", "Messages received.")),
		updates:         prometheus.NewCounterVec(counter("updates_total", "Updates verified, by mode."), []string{"mode"}),
		revision:        prometheus.NewGaugeVec(gauge("revision", "Revision that is shown, by environment."), []string{"environment"}),
		rejected:        prometheus.NewGaugeVec(gauge("rejected_items", "Flags and segments that cannot be used, by environment."), []string{"environment"}),
		revoked:         prometheus.NewGaugeVec(gauge("revoked", "1 while the upstream refuses to serve the environment to this process."), []string{"environment"}),
		journalFailures: prometheus.NewCounter(counter("journal_failures_total", "Changes that could not be written or synced to disk.")),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.connected, m.disconnects, m.messages, m.updates, m.revision, m.rejected, m.revoked, m.journalFailures,
	} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("follower: a metric cannot be exported: %w", err)
		}
	}
	return m, nil
}
