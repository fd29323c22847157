package decider

import (
	"math"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/store"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/judge"
)

// announce has people told of a decision, and of the trips that it is about.
func (d *Decider) announce(s *subject, p *controlplane.PlannedVerdict) []store.Op {
	if d.o.Notifier == nil {
		return nil
	}
	event := notify.Decided(s.Rollout, p.Decision)
	for _, g := range p.Decision.GetAssessment().GetGuardrails() {
		event.Evidence = append(event.Evidence, evidenceOf(g))
	}
	ops := d.o.Notifier.Ops(event)
	told := make(map[string]bool)
	for _, t := range s.trips {
		if told[t.Relay] || len(told) == maxTripsTold {
			continue
		}
		told[t.Relay] = true
		tripped := notify.Decided(s.Rollout, p.Decision)
		tripped.Kind, tripped.Relay, tripped.Time = notify.Tripped, t.Relay, t.GetTime().AsTime()
		tripped.Deciding, tripped.Headline = t.GetGuardrail(), "Relay "+t.Relay+", cut off, has served the control by itself"
		ops = append(ops, d.o.Notifier.Ops(tripped)...)
	}
	return ops
}

// maxTripsTold is of how many relays' trips people are told with one decision.
const maxTripsTold = 2

func evidenceOf(g *rolloutv1.GuardrailAssessment) notify.Evidence {
	c := g.GetCounts()
	return notify.Evidence{
		Guardrail: g.GetName(), State: stateOf(g.GetStanding()), Summary: judge.Summary(g),
		LogEvidence: number(g.LogE), LogNeeded: notify.Number(g.GetLogThreshold()),
		Estimate: number(g.Estimate), Lower: number(g.Lower), Upper: number(g.Upper),
		Treatment: notify.Count{Events: c.GetTreatmentEvents(), Units: c.GetTreatmentExposures()},
		Control:   notify.Count{Events: c.GetControlEvents(), Units: c.GetControlExposures()},
	}
}

func stateOf(s rolloutv1.Standing) string {
	switch s {
	case rolloutv1.Standing_STANDING_UNPROVEN:
		return "unproven"
	case rolloutv1.Standing_STANDING_SAFE:
		return "safe"
	case rolloutv1.Standing_STANDING_BREACH:
		return "breach"
	}
	return "no data"
}

// number is NaN where nothing is known.
func number(x *float64) notify.Number {
	if x == nil {
		return notify.Number(math.NaN())
	}
	return notify.Number(*x)
}
