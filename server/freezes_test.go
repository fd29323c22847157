package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// TestWhoFreezes: an operator freezes, and lifts, the environments that they operate; all of them
// whoever operates all.
func TestWhoFreezes(t *testing.T) {
	a := newAsking(t)
	freezes := controlv1.NewFreezeServiceClient(a.conn)
	operator := func(environments ...string) *accessv1.Grant {
		return &accessv1.Grant{Role: accessv1.Role_ROLE_OPERATOR, Environments: environments}
	}
	everywhere, _ := a.service("everywhere", operator())
	here, _ := a.service("here", operator("production"))
	prefixed, _ := a.service("prefixed", &accessv1.Grant{Role: accessv1.Role_ROLE_OPERATOR, KeyPrefixes: []string{"checkout-"}})
	editor, _ := a.service("editor", role(accessv1.Role_ROLE_EDITOR))
	reader, _ := a.service("reader", &accessv1.Grant{Role: accessv1.Role_ROLE_VIEWER, Environments: []string{"dev"}})

	names := map[string][]string{"all": nil, "one": {"production"}, "two": {"production", "staging"}}
	for who, may := range map[string]map[string]bool{
		"everywhere": {"all": true, "one": true, "two": true}, "here": {"one": true}, "prefixed": {}, "editor": {}, "reader": {},
	} {
		ctx := everywhere
		switch who {
		case "here":
			ctx = here
		case "prefixed":
			ctx = prefixed
		case "editor":
			ctx = editor
		case "reader":
			ctx = reader
		}
		for what, environments := range names {
			want := codes.PermissionDenied
			if may[what] {
				want = codes.OK
			}
			if _, err := freezes.Freeze(ctx, &controlv1.FreezeRequest{Environments: environments, Reason: "test"}); status.Code(err) != want {
				t.Errorf("%s freezes %s: %v", who, what, err)
			}
			if _, err := freezes.Lift(everywhere, &controlv1.LiftRequest{Reason: "test"}); err != nil {
				t.Fatal(err)
			}
			if _, err := freezes.Lift(ctx, &controlv1.LiftRequest{Environments: environments, Reason: "test"}); status.Code(err) != want {
				t.Errorf("%s lifts %s: %v", who, what, err)
			}
		}
		if list, err := freezes.GetFreeze(ctx, &controlv1.GetFreezeRequest{}); err != nil || len(list.GetEnvironments()) == 0 {
			t.Errorf("%s looks: %v, %v", who, list, err)
		}
	}
	if _, err := a.environments.RestoreEnvironment(editor, &controlv1.RestoreEnvironmentRequest{Environment: "production", Revision: 1, Reason: "test"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("an editor restores an environment: %v", err)
	}
}

// TestFreezeOverTheWire: who froze it is the caller, what is refused says by whom, over gRPC and
// HTTP, and people are told once.
func TestFreezeOverTheWire(t *testing.T) {
	s := memstore.New()
	r := start(t, Options{Store: s, Notify: []notify.Target{
		{Name: "production", Sender: deaf{}, Environments: []string{"production"}}, {Name: "staging", Sender: deaf{}, Environments: []string{"staging"}},
	}})
	freezes := controlv1.NewFreezeServiceClient(r.conn)
	until := time.Now().Add(time.Hour)
	code, body := r.post("/tidegate.control.v1.FreezeService/Freeze", fmt.Sprintf(`{"environments": ["production"], "reason": "checkout is down", "until": %q}`, until.UTC().Format(time.RFC3339)), "tidegate-actor", "ada")
	if code != 200 || !strings.Contains(body, `"since"`) {
		t.Fatalf("%d %s", code, body)
	}
	list, err := freezes.GetFreeze(as(t), &controlv1.GetFreezeRequest{})
	if err != nil || len(list.GetFreezes()) != 1 || list.GetFreezes()[0].GetActor() != "ada" {
		t.Fatalf("%v, %v", list, err)
	}
	_, err = r.flags.CreateFlag(as(t), &controlv1.CreateFlagRequest{Environment: "production", Flag: boolean("a"), Reason: "r"})
	st := status.Convert(err)
	if st.Code() != codes.FailedPrecondition || !strings.Contains(st.Message(), `environment "production" is frozen by `) || len(st.Details()) != 1 {
		t.Fatalf("%v", err)
	}
	if by, ok := st.Details()[0].(*rolloutv1.Frozen); !ok || by.GetReason() != "checkout is down" {
		t.Errorf("%v", st.Details())
	}
	if code, body := r.post("/tidegate.control.v1.FlagService/DeleteFlag", `{"environment": "production", "flagKey": "a", "baseRevision": 1, "reason": "r"}`); code == 200 {
		t.Errorf("%d %s", code, body)
	}
	if _, err := freezes.Lift(as(t), &controlv1.LiftRequest{Reason: "it is up"}); err != nil {
		t.Fatal(err)
	}
	told := func(target string) int {
		results, _, err := s.Read(t.Context(), store.Prefix("/tidegate/v1/n/"+target+"/"))
		if err != nil {
			t.Fatal(err)
		}
		return len(results[0].KVs)
	}
	if n, other := told("production"), told("staging"); n != 2 || other != 0 {
		t.Errorf("production was told %d times, staging %d", n, other)
	}
	if _, err := r.flags.CreateFlag(as(t), &controlv1.CreateFlagRequest{Environment: "production", Flag: boolean("a"), Reason: "r"}); err != nil {
		t.Errorf("when it is lifted: %v", err)
	}
}
