package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// rolling is a fixture that answers the rollout service, too.
type rolling struct {
	*fixture
	*Rollouts
}

func newRolling(f *fixture) *rolling {
	f.t.Helper()
	s, err := NewRollouts(RolloutsOptions{
		Authority: f.Authority, CountRelays: func(context.Context, string) (uint32, error) { return 7, nil },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return &rolling{fixture: f, Rollouts: s}
}

func rollingFixture(t *testing.T) *rolling {
	t.Helper()
	f, _ := newFixture(t)
	return newRolling(f)
}

// offFlag serves 'off' to everyone, as what is to be rolled out does at first.
func offFlag(key string) *flagv1.Flag {
	f := boolFlag(key)
	f.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "off"}}
	return f
}

// canary is a rollout of 'on'.
func canary(key, flag string) *rolloutv1.Rollout {
	return &rolloutv1.Rollout{
		Key: key, FlagKey: flag, Treatment: "on", Strategy: rolloutv1.Strategy_STRATEGY_CANARY,
		Guardrails: []*rolloutv1.Guardrail{{
			Name: "errors", Statistic: rolloutv1.Statistic_STATISTIC_RATE,
			Margin: &rolloutv1.Margin{Unit: &rolloutv1.Margin_Relative{Relative: 0.05}},
		}},
	}
}

func (f *rolling) tryStart(r *rolloutv1.Rollout, requestID string) (*controlv1.StartRolloutResponse, error) {
	return f.StartRollout(f.ctx, alice, &controlv1.StartRolloutRequest{
		Environment: production, Rollout: r, Reason: "ready", RequestId: requestID,
	})
}

// start starts a rollout of a flag that it makes.
func (f *rolling) startNew(key, flag string) *controlv1.RolloutVersion {
	f.t.Helper()
	f.create(offFlag(flag))
	resp, err := f.tryStart(canary(key, flag), "")
	if err != nil {
		f.t.Fatalf("StartRollout(%s): %v", key, err)
	}
	return resp.GetRollout()
}

func (f *rolling) getRollout(key string) *controlv1.RolloutVersion {
	f.t.Helper()
	resp, err := f.GetRollout(f.ctx, &controlv1.GetRolloutRequest{Environment: production, Key: key})
	if err != nil {
		f.t.Fatalf("GetRollout(%s): %v", key, err)
	}
	return resp.GetRollout()
}

func (f *rolling) abort(key string) (*controlv1.AbortRolloutResponse, error) {
	return f.AbortRollout(f.ctx, alice, &controlv1.AbortRolloutRequest{Environment: production, Key: key, Reason: "enough"})
}

func (f *rolling) pause(key string) (*controlv1.PauseRolloutResponse, error) {
	return f.PauseRollout(f.ctx, alice, &controlv1.PauseRolloutRequest{Environment: production, Key: key, Reason: "wait"})
}

func (f *rolling) promote(key string, stage *uint32) (*controlv1.PromoteRolloutResponse, error) {
	return f.PromoteRollout(f.ctx, alice, &controlv1.PromoteRolloutRequest{Environment: production, Key: key, Reason: "faster", Stage: stage})
}

// weights is what the flag's default outcome serves, such as 'on 100 off 9900'.
func weights(f *flagv1.Flag) string {
	split := f.GetDefaultOutcome().GetSplit()
	if split == nil {
		return f.GetDefaultOutcome().GetVariant()
	}
	var parts []string
	for _, v := range split.GetVariants() {
		parts = append(parts, fmt.Sprintf("%s %d", v.GetVariant(), v.GetWeight()))
	}
	return strings.Join(parts, " ")
}

