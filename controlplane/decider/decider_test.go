package decider

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// What is healthy goes through all of its stages, none of them left too soon, and completes.
func TestHealthy(t *testing.T) {
	inBubble(t, 4, func(c *cluster) {
		c.start(canary("r", "f", 500, 2000, 5000, 10_000))
		r := c.live("r", 2000, over)
		if r.GetStatus().GetState() != rolloutv1.State_STATE_COMPLETED {
			t.Fatalf("it is %v", r.GetStatus())
		}
		all := c.decisions("r")
		if got, want := verdicts(moves(all)), []string{"advance 2000", "advance 5000", "advance 9800", "complete 10000"}; !slices.Equal(got, want) {
			t.Errorf("decisions: %q, want %q", got, want)
		}
		began := r.GetStatus().GetStartedAt().AsTime()
		for _, d := range moves(all) {
			if d.GetTime().AsTime().Sub(began) < 10*time.Second {
				t.Errorf("decision %d came %v after the step began", d.GetNumber(), d.GetTime().AsTime().Sub(began))
			}
			began = d.GetTime().AsTime()
			if d.GetFlagRevision() == 0 || d.GetDecider() != "a" || d.GetTerm() == 0 || d.GetHeadline() == "" || d.GetPolicy() == "" {
				t.Errorf("what it was made of is missing: %v", d)
			}
		}
		if len(all) > 40 {
			t.Errorf("%d decisions", len(all))
		}
		if _, err := c.servers[0].DeleteRollout(context.Background(), alice, &controlv1.DeleteRolloutRequest{Environment: production, Key: "r", Reason: "tidy"}); err != nil {
			t.Fatal(err)
		}
		if c.evidence("r") != nil {
			t.Error("the evidence of a rollout that was deleted is still there")
		}
		if again := c.decisions("r"); len(again) != len(all) {
			t.Errorf("%d decisions are left of %d", len(again), len(all))
		}
	})
}

// twentyfold runs until a rollout at 5% whose treatment fails 20 times as often is shut.
func twentyfold(c *cluster) (after time.Duration) {
	c.start(canary("r", "f", 500, 10_000))
	c.live("r", 8, nil)
	c.world.treated = 0.2
	began := time.Now()
	r := c.live("r", 60, over)
	if r.GetStatus().GetState() != rolloutv1.State_STATE_ROLLED_BACK || r.GetStatus().GetWeight() != 0 {
		c.t.Fatalf("it is %v", r.GetStatus())
	}
	return time.Since(began)
}

// What is bad is shut within seconds, by the guardrail, with flag, rollout, decision and message
// in one transaction.
func TestBadIsShut(t *testing.T) {
	inBubble(t, 4, func(c *cluster) {
		if after := twentyfold(c); after > 10*time.Second {
			t.Errorf("it took %v", after)
		}
		all := c.decisions("r")
		d := all[len(all)-1]
		if d.GetVerdict() != rolloutv1.Verdict_VERDICT_ROLLBACK || d.GetDeciding() != "errors" || d.GetFromWeight() != 500 || d.GetToWeight() != 0 {
			t.Errorf("%v", d)
		}
		ctx := context.Background()
		f, err := c.servers[0].GetFlag(ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: "f"})
		if err != nil {
			t.Fatal(err)
		}
		if f.GetFlag().GetFlag().GetDefaultOutcome().GetVariant() != "off" || f.GetFlag().GetRevision() != d.GetRevision() {
			t.Errorf("the flag serves %v as of revision %d, the decision is of %d", f.GetFlag().GetFlag().GetDefaultOutcome(), f.GetFlag().GetRevision(), d.GetRevision())
		}
		results, _, err := c.store.Read(ctx, store.Prefix("/tidegate/v1/n/team/"))
		if err != nil {
			t.Fatal(err)
		}
		told := slices.IndexFunc(results[0].KVs, func(kv store.KV) bool {
			return kv.ModRevision == d.GetRevision() && strings.Contains(string(kv.Value), `"rolled_back"`) && strings.Contains(string(kv.Value), "the limit is")
		})
		if told < 0 {
			t.Errorf("nobody is told: %v", results[0].KVs)
		}
	})
}

