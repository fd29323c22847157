// Package ofprovider makes a tidegate client an OpenFeature provider:
//
//	client, err := clientsdk.NewInProcess(ctx, "127.0.0.1:8013", "production")
//	...
//	err = openfeature.SetProviderWithContextAndWait(ctx, ofprovider.New(client))
//
// The evaluation context passes through as it is; reasons, variants and error codes are
// OpenFeature's own. Flag metadata holds the flag's metadata and, beside it, 'rule'
// (string), 'flagRevision', 'environmentRevision' and 'ageMs' (int64).
//
// Events: PROVIDER_READY, PROVIDER_STALE and PROVIDER_ERROR follow the client's state;
// PROVIDER_CONFIGURATION_CHANGED names the flags that changed, as [clientsdk.Client]'s
// OnChange does.
//
// Tracking: the name of the event is the metric. The zero TrackingEventDetails says that it
// happened; others give its value, in the metric's own unit (see [clientsdk.Client]). Attributes of the details say more, and take the place of the
// value: 'happened' (boolean), 'duration' (time.Duration), and 'flagKey' (string) for the flag
// whose rollouts it counts for; model outcomes have calls of [clientsdk.Client]'s alone.
package ofprovider

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/tidegate/tidegate/clientsdk"
)

// Name of the provider.
const Name = "tidegate"

// InitTimeout bounds how long initialisation waits for the client to be ready; a
// deadline of the caller's may end it sooner.
const InitTimeout = 10 * time.Second

// Provider is an OpenFeature provider. It owns its client: Shutdown closes it.
type Provider struct {
	client clientsdk.Client
	events chan openfeature.Event
	done   chan struct{} // closed by Shutdown

	mu   sync.Mutex
	stop []func()
	down bool
}

var (
	_ openfeature.FeatureProvider          = (*Provider)(nil)
	_ openfeature.ContextAwareStateHandler = (*Provider)(nil)
	_ openfeature.EventHandler             = (*Provider)(nil)
	_ openfeature.Tracker                  = (*Provider)(nil)
)

// New returns a provider of a client's answers.
func New(client clientsdk.Client) *Provider {
	return &Provider{client: client, events: make(chan openfeature.Event, 1), done: make(chan struct{})}
}

// Metadata names the provider.
func (p *Provider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: Name} }

// Hooks returns none.
func (p *Provider) Hooks() []openfeature.Hook { return nil }

// Init is InitWithContext without a deadline of the caller's.
func (p *Provider) Init(ec openfeature.EvaluationContext) error {
	return p.InitWithContext(context.Background(), ec)
}

// InitWithContext waits until the client is ready. Where it fails, the client goes on
// trying, and PROVIDER_READY follows when it succeeds.
func (p *Provider) InitWithContext(ctx context.Context, _ openfeature.EvaluationContext) error {
	ctx, cancel := context.WithTimeout(ctx, InitTimeout)
	defer cancel()
	err := p.client.WaitReady(ctx)
	if errors.Is(err, clientsdk.ErrClosed) {
		return &openfeature.ProviderInitError{ErrorCode: openfeature.ProviderFatalCode, Message: err.Error()}
	}
	p.subscribe()
	if err != nil && !p.client.Status().Ready() { // what came before subscribe is not reported
		return &openfeature.ProviderInitError{ErrorCode: openfeature.ProviderNotReadyCode, Message: err.Error()}
	}
	return nil
}

// subscribe starts the events, once.
func (p *Provider) subscribe() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down || p.stop != nil {
		return
	}
	p.stop = []func(){p.client.OnState(p.onState), p.client.OnChange(p.onChange)}
}

// Shutdown closes the client. The provider cannot be used again.
func (p *Provider) Shutdown() { _ = p.ShutdownWithContext(context.Background()) }

// ShutdownWithContext is Shutdown. It waits for nothing remote but for what was tracked to be
// taken, a second at most.
func (p *Provider) ShutdownWithContext(context.Context) error {
	p.mu.Lock()
	if p.down {
		p.mu.Unlock()
		return nil
	}
	p.down = true
	stop := p.stop
	p.mu.Unlock()
	for _, f := range stop {
		f()
	}
	close(p.done)
	return p.client.Close()
}

// EventChannel delivers the events.
func (p *Provider) EventChannel() <-chan openfeature.Event { return p.events }

func (p *Provider) onState(s clientsdk.Status) {
	e := openfeature.Event{ProviderName: Name}
	switch s.State {
	case clientsdk.StateReady:
		e.EventType, e.Message = openfeature.ProviderReady, "flags are current"
	case clientsdk.StateStale:
		e.EventType, e.Message = openfeature.ProviderStale, "flags were last confirmed to be current "+s.Age.Round(time.Millisecond).String()+" ago"
	case clientsdk.StateError:
		e.EventType, e.ErrorCode, e.Message = openfeature.ProviderError, openfeature.ProviderNotReadyCode, "the relay does not answer"
		if s.Err != nil {
			e.Message += ": " + s.Err.Error()
		}
	case clientsdk.StateNotReady: // again
		e.EventType, e.ErrorCode, e.Message = openfeature.ProviderError, openfeature.ProviderNotReadyCode, "the upstream has revoked the environment "+s.Environment
	default:
		return
	}
	p.emit(e)
}

