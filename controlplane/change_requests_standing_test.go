package controlplane

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// asked makes the server ask who people are.
func (f *requesting) asked() *requesting {
	f.o.Identified = true
	return f
}

// identify makes an identity, and returns who they are when they call.
func (f *requesting) identify(name string, kind accessv1.IdentityKind, grants ...*accessv1.Grant) Caller {
	f.t.Helper()
	made, err := f.CreateIdentity(f.ctx, alice, &controlv1.CreateIdentityRequest{Reason: "x", Identity: &accessv1.Identity{
		Name: name, Kind: kind, Grants: grants,
	}})
	if err != nil {
		f.t.Fatal(err)
	}
	return Caller{Actor: name, Identity: made.GetIdentity().GetIdentity().GetId()}
}

// person makes one who may write.
func (f *requesting) person(name string) Caller {
	f.t.Helper()
	return f.identify(name+"@example.com", accessv1.IdentityKind_IDENTITY_KIND_PERSON, granted(accessv1.Role_ROLE_EDITOR))
}

func granted(r accessv1.Role, prefixes ...string) *accessv1.Grant {
	return &accessv1.Grant{Role: r, KeyPrefixes: prefixes}
}

// edit changes an identity.
func (f *requesting) edit(who Caller, edit func(*accessv1.Identity)) {
	f.t.Helper()
	held, err := f.GetIdentity(f.ctx, &controlv1.GetIdentityRequest{Identity: who.Identity})
	if err != nil {
		f.t.Fatal(err)
	}
	next := proto.CloneOf(held.GetIdentity().GetIdentity())
	edit(next)
	if _, err := f.UpdateIdentity(f.ctx, alice, &controlv1.UpdateIdentityRequest{
		Identity: next, BaseRevision: held.GetIdentity().GetRevision(), Reason: "x",
	}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *requesting) remove(who Caller) {
	f.t.Helper()
	if _, err := f.DeleteIdentity(f.ctx, alice, &controlv1.DeleteIdentityRequest{Id: who.Identity, Reason: "left"}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *requesting) propose(c Caller, keys ...string) int64 {
	f.t.Helper()
	r := &controlv1.ProposeChangeRequestRequest{}
	for _, key := range keys {
		r.Flags = append(r.Flags, &controlv1.FlagWrite{Flag: boolFlag(key)})
	}
	resp, err := f.tryPropose(c, r)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.GetChangeRequest().GetNumber()
}

// scheduleAs has somebody propose a flag, to be made after a while.
func (f *scheduling) scheduleAs(c Caller, key string, after time.Duration) int64 {
	f.t.Helper()
	resp, err := f.tryPropose(c, &controlv1.ProposeChangeRequestRequest{
		Flags: []*controlv1.FlagWrite{{Flag: boolFlag(key)}}, ApplyAt: timestamppb.New(f.authority.now().Add(after)),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.GetChangeRequest().GetNumber()
}

// lost are ways in which somebody may no longer write production's checkout.a, and what is said of
// each; empty: they still may.
var lost = map[string]struct {
	how  func(*requesting, Caller)
	says string
}{
	"nothing": {func(*requesting, Caller) {}, ""},
	"renamed": {func(f *requesting, c Caller) {
		f.edit(c, func(i *accessv1.Identity) { i.Name = "other@example.com" })
	}, ""},
	"limited to their keys": {func(f *requesting, c Caller) {
		f.edit(c, func(i *accessv1.Identity) {
			i.Grants = []*accessv1.Grant{granted(accessv1.Role_ROLE_EDITOR, "checkout.")}
		})
	}, ""},
	"protected, and they are an operator": {func(f *requesting, c Caller) {
		f.configure(func(s *controlv1.EnvironmentSettings) { s.Protected = true })
		f.edit(c, func(i *accessv1.Identity) {
			i.Grants = []*accessv1.Grant{granted(accessv1.Role_ROLE_OPERATOR)}
		})
	}, ""},
	"deleted": {func(f *requesting, c Caller) { f.remove(c) }, "was deleted"},
	"disabled": {func(f *requesting, c Caller) {
		f.edit(c, func(i *accessv1.Identity) { i.Disabled = true })
	}, "is disabled"},
	"expired": {func(f *requesting, c Caller) {
		f.edit(c, func(i *accessv1.Identity) { i.ExpiresAt = timestamppb.New(f.authority.now().Add(time.Second)) })
		time.Sleep(2 * time.Second)
	}, "has expired at"},
	"a viewer": {func(f *requesting, c Caller) {
		f.edit(c, func(i *accessv1.Identity) {
			i.Grants = []*accessv1.Grant{granted(accessv1.Role_ROLE_VIEWER)}
		})
	}, "may no longer write checkout.a in environment production, which takes the role EDITOR"},
	"of another environment": {func(f *requesting, c Caller) {
		f.edit(c, func(i *accessv1.Identity) { i.Grants[0].Environments = []string{staging} })
	}, "may no longer write checkout.a in environment production, which takes the role EDITOR"},
	"of some of the keys": {func(f *requesting, c Caller) {
		f.edit(c, func(i *accessv1.Identity) {
			i.Grants = []*accessv1.Grant{granted(accessv1.Role_ROLE_EDITOR, "checkout.b", "other.")}
		})
	}, "may no longer write checkout.a in environment production"},
	"protected": {func(f *requesting, _ Caller) {
		f.configure(func(s *controlv1.EnvironmentSettings) { s.Protected = true })
	}, "may no longer operate checkout.a in environment production, which is protected and takes the role OPERATOR"},
}

// TestScheduledByWhoeverMay: what is scheduled is written if whoever proposed it may still write
// it when it is due, and fails with words for it otherwise.
func TestScheduledByWhoeverMay(t *testing.T) {
	for name, c := range lost {
		t.Run(name, func(t *testing.T) {
			scheduled(t, func(t *testing.T, f *scheduling, _ *memstore.Store) {
				defer f.elect()()
				ann := f.asked().person("ann")
				number := f.scheduleAs(ann, "checkout.a", time.Minute)
				c.how(f.requesting, ann)
				if got := strings.Join(f.request(number).GetCautions(), "; "); (got != "") != (c.says != "") || !strings.Contains(got, c.says) {
					t.Errorf("it is said beforehand: %q", got)
				}
				time.Sleep(time.Minute + time.Second)
				synctest.Wait()
				if c.says == "" {
					f.became(number, stateApplied, "")
					return
				}
				f.became(number, stateFailed, "ann@example.com, who proposed it, "+c.says)
				f.became(number, stateFailed, "somebody who may has to propose it again")
				if _, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: "checkout.a"}); err == nil {
					t.Error("it is written")
				}
			})
		})
	}
}

// TestApprovalsThatCount: an approval counts while whoever gave it may write what is approved.
func TestApprovalsThatCount(t *testing.T) {
	for name, c := range lost {
		t.Run(name, func(t *testing.T) {
			scheduled(t, func(t *testing.T, f *scheduling, _ *memstore.Store) {
				f.require(2)
				ann, ben, cleo, dan := f.asked().person("ann"), f.person("ben"), f.person("cleo"), f.person("dan")
				for _, one := range []Caller{ann, cleo, dan} { // whatever becomes of the environment
					f.edit(one, func(i *accessv1.Identity) { i.Grants[0].Role = accessv1.Role_ROLE_OPERATOR })
				}
				number := f.propose(ann, "checkout.a")
				for _, one := range []Caller{ben, cleo} {
					if err := f.approve(one, number); err != nil {
						t.Fatal(err)
					}
				}
				c.how(f.requesting, ben)
				shown := f.request(number).GetUncountedApprovals()
				_, err := f.applyAs(ann, number)
				if c.says == "" {
					if err != nil || len(shown) > 0 {
						t.Errorf("%v; not counted: %v", err, shown)
					}
					return
				}
				mentions(t, as[*PreconditionError](t, err), "#1 has 1 of the 2 approvals that production asks for (see the wiki)",
					"that of ben@example.com, who "+c.says, "does not count", "somebody else has to approve it")
				if len(shown) != 1 || shown[0].GetBy().GetIdentityId() != ben.Identity || !strings.Contains(shown[0].GetProblem(), c.says) {
					t.Errorf("not counted: %v", shown)
				}
				if err := f.approve(dan, number); err != nil {
					t.Fatal(err)
				}
				if _, err := f.applyAs(ann, number); err != nil {
					t.Errorf("with another approval: %v", err)
				}
			})
		})
	}
}

// TestEveryKeyIsLookedAt: a right to some of what is named is none, of segments and rollouts, too.
func TestEveryKeyIsLookedAt(t *testing.T) {
	scheduled(t, func(t *testing.T, f *scheduling, _ *memstore.Store) {
		f.create(offFlag("x.rolling"))
		f.require(1)
		ann, ben := f.asked().person("ann"), f.person("ben")
		for named, r := range map[string]*controlv1.ProposeChangeRequestRequest{
			"y.flag":    {Flags: []*controlv1.FlagWrite{{Flag: boolFlag("x.flag")}, {Flag: boolFlag("y.flag")}}},
			"y.segment": {Flags: []*controlv1.FlagWrite{{Flag: boolFlag("x.other")}}, Segments: []*controlv1.SegmentWrite{{Segment: &flagv1.Segment{Key: "y.segment"}}}},
			"y.rollout": {Rollout: canary("y.rollout", "x.rolling")},
		} {
			resp, err := f.tryPropose(ann, r)
			if err != nil {
				t.Fatal(err)
			}
			number := resp.GetChangeRequest().GetNumber()
			if err := f.approve(ben, number); err != nil {
				t.Fatal(err)
			}
			f.edit(ben, func(i *accessv1.Identity) { i.Grants[0].KeyPrefixes = []string{"x."} })
			_, err = f.applyAs(ann, number)
			mentions(t, as[*PreconditionError](t, err), "may no longer write "+named)
			f.edit(ben, func(i *accessv1.Identity) { i.Grants[0].KeyPrefixes = nil })
			if _, err = f.applyAs(ann, number); err != nil {
				t.Errorf("%s, by whom may write it again: %v", named, err)
			}
		}
	})
}

// TestServicesDoNotApprove: a second person is one.
func TestServicesDoNotApprove(t *testing.T) {
	f := requestingFixture(t).asked()
	f.require(1)
	ann, robot := f.person("ann"), f.identify("robot", accessv1.IdentityKind_IDENTITY_KIND_SERVICE, granted(accessv1.Role_ROLE_ADMINISTRATOR))
	number := f.propose(ann, "a")
	mentions(t, as[*PreconditionError](t, f.approve(robot, number)), "robot is a service", "a person has to approve #1", "tidegate login")
	if got := f.request(number).GetChangeRequest().GetApprovals(); len(got) != 0 {
		t.Errorf("%v", got)
	}
	// As one did before that was refused.
	f.o.Identified = false
	if err := f.approve(robot, number); err != nil {
		t.Fatal(err)
	}
	_, err := f.asked().applyAs(ann, number)
	mentions(t, as[*PreconditionError](t, err), "has 0 of the 1 approval", "that of robot, who is a service, does not count")
	// A service proposes and applies, as a pipeline does.
	number = f.propose(robot, "b")
	if err := f.approve(ann, number); err != nil {
		t.Fatal(err)
	}
	if _, err := f.applyAs(robot, number); err != nil {
		t.Error(err)
	}
}

// TestAskedSince: who proposed or approved something while nobody was asked is nobody that a
// server which asks knows.
func TestAskedSince(t *testing.T) {
	scheduled(t, func(t *testing.T, f *scheduling, _ *memstore.Store) {
		defer f.elect()()
		waits, due := f.propose(alice, "a"), f.scheduleAs(alice, "b", time.Minute)
		if err := f.approve(bob, waits); err != nil {
			t.Fatal(err)
		}
		f.require(1)
		f.asked()
		_, err := f.applyAs(f.person("ann"), waits)
		mentions(t, as[*PreconditionError](t, err), "has 0 of the 1 approval", "that of bob, who was not asked who they are")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.became(due, stateFailed, "alice, who proposed it, was not asked who they are")
	})
}

// TestInPlaceOfTheProposer: who applies what was proposed by somebody who may no longer answers
// for it, and so does not approve it.
func TestInPlaceOfTheProposer(t *testing.T) {
	f := requestingFixture(t).asked()
	f.require(1)
	ann, ben, cleo := f.person("ann"), f.person("ben"), f.person("cleo")
	number := f.propose(ann, "a")
	if err := f.approve(ben, number); err != nil {
		t.Fatal(err)
	}
	f.remove(ann)
	_, err := f.applyAs(ben, number)
	mentions(t, as[*PreconditionError](t, err), "has 0 of the 1 approval",
		"that of ben@example.com, who applies it in place of ann@example.com, who was deleted, does not count")
	if _, err := f.applyAs(cleo, number); err != nil {
		t.Errorf("by somebody else: %v", err)
	}
}

// TestServiceInPlaceOfTheProposer: nor does a service take the place of a proposer who may no longer:
// whoever approved it may have its secret.
func TestServiceInPlaceOfTheProposer(t *testing.T) {
	f := requestingFixture(t).asked()
	f.require(1)
	ann, ben, cleo := f.person("ann"), f.person("ben"), f.person("cleo")
	robot := f.identify("ci", accessv1.IdentityKind_IDENTITY_KIND_SERVICE, granted(accessv1.Role_ROLE_EDITOR))
	mine, left := f.propose(ann, "a"), f.propose(ann, "b")
	for _, number := range []int64{mine, left} {
		if err := f.approve(ben, number); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.applyAs(robot, mine); err != nil {
		t.Errorf("while ann may: %v", err)
	}
	f.edit(ann, func(i *accessv1.Identity) { i.Disabled = true })
	_, err := f.applyAs(robot, left)
	mentions(t, as[*PreconditionError](t, err), "ann@example.com, who proposed #2, is disabled", "ci is a service", "a person", "tidegate login")
	if _, err := f.applyAs(cleo, left); err != nil {
		t.Errorf("by a person: %v", err)
	}
	// Where nobody has to approve, a service writes as it may without a change request.
	f.require(0)
	alone := f.propose(cleo, "c")
	f.remove(cleo)
	if _, err := f.applyAs(robot, alone); err != nil {
		t.Errorf("without approvals: %v", err)
	}
}

// TestApprovedAgain: somebody who was made anew, with the name that they had, approves anew: what
// they approved before does not count.
func TestApprovedAgain(t *testing.T) {
	f := requestingFixture(t).asked()
	f.require(1)
	ann, ben := f.person("ann"), f.person("ben")
	number := f.propose(ann, "a")
	if err := f.approve(ben, number); err != nil {
		t.Fatal(err)
	}
	f.remove(ben)
	again := f.person("ben")
	if _, err := f.applyAs(ann, number); err == nil {
		t.Fatal("applied with the approval of somebody who was deleted")
	}
	for range 2 {
		if err := f.approve(again, number); err != nil {
			t.Fatal(err)
		}
		shown := f.request(number)
		all := shown.GetChangeRequest().GetApprovals()
		if len(all) != 1 || all[0].GetBy().GetIdentityId() != again.Identity || len(shown.GetUncountedApprovals()) > 0 {
			t.Errorf("approvals %v, of which do not count %v", all, shown.GetUncountedApprovals())
		}
	}
	if _, err := f.applyAs(ann, number); err != nil {
		t.Error(err)
	}
}

// TestApproveTellsWhatCounts: the answer to who approves says which approvals do not count.
func TestApproveTellsWhatCounts(t *testing.T) {
	f := requestingFixture(t).asked()
	f.require(2)
	ann, ben, cleo := f.person("ann"), f.person("ben"), f.person("cleo")
	number := f.propose(ann, "a")
	if err := f.approve(ben, number); err != nil {
		t.Fatal(err)
	}
	f.remove(ben)
	for range 2 { // approved, and approved before
		resp, err := f.ApproveChangeRequest(f.ctx, cleo, &controlv1.ApproveChangeRequestRequest{Environment: production, Number: number})
		if err != nil {
			t.Fatal(err)
		}
		not := resp.GetUncountedApprovals()
		if len(resp.GetChangeRequest().GetApprovals()) != 2 || len(not) != 1 || not[0].GetBy().GetIdentityId() != ben.Identity || not[0].GetProblem() != "was deleted" {
			t.Errorf("approved: %v", resp)
		}
	}
}
