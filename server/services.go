package server

import (
	"context"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/lastuse"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/rpc"
)

// callerOf is whom the audit trail names.
func callerOf(ctx context.Context) controlplane.Caller {
	named := rpc.CallerFrom(ctx)
	found, _ := callerIn(ctx)
	return controlplane.Caller{Actor: named.Actor, Peer: named.Peer, Identity: found.GetId()}
}

type flagService struct {
	controlv1.UnimplementedFlagServiceServer
	authority *controlplane.Authority
	previewer previewer
}

func (s flagService) ListFlags(ctx context.Context, r *controlv1.ListFlagsRequest) (*controlv1.ListFlagsResponse, error) {
	return s.authority.ListFlags(ctx, r)
}

func (s flagService) GetFlag(ctx context.Context, r *controlv1.GetFlagRequest) (*controlv1.GetFlagResponse, error) {
	return s.authority.GetFlag(ctx, r)
}

func (s flagService) CreateFlag(ctx context.Context, r *controlv1.CreateFlagRequest) (*controlv1.CreateFlagResponse, error) {
	return s.authority.CreateFlag(ctx, callerOf(ctx), r)
}

func (s flagService) UpdateFlag(ctx context.Context, r *controlv1.UpdateFlagRequest) (*controlv1.UpdateFlagResponse, error) {
	return s.authority.UpdateFlag(ctx, callerOf(ctx), r)
}

func (s flagService) DeleteFlag(ctx context.Context, r *controlv1.DeleteFlagRequest) (*controlv1.DeleteFlagResponse, error) {
	return s.authority.DeleteFlag(ctx, callerOf(ctx), r)
}

func (s flagService) SetEnabled(ctx context.Context, r *controlv1.SetEnabledRequest) (*controlv1.SetEnabledResponse, error) {
	return s.authority.SetEnabled(ctx, callerOf(ctx), r)
}

func (s flagService) PromoteFlag(ctx context.Context, r *controlv1.PromoteFlagRequest) (*controlv1.PromoteFlagResponse, error) {
	resp, err := s.authority.PromoteFlag(ctx, callerOf(ctx), r)
	if err != nil {
		return nil, refusalOf(ctx, err)
	}
	return resp, nil
}

func (s flagService) ListFlagHistory(ctx context.Context, r *controlv1.ListFlagHistoryRequest) (*controlv1.ListFlagHistoryResponse, error) {
	resp, err := s.authority.ListFlagHistory(ctx, r)
	if err != nil {
		return nil, err
	}
	reader := readerOf(ctx, r.GetEnvironment())
	for i, e := range resp.GetEntries() {
		resp.Entries[i] = reader.Entry(e, "") // of a flag that they may read
	}
	return resp, nil
}

func (s flagService) RestoreFlag(ctx context.Context, r *controlv1.RestoreFlagRequest) (*controlv1.RestoreFlagResponse, error) {
	return s.authority.RestoreFlag(ctx, callerOf(ctx), r)
}

func (s flagService) ListStaleFlags(ctx context.Context, r *controlv1.ListStaleFlagsRequest) (*controlv1.ListStaleFlagsResponse, error) {
	return s.authority.ListStaleFlags(ctx, r)
}

func (s flagService) ExplainEvaluation(ctx context.Context, r *controlv1.ExplainEvaluationRequest) (*controlv1.ExplainEvaluationResponse, error) {
	return s.authority.ExplainEvaluation(ctx, r, readerOf(ctx, r.GetEnvironment()))
}

func (s flagService) Apply(ctx context.Context, r *controlv1.ApplyRequest) (*controlv1.ApplyResponse, error) {
	return s.authority.Apply(ctx, callerOf(ctx), r)
}

func (s flagService) PreviewChange(ctx context.Context, r *controlv1.PreviewChangeRequest) (*controlv1.PreviewChangeResponse, error) {
	return s.previewer.change(ctx, r, readerOf(ctx, r.GetEnvironment()))
}

type segmentService struct {
	controlv1.UnimplementedSegmentServiceServer
	authority *controlplane.Authority
}

func (s segmentService) ListSegments(ctx context.Context, r *controlv1.ListSegmentsRequest) (*controlv1.ListSegmentsResponse, error) {
	return s.authority.ListSegments(ctx, r)
}

func (s segmentService) GetSegment(ctx context.Context, r *controlv1.GetSegmentRequest) (*controlv1.GetSegmentResponse, error) {
	return s.authority.GetSegment(ctx, r)
}

func (s segmentService) CreateSegment(ctx context.Context, r *controlv1.CreateSegmentRequest) (*controlv1.CreateSegmentResponse, error) {
	return s.authority.CreateSegment(ctx, callerOf(ctx), r)
}

func (s segmentService) UpdateSegment(ctx context.Context, r *controlv1.UpdateSegmentRequest) (*controlv1.UpdateSegmentResponse, error) {
	return s.authority.UpdateSegment(ctx, callerOf(ctx), r)
}

func (s segmentService) DeleteSegment(ctx context.Context, r *controlv1.DeleteSegmentRequest) (*controlv1.DeleteSegmentResponse, error) {
	return s.authority.DeleteSegment(ctx, callerOf(ctx), r)
}

func (s segmentService) ListSegmentHistory(ctx context.Context, r *controlv1.ListSegmentHistoryRequest) (*controlv1.ListSegmentHistoryResponse, error) {
	return s.authority.ListSegmentHistory(ctx, r)
}

func (s segmentService) RestoreSegment(ctx context.Context, r *controlv1.RestoreSegmentRequest) (*controlv1.RestoreSegmentResponse, error) {
	return s.authority.RestoreSegment(ctx, callerOf(ctx), r)
}

