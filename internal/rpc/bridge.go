package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// bridge serves what is registered for gRPC over HTTP: the same implementations, behind
// the same interceptors.
type bridge struct {
	server *connect.Server
	unary  grpc.UnaryServerInterceptor
	stream grpc.StreamServerInterceptor
}

func newBridge(unary grpc.UnaryServerInterceptor, stream grpc.StreamServerInterceptor) *bridge {
	return &bridge{server: connect.NewServer(), unary: unary, stream: stream}
}

// RegisterService implements grpc.ServiceRegistrar.
func (b *bridge) RegisterService(desc *grpc.ServiceDesc, impl any) {
	for _, m := range desc.Methods {
		spec := specOf(desc.ServiceName, m.MethodName, connect.StreamTypeUnary)
		b.server.Register(connect.Method{Spec: spec, Handler: b.serveUnary(m, impl)})
	}
	for _, m := range desc.Streams {
		kind := connect.StreamTypeUnary
		if m.ClientStreams {
			kind |= connect.StreamTypeClient
		}
		if m.ServerStreams {
			kind |= connect.StreamTypeServer
		}
		spec := specOf(desc.ServiceName, m.StreamName, kind)
		b.server.Register(connect.Method{Spec: spec, Handler: b.serveStream(m, impl)})
	}
}

func specOf(service, method string, kind connect.StreamType) connect.Spec {
	spec := connect.Spec{Procedure: "/" + service + "/" + method, StreamType: kind}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service + "." + method))
	if err != nil {
		return spec
	}
	spec.Schema = d
	if o, ok := d.Options().(*descriptorpb.MethodOptions); ok {
		spec.IdempotencyLevel = connect.IdempotencyLevel(o.GetIdempotencyLevel())
	}
	return spec
}

func (b *bridge) serveUnary(m grpc.MethodDesc, impl any) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		s := bridged(ctx, spec, stream)
		resp, err := m.Handler(impl, s.ctx, s.RecvMsg, b.unary) //nolint:contextcheck // s.ctx is made of ctx
		if err == nil {
			err = stream.Send(resp)
		}
		return toConnect(err)
	}
}

func (b *bridge) serveStream(m grpc.StreamDesc, impl any) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		info := &grpc.StreamServerInfo{
			FullMethod: spec.Procedure, IsClientStream: m.ClientStreams, IsServerStream: m.ServerStreams,
		}
		return toConnect(b.stream(impl, bridged(ctx, spec, stream), info, m.Handler))
	}
}

// handler serves the procedures. The body of a unary request must arrive in time: no
// interceptor runs before it is read.
func (b *bridge) handler(maxMessage int, timeout time.Duration) http.Handler {
	mux := http.NewServeMux()
	connecthttp.Mount(mux, b.server,
		connecthttp.WithReadMaxBytes(maxMessage),
		connecthttp.WithCodecs(connectproto.NewBinaryCodec(), newJSONCodec()),
	)
	unary := map[string]bool{}
	for spec := range b.server.Specs() {
		unary[spec.Procedure] = spec.StreamType == connect.StreamTypeUnary
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if unary[r.URL.Path] {
			// A writer that cannot set a deadline is one of a test or of a middleware.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout))
		}
		if r.TLS != nil {
			r = r.WithContext(context.WithValue(r.Context(), tlsKey{}, r.TLS))
		}
		mux.ServeHTTP(w, r)
	})
}

// tlsKey finds the state of a request's connection in its context.
type tlsKey struct{}

// bridgedStream is a grpc.ServerStream, and a grpc.ServerTransportStream for unary
// handlers, over connect's.
type bridgedStream struct {
	ctx    context.Context // what a grpc.ServerStream is
	info   *connect.CallInfo
	method string
	stream connect.ServerStream
}

func bridged(ctx context.Context, spec connect.Spec, stream connect.ServerStream) *bridgedStream {
	s := &bridgedStream{method: spec.Procedure, stream: stream}
	s.info, _ = connect.CallInfoForServerContext(ctx)
	ctx = metadata.NewIncomingContext(ctx, fromHeader(s.info.RequestHeader()))
	p := &peer.Peer{Addr: address(s.info.PeerAddr)}
	if state, secured := ctx.Value(tlsKey{}).(*tls.ConnectionState); secured {
		p.AuthInfo = credentials.TLSInfo{State: *state}
	}
	ctx = peer.NewContext(ctx, p)
	s.ctx = grpc.NewContextWithServerTransportStream(ctx, transportStream{s})
	return s
}

func (s *bridgedStream) Context() context.Context { return s.ctx }

func (s *bridgedStream) SetHeader(md metadata.MD) error {
	toHeader(s.info.ResponseHeader(), md)
	return nil
}

func (s *bridgedStream) SendHeader(md metadata.MD) error {
	toHeader(s.info.ResponseHeader(), md)
	return s.stream.SendHeaders()
}

func (s *bridgedStream) SetTrailer(md metadata.MD) { toHeader(s.info.ResponseTrailer(), md) }

func (s *bridgedStream) SendMsg(m any) error { return fromConnect(s.stream.Send(m)) }

func (s *bridgedStream) RecvMsg(m any) error { return fromConnect(s.stream.Receive(m)) }

// transportStream is what grpc.SetHeader and its like look for in a unary call's context.
type transportStream struct{ s *bridgedStream }

func (t transportStream) Method() string                  { return t.s.method }
func (t transportStream) SetHeader(md metadata.MD) error  { return t.s.SetHeader(md) }
func (t transportStream) SendHeader(md metadata.MD) error { return t.s.SendHeader(md) }
func (t transportStream) SetTrailer(md metadata.MD) error { t.s.SetTrailer(md); return nil }

// address is a peer's address as the HTTP server names it.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

const binarySuffix = "-bin"

func fromHeader(h *connect.Header) metadata.MD {
	md := make(metadata.MD, h.Len())
	for k, values := range h.All() {
		k = strings.ToLower(k)
		for _, v := range values {
			if strings.HasSuffix(k, binarySuffix) {
				raw, err := connect.DecodeBinaryHeader(v)
				if err != nil {
					continue
				}
				v = string(raw)
			}
			md[k] = append(md[k], v)
		}
	}
	return md
}

func toHeader(h *connect.Header, md metadata.MD) {
	for k, values := range md {
		for _, v := range values {
			if strings.HasSuffix(k, binarySuffix) {
				v = connect.EncodeBinaryHeader([]byte(v))
			}
			h.Add(k, v)
		}
	}
}

// fromConnect turns what connect's streams fail with into what handlers expect of
// grpc-go's: a bare io.EOF, or a status.
func fromConnect(err error) error {
	var ce *connect.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &ce):
		return status.Error(codes.Code(ce.Code()), ce.Message())
	}
	return status.FromContextError(err).Err()
}

// toConnect is the way back, with the details.
func toConnect(err error) error {
	if err == nil {
		return nil
	}
	st := status.Convert(err)
	out := connect.NewError(connect.Code(st.Code()), st.Message())
	for _, any := range st.Proto().GetDetails() {
		if d, derr := connectproto.NewErrorDetail(any); derr == nil {
			out = out.WithDetail(d)
		}
	}
	return out
}
