package clientsdk

import (
	"context"
	"time"
)

// Client answers flags. [NewInProcess], [NewRemote], [NewOffline] and package flagtest
// make one. It is safe for concurrent use.
//
// No call fails or panics: where there is no answer (unknown flag, wrong type, missing
// targeting key, no connection), the caller's default is served, and the call's
// Details variant says why. The key is the flag's, the context is who asks.
//
// Methods may be added in later versions. To replace a Client in tests, use package
// flagtest, or embed a Client in your own type.
type Client interface {
	// IsEnabled is Boolean with the default false.
	IsEnabled(ctx context.Context, key string, ec Context) bool

	Boolean(ctx context.Context, key string, ec Context, def bool) bool
	String(ctx context.Context, key string, ec Context, def string) string
	// Int also serves numbers of DOUBLE flags that are whole.
	Int(ctx context.Context, key string, ec Context, def int64) int64
	// Float also serves numbers of INTEGER flags.
	Float(ctx context.Context, key string, ec Context, def float64) float64
	// Object serves a JSON object, as a copy that is the caller's own. ObjectAs decodes it
	// into a struct.
	Object(ctx context.Context, key string, ec Context, def map[string]any) map[string]any

	BooleanDetails(ctx context.Context, key string, ec Context, def bool) Details[bool]
	StringDetails(ctx context.Context, key string, ec Context, def string) Details[string]
	IntDetails(ctx context.Context, key string, ec Context, def int64) Details[int64]
	FloatDetails(ctx context.Context, key string, ec Context, def float64) Details[float64]
	ObjectDetails(ctx context.Context, key string, ec Context, def map[string]any) Details[map[string]any]

	// Track tells what was observed of a metric, and of whom: the context is the one that flags
	// were evaluated with. It never waits and never fails: what makes no sense, or cannot be
	// delivered, is counted ([TelemetryStats]). An in-process client adds up here; a remote one
	// hands each observation to its relay.
	Track(ctx context.Context, metric string, ec Context, o Observation, options ...TrackOption)
	// TrackEvent tells that something happened, or that it did not: of what is counted as a share
	// of observations, tell both.
	TrackEvent(ctx context.Context, metric string, ec Context, happened bool, options ...TrackOption)
	// TrackValue tells a number, in the metric's own unit: always the same one, and the one that
	// absolute margins of guardrails are in. How long something took is for TrackDuration, which
	// knows its unit: as a number it would have to be in seconds.
	TrackValue(ctx context.Context, metric string, ec Context, v float64, options ...TrackOption)
	// TrackDuration tells how long something took.
	TrackDuration(ctx context.Context, metric string, ec Context, d time.Duration, options ...TrackOption)
	// TrackOutcome tells what a model said, and what was true.
	TrackOutcome(ctx context.Context, metric string, ec Context, o Outcome, options ...TrackOption)
	// TelemetryStats tells what became of what was counted and tracked.
	TelemetryStats() TelemetryStats
	// Flush waits until what was counted and tracked before is acknowledged or lost, or until
	// ctx ends; then the error says what is in the way.
	Flush(ctx context.Context) error

	// WaitReady waits until there are flags to answer from. If ctx ends first, the error
	// says what was in the way; it wraps ctx's error, or is [ErrClosed].
	WaitReady(ctx context.Context) error
	// Status tells how the client is doing now.
	Status() Status

	// OnChange calls f with the keys of the flags that changed, sorted, each once: those
	// written or deleted, and those that depend on them as prerequisites or segments. Their
	// answers may differ from now on, for some contexts. The first snapshot is no change, nor
	// is time that passes, which rules may read. Changes that come faster than f returns are
	// merged.
	//
	// f runs on the client's own goroutine, one call at a time, in order with those of
	// OnState. A call that is under way when stop or Close is called may outlast it; none
	// follows.
	OnChange(f func(flagKeys []string)) (stop func())
	// OnState calls f when the state changes; with the newest Status if it changes faster
	// than f returns. The state of now is not reported: ask Status after OnState.
	OnState(f func(Status)) (stop func())

	// Close ends what the client runs and waits for it, but for a callback under way, which
	// may be what calls it. An in-process client still answers, from what it had last. What was
	// counted is sent before, if that takes no longer than a second; who wants more time calls
	// Flush.
	Close() error
}

// State is where a client stands. The values are OpenFeature's provider states, and
// CLOSED.
type State string

const (
	// StateNotReady says that there is nothing to answer from: nothing came yet, or the
	// upstream has revoked what had come. Defaults are served.
	StateNotReady State = "NOT_READY"
	// StateReady says that answers are current.
	StateReady State = "READY"
	// StateStale says that answers are served, but were not confirmed to be current for
	// longer than [WithStaleAfter] allows.
	StateStale State = "STALE"
	// StateError says that a remote client has lost its relay; defaults are served.
	StateError State = "ERROR"
	// StateClosed says that Close was called.
	StateClosed State = "CLOSED"
)

// Status tells how a client is doing.
type Status struct {
	State State
	// Environment that the client evaluates.
	Environment string
	// Connected to an upstream now.
	Connected bool
	// Upstream is the address in use, or tried last.
	Upstream string
	// Revision of the snapshot in use; of a remote client, the newest that answered.
	Revision int64
	// Age tells how long ago that snapshot was last confirmed to be the store's state; of a
	// remote client, as of the newest answer.
	Age time.Duration
	// Err is the last failure of the connection, nil if there was none since it was up.
	Err error
}

// Ready tells whether there is something to answer from: READY or STALE.
func (s Status) Ready() bool { return s.State == StateReady || s.State == StateStale }
