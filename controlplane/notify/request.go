package notify

import (
	"slices"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// Requested is the event of what became of a change request. False: it is nothing that people
// are told of.
func Requested(r *controlv1.ChangeRequest, entry *controlv1.AuditEntry) (Event, bool) {
	kind, ok := map[controlv1.Action]Kind{
		controlv1.Action_ACTION_PROPOSED: ChangeProposed,
		controlv1.Action_ACTION_APPLIED:  ChangeApplied,
		controlv1.Action_ACTION_FAILED:   ChangeFailed,
	}[entry.GetAction()]
	e := Event{
		Kind: kind, Time: entry.GetTime().AsTime(), Environment: r.GetEnvironment(), ChangeRequest: r.GetNumber(),
		Keys:  slices.Concat(r.GetSegmentKeys(), r.GetFlagKeys()),
		Actor: r.GetProposer().GetName(), Reason: r.GetReason(), Headline: r.GetClosingReason(),
	}
	if r.GetRolloutKey() != "" {
		e.Keys = append(e.Keys, r.GetRolloutKey())
	}
	if at := r.GetApplyAt(); at != nil {
		t := at.AsTime()
		e.ApplyAt = &t
	}
	return e, ok
}
