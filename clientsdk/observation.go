package clientsdk

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// Observation is one value of a metric: [ObservedEvent], [ObservedValue], [ObservedDuration] or
// [ObservedOutcome]. The zero Observation has no value, and is refused.
type Observation struct {
	kind     observationKind
	happened bool
	number   float64
	duration time.Duration
	outcome  Outcome
}

type observationKind uint8

const (
	noObservation observationKind = iota
	observedEvent
	observedValue
	observedDuration
	observedOutcome
)

// ObservedEvent says that something happened, or that it did not.
func ObservedEvent(happened bool) Observation {
	return Observation{kind: observedEvent, happened: happened}
}

// ObservedValue is a finite number, at most 1e20 in size, in the metric's own unit: that of the
// guardrails' absolute margins. What is a time is told with ObservedDuration.
func ObservedValue(v float64) Observation { return Observation{kind: observedValue, number: v} }

// ObservedDuration is not negative, and at most a year.
func ObservedDuration(d time.Duration) Observation {
	return Observation{kind: observedDuration, duration: d}
}

// ObservedOutcome is what a model said and what was true.
func ObservedOutcome(o Outcome) Observation { return Observation{kind: observedOutcome, outcome: o} }

// Outcome is what a model said, [PredictedLabel] or [PredictedScore], and what was true, if
// that is known: without it, the outcome counts for drift alone. A truth that comes later is
// told as another outcome, with the prediction again and [ExposedAt].
type Outcome struct {
	byLabel, byScore bool
	label            string
	score            float64
	actual           actual
	actualLabel      string
	positiveLabel    string
}

type actual uint8

const (
	actualUnknown actual = iota
	actualNamed
	actualPositive
	actualNegative
)

// PredictedLabel is the class that a model chose: 1 to 64 bytes.
func PredictedLabel(label string) Outcome { return Outcome{byLabel: true, label: label} }

// PredictedScore is a model's probability of the positive class, 0 to 1; from 0.5 on it counts
// as positive.
func PredictedScore(probability float64) Outcome { return Outcome{byScore: true, score: probability} }

// WithActualLabel adds the class that was true: 1 to 64 bytes.
func (o Outcome) WithActualLabel(label string) Outcome {
	o.actual, o.actualLabel = actualNamed, label
	return o
}

// WithActual adds whether the positive class was true.
func (o Outcome) WithActual(positive bool) Outcome {
	o.actual = actualNegative
	if positive {
		o.actual = actualPositive
	}
	return o
}

// WithPositiveLabel names the label that counts as positive for F1, misses and false
// discoveries; by default it is 'true'.
func (o Outcome) WithPositiveLabel(label string) Outcome {
	o.positiveLabel = label
	return o
}

// Bounds of observations, as in telemetry.proto.
const (
	maxNameBytes    = 64
	maxObserved     = 1e20
	maxObservedTime = 365 * 24 * time.Hour
)

// problem says what is wrong with an observation and what would be right; empty: nothing.
func (o *Observation) problem() string {
	switch {
	case o.kind == noObservation:
		return "there is no value: give one of ObservedEvent, ObservedValue, ObservedDuration, ObservedOutcome"
	case o.kind == observedValue && !(math.Abs(o.number) <= maxObserved):
		return fmt.Sprintf("the value is %v: it must be finite, and at most 1e20 in size", o.number)
	case o.kind == observedDuration && o.duration < 0:
		return fmt.Sprintf("the duration is %v: it cannot be negative", o.duration)
	case o.kind == observedDuration && o.duration > maxObservedTime:
		return fmt.Sprintf("the duration is %v: at most a year", o.duration)
	case o.kind == observedOutcome:
		return o.outcome.problem()
	}
	return ""
}

