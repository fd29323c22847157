// Package server is the central process: it serves the control services and the sync
// protocol from an authority over a store, over gRPC and over HTTP with JSON.
//
// Handlers are thin. They never publish: what followers see comes from the store's
// watch alone, so every server of a cluster shows one order.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/credentials"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/audit"
	"github.com/tidegate/tidegate/controlplane/decider"
	"github.com/tidegate/tidegate/controlplane/fleet"
	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/lastuse"
	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/series"
	"github.com/tidegate/tidegate/controlplane/session"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/etcdstore"
	"github.com/tidegate/tidegate/controlplane/store/mirror"
	"github.com/tidegate/tidegate/controlplane/usage"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/rpc"
	"github.com/tidegate/tidegate/internal/streamlog"
	"github.com/tidegate/tidegate/internal/tlsfiles"
	"github.com/tidegate/tidegate/internal/tree"
	"github.com/tidegate/tidegate/internal/version"
	"github.com/tidegate/tidegate/server/openid"
)

// Where, in the data directory, the embedded etcd is; and where it is while it is restored.
const (
	EtcdDir      = "etcd"
	RestoringDir = ".restoring"
)

// Server is one control server.
type Server struct {
	options   Options
	logger    zerolog.Logger
	store     store.Store
	streamLog *streamlog.Log // may be nil
	replicas  *replica.Set
	authority *controlplane.Authority
	hub       *hub.Hub
	fleet     *fleet.Fleet
	elector   *leader.Elector
	telemetry *collectorService
	usage     *usage.Recorder
	lastUse   *lastuse.Recorder
	decider   *decider.Decider
	series    *series.Recorder
	notifier  *notify.Notifier
	requests  *controlplane.ChangeRequests
	directory *identity.Directory
	settings  *mirror.Mirror[*controlv1.EnvironmentSettings]
	sessions  *session.Sessions
	logins    *logins
	openID    *openid.Provider // nil: none
	webApp    *webApp          // nil: none
	tls       *tlsfiles.Server // nil: none
	// peers is what other servers are connected to with.
	peers    credentials.TransportCredentials
	trails   *audit.Trails
	auditLog *audit.File // may be nil
	// firstSecret is of the administrator that was made.
	firstSecret string
	// peerSecret is what this server presents to the others, for as long as it runs.
	peerSecret string
	rpc        *rpc.Server
	draining   atomic.Bool
	drained    chan struct{} // closed when it begins to drain

	grpcListener, httpListener net.Listener
}

