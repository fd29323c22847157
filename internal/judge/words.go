package judge

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// headline tells the outcome in one sentence.
func (j *Judgement) headline(a *rolloutv1.Assessment) string {
	from, to := percent(j.in.GetRollout().GetStatus().GetWeight()), percent(j.Weight)
	switch j.Verdict {
	case rolloutv1.Verdict_VERDICT_ADVANCE:
		return fmt.Sprintf("Advanced from %s to %s: %s", from, to, j.proof(a))
	case rolloutv1.Verdict_VERDICT_COMPLETE:
		return "Completed: " + j.proof(a)
	case rolloutv1.Verdict_VERDICT_GIVE_UP:
		return fmt.Sprintf("Ended at %s: %s", from, successWords(a.GetSuccess()))
	case rolloutv1.Verdict_VERDICT_ROLLBACK:
		return fmt.Sprintf("Rolled back from %s: %s", from, j.rollbackWords(a))
	}
	if j.Reason == ReasonOver {
		return "Over"
	}
	words := "the policy waits"
	if j.Reason != ReasonPolicy && len(j.Waits) > 0 {
		words = j.message(j.Waits[0], a)
	}
	words += j.timeWords(a)
	return fmt.Sprintf("Held at %s: %s", from, words)
}

// timeWords tells how long that takes which the headline names, and what of the rest takes longer. A
// freeze says itself until when it is.
func (j *Judgement) timeWords(a *rolloutv1.Assessment) string {
	if j.Reason == ReasonFrozen || j.Reason == ReasonPolicy || len(a.GetWaits()) == 0 {
		return ""
	}
	first := a.GetWaits()[0]
	if first.GetUntil() == nil {
		return ""
	}
	takes := about(first.GetUntil().AsDuration())
	if j.Reason == ReasonDwell {
		return fmt.Sprintf(", %s to go", takes)
	}
	words := fmt.Sprintf("; about %s at this traffic", takes)
	longest := first
	for _, w := range a.GetWaits() {
		if w.GetUntil().AsDuration() > longest.GetUntil().AsDuration() {
			longest = w
		}
	}
	switch t := about(longest.GetUntil().AsDuration()); {
	case t == takes:
	case longest.GetReason() == string(ReasonDwell):
		words += fmt.Sprintf(", the stage lasts %s more", t)
	default:
		words += fmt.Sprintf(", %s for %s", t, longest.GetGuardrail())
	}
	return words
}

func (j *Judgement) rollbackWords(a *rolloutv1.Assessment) string {
	switch j.Reason {
	case ReasonTrip:
		return fmt.Sprintf("a relay that was cut off found %s violated", j.State.plan.guards[j.Guard].name)
	case ReasonLack:
		r := a.GetSampleRatio()
		return fmt.Sprintf("the treatment loses subjects: %s%% of %d, where it should have %s%%", short(100*r.GetObserved()), r.GetSubjects(), short(100*r.GetExpected()))
	}
	g := a.GetGuardrails()[j.Guard]
	harm := "is violated" // where the control has nothing, there is no estimate
	if g.Estimate != nil {
		harm = estimate(g)
	}
	words := fmt.Sprintf("%s %s, the limit is %s", g.GetName(), harm, limit(g, g.GetLimit()))
	if c := g.GetCounts(); c != nil {
		words += fmt.Sprintf("; %d of %d %s against %d of %d", c.GetTreatmentEvents(), c.GetTreatmentExposures(),
			CountedWord(j.in.GetRollout().GetGuardrails()[j.Guard]), c.GetControlEvents(), c.GetControlExposures())
	}
	if s := g.GetWorstSegment(); s != "" {
		words += fmt.Sprintf("; worst in '%s'", s)
	}
	return words
}

// proof names what was proven.
func (j *Judgement) proof(a *rolloutv1.Assessment) string {
	var parts []string
	for _, g := range a.GetGuardrails() {
		if g.GetStanding() == rolloutv1.Standing_STANDING_SAFE {
			parts = append(parts, fmt.Sprintf("%s %s", g.GetName(), estimate(g)))
		}
	}
	switch len(parts) {
	case 0:
		return "nothing was to be proven"
	case 1, 2, 3:
		return strings.Join(parts, ", ") + ": proven"
	}
	return fmt.Sprintf("%s and %d more: proven", strings.Join(parts[:2], ", "), len(parts)-2)
}

