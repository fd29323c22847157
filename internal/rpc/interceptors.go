package rpc

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// chainUnary makes one interceptor of several, the first outermost: grpc-go and the
// bridge take the same one.
func chainUnary(all ...grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		for i := len(all) - 1; i >= 0; i-- {
			next, intercept := handler, all[i]
			handler = func(ctx context.Context, req any) (any, error) { return intercept(ctx, req, info, next) }
		}
		return handler(ctx, req)
	}
}

func chainStream(all ...grpc.StreamServerInterceptor) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		for i := len(all) - 1; i >= 0; i-- {
			next, intercept := handler, all[i]
			handler = func(srv any, ss grpc.ServerStream) error { return intercept(srv, ss, info, next) }
		}
		return handler(srv, ss)
	}
}

// callLog writes one line for a call that ended: debug if it succeeded, info if the
// caller is at fault, warn if the server is. It costs next to nothing for what is not
// written, which is why it is not the reporter that comes with the middleware.
type callLog struct {
	server *Server
	logger zerolog.Logger
}

// callLines is how many failed calls a second are logged: one caller that errs in a loop
// must not drown what others have to say. The metrics count all.
const callLines = 20

func newCallLog(s *Server) *callLog {
	burst := func() zerolog.Sampler { return &zerolog.BurstSampler{Burst: callLines, Period: time.Second} }
	return &callLog{s, s.options.Logger.Sample(zerolog.LevelSampler{InfoSampler: burst(), WarnSampler: burst()})}
}

func (l *callLog) ServerReporter(ctx context.Context, m interceptors.CallMeta) (interceptors.Reporter, context.Context) {
	return callReport{log: l, ctx: ctx, meta: m}, ctx
}

type callReport struct {
	interceptors.NoopReporter
	log  *callLog
	ctx  context.Context // the middleware's reporter lives as long as the call
	meta interceptors.CallMeta
}

func (r callReport) PostCall(err error, took time.Duration) {
	code := status.Code(err)
	level := levelOf(code)
	if r.log.server.draining.Load() && code == codes.Unavailable {
		level = zerolog.DebugLevel // as it should be
	}
	if err != nil && errors.As(err, new(answer)) {
		level = zerolog.DebugLevel
	}
	e := r.log.logger.WithLevel(level)
	if !e.Enabled() {
		return
	}
	c := CallerFrom(r.ctx)
	e.Str("method", r.meta.FullMethod()).Str("code", code.String()).Dur("took_ms", took).
		Str("actor", c.Actor).Str("peer", c.Peer)
	if err != nil {
		e.Str("error", status.Convert(err).Message())
	}
	e.Msg("call")
}

// levelOf tells how loud a call's end is.
func levelOf(c codes.Code) zerolog.Level {
	switch c {
	case codes.OK, codes.Canceled:
		return zerolog.DebugLevel
	case codes.Unknown, codes.DeadlineExceeded, codes.Internal, codes.Unavailable, codes.DataLoss:
		return zerolog.WarnLevel
	default:
		return zerolog.InfoLevel
	}
}

func recoverUnary(l zerolog.Logger) grpc.UnaryServerInterceptor {
	return recovery.UnaryServerInterceptor(recovery.WithRecoveryHandlerContext(logPanic(l)))
}

func recoverStream(l zerolog.Logger) grpc.StreamServerInterceptor {
	return recovery.StreamServerInterceptor(recovery.WithRecoveryHandlerContext(logPanic(l)))
}

func logPanic(l zerolog.Logger) recovery.RecoveryHandlerFuncContext {
	return func(ctx context.Context, p any) error {
		method, _ := grpc.Method(ctx)
		l.Error().Str("method", method).Interface("panic", p).Bytes("stack", debug.Stack()).Msg("panic in a handler")
		return errInternal
	}
}

// limitUnary gives every unary call a deadline.
func (s *Server) limitUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	return handler(ctx, req)
}

func (s *Server) validateUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := s.validate(req); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (s *Server) validateStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, &validatedStream{ServerStream: ss, validate: s.validate})
}

func (s *Server) validate(req any) error {
	m, ok := req.(proto.Message)
	if !ok || s.options.Validate == nil {
		return nil
	}
	fields := s.options.Validate(m)
	if len(fields) == 0 {
		return nil
	}
	return Status(codes.InvalidArgument, "invalid request: "+fields.Error(), BadRequest(fields))
}

// validatedStream checks every message that it receives.
type validatedStream struct {
	grpc.ServerStream
	validate func(any) error
}

func (s *validatedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.validate(m)
}
