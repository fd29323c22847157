package controlplane

import (
	"cmp"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/series"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/fault"
)

// transaction puts together what p writes, with the audit entries and all guards.
func (a *Authority) transaction(p *plan, s *state, requestID, digest string, lease store.LeaseID, guarded bool) (store.Txn, error) {
	var t store.Txn
	rec := record{Fingerprint: digest, Restored: cmp.Or(p.restored, p.counts)}
	stamp := &controlv1.AuditEntry{
		Actor: p.caller.Actor, Peer: p.caller.Peer, Reason: p.request.GetReason(), RequestId: requestID, Time: timestamppb.New(a.now()),
	}
	t.Compares = append(t.Compares, p.fence...)
	for _, d := range s.drafts {
		of := recordResult{Kind: d.kind.letter, Key: d.key}
		if d.environment != p.environment {
			of.Environment = d.environment
		}
		if err := d.writeTo(&t, p.stampOf(d, stamp)); err != nil {
			return t, err
		}
		if d.differs {
			of.Sequence = d.entry.GetSequence()
			t.Ops = append(t.Ops, p.announced(d)...)
		} else {
			of.Revision = d.current.revision
		}
		rec.Results = append(rec.Results, of)
	}
	if guarded {
		t.Compares = append(t.Compares, store.Unchanged(guardKey(p.environment), s.guard))
		t.Ops = append(t.Ops, store.Put(guardKey(p.environment), nil))
	}
	if s.thawed {
		t.Compares = append(t.Compares, store.Unchanged(freezeKey, s.freezes.revision))
	}
	t.Compares = append(t.Compares, s.backed...)
	if s.policed {
		t.Compares = append(t.Compares, store.Unchanged(environmentKey(p.environment), s.settings.revision))
	}
	if fault.Planted("cas-blind") {
		t.Compares = nil
	}
	if p.unrecorded {
		return t, checkSize(t)
	}
	value, err := rec.encode()
	if err != nil {
		return t, err
	}
	key := requestKey(p.environment, requestID)
	if !fault.Planted("retry-twice") {
		t.Compares = append(t.Compares, store.Absent(key))
	}
	t.Ops = append(t.Ops, store.PutLeased(key, value, lease))
	return t, checkSize(t)
}

// maxDiffering is how many drafts of the plan may differ: a change request that is applied comes
// on top of what it writes.
func (p *plan) maxDiffering() int {
	if p.applied != nil {
		return maxDiffering + 1
	}
	return maxDiffering
}

// stampOf is what the draft's audit entry says of the request: what a change request writes has
// its number, and the reason that it was proposed with.
func (p *plan) stampOf(d *draft, stamp *controlv1.AuditEntry) *controlv1.AuditEntry {
	if p.applied == nil || d.kind == changeRequestKind {
		return stamp
	}
	stamp = proto.CloneOf(stamp)
	stamp.Reason, stamp.ChangeRequestNumber = p.applied.GetReason(), p.applied.GetNumber()
	return stamp
}

// announced is what has people told of a draft.
func (p *plan) announced(d *draft) []store.Op {
	if r, ok := d.desired.(*controlv1.ChangeRequest); ok && p.tell != nil {
		return p.tell(r, d.entry)
	}
	if p.announce == nil || d.kind != rolloutKind {
		return nil
	}
	c := RolloutChange{Environment: d.environment, Entry: d.entry}
	c.Before, _ = d.current.message.(*rolloutv1.Rollout)
	c.After, _ = d.desired.(*rolloutv1.Rollout)
	return p.announce(c)
}

// writeTo adds to a transaction what the draft writes and what that depends on. The stamp is
// what its audit entry says of the request.
func (d *draft) writeTo(t *store.Txn, stamp *controlv1.AuditEntry) error {
	if !d.differs {
		if d.rollout != "" {
			t.Compares = append(t.Compares, store.Unchanged(d.stateKey(), d.current.revision))
		}
		return nil
	}
	entry := d.newEntry()
	entry.Actor, entry.Peer = stamp.GetActor(), stamp.GetPeer()
	entry.Reason, entry.RequestId, entry.Time = stamp.GetReason(), stamp.GetRequestId(), stamp.GetTime()
	entry.ChangeRequestNumber = stamp.GetChangeRequestNumber()
	stored, err := marshal(entry)
	if err != nil {
		return err
	}
	d.entry = entry
	t.Compares = append(t.Compares,
		store.Unchanged(d.stateKey(), d.current.revision), store.Absent(d.auditKey(entry.GetSequence())))
	if d.from != nil {
		t.Compares = append(t.Compares, store.Unchanged(d.from.stateKey(), d.source.revision))
	}
	if d.ordered != nil {
		t.Compares = append(t.Compares, store.Unchanged(d.ordered.key, d.ordered.revision))
	}
	put := store.Delete(d.stateKey())
	if d.desired != nil {
		put = store.Put(d.stateKey(), d.data)
	}
	t.Ops = append(t.Ops, put, store.Put(d.auditKey(entry.GetSequence()), stored))
	if d.kind == rolloutKind && d.desired == nil {
		t.Ops = append(append(t.Ops, store.Delete(evidenceKey(d.environment, d.key))), series.Delete(d.environment, d.key)...)
	}
	t.Compares, t.Ops = append(t.Compares, d.with.Compares...), append(t.Ops, d.with.Ops...)
	return d.writeClaims(t)
}

func checkSize(t store.Txn) error {
	size := 0
	for _, c := range t.Compares {
		size += len(c.Key)
	}
	for _, op := range t.Ops {
		size += len(op.Key) + len(op.Value)
	}
	if size > maxTxnBytes {
		return invalid("flags", fmt.Sprintf(
			"what differs takes %d bytes with its audit entries; one transaction takes %d: send fewer flags and segments at a time, those that others need first",
			size, maxTxnBytes))
	}
	return nil
}

// newEntry returns the draft's audit entry, but for what the request says of itself.
func (d *draft) newEntry() *controlv1.AuditEntry {
	entry := &controlv1.AuditEntry{
		Environment:       d.environment,
		Kind:              d.kind.control,
		Key:               d.key,
		Sequence:          d.newest.sequence + 1,
		Action:            d.action(),
		PreviousRevision:  d.current.revision,
		Changes:           d.changes,
		PreviousHash:      d.newest.hash,
		SourceRevision:    d.restored,
		SourceEnvironment: d.restoredFrom,
		RolloutKey:        d.rollout,
	}
	if d.kind == identityKind || d.kind == freezeKind {
		entry.Environment = "" // it is of none
	}
	if d.from != nil {
		entry.SourceEnvironment = d.from.environment
		entry.SourceRevision = d.source.revision
	}
	setEntryResource(entry, auditable(d.desired))
	return entry
}
