package rollout

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// Next is a rollout after a change, and its flag, which may be as it was.
type Next struct {
	Rollout *rolloutv1.Rollout
	Flag    *flagv1.Flag
}

// At is when a change happens, and how many relays follow the environment then (0: not known:
// what is divided by them goes on being divided by those of the step before).
type At struct {
	Time   time.Time
	Relays uint32
}

// Start is a rollout that passed [Check] at its first stage, with everything filled in. The
// error, an eval.Errors with the paths of the rollout, says how the two do not fit.
func Start(r *rolloutv1.Rollout, f *flagv1.Flag, at At) (Next, error) {
	r = Complete(r)
	o, errs := fit(r, f)
	if len(errs) > 0 {
		return Next{}, errs
	}
	weight := StageWeight(r, 0)
	if errs := widens(r, o, weight); len(errs) > 0 {
		return Next{}, errs
	}
	r.Status = &rolloutv1.Status{
		State: rolloutv1.State_STATE_RUNNING, Weight: weight, StartedAt: timestamppb.New(at.Time),
		PlainOutcome: o.GetSplit() == nil,
	}
	beginStep(r, weight, at)
	return Next{Rollout: r, Flag: withOutcome(f, r.GetRule(), split(f, o, r, weight))}, nil
}

// fit finds the outcome, fills in the control, and checks that the rollout can own it.
func fit(r *rolloutv1.Rollout, f *flagv1.Flag) (*flagv1.Outcome, eval.Errors) {
	var c checker
	if !f.GetEnabled() {
		c.add("flag_key", "flag %q is disabled: nobody would be served the treatment; enable it first", f.GetKey())
	}
	o, _ := outcomeOf(f, r.GetRule())
	switch {
	case o == nil && r.GetRule() != "":
		c.add("rule", "flag %q has no rule %q", f.GetKey(), r.GetRule())
	case o == nil:
		c.add("rule", "flag %q has no default outcome: give it one, the control, or name a rule", f.GetKey())
	}
	if v, _ := variantOf(f, r.GetTreatment()); v == nil {
		c.add("treatment", "flag %q has no variant %q: it has %s", f.GetKey(), shortened(r.GetTreatment()), variantNames(f))
	}
	if len(c.fields) > 0 {
		return nil, c.fields
	}
	served := servedControl(o, r.GetTreatment())
	if r.GetControl() == "" {
		r.Control = served
	}
	switch v, _ := variantOf(f, r.GetControl()); {
	case served == "":
		c.add("rule", "%s of flag %q serves neither one variant nor a split of the treatment and one other: make it serve the control first",
			OutcomeWord(r.GetRule()), f.GetKey())
	case r.GetControl() == r.GetTreatment():
		c.add("treatment", "%s of flag %q serves %q already: name another variant", OutcomeWord(r.GetRule()), f.GetKey(), shortened(served))
	case v == nil:
		c.add("control", "flag %q has no variant %q: it has %s", f.GetKey(), shortened(r.GetControl()), variantNames(f))
	case r.GetControl() != served:
		c.add("control", "%s of flag %q serves %q: name that, or make it serve %q first",
			OutcomeWord(r.GetRule()), f.GetKey(), shortened(served), shortened(r.GetControl()))
	}
	return o, c.fields
}

// servedControl is what an outcome serves beside the treatment; empty if that is not one
// variant.
func servedControl(o *flagv1.Outcome, treatment string) string {
	switch o.GetKind().(type) {
	case *flagv1.Outcome_Variant:
		return o.GetVariant()
	case *flagv1.Outcome_Split:
	default:
		return ""
	}
	control := ""
	for _, v := range o.GetSplit().GetVariants() {
		switch {
		case v.GetVariant() == treatment, v.GetVariant() == control:
		case control != "":
			return ""
		default:
			control = v.GetVariant()
		}
	}
	return control
}

// widens checks that a first weight moves nobody out of the treatment.
func widens(r *rolloutv1.Rollout, o *flagv1.Outcome, weight uint32) eval.Errors {
	var c checker
	var total, treated uint64
	for _, v := range o.GetSplit().GetVariants() {
		total += uint64(v.GetWeight())
		if v.GetVariant() == r.GetTreatment() {
			treated += uint64(v.GetWeight())
		}
	}
	switch shares := o.GetSplit().GetVariants(); {
	case treated == 0:
	case len(shares) != 2 || shares[0].GetVariant() != r.GetTreatment():
		c.add("treatment", "%q has a share of the outcome already, and does not stand first in its split: subjects would change sides; set its weight to 0, or bring the two into order, first", shortened(r.GetTreatment()))
	case treated*TotalWeight > uint64(weight)*total:
		c.add("stages[0].weight", "%s is less than the treatment has already: begin at %.4g%% or above, or set its share to 0 first",
			Percent(weight), 100*float64(treated)/float64(total))
	}
	return c.fields
}

