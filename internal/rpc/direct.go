package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

// Request is what a direct method decodes into.
type Request interface {
	Decoder
	// Free is called when the method has returned: the request may be used again.
	Free()
}

// Direct describes a unary method over gRPC that makes its reply's bytes itself of its
// request's. It is counted, logged and recovered as the others, but goes without
// Options.Validate, without a deadline, which a method of microseconds does not notice,
// and without what they cost. Over HTTP the generated method answers.
//
// newRequest returns one that nobody else uses; answer gets the time at which the call
// began.
func Direct[R Request](s *Server, fullMethod string, newRequest func() R, answer func(context.Context, R, time.Time) (*Reply, error)) grpc.MethodHandler {
	m := s.metrics.method(fullMethod, typeUnary)
	return func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		r := newRequest()
		defer r.Free()
		if err := decode(r); err != nil {
			return nil, err
		}
		c := s.begin(m)
		m.received.Inc()
		reply, err := recovered(ctx, s, c, r, answer)
		if err == nil {
			m.sent.Inc()
		}
		s.end(ctx, c, err)
		if err != nil {
			return nil, err
		}
		return reply, nil
	}
}

func recovered[R Request](ctx context.Context, s *Server, c call, r R, answer func(context.Context, R, time.Time) (*Reply, error)) (reply *Reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.panicked(c.method.name, p)
		}
		if err != nil {
			err = s.mapError(c.method.name, err)
		}
	}()
	return answer(ctx, r, c.start)
}

// RegisterDirect adds a service as RegisterService does, but over gRPC the methods and
// streams that are given by name are handled by what is given.
func (s *Server) RegisterDirect(desc *grpc.ServiceDesc, impl any, methods map[string]grpc.MethodHandler, streams map[string]grpc.StreamHandler) {
	direct := *desc
	direct.Methods = append([]grpc.MethodDesc(nil), desc.Methods...)
	for i := range direct.Methods {
		if h := methods[direct.Methods[i].MethodName]; h != nil {
			direct.Methods[i].Handler = h
		}
	}
	direct.Streams = append([]grpc.StreamDesc(nil), desc.Streams...)
	for i := range direct.Streams {
		if h := streams[direct.Streams[i].StreamName]; h != nil {
			direct.Streams[i].Handler = h
		}
	}
	grpcOnly{s}.RegisterService(&direct, impl)
	s.bridge.RegisterService(desc, impl)
}
