package clientsdk

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/clientsdk/internal/telemetry"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// startTracking makes what sends observations; it sends nothing before there is one.
func (c *remote) startTracking(key *presenter) error {
	c.tracking = tracking{observed: c.cfg.observeTracked}
	if c.cfg.noTelemetry {
		return nil
	}
	courier, err := telemetry.NewLink(telemetry.LinkOptions{Addresses: c.cfg.addresses, Dial: c.cfg.dialTelemetry(key)})
	if err != nil {
		return err
	}
	c.courier = courier
	c.tracker = telemetry.NewTracker(telemetry.TrackerOptions{
		Environment: c.cfg.environment,
		InstanceID:  randomInstanceID(),
		MaxEvents:   trackedEvents,
		MaxBytes:    trackedBytes,
		Every:       trackEvery,
		Courier:     courier,
		Logger:      c.cfg.logger,
	})
	c.sink = relayed{c.tracker}
	return nil
}

// stopTracking sends the rest, for a moment.
func (c *remote) stopTracking() error {
	if c.tracker == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	c.tracker.Close(ctx)
	return c.courier.Close()
}

// relayed sends each observation to a relay.
type relayed struct{ tracker *telemetry.Tracker }

func (r relayed) track(t *Tracked) {
	e := &telemetryv1.Event{Observations: []*telemetryv1.Observation{t.observation()}}
	if x := t.exposure(); x != nil {
		e.Exposure = x
	} else if e.Context = t.Context.forWire(); e.Context == nil {
		e.Context = &evaluationv1.EvaluationContext{}
	}
	if !t.ExposedAt.IsZero() {
		e.ExposedAt = timestamppb.New(t.ExposedAt)
	}
	r.tracker.Track(e)
}

func (r relayed) refuse(problem string)           { r.tracker.Refuse(problem) }
func (r relayed) stats() TelemetryStats           { return r.tracker.Stats() }
func (r relayed) flush(ctx context.Context) error { return r.tracker.Flush(ctx) }
