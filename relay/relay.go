// Package relay is the edge process: it follows environments from an upstream, or serves
// one from files, keeps them in memory and on disk, and answers evaluations from memory
// for as long as it lives, whatever happens upstream or to the files.
//
// It counts what it serves and what callers observe of it, and pushes the sums upstream,
// counted once; see telemetry.go. While it is cut off it shuts a rollout that violates a
// guardrail by its own evidence; see edge.go and served.go.
//
// It serves the evaluation services and, to further relays and in-process SDKs, the
// sync service that it follows itself. An evaluation reads one atomic pointer and then
// touches nothing but that snapshot: no lock, no I/O.
package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"

	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	flagdsyncv1 "github.com/tidegate/tidegate/gen/go/flagd/sync/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/directhttp"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/preview"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/rpc"
	rpcdial "github.com/tidegate/tidegate/internal/rpc/dial"
	"github.com/tidegate/tidegate/internal/statefile"
	"github.com/tidegate/tidegate/internal/streamlog"
	"github.com/tidegate/tidegate/internal/tlsfiles"
	"github.com/tidegate/tidegate/internal/tree"
	"github.com/tidegate/tidegate/internal/version"
)

// historyBytes bounds the changes kept of each environment: followers that were away for
// up to about two thousand small ones resume.
const historyBytes = 4 << 20

// Relay is one relay process.
type Relay struct {
	instanceID, version string
	maxStale, drain     time.Duration
	logger              zerolog.Logger
	registry            *prometheus.Registry

	streamLog  *streamlog.Log // may be nil
	replicas   *replica.Set   // as they are followed, and passed on
	served     servedSet
	evaluation *evaluationService
	telemetry  *telemetry
	samples    *preview.Memory // nil: none are kept
	hub        *hub.Hub
	origin     origin
	server     *rpc.Server
	tls        *tlsfiles.Server // nil: none

	// state is nil without a state directory, and if it cannot be used.
	state         *statefile.Dir
	stateUnusable bool

	ofrep       *ofrepHandler
	corsOrigins []string
	loaded      func() // see Options; may be nil

	grpc, http, management, flagdSync net.Listener
}

