package server

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
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
