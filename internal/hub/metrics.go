package hub

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are labelled by nothing that grows with the number of followers.
type metrics struct {
	updates  *prometheus.CounterVec
	goodbyes *prometheus.CounterVec
	bytes    prometheus.Counter
	lost     prometheus.Counter
}

func newMetrics(h *Hub) *metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "tidegate", Subsystem: "hub", Name: name, Help: help}
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "tidegate", Subsystem: "hub", Name: name, Help: help}, value)
	}
	m := &metrics{
		updates:  prometheus.NewCounterVec(counter("updates_total", "Updates sent, by mode: full, delta or none."), []string{"mode"}),
		goodbyes: prometheus.NewCounterVec(counter("goodbyes_total", "Streams ended by this side, by code."), []string{"code"}),
		bytes:    prometheus.NewCounter(counter("update_bytes_total", "Bytes of the updates sent, uncompressed.")),
		lost:     prometheus.NewCounter(counter("lost_total", "Times a follower fell behind the history and was sent the difference, or everything.")),
	}
	if h.o.Registerer == nil {
		return m
	}
	for _, c := range []prometheus.Collector{
		m.updates, m.goodbyes, m.bytes, m.lost,
		gauge("followers", "Connected followers.", func() float64 {
			h.mu.Lock()
			defer h.mu.Unlock()
			return float64(len(h.streams))
		}),
		gauge("unacknowledged_scopes", "Environments of connected followers whose newest state they have not acknowledged.",
			func() float64 { return float64(h.unacknowledged()) }),
		gauge("rejected_items", "Items that connected followers could not use, summed over followers.",
			func() float64 { return float64(h.rejected()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "tidegate", Subsystem: "store", Name: "behind_followers",
			Help: "Highest revision that a follower has of the epoch while the store is below it: the store lost data, or was restored from a backup; 0: none.",
		}, func() float64 {
			revision, _ := h.StoreBehind()
			return float64(revision)
		}),
	} {
		if err := h.o.Registerer.Register(c); err != nil {
			h.o.Logger.Error().Err(err).Msg("hub: a metric is not exported")
		}
	}
	return m
}

func (h *Hub) unacknowledged() int {
	n := 0
	for _, f := range h.Followers() {
		for _, environment := range f.Environments {
			snap := h.o.Replicas.Replica(environment).Snapshot()
			if acked, ok := f.Acked[environment]; snap != nil && (!ok || !acked.SameState(snap.Cursor())) {
				n++
			}
		}
	}
	return n
}

func (h *Hub) rejected() int {
	n := 0
	for _, f := range h.Followers() {
		for _, rejections := range f.Rejections {
			n += rejections
		}
	}
	return n
}
