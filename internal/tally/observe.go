package tally

import (
	"fmt"
	"time"

	"github.com/tidegate/tidegate/eval"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// Event is what was observed of one subject, or of one variant, at one time; see
// telemetryv1.Event.
type Event struct {
	// Context is the subject's, as the flag was evaluated with it; nil: Exposure instead.
	Context      *eval.Context
	Exposure     *telemetryv1.Exposure
	ExposedAt    time.Time // zero: just now
	Observations []*telemetryv1.Observation
	// Sees tells which flags are there for who tells; nil: all.
	Sees func(*eval.Flag) bool
}

// flag finds one that is there for who tells.
func (e *Event) flag(env *eval.Environment, key string) *eval.Flag {
	f := env.Flag(key)
	if f != nil && e.Sees != nil && !e.Sees(f) {
		return nil
	}
	return f
}

// Bounds of events.
const (
	maxObservations = 64
	maxAhead        = time.Minute         // of exposed_at before now
	maxAge          = 30 * 24 * time.Hour // of exposed_at
	period          = 10                  // seconds in which a subject's observation counts once
	eventPeriod     = 600                 // seconds in which its event does
)

// Observe counts what was observed at the moment now. It returns how many observations were
// taken, those that no rollout watches included, and what is wrong with the others, with the
// event's index in Refusal.Event left at 0. Observations that are refused change nothing.
func (t *Tally) Observe(e *Event, now time.Time) (taken uint32, refusals []*telemetryv1.Refusal) {
	v := t.view.Load()
	refuse := func(observation int, problem string) {
		refusals = append(refusals, &telemetryv1.Refusal{Observation: uint32(observation), Message: problem})
	}
	if problem := v.problemOf(e, now); problem != "" {
		for i := range max(len(e.Observations), 1) {
			refuse(i, problem)
		}
		return 0, refusals
	}
	in := intake{tally: t, view: v, event: e, now: now}
	for i, o := range e.Observations {
		if problem := in.take(o); problem != "" {
			refuse(i, problem)
		} else {
			taken++
		}
	}
	return taken, refusals
}

// problemOf says what is wrong with an event as a whole; empty: nothing.
func (v *view) problemOf(e *Event, now time.Time) string {
	switch {
	case len(e.Observations) == 0:
		return "the event has no observations; give at least one"
	case len(e.Observations) > maxObservations:
		return fmt.Sprintf("the event has %d observations; at most %d", len(e.Observations), maxObservations)
	case e.Context == nil && e.Exposure == nil:
		return "the event has neither context nor exposure; give the context that the flag was evaluated with"
	case e.Context != nil && e.Exposure != nil:
		return "the event has both context and exposure; give one of them"
	}
	if at := e.ExposedAt; !at.IsZero() {
		switch {
		case at.After(now.Add(maxAhead)):
			return fmt.Sprintf("exposed_at is %s, which is %s ahead of this clock; it is when the subject was served", at.UTC().Format(time.RFC3339), at.Sub(now).Round(time.Second))
		case at.Before(now.Add(-maxAge)):
			return fmt.Sprintf("exposed_at is %s; at most 30 days ago", at.UTC().Format(time.RFC3339))
		}
	}
	if e.Exposure != nil {
		f := e.flag(v.env, e.Exposure.GetFlagKey())
		switch {
		case f == nil:
			return fmt.Sprintf("exposure.flag_key: there is no flag %.64q in this environment", e.Exposure.GetFlagKey())
		case f.Variant(e.Exposure.GetVariant()) == nil:
			return fmt.Sprintf("exposure.variant: flag %q has no variant %.64q", e.Exposure.GetFlagKey(), e.Exposure.GetVariant())
		}
	}
	return ""
}

// intake takes the observations of one event. It remembers what the event is attributed to:
// several observations mostly concern the same few rollouts.
type intake struct {
	tally *Tally
	view  *view
	event *Event
	now   time.Time

	known [4]attributed
	count int
}

type attributed struct {
	course      *course
	attribution attribution
}

// take counts an observation for all rollouts that watch it, and says what is wrong with it;
// empty: nothing.
func (in *intake) take(o *telemetryv1.Observation) string {
	seen, problem := observationOf(o)
	if problem != "" {
		return problem
	}
	only := o.GetFlagKey()
	if in.event.Exposure != nil {
		if only != "" && only != in.event.Exposure.GetFlagKey() {
			return fmt.Sprintf("flag_key is %.64q, but the exposure is of flag %q", only, in.event.Exposure.GetFlagKey())
		}
		only = in.event.Exposure.GetFlagKey()
	} else if only != "" && in.event.flag(in.view.env, only) == nil {
		return fmt.Sprintf("flag_key: there is no flag %.64q in this environment", only)
	}
	watchers := in.view.byMetric[o.GetMetric()]
	fits := false
	for i := range watchers {
		w := &watchers[i]
		if only != "" && w.course.plan.flagKey != only || in.event.flag(in.view.env, w.course.plan.flagKey) == nil {
			continue
		}
		if m := &w.course.plan.metrics[w.metric]; m.kinds&seen.kind != 0 {
			fits = true
			in.add(w, &seen)
		} else if problem == "" {
			problem = fmt.Sprintf("metric %q: the rollout %q watches %s of it, this is %s", m.name, w.course.plan.key, m.kinds, seen.kind)
		}
	}
	if fits {
		return ""
	}
	return problem
}

// attribution returns what the event is attributed to in a rollout.
func (in *intake) attribution(c *course) attribution {
	for i := range in.count {
		if in.known[i].course == c {
			return in.known[i].attribution
		}
	}
	var a attribution
	if x := in.event.Exposure; x != nil {
		a = c.attributeVariant(x.GetVariant(), in.event.ExposedAt, in.now)
	} else {
		a = c.attribute(in.tally, in.view.env, in.event.Context, in.event.ExposedAt, in.now)
	}
	if in.count < len(in.known) {
		in.known[in.count] = attributed{c, a}
		in.count++
	}
	return a
}

// add counts an observation for one rollout.
func (in *intake) add(w *watcher, o *observed) {
	a := in.attribution(w.course)
	switch a.verdict {
	case outside:
		return
	case forgotten:
		in.tally.lose(Late, 1)
		return
	}
	s := w.course.rollout.open(w.course, a.step)
	if s == nil {
		in.tally.lose(Late, 1)
		return
	}
	defer s.mu.Unlock()
	if !s.open(in.tally) {
		in.tally.lose(Overflow, 1)
		return
	}
	if a.bySubject && !w.course.plan.byRequest {
		first, ok := in.first(s, w.metric, a, o)
		switch {
		case !ok:
			in.tally.lose(Overflow, 1)
			return
		case !first:
			in.tally.folded.Add(1)
			return
		}
	}
	in.addTo(s, w.metric, a, o)
}

// first tells whether an observation is the first of its subject and metric in its period, and
// an event the first event of them in a longer one: a subject in trouble stays in trouble for a
// while, and is one piece of evidence. ok is false if there is no memory to tell.
func (in *intake) first(s *step, m int, a attribution, o *observed) (first, ok bool) {
	first, ok = s.first(in.tally, m, false, in.distinct(a, o, period), in.now.Unix()/period)
	if first && o.event {
		first, ok = s.first(in.tally, m, true, in.distinct(a, o, eventPeriod), in.now.Unix()/eventPeriod)
	}
	return first, ok
}

// distinct is the hash by which a subject's observations in one period are one: those that
// were made of what it was served in one period, for labels that come long after; and of
// model outcomes the prediction and its truth each for itself.
func (in *intake) distinct(a attribution, o *observed, period int64) uint32 {
	with := uint32(a.verdict) << 1
	if o.known {
		with |= 1
	}
	if !in.event.ExposedAt.IsZero() {
		with ^= uint32(in.event.ExposedAt.Unix()/period) << 3
	}
	return mix(a.hash, with)
}

// addTo counts an observation in a step's cells; its mu is held.
func (in *intake) addTo(s *step, m int, a attribution, o *observed) {
	c := &s.cells[m*int(arms)+int(a.arm)]
	if a.verdict == ambiguous {
		c.ambiguous++
		in.tally.lose(Ambiguous, 1)
		return
	}
	metric := &s.plan.metrics[m]
	if !s.add(in.tally, c, metric, o) {
		in.tally.lose(Overflow, 1)
		return
	}
	if metric.dimension < 0 {
		return
	}
	if segment, ok := s.plan.dimensions[metric.dimension].segment(in.event.Context); ok {
		if c := s.segmentCell(in.tally, m, segment, a.arm); c != nil {
			s.add(in.tally, c, metric, o)
		}
	}
}

// open returns a step's counters, locked; nil if the rollout is over. A step that was over
// before anything was counted gets some for a while.
func (r *rollout) open(c *course, number uint64) *step {
	if s := c.current; s != nil && s.number == number {
		s.mu.Lock()
		if !s.closed {
			return s
		}
		s.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	s := r.steps[number]
	if s == nil {
		s = &step{plan: r.plan, number: number}
		r.steps[number] = s
	}
	s.mu.Lock()
	return s
}
