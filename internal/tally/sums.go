package tally

import (
	"fmt"
	"time"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/batchcheck"
)

// Watched is what a rollout watches of a metric.
type Watched struct {
	// Happened: whether something did. Values: numbers, and durations in seconds. Outcomes: of
	// a model.
	Happened, Values, Outcomes bool
	// Observations: what happened is a share of the observations, not of the exposures.
	Observations bool
	// Sketch: a quantile of the values.
	Sketch bool
}

// Watches tells whether a rollout watches the metric.
func (t *Tally) Watches(metric string) bool { return len(t.view.Load().byMetric[metric]) > 0 }

// Sum counts what somebody has added up of a metric for those who were served a variant, and
// of whom nothing else is known: no subject is told from another. cell makes it for each
// rollout that watches the metric and has the variant, or says why it cannot; it is checked as
// if a stranger had made it. problem says what was wrong; empty: nothing was, even if no
// rollout is concerned.
func (t *Tally) Sum(x *telemetryv1.Exposure, metric string, now time.Time, cell func(Watched) (c *telemetryv1.MetricCell, problem string)) (problem string) {
	v := t.view.Load()
	f := v.env.Flag(x.GetFlagKey())
	switch {
	case f == nil:
		return fmt.Sprintf("there is no flag %.64q in this environment", x.GetFlagKey())
	case f.Variant(x.GetVariant()) == nil:
		return fmt.Sprintf("flag %q has no variant %.64q", x.GetFlagKey(), x.GetVariant())
	}
	for _, w := range v.byMetric[metric] {
		if w.course.plan.flagKey != x.GetFlagKey() {
			continue
		}
		a := w.course.attributeVariant(x.GetVariant(), time.Time{}, now)
		if a.verdict != belongs {
			continue
		}
		c, why := cell(w.course.plan.metrics[w.metric].watched())
		if why == "" {
			why = t.sum(&w, a, c)
		}
		if why != "" {
			problem = fmt.Sprintf("rollout %q: %s", w.course.plan.key, why)
		}
	}
	return problem
}

func (t *Tally) sum(w *watcher, a attribution, c *telemetryv1.MetricCell) (problem string) {
	err := checkCounts(c)
	if err == nil {
		err = w.course.plan.check(w.metric, c)
	}
	if err == nil {
		err = t.reserve(batchcheck.Observations(c), 0)
	}
	if err != nil {
		return err.Error()
	}
	s := w.course.rollout.open(w.course, a.step)
	if s == nil {
		t.lose(Late, batchcheck.Observations(c))
		return ""
	}
	defer s.mu.Unlock()
	if !s.mergeMetric(t, w.metric, a.arm, c) {
		t.lose(Overflow, batchcheck.Observations(c))
	}
	return ""
}

func (m *metric) watched() Watched {
	return Watched{
		Happened: m.kinds&kindHappened != 0, Values: m.kinds&kindValue != 0, Outcomes: m.kinds&kindOutcome != 0,
		Observations: m.observations, Sketch: m.sketch,
	}
}