// Both variants in trouble is no reason to shut one, and no time to widen it.
func TestBothDownHolds(t *testing.T) {
	inBubble(t, 4, func(c *cluster) {
		c.start(canary("r", "f", 500, 2000, 10_000))
		c.live("r", 2000, func(r *rolloutv1.Rollout) bool { return r.GetStatus().GetWeight() == 2000 })
		c.world.treated, c.world.others = 0.6, 0.6
		r := c.live("r", 120, over)
		if r.GetStatus().GetState() != rolloutv1.State_STATE_RUNNING || r.GetStatus().GetWeight() != 2000 {
			t.Fatalf("it is %v", r.GetStatus())
		}
		all := c.decisions("r")
		if d := all[len(all)-1]; d.GetVerdict() != rolloutv1.Verdict_VERDICT_HOLD || d.GetAssessment().GetWaits()[0].GetReason() != "control" {
			t.Errorf("%s: %s", d.GetVerdict(), d.GetHeadline())
		}
	})
}

// Subjects that do not come as the split intends hold what would else advance; where it is the
// treatment that loses them, they may have crashed, and it is shut.
func TestSampleRatio(t *testing.T) {
	for name, one := range map[string]struct {
		arrive, arriveControl float64
		state                 rolloutv1.State
		deciding              string
	}{
		"control loses":   {1, 0.9, rolloutv1.State_STATE_RUNNING, "sample-ratio"},
		"treatment loses": {0.7, 1, rolloutv1.State_STATE_ROLLED_BACK, "subjects"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 4, func(c *cluster) {
				c.world.arrive, c.world.arriveControl = one.arrive, one.arriveControl
				r := canary("r", "f", 5000, 10_000)
				r.Stages[0].MinDwell = durationpb.New(time.Minute)
				c.start(r)
				r = c.live("r", 180, over)
				if s := r.GetStatus(); s.GetState() != one.state || s.GetWeight() > 5000 {
					t.Errorf("it is %v", s)
				}
				all := c.decisions("r")
				if d := all[len(all)-1]; d.GetDeciding() != one.deciding {
					t.Errorf("%s: %s", d.GetVerdict(), d.GetHeadline())
				}
			})
		})
	}
}

// Relays that do not serve the step, that are silent, or of which nobody knows, hold a rollout
// that has proven everything; they do not keep the breaker from shutting it.
func TestStaleRelaysHold(t *testing.T) {
	for name, trouble := range map[string]struct {
		begin, end func(*cluster)
		reason     string
	}{
		"not applied": {func(c *cluster) { c.stale.Store(1) }, func(c *cluster) { c.stale.Store(0) }, "relays"},
		"silent":      {func(c *cluster) { c.relays[0].mute = true }, func(c *cluster) { c.relays[0].mute = false }, "telemetry"},
		"not known":   {func(c *cluster) { c.unknown.Store(true) }, func(c *cluster) { c.unknown.Store(false) }, "relays"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 4, func(c *cluster) {
				trouble.begin(c)
				c.start(canary("r", "f", 5000, 10_000))
				r := c.live("r", 150, over)
				if r.GetStatus().GetWeight() != 5000 || over(r) {
					t.Fatalf("it is %v", r.GetStatus())
				}
				a, err := c.servers[0].decider.Assess(context.Background(), production, "r")
				if err != nil || a.GetWaits()[0].GetReason() != trouble.reason {
					t.Errorf("it waits for %v, %v", a.GetWaits(), err)
				}
				if all := c.decisions("r"); len(all) == 0 || len(all) > 60 {
					t.Errorf("%d decisions to hold", len(all))
				}
				trouble.end(c)
				if r = c.live("r", 100, func(r *rolloutv1.Rollout) bool { return r.GetStatus().GetWeight() > 5000 }); r.GetStatus().GetWeight() != 9800 {
					t.Fatalf("it is not widened when all is well: %v", r.GetStatus())
				}
				trouble.begin(c)
				c.world.treated = 0.5
				if r = c.live("r", 60, over); r.GetStatus().GetState() != rolloutv1.State_STATE_ROLLED_BACK {
					t.Errorf("it is not shut: %v", r.GetStatus())
				}
			})
		})
	}
}

