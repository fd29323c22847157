package server

import (
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

func canary(key, flag string) *rolloutv1.Rollout {
	return &rolloutv1.Rollout{
		Key: key, FlagKey: flag, Treatment: "on", Strategy: rolloutv1.Strategy_STRATEGY_CANARY,
		Guardrails: []*rolloutv1.Guardrail{{
			Name: "errors", Statistic: rolloutv1.Statistic_STATISTIC_RATE,
			Margin: &rolloutv1.Margin{Unit: &rolloutv1.Margin_PercentagePoints{PercentagePoints: 0.5}},
		}},
	}
}

// createOff makes a flag that serves 'off'.
func (r *running) createOff(key string) {
	r.t.Helper()
	f := boolean(key)
	f.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "off"}}
	if _, err := r.flags.CreateFlag(as(r.t), &controlv1.CreateFlagRequest{Environment: "production", Flag: f, Reason: "test"}); err != nil {
		r.t.Fatal(err)
	}
}

// TestRolloutService goes through a rollout's life, every method of the service, over gRPC and
// on a real etcd.
func TestRolloutService(t *testing.T) {
	t.Parallel()
	s := start(t, Options{DataDir: t.TempDir()})
	ctx := as(t)
	rollouts := controlv1.NewRolloutServiceClient(s.conn)
	s.createOff("f")
	started, err := rollouts.StartRollout(ctx, &controlv1.StartRolloutRequest{Environment: "production", Rollout: canary("r", "f"), Reason: "ready", RequestId: "start-1"})
	if err != nil {
		t.Fatal(err)
	}
	if e := started.GetEntry(); e.GetActor() != "ada" || e.GetAction() != controlv1.Action_ACTION_STARTED || e.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_ROLLOUT {
		t.Errorf("audit entry: %v", e)
	}
	again, err := rollouts.StartRollout(ctx, &controlv1.StartRolloutRequest{Environment: "production", Rollout: canary("r", "f"), Reason: "ready", RequestId: "start-1"})
	if err != nil || !proto.Equal(again, started) {
		t.Errorf("retry: %v, %v", again, err)
	}
	watch, err := rollouts.WatchRollout(ctx, &controlv1.WatchRolloutRequest{Environment: "production", Key: "r"})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := watch.Recv(); err != nil || first.GetRollout().GetRevision() != started.GetRollout().GetRevision() {
		t.Errorf("watch: %v, %v", first, err)
	}
	if _, err := rollouts.PauseRollout(ctx, &controlv1.PauseRolloutRequest{Environment: "production", Key: "r", Reason: "wait"}); err != nil {
		t.Error(err)
	}
	if _, err := rollouts.ResumeRollout(ctx, &controlv1.ResumeRolloutRequest{Environment: "production", Key: "r", Reason: "go"}); err != nil {
		t.Error(err)
	}
	promoted, err := rollouts.PromoteRollout(ctx, &controlv1.PromoteRolloutRequest{Environment: "production", Key: "r", Reason: "fine"})
	if err != nil || promoted.GetRollout().GetRollout().GetStatus().GetWeight() != 500 {
		t.Errorf("promote: %v, %v", promoted, err)
	}
	got, err := rollouts.GetRollout(ctx, &controlv1.GetRolloutRequest{Environment: "production", Key: "r"})
	if err != nil || !proto.Equal(got.GetRollout(), promoted.GetRollout()) {
		t.Errorf("get: %v, %v", got, err)
	}
	list, err := rollouts.ListRollouts(ctx, &controlv1.ListRolloutsRequest{Environment: "production", Active: true})
	if err != nil || len(list.GetRollouts()) != 1 || list.GetRevision() == 0 {
		t.Errorf("list: %v, %v", list, err)
	}
	decisions, err := rollouts.ListDecisions(ctx, &controlv1.ListDecisionsRequest{Environment: "production", Key: "r"})
	if err != nil || len(decisions.GetDecisions()) != 0 {
		t.Errorf("decisions: %v, %v", decisions, err)
	}
	if _, err := rollouts.GetDecision(ctx, &controlv1.GetDecisionRequest{Environment: "production", Key: "r", Number: 1}); status.Code(err) != codes.NotFound {
		t.Errorf("decision: %v", err)
	}
	if _, err := s.flags.UpdateFlag(ctx, &controlv1.UpdateFlagRequest{
		Environment: "production", Flag: boolean("f"), BaseRevision: promoted.GetRollout().GetRevision(), Reason: "all",
	}); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), `while rollout "r" owns it`) {
		t.Errorf("what it owns was changed: %v", err)
	}
	aborted, err := rollouts.AbortRollout(ctx, &controlv1.AbortRolloutRequest{Environment: "production", Key: "r", Reason: "enough"})
	if err != nil {
		t.Fatal(err)
	}
	var last *controlv1.WatchRolloutResponse
	for {
		answer, err := watch.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last = answer
	}
	if !proto.Equal(last.GetRollout(), aborted.GetRollout()) {
		t.Errorf("the watch ended with %v", last)
	}
	if _, err := rollouts.DeleteRollout(ctx, &controlv1.DeleteRolloutRequest{Environment: "production", Key: "r", Reason: "tidy"}); err != nil {
		t.Error(err)
	}
	history, err := rollouts.ListRolloutHistory(ctx, &controlv1.ListRolloutHistoryRequest{Environment: "production", Key: "r"})
	if err != nil || len(history.GetEntries()) != 6 {
		t.Errorf("history: %v, %v", history, err)
	}
	// The same as JSON.
	code, body := s.post("/tidegate.control.v1.RolloutService/ListRollouts", `{"environment": "production"}`)
	if code != 200 || !strings.Contains(body, "revision") {
		t.Errorf("%d %s", code, body)
	}
}

// A request that holds what this server does not know is refused, in the rollout too.
func TestUnknownRolloutFieldIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	s.createOff("f")
	r := canary("r", "f")
	newer(r.GetGuardrails()[0])
	_, err := controlv1.NewRolloutServiceClient(s.conn).StartRollout(as(t), &controlv1.StartRolloutRequest{Environment: "production", Rollout: r, Reason: "r"})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "rollout.guardrails[0]") {
		t.Errorf("got %v, want INVALID_ARGUMENT", err)
	}
}

// Who watches a rollout is told to go elsewhere when the server drains.
func TestWatchRolloutEndsWithTheServer(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	s.createOff("f")
	rollouts := controlv1.NewRolloutServiceClient(s.conn)
	if _, err := rollouts.StartRollout(as(t), &controlv1.StartRolloutRequest{Environment: "production", Rollout: canary("r", "f"), Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	watch, err := rollouts.WatchRollout(as(t), &controlv1.WatchRolloutRequest{Environment: "production", Key: "r"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	s.server.drain()
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "the server drains") {
		t.Errorf("got %v, want UNAVAILABLE", err)
	}
}
