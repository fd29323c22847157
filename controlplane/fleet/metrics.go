package fleet

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	relaysDesc = prometheus.NewDesc("tidegate_fleet_relays",
		"Relays that are connected to this server, directly or over others; and those that were, and did not say that they stop.",
		[]string{"state"}, nil)
	lagDesc = prometheus.NewDesc("tidegate_fleet_lag_seconds",
		"For how long there has been something newer than what a connected relay has; of all relays and environments, the longest.",
		nil, nil)
)

// collector counts when it is asked: nothing is counted in between.
type collector struct{ fleet *Fleet }

// Describe names what Collect sends.
func (c collector) Describe(out chan<- *prometheus.Desc) { out <- relaysDesc; out <- lagDesc }

// Collect counts.
func (c collector) Collect(out chan<- prometheus.Metric) {
	now := time.Now()
	counts := map[bool]float64{}
	var longest time.Duration
	local, _ := c.fleet.local.all()
	for _, m := range local {
		counts[m.connected]++
		for _, a := range m.has {
			if m.connected {
				longest = max(longest, c.fleet.lag(a.environment, a.cursor, now))
			}
		}
	}
	out <- prometheus.MustNewConstMetric(relaysDesc, prometheus.GaugeValue, counts[true], "connected")
	out <- prometheus.MustNewConstMetric(relaysDesc, prometheus.GaugeValue, counts[false], "disconnected")
	out <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, longest.Seconds())
}
