package server

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/live"
	"github.com/tidegate/tidegate/controlplane/series"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
)

type watchService struct {
	controlv1.UnimplementedWatchServiceServer
	live    *live.Live
	drained <-chan struct{}
}

// registerWatch registers what shows environments.
func (s *Server) registerWatch(read *seriesReader) error {
	l, err := live.New(live.Options{
		Authority: s.authority, Store: s.store, Replicas: s.replicas, Trails: s.trails,
		Assess: s.assessor().Assess, Series: read.read, ListRelays: s.fleet.ListRelays,
		InstanceID: s.options.InstanceID, Logger: s.logger,
	})
	if err != nil {
		return err
	}
	controlv1.RegisterWatchServiceServer(s.rpc, watchService{live: l, drained: s.drained})
	return nil
}

// Watch ends when the server drains, so that whoever watches looks elsewhere.
func (s watchService) Watch(r *controlv1.WatchRequest, stream grpc.ServerStreamingServer[controlv1.WatchResponse]) error {
	return untilDrained(stream.Context(), s.drained, func(ctx context.Context) error {
		return s.live.Watch(ctx, r, readerOf(ctx, r.GetEnvironment()), stream.Send)
	})
}

// readerOf is what whoever calls may know of an environment, by what they were granted when they
// called.
func readerOf(ctx context.Context, environment string) controlplane.Reader {
	c, asked := callerIn(ctx)
	if !asked {
		return controlplane.Reader{}
	}
	allows := func(p identity.Permission) func(string) bool {
		return func(key string) bool { return c.allows(demand{p, identity.Scope{Environment: environment, Key: key}}) }
	}
	return controlplane.Reader{Reads: allows(identity.Read), Writes: allows(identity.Write)}
}

// refusalOf is what whoever calls may know of a refusal, which can be a conflict in another environment
// than they write in.
func refusalOf(ctx context.Context, err error) error {
	var conflict *controlplane.ConflictError
	if !errors.As(err, &conflict) {
		return err
	}
	return readerOf(ctx, conflict.Conflict.GetEnvironment()).Refusal(err)
}

// seriesReader reads the series of rollouts: the leader has the newest points, which nobody else
// does.
type seriesReader struct {
	recorder *series.Recorder
	rollouts *controlplane.Rollouts
	replicas *replica.Set
	leader   leaderCalls
	logger   zerolog.Logger
}

func (s *seriesReader) read(ctx context.Context, r *controlv1.GetRolloutSeriesRequest) (*controlv1.GetRolloutSeriesResponse, error) {
	if t := r.GetAfter(); t != nil && !t.IsValid() {
		return nil, &controlplane.InvalidError{Fields: eval.Errors{{Field: "after", Problem: "is not a time between the years 1 and 9999"}}}
	}
	if !s.exists(r) { // or it was made a moment ago, or what is asked for makes no sense
		if _, err := s.rollouts.GetRollout(ctx, &controlv1.GetRolloutRequest{Environment: r.GetEnvironment(), Key: r.GetKey()}); err != nil {
			return nil, err
		}
	}
	if !s.recorder.Leading() {
		answer, asked, err := askLeader(ctx, s.leader, func(ctx context.Context, conn grpc.ClientConnInterface) (*controlv1.GetRolloutSeriesResponse, error) {
			return controlv1.NewRolloutServiceClient(conn).GetRolloutSeries(ctx, r)
		})
		if asked && err == nil {
			return answer, nil
		}
		s.logger.Debug().Err(err).Str("environment", r.GetEnvironment()).Str("rollout", r.GetKey()).Msg("a series is told without its newest points")
	}
	var after time.Time
	if r.GetAfter() != nil {
		after = r.GetAfter().AsTime()
	}
	found, err := s.recorder.Read(ctx, r.GetEnvironment(), r.GetKey(), after)
	if err != nil {
		return nil, controlplane.Unavailable(err)
	}
	if found.Corrupt != nil {
		s.logger.Error().Err(found.Corrupt).Msg("a series is told without a part of it")
	}
	return found.Proto(), nil
}

func (s *seriesReader) exists(r *controlv1.GetRolloutSeriesRequest) bool {
	held := s.replicas.Replica(r.GetEnvironment())
	if held == nil || held.Snapshot() == nil {
		return false
	}
	_, ok := held.Snapshot().Item(syncv1.Kind_KIND_ROLLOUT, r.GetKey())
	return ok
}
