package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidegate/tidegate/internal/replica"
)

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("tidegate_server_"+name, help, []string{"environment"}, nil)
}

// replicaCollector reads the replicas when it is asked: nothing is counted in between.
type replicaCollector struct{ replicas *replica.Set }

// Describe announces nothing: environments come while the server runs.
func (c replicaCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads each environment's state.
func (c replicaCollector) Collect(out chan<- prometheus.Metric) {
	revision := describe("environment_revision", "Revision of the environment's snapshot.")
	age := describe("environment_age_seconds", "Time since the store last confirmed the snapshot.")
	flags := describe("environment_flags", "Flags in the environment.")
	segments := describe("environment_segments", "Segments in the environment.")
	for _, name := range c.replicas.Environments() {
		r := c.replicas.Replica(name)
		snap := r.Snapshot()
		if snap == nil {
			continue
		}
		for desc, v := range map[*prometheus.Desc]float64{
			revision: float64(snap.Cursor().Revision),
			age:      r.Age().Seconds(),
			flags:    float64(snap.Eval().FlagCount()),
			segments: float64(snap.Eval().SegmentCount()),
		} {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, name)
		}
	}
}
