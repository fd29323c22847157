package clientsdk_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/clientsdk"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func TestOfflineAppliesWholeEditsOrNone(t *testing.T) {
	c, ctx := offline(t, boolean("a", true)), context.Background()
	bad := boolean("b", true)
	bad.DefaultOutcome = serve("nothing")
	orphan := boolean("c", true)
	orphan.OffVariant = "off"
	orphan.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "nowhere", Variants: []string{"on"}}}
	for name, edit := range map[string]clientsdk.Edit{
		"wrong field":     {Flags: []*flagv1.Flag{boolean("a", false), bad}},
		"wrong reference": {Flags: []*flagv1.Flag{boolean("a", false), orphan}},
	} {
		err := c.Apply(edit)
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		if !strings.Contains(err.Error(), "nothing") && !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("%s: the error does not name what is wrong: %v", name, err)
		}
		if !c.IsEnabled(ctx, "a", clientsdk.Context{}) || c.Flag("a") == nil {
			t.Errorf("%s: half of the edit was applied", name)
		}
	}
}

func TestOfflineChangeReachesDependants(t *testing.T) {
	parent, child, grandchild := boolean("parent", true), boolean("child", true), boolean("grandchild", true)
	child.OffVariant, grandchild.OffVariant = "off", "off"
	child.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "parent", Variants: []string{"on"}}}
	grandchild.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "child", Variants: []string{"on"}}}
	audience := boolean("audience", false)
	audience.Rules = []*flagv1.Rule{{
		Id: "staff", Outcome: serve("on"),
		Clauses: []*flagv1.Clause{clause("", flagv1.Operator_OPERATOR_IN_SEGMENT, "staff")},
	}}
	c := clientsdk.NewOffline()
	var changes [][]string
	stop := c.OnChange(func(keys []string) { changes = append(changes, keys) })
	apply := func(e clientsdk.Edit) {
		t.Helper()
		if err := c.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	staff := &flagv1.Segment{Key: "staff", Included: []string{"u"}}
	apply(clientsdk.Edit{
		Flags:    []*flagv1.Flag{parent, child, grandchild, audience, boolean("other", true)},
		Segments: []*flagv1.Segment{staff},
	})
	apply(clientsdk.Edit{Flags: []*flagv1.Flag{boolean("parent", false)}})
	if c.IsEnabled(context.Background(), "grandchild", clientsdk.Context{}) {
		t.Error("grandchild is on without its prerequisite")
	}
	apply(clientsdk.Edit{Segments: []*flagv1.Segment{{Key: "staff", Included: []string{"v"}}}})
	apply(clientsdk.Edit{DeletedFlags: []string{"grandchild"}})
	stop()
	apply(clientsdk.Edit{DeletedFlags: []string{"other"}})
	want := [][]string{
		{"audience", "child", "grandchild", "other", "parent"},
		{"child", "grandchild", "parent"},
		{"audience"},
		{"grandchild"},
	}
	if !reflect.DeepEqual(changes, want) {
		t.Errorf("changes\n%v, want\n%v", changes, want)
	}
}

func TestOfflineCopiesWhatItIsGiven(t *testing.T) {
	f := boolean("a", true)
	c := offline(t, f)
	f.DefaultOutcome = serve("off")
	if !c.IsEnabled(context.Background(), "a", clientsdk.Context{}) {
		t.Error("the caller's flag is the client's")
	}
}

func TestOfflineLife(t *testing.T) {
	c, ctx := offline(t, boolean("a", true)), context.Background()
	if err := c.WaitReady(ctx); err != nil {
		t.Error(err)
	}
	if s := c.Status(); s.State != clientsdk.StateReady || s.Revision != 1 || !s.Ready() {
		t.Errorf("status %+v", s)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.WaitReady(ctx); !errors.Is(err, clientsdk.ErrClosed) {
		t.Errorf("WaitReady after Close: %v", err)
	}
	if err := c.Apply(clientsdk.Edit{}); !errors.Is(err, clientsdk.ErrClosed) {
		t.Errorf("Apply after Close: %v", err)
	}
	if !c.IsEnabled(ctx, "a", clientsdk.Context{}) {
		t.Error("a closed client does not answer")
	}
}
