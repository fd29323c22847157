package server

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/notify"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// requesting is a server that asks who calls, and its change requests in production.
type requesting struct {
	*asking
	requests controlv1.ChangeRequestServiceClient
}

func newRequesting(t *testing.T) *requesting {
	t.Helper()
	return newRequestingWith(t, Options{})
}

func newRequestingWith(t *testing.T, o Options) *requesting {
	t.Helper()
	a := newAskingWith(t, o)
	return &requesting{asking: a, requests: controlv1.NewChangeRequestServiceClient(a.conn)}
}

func (r *requesting) configure(settings *controlv1.EnvironmentSettings) {
	r.t.Helper()
	held, err := r.environments.GetEnvironment(r.admin, &controlv1.GetEnvironmentRequest{Environment: "production"})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.environments.UpdateEnvironment(r.admin, &controlv1.UpdateEnvironmentRequest{
		Environment: "production", Settings: settings, BaseRevision: held.GetRevision(), Reason: "test",
	}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *requesting) propose(ctx context.Context, key string) (int64, error) {
	resp, err := r.requests.ProposeChangeRequest(ctx, &controlv1.ProposeChangeRequestRequest{
		Environment: "production", Flags: []*controlv1.FlagWrite{{Flag: boolean(key)}}, Reason: "please",
	})
	return resp.GetChangeRequest().GetNumber(), err
}

func (r *requesting) approve(ctx context.Context, number int64) error {
	_, err := r.requests.ApproveChangeRequest(ctx, &controlv1.ApproveChangeRequestRequest{Environment: "production", Number: number})
	return err
}

func (r *requesting) apply(ctx context.Context, number int64) error {
	_, err := r.requests.ApplyChangeRequest(ctx, &controlv1.ApplyChangeRequestRequest{Environment: "production", Number: number})
	return err
}

func (r *requesting) get(ctx context.Context, number int64) (*controlv1.ChangeRequest, error) {
	resp, err := r.requests.GetChangeRequest(ctx, &controlv1.GetChangeRequestRequest{Environment: "production", Number: number})
	return resp.GetChangeRequest(), err
}

// prefixed grants keys that begin with a prefix, in production.
func prefixed(role accessv1.Role, prefix string) *accessv1.Grant {
	return &accessv1.Grant{Role: role, Environments: []string{"production"}, KeyPrefixes: []string{prefix}}
}

// TestChangeRequestsOfIdentities: what it takes to do something to a change request follows from
// what that names, and who they are from what they present.
func TestChangeRequestsOfIdentities(t *testing.T) {
	r := newRequesting(t)
	const editor = accessv1.Role_ROLE_EDITOR
	ann, _ := r.service("ann", role(editor))
	ben, made := r.somebody("ben@example.com", role(editor))
	cleo, _ := r.somebody("cleo@example.com", role(editor))
	search, _ := r.service("search", prefixed(editor, "search."))
	viewer, _ := r.service("viewer", role(accessv1.Role_ROLE_VIEWER))
	r.configure(&controlv1.EnvironmentSettings{Approval: &controlv1.ApprovalPolicy{Approvals: 1}})

	_, err := r.flags.CreateFlag(ann, &controlv1.CreateFlagRequest{Environment: "production", Flag: boolean("checkout.a"), Reason: "x"})
	if !slices.ContainsFunc(status.Convert(err).Details(), func(d any) bool {
		info, ok := d.(*errdetails.ErrorInfo)
		return ok && info.GetReason() == "NEEDS_APPROVAL"
	}) {
		t.Errorf("written directly: %v", err)
	}
	if _, err := r.propose(search, "checkout.a"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("proposed by whoever may not write it: %v", err)
	}
	number, err := r.propose(ann, "checkout.a")
	if err != nil {
		t.Fatal(err)
	}
	for name, ctx := range map[string]context.Context{"of other keys": search, "a viewer": viewer} {
		for what, err := range map[string]error{"approve": r.approve(ctx, number), "apply": r.apply(ctx, number)} {
			if status.Code(err) != codes.PermissionDenied {
				t.Errorf("%s by %s: %v", what, name, err)
			}
		}
	}
	if _, err := r.get(search, number); status.Code(err) != codes.PermissionDenied {
		t.Errorf("read by whoever may not read what it names: %v", err)
	}
	if _, err := r.get(search, number+1); status.Code(err) != codes.PermissionDenied {
		t.Errorf("whether there is one is told: %v", err)
	}
	if err := r.approve(ann, number); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("approved by its proposer: %v", err)
	}
	// Renamed, ann is ann.
	held, err := r.identities.GetIdentity(r.admin, &controlv1.GetIdentityRequest{Identity: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	renamed := held.GetIdentity().GetIdentity()
	renamed.Name = "anna"
	if _, err := r.identities.UpdateIdentity(r.admin, &controlv1.UpdateIdentityRequest{Identity: renamed, BaseRevision: held.GetIdentity().GetRevision(), Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	r.eventually("the name is known", func() bool {
		me, err := r.identities.WhoAmI(ann, &controlv1.WhoAmIRequest{})
		return err == nil && me.GetIdentity().GetIdentity().GetName() == "anna"
	})
	if err := r.approve(ann, number); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("approved by its proposer under another name: %v", err)
	}
	if err := r.approve(ben, number); err != nil {
		t.Fatal(err)
	}
	// What ben approved counts no longer when ben is gone.
	if _, err := r.identities.DeleteIdentity(r.admin, &controlv1.DeleteIdentityRequest{Id: made.GetId(), Reason: "left"}); err != nil {
		t.Fatal(err)
	}
	if err := r.apply(ann, number); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "that of ben@example.com, who was deleted, does not count") {
		t.Errorf("applied with the approval of somebody who is gone: %v", err)
	}
	if err := r.approve(cleo, number); err != nil {
		t.Fatal(err)
	}
	if err := r.apply(ann, number); err != nil {
		t.Errorf("applied: %v", err)
	}
	got, err := r.get(viewer, number)
	if err != nil || got.GetState() != controlv1.ChangeRequest_STATE_APPLIED ||
		got.GetApprovals()[0].GetBy().GetIdentityId() != made.GetId() {
		t.Errorf("%v, %v", got, err)
	}
	// Where a key prefix is all that somebody has, they have it of change requests, too.
	own, err := r.propose(search, "search.a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.requests.ListChangeRequests(search, &controlv1.ListChangeRequestsRequest{Environment: "production"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("all are listed: %v", err)
	}
	list, err := r.requests.ListChangeRequests(search, &controlv1.ListChangeRequestsRequest{Environment: "production", KeyPrefix: "search."})
	if err != nil || len(list.GetChangeRequests()) != 1 || list.GetChangeRequests()[0].GetNumber() != own {
		t.Errorf("listed: %v, %v", list, err)
	}
}

// somebody is a person who has logged in.
func (r *requesting) somebody(name string, grants ...*accessv1.Grant) (context.Context, *accessv1.Identity) {
	r.t.Helper()
	made := r.person(name, grants...)
	ctx, _ := r.login(name, adaPassword)
	return ctx, made.GetIdentity()
}

// TestTrailsOfChangeRequests: the number of a change request, which may name any flag, is not a
// key that somebody is granted by a prefix.
func TestTrailsOfChangeRequests(t *testing.T) {
	r := newRequesting(t)
	if _, err := r.propose(r.admin, "secret"); err != nil {
		t.Fatal(err)
	}
	digits, _ := r.service("digits", prefixed(accessv1.Role_ROLE_VIEWER, "1"))
	trails := controlv1.NewAuditServiceClient(r.conn)
	const requests, flags = controlv1.ResourceKind_RESOURCE_KIND_CHANGE_REQUEST, controlv1.ResourceKind_RESOURCE_KIND_FLAG
	for _, c := range []struct {
		filter *controlv1.EntryFilter
		want   codes.Code
	}{
		{&controlv1.EntryFilter{Key: "1"}, codes.PermissionDenied},
		{&controlv1.EntryFilter{KeyPrefix: "1"}, codes.PermissionDenied},
		{&controlv1.EntryFilter{Key: "1", Kinds: []controlv1.ResourceKind{flags, requests}}, codes.PermissionDenied},
		{&controlv1.EntryFilter{Key: "1", Kinds: []controlv1.ResourceKind{flags}}, codes.OK},
		{&controlv1.EntryFilter{Key: "1st"}, codes.OK},
	} {
		_, err := trails.ListEntries(digits, &controlv1.ListEntriesRequest{Environment: "production", Filter: c.filter})
		if status.Code(err) != c.want {
			t.Errorf("%v: %v", c.filter, err)
		}
	}
}

// TestChangeRequestsWhereProtected: it takes an operator to approve and to apply there.
func TestChangeRequestsWhereProtected(t *testing.T) {
	r := newRequesting(t)
	editor, _ := r.service("editor", role(accessv1.Role_ROLE_EDITOR))
	operator, _ := r.somebody("operator@example.com", role(accessv1.Role_ROLE_OPERATOR))
	number, err := r.propose(editor, "a")
	if err != nil {
		t.Fatal(err)
	}
	r.configure(&controlv1.EnvironmentSettings{Protected: true, Approval: &controlv1.ApprovalPolicy{Approvals: 1}})
	r.eventually("it is protected", func() bool { return status.Code(r.apply(editor, number)) == codes.PermissionDenied })
	if err := r.approve(editor, number); status.Code(err) != codes.PermissionDenied {
		t.Errorf("approved by an editor: %v", err)
	}
	if err := r.approve(operator, number); err != nil {
		t.Error(err)
	}
	// Who applies it in place of an editor, who may no longer, has not approved it.
	if err := r.apply(operator, number); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("approved and applied by one operator: %v", err)
	}
	if err := r.apply(r.admin, number); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("applied by a service: %v", err)
	}
	other, _ := r.somebody("other@example.com", role(accessv1.Role_ROLE_OPERATOR))
	if err := r.apply(other, number); err != nil {
		t.Error(err)
	}
}

