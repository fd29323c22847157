package server

import (
	"context"

	"github.com/tidegate/tidegate/controlplane"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

type freezeService struct {
	controlv1.UnimplementedFreezeServiceServer
	freezer *controlplane.Freezer
}

func (s freezeService) Freeze(ctx context.Context, r *controlv1.FreezeRequest) (*controlv1.FreezeResponse, error) {
	return s.freezer.Freeze(ctx, callerOf(ctx), r)
}

func (s freezeService) Lift(ctx context.Context, r *controlv1.LiftRequest) (*controlv1.LiftResponse, error) {
	return s.freezer.Lift(ctx, callerOf(ctx), r)
}

func (s freezeService) GetFreeze(ctx context.Context, r *controlv1.GetFreezeRequest) (*controlv1.GetFreezeResponse, error) {
	return s.freezer.GetFreeze(ctx, r)
}
