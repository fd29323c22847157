package uplink

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are labelled by nothing that grows with the number of relays. How many events were
// emitted, acknowledged and lost, the spool says.
type metrics struct {
	connected   prometheus.Gauge
	disconnects *prometheus.CounterVec
	own         prometheus.Counter
	relayed     prometheus.Counter
	acks        prometheus.Counter
	below       prometheus.Gauge
	refused     prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "tidegate", Subsystem: "uplink", Name: name, Help: help}
	}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: "tidegate", Subsystem: "uplink", Name: name, Help: help}
	}
	m := &metrics{
		connected:   prometheus.NewGauge(gauge("connected", "1 while there is a stream to push telemetry to.")),
		disconnects: prometheus.NewCounterVec(counter("disconnects_total", "Streams that ended or could not be opened, by reason."), []string{"reason"}),
		own:         prometheus.NewCounter(counter("own_batches_total", "Batches sent from this process's spool, again or for the first time.")),
		relayed:     prometheus.NewCounter(counter("relayed_batches_total", "Batches from below that were passed on.")),
		acks:        prometheus.NewCounter(counter("acknowledgements_total", "Acknowledgements received.")),
		below:       prometheus.NewGauge(gauge("streams", "Streams from below.")),
		refused:     prometheus.NewCounter(counter("refused_streams_total", "Streams from below that were ended for what they sent.")),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.connected, m.disconnects, m.own, m.relayed, m.acks, m.below, m.refused} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("uplink: a metric cannot be exported: %w", err)
		}
	}
	return m, nil
}
