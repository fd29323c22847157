package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// rolloutCalls are the methods that name a rollout by its key, each as a call on one of production.
func rolloutCalls(a *asking) map[string]func(ctx context.Context, key string) error {
	c := controlv1.NewRolloutServiceClient(a.conn)
	const e = "production"
	first := func(next func() error) error {
		if err := next(); !errors.Is(err, io.EOF) {
			return err
		}
		return nil
	}
	return map[string]func(context.Context, string) error{
		controlv1.RolloutService_GetRollout_FullMethodName: func(ctx context.Context, key string) error {
			_, err := c.GetRollout(ctx, &controlv1.GetRolloutRequest{Environment: e, Key: key})
			return err
		},
		controlv1.RolloutService_WatchRollout_FullMethodName: func(ctx context.Context, key string) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			w, err := c.WatchRollout(ctx, &controlv1.WatchRolloutRequest{Environment: e, Key: key})
			if err != nil {
				return err
			}
			return first(func() error { _, err := w.Recv(); return err })
		},
		controlv1.RolloutService_GetRolloutSeries_FullMethodName: func(ctx context.Context, key string) error {
			_, err := c.GetRolloutSeries(ctx, &controlv1.GetRolloutSeriesRequest{Environment: e, Key: key})
			return err
		},
		controlv1.RolloutService_ListRolloutHistory_FullMethodName: func(ctx context.Context, key string) error {
			_, err := c.ListRolloutHistory(ctx, &controlv1.ListRolloutHistoryRequest{Environment: e, Key: key})
			return err
		},
		controlv1.RolloutService_ListDecisions_FullMethodName: func(ctx context.Context, key string) error {
			_, err := c.ListDecisions(ctx, &controlv1.ListDecisionsRequest{Environment: e, Key: key})
			return err
		},
		controlv1.RolloutService_GetDecision_FullMethodName: func(ctx context.Context, key string) error {
			_, err := c.GetDecision(ctx, &controlv1.GetDecisionRequest{Environment: e, Key: key, Number: 1})
			return err
		},
		controlv1.WatchService_Watch_FullMethodName: func(ctx context.Context, key string) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			w, err := controlv1.NewWatchServiceClient(a.conn).Watch(ctx, &controlv1.WatchRequest{
				Environment: e, RolloutKey: key, Parts: []controlv1.Part{controlv1.Part_PART_ROLLOUTS},
			})
			if err != nil {
				return err
			}
			return first(func() error { _, err := w.Recv(); return err })
		},
		controlv1.RolloutService_PauseRollout_FullMethodName: func(ctx context.Context, key string) error {
			_, err := c.PauseRollout(ctx, &controlv1.PauseRolloutRequest{Environment: e, Key: key, Reason: "test"})
			return err
		},
		controlv1.RolloutService_ResumeRollout_FullMethodName: func(ctx context.Context, key string) error {
			_, err := c.ResumeRollout(ctx, &controlv1.ResumeRolloutRequest{Environment: e, Key: key, Reason: "test"})
			return err
		},
		controlv1.RolloutService_PromoteRollout_FullMethodName: func(ctx context.Context, key string) error {
			_, err := c.PromoteRollout(ctx, &controlv1.PromoteRolloutRequest{Environment: e, Key: key, Reason: "test"})
			return err
		},
		controlv1.RolloutService_AbortRollout_FullMethodName: func(ctx context.Context, key string) error {
			_, err := c.AbortRollout(ctx, &controlv1.AbortRolloutRequest{Environment: e, Key: key, Reason: "test"})
			return err
		},
		controlv1.RolloutService_DeleteRollout_FullMethodName: func(ctx context.Context, key string) error {
			_, err := c.DeleteRollout(ctx, &controlv1.DeleteRolloutRequest{Environment: e, Key: key, Reason: "test"})
			return err
		},
	}
}

// stopping are the calls that only ever move users back, or leave them where they are; widening are
// the others that change a rollout.
var (
	stopping = map[string]bool{
		controlv1.RolloutService_PauseRollout_FullMethodName: true,
		controlv1.RolloutService_AbortRollout_FullMethodName: true,
	}
	widening = map[string]bool{
		controlv1.RolloutService_ResumeRollout_FullMethodName:  true,
		controlv1.RolloutService_PromoteRollout_FullMethodName: true,
		controlv1.RolloutService_DeleteRollout_FullMethodName:  true,
	}
)

// of grants a role in production for keys with prefixes.
func of(r accessv1.Role, prefixes ...string) *accessv1.Grant {
	return &accessv1.Grant{Role: r, Environments: []string{"production"}, KeyPrefixes: prefixes}
}

