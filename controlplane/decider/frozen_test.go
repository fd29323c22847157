package decider

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/judge"
)

func (c *cluster) freezer() *controlplane.Freezer {
	c.t.Helper()
	f, err := controlplane.NewFreezer(controlplane.FreezerOptions{Authority: c.servers[0].Authority})
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

func (c *cluster) freeze(until time.Time) *controlv1.FreezeResponse {
	c.t.Helper()
	r := &controlv1.FreezeRequest{Reason: "checkout is down"}
	if !until.IsZero() {
		r.Until = timestamppb.New(until)
	}
	resp, err := c.freezer().Freeze(context.Background(), alice, r)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func (c *cluster) lift() {
	c.t.Helper()
	if _, err := c.freezer().Lift(context.Background(), alice, &controlv1.LiftRequest{Reason: "it is up"}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) setWindow(start, end time.Time) {
	c.t.Helper()
	ctx := context.Background()
	current, err := c.servers[0].GetEnvironment(ctx, &controlv1.GetEnvironmentRequest{Environment: production})
	if err != nil {
		c.t.Fatal(err)
	}
	once := &controlv1.OnceWindow{Start: timestamppb.New(start), End: timestamppb.New(end)}
	if _, err := c.servers[0].UpdateEnvironment(ctx, alice, &controlv1.UpdateEnvironmentRequest{
		Environment: production, BaseRevision: current.GetRevision(), Reason: "as agreed",
		Settings: &controlv1.EnvironmentSettings{FreezeWindows: []*controlv1.FreezeWindow{{Name: "closing", When: &controlv1.FreezeWindow_Once{Once: once}}}},
	}); err != nil {
		c.t.Fatal(err)
	}
}

// What proves itself in a frozen environment waits, says why, and goes on when it no longer is.
func TestFrozenHolds(t *testing.T) {
	for name, freeze := range map[string]struct {
		begin func(*cluster)
		end   func(*cluster) // nil: it ends by itself within 200 s
		words string
		until bool
	}{
		"until it is lifted": {func(c *cluster) { c.freeze(time.Time{}) }, (*cluster).lift, "frozen by alice since ", false},
		"until a time":       {func(c *cluster) { c.freeze(time.Now().Add(180 * time.Second)) }, nil, ": checkout is down", true},
		"in a window":        {func(c *cluster) { c.setWindow(time.Now(), time.Now().Add(180*time.Second)) }, nil, "in freeze window 'closing' since ", true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, func(c *cluster) {
				c.start(canary("r", "f", 5000, 10_000))
				freeze.begin(c)
				if r := c.live("r", 150, func(r *rolloutv1.Rollout) bool { return r.GetStatus().GetWeight() != 5000 }); r.GetStatus().GetWeight() != 5000 {
					t.Fatalf("it is %v", r.GetStatus())
				}
				a, err := c.servers[0].decider.Assess(context.Background(), production, "r")
				if err != nil || len(a.GetWaits()) != 1 || a.GetWaits()[0].GetReason() != "frozen" || (a.GetWaits()[0].GetUntil() != nil) != freeze.until ||
					!strings.HasPrefix(a.GetHeadline(), "Held at 50%: ") || !strings.Contains(a.GetHeadline(), freeze.words) {
					t.Errorf("%v, %v", a, err)
				}
				all := c.decisions("r")
				if d := all[len(all)-1]; d.GetVerdict() != rolloutv1.Verdict_VERDICT_HOLD || d.GetDeciding() != "frozen" || d.GetInputs().GetSituation().GetFrozen() == nil {
					t.Errorf("%s: %s", d.GetVerdict(), d.GetHeadline())
				}
				if len(all) > 10 {
					t.Errorf("%d decisions to hold", len(all))
				}
				if freeze.end != nil {
					freeze.end(c)
				}
				if r := c.live("r", 400, over); r.GetStatus().GetState() != rolloutv1.State_STATE_COMPLETED {
					t.Errorf("it does not go on: %v", r.GetStatus())
				}
				for _, d := range c.decisions("r") { // as they were made, frozen or not
					if err := judge.Replay(d); err != nil {
						t.Errorf("decision %d: %v", d.GetNumber(), err)
					}
				}
			})
		})
	}
}

// What is bad is shut as fast as ever.
func TestFrozenShuts(t *testing.T) {
	inBubble(t, 4, func(c *cluster) {
		c.start(canary("r", "f", 500, 10_000))
		c.freeze(time.Time{})
		c.live("r", 8, nil)
		c.world.treated = 0.2
		began := time.Now()
		if r := c.live("r", 60, over); r.GetStatus().GetState() != rolloutv1.State_STATE_ROLLED_BACK || r.GetStatus().GetWeight() != 0 {
			t.Fatalf("it is %v", r.GetStatus())
		}
		if after := time.Since(began); after > 10*time.Second {
			t.Errorf("it took %v", after)
		}
	})
}

// A freeze between the judgement and its commit wins: nothing is widened above its revision.
func TestFreezeWinsOverAVerdict(t *testing.T) {
	for name, freeze := range map[string]func(*cluster){
		"frozen":      func(c *cluster) { c.freeze(time.Time{}) },
		"in a window": func(c *cluster) { c.setWindow(time.Now().Add(-time.Minute), time.Now().Add(time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			inHookedBubble(t, func(c *cluster, h *hooked) {
				c.start(canary("r", "f", 5000, 10_000))
				happened := false
				before := func(txn store.Txn) {
					if happened || !widensIn(txn) {
						return
					}
					happened = true
					freeze(c)
				}
				h.before.Store(&before)
				r := c.live("r", 200, func(r *rolloutv1.Rollout) bool { return r.GetStatus().GetWeight() != 5000 })
				if !happened || r.GetStatus().GetWeight() != 5000 || over(r) {
					t.Fatalf("frozen %t: it is %v", happened, r.GetStatus())
				}
				all := c.decisions("r")
				if d := all[len(all)-1]; d.GetVerdict() != rolloutv1.Verdict_VERDICT_HOLD || d.GetDeciding() != "frozen" {
					t.Errorf("%s: %s", d.GetVerdict(), d.GetHeadline())
				}
				if _, ok := c.servers[0].collector.Account(); !ok {
					t.Error("the leader gave up")
				}
			})
		})
	}
}

// widensIn tells whether a transaction changes a flag, as what advances does.
func widensIn(txn store.Txn) bool {
	for _, op := range txn.Ops {
		if strings.HasPrefix(op.Key, "/tidegate/v1/d/") {
			for _, other := range txn.Ops {
				if strings.HasPrefix(other.Key, "/tidegate/v1/c/"+production+"/f/") {
					return true
				}
			}
		}
	}
	return false
}
