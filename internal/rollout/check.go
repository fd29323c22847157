package rollout

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/eval"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

const keyRule = "must be 1 to 128 characters: letters, digits, '.', '_' and '-', starting with a letter or a digit"

var keyPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// checker collects what is wrong.
type checker struct{ fields eval.Errors }

func (c *checker) add(field, format string, args ...any) {
	c.fields = append(c.fields, eval.FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
}

// Check finds everything that is wrong with a request's rollout by itself: field paths are
// those of the proto, such as 'guardrails[0].margin'. Empty: nothing is. It takes what was
// filled in by [Complete] as well as what was not.
func Check(requested *rolloutv1.Rollout) eval.Errors {
	var c checker
	if size := proto.Size(requested); size > maxSize {
		c.add("", "takes %d bytes encoded: at most %d", size, maxSize)
		return c.fields
	}
	if requested.GetStatus() != nil {
		c.add("status", "is written by the control plane alone: leave it out")
	}
	c.identity(requested)
	r := Complete(requested)
	c.stages(r, len(requested.GetStages()) == 0)
	c.end(r, requested.GetBake() != nil)
	c.guardrails(r, requested.GetGuardrails())
	c.success(r)
	if _, known := rolloutv1.Unit_name[int32(r.GetUnit())]; !known {
		c.add("unit", "%d is not known: use UNIT_SUBJECT or UNIT_REQUEST", r.GetUnit())
	}
	if b := r.GetFalseRollbackBudget(); !(b > 0 && b <= maxBudget) {
		c.add("false_rollback_budget", "must be above 0 and at most %v: the probability to shut a rollout that is good; got %v", maxBudget, b)
	}
	c.duration("edge_breaker.after", r.GetEdgeBreaker().GetAfter(), minEdgeWait, maxEdgeWait)
	c.notify(r.GetNotify())
	return c.fields
}

func (c *checker) identity(r *rolloutv1.Rollout) {
	c.key("key", r.GetKey())
	c.text("description", r.GetDescription(), maxText)
	c.text("owner", r.GetOwner(), maxOwner)
	c.key("flag_key", r.GetFlagKey())
	if r.GetRule() != "" {
		c.key("rule", r.GetRule())
	}
	if r.GetControl() != "" {
		c.variant("control", r.GetControl())
	}
	switch {
	case r.GetTreatment() == "":
		c.add("treatment", "is required: the variant that shall be served")
	case r.GetTreatment() == r.GetControl():
		c.add("treatment", "must be another variant than the control, %q", shortened(r.GetControl()))
	default:
		c.variant("treatment", r.GetTreatment())
	}
}

// stages checks the stages; made: by a strategy, not listed.
func (c *checker) stages(r *rolloutv1.Rollout, made bool) {
	stages := r.GetStages()
	single := r.GetStrategy() == rolloutv1.Strategy_STRATEGY_EXPERIMENT || r.GetStrategy() == rolloutv1.Strategy_STRATEGY_FIXED
	_, known := rolloutv1.Strategy_name[int32(r.GetStrategy())]
	switch {
	case !known:
		c.add("strategy", "%d is not known: use STRATEGY_CANARY, _BLUE_GREEN, _EXPERIMENT or _FIXED, or list the stages", r.GetStrategy())
		return
	case len(stages) == 0:
		c.add("stages", "are missing: list them, or name a strategy that has some, such as STRATEGY_CANARY")
		return
	case len(stages) > maxStages:
		c.add("stages", "must be at most %d, not %d", maxStages, len(stages))
		return
	case single && len(stages) > 1:
		c.add("stages", "%s has one stage, not %d", r.GetStrategy(), len(stages))
	}
	if made {
		return
	}
	for i, s := range stages {
		field := fmt.Sprintf("stages[%d]", i)
		weight := field + ".weight"
		switch {
		case s.GetWeight() > TotalWeight:
			c.add(weight, "must be at most %d (100%%), not %d", TotalWeight, s.GetWeight())
		case s.GetWeight() == 0 && i == 0 && len(stages) > 1 && !s.GetManual():
			c.add(weight, "0 shows nothing, so that no evidence leads on: make the stage manual, or begin higher")
		case s.GetWeight() == 0 && len(stages) == 1:
			c.add(weight, "must be above 0 in a rollout of one stage")
		case i > 0 && s.GetWeight() <= stages[i-1].GetWeight():
			c.add(weight, "must be above the stage before, %d: weights rise; got %d", stages[i-1].GetWeight(), s.GetWeight())
		}
		c.duration(field+".min_dwell", s.GetMinDwell(), time.Second, maxDwell)
	}
	if r.GetStrategy() == rolloutv1.Strategy_STRATEGY_FIXED && !stages[0].GetManual() {
		c.add("stages[0].manual", "must be true for STRATEGY_FIXED: nothing but a person ends it")
	}
}

// end checks how the last stage is watched; bakes: it says for how long itself.
func (c *checker) end(r *rolloutv1.Rollout, bakes bool) {
	n := len(r.GetStages())
	switch {
	case r.GetHoldback() > maxHoldback:
		c.add("holdback", "must be at most %d (%s), not %d", maxHoldback, Percent(maxHoldback), r.GetHoldback())
	case n > 1 && n <= maxStages && r.GetStages()[n-2].GetWeight() >= TotalWeight-r.GetHoldback():
		c.add("holdback", "of %s leaves the last stage %s, which is not above the stage before it, of %s: lower it, or drop that stage",
			Percent(r.GetHoldback()), Percent(StageWeight(r, n-1)), Percent(r.GetStages()[n-2].GetWeight()))
	}
	if bakes {
		c.duration("bake", r.GetBake(), time.Second, maxDwell)
	}
}

func (c *checker) success(r *rolloutv1.Rollout) {
	s := r.GetSuccess()
	if s == nil {
		if r.GetStrategy() == rolloutv1.Strategy_STRATEGY_EXPERIMENT {
			c.add("success", "is missing: it decides an experiment")
		}
		return
	}
	c.metric("success.metric", s.GetMetric())
	switch s.GetStatistic() {
	case rolloutv1.Statistic_STATISTIC_RATE:
	case rolloutv1.Statistic_STATISTIC_MEAN:
		if s.GetDenominator() != rolloutv1.Denominator_DENOMINATOR_UNSPECIFIED {
			c.add("success.denominator", "is of STATISTIC_RATE alone: leave it out")
		}
	default:
		c.add("success.statistic", "must be STATISTIC_RATE or STATISTIC_MEAN, not %s", s.GetStatistic())
	}
	c.direction("success.better", s.GetBetter())
	c.denominator("success.denominator", s.GetDenominator())
	if a := s.GetAlpha(); !(a > 0 && a <= 0.5) {
		c.add("success.alpha", "must be above 0 and at most 0.5; got %v", a)
	}
	if d := s.GetRelevantDifference(); !(d > 0 && d <= 100) {
		c.add("success.relevant_difference", "must be above 0 and at most 100: relative to the control, 0.05 is 5%% of it; got %v", d)
	}
	if after := s.GetGiveUpAfter(); after != nil {
		c.duration("success.give_up_after", after, time.Second, maxGiveUp)
		if r.GetStrategy() != rolloutv1.Strategy_STRATEGY_EXPERIMENT {
			c.add("success.give_up_after", "is of STRATEGY_EXPERIMENT alone: success does not end other rollouts")
		}
	}
}

func (c *checker) notify(names []string) {
	if len(names) > maxNotify {
		c.add("notify", "must be at most %d, not %d", maxNotify, len(names))
		return
	}
	for i, name := range names {
		field := fmt.Sprintf("notify[%d]", i)
		if c.key(field, name); slices.Contains(names[:i], name) {
			c.add(field, "%q is named twice", shortened(name))
		}
	}
}

func (c *checker) key(field, value string) {
	switch {
	case value == "":
		c.add(field, "is required")
	case !keyPattern.MatchString(value):
		c.add(field, "%s; got %q", keyRule, shortened(value))
	}
}

func (c *checker) metric(field, value string) {
	switch {
	case value == "":
		c.add(field, "is required")
	case len(value) > maxGuardrailLen || !keyPattern.MatchString(value):
		c.add(field, "must be 1 to %d characters: letters, digits, '.', '_' and '-', starting with a letter or a digit; got %q", maxGuardrailLen, shortened(value))
	}
}

func (c *checker) variant(field, value string) {
	if len(value) > maxVariantLen || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		c.add(field, "must be the name of a variant: 1 to %d bytes without control characters; got %q", maxVariantLen, shortened(value))
	}
}

func (c *checker) text(field, value string, longest int) {
	if len(value) > longest {
		c.add(field, "takes %d bytes: at most %d", len(value), longest)
	}
}

func (c *checker) direction(field string, d rolloutv1.Direction) {
	if _, known := rolloutv1.Direction_name[int32(d)]; !known {
		c.add(field, "%d is not known: use DIRECTION_INCREASE or DIRECTION_DECREASE", d)
	}
}

func (c *checker) denominator(field string, d rolloutv1.Denominator) {
	if _, known := rolloutv1.Denominator_name[int32(d)]; !known {
		c.add(field, "%d is not known: use DENOMINATOR_EXPOSURES or DENOMINATOR_OBSERVATIONS", d)
	}
}

func (c *checker) duration(field string, d *durationpb.Duration, shortest, longest time.Duration) {
	switch {
	case d.CheckValid() != nil:
		c.add(field, "is not a duration")
	case d.AsDuration() < shortest || d.AsDuration() > longest:
		c.add(field, "must be %s to %s, not %s", FormatDuration(shortest), FormatDuration(longest), FormatDuration(d.AsDuration()))
	}
}

// shortened is a name that is wrong, for the message.
func shortened(text string) string {
	const longest = 64
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "..."
}
