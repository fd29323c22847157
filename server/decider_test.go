package server

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/judge"
	"github.com/tidegate/tidegate/internal/rollout"
)

// teller is a relay that tells what it counted of a rollout.
type teller struct {
	t       *testing.T
	id      string
	stream  grpc.BidiStreamingClient[telemetryv1.PushRequest, telemetryv1.PushResponse]
	next    uint64
	emitted uint64
}

// tell tells of a second in which so many of each variant failed, and waits until that is
// committed.
func (r *teller) tell(step, treated, treatedBad, others, othersBad uint64) {
	r.t.Helper()
	now := time.Now().Truncate(time.Second)
	cell := func(arm telemetryv1.Arm, n, bad uint64) *telemetryv1.Cell {
		return &telemetryv1.Cell{
			Rollout: "r", Step: step, Arm: arm, Exposures: n, Subjects: n, NewSubjects: n,
			Metrics: []*telemetryv1.MetricCell{{Metric: "errors", Count: bad, Events: bad}},
		}
	}
	r.next++
	n := treated + treatedBad + others + othersBad
	r.emitted += n
	err := r.stream.Send(&telemetryv1.PushRequest{Batch: &telemetryv1.Batch{
		Environment: "production", CompleteTo: timestamppb.New(now),
		Sender: &telemetryv1.Sender{InstanceId: r.id, BootId: "boot", Sequence: r.next},
		Tally:  &telemetryv1.Tally{Emitted: r.emitted, Counted: n},
		Windows: []*telemetryv1.Window{{
			BeganAt: timestamppb.New(now.Add(-time.Second)), Length: durationpb.New(time.Second),
			Cells: []*telemetryv1.Cell{cell(telemetryv1.Arm_ARM_TREATMENT, treated, treatedBad), cell(telemetryv1.Arm_ARM_CONTROL, others, othersBad)},
		}},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	a, err := r.stream.Recv()
	if err != nil || a.GetRefusal() != "" || a.GetAcknowledged().GetSequence() != r.next {
		r.t.Fatalf("%v, %v", a, err)
	}
}

// quick is a rollout whose stages need not last.
func quick() *rolloutv1.Rollout {
	r := canary("r", "f")
	r.Strategy = rolloutv1.Strategy_STRATEGY_UNSPECIFIED
	for _, w := range []uint32{500, 5000, 10_000} {
		r.Stages = append(r.Stages, &rolloutv1.Stage{Weight: w, MinDwell: durationpb.New(time.Second)})
	}
	r.Bake = durationpb.New(time.Second)
	return r
}

func (r *running) startRollout(rollout *rolloutv1.Rollout) {
	r.t.Helper()
	r.createOff(rollout.GetFlagKey())
	if _, err := controlv1.NewRolloutServiceClient(r.conn).StartRollout(as(r.t), &controlv1.StartRolloutRequest{Environment: "production", Rollout: rollout, Reason: "ready"}); err != nil {
		r.t.Fatal(err)
	}
}

// decisions reads all of rollout r, from the first, and replays each.
func (r *running) decisions() (all []*rolloutv1.Decision) {
	r.t.Helper()
	rollouts := controlv1.NewRolloutServiceClient(r.conn)
	list, err := rollouts.ListDecisions(as(r.t), &controlv1.ListDecisionsRequest{Environment: "production", Key: "r"})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, d := range slices.Backward(list.GetDecisions()) {
		got, err := rollouts.GetDecision(as(r.t), &controlv1.GetDecisionRequest{Environment: "production", Key: "r", Number: d.GetNumber()})
		if err != nil {
			r.t.Fatal(err)
		}
		if err := judge.Replay(got.GetDecision()); err != nil {
			r.t.Error(err)
		}
		all = append(all, got.GetDecision())
	}
	if err := controlplane.VerifyDecisions(all); err != nil {
		r.t.Error(err)
	}
	return all
}

// On a real etcd, over gRPC: a rollout whose relay follows and tells is widened; what is bad is
// shut with the very batch that proves it.
func TestDecider(t *testing.T) {
	t.Parallel()
	s := start(t, Options{DataDir: t.TempDir()})
	leads(t, s)
	s.startRollout(quick())
	relay := follow(t, s, "edge")
	one := &teller{t: t, id: "edge", stream: s.telemetry(t.Context(), "")}
	rollouts := controlv1.NewRolloutServiceClient(s.conn)
	status := func() (*rolloutv1.Rollout, *controlv1.GetRolloutResponse) {
		got, err := rollouts.GetRollout(as(t), &controlv1.GetRolloutRequest{Environment: "production", Key: "r"})
		if err != nil {
			t.Fatal(err)
		}
		return got.GetRollout().GetRollout(), got
	}
	step := func() uint64 {
		r, got := status()
		relay.receive(t, got.GetRollout().GetRevision())
		relay.acknowledge(t, got.GetRollout().GetRevision())
		return r.GetStatus().GetStep()
	}
	eventually(t, "it is widened", func() bool {
		one.tell(step(), 100, 2, 1900, 40)
		r, _ := status()
		return r.GetStatus().GetWeight() == 5000
	})
	if _, got := status(); len(got.GetAssessment().GetGuardrails()) != 1 {
		t.Errorf("assessment: %v", got.GetAssessment())
	}
	began := time.Now()
	one.tell(step(), 1000, 300, 1000, 20)
	took := time.Since(began)
	r, _ := status()
	if r.GetStatus().GetState() != rolloutv1.State_STATE_ROLLED_BACK || rollout.Active(r) {
		t.Fatalf("it was acknowledged, and the rollout is %v", r.GetStatus())
	}
	t.Logf("from the batch to the commit that shuts it: %v", took)
	f, err := s.flags.GetFlag(as(t), &controlv1.GetFlagRequest{Environment: "production", FlagKey: "f"})
	if err != nil || f.GetFlag().GetFlag().GetDefaultOutcome().GetVariant() != "off" {
		t.Errorf("the flag serves %v, %v", f.GetFlag().GetFlag().GetDefaultOutcome(), err)
	}
	all := s.decisions()
	if d := all[len(all)-1]; d.GetVerdict() != rolloutv1.Verdict_VERDICT_ROLLBACK || d.GetRevision() != f.GetFlag().GetRevision() {
		t.Errorf("%v", d)
	}
}

// Every server tells how the evidence stands, and refuses what a violated guardrail is against.
func TestAssessmentFromAnyServer(t *testing.T) {
	t.Parallel()
	s := shared{memstore.New()}
	servers := cluster(t, 2, Options{}, func(int) store.Store { return s })
	first := leads(t, servers...)
	other := servers[1-first]
	held := quick()
	held.Guardrails[0].Action = rolloutv1.Action_ACTION_HOLD
	other.startRollout(held)
	one := &teller{t: t, id: "edge", stream: other.telemetry(t.Context(), "")}
	one.tell(1, 1000, 500, 1000, 10)
	one.tell(1, 1000, 500, 1000, 10)
	rollouts := controlv1.NewRolloutServiceClient(other.conn)
	ctx, cancel := context.WithTimeout(as(t), 20*time.Second)
	defer cancel()
	watch, err := rollouts.WatchRollout(ctx, &controlv1.WatchRolloutRequest{Environment: "production", Key: "r"})
	if err != nil {
		t.Fatal(err)
	}
	for {
		answer, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if g := answer.GetAssessment().GetGuardrails(); len(g) == 1 && g[0].GetStanding() == rolloutv1.Standing_STANDING_BREACH {
			break
		}
	}
	_, err = rollouts.PromoteRollout(as(t), &controlv1.PromoteRolloutRequest{Environment: "production", Key: "r", Reason: "now"})
	if err == nil {
		t.Error("it was promoted against a violated guardrail")
	}
}

// People are told of what somebody does to a rollout, in the transaction that does it.
func TestAnnounced(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Notify: []notify.Target{{Name: "team", Kinds: notify.Kinds(), Sender: deaf{}}}})
	s.startRollout(quick())
	rollouts := controlv1.NewRolloutServiceClient(s.conn)
	paused, err := rollouts.PauseRollout(as(t), &controlv1.PauseRolloutRequest{Environment: "production", Key: "r", Reason: "lunch"})
	if err != nil {
		t.Fatal(err)
	}
	aborted, err := rollouts.AbortRollout(as(t), &controlv1.AbortRolloutRequest{Environment: "production", Key: "r", Reason: "enough"})
	if err != nil {
		t.Fatal(err)
	}
	results, _, err := s.server.store.Read(t.Context(), store.Prefix("/tidegate/v1/n/team/"))
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string]int64)
	for _, kv := range results[0].KVs {
		var record struct {
			Event struct{ Kind, Actor, Reason string }
		}
		if err := json.Unmarshal(kv.Value, &record); err != nil {
			t.Fatal(err)
		}
		told[record.Event.Kind+" "+record.Event.Actor+" "+record.Event.Reason] = kv.ModRevision
	}
	if len(told) != 3 || told["started ada ready"] == 0 ||
		told["paused ada lunch"] != paused.GetRollout().GetRevision() || told["aborted ada enough"] != aborted.GetRollout().GetRevision() {
		t.Errorf("told: %v", told)
	}
}

// deaf takes nothing.
type deaf struct{}

func (deaf) Send(context.Context, notify.Event) (string, error) {
	return "", errors.New("nobody listens")
}