// message says what a wait is about.
func (j *Judgement) message(w Wait, a *rolloutv1.Assessment) string {
	s := j.in.GetSituation()
	switch w.Reason {
	case ReasonFrozen:
		return FrozenText(s.GetFrozen())
	case ReasonPaused:
		return "paused"
	case ReasonFlag:
		if s.GetFlagDisabled() {
			return "the flag is off"
		}
		return "the flag's outcome is not the split that the rollout wrote"
	case ReasonSampleRatio:
		r := a.GetSampleRatio()
		return fmt.Sprintf("%s%% of %d subjects came to the treatment, where the split says %s%%: what is compared cannot be trusted",
			short(100*r.GetObserved()), r.GetSubjects(), short(100*r.GetExpected()))
	case ReasonControl:
		return fmt.Sprintf("control's own %s is far from what it was: both variants are in trouble", j.State.plan.guards[w.Guard].name)
	case ReasonRelays:
		if s.GetRelays() == 0 {
			return "no relay is known to follow this environment"
		}
		return fmt.Sprintf("%d of %d relays serve this step, %s must", s.GetRelaysApplied(), s.GetRelays(), mostWord(s.GetRelays()))
	case ReasonTelemetry:
		if s.GetRelays() == 0 {
			return "no relay tells what it counts"
		}
		return fmt.Sprintf("%d of %d relays have told what they counted of late, %s must", s.GetRelaysFresh(), s.GetRelays(), mostWord(s.GetRelays()))
	case ReasonDwell:
		return "the stage lasts at least " + about(j.State.plan.dwell(j.State.stage))
	case ReasonManual:
		return "a person promotes this stage"
	case ReasonSuccess:
		return successWords(a.GetSuccess()) + "; a person decides"
	case ReasonBreach:
		g := a.GetGuardrails()[w.Guard]
		return fmt.Sprintf("%s %s, the limit is %s", g.GetName(), estimate(g), limit(g, g.GetLimit()))
	case ReasonGate:
		g := a.GetGuardrails()[w.Guard]
		if g.GetStanding() == rolloutv1.Standing_STANDING_NO_DATA {
			if j.State.guards[w.Guard].silent() {
				return fmt.Sprintf("nothing was told of %s in the treatment, where the control tells even that it did not happen", g.GetName())
			}
			return "nothing was told of " + g.GetName()
		}
		if g.Estimate == nil {
			return fmt.Sprintf("too little of %s was told to compare the variants", g.GetName())
		}
		return fmt.Sprintf("%s %s, need %s", g.GetName(), estimate(g), j.need(w.Guard, g))
	}
	return string(w.Reason)
}

// CountedWord is what the counts of a guardrail are of, wherever they are shown.
func CountedWord(g *rolloutv1.Guardrail) string {
	if g.GetStatistic() == rolloutv1.Statistic_STATISTIC_RATE && g.GetDenominator() != rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS {
		return "exposures"
	}
	return "observations"
}

// mostWord says how many of so many relays are enough.
func mostWord(relays uint32) string {
	least := (uint64(relays)*freshNumerator + freshDenominator - 1) / freshDenominator
	if least == uint64(relays) {
		return fmt.Sprintf("all %d", relays)
	}
	return strconv.FormatUint(least, 10)
}

// need is what must be proven before the stage is left.
func (j *Judgement) need(i int, g *rolloutv1.GuardrailAssessment) string {
	side := harmful(j.State.plan.guards[i].direction, "below ", "above ")
	if g.GetComparison() == rolloutv1.Comparison_COMPARISON_PSI {
		side = "below "
	}
	return side + limit(g, g.GetPromotionLimit())
}

func successWords(s *rolloutv1.SuccessAssessment) string {
	if s == nil {
		return "there is no success metric"
	}
	words := map[rolloutv1.SuccessVerdict]string{
		rolloutv1.SuccessVerdict_SUCCESS_VERDICT_WON:  "the treatment won",
		rolloutv1.SuccessVerdict_SUCCESS_VERDICT_LOST: "the treatment lost",
	}[s.GetVerdict()]
	if words == "" {
		words = "undecided"
	}
	if s.Lower != nil && s.Upper != nil {
		words += fmt.Sprintf(": %s (%s to %s)", signed(s.GetEstimate()), signed(s.GetLower()), signed(s.GetUpper()))
	}
	return words
}

