package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/store"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// standing is what those who stand behind a change request may do, as it is when that is applied:
// who proposed it, who approved it, and who applies it. Nil: nobody is asked who they are, and everybody may.
type standing struct {
	now        time.Time
	identities map[string]stood
}

// stood is an identity, and the revision at which it is what it is.
type stood struct {
	*accessv1.Identity
	revision int64
}

// readStanding reads the identities behind a change request, and of others.
func (a *Authority) readStanding(ctx context.Context, r *controlv1.ChangeRequest, now time.Time, others ...*controlv1.Party) (*standing, error) {
	s := &standing{now: now, identities: make(map[string]stood)}
	ids := make([]string, 0, 1+len(r.GetApprovals())+len(others))
	for _, who := range slices.Concat([]*controlv1.Party{r.GetProposer()}, approvers(r), others) {
		if id := who.GetIdentityId(); id != "" {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return s, nil
	}
	ranges := make([]store.Range, 0, len(ids))
	for _, id := range ids {
		ranges = append(ranges, store.Key(identity.Root+id))
	}
	results, _, err := a.store.Read(ctx, ranges...)
	if err != nil {
		return nil, unavailable(err)
	}
	for i, id := range ids {
		v := identityKind.version(results[i])
		if held, ok := v.message.(*accessv1.Identity); ok { // what cannot be decoded is nobody
			s.identities[id] = stood{held, v.revision}
		}
	}
	return s, nil
}

func approvers(r *controlv1.ChangeRequest) []*controlv1.Party {
	all := make([]*controlv1.Party, 0, len(r.GetApprovals()))
	for _, a := range r.GetApprovals() {
		all = append(all, a.GetBy())
	}
	return all
}

// refusal says why somebody may not write all that a change request names, in words that go on
// after "who"; empty: they may.
func (s *standing) refusal(who *controlv1.Party, r *controlv1.ChangeRequest, protected bool) string {
	if s == nil {
		return ""
	}
	if who.GetIdentityId() == "" {
		return "was not asked who they are"
	}
	held, there := s.identities[who.GetIdentityId()]
	if !there {
		return "was deleted"
	}
	if err := identity.Usable(held.Identity, s.now); errors.Is(err, identity.ErrDisabled) {
		return "is disabled"
	} else if err != nil {
		return "has expired at " + held.GetExpiresAt().AsTime().Format(time.RFC3339)
	}
	needed, where := identity.Write.In(protected), ", which"
	if protected {
		where = ", which is protected and"
	}
	for _, key := range keysOf(r) {
		scope := identity.Scope{Environment: r.GetEnvironment(), Key: key}
		if !identity.Allows(held.Identity, needed, scope) {
			return fmt.Sprintf("may no longer %s %s%s takes the role %s", needed, scope, where, strings.TrimPrefix(needed.Role().String(), "ROLE_"))
		}
	}
	return ""
}

// isService tells whether somebody is known to be a program.
func (s *standing) isService(who *controlv1.Party) bool {
	return s != nil && s.identities[who.GetIdentityId()].GetKind() == accessv1.IdentityKind_IDENTITY_KIND_SERVICE
}

// uncounted are the approvals that do not count. Who applies the change request in place of a
// proposer who may no longer answers for it, and so is no second person; nil: nobody applies it.
func (s *standing) uncounted(r *controlv1.ChangeRequest, protected bool, applies *controlv1.Party) []*controlv1.UncountedApproval {
	lapsed := s.refusal(r.GetProposer(), r, protected)
	var all []*controlv1.UncountedApproval
	for _, who := range approvers(r) {
		problem := s.refusal(who, r, protected)
		switch {
		case problem == "" && s.isService(who):
			problem = "is a service"
		case problem == "" && lapsed != "" && applies != nil && samePerson(who, applies):
			problem = fmt.Sprintf("applies it in place of %s, who %s", r.GetProposer().GetName(), lapsed)
		}
		if problem != "" {
			all = append(all, &controlv1.UncountedApproval{By: who, Problem: problem})
		}
	}
	return all
}

// notApplied says why whoever applies a change request by hand may not; empty: they may. Where others
// have to approve it, a person takes the place of a proposer who may no longer: whoever approved it
// could have the secret of a service.
func (s *standing) notApplied(r *controlv1.ChangeRequest, applies *controlv1.Party, protected, approved bool) string {
	if problem := s.refusal(applies, r, protected); problem != "" {
		return fmt.Sprintf("%s, who applies it, %s", applies.GetName(), problem)
	}
	lapsed := s.refusal(r.GetProposer(), r, protected)
	if lapsed == "" || !approved || !s.isService(applies) {
		return ""
	}
	return fmt.Sprintf("%s, who proposed #%d, %s: a person has to apply it in their place ('tidegate login'), and %s is a service",
		r.GetProposer().GetName(), r.GetNumber(), lapsed, applies.GetName())
}

// unchanged is the condition that some of them still are what they were found to be.
func (s *standing) unchanged(parties ...*controlv1.Party) []store.Compare {
	if s == nil {
		return nil
	}
	var all []store.Compare
	seen := make(map[string]bool)
	for _, who := range parties {
		id := who.GetIdentityId()
		if held, there := s.identities[id]; there && !seen[id] { // who proposed it may apply it
			all, seen[id] = append(all, store.Unchanged(identity.Root+id, held.revision)), true
		}
	}
	return all
}

// notPermitted says why the schedule does not write what its proposer may not; empty: it does.
func (s *standing) notPermitted(r *controlv1.ChangeRequest, protected bool) string {
	lapsed := s.refusal(r.GetProposer(), r, protected)
	if lapsed == "" {
		return ""
	}
	return fmt.Sprintf("%s, who proposed it, %s, and the schedule writes only what whoever proposed it still may: somebody who may has to propose it again",
		r.GetProposer().GetName(), lapsed)
}