func (o *Outcome) problem() string {
	switch {
	case !o.byLabel && !o.byScore:
		return "the outcome has no prediction: begin it with PredictedLabel or PredictedScore"
	case o.byScore && !(o.score >= 0 && o.score <= 1):
		return fmt.Sprintf("the predicted score is %v: it is a probability, 0 to 1", o.score)
	case o.byLabel && nameProblem(o.label) != "":
		return "the predicted label " + nameProblem(o.label)
	case o.actual == actualNamed && nameProblem(o.actualLabel) != "":
		return "the actual label " + nameProblem(o.actualLabel)
	case o.positiveLabel != "" && nameProblem(o.positiveLabel) != "":
		return "the positive label " + nameProblem(o.positiveLabel)
	}
	return ""
}

// nameProblem says what is wrong with the name of a metric or a class; empty: nothing.
func nameProblem(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > maxNameBytes:
		return fmt.Sprintf("takes %d bytes: at most %d", len(name), maxNameBytes)
	case !utf8.ValidString(name), strings.ContainsFunc(name, unicode.IsControl):
		return "is " + strconv.Quote(name) + ", which is not valid UTF-8, or has control characters"
	}
	return ""
}

// wire is the observation of a metric for a relay, which counts it for one flag's rollouts, or
// all: empty.
func (o *Observation) wire(metric, flagKey string) *telemetryv1.Observation {
	w := &telemetryv1.Observation{Metric: metric, FlagKey: flagKey}
	switch o.kind {
	case observedEvent:
		w.Value = &telemetryv1.Observation_Happened{Happened: o.happened}
	case observedValue:
		w.Value = &telemetryv1.Observation_Number{Number: o.number}
	case observedDuration:
		w.Value = &telemetryv1.Observation_Duration{Duration: durationpb.New(o.duration)}
	case observedOutcome:
		w.Value = &telemetryv1.Observation_Outcome{Outcome: o.outcome.wire()}
	}
	return w
}

func (o *Outcome) wire() *telemetryv1.Outcome {
	w := &telemetryv1.Outcome{PositiveLabel: o.positiveLabel}
	if o.byLabel {
		w.Prediction = &telemetryv1.Outcome_PredictedLabel{PredictedLabel: o.label}
	} else {
		w.Prediction = &telemetryv1.Outcome_PredictedScore{PredictedScore: o.score}
	}
	switch o.actual {
	case actualNamed:
		w.Actual = &telemetryv1.Outcome_ActualLabel{ActualLabel: o.actualLabel}
	case actualPositive, actualNegative:
		w.Actual = &telemetryv1.Outcome_ActualPositive{ActualPositive: o.actual == actualPositive}
	}
	return w
}

// Happened returns what [ObservedEvent] was given.
func (o Observation) Happened() (happened, ok bool) { return o.happened, o.kind == observedEvent }

// Value returns what [ObservedValue] was given.
func (o Observation) Value() (v float64, ok bool) { return o.number, o.kind == observedValue }

// Duration returns what [ObservedDuration] was given.
func (o Observation) Duration() (d time.Duration, ok bool) {
	return o.duration, o.kind == observedDuration
}

// Outcome returns what [ObservedOutcome] was given.
func (o Observation) Outcome() (outcome Outcome, ok bool) {
	return o.outcome, o.kind == observedOutcome
}

// String is for messages of tests.
func (o Observation) String() string {
	switch o.kind {
	case observedEvent:
		return strconv.FormatBool(o.happened)
	case observedValue:
		return strconv.FormatFloat(o.number, 'g', -1, 64)
	case observedDuration:
		return o.duration.String()
	case observedOutcome:
		return o.outcome.String()
	}
	return "nothing"
}

// String is for messages of tests.
func (o Outcome) String() string {
	text := "predicted " + strconv.Quote(o.label)
	if o.byScore {
		text = "predicted " + strconv.FormatFloat(o.score, 'g', -1, 64)
	}
	switch o.actual {
	case actualNamed:
		text += ", was " + strconv.Quote(o.actualLabel)
	case actualPositive:
		text += ", was positive"
	case actualNegative:
		text += ", was negative"
	}
	return text
}