// soon proposes a flag, to be applied as soon as can be: on a slow machine that is no time when
// the server looks at it, and is tried again.
func (r *running) soon(ctx context.Context, key, reason string) int64 {
	r.t.Helper()
	for after := 100 * time.Millisecond; ; after *= 2 {
		proposed, err := controlv1.NewChangeRequestServiceClient(r.conn).ProposeChangeRequest(ctx, &controlv1.ProposeChangeRequestRequest{
			Environment: "production", Flags: []*controlv1.FlagWrite{{Flag: boolean(key)}}, Reason: reason,
			ApplyAt: timestamppb.New(time.Now().Add(after)),
		})
		if err == nil {
			return proposed.GetChangeRequest().GetNumber()
		}
		if status.Code(err) != codes.InvalidArgument || after > time.Minute {
			r.t.Fatal(err)
		}
	}
}

// TestScheduledByTheServer: the server that leads applies what is due.
func TestScheduledByTheServer(t *testing.T) {
	r := newRequesting(t)
	number := r.soon(r.admin, "a", "please")
	var got *controlv1.ChangeRequest
	r.eventually("it is applied", func() bool {
		var err error
		got, err = r.get(r.admin, number)
		return err == nil && got.GetState() != controlv1.ChangeRequest_STATE_OPEN
	})
	if got.GetState() != controlv1.ChangeRequest_STATE_APPLIED || got.GetClosedBy().GetName() != "the schedule" {
		t.Errorf("%v", got)
	}
}

