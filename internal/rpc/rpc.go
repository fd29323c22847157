// Package rpc is the one place where servers get their transport: listeners' options,
// interceptors, health, reflection, channelz, and the same services over HTTP with JSON
// (Connect protocol).
//
// What surrounds every call, outermost first, the same for gRPC and HTTP: call metrics,
// log, errors to statuses, deadline, authorization, validation, recovery. Nothing logs what a request
// says. Methods that are called hundreds of thousands of times a second go another way
// over gRPC, see [Direct].
//
// A server ends in three steps (see [Server.Serve]): it says that it goes, it gives
// calls a bounded time to end, it cuts what is left.
package rpc

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	channelz "google.golang.org/grpc/channelz/service"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // lets callers compress
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	"github.com/tidegate/tidegate/internal/tlsfiles"
)

const (
	defaultTimeout = 10 * time.Second
	defaultMessage = 4 << 20
	maxHeaderBytes = 16 << 10
	maxStreams     = 1000 // on one connection
	// handshakeTimeout is how long a connection may take to become one.
	handshakeTimeout = 10 * time.Second
	// streamWorkers handle calls on stacks that have grown already. Calls that find none
	// free get a goroutine of their own.
	streamWorkers = 64
	// Windows of a fixed size. To find the best size, gRPC would ping the other side after
	// what it received, which costs both sides as much as a small message does.
	streamWindow  = 256 << 10
	connWindow    = 1 << 20
	keepaliveTime = 20 * time.Second
	// keepaliveAnswer is also how long the kernel waits for a peer to take what it was sent
	// (TCP_USER_TIMEOUT). An answer stands behind all that goes over the connection, and is
	// read when the load lets it: this is longer than a reader may be slow.
	keepaliveAnswer = 20 * time.Second
	// keepaliveMin is between two pings of a caller. It is next to nothing: flagd's provider
	// for Python asks gRPC for one a millisecond, unless it is told otherwise, and gRPC lets
	// it have a few. To cut its stream for that would lose it the events until it is back.
	keepaliveMin = time.Microsecond
)

// Options of a Server.
type Options struct {
	Logger     zerolog.Logger
	Registerer prometheus.Registerer // required
	// TLS that is served with; nil: none.
	TLS *tlsfiles.Server
	// Timeout of a unary call that brings no deadline, and the longest that one may
	// bring. Default 10 s.
	Timeout time.Duration
	// MaxMessageBytes received; default 4 MiB.
	MaxMessageBytes int
	// Validate returns what is wrong with a request, before a handler sees it; may be nil.
	// The caller gets INVALID_ARGUMENT with google.rpc.BadRequest details.
	Validate func(proto.Message) eval.Errors
	// Authorize decides on every call, by its request, of a stream by its first message,
	// before it is validated; nil: everybody may call. What it returns is what the handler
	// runs in; see [Identify]. Direct methods, and streams that are not read, go without.
	Authorize func(context.Context, Call) (context.Context, error)
	// MapError turns domain errors into gRPC statuses; may be nil. What it returns
	// without a status becomes INTERNAL: the log has the text, the caller does not.
	MapError func(error) error
}

// Server is a gRPC server with everything that each of ours has. It implements
// grpc.ServiceRegistrar: a service registered here is served over gRPC and over HTTP.
type Server struct {
	GRPC   *grpc.Server
	Health *health.Server

	options Options
	bridge  *bridge
	metrics *metrics
	calls   zerolog.Logger // what calls ended with
	// What turns a handler's panic into an error.
	recoverUnary  grpc.UnaryServerInterceptor
	recoverStream grpc.StreamServerInterceptor
	// draining: Serve is about to return.
	draining atomic.Bool
	// streams ends when streams that outlasted the polite end are to end.
	streams    context.Context
	endStreams context.CancelCauseFunc
}

// NewServer makes a server; services are registered before it serves.
func NewServer(o Options) *Server {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxMessageBytes <= 0 {
		o.MaxMessageBytes = defaultMessage
	}
	s := &Server{
		Health: health.NewServer(), options: o,
		metrics: newMetrics(o.Registerer), calls: newCallLog(o.Logger),
	}
	s.streams, s.endStreams = context.WithCancelCause(context.Background())
	s.recoverUnary, s.recoverStream = recovery.UnaryServerInterceptor(s.onPanic()), recovery.StreamServerInterceptor(s.onPanic())

	s.bridge = newBridge(s.interceptUnary, s.interceptStream)
	var secured []grpc.ServerOption
	if o.TLS != nil {
		secured = append(secured, grpc.Creds(credentials.NewTLS(o.TLS.GRPC())))
	}
	s.GRPC = grpc.NewServer(append(secured,
		grpc.UnaryInterceptor(s.interceptUnary),
		grpc.StreamInterceptor(s.interceptStream),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.MaxRecvMsgSize(o.MaxMessageBytes),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveAnswer}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMin, PermitWithoutStream: true}),
	)...)
	healthv1.RegisterHealthServer(s.GRPC, s.Health)
	reflection.Register(s.GRPC)
	channelz.RegisterChannelzServiceToServer(s.GRPC)
	return s
}

// RegisterService adds a service; its health is SERVING.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	grpcOnly{s}.RegisterService(desc, impl)
	s.bridge.RegisterService(desc, impl)
}

// GRPCOnly registers services that are not served over HTTP: those that do not wait for a
// blocked send before their handler returns, which net/http does not forgive.
func (s *Server) GRPCOnly() grpc.ServiceRegistrar { return grpcOnly{s} }

type grpcOnly struct{ s *Server }

func (r grpcOnly) RegisterService(desc *grpc.ServiceDesc, impl any) {
	r.s.GRPC.RegisterService(desc, impl)
	r.s.Health.SetServingStatus(desc.ServiceName, healthv1.HealthCheckResponse_SERVING)
}

// HTTPHandler serves the registered services at /PACKAGE.SERVICE/METHOD (Connect,
// gRPC-Web, JSON). Call it after the last RegisterService.
func (s *Server) HTTPHandler() http.Handler {
	return s.bridge.handler(s.options.MaxMessageBytes, s.options.Timeout)
}
