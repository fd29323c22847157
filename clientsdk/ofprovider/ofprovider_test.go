package ofprovider_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/clientsdk"
	"github.com/tidegate/tidegate/clientsdk/flagtest"
	"github.com/tidegate/tidegate/clientsdk/ofprovider"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

var ctx = context.Background()

// controlled is a client whose state the test sets.
type controlled struct {
	clientsdk.Client
	ready chan struct{}

	mu      sync.Mutex
	onState func(clientsdk.Status)
}

func newControlled(t *testing.T, values map[string]any) (*controlled, *flagtest.Client) {
	flags := flagtest.New(t, values)
	return &controlled{Client: flags, ready: make(chan struct{})}, flags
}

func (c *controlled) WaitReady(ctx context.Context) error {
	select {
	case <-c.ready:
		return c.Client.WaitReady(ctx)
	case <-ctx.Done():
		return fmt.Errorf("no flags: %w", ctx.Err())
	}
}

func (c *controlled) Status() clientsdk.Status {
	select {
	case <-c.ready:
		return c.Client.Status()
	default:
		return clientsdk.Status{State: clientsdk.StateNotReady}
	}
}

func (c *controlled) OnState(f func(clientsdk.Status)) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onState = f
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.onState = nil
	}
}

func (c *controlled) enter(s clientsdk.Status) {
	c.mu.Lock()
	f := c.onState
	c.mu.Unlock()
	if f != nil {
		f(s)
	}
}

// start registers a provider of the client with an OpenFeature API of its own.
func start(t *testing.T, client clientsdk.Client) (*openfeature.EvaluationAPI, *openfeature.Client) {
	t.Helper()
	api := isolated.NewAPI()
	if err := api.SetProviderAndWait(ctx, ofprovider.New(client)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := api.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return api, api.NewClient()
}

func TestEvaluationThroughOpenFeature(t *testing.T) {
	_, client := start(t, flagtest.New(t, map[string]any{
		"bool": true, "string": "text", "int": 42, "float": 0.5, "object": map[string]any{"model": "m-1"},
	}))
	ec := openfeature.NewEvaluationContext("user-1", nil)
	if v, err := client.BooleanValue(ctx, "bool", false, ec); err != nil || !v {
		t.Errorf("bool: %v, %v", v, err)
	}
	if v, err := client.StringValue(ctx, "string", "", ec); err != nil || v != "text" {
		t.Errorf("string: %v, %v", v, err)
	}
	if v, err := client.IntValue(ctx, "int", 0, ec); err != nil || v != 42 {
		t.Errorf("int: %v, %v", v, err)
	}
	if v, err := client.FloatValue(ctx, "float", 0, ec); err != nil || v != 0.5 {
		t.Errorf("float: %v, %v", v, err)
	}
	v, err := client.ObjectValue(ctx, "object", nil, ec)
	if m, ok := v.(map[string]any); err != nil || !ok || m["model"] != "m-1" {
		t.Errorf("object: %v, %v", v, err)
	}
}

func TestContextAndMetadataPassThrough(t *testing.T) {
	flags := flagtest.New(t, nil)
	flags.LoadYAML(`
apiVersion: tidegate/v1
flags:
  checkout:
    type: boolean
    enabled: true
    metadata: {team: payments}
    variants: {on: true, off: false}
    rules:
      - id: canada
        when: [{attribute: country, in: [CA]}]
        serve: on
    default:
      split: [{variant: on, weight: 1}, {variant: off, weight: 1}]
`)
	_, client := start(t, flags)
	ec := openfeature.NewEvaluationContext("user-1", map[string]any{"country": "CA"})
	d, err := client.BooleanValueDetails(ctx, "checkout", false, ec)
	if err != nil || !d.Value || d.Variant != "on" || d.Reason != openfeature.TargetingMatchReason {
		t.Errorf("%+v, %v", d, err)
	}
	rule, _ := d.FlagMetadata.GetString("rule")
	team, _ := d.FlagMetadata.GetString("team")
	flagRevision, err1 := d.FlagMetadata.GetInt("flagRevision")
	environmentRevision, err2 := d.FlagMetadata.GetInt("environmentRevision")
	_, err3 := d.FlagMetadata.GetInt("ageMs")
	if rule != "canada" || team != "payments" || flagRevision != 1 || environmentRevision != 1 || errors.Join(err1, err2, err3) != nil {
		t.Errorf("metadata %v", d.FlagMetadata)
	}
	e := flags.Evaluations()[0].Context
	if e.TargetingKey() != "user-1" || e.Attributes()["country"] != "CA" || e.Err() != nil {
		t.Errorf("context %q %v, %v", e.TargetingKey(), e.Attributes(), e.Err())
	}
	if _, err := client.BooleanValue(ctx, "checkout", false, openfeature.NewTargetlessEvaluationContext(nil)); err == nil {
		t.Error("no error without a targeting key")
	}
}

func TestDefaultsAndErrorCodes(t *testing.T) {
	flags := flagtest.New(t, map[string]any{"string": "text", "disabled": true})
	flags.Disable("disabled")
	_, client := start(t, flags)
	ec := openfeature.NewEvaluationContext("u", nil)
	for key, want := range map[string]openfeature.ErrorCode{
		"none":   openfeature.FlagNotFoundCode,
		"string": openfeature.TypeMismatchCode,
	} {
		d, err := client.BooleanValueDetails(ctx, key, true, ec)
		if err == nil || !d.Value || d.ErrorCode != want || d.Reason != openfeature.ErrorReason || d.ErrorMessage == "" {
			t.Errorf("%s: %+v, %v", key, d, err)
		}
	}
	if v, err := client.ObjectValue(ctx, "none", []int{7}, ec); err == nil || !slices.Equal(v.([]int), []int{7}) {
		t.Errorf("object default: %v, %v", v, err)
	}
	d, err := client.BooleanValueDetails(ctx, "disabled", true, ec)
	if err != nil || !d.Value || d.Reason != openfeature.DisabledReason {
		t.Errorf("disabled: %+v, %v", d, err)
	}
}

func TestErrorCodesAreOpenFeatures(t *testing.T) {
	for code, want := range map[clientsdk.ErrorCode]openfeature.ErrorCode{
		clientsdk.ErrorProviderNotReady:    openfeature.ProviderNotReadyCode,
		clientsdk.ErrorFlagNotFound:        openfeature.FlagNotFoundCode,
		clientsdk.ErrorParse:               openfeature.ParseErrorCode,
		clientsdk.ErrorTypeMismatch:        openfeature.TypeMismatchCode,
		clientsdk.ErrorTargetingKeyMissing: openfeature.TargetingKeyMissingCode,
		clientsdk.ErrorInvalidContext:      openfeature.InvalidContextCode,
		clientsdk.ErrorGeneral:             openfeature.GeneralCode,
		"SOMETHING_NEW":                    openfeature.GeneralCode,
		"":                                 "",
	} {
		p := ofprovider.New(failing{code: code})
		d := p.StringEvaluation(ctx, "a", "default", nil)
		if got := d.ResolutionDetail(); got.ErrorCode != want || d.Value != "default" {
			t.Errorf("%s became %+v", code, got)
		}
	}
}

// failing answers every string flag with an error.
type failing struct {
	clientsdk.Client
	code clientsdk.ErrorCode
}

func (f failing) StringDetails(_ context.Context, key string, _ clientsdk.Context, def string) clientsdk.Details[string] {
	return clientsdk.Details[string]{Value: def, Resolution: clientsdk.Resolution{FlagKey: key, ErrorCode: f.code, ErrorMessage: "m"}}
}

// listen sends the events of a type to a channel.
func listen(api *openfeature.EvaluationAPI, event openfeature.EventType) <-chan openfeature.EventDetails {
	events := make(chan openfeature.EventDetails, 10)
	f := func(d openfeature.EventDetails) { events <- d }
	api.AddHandler(event, &f)
	return events
}

func receive(t *testing.T, what string, events <-chan openfeature.EventDetails) openfeature.EventDetails {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
		return openfeature.EventDetails{}
	}
}