// TestScheduledByWhoLeft: what somebody scheduled who may no longer write it has failed when it is
// due, and people are told. A freeze holds it up for as long as it takes to delete them.
func TestScheduledByWhoLeft(t *testing.T) {
	told := make(chan notify.Event, 10)
	r := newRequestingWith(t, Options{Notify: []notify.Target{{Name: "team", Kinds: []notify.Kind{notify.ChangeFailed}, Sender: sender(told)}}})
	ann, made := r.service("ann", role(accessv1.Role_ROLE_EDITOR))
	freezes := controlv1.NewFreezeServiceClient(r.conn)
	if _, err := freezes.Freeze(r.admin, &controlv1.FreezeRequest{Environments: []string{"production"}, Reason: "wait"}); err != nil {
		t.Fatal(err)
	}
	number := r.soon(ann, "a", "parting gift")
	if _, err := r.identities.DeleteIdentity(r.admin, &controlv1.DeleteIdentityRequest{Id: made.GetIdentity().GetIdentity().GetId(), Reason: "left"}); err != nil {
		t.Fatal(err)
	}
	if _, err := freezes.Lift(r.admin, &controlv1.LiftRequest{Environments: []string{"production"}, Reason: "go on"}); err != nil {
		t.Fatal(err)
	}
	e := <-told
	if !strings.Contains(e.Headline, "ann, who proposed it, was deleted") || e.ChangeRequest != number {
		t.Errorf("told: %+v", e)
	}
	if got, err := r.get(r.admin, number); err != nil || got.GetState() != controlv1.ChangeRequest_STATE_FAILED {
		t.Errorf("%v, %v", got, err)
	}
}