// A new leader goes on from what the last one committed: it decides the same, and nothing is
// counted twice or lost.
func TestLeaderChange(t *testing.T) {
	run := func(changes int) (decided []string) {
		inBubble(t, 4, func(c *cluster) {
			c.world.treated = 0.013
			c.start(canary("r", "f", 500, 2000, 10_000))
			for i := range changes {
				c.live("r", 20, nil)
				c.leader().stop()
				c.serve(string(rune('b' + i)))
				c.awaitLeader()
			}
			r := c.live("r", 3000, over)
			if !over(r) {
				t.Fatalf("it is %v", r.GetStatus())
			}
			decided = verdicts(moves(c.decisions("r")))
			for range 5 {
				time.Sleep(time.Second)
				for _, r := range c.relays {
					r.push()
				}
			}
			a, ok := c.leader().collector.Account()
			var emitted uint64
			for _, r := range c.relays {
				emitted += r.emitted
			}
			if !ok || a.Emitted != emitted || a.Counted != emitted || a.Missing != 0 {
				t.Errorf("emitted %d: %+v", emitted, a)
			}
		})
		return decided
	}
	once, changed := run(0), run(3)
	if !slices.Equal(once, changed) {
		t.Errorf("without a change: %q; with: %q", once, changed)
	}
}

// What people do wins: whatever is decided is decided on it.
func TestPeople(t *testing.T) {
	ctx := context.Background()
	disable := func(c *cluster) error {
		_, err := c.servers[0].SetEnabled(ctx, alice, &controlv1.SetEnabledRequest{Environment: production, FlagKey: "f", Enabled: false, Reason: "stop"})
		return err
	}
	enable := func(c *cluster) error {
		_, err := c.servers[0].SetEnabled(ctx, alice, &controlv1.SetEnabledRequest{Environment: production, FlagKey: "f", Enabled: true, Reason: "go"})
		return err
	}
	pause := func(c *cluster) error {
		_, err := c.servers[0].PauseRollout(ctx, alice, &controlv1.PauseRolloutRequest{Environment: production, Key: "r", Reason: "wait"})
		return err
	}
	resume := func(c *cluster) error {
		_, err := c.servers[0].ResumeRollout(ctx, alice, &controlv1.ResumeRolloutRequest{Environment: production, Key: "r", Reason: "go"})
		return err
	}
	for name, p := range map[string]struct {
		stop, goOn func(*cluster) error
		reason     string
	}{
		"paused":   {pause, resume, "paused"},
		"disabled": {disable, enable, "flag"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, func(c *cluster) {
				c.start(canary("r", "f", 5000, 10_000))
				if err := p.stop(c); err != nil {
					t.Fatal(err)
				}
				if r := c.live("r", 100, nil); r.GetStatus().GetWeight() != 5000 {
					t.Fatalf("it is %v", r.GetStatus())
				}
				all := c.decisions("r")
				if d := all[len(all)-1]; d.GetVerdict() != rolloutv1.Verdict_VERDICT_HOLD || d.GetDeciding() != p.reason {
					t.Errorf("%s: %s", d.GetVerdict(), d.GetHeadline())
				}
				if err := p.goOn(c); err != nil {
					t.Fatal(err)
				}
				if r := c.live("r", 300, over); r.GetStatus().GetState() != rolloutv1.State_STATE_COMPLETED {
					t.Errorf("it does not go on: %v", r.GetStatus())
				}
				c.decisions("r")
			})
		})
	}
	t.Run("paused is shut all the same", func(t *testing.T) {
		inBubble(t, 2, func(c *cluster) {
			c.start(canary("r", "f", 5000, 10_000))
			if err := pause(c); err != nil {
				t.Fatal(err)
			}
			c.world.treated = 0.3
			if r := c.live("r", 60, over); r.GetStatus().GetState() != rolloutv1.State_STATE_ROLLED_BACK {
				t.Errorf("it is %v", r.GetStatus())
			}
			c.decisions("r")
		})
	})
	t.Run("promote against a violated guardrail", func(t *testing.T) {
		inBubble(t, 2, func(c *cluster) {
			r := canary("r", "f", 5000, 10_000)
			r.Guardrails[0].Action = rolloutv1.Action_ACTION_HOLD
			c.start(r)
			c.world.treated = 0.3
			c.live("r", 60, nil)
			_, err := c.servers[0].PromoteRollout(ctx, alice, &controlv1.PromoteRolloutRequest{Environment: production, Key: "r", Reason: "now"})
			if err == nil || !strings.Contains(err.Error(), `"errors" is violated`) {
				t.Errorf("promote: %v", err)
			}
		})
	})
}

