package relay

import (
	"context"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/batchcheck"
)

// collected takes telemetry, each batch once, as the control plane does.
type collected struct {
	telemetryv1.UnimplementedCollectorServiceServer
	mu      sync.Mutex
	away    bool // nobody collects at the moment
	batches []*telemetryv1.Batch
	marks   map[senderKey]uint64
	tallies map[senderKey]*telemetryv1.Tally
}

func (c *collected) Push(stream grpc.BidiStreamingServer[telemetryv1.PushRequest, telemetryv1.PushResponse]) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return nil //nolint:nilerr // the relay is gone
		}
		if !c.take(r.GetBatch()) {
			return status.Error(codes.Unavailable, "nobody collects")
		}
		if err := stream.Send(&telemetryv1.PushResponse{Acknowledged: r.GetBatch().GetSender()}); err != nil {
			return err
		}
	}
}

func (c *collected) take(b *telemetryv1.Batch) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return false
	}
	if c.marks == nil {
		c.marks, c.tallies = map[senderKey]uint64{}, map[senderKey]*telemetryv1.Tally{}
	}
	key := keyOf(b.GetSender())
	if b.GetSender().GetSequence() <= c.marks[key] {
		return true
	}
	c.marks[key], c.tallies[key] = b.GetSender().GetSequence(), b.GetTally()
	c.batches = append(c.batches, proto.CloneOf(b))
	return true
}

func (c *collected) setAway(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
}

// sums adds up what was collected of a rollout.
type sums struct{ exposures, treated, count, events uint64 }

func (c *collected) sums() (s sums) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.batches {
		for _, w := range b.GetWindows() {
			for _, cell := range w.GetCells() {
				s.exposures += cell.GetExposures()
				if cell.GetArm() == telemetryv1.Arm_ARM_TREATMENT {
					s.treated += cell.GetExposures()
				}
				for _, m := range cell.GetMetrics() {
					s.count += m.GetCount()
					s.events += m.GetEvents()
				}
			}
		}
	}
	return s
}

// check checks that every sender's account is closed: emitted = counted + lost.
func (c *collected) check(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	counted := map[senderKey]uint64{}
	for _, b := range c.batches {
		var n uint64
		for _, w := range b.GetWindows() {
			for _, cell := range w.GetCells() {
				n += batchcheck.Contributions(cell)
			}
		}
		if n != b.GetTally().GetCounted() {
			t.Errorf("batch %v counts %d, and holds %d", b.GetSender(), b.GetTally().GetCounted(), n)
		}
		counted[keyOf(b.GetSender())] += n
	}
	for key, a := range c.tallies {
		if a.GetEmitted() != counted[key]+a.GetLost() {
			t.Errorf("%v: emitted %d, counted %d, lost %d", key, a.GetEmitted(), counted[key], a.GetLost())
		}
	}
}

// trips are those told, in order.
func (c *collected) trips() (list []*telemetryv1.Trip) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.batches {
		list = append(list, b.GetTrips()...)
	}
	return list
}

// rollingFlag serves on to so many of 10,000, off to the rest.
func rollingFlag(key string, weight uint32) *flagv1.Flag {
	f := boolFlag(key)
	f.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
		Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: weight}, {Variant: "off", Weight: 10_000 - weight}},
	}}}
	return f
}

// rolloutAt is a rollout of the flag, whose newest step has the weight.
func rolloutAt(flag string, step uint64, weight uint32) *rolloutv1.Rollout {
	began := timestamppb.New(time.Now().Add(-time.Hour))
	r := &rolloutv1.Rollout{
		Key: flag + "-rollout", FlagKey: flag, Control: "off", Treatment: "on",
		Stages: []*rolloutv1.Stage{{Weight: 10_000}}, Unit: rolloutv1.Unit_UNIT_REQUEST,
		Guardrails: []*rolloutv1.Guardrail{
			{
				Name: "errors", Metric: "errors", Statistic: rolloutv1.Statistic_STATISTIC_RATE,
				Margin: &rolloutv1.Margin{Unit: &rolloutv1.Margin_Relative{Relative: 0.05}},
			},
			{
				Name: "latency", Metric: "latency", Statistic: rolloutv1.Statistic_STATISTIC_QUANTILE, Quantile: 0.9,
				Margin: &rolloutv1.Margin{Unit: &rolloutv1.Margin_Relative{Relative: 0.05}},
			},
		},
		Status: &rolloutv1.Status{State: rolloutv1.State_STATE_RUNNING, Weight: weight, Step: step, StartedAt: began, Relays: 1},
	}
	r.Stages[0].MinDwell = durationOf(time.Minute)
	for i := range step {
		s := &rolloutv1.Step{Step: i + 1, Weight: 100 * uint32(i+1), BeganAt: began}
		if i+1 == step {
			s.Weight = weight
		}
		r.Status.Steps = append(r.Status.Steps, s)
	}
	return r
}

func failed() []*telemetryv1.Observation {
	return []*telemetryv1.Observation{{Metric: "errors", Value: &telemetryv1.Observation_Happened{Happened: true}}}
}

func track(ctx context.Context, conn grpc.ClientConnInterface, r *telemetryv1.TrackRequest) (*telemetryv1.TrackResponse, error) {
	return telemetryv1.NewTelemetryServiceClient(conn).Track(ctx, r)
}