// checkTogether checks that the newest changes of the rollout and of its flag are of one
// transaction, and say what happened.
func (f *rolling) checkTogether(key string, action controlv1.Action, serves string) {
	f.t.Helper()
	r := f.getRollout(key)
	flag := f.get(r.GetRollout().GetFlagKey())
	if r.GetRevision() != flag.GetRevision() || weights(flag.GetFlag()) != serves {
		f.t.Errorf("rollout at revision %d, flag at %d serves %q; want one revision and %q", r.GetRevision(), flag.GetRevision(), weights(flag.GetFlag()), serves)
	}
	history, err := f.ListRolloutHistory(f.ctx, &controlv1.ListRolloutHistoryRequest{Environment: production, Key: key, PageSize: 1})
	if err != nil {
		f.t.Fatal(err)
	}
	flagHistory := f.fullHistory(flag.GetFlag().GetKey())
	for _, e := range []*controlv1.AuditEntry{history.GetEntries()[0], flagHistory[len(flagHistory)-1]} {
		if e.GetAction() != action || e.GetRevision() != r.GetRevision() {
			f.t.Errorf("entry %v, want %s at revision %d", e, action, r.GetRevision())
		}
	}
	if got := flagHistory[len(flagHistory)-1].GetRolloutKey(); got != key {
		f.t.Errorf("the flag's entry names rollout %q", got)
	}
	f.caughtUp()
	item, ok := f.replicas.Replica(production).Snapshot().Item(rolloutKind.sync, key)
	held := new(rolloutv1.Rollout)
	if !ok || proto.Unmarshal(item.Data, held) != nil || !proto.Equal(held, r.GetRollout()) || item.ModRevision != r.GetRevision() {
		f.t.Errorf("the replica holds %v at %d", held, item.ModRevision)
	}
}