// TestServicesApproveNothing: whoever presents a secret is not known to be a person.
func TestServicesApproveNothing(t *testing.T) {
	r := newRequesting(t)
	ann, _ := r.service("ann", role(accessv1.Role_ROLE_EDITOR))
	number, err := r.propose(ann, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.approve(r.admin, number); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "administrator is a service") {
		t.Errorf("approved by a service: %v", err)
	}
}

// TestChangeRequestsAreTold: of what people are told of a change request.
func TestChangeRequestsAreTold(t *testing.T) {
	told := make(chan notify.Event, 10)
	r := start(t, Options{Notify: []notify.Target{{
		Name: "team", Kinds: []notify.Kind{notify.ChangeProposed, notify.ChangeApplied, notify.ChangeFailed}, Sender: sender(told),
	}}})
	requests := controlv1.NewChangeRequestServiceClient(r.conn)
	if _, err := requests.ProposeChangeRequest(as(t), &controlv1.ProposeChangeRequestRequest{
		Environment: "production", Flags: []*controlv1.FlagWrite{{Flag: boolean("a")}}, Reason: "first",
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := requests.ApplyChangeRequest(as(t), &controlv1.ApplyChangeRequestRequest{Environment: "production", Number: 1}); err != nil {
		t.Fatal(err)
	}
	held, err := r.environments.GetEnvironment(as(t), &controlv1.GetEnvironmentRequest{Environment: "production"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.environments.UpdateEnvironment(as(t), &controlv1.UpdateEnvironmentRequest{
		Environment: "production", Settings: &controlv1.EnvironmentSettings{Approval: &controlv1.ApprovalPolicy{Approvals: 1}},
		BaseRevision: held.GetRevision(), Reason: "nobody will",
	}); err != nil {
		t.Fatal(err)
	}
	r.soon(as(t), "b", "second")
	var got []string
	for range 4 {
		e := <-told
		got = append(got, string(e.Kind)+" "+e.Reason+" "+strings.Join(e.Keys, ","))
		if e.Kind == notify.ChangeFailed && !strings.Contains(e.Headline, "has 0 of the 1 approval") {
			t.Errorf("%+v", e)
		}
	}
	slices.Sort(got)
	want := []string{"change_applied first a", "change_failed second b", "change_proposed first a", "change_proposed second b"}
	if !slices.Equal(got, want) {
		t.Errorf("told: %q", got)
	}
}

// sender hands over what is sent.
type sender chan notify.Event

// Send implements notify.Sender.
func (s sender) Send(_ context.Context, e notify.Event) (string, error) {
	s <- e
	return "", nil
}
