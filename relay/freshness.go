package relay

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/rpc"
)

// freshRequest is a request that may demand how fresh the snapshot must be.
type freshRequest interface {
	GetMinRevision() int64
	GetMaxAge() *durationpb.Duration
	GetStalePolicy() evaluationv1.StalePolicy
}

// demand is how fresh the snapshot must be.
type demand struct {
	minRevision int64
	maxAge      time.Duration
	answer      bool // from what there is
}

// demandOf reads and validates a request's demand.
func demandOf(r freshRequest) (demand, error) {
	d := demand{minRevision: r.GetMinRevision(), maxAge: math.MaxInt64}
	if d.minRevision < 0 {
		return d, invalid("min_revision", "%d: want a revision, or 0 for any", d.minRevision)
	}
	if m := r.GetMaxAge(); m != nil {
		if err := m.CheckValid(); err != nil || m.AsDuration() < 0 {
			return d, invalid("max_age", "want a duration of 0 or more, or none for any")
		}
		d.maxAge = m.AsDuration()
	}
	switch p := r.GetStalePolicy(); p {
	case evaluationv1.StalePolicy_STALE_POLICY_UNSPECIFIED, evaluationv1.StalePolicy_STALE_POLICY_FAIL:
	case evaluationv1.StalePolicy_STALE_POLICY_ANSWER:
		d.answer = true
	default:
		return d, invalid("stale_policy", "unknown value %d", p)
	}
	return d, nil
}

// check compares the demand with what there is: stale is to be told in the answer, err
// fails the call.
func (d demand) check(environment string, revision int64, age time.Duration) (stale bool, err error) {
	if revision >= d.minRevision && age <= d.maxAge {
		return false, nil
	}
	if d.answer {
		return true, nil
	}
	if revision < d.minRevision {
		return false, status.Errorf(codes.FailedPrecondition,
			"environment %q is at revision %d here, min_revision asks for %d", environment, revision, d.minRevision)
	}
	return false, status.Errorf(codes.FailedPrecondition,
		"environment %q was last confirmed %v ago here, max_age asks for at most %v",
		environment, age.Round(time.Millisecond), d.maxAge)
}

// invalid is INVALID_ARGUMENT, with the field at fault.
func invalid(field, format string, args ...any) error {
	problem := fmt.Sprintf(format, args...)
	return rpc.Status(codes.InvalidArgument, field+": "+problem,
		rpc.BadRequest(eval.Errors{{Field: field, Problem: problem}}))
}
