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
	if i < 0 || p.validateOnly {
		return nil
	}
	first := drafts[i]
	settings, err := s.environmentSettings(first.environment)
	if err != nil {
		return err
	}
	s.policed = true
	policy := settings.GetApproval()
	wanted := int(policy.GetApprovals())
	switch {
	case wanted == 0 || appliedByOne(settings, p.source):
		return nil
	case p.applied != nil:
		return s.checkApproved(p, policy)
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

// checkApproved counts the approvals of the change request that the plan applies, as they are
// when it is applied.
func (s *state) checkApproved(p *plan, policy *controlv1.ApprovalPolicy) error {
	has := 0
	for _, d := range s.drafts {
		if r, ok := d.current.message.(*controlv1.ChangeRequest); ok {
			has = len(r.GetApprovals())
		}
	}
	if wanted := int(policy.GetApprovals()); has < wanted {
		return precluded("number", fmt.Sprintf("change request #%d has %d of the %s that %s asks for%s",
			p.applied.GetNumber(), has, counted(wanted, "approval"), p.environment, explained(policy)))
	}
	return nil
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
