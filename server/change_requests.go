package server

import (
	"context"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

type changeRequestService struct {
	controlv1.UnimplementedChangeRequestServiceServer
	requests *controlplane.ChangeRequests
}

// announceRequest has people told of what becomes of a change request.
func (s *Server) announceRequest(r *controlv1.ChangeRequest, entry *controlv1.AuditEntry) []store.Op {
	event, ok := notify.Requested(r, entry)
	if !ok {
		return nil
	}
	return s.notifier.Ops(event)
}

func (s changeRequestService) ProposeChangeRequest(ctx context.Context, r *controlv1.ProposeChangeRequestRequest) (*controlv1.ProposeChangeRequestResponse, error) {
	return s.requests.ProposeChangeRequest(ctx, callerOf(ctx), r)
}

func (s changeRequestService) GetChangeRequest(ctx context.Context, r *controlv1.GetChangeRequestRequest) (*controlv1.GetChangeRequestResponse, error) {
	return s.requests.GetChangeRequest(ctx, r, readerOf(ctx, r.GetEnvironment()))
}

func (s changeRequestService) ListChangeRequests(ctx context.Context, r *controlv1.ListChangeRequestsRequest) (*controlv1.ListChangeRequestsResponse, error) {
	return s.requests.ListChangeRequests(ctx, r)
}

func (s changeRequestService) ApproveChangeRequest(ctx context.Context, r *controlv1.ApproveChangeRequestRequest) (*controlv1.ApproveChangeRequestResponse, error) {
	return s.requests.ApproveChangeRequest(ctx, callerOf(ctx), r)
}

func (s changeRequestService) RejectChangeRequest(ctx context.Context, r *controlv1.RejectChangeRequestRequest) (*controlv1.RejectChangeRequestResponse, error) {
	return s.requests.RejectChangeRequest(ctx, callerOf(ctx), r)
}

func (s changeRequestService) WithdrawChangeRequest(ctx context.Context, r *controlv1.WithdrawChangeRequestRequest) (*controlv1.WithdrawChangeRequestResponse, error) {
	return s.requests.WithdrawChangeRequest(ctx, callerOf(ctx), r)
}

func (s changeRequestService) ApplyChangeRequest(ctx context.Context, r *controlv1.ApplyChangeRequestRequest) (*controlv1.ApplyChangeRequestResponse, error) {
	return s.requests.ApplyChangeRequest(ctx, callerOf(ctx), r)
}

func (s changeRequestService) ListChangeRequestHistory(ctx context.Context, r *controlv1.ListChangeRequestHistoryRequest) (*controlv1.ListChangeRequestHistoryResponse, error) {
	return s.requests.ListChangeRequestHistory(ctx, r)
}