// Open binds the listeners, opens the store and loads every environment. A server that
// is not Run must be Closed.
func Open(ctx context.Context, o Options) (_ *Server, err error) {
	o.ensureDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Server{options: o, logger: o.Logger, store: o.Store, drained: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if o.Dashboard != nil {
		if s.webApp, err = newWebApp(o.Dashboard); err != nil {
			return nil, err
		}
	}
	if s.tls, err = tlsfiles.NewServer(o.TLS, o.Logger); err != nil {
		return nil, err
	}
	if s.peers, err = (tlsfiles.ClientFiles{On: s.tls != nil, CA: o.TLSCA}).Credentials(o.Logger); err != nil {
		return nil, err
	}
	// Listeners first: a port in use should not cost the start of a database.
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	if err := s.makeReplicas(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout,
		fmt.Errorf("the store was not there within %v", startTimeout))
	defer cancel()
	slow := time.AfterFunc(slowStart, func() {
		s.logger.Warn().Msg("still waiting for the store: its disk is slow, or its cluster has no leader")
	})
	defer slow.Stop()
	if err := s.openStore(ctx); err != nil {
		return nil, withCause(ctx, err)
	}
	s.authority, err = controlplane.Open(ctx, controlplane.Options{
		Store: s.store, Replicas: s.replicas, Environments: o.Environments, Logger: o.Logger, Registerer: o.Registry,
	})
	if err != nil {
		return nil, withCause(ctx, fmt.Errorf("load the environments: %w", err))
	}
	if err := s.openDirectory(ctx); err != nil {
		return nil, withCause(ctx, err)
	}
	s.settings = newSettings(s.store, s.logger)
	if err := s.settings.Load(ctx); err != nil {
		return nil, withCause(ctx, fmt.Errorf("load the settings of environments: %w", err))
	}
	if err := s.register(); err != nil {
		return nil, err
	}
	return s, nil
}

// makeReplicas makes the set of replicas, and finds out who the log of what they show is
// of.
func (s *Server) makeReplicas() (err error) {
	o := &s.options
	if o.InstanceID == "" {
		if o.InstanceID, err = instanceID(o.DataDir, s.GRPCAddr()); err != nil {
			return err
		}
	}
	if s.streamLog, err = streamlog.Open(o.StreamLog, s.logger); err != nil {
		return err
	}
	s.streamLog.Begin(streamlog.Process{
		Instance: o.InstanceID, Kind: "server", Version: version.Version, Environments: o.Environments,
	})
	s.replicas = replica.NewSet(replica.Options{Observer: s.streamLog.Observer()})
	return nil
}

func (s *Server) listen(ctx context.Context) (err error) {
	var lc net.ListenConfig
	if s.grpcListener, err = lc.Listen(ctx, "tcp", s.options.GRPCAddr); err != nil {
		return fmt.Errorf("gRPC address: %w", err)
	}
	if s.httpListener, err = lc.Listen(ctx, "tcp", s.options.HTTPAddr); err != nil {
		return fmt.Errorf("HTTP address: %w", err)
	}
	return nil
}

func (s *Server) openStore(ctx context.Context) error {
	if s.store != nil {
		return nil
	}
	o := etcdstore.Options{Endpoints: s.options.EtcdEndpoints, Logger: s.logger}
	if len(o.Endpoints) == 0 {
		half := filepath.Join(s.options.DataDir, RestoringDir)
		if _, err := os.Stat(half); err == nil {
			return fmt.Errorf("%s is there: 'tidegate restore' is at work, or did not end; remove it and restore again, as an empty store would take the flags from all relays", half)
		}
		o.DataDir = filepath.Join(s.options.DataDir, EtcdDir)
	}
	opened, err := etcdstore.Open(ctx, o)
	if err != nil {
		return err
	}
	s.store = opened
	return nil
}

func (s *Server) register() error {
	below := tree.New(s.options.InstanceID)
	secret, presented := accesskey.New()
	s.peerSecret = secret
	s.lastUse = lastuse.New(lastuse.Options{Store: s.store, Logger: s.logger})
	s.hub = hub.New(hub.Options{
		Replicas: s.replicas, InstanceID: s.options.InstanceID, Tree: below,
		RequireKeys: s.options.RequireKeys, Head: s.authority.Head,
		Used:   func(_, keyID string) { s.lastUse.Note(keyID) },
		Logger: s.logger, Registerer: s.options.Registry,
	})
	fo := fleet.Options{
		Store: s.store, Replicas: s.replicas, Tree: below, InstanceID: s.options.InstanceID,
		Ask: s.askServer, SecretHash: presented.Hash(), Logger: s.logger, Registerer: s.options.Registry,
	}
	var err error
	if s.options.clustered() {
		if fo.Advertise, err = advertised(s.options.AdvertiseAddr, s.GRPCAddr()); err != nil {
			return fmt.Errorf("address for the other servers: %w", err)
		}
	}
	if s.fleet, err = fleet.New(fo); err != nil {
		return err
	}
	if err = s.makeDecider(); err != nil {
		return err
	}
	if err = s.makeCollector(fo.Advertise); err != nil {
		return err
	}
	if err = s.makeTrails(); err != nil {
		return err
	}
	ro := rpc.Options{
		Logger: s.logger, Registerer: s.options.Registry, TLS: s.tls, MaxMessageBytes: maxMessage, Validate: knownFields, MapError: mapError,
	}
	if !s.options.Open {
		ro.Authorize = (&guard{directory: s.directory, sessions: s.sessions, fleet: s.fleet, settings: s.settings, authority: s.authority, uses: s.lastUse}).authorize
	}
	s.rpc = rpc.NewServer(ro)
	controlv1.RegisterFlagServiceServer(s.rpc, flagService{authority: s.authority, previewer: s.previewer()})
	controlv1.RegisterSegmentServiceServer(s.rpc, segmentService{authority: s.authority})
	controlv1.RegisterKeyServiceServer(s.rpc, keyService{authority: s.authority, uses: s.lastUse})
	s.registerPeople()
	controlv1.RegisterEpochServiceServer(s.rpc, epochService{authority: s.authority, hub: s.hub})
	controlv1.RegisterAuditServiceServer(s.rpc, auditService{trails: s.trails, authority: s.authority, drained: s.drained})
	controlv1.RegisterFleetServiceServer(s.rpc, fleetService{fleet: s.fleet, previewer: s.previewer()})
	controlv1.RegisterNotificationServiceServer(s.rpc, notificationService{
		notifier: s.notifier, leader: s.leaderCalls(), logger: s.logger,
	})
	if err := s.registerRollouts(); err != nil {
		return err
	}
	controlv1.RegisterBackupServiceServer(s.rpc.GRPCOnly(), s.backups())
	syncv1.RegisterSyncServiceServer(s.rpc.GRPCOnly(), s.hub)
	telemetryv1.RegisterCollectorServiceServer(s.rpc.GRPCOnly(), s.telemetry)
	s.options.Registry.MustRegister(replicaCollector{s.replicas})
	return nil
}

// registerPeople registers what knows identities, and logs people in.
func (s *Server) registerPeople() {
	if s.options.OpenID != (openid.Options{}) {
		s.openID = openid.New(s.options.OpenID)
	}
	tries := newAttempts(time.Now)
	s.logins = &logins{directory: s.directory, sessions: s.sessions, attempts: tries, logger: s.logger}
	identities := identityService{authority: s.authority, directory: s.directory, attempts: tries, uses: s.lastUse}
	controlv1.RegisterIdentityServiceServer(s.rpc, identities)
	controlv1.RegisterSessionServiceServer(s.rpc, sessionService{
		authority: s.authority, logins: s.logins, identities: identities, methods: s.loginMethods(),
	})
}

// loginMethods are the ways to log in here.
func (s *Server) loginMethods() *controlv1.ListLoginMethodsResponse {
	m := &controlv1.ListLoginMethodsResponse{Password: true, Open: s.options.Open}
	if s.openID != nil {
		m.OpenidIssuer, m.OpenidLoginUrl = s.openID.Issuer(), s.openID.LoginURL(openIDLogin)
	}
	return m
}

// Run serves until ctx ends; then it tells followers to go elsewhere, lets calls end
// within the drain time, closes everything, and returns nil. It returns an error if a
// listener, or the watch of the store, fails for good.
func (s *Server) Run(ctx context.Context) error {
	s.logger.Info().Str("grpc", s.GRPCAddr()).Str("http", s.HTTPAddr()).Str("instance", s.options.InstanceID).
		Strs("environments", s.replicas.Environments()).Str("version", version.Version).Msg("server is ready")
	switch {
	case s.options.Open:
		rpc.WarnReachable(s.logger, rpc.NobodyAsked, s.grpcListener, s.httpListener)
	case s.tls == nil:
		rpc.WarnReachable(s.logger, rpc.NoTLS, s.grpcListener, s.httpListener)
	}

	// The watch outlives the listeners, so that calls that end see their effect.
	watching, endWatch := context.WithCancel(context.WithoutCancel(ctx))
	serving, endServing := context.WithCancelCause(ctx)
	watched := make(chan error, 1)
	go func() {
		err := s.authority.Run(watching)
		if watching.Err() != nil {
			err = nil
		} else if err == nil {
			err = errors.New("it ended by itself")
		}
		endServing(err)
		watched <- err
	}()

	var running sync.WaitGroup
	running.Go(func() { s.fleet.Run(serving) })
	running.Go(func() { s.directory.Run(serving) })
	running.Go(func() { s.settings.Run(serving) })
	running.Go(func() { s.sessions.Run(serving) })
	running.Go(func() { s.lastUse.Run(serving) })
	running.Go(func() { s.elector.Run(serving, s.lead) })
	running.Go(func() { s.logAudit(serving) })

	served := s.rpc.Serve(serving, rpc.ServeOptions{
		GRPC:  []net.Listener{s.grpcListener},
		HTTP:  []rpc.HTTPListener{{Listener: s.httpListener, Handler: s.httpHandler()}},
		Drain: s.drain, DrainTimeout: s.options.Drain,
	})
	endWatch()
	err := <-watched
	if err != nil {
		err = fmt.Errorf("watch the store: %w", err)
	}
	endServing(nil)
	running.Wait()
	err = errors.Join(served, err, s.Close())
	s.logger.Info().Err(err).Msg("server has stopped")
	return err
}

func (s *Server) drain() {
	if s.draining.CompareAndSwap(false, true) {
		close(s.drained)
	}
	s.logger.Info().Msg("server drains")
	s.hub.Drain()
	s.telemetry.drain()
}

// Close releases what Open took; Run does it by itself.
func (s *Server) Close() error {
	for _, l := range []net.Listener{s.grpcListener, s.httpListener} {
		if l != nil {
			_ = l.Close() // closed already if it served
		}
	}
	if s.rpc != nil {
		s.rpc.GRPC.Stop() // its workers, if it never served
	}
	if s.openID != nil {
		s.openID.Close()
	}
	var err error
	if s.store != nil {
		if err = s.store.Close(); err != nil {
			err = fmt.Errorf("close the store: %w", err)
		}
	}
	return errors.Join(err, s.streamLog.Close())
}

// GRPCAddr is the address that the gRPC listener is bound to.
func (s *Server) GRPCAddr() string { return s.grpcListener.Addr().String() }

// HTTPAddr is the address that the HTTP listener is bound to.
func (s *Server) HTTPAddr() string { return s.httpListener.Addr().String() }

// withCause adds why ctx ended, if it did.
func withCause(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), err)
}
