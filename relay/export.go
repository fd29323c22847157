package relay

import (
	"context"
	"fmt"
	"net"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc/peer"

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
	if _, err := env.snapshot(); err != nil {
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
		result = s.readers[env.name].Read(q, hostOf(ctx), c.tally, time.Now())
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