func TestChangeEvents(t *testing.T) {
	flags := flagtest.New(t, map[string]any{"a": true, "b": true})
	api, client := start(t, flags)
	changes := listen(api, openfeature.ProviderConfigChange)
	flags.Set("a", false)
	e := receive(t, "the change", changes)
	if !slices.Equal(e.FlagChanges, []string{"a"}) || e.ProviderName != ofprovider.Name {
		t.Errorf("event %+v", e)
	}
	if client.State() != openfeature.ReadyState {
		t.Errorf("state %v", client.State())
	}
}

func TestStateEvents(t *testing.T) {
	c, _ := newControlled(t, map[string]any{"a": true})
	close(c.ready)
	api, client := start(t, c)
	ready := listen(api, openfeature.ProviderReady)
	receive(t, "ready, as it was before", ready)
	stale, failed := listen(api, openfeature.ProviderStale), listen(api, openfeature.ProviderError)

	c.enter(clientsdk.Status{State: clientsdk.StateStale, Age: time.Minute})
	if e := receive(t, "stale", stale); e.Message == "" || client.State() != openfeature.StaleState {
		t.Errorf("%+v, state %v", e, client.State())
	}
	c.enter(clientsdk.Status{State: clientsdk.StateError, Err: errors.New("refused")})
	if e := receive(t, "error", failed); e.Message != "the relay does not answer: refused" || client.State() != openfeature.ErrorState {
		t.Errorf("%+v, state %v", e, client.State())
	}
	if v, err := client.BooleanValue(ctx, "a", false, openfeature.EvaluationContext{}); err != nil || !v {
		t.Errorf("in state ERROR the client is not asked: %v, %v", v, err)
	}
	c.enter(clientsdk.Status{State: clientsdk.StateReady})
	receive(t, "ready again", ready)
	if client.State() != openfeature.ReadyState {
		t.Errorf("state %v", client.State())
	}
}