func (p *Provider) onChange(flagKeys []string) {
	p.emit(openfeature.Event{
		ProviderName:         Name,
		EventType:            openfeature.ProviderConfigChange,
		ProviderEventDetails: openfeature.ProviderEventDetails{Message: "flags changed", FlagChanges: flagKeys},
	})
}

// emit waits for the SDK to take the event: nothing is lost, and the client merges what
// happens meanwhile.
func (p *Provider) emit(e openfeature.Event) {
	select {
	case p.events <- e:
	case <-p.done:
	}
}

// BooleanEvaluation answers a boolean flag.
func (p *Provider) BooleanEvaluation(ctx context.Context, flag string, def bool, flat openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	return resolved(p.client.BooleanDetails(ctx, flag, evaluationContext(flat), def))
}

// StringEvaluation answers a string flag.
func (p *Provider) StringEvaluation(ctx context.Context, flag, def string, flat openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	return resolved(p.client.StringDetails(ctx, flag, evaluationContext(flat), def))
}

// FloatEvaluation answers a number flag.
func (p *Provider) FloatEvaluation(ctx context.Context, flag string, def float64, flat openfeature.FlattenedContext) openfeature.FloatResolutionDetail {
	return resolved(p.client.FloatDetails(ctx, flag, evaluationContext(flat), def))
}

// IntEvaluation answers a number flag whose value is whole.
func (p *Provider) IntEvaluation(ctx context.Context, flag string, def int64, flat openfeature.FlattenedContext) openfeature.IntResolutionDetail {
	return resolved(p.client.IntDetails(ctx, flag, evaluationContext(flat), def))
}

// ObjectEvaluation answers an object flag with a map[string]any, or the default as it is.
func (p *Provider) ObjectEvaluation(ctx context.Context, flag string, def any, flat openfeature.FlattenedContext) openfeature.InterfaceResolutionDetail {
	d := p.client.ObjectDetails(ctx, flag, evaluationContext(flat), nil)
	if d.Value != nil {
		def = d.Value
	}
	return resolved(clientsdk.Details[any]{Value: def, Resolution: d.Resolution})
}

// evaluationContext takes over what OpenFeature hands in. A targeting key that is no
// string counts as missing.
func evaluationContext(flat openfeature.FlattenedContext) clientsdk.Context {
	targetingKey, _ := flat[openfeature.TargetingKey].(string)
	return clientsdk.NewContext(targetingKey, flat)
}

func resolved[T any](d clientsdk.Details[T]) openfeature.GenericResolutionDetail[T] {
	return openfeature.GenericResolutionDetail[T]{
		Value: d.Value,
		ProviderResolutionDetail: openfeature.ProviderResolutionDetail{
			ResolutionError: resolutionError(d.ErrorCode, d.ErrorMessage),
			Reason:          openfeature.Reason(d.Reason),
			Variant:         d.Variant,
			FlagMetadata:    metadata(d.Resolution),
		},
	}
}

func metadata(r clientsdk.Resolution) openfeature.FlagMetadata {
	m := openfeature.FlagMetadata(r.FlagMetadata())
	if m == nil {
		m = make(openfeature.FlagMetadata, 4)
	}
	if r.Rule != "" {
		m["rule"] = r.Rule
	}
	m["flagRevision"] = r.FlagRevision
	m["environmentRevision"] = r.EnvironmentRevision
	m["ageMs"] = r.Age.Milliseconds()
	return m
}

func resolutionError(code clientsdk.ErrorCode, message string) openfeature.ResolutionError {
	switch code {
	case "":
		return openfeature.ResolutionError{}
	case clientsdk.ErrorProviderNotReady:
		return openfeature.NewProviderNotReadyResolutionError(message)
	case clientsdk.ErrorFlagNotFound:
		return openfeature.NewFlagNotFoundResolutionError(message)
	case clientsdk.ErrorParse:
		return openfeature.NewParseErrorResolutionError(message)
	case clientsdk.ErrorTypeMismatch:
		return openfeature.NewTypeMismatchResolutionError(message)
	case clientsdk.ErrorTargetingKeyMissing:
		return openfeature.NewTargetingKeyMissingResolutionError(message)
	case clientsdk.ErrorInvalidContext:
		return openfeature.NewInvalidContextResolutionError(message)
	default:
		return openfeature.NewGeneralResolutionError(message)
	}
}
