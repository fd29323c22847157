package relay

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	flagdsyncv1 "github.com/tidegate/tidegate/gen/go/flagd/sync/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/statefile"
)

const (
	// keepEvery is how often health follows readiness.
	keepEvery = time.Second
	// confirmEvery is how often the time of the last confirmation is written down; after
	// a restart the age is too high by at most this.
	confirmEvery = 10 * time.Second
)

// openState opens the state directory. One that cannot be used does not stop the relay,
// which can get everything from its origin; one that another process uses does: that is a
// mistake in the configuration.
func (r *Relay) openState(dir string) error {
	if dir == "" {
		r.logger.Info().Msg("no state directory: after a restart this relay needs its upstream, or files without a mistake, to answer")
		r.ensureInstanceID(nil)
		return nil
	}
	state, err := statefile.Open(dir, r.logger)
	if errors.Is(err, statefile.ErrLocked) {
		return err
	}
	if err != nil {
		r.stateUnusable = true
		r.logger.Error().Err(err).Msg("the state directory cannot be used: state is kept in memory only")
		r.ensureInstanceID(nil)
		return nil
	}
	r.state = state
	r.ensureInstanceID(state)
	return nil
}

// restoreState serves from disk what is there.
func (r *Relay) restoreState() {
	if r.state == nil {
		return
	}
	for _, e := range r.evaluation.environments {
		r.restore(e)
	}
}

func (r *Relay) ensureInstanceID(state *statefile.Dir) {
	if r.instanceID != "" {
		return
	}
	if state != nil {
		id, err := state.InstanceID()
		if err == nil {
			r.instanceID = id
			return
		}
		r.logger.Error().Err(err).Msg("the instance id cannot be kept: a new one is used")
	}
	r.instanceID = uuid.NewString()
}

// restore serves an environment from disk until an upstream is there.
func (r *Relay) restore(e *environment) {
	s, confirmed, err := r.state.Load(e.name)
	if err != nil {
		r.logger.Error().Err(err).Str("environment", e.name).Msg("the state cannot be loaded")
		return
	}
	if s == nil {
		r.logger.Info().Str("environment", e.name).Msg("no state on disk")
		return
	}
	age := statefile.Age(confirmed, fault.Now())
	r.replicas.Replica(e.name).Restore(s, age)
	r.logger.Info().Str("environment", e.name).Int64("revision", s.Cursor().Revision).
		Int("flags", s.Eval().FlagCount()).Stringer("age", age.Round(time.Millisecond)).Msg("state loaded from disk")
}

// keep lets health follow readiness, and writes down now and then how fresh the
// snapshots are, until ctx ends.
func (r *Relay) keep(ctx context.Context) {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	first, loading := r.firstSnapshot(), true
	for confirm := time.Now().Add(confirmEvery); ; {
		r.updateHealth()
		r.letGo()
		if first == nil && loading {
			// Loading everything leaves more garbage than a relay makes in a day.
			loading = false
			debug.FreeOSMemory()
			if r.loaded != nil {
				r.loaded()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-first:
			first = r.firstSnapshot()
		case <-ticker.C:
		}
		if now := time.Now(); now.After(confirm) {
			r.confirmState()
			confirm = now.Add(confirmEvery)
		}
	}
}

// letGo drops what was derived from snapshots that may not be held any more.
func (r *Relay) letGo() {
	for _, e := range r.evaluation.environments {
		if e.replica.Purged() {
			e.flagd.release()
		}
	}
}

// firstSnapshot is closed when an environment that has no snapshot gets one; nil if all
// have.
func (r *Relay) firstSnapshot() <-chan struct{} {
	for _, e := range r.evaluation.environments {
		if e.replica.Snapshot() == nil {
			return e.replica.Ready()
		}
	}
	return nil
}

// evaluating are the services that serve as long as there is something to serve.
var evaluating = []string{
	"", // the relay
	evaluationv1.EvaluationService_ServiceDesc.ServiceName,
	flagdv1.Service_ServiceDesc.ServiceName,
	flagdv2.Service_ServiceDesc.ServiceName,
	flagdsyncv1.FlagSyncService_ServiceDesc.ServiceName,
	telemetryv1.TelemetryService_ServiceDesc.ServiceName,
	collectorv1.MetricsService_ServiceDesc.ServiceName,
}

// updateHealth sets the gRPC health of the relay and of its services that evaluate. It
// does nothing once the relay drains.
func (r *Relay) updateHealth() {
	health := healthv1.HealthCheckResponse_NOT_SERVING
	if r.readiness().Ready {
		health = healthv1.HealthCheckResponse_SERVING
	}
	for _, service := range evaluating {
		r.server.Health.SetServingStatus(service, health)
	}
}

// confirmState writes down when the snapshots were last known to be current.
func (r *Relay) confirmState() {
	if r.state == nil {
		return
	}
	for _, e := range r.evaluation.environments {
		followed := r.replicas.Replica(e.name)
		if s := followed.Snapshot(); s != nil {
			// What fails is logged, counted and tried again where it is written.
			_ = r.state.Confirm(s, fault.Now().Add(-followed.Age()))
		}
	}
}
