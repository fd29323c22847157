package server

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// TestLastAdministrator: there is always one.
func TestLastAdministrator(t *testing.T) {
	a := newAsking(t)
	who, err := a.identities.WhoAmI(a.admin, &controlv1.WhoAmIRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first := who.GetIdentity()
	remove := func() error {
		_, err := a.identities.DeleteIdentity(a.admin, &controlv1.DeleteIdentityRequest{Id: first.GetIdentity().GetId(), Reason: "test"})
		return err
	}
	if err := remove(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("the last administrator was deleted: %v", err)
	}
	less := proto.CloneOf(first.GetIdentity())
	less.Grants[0].Role = accessv1.Role_ROLE_OPERATOR
	if _, err := a.identities.UpdateIdentity(a.admin, &controlv1.UpdateIdentityRequest{Identity: less, BaseRevision: first.GetRevision(), Reason: "test"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("the last administrator became an operator: %v", err)
	}
	a.service("second", role(accessv1.Role_ROLE_ADMINISTRATOR))
	if err := remove(); err != nil {
		t.Errorf("with another one there: %v", err)
	}
}

// TestResetAdministrator: who has the store gets in.
func TestResetAdministrator(t *testing.T) {
	dir := t.TempDir()
	first := startAsking(t, Options{DataDir: dir})
	lost := first.server.FirstSecret()
	first.stop()
	again := startAsking(t, Options{DataDir: dir})
	if again.server.FirstSecret() != "" {
		t.Error("a second start shows a secret")
	}
	again.stop()
	reset := startAsking(t, Options{DataDir: dir, ResetAdministrator: true})
	a := &asking{running: reset, identities: controlv1.NewIdentityServiceClient(reset.conn)}
	a.eventually("the new secret is good", func() bool { return a.whoami(presenting(t.Context(), reset.server.FirstSecret())) == codes.OK })
	if a.whoami(presenting(t.Context(), lost)) != codes.Unauthenticated {
		t.Error("the lost secret is still good")
	}
}
