package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/decider"
	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/series"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// makeDecider makes who decides while this server leads, and who tells people.
func (s *Server) makeDecider() (err error) {
	s.notifier, err = notify.New(notify.Options{Store: s.store, Targets: s.options.Notify, Logger: s.logger, Registerer: s.options.Registry})
	if err != nil {
		return err
	}
	s.series, err = series.NewRecorder(series.Options{Store: s.store, StateKey: controlplane.RolloutKey, Logger: s.logger})
	if err != nil {
		return err
	}
	s.decider, err = decider.New(decider.Options{
		Authority: s.authority, InstanceID: s.options.InstanceID, Relays: s.fleet.Standings, Notifier: s.notifier,
		Record: s.series.Observe,
		Logger: s.logger, Registerer: s.options.Registry,
	})
	return err
}

// announce has people told of what somebody does to a rollout.
func (s *Server) announce(c controlplane.RolloutChange) []store.Op {
	event, ok := notify.Changed(c.Environment, c.Before, c.After, c.Entry)
	if !ok {
		return nil
	}
	return s.notifier.Ops(event)
}

// announceFreeze has people told of what somebody freezes, or lifts.
func (s *Server) announceFreeze(c controlplane.FreezeChange) []store.Op {
	event := notify.Event{Kind: notify.Frozen, Time: c.Time, Actor: c.Caller.Actor, Reason: c.Reason}
	event.Headline = "Until it is lifted, nothing is changed there but what makes it safer; rollouts are not widened, and shut where that is needed."
	if c.Lifted {
		event.Kind, event.Headline = notify.Lifted, ""
	} else if until := c.Freezes[0].GetUntil(); until != nil { // that of all of them, which are of one request
		event.Headline = strings.Replace(event.Headline, "Until it is lifted", "Until "+until.AsTime().Format(time.DateTime)+" UTC", 1)
	}
	for _, f := range c.Freezes {
		if f.GetEnvironment() == "" {
			event.Environments = nil
			break
		}
		event.Environments = append(event.Environments, f.GetEnvironment())
	}
	return s.notifier.Ops(event)
}

// lead does all that only a leader does, until the term is over or one part of it cannot go on.
func (s *Server) lead(ctx context.Context, term leader.Term) error {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return s.telemetry.collector.Lead(ctx, term) })
	all.Go(func() error { return s.decider.Lead(ctx) })
	all.Go(func() error { return s.usage.Lead(ctx, term) })
	all.Go(func() error { return s.series.Lead(ctx, term) })
	all.Go(func() error { return s.trails.Lead(ctx, term) })
	all.Go(func() error { return s.requests.Lead(ctx, term.Fence()) })
	all.Go(func() error {
		err := s.notifier.Run(ctx, term.Fence())
		if errors.Is(err, notify.ErrFenced) {
			return fmt.Errorf("%w: %w", leader.ErrDeposed, err)
		}
		return err
	})
	return all.Wait()
}

// assessor tells how the evidence stands: the leader by itself, the others ask it.
type assessor struct {
	*decider.Decider
	leader leaderCalls
}

func (s *Server) assessor() assessor { return assessor{Decider: s.decider, leader: s.leaderCalls()} }

func (s *Server) leaderCalls() leaderCalls {
	return leaderCalls{elector: s.elector, instanceID: s.options.InstanceID, peers: s.telemetry.peers, asServer: s.asServer}
}

// Assess implements controlplane.Assessor.
func (a assessor) Assess(ctx context.Context, environment, rollout string) (*rolloutv1.Assessment, error) {
	assessment, err := a.Decider.Assess(ctx, environment, rollout)
	if !errors.Is(err, decider.ErrNotLeading) {
		return assessment, err
	}
	got, asked, failure := askLeader(ctx, a.leader, func(ctx context.Context, conn grpc.ClientConnInterface) (*controlv1.GetRolloutResponse, error) {
		return controlv1.NewRolloutServiceClient(conn).GetRollout(ctx, &controlv1.GetRolloutRequest{Environment: environment, Key: rollout})
	})
	if !asked {
		return nil, err
	}
	return got.GetAssessment(), failure
}
