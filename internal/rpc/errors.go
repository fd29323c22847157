package rpc

import (
	"context"
	"errors"

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

// Status makes an error of a code, a message and details. Details that cannot be
// encoded are left out.
func Status(c codes.Code, message string, details ...protoadapt.MessageV1) error {
	s := status.New(c, message)
	if with, err := s.WithDetails(details...); err == nil {
		s = with
	}
	return s.Err()
}

// BadRequest is the detail that names the fields at fault.
func BadRequest(fields eval.Errors) *errdetails.BadRequest {
	b := &errdetails.BadRequest{}
	for _, f := range fields {
		b.FieldViolations = append(b.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: f.Field, Description: f.Problem})
	}
	return b
}

// invalid turns a validator's error into INVALID_ARGUMENT.
func invalid(err error) error {
	if err == nil {
		return nil
	}
	var fields eval.Errors
	if errors.As(err, &fields) {
		return Status(codes.InvalidArgument, fields.Error(), BadRequest(fields))
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.InvalidArgument, err.Error())
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
