package judge

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"

	"github.com/tidegate/tidegate/internal/guardrail"
)

const (
	// shownAlpha is that of the intervals that are shown.
	shownAlpha = 0.05
	// shownEvents is the number of events at which the interval of a ratio is tightest.
	shownEvents = 100
	// detectableTime is how long the detectable size is looked for.
	detectableTime = 10 * time.Minute
	// longest is how far ahead something is foretold.
	longest = 30 * 24 * time.Hour
)

// Assessment says how the evidence stands, for people. No verdict depends on it.
func (j *Judgement) Assessment() *rolloutv1.Assessment {
	s, status := j.State, j.in.GetRollout().GetStatus()
	a := &rolloutv1.Assessment{
		Time: j.in.GetSituation().GetNow(), Traffic: s.traffic(s.exposures[treatment] + s.exposures[control]),
		Refused: s.refused, Refusal: s.refusal,
	}
	for i := range s.guards {
		a.Guardrails = append(a.Guardrails, s.assessGuard(i, status))
	}
	a.SampleRatio = s.assessSampleRatio()
	a.Success = s.assessSuccess()
	j.assessWaits(a)
	a.Headline = j.headline(a)
	return a
}

// watched is for how long something was counted at this step.
func (s *State) watched() time.Duration {
	if s.since.IsZero() {
		return 0
	}
	return s.counted.Sub(s.since) + time.Second // the last window took its time, too
}

// traffic is a count of the step as a rate, a second.
func (s *State) traffic(count int64) float64 {
	t := s.watched().Seconds()
	if t <= 0 {
		return 0
	}
	return float64(count) / t
}

func (s *State) assessGuard(i int, status *rolloutv1.Status) *rolloutv1.GuardrailAssessment {
	plan, g := s.plan.guards[i], &s.guards[i]
	a := &rolloutv1.GuardrailAssessment{Name: plan.name, LogThreshold: plan.logThreshold}
	harm, worst := g.harm(plan, stakesOf(s.step))
	if finite(harm) {
		a.LogE = proto.Float64(harm)
	}
	if worst > 0 {
		a.WorstSegment = g.segments[worst].name
	}
	switch plan.kind {
	case kindCounts, kindQuantile:
		s.assessCounts(a, i, status)
	case kindMean:
		s.assessMean(a, i)
	case kindScore:
		g.assessScore(a)
	case kindDrift:
		g.assessDrift(a, plan)
	}
	switch {
	case g.breached(plan, stakesOf(s.step)):
		a.Standing = rolloutv1.Standing_STANDING_BREACH
	case !g.seen(plan):
		a.Standing = rolloutv1.Standing_STANDING_NO_DATA
	case g.proven(plan):
		a.Standing = rolloutv1.Standing_STANDING_SAFE
		a.Until = durationpb.New(0)
	default:
		a.Standing = rolloutv1.Standing_STANDING_UNPROVEN
	}
	return a
}

// seen says whether anything was counted at this step.
func (g *guardState) seen(plan *guard) bool {
	switch plan.kind {
	case kindMean:
		return g.contrast.total[treatment].N > 0 && g.contrast.total[control].N > 0
	case kindDrift:
		return len(g.labels) > 0
	}
	c := g.segments[0].counts
	return c.ExposuresT > 0 && c.ExposuresC > 0 && !g.untold(plan)
}

func (s *State) assessCounts(a *rolloutv1.GuardrailAssessment, i int, status *rolloutv1.Status) {
	plan, g := s.plan.guards[i], &s.guards[i]
	c := g.segments[0].counts
	a.Counts = countsProto(c)
	a.GateLogE, a.GateLogThreshold = proto.Float64(g.gateLogE(plan)), gateLogThreshold()
	a.Comparison, a.Limit, a.PromotionLimit = rolloutv1.Comparison_COMPARISON_RATIO, plan.limit, plan.ratios[s.stage]
	rate := func(events, of int64) *float64 {
		if of == 0 {
			return nil
		}
		return proto.Float64(float64(events) / float64(of))
	}
	a.TreatmentValue, a.ControlValue = rate(c.EventsT, c.ExposuresT), rate(c.EventsC, c.ExposuresC)
	if ratio, ok := g.ratio(); ok {
		a.Estimate, a.Lower, a.Upper = number(ratio.Estimate), number(ratio.Lower), number(ratio.Upper)
	}
	if plan.excess > 0 {
		inRates(a, plan)
	}
	s.foretell(a, i, float64(status.GetWeight())/fullWeight)
}

// number leaves out what is not finite.
func number(x float64) *float64 {
	if !finite(x) {
		return nil
	}
	return &x
}

