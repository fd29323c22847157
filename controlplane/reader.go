package controlplane

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// Reader is what whoever asks may know of an environment; the zero Reader may know everything.
//
// A rollout is read by who may read both its key and its flag. Which one it is, which is its key and
// nothing else, is also known to who may write the flag: they may stop it.
type Reader struct {
	// Reads and Writes tell whether they may read and write what has a key; nil: everything.
	Reads, Writes func(key string) bool
}

func holds(f func(string) bool, key string) bool { return f == nil || f(key) }

// Sees tells whether they may read what has the key; with an empty one, everything.
func (r Reader) Sees(key string) bool { return holds(r.Reads, key) }

// SeesRollout tells whether they may read a rollout on a flag.
func (r Reader) SeesRollout(key, flagKey string) bool { return r.Sees(key) && r.Sees(flagKey) }

// writesAll tells whether they may write all that has one of the keys.
func (r Reader) writesAll(keys []string) bool {
	return !slices.ContainsFunc(keys, func(key string) bool { return !holds(r.Writes, key) })
}

// KnowsRollout tells whether they may know which rollout it is that moves a flag.
func (r Reader) KnowsRollout(key, flagKey string) bool {
	return r.Sees(key) || holds(r.Writes, flagKey)
}

// Entry is what they may read of an audit entry: nil, nothing; else the entry, without the key of a
// rollout that they may not know. of is the flag of the rollout that the entry is of, if it is of one.
// Of a change request or of the settings the key is a number or the environment's name, which says
// nothing of what it is about: that takes all keys.
func (r Reader) Entry(e *controlv1.AuditEntry, of string) *controlv1.AuditEntry {
	switch {
	case !r.sees(e.GetKind(), e.GetKey(), of):
		return nil
	case e.GetRolloutKey() != "" && !r.KnowsRollout(e.GetRolloutKey(), e.GetKey()):
		e = proto.CloneOf(e)
		e.RolloutKey = ""
	}
	return e
}

// sees tells whether they may read a resource; of is the flag of a rollout.
func (r Reader) sees(kind controlv1.ResourceKind, key, of string) bool {
	switch kind {
	case controlv1.ResourceKind_RESOURCE_KIND_CHANGE_REQUEST, controlv1.ResourceKind_RESOURCE_KIND_ENVIRONMENT:
		return r.Sees("")
	case controlv1.ResourceKind_RESOURCE_KIND_ROLLOUT:
		return r.SeesRollout(key, of)
	}
	return r.Sees(key)
}

// Refusal is what they may know of why a request is refused: of a conflict with what they may not
// read, the revisions alone; of other conflicts, the newest change as Entry has it.
func (r Reader) Refusal(err error) error {
	var conflict *ConflictError
	if !errors.As(err, &conflict) {
		return err
	}
	return r.conflict(conflict)
}

func (r Reader) conflict(e *ConflictError) *ConflictError {
	c := proto.CloneOf(e.Conflict)
	if c.GetLatest() != nil {
		c.Latest = r.Entry(c.GetLatest(), e.flag)
	}
	if !r.sees(c.GetKind(), c.GetKey(), e.flag) {
		c.Changes = nil
	}
	return &ConflictError{Conflict: c, flag: e.flag}
}

// EntryFlag is the flag of the rollout that an audit entry is of; empty: it is of no rollout, or the
// flag is not known.
func (a *Authority) EntryFlag(ctx context.Context, e *controlv1.AuditEntry) (string, error) {
	switch {
	case e.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_ROLLOUT:
		return "", nil
	case e.GetRollout() != nil:
		return e.GetRollout().GetFlagKey(), nil
	}
	flag, err := a.RolloutFlag(ctx, e.GetEnvironment(), e.GetKey())
	if errors.As(err, new(*NotFoundError)) {
		return "", nil
	}
	return flag, err
}

// Stopped is the answer to who paused or aborted a rollout: without what they may not read of it.
func (r Reader) Stopped(v *controlv1.RolloutVersion, e *controlv1.AuditEntry) (*controlv1.RolloutVersion, *controlv1.AuditEntry) {
	if r.SeesRollout(v.GetRollout().GetKey(), v.GetRollout().GetFlagKey()) {
		return v, e
	}
	if e != nil { // it was not so already
		e = proto.CloneOf(e)
		e.Resource, e.Changes = nil, nil
	}
	return &controlv1.RolloutVersion{Revision: v.GetRevision(), Rollout: &rolloutv1.Rollout{
		Key: v.GetRollout().GetKey(), Status: &rolloutv1.Status{State: v.GetRollout().GetStatus().GetState()},
	}}, e
}
