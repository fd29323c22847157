package controlplane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

func twoServers(t *testing.T) []*rolling {
	t.Helper()
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	return []*rolling{newRolling(runOn(t, s)), newRolling(runOn(t, s))}
}

// TestTwoStarts: of rollouts that start at once, one owns the outcome.
func TestTwoStarts(t *testing.T) {
	servers := twoServers(t)
	for round := range 25 {
		flag := fmt.Sprintf("f%d", round)
		servers[0].create(offFlag(flag))
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, f := range servers {
			wg.Go(func() { _, errs[i] = f.tryStart(canary(fmt.Sprintf("r%d-%d", round, i), flag), "") })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			var precondition *PreconditionError
			if err == nil {
				won++
			} else if !errors.As(err, &precondition) {
				t.Errorf("round %d: %v", round, err)
			}
		}
		list, err := servers[0].ListRollouts(servers[0].ctx, &controlv1.ListRolloutsRequest{Environment: production, FlagKey: flag}, Reader{})
		if won != 1 || err != nil || len(list.GetRollouts()) != 1 {
			t.Fatalf("round %d: %d started, there are %v, %v", round, won, sortedKeys(list.GetRollouts()), err)
		}
	}
}

// TestStartAgainstWrite: a rollout that starts and a write of its outcome do not both happen
// unseen, also where the start itself changes nothing in the flag.
func TestStartAgainstWrite(t *testing.T) {
	servers := twoServers(t)
	for round := range 36 {
		key := fmt.Sprintf("f%d", round)
		blueGreen := canary("r"+key, key)
		blueGreen.Strategy = rolloutv1.Strategy_STRATEGY_BLUE_GREEN
		made := offFlag(key)
		if round%2 == 0 { // the very split that the first stage, of 0, comes to
			next, err := rollout.Start(blueGreen, made, rollout.At{})
			if err != nil {
				t.Fatal(err)
			}
			made = next.Flag
		}
		base := servers[0].create(made).GetFlag().GetRevision()
		var (
			wg                 sync.WaitGroup
			startErr, writeErr error
		)
		wg.Go(func() { _, startErr = servers[0].tryStart(blueGreen, "") })
		wg.Go(func() {
			if round%3 == 0 {
				writeErr = servers[1].delete(key, base)
				return
			}
			edited := boolFlag(key) // serves the treatment
			_, writeErr = servers[1].update(edited, base)
		})
		wg.Wait()
		if startErr == nil && writeErr == nil {
			t.Fatalf("round %d: both happened", round)
		}
		if startErr == nil && !rollout.Ready(servers[0].getRollout("r"+key).GetRollout(), servers[0].get(key).GetFlag()) {
			t.Fatalf("round %d: the flag is not what the rollout wrote", round)
		}
		if startErr != nil && writeErr != nil {
			t.Fatalf("round %d: neither happened: %v; %v", round, startErr, writeErr)
		}
	}
}

// TestRandomHands: people and a decider steer one rollout at once, on two servers, while others
// edit and switch its flag. What the flag serves is always what the rollout says, chains have
// no gaps, weights only rise until it ends, and what people edited stays.
func TestRandomHands(t *testing.T) {
	servers := twoServers(t)
	for round := range 4 {
		key, flag := fmt.Sprintf("r%d", round), fmt.Sprintf("f%d", round)
		servers[0].startNew(key, flag)
		var wg sync.WaitGroup
		for hand := range 4 {
			f, rng := servers[hand%2], rand.New(rand.NewPCG(uint64(round), uint64(hand)))
			wg.Go(func() {
				for range 25 {
					if err := randomHand(f, rng, hand, key, flag); err != nil {
						var conflict *ConflictError
						if tolerate(t, err); hand == 1 && errors.As(err, &conflict) {
							t.Errorf("an operator, who named no revision, lost: %v", err)
						}
					}
				}
			})
		}
		wg.Wait()
		checkHands(t, servers[round%2], key, flag)
	}
}

