package controlplane

import (
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// writeRequest is what all write requests have in common.
type writeRequest interface {
	proto.Message
	GetReason() string
	GetRequestId() string
}

// plan is a write: what shall become of some resources of one environment, or of one key in
// several.
type plan struct {
	request writeRequest
	caller  Caller
	// environment of the resources, and where the request's id counts; keyScope for a key, accessScope
	// for an identity, storeScope for what is frozen.
	environment string
	changes     []*change
	// source of files that the plan is from; empty: none.
	source string
	// validateOnly: do everything but commit.
	validateOnly bool
	// announce, if not nil, has people told of changes of rollouts.
	announce func(RolloutChange) []store.Op
	// unrecorded: the request takes several transactions, and this is not the last.
	unrecorded bool
	// restored is recorded with the request, if it is one to restore an environment; counts, if
	// it is one to make an environment or to promote one.
	restored, counts *restoredCounts
	// unseen: the environment is being made, and nobody sees it yet.
	unseen bool
	// promotedFrom is the environment that a request promotes from; empty: it does not.
	promotedFrom string
	// applied is the change request that the plan is of, if it is of one; tell, if not nil, has
	// people told of changes of change requests.
	applied *controlv1.ChangeRequest
	tell    func(*controlv1.ChangeRequest, *controlv1.AuditEntry) []store.Op
	// identified: what those who proposed and approved it may do is looked at. unattended: it is
	// applied because it is due, and nobody answers for that but its proposer.
	identified, unattended bool
	// fence is a condition of the write besides.
	fence []store.Compare
}

// change is what shall become of one resource.
type change struct {
	resource
	// field is the definition's path in the request.
	field string
	// content returns the resource as it shall be; nil: it shall not be.
	content func(current, source version) (proto.Message, error)
	// base is the revision that the change is based on, 0 for absence; nil: any.
	base *int64
	// absent, present: what the resource must be.
	absent, present bool
	// verb is the action to audit; unspecified: created or updated.
	verb controlv1.Action
	// known is the compiled content, if that is known beforehand. unchecked: it is
	// written whether it compiles or not.
	known     *compiled
	unchecked bool
	// from is where the content comes from, if that is another resource, which must not
	// change meanwhile; restored: the revision, where it is an earlier version of itself.
	// fromBase is the revision of it that was reviewed; 0: any.
	// With gone, it must not be there: the change takes away what it no longer has.
	// restoredFrom is the environment of the earlier version, if it is another one.
	from         *resource
	fromBase     int64
	gone         bool
	restored     int64
	restoredFrom string
	// rollout is the key of the rollout that changes this flag, which it owns; and whose
	// flag, where it is not changed, must not change meanwhile either.
	rollout string
	// claims says what becomes of what is owned of a flag, as a rollout starts or ends.
	claims *claimsChange
	// unused: nothing of this kind may ever have had the key.
	unused bool
	// with is what the change depends on besides, and what goes with it; content sets it.
	with store.Txn
}

// version is a resource at some time; revision 0: it is not there.
type version struct {
	revision int64
	message  proto.Message // nil also if it cannot be decoded
}

// result is what became of one resource.
type result struct {
	resource
	version // after the write
	// before is the revision before the write.
	before  int64
	differs bool
	source  int64 // revision of the source, if there is one
	changes []*controlv1.FieldChange
	entry   *controlv1.AuditEntry // nil: nothing was written
}

// written is what became of a plan. revision is that of the transaction; 0: none.
type written struct {
	results  []*result
	revision int64
	repeated bool // this is the first result of a request that came again
	counts   *restoredCounts
}

// environments lists those that the plan needs.
func (p *plan) environments() []string {
	switch p.environment {
	case accessScope, storeScope:
		return nil
	case keyScope:
	default:
		if p.unseen {
			return nil
		}
		return []string{p.environment}
	}
	names := make([]string, 0, len(p.changes))
	for _, c := range p.changes {
		names = append(names, c.environment)
	}
	return names
}