// ratio returns the rate ratio over all steps with its confidence sequence; false without any
// event.
func (g *guardState) ratio() (guardrail.Interval, bool) {
	var stages []guardrail.Counts
	events := int64(0)
	for _, st := range g.steps {
		c := st.counts
		c.EventsT, c.EventsC = min(c.EventsT, c.ExposuresT), min(c.EventsC, c.ExposuresC)
		if c.ExposuresT > 0 && c.ExposuresC > 0 {
			stages = append(stages, c)
			events += c.EventsT + c.EventsC
		}
	}
	if events == 0 {
		return guardrail.Interval{}, false
	}
	k, err := guardrail.Concentration(shownEvents, shownAlpha)
	if err != nil {
		return guardrail.Interval{}, false
	}
	ratio, err := guardrail.RateRatio(stages, k, shownAlpha)
	return ratio, err == nil
}

// foretell says what would come of the traffic there is: how long the gate takes, what would
// be found, and how far it is to a breach.
func (s *State) foretell(a *rolloutv1.GuardrailAssessment, i int, share float64) {
	plan, g := s.plan.guards[i], &s.guards[i]
	c := g.segments[0].counts
	traffic := s.traffic(c.ExposuresT + c.ExposuresC)
	if traffic == 0 || !(share > 0 && share < 1) {
		return
	}
	if c.EventsC > 0 {
		rateC := min(1, float64(c.EventsC)/float64(c.ExposuresC))
		// Treatment's own rate, as if two more events had come at control's.
		rateT := min(1, (float64(c.EventsT)+2)/(float64(c.ExposuresT)+2/rateC))
		t := guardrail.Traffic{RateT: rateT, RateC: rateC, Share: share}
		if n, err := plan.gates[s.stage].ExposuresToPass(&g.segments[0].gate, t, gateLogThreshold()); err == nil {
			a.Until = seconds(n / traffic)
		}
		size, err := plan.steady.DetectableRatio(rateC, share, traffic*detectableTime.Seconds(), plan.alpha)
		if err == nil && plan.excess == 0 {
			a.Detectable = number(size)
		}
	}
	if plan.direction == guardrail.Increase {
		a.EventsToBreach = g.eventsToBreach(plan, s, share, traffic)
	}
}

// seconds is nil for what is too far away.
func seconds(x float64) *durationpb.Duration {
	if !(x >= 0 && x <= longest.Seconds()) {
		return nil
	}
	return durationpb.New(time.Duration(x * float64(time.Second)).Round(time.Millisecond))
}

