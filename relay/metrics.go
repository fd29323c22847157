package relay

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tidegate/tidegate/internal/tally"
)

var (
	evaluationsDesc = prometheus.NewDesc("tidegate_relay_evaluations_total",
		"Answers given, by environment and reason.", []string{"environment", "reason"}, nil)
	revisionDesc = prometheus.NewDesc("tidegate_relay_snapshot_revision",
		"Revision of the snapshot that answers.", []string{"environment"}, nil)
	ageDesc = prometheus.NewDesc("tidegate_relay_snapshot_age_seconds",
		"Time since the snapshot was last confirmed to be the store's current state.", []string{"environment"}, nil)
	itemsDesc = prometheus.NewDesc("tidegate_relay_snapshot_items",
		"Flags and segments in the snapshot.", []string{"environment", "kind"}, nil)
	bytesDesc = prometheus.NewDesc("tidegate_relay_snapshot_bytes",
		"Encoded size of the snapshot's items.", []string{"environment"}, nil)
	rejectedDesc = prometheus.NewDesc("tidegate_relay_snapshot_rejected_items",
		"Items of the snapshot that cannot be used; their last usable version is in force.", []string{"environment"}, nil)
	sampleBytesDesc = prometheus.NewDesc("tidegate_relay_preview_memory_bytes",
		"Memory of the samples of subjects, from which it is told what a change would do.", nil, nil)
	sampleRefusedDesc = prometheus.NewDesc("tidegate_relay_preview_refused_total",
		"Subjects and flags that there was no memory for in the samples, which got smaller.", nil, nil)
	readyDesc = prometheus.NewDesc("tidegate_relay_ready",
		"1 if every environment has a snapshot that is fresh enough.", nil, nil)
	streamsDesc = prometheus.NewDesc("tidegate_relay_open_streams",
		"Open streams of flagd's and OFREP's protocols.", []string{"environment", "stream"}, nil)
	ofrepDesc = prometheus.NewDesc("tidegate_relay_ofrep_requests_total",
		"OFREP requests answered, by status.", []string{"code"}, nil)
	omittedDesc = prometheus.NewDesc("tidegate_relay_flagd_omitted_flags",
		"Flags that have no form in flagd: its in-process providers do not get them. 0 until one asks.", []string{"environment"}, nil)
	countedDesc = prometheus.NewDesc("tidegate_relay_telemetry_counted_events_total",
		"Exposures and observations that were counted, and are in a batch: those of tidegate_spool_*.", []string{"environment"}, nil)
	lostDesc = prometheus.NewDesc("tidegate_relay_telemetry_lost_events_total",
		"Exposures and observations that could not be counted, by reason. They are declared upstream.", []string{"environment", "reason"}, nil)
	foldedDesc = prometheus.NewDesc("tidegate_relay_telemetry_folded_observations_total",
		"Observations of subjects of which one was counted in the same 10 s already.", []string{"environment"}, nil)
	tallyBytesDesc = prometheus.NewDesc("tidegate_relay_telemetry_memory_bytes",
		"Memory of what grows with the telemetry's traffic.", []string{"environment"}, nil)
	trippedDesc = prometheus.NewDesc("tidegate_relay_tripped_rollouts",
		"Rollouts that this relay, cut off, has shut by itself.", []string{"environment"}, nil)
	refusedDesc = prometheus.NewDesc("tidegate_relay_telemetry_refused_total",
		"Observations, reports, calls and OTLP data points that were not taken, by reason.", []string{"reason"}, nil)
	stateBytesDesc = prometheus.NewDesc("tidegate_relay_state_bytes",
		"Size of the state files in use.", nil, nil)
	stateBehindDesc = prometheus.NewDesc("tidegate_relay_state_behind_environments",
		"Environments whose newest state is not on disk.", nil, nil)
	stateErrorsDesc = prometheus.NewDesc("tidegate_relay_state_write_errors_total",
		"Failed attempts to write state.", nil, nil)
	stateAsideDesc = prometheus.NewDesc("tidegate_relay_state_set_aside_total",
		"State files that were damaged and set aside.", nil, nil)
	stateRewritesDesc = prometheus.NewDesc("tidegate_relay_state_rewrites_total",
		"Snapshot files written.", nil, nil)
	stateUnusableDesc = prometheus.NewDesc("tidegate_relay_state_unusable",
		"1 if the state directory was asked for and cannot be used.", nil, nil)
)

