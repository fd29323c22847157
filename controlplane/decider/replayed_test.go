package decider

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// replay sends batches again that were acknowledged: as they were, and as if all of their
// subjects had been in trouble.
func (r *relay) replay(batches []*telemetryv1.Batch) {
	for _, b := range batches {
		worse := proto.CloneOf(b)
		for _, w := range worse.GetWindows() {
			for _, c := range w.GetCells() {
				for _, m := range c.GetMetrics() {
					if c.GetArm() == telemetryv1.Arm_ARM_TREATMENT {
						m.Count, m.Events = c.GetExposures(), c.GetExposures()
					}
				}
			}
		}
		for _, again := range []*telemetryv1.Batch{b, worse} {
			select {
			case r.stream.in <- &telemetryv1.PushRequest{Batch: again}:
			case <-r.stream.ctx.Done():
				return
			}
		}
	}
}

// once adds up the events and exposures of batches.
func once(batches []*telemetryv1.Batch) (events, exposures uint64) {
	for _, b := range batches {
		for _, w := range b.GetWindows() {
			for _, c := range w.GetCells() {
				exposures += c.GetExposures()
				events += c.GetMetrics()[0].GetEvents()
			}
		}
	}
	return events, exposures
}

// TestReplayedBatchesNeverMoveADecision: what is sent again, changed or not, is not counted again.
// What is good advances, and what is bad is shut, on no more than what happened.
func TestReplayedBatchesNeverMoveADecision(t *testing.T) {
	for name, one := range map[string]struct {
		treated float64
		want    []string
	}{
		"good": {0.01, []string{"advance 2000"}},
		"bad":  {0.2, []string{"rollback 0"}},
	} {
		inBubble(t, 2, func(c *cluster) {
			c.world.treated = one.treated
			c.start(canary("r", "f", 500, 2000, 10_000))
			var sent []*telemetryv1.Batch
			for range 25 {
				time.Sleep(time.Second)
				v := c.rollout("r")
				for _, r := range c.relays {
					r.count(v)
					sent = append(sent, r.spool[len(r.spool)-1])
				}
				for _, r := range c.relays {
					r.push()
				}
				time.Sleep(time.Second / 4) // it is committed, and acknowledged
				for _, r := range c.relays {
					r.replay(slices.DeleteFunc(slices.Clone(sent), func(b *telemetryv1.Batch) bool { return b.GetSender().GetInstanceId() != r.id }))
				}
			}
			if got := verdicts(moves(c.decisions("r"))); !slices.Equal(got, one.want) {
				t.Errorf("%s: %q, want %q", name, got, one.want)
			}
			events, exposures := once(sent)
			var counted rolloutv1.Counts
			for _, s := range c.evidence("r").GetGuardrails()[0].GetSteps() {
				counted.TreatmentEvents += s.GetCounts().GetTreatmentEvents() + s.GetCounts().GetControlEvents()
				counted.TreatmentExposures += s.GetCounts().GetTreatmentExposures() + s.GetCounts().GetControlExposures()
			}
			if e, n := counted.GetTreatmentEvents(), counted.GetTreatmentExposures(); e > events || n > exposures || n == 0 {
				t.Errorf("%s: %d events of %d exposures are counted, %d of %d were sent", name, e, n, events, exposures)
			}
		})
	}
}
