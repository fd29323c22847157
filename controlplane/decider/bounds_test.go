package decider

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// What is waited for may change each second: the decisions to hold stay few.
func TestHoldsAreFew(t *testing.T) {
	inBubble(t, 2, func(c *cluster) {
		r := canary("r", "f", 5000, 10_000)
		r.Stages[0].Manual = true
		c.start(r)
		for i := range 300 {
			c.stale.Store(int32(i % 2))
			c.live("r", 1, nil)
		}
		// 10*ln(300/10) of them, about.
		if n := len(c.decisions("r")); n < 5 || n > 40 {
			t.Errorf("%d decisions in 300 s", n)
		}
	})
}

// What was known of relays counts for seconds: one that fell silent, or that nobody knows about
// any more, holds the rollout from then on.
func TestKnowledgeAges(t *testing.T) {
	for name, one := range map[string]struct {
		lose   func(*cluster)
		reason string
	}{
		"silent":    {func(c *cluster) { c.relays[0].mute = true }, "telemetry"},
		"not known": {func(c *cluster) { c.unknown.Store(true) }, "relays"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 4, func(c *cluster) {
				r := canary("r", "f", 5000, 10_000)
				r.Stages[0].MinDwell = durationpb.New(25 * time.Second)
				c.start(r)
				c.live("r", 10, nil)
				one.lose(c)
				if r = c.live("r", 30, nil); r.GetStatus().GetWeight() != 5000 {
					t.Errorf("it is %v", r.GetStatus())
				}
				a, err := c.servers[0].decider.Assess(context.Background(), production, "r")
				if err != nil || a.GetWaits()[0].GetReason() != one.reason {
					t.Errorf("it waits for %v, %v", a.GetWaits(), err)
				}
			})
		})
	}
}

// Two rollouts of one flag cannot be shut in one transaction: the second is shut in the next one,
// by the trip that came a second before.
func TestTripWaits(t *testing.T) {
	ctx := context.Background()
	inBubble(t, 1, func(c *cluster) {
		c.start(canary("r", "f", 5000, 10_000))
		s := c.servers[0]
		got, err := s.GetFlag(ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: "f"})
		if err != nil {
			t.Fatal(err)
		}
		f := got.GetFlag().GetFlag()
		f.Rules = append(f.Rules, &flagv1.Rule{
			Id: "beta", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "off"}},
			Clauses: []*flagv1.Clause{{Attribute: "plan", Operator: flagv1.Operator_OPERATOR_EXISTS}},
		})
		if _, err := s.UpdateFlag(ctx, alice, &controlv1.UpdateFlagRequest{Environment: production, Flag: f, BaseRevision: got.GetFlag().GetRevision(), Reason: "beta"}); err != nil {
			t.Fatal(err)
		}
		second := canary("second", "f", 5000, 10_000)
		second.Rule = "beta"
		if _, err := s.StartRollout(ctx, alice, &controlv1.StartRolloutRequest{Environment: production, Rollout: second, Reason: "too"}); err != nil {
			t.Fatal(err)
		}
		c.live("r", 3, nil)
		other := trip(1, 50)
		other.Rollout = "second"
		c.relays[0].trips = []*telemetryv1.Trip{trip(1, 50), other}
		c.live("r", 4, nil)
		var revisions []int64
		for _, key := range []string{"r", "second"} {
			if r := c.rollout(key); r.GetStatus().GetState() != rolloutv1.State_STATE_ROLLED_BACK {
				t.Fatalf("%s is %v", key, r.GetStatus())
			}
			m := moves(c.decisions(key))
			if len(m) != 1 || len(tripped(c.trail(key))) != 1 {
				t.Fatalf("%s: %v, %v", key, verdicts(m), c.trail(key))
			}
			revisions = append(revisions, m[0].GetRevision())
		}
		if revisions[0] == revisions[1] {
			t.Error("both were shut at once: the test is of nothing")
		}
	})
}

// Evidence is of the rollout as it was judged: one that ends meanwhile gets none.
func TestEvidenceConflict(t *testing.T) {
	ctx := context.Background()
	inHookedBubble(t, func(c *cluster, h *hooked) {
		c.start(canary("r", "f", 5000, 10_000))
		c.live("r", 3, nil)
		var ended atomic.Int64
		hook := func(txn store.Txn) {
			evidence := slices.ContainsFunc(txn.Ops, func(op store.Op) bool { return strings.HasPrefix(op.Key, "/tidegate/v1/t/e/") })
			if !evidence || !ended.CompareAndSwap(0, 1) {
				return
			}
			aborted, err := c.servers[0].AbortRollout(ctx, alice, &controlv1.AbortRolloutRequest{Environment: production, Key: "r", Reason: "enough"})
			if err != nil {
				t.Error(err)
			}
			ended.Store(aborted.GetRollout().GetRevision())
		}
		h.before.Store(&hook)
		c.live("r", 5, nil)
		results, _, err := c.store.Read(ctx, store.Key("/tidegate/v1/t/e/production/r"))
		if err != nil || len(results[0].KVs) != 1 {
			t.Fatalf("%v, %v", results, err)
		}
		if at := results[0].KVs[0].ModRevision; ended.Load() < 2 || at > ended.Load() {
			t.Errorf("it ended at revision %d, and its evidence is of %d", ended.Load(), at)
		}
		c.checkDrained()
	})
}
