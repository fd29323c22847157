package judge

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// EdgeBreaker judges what one relay counted by itself, so that it can shut a rollout while it
// is cut off. It has the control plane's breakers, without gates or a policy.
//
// The relays share a tenth of each guardrail's part of the budget, which the control plane
// leaves to them. With R relays when the step began, one of them trips at R times the e-value
// at which one relay alone would, so however many are cut off, the probability that any trips
// falsely keeps within that tenth. Each step has its own e-process, which begins at 1/(k(k+1))
// in the k-th: a relay that meets a rollout in its middle needs nothing of what was before. One
// that restarts begins its step again, and may spend the step's part once more.
//
// It is for one relay's windows, which are never merged with another's. It has one owner.
type EdgeBreaker struct {
	state  *State
	status *rolloutv1.Status
}

// NewEdgeBreaker returns a breaker that follows nothing yet.
func (p *Plan) NewEdgeBreaker() *EdgeBreaker { return &EdgeBreaker{state: p.NewState()} }

// Follow tells the breaker the rollout's status. What was counted at another step is forgotten.
// The status is kept.
func (b *EdgeBreaker) Follow(status *rolloutv1.Status) {
	if b.status.GetStep() != status.GetStep() {
		b.state = b.state.plan.NewState()
		b.state.begin(status, min(int(status.GetStage()), len(b.state.plan.stages)-1))
	}
	b.status = status
}

// Observe takes in the relay's windows and returns the trip that they make, nil if they make
// none. It is to be called always, and its trip to be heeded while the relay is cut off.
func (b *EdgeBreaker) Observe(windows []*telemetryv1.Window, now time.Time) *telemetryv1.Trip {
	b.state.count(b.status, windows, now)
	if b.status.GetWeight() == 0 || b.status.GetState() != rolloutv1.State_STATE_RUNNING && b.status.GetState() != rolloutv1.State_STATE_PAUSED {
		return nil
	}
	relays := float64(max(b.status.GetRelays(), 1))
	stake := logStake(b.status.GetStep())
	for i, g := range b.state.plan.guards {
		if !g.shuts() || g.edgeLogThreshold == 0 || g.kind == kindScore {
			continue
		}
		s := &b.state.guards[i]
		threshold := g.edgeLogThreshold + guardrail.LogThreshold(1/relays)
		logE, worst := s.harm(g, stakes{steady: stake, onset: stake})
		if logE < threshold {
			continue
		}
		c := s.segments[worst].counts
		return &telemetryv1.Trip{
			Rollout: b.state.plan.key, Step: b.status.GetStep(), Guardrail: g.name, Time: timestamppb.New(now),
			LogE: logE, LogThreshold: threshold,
			TreatmentEvents: uint64(c.EventsT), ControlEvents: uint64(c.EventsC),
			TreatmentExposures: uint64(c.ExposuresT), ControlExposures: uint64(c.ExposuresC),
		}
	}
	return nil
}