// A person's write between the judgement and its commit has it judged again.
func TestConflict(t *testing.T) {
	ctx := context.Background()
	for name, write := range map[string]func(*cluster) error{
		"pause": func(c *cluster) error {
			_, err := c.servers[0].PauseRollout(ctx, alice, &controlv1.PauseRolloutRequest{Environment: production, Key: "r", Reason: "wait"})
			return err
		},
		"abort": func(c *cluster) error {
			_, err := c.servers[0].AbortRollout(ctx, alice, &controlv1.AbortRolloutRequest{Environment: production, Key: "r", Reason: "enough"})
			return err
		},
		"kill switch": func(c *cluster) error {
			_, err := c.servers[0].SetEnabled(ctx, alice, &controlv1.SetEnabledRequest{Environment: production, FlagKey: "f", Enabled: false, Reason: "stop"})
			return err
		},
		"promote": func(c *cluster) error {
			_, err := c.servers[0].PromoteRollout(ctx, alice, &controlv1.PromoteRolloutRequest{Environment: production, Key: "r", Reason: "now"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inHookedBubble(t, func(c *cluster, h *hooked) {
				c.start(canary("r", "f", 2000, 5000, 10_000))
				var happened atomic.Bool
				hook := func(txn store.Txn) {
					widens := slices.ContainsFunc(txn.Ops, func(op store.Op) bool { return op.Key == "/tidegate/v1/c/production/f/f" })
					if !widens || !slices.ContainsFunc(txn.Ops, func(op store.Op) bool { return strings.HasPrefix(op.Key, "/tidegate/v1/d/") }) {
						return
					}
					if happened.Swap(true) {
						return
					}
					if err := write(c); err != nil {
						t.Error(err)
					}
				}
				h.before.Store(&hook)
				r := c.live("r", 600, func(*rolloutv1.Rollout) bool { return happened.Load() })
				if !happened.Load() {
					t.Fatalf("nothing was decided: %v", r.GetStatus())
				}
				time.Sleep(3 * time.Second)
				r = c.rollout("r")
				if name == "promote" {
					if w := r.GetStatus().GetWeight(); w != 5000 {
						t.Errorf("it is at %d", w)
					}
				} else if w := r.GetStatus().GetWeight(); w > 2000 {
					t.Errorf("it was widened to %d against a person's write", w)
				}
				for _, d := range c.decisions("r") {
					if d.GetVerdict() == rolloutv1.Verdict_VERDICT_ADVANCE && d.GetInputs().GetRollout().GetStatus().GetState() != rolloutv1.State_STATE_RUNNING {
						t.Errorf("widened on %v", d.GetInputs().GetRollout().GetStatus())
					}
				}
			})
		})
	}
}

func inHookedBubble(t *testing.T, test func(*cluster, *hooked)) {
	t.Helper()
	h := &hooked{}
	synctest.Test(t, func(t *testing.T) {
		h.Store = memstore.New()
		c := newCluster(t, h, 2)
		c.serve("a")
		c.awaitLeader()
		test(c, h)
	})
}

// trip is that of a relay which has shut the rollout by itself.
func trip(step uint64, logE float64) *telemetryv1.Trip {
	return &telemetryv1.Trip{
		Rollout: "r", Step: step, Guardrail: "errors", Time: timestamppb.New(time.Now().Add(-time.Minute)), LogE: logE, LogThreshold: 40,
		TreatmentEvents: 12, TreatmentExposures: 40, ControlEvents: 3, ControlExposures: 900,
	}
}

func tripped(entries []*controlv1.AuditEntry) (list []*controlv1.AuditEntry) {
	for _, e := range entries {
		if e.GetAction() == controlv1.Action_ACTION_TRIPPED {
			list = append(list, e)
		}
	}
	return list
}

// The trip of a relay at the step in force shuts the rollout: one decision, and the audit trail
// has both.
func TestTrip(t *testing.T) {
	inBubble(t, 3, func(c *cluster) {
		c.start(canary("r", "f", 500, 10_000))
		c.live("r", 3, nil)
		c.relays[0].trips = []*telemetryv1.Trip{trip(1, 50), trip(1, 50)} // it was started anew, and tells it again
		c.relays[1].trips = []*telemetryv1.Trip{trip(1, 45)}
		r := c.live("r", 3, over)
		if r.GetStatus().GetState() != rolloutv1.State_STATE_ROLLED_BACK {
			t.Fatalf("it is %v", r.GetStatus())
		}
		all := c.decisions("r")
		if d := all[len(all)-1]; len(moves(all)) != 1 || d.GetDeciding() != "errors" || !strings.Contains(d.GetHeadline(), "cut off") {
			t.Errorf("%v", d)
		} else if n := len(d.GetInputs().GetSituation().GetTrips()); n > 2 {
			t.Errorf("%d trips of two relays", n)
		}
		told := tripped(c.trail("r"))
		// The second may come when the first has shut it already.
		if len(told) != 2 || told[0].GetActor() == told[1].GetActor() || told[0].GetRevision() != all[len(all)-1].GetRevision() {
			t.Errorf("trips in the audit trail: %v", told)
		}
		// One that comes when it is over is recorded, and changes nothing.
		before := c.rollout("r")
		c.relays[2].trips = []*telemetryv1.Trip{trip(1, 45)}
		c.live("r", 3, nil)
		if told := tripped(c.trail("r")); len(told) != 3 {
			t.Errorf("%d trips in the audit trail", len(told))
		}
		// Told again, it is recorded no more; that it was lifted is.
		again := trip(1, 45)
		lifted := trip(1, 45)
		lifted.LiftedAt = timestamppb.Now()
		c.relays[2].trips = []*telemetryv1.Trip{again, lifted}
		c.live("r", 3, nil)
		if told := tripped(c.trail("r")); len(told) != 4 || !strings.Contains(told[3].GetReason(), "goes by the control plane again") {
			t.Errorf("%d trips in the audit trail: %v", len(told), told)
		}
		if now := c.rollout("r"); now.String() != before.String() {
			t.Errorf("it became %v", now)
		}
		c.decisions("r")
	})
}

// A trip of an earlier step, or one that does not keep to the plan, is recorded and decides
// nothing.
func TestTripThatDecidesNothing(t *testing.T) {
	inBubble(t, 2, func(c *cluster) {
		c.start(canary("r", "f", 5000, 6000, 10_000))
		r := c.live("r", 600, func(r *rolloutv1.Rollout) bool { return r.GetStatus().GetStep() == 2 })
		if r.GetStatus().GetStep() != 2 {
			t.Fatalf("it is %v", r.GetStatus())
		}
		c.relays[0].trips = []*telemetryv1.Trip{trip(1, 50), trip(2, 1)}
		r = c.live("r", 5, nil)
		if over(r) {
			t.Errorf("it is %v", r.GetStatus())
		}
		if told := tripped(c.trail("r")); len(told) != 2 {
			t.Errorf("%d trips in the audit trail", len(told))
		}
		c.decisions("r")
	})
}

func experiment(giveUpAfter time.Duration) *rolloutv1.Rollout {
	r := canary("r", "f", 5000)
	r.Strategy = rolloutv1.Strategy_STRATEGY_EXPERIMENT
	r.Success = &rolloutv1.Success{
		Metric: "errors", Statistic: rolloutv1.Statistic_STATISTIC_RATE, Better: rolloutv1.Direction_DIRECTION_DECREASE,
		GiveUpAfter: durationpb.New(giveUpAfter),
	}
	r.Stages[0].Manual = false
	return r
}

// An experiment that comes to nothing in its time ends at the control, and says what it came to.
func TestGiveUp(t *testing.T) {
	inBubble(t, 2, func(c *cluster) {
		c.start(experiment(time.Minute))
		r := c.live("r", 120, over)
		if s := r.GetStatus(); s.GetState() != rolloutv1.State_STATE_ROLLED_BACK || s.GetWeight() != 0 {
			t.Fatalf("it is %v", s)
		}
		m := moves(c.decisions("r"))
		if len(m) != 1 || m[0].GetVerdict() != rolloutv1.Verdict_VERDICT_GIVE_UP {
			t.Fatalf("%v", verdicts(m))
		}
		if kept := r.GetStatus().GetSuccess(); kept.GetUnits() == 0 || !proto.Equal(kept, m[0].GetAssessment().GetSuccess()) {
			t.Errorf("it came to %v, of which is kept: %v", m[0].GetAssessment().GetSuccess(), kept)
		}
	})
}

// An experiment that ends before anything was counted is undecided: that is known, too.
func TestAbortedAtOnce(t *testing.T) {
	inBubble(t, 2, func(c *cluster) {
		c.start(experiment(time.Hour))
		if _, err := c.servers[0].AbortRollout(context.Background(), alice, &controlv1.AbortRolloutRequest{Environment: production, Key: "r", Reason: "enough"}); err != nil {
			t.Fatal(err)
		}
		kept := c.rollout("r").GetStatus().GetSuccess()
		if kept.GetVerdict() != rolloutv1.SuccessVerdict_SUCCESS_VERDICT_UNDECIDED || kept.GetUnits() != 0 || kept.Lower != nil {
			t.Errorf("kept is %v", kept)
		}
	})
}

// What somebody ends says what it came to by then, not by the newest decision.
func TestEndedByPeople(t *testing.T) {
	for name, end := range map[string]func(*server) error{
		"aborted": func(s *server) error {
			_, err := s.AbortRollout(context.Background(), alice, &controlv1.AbortRolloutRequest{Environment: production, Key: "r", Reason: "enough"})
			return err
		},
		"promoted": func(s *server) error {
			_, err := s.PromoteRollout(context.Background(), alice, &controlv1.PromoteRolloutRequest{Environment: production, Key: "r", Reason: "enough"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, func(c *cluster) {
				c.start(experiment(time.Hour))
				if r := c.live("r", 60, nil); r.GetStatus().GetSuccess() != nil {
					t.Errorf("not over, it came to %v", r.GetStatus().GetSuccess())
				}
				before := c.decisions("r")
				if err := end(c.servers[0]); err != nil {
					t.Fatal(err)
				}
				kept := c.rollout("r").GetStatus().GetSuccess()
				if was := before[len(before)-1].GetAssessment().GetSuccess(); kept.GetUnits() <= was.GetUnits() || kept.Lower == nil {
					t.Errorf("kept is %v, when the newest decision had %v", kept, was)
				}
			})
		})
	}
}

// Evidence that cannot be used would blind the breaker: it begins anew, and shuts what is bad.
func TestCorruptEvidence(t *testing.T) {
	inBubble(t, 2, func(c *cluster) {
		c.start(canary("r", "f", 5000, 10_000))
		c.live("r", 3, nil)
		if _, err := c.store.Commit(context.Background(), store.Txn{Ops: []store.Op{store.Put("/tidegate/v1/t/e/production/r", []byte("nonsense"))}}); err != nil {
			t.Fatal(err)
		}
		c.world.treated = 0.3
		if r := c.live("r", 60, over); r.GetStatus().GetState() != rolloutv1.State_STATE_ROLLED_BACK {
			t.Errorf("it is %v", r.GetStatus())
		}
		c.decisions("r")
	})
}

// What belongs to no rollout that is not over is set aside, and holds up nothing.
func TestSetAside(t *testing.T) {
	inBubble(t, 1, func(c *cluster) {
		c.start(canary("r", "f", 5000, 10_000))
		unknown := c.rollout("r")
		unknown.Key = "unknown"
		time.Sleep(time.Second)
		c.relays[0].count(unknown)
		c.relays[0].trips = []*telemetryv1.Trip{{Rollout: "unknown", Step: 1, Guardrail: "errors", Time: timestamppb.Now(), LogE: 50, LogThreshold: 40}}
		c.live("r", 5, nil)
		c.checkDrained()
		if c.evidence("unknown") != nil {
			t.Error("there is evidence of a rollout that there is not")
		}
		if e := c.evidence("r"); e.GetControlExposures() == 0 {
			t.Errorf("evidence: %v", e)
		}
	})
}

// Many rollouts at once: all of them are judged, and shut, though one transaction does not take
// all verdicts.
func TestMany(t *testing.T) {
	inBubble(t, 1, func(c *cluster) {
		const n = 30
		keys := make([]string, n)
		for i := range keys {
			keys[i] = "r" + strconv.Itoa(i)
			c.start(canary(keys[i], "f"+strconv.Itoa(i), 5000, 10_000))
		}
		c.world.treated = 0.5
		one := c.relays[0]
		for range 15 {
			time.Sleep(time.Second)
			for _, key := range keys {
				one.count(c.rollout(key))
			}
			one.push()
		}
		for _, key := range keys {
			if r := c.rollout(key); r.GetStatus().GetState() != rolloutv1.State_STATE_ROLLED_BACK {
				t.Errorf("%s is %v", key, r.GetStatus())
			}
			if m := moves(c.decisions(key)); len(m) != 1 {
				t.Errorf("%s: %v", key, verdicts(m))
			}
		}
	})
}

// The metrics tell of decisions, and of the evidence of what is not over.
func TestMetrics(t *testing.T) {
	inBubble(t, 2, func(c *cluster) {
		c.start(canary("r", "f", 5000, 10_000))
		c.live("r", 5, nil)
		names := func() map[string]bool {
			families, err := c.servers[0].registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			found := make(map[string]bool)
			for _, f := range families {
				found[f.GetName()] = true
			}
			return found
		}
		if found := names(); !found["tidegate_rollout_evidence_ratio"] || !found["tidegate_rollout_gate_ratio"] || !found["tidegate_decider_decisions_total"] {
			t.Errorf("metrics: %v", found)
		}
		c.world.treated = 0.5
		c.live("r", 30, over)
		time.Sleep(2 * time.Second)
		if found := names(); found["tidegate_rollout_evidence_ratio"] {
			t.Error("there are metrics of a rollout that is over")
		}
	})
}

// The hash of each decision is in the next one.
func TestVerify(t *testing.T) {
	inBubble(t, 2, func(c *cluster) {
		c.start(canary("r", "f", 2000, 5000, 10_000))
		c.live("r", 600, over)
		all := c.decisions("r")
		if len(all) < 3 {
			t.Fatalf("%d decisions", len(all))
		}
		forged := slices.Clone(all)
		forged[1] = proto.CloneOf(all[1])
		forged[1].Headline = "All is well"
		for name, chain := range map[string][]*rolloutv1.Decision{
			"changed": forged, "removed": slices.Delete(slices.Clone(all), 1, 2),
		} {
			if err := controlplane.VerifyDecisions(chain); err == nil {
				t.Errorf("%s: nothing is found", name)
			}
		}
		if err := controlplane.VerifyDecisions(all[1:]); err != nil {
			t.Errorf("a part: %v", err)
		}
	})
}
