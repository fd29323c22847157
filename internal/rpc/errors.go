package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/tidegate/tidegate/eval"
)

var (
	errInternal = status.Error(codes.Internal, "internal error; the server's log says more")
	// errDraining is what ends a stream when the server does.
	errDraining = status.Error(codes.Unavailable, "the server is shutting down; connect again")
)

// An error travels in trailers, of which gRPC's other implementations take 8 KiB unless
// told otherwise: one that is larger reaches the caller as an error of the transport.
const (
	maxMessage    = 1 << 10
	maxViolations = 3 << 10
)

// Status makes an error of a code, a message, cut to 1 KiB, and details. Details that
// cannot be encoded are left out.
func Status(c codes.Code, message string, details ...protoadapt.MessageV1) error {
	s := status.New(c, cut(message))
	if with, err := s.WithDetails(details...); err == nil {
		s = with
	}
	return s.Err()
}

// Answer makes a status that is the answer to what was asked, in a protocol that has no
// other form for it: it is no failure of the call, and logged as little as success is.
func Answer(c codes.Code, message string) error { return answer{status.New(c, cut(message))} }

type answer struct{ status *status.Status }

func (a answer) Error() string              { return a.status.Err().Error() }
func (a answer) GRPCStatus() *status.Status { return a.status }

func cut(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage], "") + "..."
}

// BadRequest is the detail that names the fields at fault: as many as there is room for,
// and how many more there are.
func BadRequest(fields eval.Errors) *errdetails.BadRequest {
	b := &errdetails.BadRequest{}
	size := 0
	for i, f := range fields {
		v := &errdetails.BadRequest_FieldViolation{Field: cut(f.Field), Description: cut(f.Problem)}
		if size += len(v.Field) + len(v.Description); size > maxViolations {
			b.FieldViolations = append(b.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Description: fmt.Sprintf("and %d more", len(fields)-i),
			})
			break
		}
		b.FieldViolations = append(b.FieldViolations, v)
	}
	return b
}

func (s *Server) mapUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	if err != nil {
		return nil, s.mapError(info.FullMethod, err)
	}
	return resp, nil
}

// mapStream also ends the stream's context when the server's time for streams is over.
func (s *Server) mapStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, cancel := context.WithCancelCause(ss.Context())
	defer cancel(nil)
	stop := context.AfterFunc(s.streams, func() { cancel(context.Cause(s.streams)) })
	defer stop()
	err := handler(srv, &contextStream{ServerStream: ss, ctx: ctx})
	if err != nil && errors.Is(context.Cause(ctx), errDraining) {
		return errDraining
	}
	if err != nil {
		return s.mapError(info.FullMethod, err)
	}
	return nil
}

func (s *Server) mapError(method string, err error) error {
	if s.options.MapError != nil {
		err = s.options.MapError(err)
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return status.Error(codes.Canceled, "the caller went away")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return status.Error(codes.DeadlineExceeded, "no answer within the call's deadline")
	}
	s.options.Logger.Error().Str("method", method).Err(err).Msg("unexpected error")
	return errInternal
}

// contextStream is a stream with another context.
type contextStream struct {
	grpc.ServerStream
	ctx context.Context // what a grpc.ServerStream is
}

func (s *contextStream) Context() context.Context { return s.ctx }
