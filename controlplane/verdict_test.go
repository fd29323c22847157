package controlplane

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

func verdict(v *controlv1.RolloutVersion, flagRevision int64, is rolloutv1.Verdict) Verdict {
	return Verdict{
		Decision: &rolloutv1.Decision{
			Environment: production, Rollout: v.GetRollout().GetKey(), Number: v.GetRollout().GetStatus().GetDecision() + 1,
			Time: timestamppb.New(v.GetRollout().GetStatus().GetStartedAt().AsTime().Add(1e9)), Verdict: is, Headline: "because of " + is.String(),
			FlagRevision: flagRevision,
		},
		RolloutRevision: v.GetRevision(), FlagRevision: flagRevision, Relays: 9, Caller: Caller{Actor: "decider", Peer: "server-1"},
	}
}

func (f *rolling) decide(key string, is rolloutv1.Verdict) (store.Outcome, error) {
	f.t.Helper()
	r := f.getRollout(key)
	return f.CarryOut(f.ctx, verdict(r, f.get(r.GetRollout().GetFlagKey()).GetRevision(), is), nil, nil)
}

func TestVerdicts(t *testing.T) {
	f := rollingFixture(t)
	f.startNew("r", "f")
	for _, step := range []struct {
		verdict rolloutv1.Verdict
		serves  string
		action  controlv1.Action
	}{
		{rolloutv1.Verdict_VERDICT_HOLD, "on 100 off 9900", 0},
		{rolloutv1.Verdict_VERDICT_ADVANCE, "on 500 off 9500", controlv1.Action_ACTION_ADVANCED},
		{rolloutv1.Verdict_VERDICT_ADVANCE, "on 2000 off 8000", controlv1.Action_ACTION_ADVANCED},
		{rolloutv1.Verdict_VERDICT_ADVANCE, "on 5000 off 5000", controlv1.Action_ACTION_ADVANCED},
		{rolloutv1.Verdict_VERDICT_ADVANCE, "on 9800 off 200", controlv1.Action_ACTION_ADVANCED},
		{rolloutv1.Verdict_VERDICT_COMPLETE, "on", controlv1.Action_ACTION_COMPLETED},
	} {
		if out, err := f.decide("r", step.verdict); err != nil || !out.Committed {
			t.Fatalf("%s: %v, %v", step.verdict, out, err)
		}
		if step.action != 0 {
			f.checkTogether("r", step.action, step.serves)
		}
		if got := weights(f.get("f").GetFlag()); got != step.serves {
			t.Errorf("%s: serves %q, want %q", step.verdict, got, step.serves)
		}
	}
	r := f.getRollout("r").GetRollout()
	if s := r.GetStatus(); s.GetDecision() != 6 || s.GetStep() != 6 || s.GetHeadline() != "because of VERDICT_COMPLETE" || s.GetState() != rolloutv1.State_STATE_COMPLETED || s.GetRelays() != 9 {
		t.Errorf("%v", s)
	}
	if _, err := f.decide("r", rolloutv1.Verdict_VERDICT_ROLLBACK); err == nil || !strings.Contains(err.Error(), "is over: it was completed") {
		t.Errorf("rolled back after its end: %v", err)
	}
	list, err := f.ListDecisions(f.ctx, &controlv1.ListDecisionsRequest{Environment: production, Key: "r", PageSize: 4})
	if err != nil || len(list.GetDecisions()) != 4 || list.GetDecisions()[0].GetNumber() != 6 || list.GetDecisions()[0].GetFromWeight() != 9800 || list.GetDecisions()[0].GetToWeight() != 10000 {
		t.Fatalf("%v, %v", list, err)
	}
	rest, err := f.ListDecisions(f.ctx, &controlv1.ListDecisionsRequest{Environment: production, Key: "r", PageSize: 4, PageToken: list.GetNextPageToken()})
	if err != nil || len(rest.GetDecisions()) != 2 || rest.GetDecisions()[1].GetNumber() != 1 || rest.GetNextPageToken() != "" {
		t.Errorf("%v, %v", rest, err)
	}
	f.checkDecisionChain("r", 6)
	for number, want := range map[uint64]string{0: "must be the number of a decision", 7: `not found: decision 7 of rollout "r"`, 1 << 63: "must be the number"} {
		if _, err := f.GetDecision(f.ctx, &controlv1.GetDecisionRequest{Environment: production, Key: "r", Number: number}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("decision %d: %v", number, err)
		}
	}
	if _, err := f.ListDecisions(f.ctx, &controlv1.ListDecisionsRequest{Environment: production, Key: "none"}); err == nil {
		t.Error("decisions of a rollout that never was")
	}
}

// checkDecisionChain verifies numbers and hashes, as whoever has the decisions as served can.
func (f *rolling) checkDecisionChain(key string, n uint64) {
	f.t.Helper()
	var hash []byte
	for number := uint64(1); number <= n; number++ {
		resp, err := f.GetDecision(f.ctx, &controlv1.GetDecisionRequest{Environment: production, Key: key, Number: number})
		if err != nil {
			f.t.Fatal(err)
		}
		d := resp.GetDecision()
		if d.GetNumber() != number || !bytes.Equal(d.GetPreviousHash(), hash) || d.GetRevision() == 0 {
			f.t.Errorf("decision %d: %v", number, d)
		}
		d.Revision = 0
		stored, err := marshal(d)
		if err != nil {
			f.t.Fatal(err)
		}
		hash = entryHash(stored)
	}
}

