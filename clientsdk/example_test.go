package clientsdk_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/clientsdk"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// exampleClient stands for what NewInProcess or NewRemote returns.
func exampleClient() clientsdk.Client {
	model, _ := structpb.NewValue(map[string]any{"model": "atlas-4", "maxTokens": 512})
	c := clientsdk.NewOffline()
	err := c.Apply(clientsdk.Edit{Flags: []*flagv1.Flag{checkout(), {
		Key:            "ai-model",
		Type:           flagv1.ValueType_VALUE_TYPE_OBJECT,
		Enabled:        true,
		Variants:       []*flagv1.Variant{{Name: "candidate", Value: model}},
		DefaultOutcome: serve("candidate"),
	}}})
	if err != nil {
		panic(err)
	}
	return c
}

func Example() {
	ctx, client := context.Background(), exampleClient()
	defer client.Close()

	// Build the context once a request, use it for every flag.
	user := clientsdk.User("user-1").With("country", "CA").With("plan", "gold")
	if client.IsEnabled(ctx, "new-checkout", user) {
		fmt.Println("the new checkout")
	}
	fmt.Println(client.String(ctx, "not-there-yet", user, "the default"))
	// Output:
	// the new checkout
	// the default
}

func ExampleNewInProcess() {
	// Nobody listens here: the client starts all the same, and serves defaults.
	ctx := context.Background()
	client, err := clientsdk.NewInProcess(ctx, "127.0.0.1:1", "production", clientsdk.WithStartTimeout(0))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	d := client.BooleanDetails(ctx, "new-checkout", clientsdk.User("user-1"), true)
	fmt.Println(d.Value, d.Reason, d.ErrorCode, client.Status().State)
	// Output: true ERROR PROVIDER_NOT_READY NOT_READY
}

func ExampleClient_booleanDetails() {
	ctx, client := context.Background(), exampleClient()
	defer client.Close()

	d := client.BooleanDetails(ctx, "new-checkout", clientsdk.User("user-1").With("country", "CA"), false)
	fmt.Println(d.Value, d.Variant, d.Reason, d.Rule, d.FlagMetadata())

	d = client.BooleanDetails(ctx, "new-chekout", clientsdk.User("user-1"), false)
	fmt.Println(d.Value, d.Err())
	// Output:
	// true on TARGETING_MATCH canada map[team:payments]
	// false flag new-chekout: FLAG_NOT_FOUND: flag "new-chekout" does not exist in this environment; check the key and the environment
}

func ExampleObjectAs() {
	ctx, client := context.Background(), exampleClient()
	defer client.Close()

	type model struct {
		Model     string
		MaxTokens int
	}
	m := clientsdk.ObjectAs(ctx, client, "ai-model", clientsdk.User("user-1"), model{Model: "atlas-3"}).Value
	fmt.Println(m.Model, m.MaxTokens)
	// Output: atlas-4 512
}

// A rollout is widened, or shut, by what you tell of those that it serves: with the context that
// the flag was evaluated with.
func ExampleClient_track() {
	ctx := context.Background()
	client := clientsdk.NewOffline(clientsdk.WithTrackObserver(func(_ context.Context, t clientsdk.Tracked) {
		fmt.Println(t.Metric, "of", t.Context.TargetingKey()+":", cmp.Or(t.Problem, t.String()))
	}))
	defer client.Close()

	user := clientsdk.User("user-1").With("country", "CA")
	err := errors.New("the bank did not answer")

	client.TrackEvent(ctx, "payment-errors", user, err != nil)
	client.TrackDuration(ctx, "payment-latency", user, 120*time.Millisecond)
	client.TrackValue(ctx, "revenue-usd", user, 49.9) // always in the same unit
	client.TrackOutcome(ctx, "fraud", user, clientsdk.PredictedScore(0.93).WithActual(false))

	// What makes no sense fails nobody: it is told, and counted in TelemetryStats.
	client.TrackDuration(ctx, "payment-latency", user, -time.Second)
	// Output:
	// payment-errors of user-1: true
	// payment-latency of user-1: 120ms
	// revenue-usd of user-1: 49.9
	// fraud of user-1: predicted 0.93, was negative
	// payment-latency of user-1: metric payment-latency: the duration is -1s: it cannot be negative
}

// What comes long after the flag was evaluated says when that was: a label of a prediction that was
// made yesterday counts for the step of the rollout that predicted.
func ExampleExposedAt() {
	client := exampleClient()
	defer client.Close()
	predicted := time.Now().Add(-26 * time.Hour)
	client.TrackOutcome(context.Background(), "fraud", clientsdk.User("user-1"),
		clientsdk.PredictedLabel("fraud").WithActualLabel("honest").WithPositiveLabel("fraud"), clientsdk.ExposedAt(predicted))
	// Output:
}

func ExampleContext_With() {
	request := clientsdk.User("user-1").With("country", "CA")
	admin := request.With("role", "admin") // request stays as it is
	fmt.Println(request.Attributes(), admin.Attributes())

	// What cannot be an attribute is left out, and told.
	fmt.Println(request.With("callback", func() {}).Err())
	// Output:
	// map[country:CA] map[country:CA role:admin]
	// attribute "callback" is left out: a func() cannot be an attribute: use a string, boolean, number, time, slice or map
}

func ExampleClient_onChange() {
	client := clientsdk.NewOffline()
	defer client.Close()
	stop := client.OnChange(func(flagKeys []string) {
		fmt.Println("changed:", strings.Join(flagKeys, ", "))
	})
	defer stop()
	if err := client.Apply(clientsdk.Edit{Flags: []*flagv1.Flag{checkout()}}); err != nil {
		fmt.Println(err)
	}
	// Output: changed: new-checkout
}