// collector reads the relay's state when it is asked: evaluations pay for no metric.
type collector struct{ relay *Relay }

// register adds the relay's metrics to its registry. Those of the process may be there
// already, if the registry is shared.
func (r *Relay) register() error {
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		var there prometheus.AlreadyRegisteredError
		if err := r.registry.Register(c); err != nil && !errors.As(err, &there) {
			return err
		}
	}
	return r.registry.Register(collector{r})
}

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		evaluationsDesc, revisionDesc, ageDesc, itemsDesc, bytesDesc, rejectedDesc, readyDesc,
		streamsDesc, omittedDesc, ofrepDesc, sampleBytesDesc, sampleRefusedDesc,
		countedDesc, lostDesc, foldedDesc, tallyBytesDesc, trippedDesc, refusedDesc,
		stateBytesDesc, stateBehindDesc, stateErrorsDesc, stateAsideDesc, stateRewritesDesc, stateUnusableDesc,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for _, e := range c.relay.evaluation.environments {
		for i, n := range e.answers.total() {
			counter(evaluationsDesc, float64(n), e.name, string(countedReasons[i]))
		}
		for kind, name := range streamNames {
			gauge(streamsDesc, float64(e.streams[kind].Load()), e.name, name)
		}
		gauge(omittedDesc, float64(e.flagd.omissions()), e.name)
		s := e.replica.Snapshot()
		if s == nil {
			continue
		}
		gauge(revisionDesc, float64(s.Cursor().Revision), e.name)
		gauge(ageDesc, e.replica.Age().Seconds(), e.name)
		gauge(itemsDesc, float64(s.Eval().FlagCount()), e.name, "flag")
		gauge(itemsDesc, float64(s.Eval().SegmentCount()), e.name, "segment")
		gauge(bytesDesc, float64(s.Bytes()), e.name)
		gauge(rejectedDesc, float64(len(s.Rejections())), e.name)
	}
	for _, e := range c.relay.telemetry.environments {
		a := e.tally.Account()
		counter(countedDesc, float64(a.Counted), e.name)
		for _, why := range tally.Losses() {
			counter(lostDesc, float64(a.LostBy[why]), e.name, why.String())
		}
		counter(foldedDesc, float64(a.Folded), e.name)
		gauge(tallyBytesDesc, float64(a.MemoryBytes), e.name)
		gauge(trippedDesc, float64(len(e.edge.names())), e.name)
	}
	for reason := range refusalNames {
		counter(refusedDesc, float64(c.relay.telemetry.refused[reason].Load()), refusalNames[reason])
	}
	for code := range c.relay.ofrep.answered {
		if n := c.relay.ofrep.answered[code].Load(); n > 0 {
			counter(ofrepDesc, float64(n), strconv.Itoa(code))
		}
	}
	if samples := c.relay.samples; samples != nil {
		gauge(sampleBytesDesc, float64(samples.Used()))
		counter(sampleRefusedDesc, float64(samples.Refused()))
	}
	gauge(readyDesc, oneIf(c.relay.readiness().Ready))
	gauge(stateUnusableDesc, oneIf(c.relay.stateUnusable))
	if c.relay.state == nil {
		return
	}
	stats := c.relay.state.Stats()
	gauge(stateBytesDesc, float64(stats.Bytes))
	gauge(stateBehindDesc, float64(stats.Behind))
	counter(stateErrorsDesc, float64(stats.WriteErrors))
	counter(stateAsideDesc, float64(stats.SetAside))
	counter(stateRewritesDesc, float64(stats.Rewrites))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
