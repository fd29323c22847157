package relay

import (
	"context"
	"fmt"
	"net"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc/peer"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tally"
	"github.com/tidegate/tidegate/relay/otlp"
)

// metricsService takes OpenTelemetry's metrics: of the environment that the metadata names,
// as for flagd's services.
type metricsService struct {
	collectorv1.UnimplementedMetricsServiceServer
	evaluation *evaluationService
	telemetry  *telemetry
	readers    map[string]*otlp.Reader // by environment
}

func newMetricsService(s *evaluationService, t *telemetry) *metricsService {
	m := &metricsService{evaluation: s, telemetry: t, readers: map[string]*otlp.Reader{}}
	for _, e := range s.environments {
		m.readers[e.name] = otlp.NewReader()
	}
	return m
}

// Export implements the service. It answers as Track does: when what was counted is on disk.
func (s *metricsService) Export(ctx context.Context, q *collectorv1.ExportMetricsServiceRequest) (*collectorv1.ExportMetricsServiceResponse, error) {
	env, err := s.evaluation.called(ctx, "")
	if err != nil {
		return nil, err
	}
	snap, err := env.snapshot()
	if err != nil {
		return nil, err
	}
	who := credentialOf(ctx)
	right, err := who.right(env, snap, time.Now())
	if err != nil {
		return nil, err
	}
	release, err := s.telemetry.admit()
	if err != nil {
		return nil, err
	}
	defer release()
	c := s.telemetry.byName[env.name]
	var result otlp.Result
	g, err := s.telemetry.count(c, nil, func() error {
		result = s.readers[env.name].Read(q, hostOf(ctx), seenTally{c.tally, snap, right}, time.Now())
		return nil
	})
	if err != nil {
		return nil, err
	}
	if result.Counted {
		if err := g.wait(ctx); err != nil {
			return nil, fmt.Errorf("counted, and not known to be on disk: %w", err)
		}
	}
	a := &collectorv1.ExportMetricsServiceResponse{}
	if result.Rejected > 0 {
		s.telemetry.refused[refusedOTLP].Add(uint64(result.Rejected))
		a.PartialSuccess = &collectorv1.ExportMetricsPartialSuccess{RejectedDataPoints: result.Rejected, ErrorMessage: result.Message}
	}
	return a, nil
}

// seenTally is a tally for who sees some of the flags.
type seenTally struct {
	*tally.Tally
	snapshot *snapshot.Snapshot
	right    *accesskey.Right
}

// Sum implements [otlp.Counter].
func (t seenTally) Sum(x *telemetryv1.Exposure, metric string, now time.Time, cell func(tally.Watched) (*telemetryv1.MetricCell, string)) string {
	if t.right != nil && !t.right.Sees(t.snapshot.Eval().Flag(x.GetFlagKey())) {
		return fmt.Sprintf("there is no flag %.64q in this environment", x.GetFlagKey())
	}
	return t.Tally.Sum(x, metric, now, cell)
}

// hostOf is the address that a call comes from, without its port.
func hostOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return p.Addr.String()
	}
	return host
}
