package server

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// refused is what a refusal says, in words and in details.
func refused(err error) string {
	return fmt.Sprint(err, status.Convert(err).Details())
}

// TestStopInConflict: who may stop a rollout, and not read it, learns from a conflict that it is at
// another revision, and nothing of what it is.
func TestStopInConflict(t *testing.T) {
	a := newAsking(t)
	rollouts := controlv1.NewRolloutServiceClient(a.conn)
	editor, _ := a.service("pay-editor", of(accessv1.Role_ROLE_EDITOR, "pay."))
	for i, named := range []struct{ rollout, flag string }{{"shop.r", "pay.c"}, {"pay.r", "shop.c"}} {
		a.makeOff(named.flag)
		a.startRollout(named.rollout, named.flag)
		base, now := int64(1), int64(0)
		if held, err := rollouts.GetRollout(a.admin, &controlv1.GetRolloutRequest{Environment: "production", Key: named.rollout}); err != nil {
			t.Fatal(err)
		} else {
			now = held.GetRollout().GetRevision()
		}
		_, paused := rollouts.PauseRollout(editor, &controlv1.PauseRolloutRequest{Environment: "production", Key: named.rollout, BaseRevision: &base, Reason: "test"})
		_, aborted := rollouts.AbortRollout(editor, &controlv1.AbortRolloutRequest{Environment: "production", Key: named.rollout, BaseRevision: &base, Reason: "test"})
		_, told := rollouts.PauseRollout(a.admin, &controlv1.PauseRolloutRequest{Environment: "production", Key: named.rollout, BaseRevision: &base, Reason: "test"})
		for what, err := range map[string]error{"pause": paused, "abort": aborted} {
			text := refused(err)
			if status.Code(err) != codes.Aborted || !strings.Contains(text, fmt.Sprintf("is no longer at revision 1 but at %d", now)) {
				t.Errorf("%d, %s: %s", i, what, text)
			}
			for _, secret := range []string{"secret plans", "latest", "since then", "errors", "changes", named.flag} {
				if strings.Contains(text, secret) {
					t.Errorf("%d, %s tells %q: %s", i, what, secret, text)
				}
			}
		}
		if !strings.Contains(refused(told), "secret plans") {
			t.Errorf("%d: who may read it is told %s", i, refused(told))
		}
	}
}

// TestConflictNamesNoRollout: a conflict over a flag names the rollout that changed it to those alone
// who may know of that; so does what is in the way of a change request.
func TestConflictNamesNoRollout(t *testing.T) {
	a := newAsking(t)
	requests := controlv1.NewChangeRequestServiceClient(a.conn)
	reads := of(accessv1.Role_ROLE_VIEWER, "pay.")
	viewer, _ := a.service("pay-viewer", reads, &accessv1.Grant{
		Role: accessv1.Role_ROLE_EDITOR, Environments: []string{"staging"}, KeyPrefixes: []string{"pay."},
	})
	editor, _ := a.service("pay-editor", of(accessv1.Role_ROLE_EDITOR, "pay."))
	numbers := map[string]int64{}
	for key, r := range map[string]*controlv1.ProposeChangeRequestRequest{
		"pay.changed": {Flags: []*controlv1.FlagWrite{{Flag: boolean("pay.changed")}}},
		"pay.needed":  {Deletes: []*controlv1.ResourceDelete{{Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: "pay.needed"}}},
	} {
		a.makeOff(key)
		held, err := a.flags.GetFlag(a.admin, &controlv1.GetFlagRequest{Environment: "production", FlagKey: key})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range r.GetDeletes() {
			d.BaseRevision = held.GetFlag().GetRevision()
		}
		r.Environment, r.Reason = "production", "test"
		resp, err := requests.ProposeChangeRequest(a.admin, r)
		if err != nil {
			t.Fatal(err)
		}
		numbers[key] = resp.GetChangeRequest().GetNumber()
	}
	a.startRollout("shop.canary", "pay.changed")
	needing := boolean("shop.needing")
	needing.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "pay.needed", Variants: []string{"on"}}}
	if _, err := a.flags.CreateFlag(a.admin, &controlv1.CreateFlagRequest{Environment: "production", Flag: needing, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	told := func(ctx context.Context, key string) *controlv1.GetChangeRequestResponse {
		t.Helper()
		resp, err := requests.GetChangeRequest(ctx, &controlv1.GetChangeRequestRequest{Environment: "production", Number: numbers[key]})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	for key, says := range map[string]string{
		"pay.changed": "latest", // the change, without the rollout
		"pay.needed":  "may write what it names",
	} {
		if text := fmt.Sprint(told(viewer, key)); strings.Contains(text, "shop.") || !strings.Contains(text, says) {
			t.Errorf("%s, for who may not know: %s", key, text)
		}
		if text := fmt.Sprint(told(editor, key)); !strings.Contains(text, "shop.") {
			t.Errorf("%s, for who may stop it: %s", key, text)
		}
	}

	environments := controlv1.NewEnvironmentServiceClient(a.conn)
	_, flag := a.flags.PromoteFlag(viewer, &controlv1.PromoteFlagRequest{
		FlagKey: "pay.changed", FromEnvironment: "production", ToEnvironment: "staging", FromRevision: 1, Reason: "test",
	})
	_, environment := environments.PromoteEnvironment(viewer, &controlv1.PromoteEnvironmentRequest{
		KeyPrefix: "pay.", FromEnvironment: "production", ToEnvironment: "staging", BaseRevision: 1, Reason: "test",
	})
	for what, err := range map[string]error{"flag": flag, "environment": environment} {
		if text := refused(err); status.Code(err) != codes.Aborted || strings.Contains(text, "shop.") || !strings.Contains(text, "latest") {
			t.Errorf("promote %s: %s", what, text)
		}
	}
}
