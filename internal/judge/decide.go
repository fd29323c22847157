package judge

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// Inputs gathers what a verdict is computed from. It adds up the windows of all senders, so
// that what is stored with a decision does not grow with the number of relays, nor depend on
// the order in which they came; those of other rollouts it leaves out. It keeps the messages
// that it is given.
func (p *Plan) Inputs(r *rolloutv1.Rollout, e *rolloutv1.Evidence, windows []*telemetryv1.Window, s *rolloutv1.Situation) *rolloutv1.Inputs {
	strata, refused, refusal := p.merge(windows)
	return &rolloutv1.Inputs{
		Rollout: r, Evidence: e, Windows: p.windowsOf(strata), Situation: s,
		Refused: refused, Refusal: refusal,
	}
}

// Judgement is what came of judging inputs.
type Judgement struct {
	Outcome
	// State is the evidence after.
	State *State

	in *rolloutv1.Inputs
}

// Judge decides on inputs. It is a pure function of them and the policy; it keeps the inputs
// and does not change them. It returns an ErrEvidence if the evidence is not the rollout's.
func (p *Plan) Judge(in *rolloutv1.Inputs, policy Policy) (*Judgement, error) {
	s, err := p.Load(in.GetEvidence())
	if err != nil {
		return nil, err
	}
	s.refuse(in.GetRefused(), in.GetRefusal())
	out := s.Judge(in.GetRollout().GetStatus(), in.GetWindows(), in.GetSituation(), policy)
	return &Judgement{Outcome: out, State: s, in: in}, nil
}

// Decision writes the judgement down, in words and figures. Who decided, where and in which
// order is for the caller to fill in. It costs far more than judging: intervals are roots.
func (j *Judgement) Decision() *rolloutv1.Decision {
	status := j.in.GetRollout().GetStatus()
	a := j.Assessment()
	return &rolloutv1.Decision{
		Rollout:  j.in.GetRollout().GetKey(),
		Time:     j.in.GetSituation().GetNow(),
		Verdict:  j.Verdict,
		Deciding: j.deciding(),
		Headline: a.GetHeadline(),

		FromWeight: status.GetWeight(),
		ToWeight:   j.Weight,
		Inputs:     j.in,
		Assessment: a,
		Proposed:   j.Proposed,
		Policy:     j.Policy,
		Shield:     j.Rule,
	}
}

// deciding is the guardrail that decided, or is waited for; else the reason.
func (j *Judgement) deciding() string {
	if j.Guard >= 0 {
		return j.State.plan.guards[j.Guard].name
	}
	return string(j.Reason)
}

// ErrReplay says of a decision that it does not follow from its inputs.
var ErrReplay = errors.New("judge: the decision does not follow from its inputs")

// Replay computes a decision again from its inputs and compares all that is computed: verdict,
// what decided, weights, what the policy proposed, what the shield did, and every figure of
// the assessment, bit for bit. It returns an ErrReplay that names the first field that
// differs. Policies are those that may have decided, besides GatedDwell.
func Replay(d *rolloutv1.Decision, policies ...Policy) error {
	plan, err := Compile(d.GetInputs().GetRollout())
	if err != nil {
		return err
	}
	var policy Policy
	for _, p := range append(policies, GatedDwell{}) {
		if p.Name() == d.GetPolicy() {
			policy = p
			break
		}
	}
	if policy == nil {
		return fmt.Errorf("%w: its policy '%s' is not known here", ErrReplay, d.GetPolicy())
	}
	j, err := plan.Judge(d.GetInputs(), policy)
	if err != nil {
		return err
	}
	again := j.Decision()
	for _, f := range []struct {
		name      string
		was, came any
	}{
		{"verdict", d.GetVerdict(), again.GetVerdict()},
		{"deciding", d.GetDeciding(), again.GetDeciding()},
		{"from_weight", d.GetFromWeight(), again.GetFromWeight()},
		{"to_weight", d.GetToWeight(), again.GetToWeight()},
		{"proposed", d.GetProposed(), again.GetProposed()},
		{"shield", d.GetShield(), again.GetShield()},
		{"headline", d.GetHeadline(), again.GetHeadline()},
	} {
		if f.was != f.came {
			return fmt.Errorf("%w: %s is '%v', and comes out as '%v'", ErrReplay, f.name, f.was, f.came)
		}
	}
	if !proto.Equal(d.GetAssessment(), again.GetAssessment()) {
		return fmt.Errorf("%w: its assessment is %v, and comes out as %v", ErrReplay, d.GetAssessment(), again.GetAssessment())
	}
	return nil
}
