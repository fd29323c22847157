package rpc

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// interceptUnary is what surrounds every unary call: grpc-go and the bridge take the
// same.
func (s *Server) interceptUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	c := s.begin(s.metrics.method(info.FullMethod, typeUnary))
	c.method.received.Inc()
	ctx = s.nameable(ctx)
	resp, err := s.handleUnary(ctx, req, info, handler)
	if err == nil {
		c.method.sent.Inc()
	}
	s.end(ctx, c, err)
	return resp, err
}

// handleUnary gives the call a deadline, and maps what it fails with.
func (s *Server) handleUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	ctx, err := s.authorize(ctx, Call{Method: info.FullMethod}, req)
	if err != nil {
		return nil, s.mapError(info.FullMethod, err)
	}
	if err := s.validate(req); err != nil {
		return nil, err
	}
	resp, err := s.recoverUnary(ctx, req, info, handler)
	if err != nil {
		return nil, s.mapError(info.FullMethod, err)
	}
	return resp, nil
}

// interceptStream is what surrounds every stream. It also ends the stream's context when
// the server's time for streams is over.
func (s *Server) interceptStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, cancel := context.WithCancelCause(ss.Context())
	defer cancel(nil)
	stop := context.AfterFunc(s.streams, func() { cancel(context.Cause(s.streams)) })
	defer stop()
	c := s.begin(s.metrics.method(info.FullMethod, typeOf(info)))
	ctx = s.nameable(ctx)
	stream := &callStream{ServerStream: ss, ctx: ctx, server: s, method: c.method}
	err := s.recoverStream(srv, stream, info, handler)
	if err != nil {
		err = s.mapError(info.FullMethod, err)
		// What ended the stream's context is why it ended, where that is for the caller to know:
		// the server ends, or whoever calls may no longer.
		cause := context.Cause(stream.Context())
		if _, told := status.FromError(cause); told && cause != nil {
			err = cause
		}
	}
	s.end(ctx, c, err)
	return err
}

func typeOf(info *grpc.StreamServerInfo) string {
	switch {
	case info.IsClientStream && info.IsServerStream:
		return typeBidiStream
	case info.IsClientStream:
		return typeClientStream
	}
	return typeServerStream
}

// callStream counts and validates a stream's messages.
type callStream struct {
	grpc.ServerStream
	server *Server
	method *methodMetrics
	// authorized: the first message was. Of the goroutine that receives.
	authorized bool

	mu  sync.Mutex      // a handler may have one goroutine that receives and end in another
	ctx context.Context // what a grpc.ServerStream is
}

// Context is the call's; once a message was received, what authorizing it made of that.
func (s *callStream) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ctx
}

func (s *callStream) setContext(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = ctx
}

func (s *callStream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(m)
	if err == nil {
		s.method.sent.Inc()
	}
	return err
}

func (s *callStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	s.method.received.Inc()
	if _, ok := m.(Decoder); ok {
		return nil // it is its own judge
	}
	if !s.authorized {
		ctx, err := s.server.authorize(s.Context(), Call{Method: s.method.name, Stream: true}, m)
		if err != nil {
			return err
		}
		s.setContext(ctx)
		s.authorized = true
	}
	return s.server.validate(m)
}

// call is a call that goes on.
type call struct {
	method *methodMetrics
	start  time.Time
}

func (s *Server) begin(m *methodMetrics) call {
	m.started.Inc()
	return call{m, time.Now()}
}

// end counts the call, and logs it if that is asked for: debug if it succeeded, info if
// the caller is at fault, warn if the server is.
func (s *Server) end(ctx context.Context, c call, err error) {
	took := time.Since(c.start)
	code := status.Code(err)
	c.method.end(code, took)
	level := levelOf(code)
	if code == codes.Unavailable && s.draining.Load() {
		level = zerolog.DebugLevel // as it should be
	}
	if err != nil && errors.As(err, new(answer)) {
		level = zerolog.DebugLevel
	}
	if level < s.calls.GetLevel() {
		return
	}
	e := s.calls.WithLevel(level)
	if !e.Enabled() {
		return
	}
	caller := CallerFrom(ctx)
	e.Str("method", c.method.name).Str("code", code.String()).Dur("took_ms", took).
		Str("actor", caller.Actor).Str("peer", caller.Peer)
	if err != nil {
		e.Str("error", status.Convert(err).Message())
	}
	e.Msg("call")
}

// callLines is how many failed calls a second are logged: one caller that errs in a loop
// must not drown what others have to say. The metrics count all.
const callLines = 20

func newCallLog(l zerolog.Logger) zerolog.Logger {
	burst := func() zerolog.Sampler { return &zerolog.BurstSampler{Burst: callLines, Period: time.Second} }
	return l.Sample(zerolog.LevelSampler{InfoSampler: burst(), WarnSampler: burst()})
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

// onPanic has handlers' panics logged.
func (s *Server) onPanic() recovery.Option {
	return recovery.WithRecoveryHandlerContext(func(ctx context.Context, p any) error {
		method, _ := grpc.Method(ctx)
		return s.panicked(method, p)
	})
}

// panicked logs what a handler panicked with, and is what the caller gets.
func (s *Server) panicked(method string, p any) error {
	s.options.Logger.Error().Str("method", method).Interface("panic", p).Bytes("stack", debug.Stack()).Msg("panic in a handler")
	return errInternal
}

func (s *Server) validate(req any) error {
	if s.options.Validate == nil {
		return nil
	}
	m, ok := req.(proto.Message)
	if !ok {
		return nil
	}
	fields := s.options.Validate(m)
	if len(fields) == 0 {
		return nil
	}
	return Status(codes.InvalidArgument, "invalid request: "+fields.Error(), BadRequest(fields))
}
