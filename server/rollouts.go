package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/tidegate/tidegate/controlplane"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// countTimeout bounds the wait for how many relays there are, which a change of a rollout does
// not depend on.
const countTimeout = 2 * time.Second

var errDraining = errors.New("the server drains")

type rolloutService struct {
	controlv1.UnimplementedRolloutServiceServer
	rollouts *controlplane.Rollouts
	series   *seriesReader
	drained  <-chan struct{}
}

// registerRollouts registers what changes rollouts: also environments, which are restored and
// frozen, and change requests.
func (s *Server) registerRollouts() error {
	rollouts, err := controlplane.NewRollouts(controlplane.RolloutsOptions{
		Authority: s.authority, Assessor: s.assessor(), CountRelays: s.countRelays, Announce: s.announce,
	})
	if err != nil {
		return err
	}
	s.requests, err = controlplane.NewChangeRequests(controlplane.ChangeRequestsOptions{
		Rollouts: rollouts, InstanceID: s.options.InstanceID, Identified: !s.options.Open, Announce: s.announceRequest,
	})
	if err != nil {
		return err
	}
	controlv1.RegisterChangeRequestServiceServer(s.rpc, changeRequestService{requests: s.requests})
	freezer, err := controlplane.NewFreezer(controlplane.FreezerOptions{Authority: s.authority, Announce: s.announceFreeze})
	if err != nil {
		return err
	}
	controlv1.RegisterFreezeServiceServer(s.rpc, freezeService{freezer: freezer})
	read := &seriesReader{recorder: s.series, rollouts: rollouts, replicas: s.replicas, leader: s.leaderCalls(), logger: s.logger}
	controlv1.RegisterRolloutServiceServer(s.rpc, rolloutService{rollouts: rollouts, series: read, drained: s.drained})
	if err := s.registerWatch(read); err != nil {
		return err
	}
	controlv1.RegisterEnvironmentServiceServer(s.rpc, environmentService{
		authority: s.authority, restorer: controlplane.NewRestorer(rollouts),
	})
	return nil
}

// countRelays tells how many relays follow an environment.
func (s *Server) countRelays(ctx context.Context, environment string) (uint32, error) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	list, err := s.fleet.ListRelays(ctx, &controlv1.ListRelaysRequest{Environment: environment})
	if err != nil {
		return 0, err
	}
	return uint32(len(list.GetRelays())), nil
}

func (s rolloutService) StartRollout(ctx context.Context, r *controlv1.StartRolloutRequest) (*controlv1.StartRolloutResponse, error) {
	return s.rollouts.StartRollout(ctx, callerOf(ctx), r)
}

func (s rolloutService) GetRollout(ctx context.Context, r *controlv1.GetRolloutRequest) (*controlv1.GetRolloutResponse, error) {
	return s.rollouts.GetRollout(ctx, r)
}

func (s rolloutService) ListRollouts(ctx context.Context, r *controlv1.ListRolloutsRequest) (*controlv1.ListRolloutsResponse, error) {
	return s.rollouts.ListRollouts(ctx, r, readerOf(ctx, r.GetEnvironment()))
}

// WatchRollout ends when the server drains, so that whoever watches looks elsewhere.
func (s rolloutService) WatchRollout(r *controlv1.WatchRolloutRequest, stream grpc.ServerStreamingServer[controlv1.WatchRolloutResponse]) error {
	return untilDrained(stream.Context(), s.drained, func(ctx context.Context) error {
		return s.rollouts.WatchRollout(ctx, r, stream.Send)
	})
}

// untilDrained ends a watch when the server drains.
func untilDrained(ctx context.Context, drained <-chan struct{}, watch func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-drained:
			cancel(errDraining)
		case <-ctx.Done():
		}
	}()
	err := watch(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errDraining) {
		return fmt.Errorf("%w: %w: call again", controlplane.ErrUnavailable, errDraining)
	}
	return err
}

func (s rolloutService) GetRolloutSeries(ctx context.Context, r *controlv1.GetRolloutSeriesRequest) (*controlv1.GetRolloutSeriesResponse, error) {
	return s.series.read(ctx, r)
}

func (s rolloutService) PauseRollout(ctx context.Context, r *controlv1.PauseRolloutRequest) (*controlv1.PauseRolloutResponse, error) {
	reader := readerOf(ctx, r.GetEnvironment())
	resp, err := s.rollouts.PauseRollout(ctx, callerOf(ctx), r)
	if err != nil {
		return nil, reader.Refusal(err)
	}
	resp.Rollout, resp.Entry = reader.Stopped(resp.GetRollout(), resp.GetEntry())
	return resp, nil
}

func (s rolloutService) ResumeRollout(ctx context.Context, r *controlv1.ResumeRolloutRequest) (*controlv1.ResumeRolloutResponse, error) {
	return s.rollouts.ResumeRollout(ctx, callerOf(ctx), r)
}

func (s rolloutService) PromoteRollout(ctx context.Context, r *controlv1.PromoteRolloutRequest) (*controlv1.PromoteRolloutResponse, error) {
	return s.rollouts.PromoteRollout(ctx, callerOf(ctx), r)
}

func (s rolloutService) AbortRollout(ctx context.Context, r *controlv1.AbortRolloutRequest) (*controlv1.AbortRolloutResponse, error) {
	reader := readerOf(ctx, r.GetEnvironment())
	resp, err := s.rollouts.AbortRollout(ctx, callerOf(ctx), r)
	if err != nil {
		return nil, reader.Refusal(err)
	}
	resp.Rollout, resp.Entry = reader.Stopped(resp.GetRollout(), resp.GetEntry())
	return resp, nil
}

func (s rolloutService) DeleteRollout(ctx context.Context, r *controlv1.DeleteRolloutRequest) (*controlv1.DeleteRolloutResponse, error) {
	return s.rollouts.DeleteRollout(ctx, callerOf(ctx), r)
}

func (s rolloutService) ListRolloutHistory(ctx context.Context, r *controlv1.ListRolloutHistoryRequest) (*controlv1.ListRolloutHistoryResponse, error) {
	return s.rollouts.ListRolloutHistory(ctx, r)
}

func (s rolloutService) ListDecisions(ctx context.Context, r *controlv1.ListDecisionsRequest) (*controlv1.ListDecisionsResponse, error) {
	return s.rollouts.ListDecisions(ctx, r)
}

func (s rolloutService) GetDecision(ctx context.Context, r *controlv1.GetDecisionRequest) (*controlv1.GetDecisionResponse, error) {
	return s.rollouts.GetDecision(ctx, r)
}