func (a *asking) startRollout(key, flag string) {
	a.t.Helper()
	_, err := controlv1.NewRolloutServiceClient(a.conn).StartRollout(a.admin, &controlv1.StartRolloutRequest{
		Environment: "production", Rollout: canary(key, flag), Reason: "secret plans of payments",
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

// makeOff makes a flag that serves 'off', as the administrator.
func (a *asking) makeOff(key string) {
	a.t.Helper()
	f := boolean(key)
	f.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "off"}}
	if _, err := a.flags.CreateFlag(a.admin, &controlv1.CreateFlagRequest{Environment: "production", Flag: f, Reason: "test"}); err != nil {
		a.t.Fatal(err)
	}
}

// deleteRollout aborts a rollout and deletes it.
func (a *asking) deleteRollout(key string) {
	a.t.Helper()
	for _, method := range []string{controlv1.RolloutService_AbortRollout_FullMethodName, controlv1.RolloutService_DeleteRollout_FullMethodName} {
		if err := rolloutCalls(a)[method](a.admin, key); err != nil {
			a.t.Fatal(err)
		}
	}
}

// TestRolloutTakesBothKeys: what a rollout does, it does to its flag. So to read it, or to move users
// by it, takes the right to both keys, also once it is deleted; to stop it, the right to one of them.
func TestRolloutTakesBothKeys(t *testing.T) {
	a := newAsking(t)
	a.makeOff("payments")
	a.startRollout("checkout-deleted", "payments")
	a.deleteRollout("checkout-deleted")
	const editor = accessv1.Role_ROLE_EDITOR
	ofRollout, _ := a.service("checkout-team", of(editor, "checkout-"))
	ofFlag, _ := a.service("payments-team", of(editor, "payments"))
	ofBoth, _ := a.service("lead", of(editor, "checkout-", "payments"))
	// Each key by another grant is both, too; to read one and to write the other is to read.
	ofBothApart, _ := a.service("lead-apart", of(editor, "checkout-"), of(editor, "payments"))
	reader, _ := a.service("reader", of(editor, "checkout-"), of(accessv1.Role_ROLE_VIEWER, "payments"))
	ofNeither, _ := a.service("search-team", of(editor, "search-"))
	calls := rolloutCalls(a)
	for method := range permissions {
		if strings.HasPrefix(method, "/tidegate.control.v1.RolloutService/") && calls[method] == nil &&
			method != controlv1.RolloutService_StartRollout_FullMethodName && method != controlv1.RolloutService_ListRollouts_FullMethodName {
			t.Errorf("%s is not tried: add it to rolloutCalls", method)
		}
	}
	number := 0
	for method, call := range calls {
		for name, c := range map[string]struct {
			ctx             context.Context
			running, absent bool // it may call on one that there is, or was; on one that never was
		}{
			"the rollout's": {ofRollout, stopping[method], true},
			"the flag's":    {ofFlag, stopping[method], false},
			"both":          {ofBoth, true, true},
			"both, apart":   {ofBothApart, true, true},
			"a reader":      {reader, !widening[method], true},
			"neither":       {ofNeither, false, false},
		} {
			number++
			key, flag := fmt.Sprintf("checkout-%d", number), fmt.Sprintf("payments-%d", number)
			a.makeOff(flag)
			a.startRollout(key, flag)
			for what, err := range map[string]error{"running": call(c.ctx, key), "deleted": call(c.ctx, "checkout-deleted")} {
				if got := status.Code(err) != codes.PermissionDenied; got != c.running {
					t.Errorf("%s with %s key, %s: %v", method, name, what, err)
				}
				if name == "the rollout's" && err != nil && strings.Contains(err.Error(), "payments") {
					t.Errorf("%s, %s, names a flag that the caller may not read: %v", method, what, err)
				}
			}
			want := codes.PermissionDenied
			if c.absent {
				want = codes.NotFound
			}
			if err := call(c.ctx, "checkout-never"); status.Code(err) != want {
				t.Errorf("%s with %s key, of no rollout: %v, want %v", method, name, err, want)
			}
		}
	}
	// A key is used once, so that what the guard has looked up is what is acted on.
	_, err := controlv1.NewRolloutServiceClient(a.conn).StartRollout(a.admin, &controlv1.StartRolloutRequest{
		Environment: "production", Rollout: canary("checkout-deleted", "payments"), Reason: "again",
	})
	if status.Code(err) != codes.AlreadyExists {
		t.Errorf("a key was used again: %v", err)
	}
}
