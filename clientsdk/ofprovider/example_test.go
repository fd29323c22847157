package ofprovider_test

import (
	"context"
	"fmt"

	"github.com/open-feature/go-sdk/openfeature"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/clientsdk"
	"github.com/tidegate/tidegate/clientsdk/ofprovider"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func ExampleNew() {
	ctx := context.Background()
	client := exampleClient() // clientsdk.NewInProcess(ctx, "127.0.0.1:8013", "production")
	if err := openfeature.SetProviderWithContextAndWait(ctx, ofprovider.New(client)); err != nil {
		fmt.Println(err)
		return
	}
	defer openfeature.Shutdown()

	user := openfeature.NewEvaluationContext("user-1", map[string]any{"country": "CA"})
	d, err := openfeature.NewDefaultClient().StringValueDetails(ctx, "greeting", "hi", user)
	fmt.Println(d.Value, d.Variant, d.Reason, err)
	// Output: hello formal STATIC <nil>
}

func exampleClient() clientsdk.Client {
	c := clientsdk.NewOffline()
	err := c.Apply(clientsdk.Edit{Flags: []*flagv1.Flag{{
		Key:            "greeting",
		Type:           flagv1.ValueType_VALUE_TYPE_STRING,
		Enabled:        true,
		Variants:       []*flagv1.Variant{{Name: "formal", Value: structpb.NewStringValue("hello")}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "formal"}},
	}}})
	if err != nil {
		panic(err)
	}
	return c
}
