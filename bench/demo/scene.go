package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"

	"github.com/tidegate/tidegate/bench/testbed"
	"github.com/tidegate/tidegate/internal/rollout"
)

// The two flags.
const (
	checkout = "new-checkout"
	search   = "new-search"
)

func rolloutKey(flag string) string { return flag + "-1" }

// scene is everything that runs.
type scene struct {
	dir      string
	server   *testbed.Server
	relays   []*relay
	shops    []*shop
	harm     *harm
	conn     *grpc.ClientConn
	rollouts controlv1.RolloutServiceClient
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
	if s.conn, err = grpc.NewClient(s.server.Addr, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return nil, err
	}
	s.rollouts = controlv1.NewRolloutServiceClient(s.conn)
	for _, key := range []string{checkout, search} {
		if _, err := s.server.Control.CreateFlag(ctx, &controlv1.CreateFlagRequest{
			Environment: testbed.Environment, Flag: switchOf(key), Reason: "demonstration",
		}); err != nil {
			return nil, fmt.Errorf("creating the flag %s: %w", key, err)
		}
	}
	for _, region := range []string{"eu", "us"} {
		r, err := startRelay(dir, region, s.server.Addr)
		if err != nil {
			return nil, err
		}
		s.relays = append(s.relays, r)
		shop, err := openShop(ctx, r.addr, s.harm)
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
		r.stop()
	}
	if s.conn != nil {
		_ = s.conn.Close()
	}
	if s.server != nil {
		s.server.Stop()
	}
}

// switchOf is a flag that is off for everybody.
func switchOf(key string) *flagv1.Flag {
	return &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, OffVariant: "off", Owner: "shop",
		Variants: []*flagv1.Variant{
			{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)},
		},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "off"}},
	}
}

// rolloutOf is a canary in a hurry.
func rolloutOf(flag string) *rolloutv1.Rollout {
	guardrail, err := rollout.ParseGuardrail(errorMetric(flag) + ": rate < +50% relative")
	if err != nil {
		panic(err) // it is ours
	}
	r := &rolloutv1.Rollout{
		Key: rolloutKey(flag), FlagKey: flag, Treatment: "on", Owner: "shop",
		Strategy: rolloutv1.Strategy_STRATEGY_CANARY, Bake: durationpb.New(5 * time.Second),
		Guardrails: []*rolloutv1.Guardrail{guardrail},
	}
	for _, weight := range []uint32{100, 500, 2000, 5000, 10_000} {
		r.Stages = append(r.Stages, &rolloutv1.Stage{Weight: weight, MinDwell: durationpb.New(4 * time.Second)})
	}
	return r
}

func errorMetric(flag string) string { return flag + "-errors" }

// relay is one process.
type relay struct {
	addr string
	cmd  *exec.Cmd
}

func startRelay(dir, region, upstream string) (*relay, error) {
	var addrs []string
	for range 4 {
		a, err := testbed.FreeAddr()
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, a)
	}
	r := &relay{addr: addrs[0]}
	r.cmd = exec.Command(filepath.Join(dir, "tidegate-relay"), "--upstream", upstream, //nolint:gosec,noctx // ours; ended by stop
		"--environments", testbed.Environment, "--region", region, "--state-dir", filepath.Join(dir, region),
		"--grpc-addr", addrs[0], "--flagd-sync-addr", addrs[1], "--http-addr", addrs[2], "--management-addr", addrs[3], "--log-level", "error")
	r.cmd.Stderr = os.Stderr
	return r, r.cmd.Start()
}

func (r *relay) stop() {
	_ = r.cmd.Process.Signal(os.Interrupt)
	_ = r.cmd.Wait()
}

// follow tells the timeline what becomes of a rollout, until it is over.
func (s *scene) follow(ctx context.Context, flag string, t *timeline) (rolloutv1.State, error) {
	stream, err := s.rollouts.WatchRollout(ctx, &controlv1.WatchRolloutRequest{Environment: testbed.Environment, Key: rolloutKey(flag)})
	if err != nil {
		return 0, err
	}
	state := rolloutv1.State_STATE_UNSPECIFIED
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return state, nil
		case err != nil:
			return state, fmt.Errorf("watching %s: %w", flag, err)
		}
		state = m.GetRollout().GetRollout().GetStatus().GetState()
		t.show(flag, m)
	}
}
