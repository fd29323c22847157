package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"

	"github.com/tidegate/tidegate/bench/testbed"
)

// The two flags.
const (
	checkout = "new-checkout"
	search   = "new-search"
)

func rolloutKey(flag string) string { return flag + "-1" }

// scene is everything that runs.
type scene struct {
	dir    string
	server *testbed.Server
	relays []*testbed.Relay
	shops  []*shop
	harm   *harm
}

// open starts all processes, makes the flags, and opens the shops.
func open(ctx context.Context, dir string) (_ *scene, err error) {
	s := &scene{dir: dir, harm: newHarm()}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.server, err = testbed.StartServer(ctx, dir, filepath.Join(dir, "server")); err != nil {
		return nil, err
	}
	for _, key := range []string{checkout, search} {
		if _, err := s.server.Control.CreateFlag(ctx, &controlv1.CreateFlagRequest{
			Environment: testbed.Environment, Flag: testbed.Switch(key, "shop"), Reason: "demonstration",
		}); err != nil {
			return nil, fmt.Errorf("creating the flag %s: %w", key, err)
		}
	}
	for _, region := range []string{"eu", "us"} {
		r, err := testbed.StartRelay(ctx, dir, dir, region, s.server.Addr)
		if err != nil {
			return nil, err
		}
		s.relays = append(s.relays, r)
		shop, err := openShop(ctx, r.Addr, s.harm)
		if err != nil {
			return nil, err
		}
		s.shops = append(s.shops, shop)
	}
	return s, nil
}

func (s *scene) close() {
	for _, shop := range s.shops {
		shop.close()
	}
	for _, r := range s.relays {
		r.Stop()
	}
	if s.server != nil {
		s.server.Stop()
	}
}

// rolloutOf is a canary in a hurry.
func rolloutOf(flag string) *rolloutv1.Rollout {
	guardrails, err := testbed.Guardrails(errorMetric(flag) + ": rate < +50% relative")
	if err != nil {
		panic(err) // it is ours
	}
	r := &rolloutv1.Rollout{
		Key: rolloutKey(flag), FlagKey: flag, Treatment: "on", Owner: "shop",
		Strategy: rolloutv1.Strategy_STRATEGY_CANARY, Bake: durationpb.New(5 * time.Second),
		Guardrails: guardrails,
	}
	for _, weight := range []uint32{100, 500, 2000, 5000, 10_000} {
		r.Stages = append(r.Stages, &rolloutv1.Stage{Weight: weight, MinDwell: durationpb.New(4 * time.Second)})
	}
	return r
}

func errorMetric(flag string) string { return flag + "-errors" }

// follow tells the timeline what becomes of a rollout, until it is over.
func (s *scene) follow(ctx context.Context, flag string, t *timeline) (rolloutv1.State, error) {
	last, err := s.server.Follow(ctx, rolloutKey(flag), func(m *controlv1.WatchRolloutResponse) { t.show(flag, m) })
	return last.GetRollout().GetStatus().GetState(), err
}
