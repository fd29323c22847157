package clientsdk_test

import (
	"context"
	"fmt"
	"strings"

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
