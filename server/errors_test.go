package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/audit"
	"github.com/tidegate/tidegate/controlplane/collector"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

func TestMapError(t *testing.T) {
	t.Parallel()
	fields := eval.Errors{{Field: "flag.key", Problem: "required"}, {Field: "reason", Problem: "required"}}
	bad := &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: "flag.key", Description: "required"}, {Field: "reason", Description: "required"},
	}}
	conflict := &controlv1.Conflict{Environment: "production", Key: "a", BaseRevision: 3, CurrentRevision: 7}
	frozen := &rolloutv1.Frozen{Actor: "ada", Reason: "checkout is down"}
	for _, c := range []struct {
		err    error
		code   codes.Code
		says   []string
		detail proto.Message
	}{
		{&controlplane.InvalidError{Fields: fields}, codes.InvalidArgument, []string{"flag.key", "reason", "required"}, bad},
		{&controlplane.PreconditionError{Fields: fields}, codes.FailedPrecondition, []string{"flag.key", "reason", "required"}, bad},
		{&controlplane.NotFoundError{What: `flag "a" in environment "production"`}, codes.NotFound, []string{`flag "a" in environment "production"`}, nil},
		{&controlplane.ExistsError{What: `flag "a"`}, codes.AlreadyExists, []string{`flag "a"`}, nil},
		{&controlplane.ConflictError{Conflict: conflict}, codes.Aborted, []string{"a", "3", "7"}, conflict},
		{&controlplane.FrozenError{Environment: "production", Frozen: frozen}, codes.FailedPrecondition, []string{`"production" is frozen by ada`, "down", "panic lift"}, frozen},
		{collector.ErrNotLeading, codes.Unavailable, []string{"connect again"}, nil},
		{collector.ErrNoSender, codes.InvalidArgument, []string{"batch"}, nil},
		{collector.ErrTooManySenders, codes.ResourceExhausted, []string{"too many senders"}, nil},
		{controlplane.ErrTokenExpired, codes.OutOfRange, []string{"token", "start again"}, nil},
		{audit.ErrCompacted, codes.OutOfRange, []string{"compacted", "list"}, nil},
		{controlplane.ErrFull, codes.ResourceExhausted, []string{"full", "nothing was written", "alarm"}, nil},
		{controlplane.ErrCorrupt, codes.DataLoss, []string{"decoded"}, nil},
		{controlplane.ErrUnavailable, codes.Unavailable, []string{"store"}, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)}},
	} {
		t.Run(fmt.Sprintf("%T %v", c.err, c.code), func(t *testing.T) {
			for _, err := range []error{c.err, fmt.Errorf("in the handler: %w", c.err)} {
				st, ok := status.FromError(mapError(err))
				if !ok || st.Code() != c.code {
					t.Fatalf("%v: got %v, want %v", err, st, c.code)
				}
				for _, want := range c.says {
					if !strings.Contains(st.Message(), want) {
						t.Errorf("message %q does not say %q", st.Message(), want)
					}
				}
				switch details := st.Details(); {
				case c.detail == nil && len(details) > 0:
					t.Errorf("details: got %v, want none", details)
				case c.detail != nil && (len(details) != 1 || !proto.Equal(details[0].(proto.Message), c.detail)):
					t.Errorf("details: got %v, want %v", details, c.detail)
				}
			}
		})
	}
	for _, err := range []error{context.Canceled, errors.New("unknown"), nil} {
		if got := mapError(err); got != err { //nolint:errorlint // the very same
			t.Errorf("%v became %v", err, got)
		}
	}
}
