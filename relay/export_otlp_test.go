package relay

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// exporting makes a meter of a service, whose metrics go to the relay when flush is called.
func exporting(t *testing.T, r *Relay, name string, temporality metricdata.Temporality) (meter metric.Meter, flush func() error) {
	t.Helper()
	exporter, err := otlpmetricgrpc.New(t.Context(),
		otlpmetricgrpc.WithEndpoint(r.GRPCAddr()), otlpmetricgrpc.WithInsecure(),
		otlpmetricgrpc.WithHeaders(map[string]string{environmentHeader: production}),
		otlpmetricgrpc.WithTemporalitySelector(func(sdk.InstrumentKind) metricdata.Temporality { return temporality }),
		otlpmetricgrpc.WithAggregationSelector(func(k sdk.InstrumentKind) sdk.Aggregation {
			if k == sdk.InstrumentKindHistogram {
				return sdk.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}
			}
			return sdk.DefaultAggregationSelector(k)
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	provider := sdk.NewMeterProvider(
		sdk.WithReader(sdk.NewPeriodicReader(exporter, sdk.WithInterval(time.Hour))),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", name))),
	)
	t.Cleanup(func() {
		// The relay has ended: there is nobody to take what is left, which is nothing.
		ended, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		cancel()
		_ = provider.Shutdown(ended)
	})
	return provider.Meter("test"), func() error { return provider.ForceFlush(t.Context()) }
}

func servedTo(variant string, more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributes(append(more, attribute.String("feature_flag.key", "checkout"), attribute.String("feature_flag.result.variant", variant))...)
}

// What OpenTelemetry's own exporter sends of a service's metrics is counted, of either
// temporality, and of what cannot be counted the exporter is told.
func TestOpenTelemetry(t *testing.T) {
	p := newPublisher(t, production)
	p.put(production, rollingFlag("checkout", 5000), rolloutAt("checkout", 1, 5000))
	upstream, _ := p.serve()
	r, stop := startReady(t, options(upstream, production), p.revision)
	flushed := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	ctx := t.Context()
	for _, temporality := range []metricdata.Temporality{metricdata.DeltaTemporality, metricdata.CumulativeTemporality} {
		meter, flush := exporting(t, r, temporality.String(), temporality)
		failures, err := meter.Int64Counter("errors")
		if err != nil {
			t.Fatal(err)
		}
		latency, err := meter.Float64Histogram("latency", metric.WithUnit("ms"))
		if err != nil {
			t.Fatal(err)
		}
		unwatched, err := meter.Int64Counter("requests")
		if err != nil {
			t.Fatal(err)
		}
		if temporality == metricdata.CumulativeTemporality { // where counting begins
			failures.Add(ctx, 1000, servedTo("on"))
			latency.Record(ctx, 1, servedTo("on"))
			flushed(flush())
		}
		failures.Add(ctx, 3, servedTo("on"))
		failures.Add(ctx, 2, servedTo("off", attribute.String("error.type", "timeout")))
		failures.Add(ctx, 5, servedTo("on", attribute.String("outcome", "success")))
		for i := range 10 {
			latency.Record(ctx, float64(100*(i+1)), servedTo("on"))
		}
		unwatched.Add(ctx, 1, servedTo("on"))
		failures.Add(ctx, 1) // of no flag
		flushed(flush())
		failures.Add(ctx, 4, servedTo("on"))
		flushed(flush())
	}
	meter, flush := exporting(t, r, "wrong", metricdata.DeltaTemporality)
	failures, err := meter.Int64Counter("errors")
	if err != nil {
		t.Fatal(err)
	}
	failures.Add(ctx, 7, servedTo("nobody"))
	if err := flush(); err == nil || !strings.Contains(err.Error(), `flag "checkout" has no variant "nobody"`) || !strings.Contains(err.Error(), "1 metric data points rejected") {
		t.Errorf("the exporter was told: %v", err)
	}
	stop()
	var errorsOn, errorsOff, countOn uint64
	var seconds float64
	var latencies uint64
	for _, b := range p.collected.batches {
		for _, w := range b.GetWindows() {
			for _, c := range w.GetCells() {
				for _, m := range c.GetMetrics() {
					switch {
					case m.GetMetric() == "latency":
						latencies += m.GetCount()
						seconds += m.GetSum()
					case c.GetArm() == telemetryv1.Arm_ARM_TREATMENT:
						errorsOn += m.GetEvents()
						countOn += m.GetCount()
					default:
						errorsOff += m.GetEvents()
					}
				}
			}
		}
	}
	// Of the cumulative ones, the streams that began in the first seconds of their source are
	// counted from their first point on: 2 and 5 are not.
	if errorsOn != 3+4+3+4 || countOn != errorsOn+5 || errorsOff != 2 {
		t.Errorf("treatment: %d errors of %d, control: %d", errorsOn, countOn, errorsOff)
	}
	if latencies != 20 || seconds < 10.99 || seconds > 11.01 {
		t.Errorf("%d latencies, %v s together", latencies, seconds)
	}
	p.collected.check(t)
}
