package controlplane

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// maxApprovals that a policy can ask for.
const maxApprovals = 5

// environmentSettings are those that the write is decided on.
func (s *state) environmentSettings(environment string) (*controlv1.EnvironmentSettings, error) {
	settings, ok := s.settings.message.(*controlv1.EnvironmentSettings)
	if !ok && s.settings.revision != 0 {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, settingsOf(environment))
	}
	return settings, nil
}

// checkApproval refuses what others have to approve and have not. What is only validated is
// shown to whoever wants to propose it.
func (s *state) checkApproval(p *plan, drafts []*draft) error {
	i := slices.IndexFunc(drafts, (*draft).needsApproval)
	if p.validateOnly || p.applied == nil && i < 0 {
		return nil
	}
	if p.applied != nil {
		return s.checkBacked(p)
	}
	first := drafts[i]
	settings, err := s.environmentSettings(first.environment)
	if err != nil {
		return err
	}
	s.policed = true
	policy := settings.GetApproval()
	wanted := int(policy.GetApprovals())
	if wanted == 0 || appliedByOne(settings, p.source) {
		return nil
	}
	return &PreconditionError{NeedsApproval: true, Fields: eval.Errors{{Field: first.field, Problem: fmt.Sprintf(
		"%s changes with the approval of %s%s: propose it as a change request ('tidegate request propose')",
		p.environment, others(wanted), explained(policy))}}}
}

// needsApproval tells what others approve: all but what shuts, and what steers a rollout that
// was started.
func (d *draft) needsApproval() bool {
	switch d.kind {
	case flagKind:
		return !d.killSwitch() && d.rollout == ""
	case rolloutKind:
		return d.verb == controlv1.Action_ACTION_STARTED
	}
	return d.kind == segmentKind
}

// appliedByOne tells whether a source of files is reviewed elsewhere: one identity applies it,
// and checkSource has seen that it is the one who calls.
func appliedByOne(settings *controlv1.EnvironmentSettings, source string) bool {
	return source != "" && slices.ContainsFunc(settings.GetFileSources(), func(f *controlv1.FileSource) bool {
		return f.GetName() == source && f.GetAppliedBy() != ""
	})
}

// checkBacked refuses to apply a change request that too few people stand behind who may still
// write what it names; the schedule's, if its proposer may not; and by a hand that may not. That
// they may is a condition of the write then. It is the one place where approvals are counted, whoever applies it.
func (s *state) checkBacked(p *plan) error {
	settings, err := s.environmentSettings(p.environment)
	if err != nil {
		return err
	}
	s.policed = true
	held, protected, policy := s.requested(), settings.GetProtected(), settings.GetApproval()
	wanted, applies := int(policy.GetApprovals()), party(p.caller)
	why := s.standing.notApplied(held, applies, protected, wanted > 0)
	if p.unattended {
		why = s.standing.notPermitted(held, protected)
	}
	if why != "" {
		return precluded("number", why)
	}
	uncounted := s.standing.uncounted(held, protected, applies)
	valid := slices.DeleteFunc(approvers(held), func(who *controlv1.Party) bool {
		return slices.ContainsFunc(uncounted, func(u *controlv1.UncountedApproval) bool { return u.GetBy() == who })
	})
	if len(valid) < wanted {
		return precluded("number", fmt.Sprintf("change request #%d has %d of the %s that %s asks for%s%s",
			held.GetNumber(), len(valid), counted(wanted, "approval"), p.environment, explained(policy), discounted(uncounted)))
	}
	s.backed = s.standing.unchanged(append(valid[:wanted], held.GetProposer(), applies)...)
	return nil
}

// requested is the change request that the plan applies, as it was read.
func (s *state) requested() *controlv1.ChangeRequest {
	for _, d := range s.drafts {
		if r, ok := d.current.message.(*controlv1.ChangeRequest); ok {
			return r
		}
	}
	return nil
}

// discounted says which approvals do not count, to end a sentence.
func discounted(uncounted []*controlv1.UncountedApproval) string {
	if len(uncounted) == 0 {
		return ""
	}
	var b strings.Builder
	for _, u := range uncounted {
		fmt.Fprintf(&b, "; that of %s, who %s, does not count", u.GetBy().GetName(), u.GetProblem())
	}
	return b.String() + ": somebody else has to approve it"
}

func others(n int) string {
	if n == 1 {
		return "another person"
	}
	return fmt.Sprintf("%d others", n)
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// explained is what a policy says of itself, to end a sentence.
func explained(p *controlv1.ApprovalPolicy) string {
	if text := strings.TrimSpace(p.GetExplanation()); text != "" {
		return " (" + text + ")"
	}
	return ""
}

// approval checks an approval policy by itself.
func (c *checker) approval(field string, p *controlv1.ApprovalPolicy) {
	if n := p.GetApprovals(); n < 0 || n > maxApprovals {
		c.add(field+".approvals", "must be 0 to %d, not %d", maxApprovals, n)
	}
	c.words(field+".explanation", p.GetExplanation())
}