func randomHand(f *rolling, rng *rand.Rand, hand int, key, flag string) error {
	switch hand {
	case 0: // the decider
		v := []rolloutv1.Verdict{rolloutv1.Verdict_VERDICT_ADVANCE, rolloutv1.Verdict_VERDICT_HOLD, rolloutv1.Verdict_VERDICT_ADVANCE}[rng.IntN(3)]
		if rng.IntN(30) == 0 {
			v = rolloutv1.Verdict_VERDICT_ROLLBACK
		}
		r, err := f.GetRollout(f.ctx, &controlv1.GetRolloutRequest{Environment: production, Key: key})
		if err != nil {
			return err
		}
		current, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: flag})
		if err != nil {
			return err
		}
		_, err = f.CarryOut(f.ctx, verdict(r.GetRollout(), current.GetFlag().GetRevision(), v), nil, nil)
		return err
	case 1: // an operator
		switch rng.IntN(40) {
		case 0:
			_, err := f.abort(key)
			return err
		case 1, 2:
			_, err := f.promote(key, nil)
			return err
		}
		if rng.IntN(2) == 0 {
			_, err := f.pause(key)
			return err
		}
		_, err := f.ResumeRollout(f.ctx, alice, &controlv1.ResumeRolloutRequest{Environment: production, Key: key, Reason: "go"})
		return err
	case 2: // an author
		current, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: flag})
		if err != nil {
			return err
		}
		edited := proto.CloneOf(current.GetFlag().GetFlag())
		edited.Tags = append(edited.Tags, fmt.Sprintf("t%d", len(edited.GetTags())))
		_, err = f.update(edited, current.GetFlag().GetRevision())
		return err
	}
	_, err := f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{Environment: production, FlagKey: flag, Enabled: rng.IntN(2) == 0, Reason: "switch"})
	return err
}

// checkHands goes through the two histories together.
func checkHands(t *testing.T, f *rolling, key, flag string) {
	t.Helper()
	var entries []*controlv1.AuditEntry
	for token := ""; ; {
		page, err := f.ListRolloutHistory(f.ctx, &controlv1.ListRolloutHistoryRequest{Environment: production, Key: key, PageSize: 50, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.GetEntries() {
			entries = append([]*controlv1.AuditEntry{e}, entries...)
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	byRevision := map[int64]*controlv1.AuditEntry{}
	for _, e := range entries {
		byRevision[e.GetRevision()] = e
	}
	var current *rolloutv1.Rollout
	tags := 0
	for _, e := range checkChain(t, f.fixture, flag) {
		if of := byRevision[e.GetRevision()]; of != nil {
			was := current.GetStatus()
			current = of.GetRollout()
			if s := current.GetStatus(); rollout.Active(current) && s.GetWeight() < was.GetWeight() {
				t.Errorf("%s fell from %d to %d", key, was.GetWeight(), s.GetWeight())
			}
		}
		served := proto.CloneOf(e.GetFlag())
		if len(served.GetTags()) < tags {
			t.Errorf("revision %d lost an edit", e.GetRevision())
		}
		tags = len(served.GetTags())
		served.Enabled = true
		if rollout.Active(current) && !rollout.Ready(current, served) {
			t.Errorf("revision %d: the flag serves %s, the rollout says %d", e.GetRevision(), weights(served), current.GetStatus().GetWeight())
		}
		if current != nil && !rollout.Active(current) && weights(served) == "" {
			t.Errorf("revision %d: nothing is served", e.GetRevision())
		}
	}
	f.checkDecisionChain(key, f.getRollout(key).GetRollout().GetStatus().GetDecision())
}

// TestSteerBasedOnTheRollout: what a person steers is based on the rollout's revision, not on its
// flag's, of which they may not know: a change of that, meanwhile, is no conflict.
func TestSteerBasedOnTheRollout(t *testing.T) {
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	between := &intercepted{Store: s}
	f, other := newRolling(runOn(t, between)), newRolling(runOn(t, s))
	base := f.startNew("r", "f").GetRevision()
	between.before(func() {
		held := other.get("f")
		changed := proto.CloneOf(held.GetFlag())
		changed.Description = "by somebody else"
		if _, err := other.update(changed, held.GetRevision()); err != nil {
			t.Error(err)
		}
	})
	if _, err := f.AbortRollout(f.ctx, alice, &controlv1.AbortRolloutRequest{Environment: production, Key: "r", BaseRevision: &base, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	f.checkTogether("r", controlv1.Action_ACTION_ABORTED, "off")
	if got := f.get("f").GetFlag().GetDescription(); got != "by somebody else" {
		t.Errorf("the flag is described as %q", got)
	}
}