// TestVerdictIsGuarded: a verdict holds for what was judged, once, and only with all that its
// transaction depends on.
func TestVerdictIsGuarded(t *testing.T) {
	f := rollingFixture(t)
	r := f.startNew("r", "f")
	flag := f.get("f").GetRevision()
	advance := verdict(r, flag, rolloutv1.Verdict_VERDICT_ADVANCE)

	// The fence is another's: nothing happens, evidence included.
	evidence := root + "t/e/" + production + "/r"
	out, err := f.CarryOut(f.ctx, advance, []store.Compare{store.CreatedAt(root+"meta/leader", 4711)}, []store.Op{store.Put(evidence, []byte("e"))})
	if err != nil || out.Committed || f.getRollout("r").GetRevision() != r.GetRevision() {
		t.Fatalf("%v, %v", out, err)
	}
	plan, err := f.PlanVerdict(f.ctx, advance)
	if err != nil || plan.Rollout.GetStatus().GetStage() != 1 || plan.Decision.GetToWeight() != 500 {
		t.Fatalf("%v, %v", plan, err)
	}
	// A decision of that number is there, whatever wrote it: it is not overwritten.
	number := decisionKey(production, "r", 1)
	if _, err := f.store.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Put(number, []byte("x"))}}); err != nil {
		t.Fatal(err)
	}
	if out, err := f.CarryOut(f.ctx, advance, nil, nil); err != nil || out.Committed {
		t.Errorf("overwrote a decision: %v, %v", out, err)
	}
	if _, err := f.store.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Delete(number)}}); err != nil {
		t.Fatal(err)
	}
	// Somebody edits the flag between plan and commit.
	edited := proto.CloneOf(f.get("f").GetFlag())
	edited.Description = "edited"
	if _, err := f.update(edited, flag); err != nil {
		t.Fatal(err)
	}
	if out, err := f.store.Commit(f.ctx, plan.Txn); err != nil || out.Committed {
		t.Errorf("committed on an older flag: %v, %v", out, err)
	}
	var conflict *ConflictError
	if _, err := f.PlanVerdict(f.ctx, advance); !errors.As(err, &conflict) || conflict.Conflict.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_FLAG {
		t.Errorf("planned on an older flag: %v", err)
	}
	// What shuts does not wait for that.
	rollback := verdict(r, flag, rolloutv1.Verdict_VERDICT_ROLLBACK)
	rollback.FlagRevision = 0
	plan, err = f.PlanVerdict(f.ctx, rollback)
	if err != nil {
		t.Fatal(err)
	}
	out, err = f.store.Commit(f.ctx, store.Txn{Compares: plan.Txn.Compares, Ops: append(plan.Txn.Ops, store.Put(evidence, []byte("e")))})
	if err != nil || !out.Committed {
		t.Fatalf("%v, %v", out, err)
	}
	f.checkTogether("r", controlv1.Action_ACTION_ROLLED_BACK, "off")
	if got := f.get("f").GetFlag().GetDescription(); got != "edited" {
		t.Errorf("the edit is gone: %q", got)
	}
	// The same transaction again, as after an answer that was lost, does nothing.
	if out, err := f.store.Commit(f.ctx, plan.Txn); err != nil || out.Committed {
		t.Errorf("committed twice: %v, %v", out, err)
	}
	if _, err := f.PlanVerdict(f.ctx, rollback); !errors.As(err, &conflict) || conflict.Conflict.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_ROLLOUT {
		t.Errorf("planned again: %v", err)
	}
}

func TestVerdictRefusals(t *testing.T) {
	f := rollingFixture(t)
	r := f.startNew("r", "f")
	edit := func(change func(v *Verdict)) Verdict {
		v := verdict(r, f.get("f").GetRevision(), rolloutv1.Verdict_VERDICT_ADVANCE)
		change(&v)
		return v
	}
	for want, v := range map[string]Verdict{
		"decision.number: must be 1, the next":       edit(func(v *Verdict) { v.Decision.Number = 2 }),
		"decision.number: must be 1 to":              edit(func(v *Verdict) { v.Decision.Number = 0 }),
		"decision.headline: is required":             edit(func(v *Verdict) { v.Decision.Headline = "" }),
		"decision.previous_hash: is filled in":       edit(func(v *Verdict) { v.Decision.PreviousHash = []byte("x") }),
		"decision.environment: is required":          edit(func(v *Verdict) { v.Decision.Environment = "" }),
		"verdict: VERDICT_UNSPECIFIED is none":       edit(func(v *Verdict) { v.Decision.Verdict = 0 }),
		`not found: rollout "x"`:                     edit(func(v *Verdict) { v.Decision.Rollout = "x" }),
		`rollout "r" in environment "production" is`: edit(func(v *Verdict) { v.RolloutRevision-- }),
	} {
		if p, err := f.PlanVerdict(f.ctx, v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, %v; want %q", p, err, want)
		}
	}
	if _, err := f.pause("r"); err != nil {
		t.Fatal(err)
	}
	for _, v := range []rolloutv1.Verdict{rolloutv1.Verdict_VERDICT_ADVANCE, rolloutv1.Verdict_VERDICT_COMPLETE} {
		if _, err := f.decide("r", v); err == nil || !strings.Contains(err.Error(), `rollout "r" is paused: it is not widened`) {
			t.Errorf("%s while it is paused: %v", v, err)
		}
	}
	if out, err := f.decide("r", rolloutv1.Verdict_VERDICT_HOLD); err != nil || !out.Committed {
		t.Errorf("held while it is paused: %v, %v", out, err)
	}
	if _, err := f.promote("r", proto.Uint32(4)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ResumeRollout(f.ctx, alice, &controlv1.ResumeRolloutRequest{Environment: production, Key: "r", Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.decide("r", rolloutv1.Verdict_VERDICT_ADVANCE); err == nil || !strings.Contains(err.Error(), "is at its last stage") {
		t.Errorf("advanced beyond the last stage: %v", err)
	}
}