type keyService struct {
	controlv1.UnimplementedKeyServiceServer
	authority *controlplane.Authority
	uses      *lastuse.Recorder
}

func (s keyService) ListKeys(ctx context.Context, r *controlv1.ListKeysRequest) (*controlv1.ListKeysResponse, error) {
	resp, err := s.authority.ListKeys(ctx, r)
	if err != nil {
		return nil, err
	}
	return resp, tellUses(ctx, s.uses, resp.GetKeys(), keyUsed)
}

func (s keyService) GetKey(ctx context.Context, r *controlv1.GetKeyRequest) (*controlv1.GetKeyResponse, error) {
	resp, err := s.authority.GetKey(ctx, r)
	if err != nil {
		return nil, err
	}
	return resp, tellUses(ctx, s.uses, []*controlv1.KeyVersion{resp.GetKey()}, keyUsed)
}

func (s keyService) CreateKey(ctx context.Context, r *controlv1.CreateKeyRequest) (*controlv1.CreateKeyResponse, error) {
	return s.authority.CreateKey(ctx, callerOf(ctx), r)
}

func (s keyService) UpdateKey(ctx context.Context, r *controlv1.UpdateKeyRequest) (*controlv1.UpdateKeyResponse, error) {
	return s.authority.UpdateKey(ctx, callerOf(ctx), r)
}

func (s keyService) RotateKey(ctx context.Context, r *controlv1.RotateKeyRequest) (*controlv1.RotateKeyResponse, error) {
	return s.authority.RotateKey(ctx, callerOf(ctx), r)
}

func (s keyService) RevokeKey(ctx context.Context, r *controlv1.RevokeKeyRequest) (*controlv1.RevokeKeyResponse, error) {
	return s.authority.RevokeKey(ctx, callerOf(ctx), r)
}

func (s keyService) ListKeyHistory(ctx context.Context, r *controlv1.ListKeyHistoryRequest) (*controlv1.ListKeyHistoryResponse, error) {
	return s.authority.ListKeyHistory(ctx, r)
}

type epochService struct {
	controlv1.UnimplementedEpochServiceServer
	authority *controlplane.Authority
	hub       *hub.Hub
}

// maxRefused are named in an answer.
const maxRefused = 16

func (s epochService) GetEpoch(ctx context.Context, r *controlv1.GetEpochRequest) (*controlv1.GetEpochResponse, error) {
	resp, err := s.authority.GetEpoch(ctx, r)
	if err == nil {
		resp.BehindFollowerRevision, _ = s.hub.StoreBehind()
		strangers := s.hub.Strangers()
		resp.RefusedCount = uint32(len(strangers))
		for _, f := range strangers[:min(len(strangers), maxRefused)] {
			resp.RefusedFollowers = append(resp.RefusedFollowers, &controlv1.RefusedFollower{
				InstanceId: f.InstanceID, Environment: f.Environment, Epoch: f.Epoch.Proto(),
			})
		}
	}
	return resp, err
}

func (s epochService) BeginEpoch(ctx context.Context, r *controlv1.BeginEpochRequest) (*controlv1.BeginEpochResponse, error) {
	return s.authority.BeginEpoch(ctx, callerOf(ctx), r)
}

type environmentService struct {
	controlv1.UnimplementedEnvironmentServiceServer
	authority *controlplane.Authority
	restorer  *controlplane.Restorer
}

func (s environmentService) GetEnvironment(ctx context.Context, r *controlv1.GetEnvironmentRequest) (*controlv1.GetEnvironmentResponse, error) {
	return s.authority.GetEnvironment(ctx, r)
}

func (s environmentService) UpdateEnvironment(ctx context.Context, r *controlv1.UpdateEnvironmentRequest) (*controlv1.UpdateEnvironmentResponse, error) {
	return s.authority.UpdateEnvironment(ctx, callerOf(ctx), r)
}

func (s environmentService) ListEnvironmentHistory(ctx context.Context, r *controlv1.ListEnvironmentHistoryRequest) (*controlv1.ListEnvironmentHistoryResponse, error) {
	return s.authority.ListEnvironmentHistory(ctx, r)
}

func (s environmentService) ListEnvironments(ctx context.Context, r *controlv1.ListEnvironmentsRequest) (*controlv1.ListEnvironmentsResponse, error) {
	return s.authority.ListEnvironments(ctx, r)
}

func (s environmentService) CreateEnvironment(ctx context.Context, r *controlv1.CreateEnvironmentRequest) (*controlv1.CreateEnvironmentResponse, error) {
	return s.authority.CreateEnvironment(ctx, callerOf(ctx), r)
}

func (s environmentService) CompareEnvironments(ctx context.Context, r *controlv1.CompareEnvironmentsRequest) (*controlv1.CompareEnvironmentsResponse, error) {
	return s.authority.CompareEnvironments(ctx, r)
}

func (s environmentService) PromoteEnvironment(ctx context.Context, r *controlv1.PromoteEnvironmentRequest) (*controlv1.PromoteEnvironmentResponse, error) {
	resp, err := s.authority.PromoteEnvironment(ctx, callerOf(ctx), r)
	if err != nil {
		return nil, refusalOf(ctx, err)
	}
	return resp, nil
}

func (s environmentService) RestoreEnvironment(ctx context.Context, r *controlv1.RestoreEnvironmentRequest) (*controlv1.RestoreEnvironmentResponse, error) {
	return s.restorer.RestoreEnvironment(ctx, callerOf(ctx), r)
}
