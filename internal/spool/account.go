package spool

import (
	"fmt"
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Reason says why events were lost.
type Reason string

// The reasons.
const (
	// ReasonUncounted: thrown away before they came into a batch (Entry.Lost).
	ReasonUncounted Reason = "uncounted"
	// ReasonFull: there was no room for them.
	ReasonFull Reason = "full"
	// ReasonExpired: nobody took them in time.
	ReasonExpired Reason = "expired"
	// ReasonDamaged: they could not be read again.
	ReasonDamaged Reason = "damaged"
	// ReasonRefused: upstream found that they make no sense, or are none of its business.
	ReasonRefused Reason = "refused"
)

// Account is that of one boot: Emitted = Acknowledged + Lost + Spooled, in events.
type Account struct {
	InstanceID, BootID string
	// LastSequence is that of its newest batch.
	LastSequence uint64
	Emitted      uint64
	Acknowledged uint64
	Lost         uint64
	Spooled      uint64
}

// Accounts returns those of the boots that are not settled, the oldest first; this process's
// own is the last.
func (s *Spool) Accounts() []Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	accounts := make([]Account, 0, len(s.boots))
	for _, b := range s.boots {
		if b.settled {
			continue
		}
		a := Account{
			InstanceID: b.instance, BootID: b.id, LastSequence: b.last,
			Emitted: b.emitted, Acknowledged: sub(b.acked.handed, b.refused),
		}
		for _, g := range s.segments {
			if g.boot == b {
				a.Spooled += g.waiting
			}
		}
		for _, h := range s.underWay {
			if h.boot == b {
				a.Spooled += h.counted
			}
		}
		a.Lost = sub(a.Emitted, a.Acknowledged+a.Spooled)
		accounts = append(accounts, a)
	}
	return accounts
}

// Totals are over the life of the process. What earlier ones left counts as emitted when it
// was found: Emitted = Acknowledged + Spooled + the sum of Lost, in events.
type Totals struct {
	Emitted, Acknowledged, Spooled uint64
	Lost                           map[Reason]uint64
	// Resent batches were handed out again.
	Resent uint64
	// WriteErrors are failed attempts to write.
	WriteErrors uint64
	// Bytes are in the segments, MemoryBytes in those of them that are not on disk.
	Bytes, MemoryBytes int64
	// Batches are spooled, with events or without; of them, UnderWay were handed out.
	Batches, UnderWay int
	// Age of the oldest segment that is not settled.
	Age time.Duration

	appended header
}

// Totals returns them.
func (s *Spool) Totals() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.totals
	t.Lost = maps.Clone(t.Lost)
	t.UnderWay = len(s.underWay)
	t.Batches = t.UnderWay
	for _, h := range s.underWay {
		t.Spooled += h.counted
	}
	for _, g := range s.segments {
		t.Batches += g.left
		t.Spooled += g.waiting
		t.Bytes += g.size
		if !g.inFile {
			t.MemoryBytes += g.size
		}
		if t.Age == 0 && g.boot != nil && g.last > g.boot.acked.sequence {
			t.Age = max(time.Since(g.began), 0)
		}
	}
	return t
}

func (s *Spool) lose(why Reason, events uint64) { s.totals.Lost[why] += events }

// register exports the totals.
func (s *Spool) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	name := func(n string) string { return prometheus.BuildFQName("tidegate", "spool", n) }
	e := &exporter{
		spool:        s,
		emitted:      prometheus.NewDesc(name("emitted_events_total"), "Events that came into the spool, or were found there: acknowledged, lost and spooled ones together.", nil, nil),
		acknowledged: prometheus.NewDesc(name("acknowledged_events_total"), "Events that upstream has acknowledged.", nil, nil),
		lost:         prometheus.NewDesc(name("lost_events_total"), "Events that were thrown away, by reason.", []string{"reason"}, nil),
		spooled:      prometheus.NewDesc(name("events"), "Events that are not acknowledged.", nil, nil),
		resent:       prometheus.NewDesc(name("resent_batches_total"), "Batches that were sent again.", nil, nil),
		writeErrors:  prometheus.NewDesc(name("write_errors_total"), "Failed attempts to write to disk.", nil, nil),
		bytes:        prometheus.NewDesc(name("bytes"), "Bytes in the spool.", nil, nil),
		memory:       prometheus.NewDesc(name("memory_bytes"), "Bytes in the spool that are not on disk.", nil, nil),
		underWay:     prometheus.NewDesc(name("under_way_batches"), "Batches that were sent and not acknowledged.", nil, nil),
		age:          prometheus.NewDesc(name("age_seconds"), "Age of the oldest part that is not acknowledged.", nil, nil),
	}
	if err := r.Register(e); err != nil {
		return fmt.Errorf("spool: a metric cannot be exported: %w", err)
	}
	return nil
}

// exporter shows one state of the account at a time.
type exporter struct {
	spool                                                                                   *Spool
	emitted, acknowledged, lost, spooled, resent, writeErrors, bytes, memory, underWay, age *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (e *exporter) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		e.emitted, e.acknowledged, e.lost, e.spooled, e.resent, e.writeErrors, e.bytes, e.memory, e.underWay, e.age,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (e *exporter) Collect(to chan<- prometheus.Metric) {
	t := e.spool.Totals()
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	counter(e.emitted, t.Emitted)
	counter(e.acknowledged, t.Acknowledged)
	for _, why := range []Reason{ReasonUncounted, ReasonFull, ReasonExpired, ReasonDamaged, ReasonRefused} {
		counter(e.lost, t.Lost[why], string(why))
	}
	counter(e.resent, t.Resent)
	counter(e.writeErrors, t.WriteErrors)
	gauge(e.spooled, float64(t.Spooled))
	gauge(e.bytes, float64(t.Bytes))
	gauge(e.memory, float64(t.MemoryBytes))
	gauge(e.underWay, float64(t.UnderWay))
	gauge(e.age, t.Age.Seconds())
}
