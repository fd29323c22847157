package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"

	"github.com/tidegate/tidegate/bench/testbed"
	"github.com/tidegate/tidegate/clientsdk"
)

// scene is everything that runs.
type scene struct {
	o      options
	server *testbed.Server
	relays []*relay
}

// relay is one of them, with who asks it.
type relay struct {
	*testbed.Relay
	evaluation evaluationv1.EvaluationServiceClient
	telemetry  telemetryv1.TelemetryServiceClient
	inProcess  clientsdk.Client
	conn       *grpc.ClientConn
}

// open starts all processes, and clients of each relay.
func open(ctx context.Context, bin, dir string, o options) (_ *scene, err error) {
	s := &scene{o: o}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.server, err = testbed.StartServer(ctx, bin, dir); err != nil {
		return nil, err
	}
	// What a relay follows must be there.
	if err := s.create(ctx, testbed.Switch("first", "bench")); err != nil {
		return nil, err
	}
	for i := range o.relays {
		r := &relay{}
		s.relays = append(s.relays, r)
		if r.Relay, err = testbed.StartRelay(ctx, bin, dir, fmt.Sprintf("region-%d", i+1), s.server.Addr); err != nil {
			return nil, err
		}
		if r.conn, err = grpc.NewClient(r.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.WaitForReady(true))); err != nil {
			return nil, err
		}
		r.evaluation, r.telemetry = evaluationv1.NewEvaluationServiceClient(r.conn), telemetryv1.NewTelemetryServiceClient(r.conn)
		// It looks on, and is not to be counted among the users.
		if r.inProcess, err = clientsdk.NewInProcess(ctx, r.Addr, testbed.Environment, clientsdk.WithoutTelemetry()); err != nil {
			return nil, err
		}
		if err := r.inProcess.WaitReady(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *scene) close() {
	for _, r := range s.relays {
		if r.inProcess != nil {
			_ = r.inProcess.Close()
		}
		if r.conn != nil {
			_ = r.conn.Close()
		}
		if r.Relay != nil {
			r.Stop()
		}
	}
	if s.server != nil {
		s.server.Stop()
	}
}

func (s *scene) create(ctx context.Context, f *flagv1.Flag) error {
	_, err := s.server.Control.CreateFlag(ctx, &controlv1.CreateFlagRequest{Environment: testbed.Environment, Flag: f, Reason: "measure"})
	return err
}

// What the guardrails watch.
const (
	errorMetric = "errors"
	timeMetric  = "page-time"
)

// begin makes a flag, another one that serves whatever that one serves, and starts a rollout.
// Who asks for the other flag is not counted among the subjects of the rollout.
func (s *scene) begin(ctx context.Context, key string, percent int) error {
	if err := s.create(ctx, testbed.Switch(key, "bench")); err != nil {
		return err
	}
	look := testbed.Switch(lookAt(key), "bench")
	look.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}}
	look.Prerequisites = []*flagv1.Prerequisite{{FlagKey: key, Variants: []string{"on"}}}
	if err := s.create(ctx, look); err != nil {
		return err
	}
	guardrails, err := testbed.Guardrails(errorMetric+": rate < +5% relative", "slow: p99("+timeMetric+") < +100ms")
	if err != nil {
		return err
	}
	_, err = s.server.Rollouts.StartRollout(ctx, &controlv1.StartRolloutRequest{
		Environment: testbed.Environment, Reason: "measure",
		Rollout: &rolloutv1.Rollout{
			Key: key, FlagKey: key, Treatment: "on", Owner: "bench", Guardrails: guardrails,
			Stages: []*rolloutv1.Stage{{Weight: uint32(percent * 100), MinDwell: durationpb.New(time.Hour), Manual: true}},
		},
	})
	return err
}

func lookAt(key string) string { return key + "-look" }