// estimate writes '1.3x (0.8 to 2.1)'.
func estimate(g *rolloutv1.GuardrailAssessment) string {
	if g.Estimate == nil {
		return "is not known yet"
	}
	words := bound(g, g.GetEstimate())
	bare := func(x *float64, none string) string {
		if x == nil {
			return none
		}
		return strings.TrimSuffix(bound(g, *x), "x")
	}
	if g.Lower != nil || g.Upper != nil {
		words += fmt.Sprintf(" (%s to %s)", bare(g.Lower, "-∞"), bare(g.Upper, "∞"))
	}
	return words
}

// bound writes a value of the comparison as shortly as it is of use, limit one that somebody set.
func bound(g *rolloutv1.GuardrailAssessment, x float64) string { return compared(g, x, 2) }
func limit(g *rolloutv1.GuardrailAssessment, x float64) string { return compared(g, x, 4) }

func compared(g *rolloutv1.GuardrailAssessment, x float64, digits int) string {
	sign := ""
	if x > 0 {
		sign = "+"
	}
	switch g.GetComparison() {
	case rolloutv1.Comparison_COMPARISON_RATIO:
		return rounded(x, digits) + "x"
	case rolloutv1.Comparison_COMPARISON_RATE_DIFFERENCE:
		return sign + rounded(100*x, digits) + "pp"
	case rolloutv1.Comparison_COMPARISON_DIFFERENCE, rolloutv1.Comparison_COMPARISON_SCORE:
		return sign + rounded(x, digits)
	case rolloutv1.Comparison_COMPARISON_DURATION_DIFFERENCE:
		if math.Abs(x) < 1 {
			return sign + rounded(1000*x, digits) + "ms"
		}
		return sign + rounded(x, digits) + "s"
	}
	return rounded(x, digits)
}

func signed(x float64) string {
	if x > 0 {
		return "+" + short(x)
	}
	return short(x)
}

func short(x float64) string { return rounded(x, 2) }

// rounded writes a number with so many significant digits, with all of those before the point.
func rounded(x float64, digits int) string {
	for digits < 15 && math.Abs(x) >= math.Pow10(digits-1) {
		digits++
	}
	return strings.Replace(strconv.FormatFloat(x, 'g', digits, 64), "e-0", "e-", 1)
}

// percent writes a weight: 500 is '5%'.
func percent(weight uint32) string {
	return strconv.FormatFloat(float64(weight)/100, 'f', -1, 64) + "%"
}

// about writes a duration as people say it.
func about(d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return fmt.Sprintf("%d s", int64(math.Ceil(d.Seconds())))
	case d < 90*time.Minute:
		return fmt.Sprintf("%d min", int64(math.Round(d.Minutes())))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int64(math.Round(d.Hours())))
	}
	return fmt.Sprintf("%d days", int64(math.Round(d.Hours()/24)))
}

// FrozenText says by what an environment is frozen, such as 'frozen by ada since 2026-11-27
// 09:00:00Z: checkout is down'.
func FrozenText(f *rolloutv1.Frozen) string {
	words := "frozen by " + f.GetActor()
	if f.GetWindow() != "" {
		words = fmt.Sprintf("in freeze window '%s'", f.GetWindow())
	}
	add := func(word string, t *timestamppb.Timestamp) {
		if t != nil {
			words += word + t.AsTime().Format("2006-01-02 15:04:05Z")
		}
	}
	add(" since ", f.GetSince())
	add(" until ", f.GetUntil())
	if f.GetReason() != "" {
		words += ": " + f.GetReason()
	}
	return words
}

// Summary says in words how a guardrail stands, such as '1.3x (0.8 to 2.1), the limit is 1.05x'.
func Summary(g *rolloutv1.GuardrailAssessment) string {
	if g.GetStanding() == rolloutv1.Standing_STANDING_NO_DATA {
		return "nothing was told of it"
	}
	return fmt.Sprintf("%s, the limit is %s", strings.TrimPrefix(estimate(g), "is "), limit(g, g.GetLimit()))
}