// eventsToBreach returns how many events of the treatment in a usual window of one second
// would be a breach; nil if a million would not.
func (g *guardState) eventsToBreach(plan *guard, s *State, share, traffic float64) *uint64 {
	all := g.segments[0]
	rateC := float64(all.counts.EventsC) / float64(max(1, all.counts.ExposuresC))
	usual := guardrail.Counts{ExposuresT: int64(float64(traffic*share) + 0.5), ExposuresC: int64(float64(traffic*(1-share)) + 0.5)}
	usual.EventsC = min(int64(float64(float64(usual.ExposuresC)*rateC)+0.5), usual.ExposuresC)
	delayed := plan.kind == kindCounts && !plan.observations
	breaches := func(n int64) bool {
		after, c := all, usual
		c.EventsT = n
		if !delayed {
			c.ExposuresT = max(c.ExposuresT, n)
		}
		after.observe(plan, c, &observation{share: share, stage: s.stage}, delayed)
		return after.rateHarm(stakesOf(s.step)) >= plan.logThreshold
	}
	const most = 1 << 20
	hi := int64(1)
	for ; !breaches(hi); hi *= 2 {
		if hi >= most {
			return nil
		}
	}
	lo := hi / 2 // does not
	for hi-lo > 1 {
		if mid := lo + (hi-lo)/2; breaches(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return proto.Uint64(uint64(hi))
}

func (s *State) assessMean(a *rolloutv1.GuardrailAssessment, i int) {
	plan, g := s.plan.guards[i], &s.guards[i]
	a.Comparison = rolloutv1.Comparison_COMPARISON_DIFFERENCE
	if plan.timed {
		a.Comparison = rolloutv1.Comparison_COMPARISON_DURATION_DIFFERENCE
	}
	t, c := g.contrast.total[treatment], g.contrast.total[control]
	if t.N > 0 && c.N > 0 {
		a.TreatmentValue, a.ControlValue = proto.Float64(t.Mean()), proto.Float64(c.Mean())
	}
	if g.contrast.test == nil {
		return
	}
	level := g.scale.control
	if c.N > 0 {
		level = c
	}
	sign := harmful(plan.direction, 1.0, -1.0)
	a.Limit = sign * plan.harmless(&level)
	a.PromotionLimit = a.Limit
	d := g.contrast.test
	if d == nil || !d.Ready(&g.contrast.difference) {
		return
	}
	if x, err := d.TwoSided(&g.contrast.difference, shownAlpha); err == nil {
		shift := float64(sign * plan.relative * level.Mean()) // the contrast is that with (1+m)
		a.Estimate, a.Lower, a.Upper = number(x.Estimate+shift), number(x.Lower+shift), number(x.Upper+shift)
	}
	if growth, err := d.GrowthToSafe(&g.contrast.difference, gateAlpha, plan.absolute); err == nil {
		a.Until = seconds((growth - 1) * s.watched().Seconds())
	}
}

func (g *guardState) assessScore(a *rolloutv1.GuardrailAssessment) {
	a.Comparison = rolloutv1.Comparison_COMPARISON_SCORE
	a.Counts = countsProto(g.segments[0].counts)
	d := g.contrast.test
	if d == nil || !d.Ready(&g.contrast.difference) {
		return
	}
	if x, err := d.TwoSided(&g.contrast.difference, shownAlpha); err == nil {
		a.Estimate, a.Lower, a.Upper = number(x.Estimate), number(x.Lower), number(x.Upper)
	}
}

func (g *guardState) assessDrift(a *rolloutv1.GuardrailAssessment, plan *guard) {
	a.Comparison = rolloutv1.Comparison_COMPARISON_PSI
	a.Limit = plan.driftLimit()
	if d, ok := g.distributions(); ok {
		a.Estimate = number(d.psi)
	}
}

// inRates turns a comparison of rates by their ratio into that by their difference, at
// control's rate.
func inRates(a *rolloutv1.GuardrailAssessment, plan *guard) {
	a.Comparison = rolloutv1.Comparison_COMPARISON_RATE_DIFFERENCE
	sign := harmful(plan.direction, 1.0, -1.0)
	a.Limit, a.PromotionLimit = sign*plan.excess, sign*plan.excess
	if a.ControlValue == nil {
		a.Estimate, a.Lower, a.Upper = nil, nil, nil
		return
	}
	for _, x := range []*float64{a.Estimate, a.Lower, a.Upper} {
		if x != nil { // the treatment's rate is at least 0 and at most 1
			*x = min((*x-1)**a.ControlValue, 1-*a.ControlValue)
		}
	}
}

func (s *State) assessSampleRatio() *rolloutv1.SampleRatio {
	n := s.ratio.subjects[treatment] + s.ratio.subjects[control]
	r := &rolloutv1.SampleRatio{
		Expected: float64(s.ratio.weight) / fullWeight, Subjects: uint64(n),
		LogE: s.ratio.logE(), LogThreshold: guardrail.LogThreshold(sampleRatioAlpha),
	}
	if n > 0 {
		r.Observed = float64(s.ratio.subjects[treatment]) / float64(n)
	}
	return r
}

func (s *State) assessSuccess() *rolloutv1.SuccessAssessment {
	if s.plan.success == nil {
		return nil
	}
	verdict, i := s.plan.success.verdict(&s.success)
	a := &rolloutv1.SuccessAssessment{
		Verdict: verdict, ControlMean: s.success.total[control].Mean(),
		Units: uint64(s.success.total[treatment].N + s.success.total[control].N),
	}
	if s.success.difference.W > 0 {
		a.Estimate, a.Lower, a.Upper = number(i.Estimate), number(i.Lower), number(i.Upper)
	}
	return a
}

func (j *Judgement) assessWaits(a *rolloutv1.Assessment) {
	known := true
	longest := time.Duration(0)
	for _, w := range j.Waits {
		x := &rolloutv1.Wait{Reason: string(w.Reason), Message: j.message(w, a)}
		switch w.Reason {
		case ReasonDwell:
			status := j.in.GetRollout().GetStatus()
			left := j.State.plan.dwell(j.State.stage) - dwelt(status, j.in.GetSituation().GetNow().AsTime())
			x.Until = durationpb.New(left)
		case ReasonFrozen:
			if f := j.in.GetSituation().GetFrozen(); f.GetUntil() != nil {
				x.Until = durationpb.New(f.GetUntil().AsTime().Sub(j.in.GetSituation().GetNow().AsTime()))
			}
		case ReasonGate:
			x.Until = a.Guardrails[w.Guard].GetUntil()
		}
		if w.Guard >= 0 {
			x.Guardrail = j.State.plan.guards[w.Guard].name
		}
		if x.Until == nil {
			known = false
		} else {
			longest = max(longest, x.Until.AsDuration())
		}
		a.Waits = append(a.Waits, x)
	}
	if known && len(j.Waits) > 0 && j.Verdict == rolloutv1.Verdict_VERDICT_HOLD {
		a.Until = durationpb.New(longest)
	}
}
