package tally

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// observed is an observation that was checked.
type observed struct {
	kind   kind    // one of them
	event  bool    // it happened; the model was wrong
	number float64 // of a duration: seconds
	// Of outcomes: the label, or the decile of the score; whether the truth is known; and what
	// the model and the truth say about the positive class.
	label                   string
	known, positive, actual bool
}

// Bounds of observations.
const (
	maxMetric = 64
	// maxNumber bounds numbers so that sums of squares stay below 1e60, which is all that can
	// be judged: of one beyond, the whole cell would be refused, and what is bad go unseen.
	maxNumber   = 1e20
	maxDuration = 365 * 24 * time.Hour
	// positiveFrom is the score from which a prediction is positive.
	positiveFrom = 0.5
	deciles      = "0123456789"
)

// observationOf checks an observation. The problem says what is wrong and what would be right;
// empty: nothing.
func observationOf(o *telemetryv1.Observation) (seen observed, problem string) {
	switch {
	case o.GetMetric() == "":
		return seen, "metric is empty; name what was observed"
	case len(o.GetMetric()) > maxMetric:
		return seen, fmt.Sprintf("metric takes %d bytes; at most %d", len(o.GetMetric()), maxMetric)
	}
	switch v := o.GetValue().(type) {
	case *telemetryv1.Observation_Happened:
		return observed{kind: kindHappened, event: v.Happened}, ""
	case *telemetryv1.Observation_Number:
		if math.IsNaN(v.Number) || math.Abs(v.Number) > maxNumber {
			return seen, fmt.Sprintf("metric %q: the number is %v; it must be finite, and at most 1e20 in size", o.GetMetric(), v.Number)
		}
		return observed{kind: kindNumber, number: v.Number}, ""
	case *telemetryv1.Observation_Duration:
		d := v.Duration
		if err := d.CheckValid(); err != nil {
			return seen, fmt.Sprintf("metric %q: the duration is not valid", o.GetMetric())
		}
		if d.GetSeconds() < 0 || d.GetNanos() < 0 {
			return seen, fmt.Sprintf("metric %q: the duration is negative", o.GetMetric())
		}
		if d.AsDuration() > maxDuration {
			return seen, fmt.Sprintf("metric %q: the duration is %s; at most a year", o.GetMetric(), d.AsDuration())
		}
		return observed{kind: kindDuration, number: d.AsDuration().Seconds()}, ""
	case *telemetryv1.Observation_Outcome:
		seen, problem = outcomeOf(v.Outcome)
		if problem != "" {
			problem = fmt.Sprintf("metric %q: %s", o.GetMetric(), problem)
		}
		return seen, problem
	}
	return seen, fmt.Sprintf("metric %q has no value; give one of happened, number, duration, outcome", o.GetMetric())
}

// outcomeOf checks what a model said and what was true.
func outcomeOf(o *telemetryv1.Outcome) (seen observed, problem string) {
	seen.kind = kindOutcome
	positive := o.GetPositiveLabel()
	if positive == "" {
		positive = "true"
	}
	if problem := problemOfLabel("positive_label", positive); problem != "" {
		return seen, problem
	}
	byLabel := false
	switch p := o.GetPrediction().(type) {
	case *telemetryv1.Outcome_PredictedLabel:
		if problem := problemOfLabel("predicted_label", p.PredictedLabel); problem != "" {
			return seen, problem
		}
		byLabel = true
		seen.label, seen.positive = p.PredictedLabel, p.PredictedLabel == positive
	case *telemetryv1.Outcome_PredictedScore:
		if !(p.PredictedScore >= 0 && p.PredictedScore <= 1) {
			return seen, fmt.Sprintf("predicted_score is %v; it is a probability, 0 to 1", p.PredictedScore)
		}
		decile := min(int(p.PredictedScore*10), 9)
		seen.label, seen.positive = deciles[decile:decile+1], p.PredictedScore >= positiveFrom
	default:
		return seen, "the outcome has no prediction; give predicted_label or predicted_score"
	}
	switch a := o.GetActual().(type) {
	case *telemetryv1.Outcome_ActualLabel:
		if problem := problemOfLabel("actual_label", a.ActualLabel); problem != "" {
			return seen, problem
		}
		seen.known, seen.actual = true, a.ActualLabel == positive
		if byLabel {
			seen.event = a.ActualLabel != seen.label
			return seen, ""
		}
	case *telemetryv1.Outcome_ActualPositive:
		seen.known, seen.actual = true, a.ActualPositive
	}
	seen.event = seen.known && seen.positive != seen.actual
	return seen, ""
}

func problemOfLabel(field, label string) string {
	switch {
	case label == "":
		return field + " is empty; name a class"
	case len(label) > maxText:
		return fmt.Sprintf("%s takes %d bytes; at most %d", field, len(label), maxText)
	case !isText(label):
		return fmt.Sprintf("%s is %s, which is not valid UTF-8, or has control characters", field, strconv.Quote(label))
	}
	return ""
}

// String names the kinds for a message.
func (k kind) String() string {
	var names []string
	for i, name := range [...]string{"what happened", "numbers", "durations", "outcomes"} {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " or ")
}
