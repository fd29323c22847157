package judge

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// TestFrozen: what is proven waits while the environment is frozen, and says why and for how long;
// what is bad is shut. A decision of a frozen environment is replayed as it was.
func TestFrozen(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		frozen *rolloutv1.Frozen
		words  string
	}{
		"by somebody": {&rolloutv1.Frozen{Actor: "ada", Since: timestamppb.New(since), Reason: "checkout is down"}, "frozen by ada since 2026-11-27 09:00:00Z: checkout is down"},
		"in a window": {&rolloutv1.Frozen{Window: "closing", Since: timestamppb.New(since)}, "in freeze window 'closing' since 2026-11-27 09:00:00Z"},
		"for a while": {&rolloutv1.Frozen{Actor: "ada"}, "frozen by ada until "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, at(canary(errorRate()), 3))
			n := uint64(r.rollout.GetStatus().GetWeight())
			r.situation.Frozen = c.frozen
			for range 60 {
				if name == "for a while" {
					c.frozen.Until = timestamppb.New(r.now.Add(time.Hour))
				}
				if out := r.tick(r.window(cellOf(n, errorsOf(n/40)), cellOf(10_000-n, errorsOf((10_000-n)/20)))); out.Verdict != hold || out.Reason != ReasonFrozen {
					t.Fatal(out)
				}
			}
			in := r.inputs()
			if name == "for a while" {
				in.Situation.Frozen.Until = timestamppb.New(r.now.Add(time.Hour))
			}
			j, err := r.plan.Judge(in, r.policy)
			if err != nil {
				t.Fatal(err)
			}
			d := j.Decision()
			wait := d.GetAssessment().GetWaits()[0]
			if len(d.GetAssessment().GetWaits()) != 1 || wait.GetReason() != "frozen" || !strings.HasPrefix(wait.GetMessage(), c.words) ||
				!strings.HasPrefix(d.GetHeadline(), "Held at 50%: "+c.words) || d.GetDeciding() != "frozen" {
				t.Errorf("%v", d)
			}
			if until := wait.GetUntil(); name == "for a while" && until.AsDuration() != time.Hour || name != "for a while" && until != nil {
				t.Errorf("until %v", until)
			}
			if err := Replay(d); err != nil {
				t.Error(err)
			}
			other := proto.CloneOf(d)
			other.Inputs.Situation.Frozen = nil
			if err := Replay(other); err == nil {
				t.Error("it would have been the same had it not been frozen")
			}
			if out := r.tick(); out.Verdict != hold {
				t.Fatal(out)
			}
			r.situation.Frozen = nil
			if out := r.tick(); out.Verdict != advance {
				t.Errorf("when it is lifted: %v", out)
			}
			r.situation.Frozen = c.frozen
			if out := r.tick(r.window(cellOf(n, errorsOf(n/2)), cellOf(10_000-n, errorsOf((10_000-n)/20)))); out.Verdict != rollback || out.Reason != ReasonBreach {
				t.Errorf("at a breach: %v", out)
			}
		})
	}
}
