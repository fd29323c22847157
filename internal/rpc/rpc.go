// Package rpc is the one place where servers get their transport: listeners' options,
// interceptors, health, reflection, channelz, and the same services over HTTP with JSON
// (Connect protocol).
package rpc

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/protobuf/proto"
)

// Options of a Server.
type Options struct {
	Logger     zerolog.Logger
	Registerer prometheus.Registerer // required
	// Timeout of a unary call that brings no deadline, and the longest that one may
	// bring. Default 10 s.
	Timeout time.Duration
	// MaxMessageBytes received; default 4 MiB.
	MaxMessageBytes int
	// Validators check requests before handlers see them, by full message name; an error
	// becomes INVALID_ARGUMENT with google.rpc.BadRequest details if it is an eval.Errors.
	Validators map[string]func(proto.Message) error
	// MapError turns domain errors into gRPC statuses; may be nil.
	MapError func(error) error
}

// Server is a gRPC server with everything that each of ours has. It implements
// grpc.ServiceRegistrar: a service registered here is served over gRPC and over HTTP.
type Server struct {
	GRPC   *grpc.Server
	Health *health.Server
}

func NewServer(o Options) *Server { panic("stub") }

func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) { panic("stub") }

// HTTPHandler serves the registered services at /PACKAGE.SERVICE/METHOD (Connect,
// gRPC-Web, JSON).
func (s *Server) HTTPHandler() http.Handler { panic("stub") }

// Caller is who calls, from the call's metadata ('tidegate-actor', which is a claim, not
// an identity, as long as no keys are configured) and peer.
type Caller struct{ Actor, Peer string }

func CallerFrom(ctx context.Context) Caller { panic("stub") }
