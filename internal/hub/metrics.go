package hub

import (
	"github.com/prometheus/client_golang/prometheus"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// metrics are labelled by nothing that grows with the number of followers.
type metrics struct {
	updates  map[syncv1.Begin_Mode]prometheus.Counter
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
	updates := prometheus.NewCounterVec(counter("updates_total", "Updates sent, by mode: full, delta or none."), []string{"mode"})
	m := &metrics{
		updates: map[syncv1.Begin_Mode]prometheus.Counter{
			syncv1.Begin_MODE_FULL:  updates.WithLabelValues("full"),
			syncv1.Begin_MODE_DELTA: updates.WithLabelValues("delta"),
			syncv1.Begin_MODE_NONE:  updates.WithLabelValues("none"),
		},
		goodbyes: prometheus.NewCounterVec(counter("goodbyes_total", "Streams ended by this side, by code."), []string{"code"}),
		bytes:    prometheus.NewCounter(counter("update_bytes_total", "Bytes of the updates sent, uncompressed.")),
		lost:     prometheus.NewCounter(counter("lost_total", "Times a follower fell behind the history and was sent the difference, or everything.")),
	}
	if h.o.Registerer == nil {
		return m
	}
	for _, c := range []prometheus.Collector{
		updates, m.goodbyes, m.bytes, m.lost,
		gauge("followers", "Connected followers.", func() float64 {
			h.mu.Lock()
			defer h.mu.Unlock()
			return float64(h.beats.count)
		}),
		gauge("unacknowledged_scopes", "Environments of connected followers whose newest state they have not acknowledged.",
			func() float64 { return float64(h.unacknowledged()) }),
		gauge("rejected_items", "Items that connected followers could not use, summed over followers.",
			func() float64 { return float64(h.rejections.Load()) }),
		gauge("fulls_underway", "Full states that are being sent.", func() float64 {
			admitted, _ := h.admission.load()
			return float64(admitted)
		}),
		gauge("fulls_waiting", "Followers' environments that wait for their turn to be sent in full.", func() float64 {
			_, waiting := h.admission.load()
			return float64(waiting)
		}),
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

func (h *Hub) unacknowledged() (n int) {
	h.eachFeed(func(f *feed) { n += f.unacknowledged() })
	return n
}