func TestRolloutLife(t *testing.T) {
	f := rollingFixture(t)
	f.create(offFlag("f"))
	started, err := f.tryStart(canary("r", "f"), "start-1")
	if err != nil {
		t.Fatal(err)
	}
	r := started.GetRollout().GetRollout()
	if r.GetControl() != "off" || r.GetStatus().GetRelays() != 7 || r.GetHoldback() != 200 || len(started.GetFlagChanges()) == 0 ||
		started.GetEntry().GetAction() != controlv1.Action_ACTION_STARTED || !proto.Equal(started.GetEntry().GetRollout(), r) {
		t.Errorf("started: %v", started)
	}
	f.checkTogether("r", controlv1.Action_ACTION_STARTED, "on 100 off 9900")

	again, err := f.tryStart(canary("r", "f"), "start-1")
	if err != nil || !proto.Equal(again, started) {
		t.Errorf("the request again: %v, %v; want the first answer", again, err)
	}

	paused, err := f.pause("r")
	if err != nil || paused.GetRollout().GetRollout().GetStatus().GetState() != rolloutv1.State_STATE_PAUSED || paused.GetEntry().GetAction() != controlv1.Action_ACTION_PAUSED {
		t.Fatalf("pause: %v, %v", paused, err)
	}
	if twice, err := f.pause("r"); err != nil || twice.GetEntry() != nil || twice.GetRollout().GetRevision() != paused.GetRollout().GetRevision() {
		t.Errorf("paused again: %v, %v", twice, err)
	}
	promoted, err := f.promote("r", nil)
	if err != nil || promoted.GetRollout().GetRollout().GetStatus().GetState() != rolloutv1.State_STATE_PAUSED {
		t.Fatalf("promote: %v, %v", promoted, err)
	}
	f.checkTogether("r", controlv1.Action_ACTION_ADVANCED, "on 500 off 9500")
	stale := paused.GetRollout().GetRevision()
	_, err = f.ResumeRollout(f.ctx, alice, &controlv1.ResumeRolloutRequest{Environment: production, Key: "r", Reason: "go", BaseRevision: &stale})
	var conflict *ConflictError
	if !errors.As(err, &conflict) || conflict.Conflict.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_ROLLOUT {
		t.Errorf("resumed from an old revision: %v", err)
	}
	if _, err = f.ResumeRollout(f.ctx, alice, &controlv1.ResumeRolloutRequest{Environment: production, Key: "r", Reason: "go"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.promote("r", proto.Uint32(1)); err == nil || !strings.Contains(err.Error(), "stage: must be above the one in force, 1 (5%)") {
		t.Errorf("promoted to where it is: %v", err)
	}

	_, err = f.DeleteRollout(f.ctx, alice, &controlv1.DeleteRolloutRequest{Environment: production, Key: "r", Reason: "x"})
	if err == nil || !strings.Contains(err.Error(), `rollout "r" is running: abort it`) {
		t.Errorf("deleted while it runs: %v", err)
	}
	aborted, err := f.abort("r")
	if err != nil || aborted.GetRollout().GetRollout().GetStatus().GetEndedAt() == nil {
		t.Fatalf("abort: %v, %v", aborted, err)
	}
	f.checkTogether("r", controlv1.Action_ACTION_ABORTED, "off")
	if twice, err := f.abort("r"); err != nil || twice.GetEntry() != nil {
		t.Errorf("aborted again: %v, %v", twice, err)
	}
	if _, err := f.pause("r"); err == nil || !strings.Contains(err.Error(), `rollout "r" is over: it was aborted`) {
		t.Errorf("paused after its end: %v", err)
	}
	if _, err := f.DeleteRollout(f.ctx, alice, &controlv1.DeleteRolloutRequest{Environment: production, Key: "r", Reason: "tidy"}); err != nil {
		t.Fatal(err)
	}
	var exists *ExistsError
	if _, err := f.tryStart(canary("r", "f"), ""); !errors.As(err, &exists) || !strings.Contains(err.Error(), "its history keeps the key") {
		t.Errorf("started under the key of one that was deleted: %v", err)
	}
	history, err := f.ListRolloutHistory(f.ctx, &controlv1.ListRolloutHistoryRequest{Environment: production, Key: "r"})
	var actions []string
	for _, e := range history.GetEntries() {
		actions = append(actions, actionWord(e.GetAction()))
	}
	if err != nil || strings.Join(actions, ", ") != "deleted, aborted, resumed, advanced, paused, started" {
		t.Errorf("history %v, %v", actions, err)
	}
	// Nothing of what it owned is left.
	if results, _, err := f.store.Read(f.ctx, store.Prefix(claimsRoot)); err != nil || len(results[0].KVs) != 0 {
		t.Errorf("claims: %v, %v", results, err)
	}
}

// TestWhatIsUrgent: followers are to be told at once that a rollout is shut, and of nothing else
// that is done to it.
func TestWhatIsUrgent(t *testing.T) {
	f := rollingFixture(t)
	f.create(offFlag("f"))
	f.caughtUp()
	_, changes := f.replicas.Replica(production).Subscribe()
	for _, step := range []struct {
		name string
		do   func() error
		want bool
	}{
		{"start", func() error { _, err := f.tryStart(canary("r", "f"), ""); return err }, false},
		{"promote", func() error { _, err := f.promote("r", nil); return err }, false},
		{"pause", func() error { _, err := f.pause("r"); return err }, false},
		{"abort", func() error { _, err := f.abort("r"); return err }, true},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		c, lost, err := changes.Next(f.ctx)
		if err != nil || lost {
			t.Fatalf("%s: lost %v, %v", step.name, lost, err)
		}
		if c.Delta.Urgent != step.want || len(c.Delta.Puts) == 0 {
			t.Errorf("%s: urgent %v, of %d items", step.name, c.Delta.Urgent, len(c.Delta.Puts))
		}
	}
}

func TestRolloutCompletesByHand(t *testing.T) {
	f := rollingFixture(t)
	f.startNew("r", "f")
	resp, err := f.promote("r", proto.Uint32(5))
	if err != nil || resp.GetEntry().GetAction() != controlv1.Action_ACTION_COMPLETED {
		t.Fatalf("%v, %v", resp, err)
	}
	f.checkTogether("r", controlv1.Action_ACTION_COMPLETED, "on")
}

func TestStartRefusals(t *testing.T) {
	f := rollingFixture(t)
	f.startNew("first", "f")
	if _, err := f.promote("first", proto.Uint32(2)); err != nil { // its split would be in the way, too
		t.Fatal(err)
	}
	off := offFlag("disabled")
	off.Enabled = false
	f.create(off)
	for _, test := range []struct {
		name, want string
		r          *rolloutv1.Rollout
	}{
		{"owned, and wider by now", `rollout "first" owns the default outcome of flag "f"`, canary("second", "f")},
		{"there", `already exists: rollout "first" in environment "production", at revision`, canary("first", "f")},
		{"disabled", `rollout.flag_key: flag "disabled" is disabled`, canary("r", "disabled")},
		{"no flag", `not found: flag "none" in environment "production"`, canary("r", "none")},
		{"invalid", "rollout.stages: are missing", func() *rolloutv1.Rollout { r := canary("r", "f"); r.Strategy = 0; return r }()},
		{"nothing", "rollout: is required", nil},
	} {
		_, err := f.tryStart(test.r, "")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
	f.create(offFlag("g"))
	before := f.get("g")
	resp, err := f.StartRollout(f.ctx, alice, &controlv1.StartRolloutRequest{Environment: production, Rollout: canary("r", "g"), ValidateOnly: true})
	if err != nil || len(resp.GetRollout().GetRollout().GetStages()) != 5 || len(resp.GetFlagChanges()) == 0 || resp.GetEntry() != nil {
		t.Errorf("validate only: %v, %v", resp, err)
	}
	if got := f.get("g"); got.GetRevision() != before.GetRevision() {
		t.Errorf("validate only wrote the flag at %d", got.GetRevision())
	}
	if _, err := f.GetRollout(f.ctx, &controlv1.GetRolloutRequest{Environment: production, Key: "r"}); err == nil {
		t.Error("validate only wrote the rollout")
	}
}

// TestOwnership: what a rollout owns, nobody else changes; everything else is free.
func TestOwnership(t *testing.T) {
	f := rollingFixture(t)
	before := offFlag("f")
	f.create(before)
	first := f.get("f").GetRevision()
	if _, err := f.tryStart(canary("r", "f"), ""); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		var precondition *PreconditionError
		if !errors.As(err, &precondition) || !strings.Contains(err.Error(), `while rollout "r" owns it`) {
			t.Errorf("%s: got %v, want a refusal", what, err)
		}
	}
	_, err := f.update(before, f.get("f").GetRevision())
	refused("Update", err)
	_, err = f.Apply(f.ctx, alice, &controlv1.ApplyRequest{Environment: production, Flags: []*controlv1.FlagWrite{{Flag: before}}, Reason: "file"})
	refused("Apply", err)
	if err == nil || !strings.Contains(err.Error(), "flags[f].default_outcome: the default outcome cannot be changed") {
		t.Errorf("Apply: %v", err)
	}
	_, err = f.Apply(f.ctx, alice, &controlv1.ApplyRequest{Environment: production, Flags: []*controlv1.FlagWrite{{Flag: before}}, ValidateOnly: true})
	refused("Apply, only to validate", err)
	_, err = f.RestoreFlag(f.ctx, alice, &controlv1.RestoreFlagRequest{Environment: production, FlagKey: "f", Revision: first, BaseRevision: f.get("f").GetRevision(), Reason: "back"})
	refused("Restore", err)
	refused("Delete", f.delete("f", f.get("f").GetRevision()))
	if _, err := f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: staging, Flag: boolFlag("f"), Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	_, err = f.PromoteFlag(f.ctx, alice, &controlv1.PromoteFlagRequest{
		FlagKey: "f", FromEnvironment: staging, ToEnvironment: production, BaseRevision: f.get("f").GetRevision(), Reason: "p",
	})
	refused("Promote", err)

	// The rest is free, and stays when the rollout ends.
	edited := proto.CloneOf(f.get("f").GetFlag())
	edited.Description = "edited meanwhile"
	edited.Variants = append(edited.Variants, &flagv1.Variant{Name: "third", Value: parseValue("true")})
	if _, err := f.update(edited, f.get("f").GetRevision()); err != nil {
		t.Errorf("an edit beside it: %v", err)
	}
	f.setEnabled("f", false)
	if _, err := f.abort("r"); err != nil {
		t.Fatal(err)
	}
	got := f.get("f").GetFlag()
	edited.Enabled, edited.DefaultOutcome = false, before.GetDefaultOutcome()
	if !proto.Equal(got, edited) {
		t.Errorf("after the end the flag is %v, want %v", got, edited)
	}
	if err := f.delete("f", f.get("f").GetRevision()); err != nil {
		t.Errorf("deleted after its end: %v", err)
	}
}

func TestListRollouts(t *testing.T) {
	f := rollingFixture(t)
	for i := range 7 {
		f.startNew(fmt.Sprintf("r%d", i), fmt.Sprintf("f%d", i%7))
		if i%2 == 0 {
			if _, err := f.abort(fmt.Sprintf("r%d", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	list := func(r *controlv1.ListRolloutsRequest) string {
		t.Helper()
		r.Environment = production
		var keys []string
		for {
			resp, err := f.ListRollouts(f.ctx, r, Reader{})
			if err != nil {
				t.Fatal(err)
			}
			if n := len(resp.GetRollouts()); r.GetPageSize() > 0 && n > int(r.GetPageSize()) {
				t.Errorf("a page of %d", n)
			}
			for _, v := range resp.GetRollouts() {
				keys = append(keys, v.GetRollout().GetKey())
			}
			if r.PageToken = resp.GetNextPageToken(); r.GetPageToken() == "" {
				return strings.Join(keys, " ")
			}
		}
	}
	for size := int32(0); size < 5; size++ {
		if got := list(&controlv1.ListRolloutsRequest{PageSize: size}); got != "r0 r1 r2 r3 r4 r5 r6" {
			t.Errorf("pages of %d: %s", size, got)
		}
		if got := list(&controlv1.ListRolloutsRequest{PageSize: size, Active: true}); got != "r1 r3 r5" {
			t.Errorf("active, pages of %d: %s", size, got)
		}
		if got := list(&controlv1.ListRolloutsRequest{PageSize: size, FlagKey: "f3"}); got != "r3" {
			t.Errorf("of f3, pages of %d: %s", size, got)
		}
	}
	if got := list(&controlv1.ListRolloutsRequest{KeyPrefix: "r4"}); got != "r4" {
		t.Errorf("by prefix: %s", got)
	}
}

// assessor answers as a test wants.
type assessor struct {
	assessment *rolloutv1.Assessment
	violated   []string
	err        error
}

func (a *assessor) Assess(context.Context, string, string) (*rolloutv1.Assessment, error) {
	return a.assessment, a.err
}

func (a *assessor) Violated(context.Context, string, string) ([]string, error) {
	return a.violated, a.err
}

func (a *assessor) Success(context.Context, string, string) (*rolloutv1.SuccessAssessment, error) {
	return a.assessment.GetSuccess(), a.err
}

func TestAssessor(t *testing.T) {
	f := rollingFixture(t)
	f.startNew("r", "f")
	a := &assessor{assessment: &rolloutv1.Assessment{Headline: "Held at 1%"}}
	f.o.Assessor = a
	get := func() *rolloutv1.Assessment {
		t.Helper()
		resp, err := f.GetRollout(f.ctx, &controlv1.GetRolloutRequest{Environment: production, Key: "r"})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetAssessment()
	}
	if got := get(); !proto.Equal(got, a.assessment) {
		t.Errorf("assessment %v", got)
	}
	a.violated = []string{"errors"}
	if _, err := f.promote("r", nil); err == nil || !strings.Contains(err.Error(), `guardrail "errors" is violated`) {
		t.Errorf("promoted against a guardrail: %v", err)
	}
	// Who decides does not answer: a rollout is shown without its evidence, not widened, and
	// can be ended.
	a.err = errors.New("no leader")
	if got := get(); got != nil {
		t.Errorf("assessment %v", got)
	}
	if _, err := f.promote("r", nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("promoted without knowing: %v", err)
	}
	if _, err := f.abort("r"); err != nil {
		t.Errorf("abort: %v", err)
	}
}

func TestWatchRollout(t *testing.T) {
	f := rollingFixture(t)
	f.startNew("r", "f")
	shown := make(chan *controlv1.WatchRolloutResponse, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- f.WatchRollout(f.ctx, &controlv1.WatchRolloutRequest{Environment: production, Key: "r"}, func(r *controlv1.WatchRolloutResponse) error {
			shown <- r
			return nil
		})
	}()
	if r := <-shown; r.GetRollout().GetRollout().GetStatus().GetWeight() != 100 {
		t.Errorf("%v", r)
	}
	if _, err := f.promote("r", nil); err != nil {
		t.Fatal(err)
	}
	if r := <-shown; r.GetRollout().GetRollout().GetStatus().GetWeight() != 500 || r.GetRollout().GetRevision() != f.getRollout("r").GetRevision() {
		t.Errorf("%v", r)
	}
	if _, err := f.abort("r"); err != nil {
		t.Fatal(err)
	}
	if r := <-shown; rollout.Active(r.GetRollout().GetRollout()) {
		t.Errorf("%v", r)
	}
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	// One that is over is told once.
	calls := 0
	err := f.WatchRollout(f.ctx, &controlv1.WatchRolloutRequest{Environment: production, Key: "r"}, func(*controlv1.WatchRolloutResponse) error {
		calls++
		return nil
	})
	if err != nil || calls != 1 {
		t.Errorf("%d, %v", calls, err)
	}
	var notFound *NotFoundError
	if err := f.WatchRollout(f.ctx, &controlv1.WatchRolloutRequest{Environment: production, Key: "x"}, nil); !errors.As(err, &notFound) {
		t.Errorf("%v", err)
	}
}

func sortedKeys(rollouts []*controlv1.RolloutVersion) []string {
	var keys []string
	for _, v := range rollouts {
		keys = append(keys, v.GetRollout().GetKey())
	}
	slices.Sort(keys)
	return keys
}
