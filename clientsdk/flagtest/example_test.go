package flagtest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/tidegate/tidegate/clientsdk"
	"github.com/tidegate/tidegate/clientsdk/flagtest"
)

// shop is the code under test; it takes the interface.
type shop struct{ flags clientsdk.Client }

func (s shop) checkout(user string) string {
	if s.flags.IsEnabled(context.Background(), "new-checkout", clientsdk.User(user)) {
		return "new"
	}
	return "old"
}

func ExampleNew() {
	t := &testing.T{} // your test's
	flags := flagtest.New(t, map[string]any{"new-checkout": false})
	s := shop{flags}

	fmt.Println(s.checkout("ann"))
	flags.SetFor("new-checkout", true, "ann")
	fmt.Println(s.checkout("ann"), s.checkout("bob"))
	fmt.Println(len(flags.Evaluations()), "evaluations")
	// Output:
	// old
	// new old
	// 3 evaluations
}
