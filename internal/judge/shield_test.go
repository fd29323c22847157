package judge

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// TestShieldTable: every combination of facts with every proposal.
func TestShieldTable(t *testing.T) {
	t.Parallel()
	proposals := []rolloutv1.Verdict{-1, 0, hold, advance, complete, rollback, giveUp, 99}
	waits := [][]Wait{nil, {{ReasonGate, 0}}, {{ReasonPaused, -1}, {ReasonDwell, -1}}}
	n := 0
	for bits := range 1 << 6 {
		for _, w := range waits {
			for _, proposed := range proposals {
				f := facts{over: bits&1 != 0, breach: -1, trip: -1, lack: bits&8 != 0, giveUp: bits&16 != 0, last: bits&32 != 0, waits: w}
				if bits&2 != 0 {
					f.breach = 1
				}
				if bits&4 != 0 {
					f.trip = 2
				}
				r, forced := f.forced()
				if !forced {
					r = f.allow(proposed)
				}
				if problem := f.unsafe(r, proposed); problem != "" {
					t.Errorf("%+v, proposed %v: %v (%s): %s", f, proposed, r.verdict, r.reason, problem)
				}
				n++
			}
		}
	}
	if n != 64*3*8 {
		t.Errorf("%d cases", n)
	}
}

// unsafe states what a verdict may be, from the facts alone.
func (f *facts) unsafe(r ruling, proposed rolloutv1.Verdict) string {
	shut := f.breach >= 0 || f.trip >= 0 || f.lack
	switch {
	case f.over && r.verdict != hold:
		return "a rollout that is over was decided on"
	case f.over:
		return ""
	case shut && r.verdict != rollback:
		return "harm was not shut"
	case !shut && r.verdict == rollback:
		return "a rollback without harm"
	case !shut && f.giveUp && r.verdict != giveUp:
		return "an experiment goes on after its time"
	case !f.giveUp && r.verdict == giveUp:
		return "an experiment was given up before its time"
	case shut || f.giveUp:
		return ""
	case (r.verdict == advance || r.verdict == complete) && (len(f.waits) > 0 || proposed != advance):
		return "an advance that was not proven, or not proposed"
	case r.verdict == advance && f.last || r.verdict == complete && !f.last:
		return "the wrong end"
	case len(f.waits) == 0 && proposed == advance && r.verdict == hold:
		return "held without a reason"
	}
	return ""
}

// policyFunc is a policy of a test.
type policyFunc func(*Observation) rolloutv1.Verdict

func (policyFunc) Name() string                               { return "test" }
func (p policyFunc) Propose(o *Observation) rolloutv1.Verdict { return p(o) }

func adversaries(seed uint64) map[string]Policy {
	d := rand.New(rand.NewPCG(seed, 2))
	return map[string]Policy{
		"always advance": policyFunc(func(*Observation) rolloutv1.Verdict { return advance }),
		"random":         policyFunc(func(*Observation) rolloutv1.Verdict { return rolloutv1.Verdict(d.IntN(8) - 1) }),
		"not a number": policyFunc(func(o *Observation) rolloutv1.Verdict {
			zero := 0.0
			return rolloutv1.Verdict(int32(o.Features()[6] / zero * zero))
		}),
		"panics":   policyFunc(func(*Observation) rolloutv1.Verdict { panic("no") }),
		"complete": policyFunc(func(*Observation) rolloutv1.Verdict { return complete }),
		"meddles": policyFunc(func(o *Observation) rolloutv1.Verdict {
			for i := range o.Waits { // an observation is a policy's own
				o.Waits[i] = Wait{Reason: ReasonProven, Guard: -1}
			}
			o.Ready = true
			return advance
		}),
	}
}

// TestShieldHoldsPolicies: policies of every kind of malice run rollouts that are good, bad, and
// in every kind of trouble. Whatever they propose, a rollout only widens when every gate is
// passed, its time is over, and nothing is in the way; and harm that is proven shuts it.
func TestShieldHoldsPolicies(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		for name, policy := range adversaries(seed) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				t.Parallel()
				holdPolicy(t, seed, policy)
			})
		}
	}
}

func holdPolicy(t *testing.T, seed uint64, policy Policy) {
	d := newWorld(seed)
	rate := []float64{0.05, 0.05, 0.2, 0.4}[seed%4] // of the treatment's errors, against 0.05
	r := newRig(t, at(canary(errorRate(), meanLatency()), 0))
	r.policy = policy
	for second := range 240 {
		status := r.rollout.GetStatus()
		r.situation.FlagReady = d.IntN(10) > 0
		r.situation.RelaysApplied, r.situation.RelaysFresh = 8+d.Uint32N(3), 8+d.Uint32N(3)
		status.State = rolloutv1.State_STATE_RUNNING
		if d.IntN(20) == 0 {
			status.State = rolloutv1.State_STATE_PAUSED
		}
		r.situation.Frozen = nil
		if d.IntN(10) == 0 {
			r.situation.Frozen = &rolloutv1.Frozen{Actor: "ada"}
		}
		n := uint64(400)
		nt := d.binomial(n, float64(status.GetWeight())/1e4)
		before := r.now
		out := r.tick(r.window(d.arm(nt, rate, 0.1, 0), d.arm(n-nt, 0.05, 0.1, 0)))
		for _, w := range out.Waits {
			if w.Reason == ReasonProven {
				t.Fatalf("second %d: the policy wrote into what is waited for", second)
			}
		}
		breach := false
		for i, g := range r.plan.guards {
			breach = breach || r.state.guards[i].breached(g, stakesOf(r.state.step))
		}
		lack := r.state.ratio.lacks(r.plan.sampleRatio, r.plan.stages)
		switch out.Verdict {
		case advance, complete:
			for i, g := range r.plan.guards {
				if !r.state.guards[i].proven(g) {
					t.Fatalf("second %d: %v with '%s' unproven", second, out.Verdict, g.name)
				}
			}
			dwell := before.Add(time.Second).Sub(status.GetSteps()[len(status.GetSteps())-1].GetBeganAt().AsTime())
			if breach || dwell < 10*time.Second || !r.situation.GetFlagReady() || r.situation.GetFrozen() != nil || status.GetState() != rolloutv1.State_STATE_RUNNING ||
				r.situation.GetRelaysApplied() < 9 || r.situation.GetRelaysFresh() < 9 {
				t.Fatalf("second %d: %v after %v, breach %v, in %v, %v", second, out.Verdict, dwell, breach, status.GetState(), r.situation)
			}
			if out.Verdict == complete {
				return
			}
		case rollback:
			if !breach && !lack {
				t.Fatalf("second %d: rolled back without harm", second)
			}
			return
		default:
			if breach {
				t.Fatalf("second %d: %v at a breach", second, out.Verdict)
			}
		}
		r.apply(out)
	}
	if rate >= 0.2 {
		t.Errorf("errors of %v against 0.05 were never shut", rate)
	}
}
