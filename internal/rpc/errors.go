package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
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
