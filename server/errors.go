package server

import (
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/audit"
	"github.com/tidegate/tidegate/controlplane/collector"
	"github.com/tidegate/tidegate/controlplane/fleet"
	"github.com/tidegate/tidegate/internal/rpc"
)

// retryAfter is what callers are told to wait while the store does not answer: about
// what a cluster takes to elect a leader.
const retryAfter = time.Second

// What tells a FAILED_PRECONDITION for lack of approval, in a google.rpc.ErrorInfo, from others:
// the same can be proposed as a change request.
const (
	errorDomain   = "tidegate"
	needsApproval = "NEEDS_APPROVAL"
)

// mapError turns the authority's errors into statuses. The message alone says what was
// wrong and what would be right; details say it for machines.
func mapError(err error) error {
	var (
		invalid      *controlplane.InvalidError
		precondition *controlplane.PreconditionError
		notFound     *controlplane.NotFoundError
		exists       *controlplane.ExistsError
		conflict     *controlplane.ConflictError
		frozen       *controlplane.FrozenError
	)
	switch {
	case errors.As(err, &invalid):
		return rpc.Status(codes.InvalidArgument, err.Error(), rpc.BadRequest(invalid.Fields))
	case errors.As(err, &precondition):
		details := []protoadapt.MessageV1{rpc.BadRequest(precondition.Fields)}
		if precondition.NeedsApproval {
			details = append(details, &errdetails.ErrorInfo{Reason: needsApproval, Domain: errorDomain})
		}
		return rpc.Status(codes.FailedPrecondition, err.Error(), details...)
	case errors.As(err, &frozen):
		return rpc.Status(codes.FailedPrecondition, err.Error(), protoadapt.MessageV1Of(frozen.Frozen))
	case errors.As(err, &notFound):
		return rpc.Status(codes.NotFound, err.Error())
	case errors.As(err, &exists):
		return rpc.Status(codes.AlreadyExists, err.Error())
	case errors.As(err, &conflict):
		return rpc.Status(codes.Aborted, err.Error(), protoadapt.MessageV1Of(conflict.Conflict))
	case errors.Is(err, fleet.ErrEpoch):
		return rpc.Status(codes.Aborted, err.Error())
	case errors.Is(err, fleet.ErrStopped), errors.Is(err, collector.ErrNotLeading):
		return rpc.Status(codes.Unavailable, err.Error())
	case errors.Is(err, collector.ErrNoSender):
		return rpc.Status(codes.InvalidArgument, err.Error())
	case errors.Is(err, collector.ErrTooManySenders):
		return rpc.Status(codes.ResourceExhausted, err.Error())
	case errors.Is(err, controlplane.ErrTokenExpired), errors.Is(err, audit.ErrCompacted):
		return rpc.Status(codes.OutOfRange, err.Error())
	case errors.Is(err, controlplane.ErrFull):
		return rpc.Status(codes.ResourceExhausted, err.Error())
	case errors.Is(err, controlplane.ErrCorrupt):
		return rpc.Status(codes.DataLoss, err.Error())
	case errors.Is(err, controlplane.ErrUnavailable):
		return rpc.Status(codes.Unavailable, err.Error(), &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	return err
}