func TestInitialisation(t *testing.T) {
	c, _ := newControlled(t, map[string]any{"a": true})
	api := isolated.NewAPI()
	defer func() { _ = api.Shutdown(ctx) }()
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	p := ofprovider.New(c)
	err := p.InitWithContext(short, openfeature.EvaluationContext{})
	var initErr *openfeature.ProviderInitError
	if !errors.As(err, &initErr) || initErr.ErrorCode != openfeature.ProviderNotReadyCode {
		t.Fatalf("not ready in time: %v", err)
	}

	// The provider whose initialisation failed still becomes ready.
	if err := api.SetProvider(short, p); err != nil {
		t.Fatal(err)
	}
	client := api.NewClient()
	failed := listen(api, openfeature.ProviderError)
	receive(t, "the failure", failed)
	ready := listen(api, openfeature.ProviderReady)
	close(c.ready)
	c.enter(clientsdk.Status{State: clientsdk.StateReady})
	receive(t, "ready at last", ready)
	if v, err := client.BooleanValue(ctx, "a", false, openfeature.EvaluationContext{}); err != nil || !v {
		t.Errorf("%v, %v", v, err)
	}
}

// lastMoment is a client that becomes ready just after WaitReady has given up.
type lastMoment struct{ *controlled }

func (c lastMoment) WaitReady(ctx context.Context) error {
	<-ctx.Done()
	close(c.ready)
	return ctx.Err()
}

func TestInitialisationAtTheLastMoment(t *testing.T) {
	c, _ := newControlled(t, nil)
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	p := ofprovider.New(lastMoment{c})
	defer p.Shutdown()
	// Nothing would report the change of state that came before the subscription.
	if err := p.InitWithContext(short, openfeature.EvaluationContext{}); err != nil {
		t.Errorf("the client is ready, but %v", err)
	}
}

func TestShutdownClosesTheClient(t *testing.T) {
	flags := flagtest.New(t, map[string]any{"a": true})
	p := ofprovider.New(flags)
	if err := p.Init(openfeature.EvaluationContext{}); err != nil {
		t.Fatal(err)
	}
	// Nobody reads the events: what waits to be sent must not hold up Shutdown.
	blocked := make(chan struct{})
	again := clientsdk.Edit{Flags: []*flagv1.Flag{flags.Flag("a")}}
	go func() {
		defer close(blocked)
		for range 3 {
			_ = flags.Apply(again) // may come after Shutdown
		}
	}()
	p.Shutdown()
	p.Shutdown()
	select {
	case <-blocked:
	case <-time.After(patience):
		t.Fatal("a callback is stuck after Shutdown")
	}
	if s := flags.Status(); s.State != clientsdk.StateClosed {
		t.Errorf("status %+v", s)
	}
	var initErr *openfeature.ProviderInitError
	if err := p.Init(openfeature.EvaluationContext{}); !errors.As(err, &initErr) || initErr.ErrorCode != openfeature.ProviderFatalCode {
		t.Errorf("Init after Shutdown: %v", err)
	}
}

// TestTrack: what OpenFeature's call tells becomes an observation, of the merged context.
func TestTrack(t *testing.T) {
	flags := flagtest.New(t, nil)
	_, client := start(t, flags)
	client.SetEvaluationContext(openfeature.NewTargetlessEvaluationContext(map[string]any{"plan": "gold"}))
	user := openfeature.NewEvaluationContext("u", nil)
	for _, c := range []struct {
		details openfeature.TrackingEventDetails
		want    clientsdk.Observation
		flagKey string
	}{
		{details: openfeature.TrackingEventDetails{}, want: clientsdk.ObservedEvent(true)},
		{details: openfeature.NewTrackingEventDetails(12.5), want: clientsdk.ObservedValue(12.5)},
		{details: openfeature.NewTrackingEventDetails(0), want: clientsdk.ObservedValue(0)},
		{details: openfeature.NewTrackingEventDetails(0).Add("happened", false), want: clientsdk.ObservedEvent(false)},
		{details: openfeature.NewTrackingEventDetails(1).Add("duration", time.Second), want: clientsdk.ObservedDuration(time.Second)},
		{details: openfeature.NewTrackingEventDetails(1).Add("flagKey", "f"), want: clientsdk.ObservedValue(1), flagKey: "f"},
	} {
		flags.Reset()
		client.Track(ctx, "checkout", user, c.details)
		got := flags.Tracked("checkout")
		if len(got) != 1 || got[0].Observation != c.want || got[0].FlagKey != c.flagKey || got[0].Problem != "" {
			t.Errorf("%v: %+v, not %v", c.details, got, c.want)
			continue
		}
		if ec := got[0].Context; ec.TargetingKey() != "u" || ec.Attributes()["plan"] != "gold" {
			t.Errorf("%v of %v", ec.TargetingKey(), ec.Attributes())
		}
	}
}
