package clientsdk

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/tidegate/tidegate/clientsdk/internal/telemetry"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/rpc/dial"
	"github.com/tidegate/tidegate/internal/tally"
)

// Bounds of telemetry.
const (
	// trackedEvents and trackedBytes are what of a remote client may wait for a relay.
	trackedEvents = 10_000
	trackedBytes  = 4 << 20
	trackEvery    = time.Second
	// countedBytes bounds what an in-process client knows of subjects.
	countedBytes = 16 << 20
	// closeTimeout is how long Close tries to send what was counted.
	closeTimeout = time.Second
)

// counted adds up in the process.
type counted struct {
	local    *local
	closed   <-chan struct{}
	reporter *telemetry.Reporter
	courier  telemetry.Courier
}

func (c *counted) track(t *Tracked) {
	if isClosed(c.closed) {
		c.reporter.Unsent(1)
		return
	}
	e := tally.Event{
		Exposure: t.exposure(), ExposedAt: t.ExposedAt,
		Observations: []*telemetryv1.Observation{t.observation()},
	}
	if e.Exposure == nil {
		own := *t.Context.forEval()
		own.Region, own.Now = c.local.region, c.local.clock().Unix()
		e.Context = &own
	}
	if _, refusals := c.local.tally.Observe(&e, time.Now()); len(refusals) > 0 {
		c.reporter.Refuse(len(refusals), refusals[0].GetMessage())
	}
}

func (c *counted) refuse(problem string)           { c.reporter.Refuse(1, problem) }
func (c *counted) stats() TelemetryStats           { return c.reporter.Stats() }
func (c *counted) flush(ctx context.Context) error { return c.reporter.Flush(ctx) }

// close sends the rest, for a moment.
func (c *counted) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	c.reporter.Close(ctx)
	return c.courier.Close()
}

// startCounting starts the reports of a tally.
func (c *inProcess) startCounting(cfg inProcessConfig, instanceID string) error {
	courier, err := telemetry.NewLink(telemetry.LinkOptions{
		Addresses: cfg.addresses,
		Dial:      cfg.dialTelemetry(cfg.newPresenter()),
		Prefer:    func() string { return c.follower.State().Upstream },
	})
	if err != nil {
		return err
	}
	reporter := telemetry.NewReporter(telemetry.ReporterOptions{
		Environment: cfg.environment,
		InstanceID:  instanceID,
		Tally:       c.local.tally,
		Rollouts:    c.local.view.rollouts,
		Tripped:     c.local.view.tripped,
		Courier:     courier,
		Logger:      cfg.logger,
	})
	c.local.view.onRollouts(reporter.Wake)
	c.counted = &counted{local: &c.local, closed: c.closed, reporter: reporter, courier: courier}
	c.sink = c.counted
	return nil
}

// tally makes what counts; nil without telemetry.
func (c *config) tally() (*tally.Tally, error) {
	if c.noTelemetry {
		return nil, nil
	}
	return tally.New(tally.Options{
		Environment: c.environment, MemoryBytes: countedBytes, EvaluationsEvery: telemetry.EvaluationsEvery, Reported: true,
	})
}

// dialTelemetry returns what makes a connection of its own to one relay: whether a message got
// there must be known.
func (c *config) dialTelemetry(key *presenter) func(address string) (*grpc.ClientConn, error) {
	return func(address string) (*grpc.ClientConn, error) {
		options := append(dial.Options(), key.dialOption()...)
		return grpc.NewClient("dns:///"+address, append(options, c.dial()...)...)
	}
}