// Open validates the options, loads the state from disk, reads the files if it serves
// any, and binds the listeners.
// A relay that is not Run must be Closed. ctx bounds Open alone.
func Open(ctx context.Context, o Options) (*Relay, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	secured, err := tlsfiles.NewServer(o.TLS, o.Logger)
	if err != nil {
		return nil, err
	}
	if err := o.secureUpstreams(); err != nil {
		return nil, err
	}
	streamLog, err := streamlog.Open(o.StreamLog, o.Logger)
	if err != nil {
		return nil, err
	}
	r := &Relay{
		instanceID: o.InstanceID, version: version.Version,
		maxStale: o.MaxStale, drain: o.Drain,
		logger: o.Logger, registry: o.Registry,
		corsOrigins: o.CORSOrigins, loaded: o.Loaded,
		streamLog: streamLog, served: servedSet{}, tls: secured,
	}
	r.replicas = replica.NewSet(replica.Options{
		HistoryBytes: historyBytes, Observer: replica.Observers(streamLog.Observer(), r.served),
	})
	answered := replica.NewSet(replica.Options{HistoryBytes: historyBytes})
	r.evaluation = newEvaluationService(answered, o.Environments)
	r.evaluation.region = o.Region
	if len(o.Files) == 0 { // which have no keys
		r.evaluation.guard(o.RequireKeys)
	}
	for _, e := range r.evaluation.environments {
		e.flagd.logger = o.Logger.With().Str("environment", e.name).Logger()
	}
	r.ofrep = newOFREPHandler(r.evaluation, o.OFREPRateLimit)
	err = r.openState(o.StateDir)
	if err == nil {
		err = r.openTelemetry(&o)
	}
	if err == nil {
		r.openSamples(&o)
		r.streamLog.Begin(streamlog.Process{
			Instance: r.instanceID, Kind: "relay", Version: r.version,
			Environments: o.Environments, Durable: r.state != nil && len(o.Files) == 0,
		})
		r.restoreState()
		err = r.connect(ctx, &o)
	}
	if err == nil {
		err = r.listen(ctx, &o)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// connect opens the origin, and makes what serves from it.
func (r *Relay) connect(ctx context.Context, o *Options) error {
	below := tree.New(r.instanceID)
	var err error
	if r.origin, err = r.openOrigin(ctx, o, below); err != nil {
		return err
	}
	if err := r.openUplink(o); err != nil {
		return err
	}
	r.hub = hub.New(hub.Options{
		Replicas: r.replicas, InstanceID: r.instanceID, Tree: below,
		Path:        func() []string { return r.origin.path() },
		RequireKeys: o.RequireKeys, Key: rpcdial.Key(o.Key, o.KeyFile),
		Used:   func(environment, keyID string) { r.evaluation.byName[environment].gate.Uses().Note(keyID) },
		Logger: r.logger, Registerer: r.registry,
	})
	r.server = rpc.NewServer(rpc.Options{
		Logger: r.logger, Registerer: r.registry, TLS: r.tls, Authorize: r.evaluation.authorize,
	})
	r.evaluation.register(r.server)
	flagdv1.RegisterServiceServer(r.server, &flagdServiceV1{evaluation: r.evaluation})
	flagdv2.RegisterServiceServer(r.server, &flagdServiceV2{evaluation: r.evaluation})
	flagdsyncv1.RegisterFlagSyncServiceServer(r.server, &flagdSyncService{evaluation: r.evaluation})
	syncv1.RegisterSyncServiceServer(r.server.GRPCOnly(), r.hub)
	telemetryv1.RegisterTelemetryServiceServer(r.server, &telemetryService{evaluation: r.evaluation, telemetry: r.telemetry})
	collectorv1.RegisterMetricsServiceServer(r.server.GRPCOnly(), newMetricsService(r.evaluation, r.telemetry))
	if r.telemetry.uplink != nil {
		telemetryv1.RegisterCollectorServiceServer(r.server.GRPCOnly(), r.telemetry.uplink)
	}
	return r.register()
}

// listen binds all addresses, so that nothing is announced that does not serve.
func (r *Relay) listen(ctx context.Context, o *Options) error {
	var config net.ListenConfig
	for _, l := range []struct {
		what, addr string
		to         *net.Listener
	}{
		{"gRPC", o.GRPCAddr, &r.grpc},
		{"HTTP", o.HTTPAddr, &r.http},
		{"management", o.ManagementAddr, &r.management},
		{"flagd sync", o.FlagdSyncAddr, &r.flagdSync},
	} {
		var err error
		if *l.to, err = config.Listen(ctx, "tcp", l.addr); err != nil {
			return fmt.Errorf("%s address: %w", l.what, err)
		}
	}
	return nil
}

// GRPCAddr is the address that the gRPC listener is bound to.
func (r *Relay) GRPCAddr() string { return r.grpc.Addr().String() }

// HTTPAddr is the address that the HTTP listener is bound to.
func (r *Relay) HTTPAddr() string { return r.http.Addr().String() }

// ManagementAddr is the address that the management listener is bound to.
func (r *Relay) ManagementAddr() string { return r.management.Addr().String() }

// FlagdSyncAddr is the address that the listener for flagd's sync protocol is bound to.
func (r *Relay) FlagdSyncAddr() string { return r.flagdSync.Addr().String() }

// Run serves until ctx ends, then drains and closes, and returns nil. It returns an
// error if a listener fails. It is called once.
//
// Draining: health turns to NOT_SERVING, sync streams get a Goodbye, watches and
// evaluation streams end with UNAVAILABLE, unary calls get Options.Drain to end. Then what was
// counted is spooled, and pushed for up to 5 s more.
func (r *Relay) Run(ctx context.Context) error {
	r.logger.Info().Str("instance", r.instanceID).Str("version", r.version).
		Str("grpc", r.GRPCAddr()).Str("http", r.HTTPAddr()).Str("management", r.ManagementAddr()).
		Str("flagd_sync", r.FlagdSyncAddr()).Msg("relay serves")
	open := []net.Listener{r.management}
	if r.tls == nil || !r.tls.RequiresClient() {
		open = append(open, r.grpc, r.http, r.flagdSync)
	}
	rpc.WarnReachable(r.logger, rpc.NobodyAsked, open...)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := r.runBackground(background)
	counting, count := context.WithCancel(background)
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		r.telemetry.run(counting)
	}()
	err := r.server.Serve(ctx, rpc.ServeOptions{
		GRPC: []net.Listener{r.grpc, r.flagdSync},
		HTTP: []rpc.HTTPListener{
			{Listener: r.httpListener(), Handler: r.httpHandler(), Origins: r.corsOrigins},
			{Listener: r.management, Handler: r.managementHandler(), Plain: true},
		},
		Drain: func() { //nolint:contextcheck // what the hub asks of a store has a time limit of its own
			r.logger.Info().Msg("relay drains")
			r.evaluation.drain()
			r.hub.Drain()
		},
		DrainTimeout: r.drain,
	})
	// Nothing is counted any more; what was goes up, which takes the origin to know where.
	count()
	<-counted
	// The origin is heard to the last: calls that are still running see the newest.
	stop()
	for range done {
	}
	return errors.Join(err, r.Close())
}

// httpListener answers what callers of OFREP ask most, one flag, before it comes to
// net/http; not where there is TLS, which is net/http's.
func (r *Relay) httpListener() net.Listener {
	if r.tls != nil {
		return r.http
	}
	return directhttp.Listen(r.http, directhttp.Options{
		Prefix: ofrepFlagsPath + "/", Headers: ofrepHeaders,
		Handler: r.ofrep, Logger: r.logger,
	})
}

// runBackground runs the origin and keeps the state; the channel is closed when
// all of it has ended.
func (r *Relay) runBackground(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	keeper, sampler := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(keeper)
		r.keep(ctx)
	}()
	go func() {
		defer close(sampler)
		r.turnSamples(ctx)
	}()
	go func() {
		defer close(done)
		if err := r.origin.Run(ctx); err != nil && ctx.Err() == nil {
			r.logger.Error().Err(err).Msg("nothing new is served any more")
		}
		<-keeper
		<-sampler
		r.confirmState()
	}()
	return done
}

// Close releases what Open took, for a relay that is not Run.
func (r *Relay) Close() error {
	var errs []error
	for _, l := range []net.Listener{r.grpc, r.http, r.management, r.flagdSync} {
		if l == nil {
			continue
		}
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if r.server != nil {
		r.server.GRPC.Stop()
	}
	errs = append(errs, r.telemetry.close())
	if r.state != nil {
		errs = append(errs, r.state.Close())
	}
	return errors.Join(append(errs, r.streamLog.Close())...)
}