// beginStep makes a weight the one in force.
func beginStep(r *rolloutv1.Rollout, weight uint32, at At) {
	s := r.GetStatus()
	s.Step++
	s.Weight = weight
	if at.Relays > 0 { // else as many as there were: nobody is known to have left
		s.Relays = at.Relays
	}
	s.Steps = append(s.Steps, &rolloutv1.Step{Step: s.Step, Weight: weight, BeganAt: timestamppb.New(at.Time)})
	if more := len(s.Steps) - maxSteps; more > 0 {
		s.Steps = s.Steps[more:]
	}
}

// Pause stops the widening. A paused rollout stays as it is.
func Pause(r *rolloutv1.Rollout) (*rolloutv1.Rollout, error) {
	return moved(r, rolloutv1.State_STATE_PAUSED)
}

// Resume is the opposite of Pause.
func Resume(r *rolloutv1.Rollout) (*rolloutv1.Rollout, error) {
	return moved(r, rolloutv1.State_STATE_RUNNING)
}

func moved(r *rolloutv1.Rollout, to rolloutv1.State) (*rolloutv1.Rollout, error) {
	if err := notOver(r); err != nil {
		return nil, err
	}
	r = proto.CloneOf(r)
	r.Status.State = to
	return r, nil
}

// Advance goes to a stage above the one in force; one beyond the last completes.
func Advance(r *rolloutv1.Rollout, f *flagv1.Flag, stage int, at At) (Next, error) {
	if err := notOver(r); err != nil {
		return Next{}, err
	}
	now, n := int(r.GetStatus().GetStage()), len(r.GetStages())
	switch {
	case stage <= now:
		return Next{}, problem("stage", "must be above the one in force, %d (%s); got %d: a rollout never shrinks but to end", now, Percent(r.GetStatus().GetWeight()), stage)
	case stage > n:
		return Next{}, problem("stage", "must be at most %d, which completes the rollout of %d stages; got %d", n, n, stage)
	case stage == n:
		return Finish(r, f, rolloutv1.State_STATE_COMPLETED, at)
	}
	o, err := owned(r, f)
	if err != nil {
		return Next{}, err
	}
	r = proto.CloneOf(r)
	r.Status.Stage = uint32(stage)
	weight := StageWeight(r, stage)
	beginStep(r, weight, at)
	return Next{Rollout: r, Flag: withOutcome(f, r.GetRule(), split(f, o, r, weight))}, nil
}

// owned is the outcome, which must be what the rollout wrote.
func owned(r *rolloutv1.Rollout, f *flagv1.Flag) (*flagv1.Outcome, error) {
	o, _ := outcomeOf(f, r.GetRule())
	enabled := proto.CloneOf(f)
	enabled.Enabled = true
	if !Ready(r, enabled) {
		return nil, problem("flag_key", "%s of flag %q is no longer what the rollout wrote: abort it, and start another", OutcomeWord(r.GetRule()), f.GetKey())
	}
	return o, nil
}

// Finish ends a rollout in a state that is over: completed, the treatment is served, else the
// control. It keeps everything else on the flag as it is; an outcome that is no longer there is
// left alone.
func Finish(r *rolloutv1.Rollout, f *flagv1.Flag, state rolloutv1.State, at At) (Next, error) {
	if err := notOver(r); err != nil {
		return Next{}, err
	}
	r = proto.CloneOf(r)
	weight, variant := uint32(0), r.GetControl()
	if state == rolloutv1.State_STATE_COMPLETED {
		weight, variant = TotalWeight, r.GetTreatment()
	}
	if weight != r.GetStatus().GetWeight() {
		beginStep(r, weight, at)
	}
	r.Status.State, r.Status.EndedAt = state, timestamppb.New(at.Time)
	o, _ := outcomeOf(f, r.GetRule())
	if o == nil {
		return Next{Rollout: r, Flag: f}, nil
	}
	end := split(f, o, r, weight)
	if r.GetStatus().GetPlainOutcome() {
		end = &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: variant}}
	}
	return Next{Rollout: r, Flag: withOutcome(f, r.GetRule(), end)}, nil
}

func notOver(r *rolloutv1.Rollout) error {
	if Active(r) {
		return nil
	}
	return problem("key", "rollout %q is over: it was %s at %s", r.GetKey(), StateWord(r.GetStatus().GetState()),
		r.GetStatus().GetEndedAt().AsTime().Format(time.RFC3339))
}

func problem(field, format string, args ...any) error {
	return eval.Errors{{Field: field, Problem: fmt.Sprintf(format, args...)}}
}
