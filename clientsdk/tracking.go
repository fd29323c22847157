package clientsdk

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/tidegate/tidegate/clientsdk/internal/telemetry"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// Tracked is one observation, as the code that made it told it.
type Tracked struct {
	Metric  string
	Context Context
	Observation
	// FlagKey is what [ForFlag] or [OfVariant] named.
	FlagKey string
	// Variant is what OfVariant named.
	Variant string
	// ExposedAt is what [ExposedAt] said; zero: just now.
	ExposedAt time.Time
	// Problem says why it was refused, and what would be right; empty: it was not.
	Problem string
}

// TrackOption says more of an observation.
type TrackOption func(*Tracked)

// ForFlag has the observation count for rollouts of one flag alone, not for all that watch the
// metric.
func ForFlag(key string) TrackOption { return func(t *Tracked) { t.FlagKey = key } }

// ExposedAt says when the context was served, where that was not just now: at most 30 days ago.
func ExposedAt(at time.Time) TrackOption { return func(t *Tracked) { t.ExposedAt = at } }

// OfVariant says that the observation belongs to a variant of a flag and to no context, which is
// not looked at: for the memory of a service that runs one variant, say.
func OfVariant(flagKey, variant string) TrackOption {
	return func(t *Tracked) { t.FlagKey, t.Variant = flagKey, variant }
}

// TrackObserver is called with each observation, in the caller's goroutine: keep it short.
type TrackObserver func(ctx context.Context, t Tracked)

// then returns both, one after the other; either may be nil.
func (o TrackObserver) then(next TrackObserver) TrackObserver {
	switch {
	case o == nil:
		return next
	case next == nil:
		return o
	}
	return func(ctx context.Context, t Tracked) {
		o(ctx, t)
		next(ctx, t)
	}
}

// TelemetryStats tells what became of what the client counted since it began:
//
//	Emitted = Acknowledged + Pending + the sum of Lost
//
// A remote client counts calls of Track. An in-process client counts exposures and observations
// of rollouts, each as often as there are rollouts that it belongs to, up to the last second's
// end; what no rollout watches is not among them, nor is what repeats an observation of the
// same subject within 10 s, or an event within 10 minutes.
type TelemetryStats = telemetry.Stats

// Reasons in TelemetryStats.Lost. In-process clients have those of the tally as well: ambiguous
// (it may belong to either of two steps), late, overflow.
const (
	// LostDropped: what waited for a relay took too much room; the oldest goes first.
	LostDropped = telemetry.LostDropped
	// LostRefused: it made no sense; TelemetryStats.Refusal says why.
	LostRefused = telemetry.LostRefused
	// LostUnconfirmed: a relay went away that may have counted it, or not.
	LostUnconfirmed = telemetry.LostUnconfirmed
	// LostUnsent: the client was closed.
	LostUnsent = telemetry.LostUnsent
)

// sink takes what is tracked.
type sink interface {
	// track takes an observation that was checked.
	track(t *Tracked)
	// refuse takes note of one that makes no sense.
	refuse(problem string)
	stats() TelemetryStats
	flush(ctx context.Context) error
}

// tracking makes the tracking calls of a Client.
type tracking struct {
	// sink is nil where there is no telemetry.
	sink sink
	// observed may be nil.
	observed TrackObserver
}

func (t *tracking) Track(ctx context.Context, metric string, ec Context, o Observation, options ...TrackOption) {
	tracked := Tracked{Metric: metric, Context: ec, Observation: o}
	for _, option := range options {
		option(&tracked)
	}
	tracked.Problem = tracked.problem()
	if t.sink != nil {
		if tracked.Problem != "" {
			t.sink.refuse(tracked.Problem)
		} else {
			t.sink.track(&tracked)
		}
	}
	if t.observed != nil {
		t.observed(ctx, tracked)
	}
}

func (t *tracking) TrackEvent(ctx context.Context, metric string, ec Context, happened bool, options ...TrackOption) {
	t.Track(ctx, metric, ec, ObservedEvent(happened), options...)
}

func (t *tracking) TrackValue(ctx context.Context, metric string, ec Context, v float64, options ...TrackOption) {
	t.Track(ctx, metric, ec, ObservedValue(v), options...)
}

func (t *tracking) TrackDuration(ctx context.Context, metric string, ec Context, d time.Duration, options ...TrackOption) {
	t.Track(ctx, metric, ec, ObservedDuration(d), options...)
}

func (t *tracking) TrackOutcome(ctx context.Context, metric string, ec Context, o Outcome, options ...TrackOption) {
	t.Track(ctx, metric, ec, ObservedOutcome(o), options...)
}

func (t *tracking) TelemetryStats() TelemetryStats {
	if t.sink == nil {
		return TelemetryStats{}
	}
	return t.sink.stats()
}

func (t *tracking) Flush(ctx context.Context) error {
	if t.sink == nil {
		return nil
	}
	return t.sink.flush(given(ctx))
}

// problem says what is wrong and what would be right; empty: nothing that can be seen here.
func (t *Tracked) problem() string {
	if p := nameProblem(t.Metric); p != "" {
		return "the name of the metric " + p
	}
	p := t.Observation.problem()
	switch {
	case p != "":
		return "metric " + t.Metric + ": " + p
	case !utf8.ValidString(t.FlagKey), !utf8.ValidString(t.Variant):
		return "metric " + t.Metric + ": the key of the flag or the name of the variant is not valid UTF-8"
	case t.Variant != "" && t.FlagKey == "":
		return "metric " + t.Metric + ": OfVariant needs the key of the variant's flag"
	}
	return ""
}

// exposure is what OfVariant named; nil: it was not there.
func (t *Tracked) exposure() *telemetryv1.Exposure {
	if t.Variant == "" {
		return nil
	}
	return &telemetryv1.Exposure{FlagKey: t.FlagKey, Variant: t.Variant}
}

// observation is for a relay, or a tally.
func (t *Tracked) observation() *telemetryv1.Observation {
	return t.wire(t.Metric, t.FlagKey)
}
