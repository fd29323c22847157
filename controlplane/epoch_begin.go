package controlplane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// epochResource is the store's epoch as the audit trail names it: the trail of an epoch lies
// in the store itself, so it is restored with it, and goes on from there.
var epochResource = resource{
	environment: storeScope, key: "epoch",
	kind: &kind{letter: "e", name: "epoch", control: controlv1.ResourceKind_RESOURCE_KIND_EPOCH},
}

// epochState is what the store knows of its epoch.
type epochState struct {
	epoch    snapshot.Epoch
	stored   int64 // revision at which the epoch was written
	newest   newestEntry
	entry    *controlv1.AuditEntry // nil: the epoch is the first
	revision int64                 // of the store
}

func (a *Authority) readEpoch(ctx context.Context) (*epochState, error) {
	results, revision, err := a.store.Read(ctx, store.Key(epochKey), epochResource.newestEntry())
	if err != nil {
		return nil, unavailable(err)
	}
	if len(results[0].KVs) == 0 {
		return nil, fmt.Errorf("%w: %s is missing", ErrCorrupt, epochKey)
	}
	s := &epochState{stored: results[0].KVs[0].ModRevision, revision: revision}
	if s.epoch, err = decodeEpoch(results[0].KVs[0].Value); err != nil {
		return nil, err
	}
	if found := results[1].KVs; len(found) > 0 {
		if s.entry, err = decodeEntry(found[0]); err != nil {
			return nil, err
		}
		s.newest = newestEntry{kv: found[0], sequence: s.entry.GetSequence(), hash: entryHash(found[0].Value)}
	}
	return s, nil
}

// GetEpoch tells the store's epoch, and what this server has applied of it.
func (a *Authority) GetEpoch(ctx context.Context, _ *controlv1.GetEpochRequest) (*controlv1.GetEpochResponse, error) {
	// What is applied is read first: it goes on while the store answers.
	resp := &controlv1.GetEpochResponse{}
	for _, name := range a.replicas.Environments() {
		snap := a.replicas.Replica(name).Snapshot()
		if snap == nil {
			continue
		}
		flags := uint32(snap.Eval().FlagCount())
		resp.Contents = append(resp.Contents, &controlv1.EnvironmentContent{Environment: name, Flags: flags})
		if snap.Cursor().Revision >= resp.GetAppliedRevision() {
			resp.AppliedRevision, resp.AppliedEpoch = snap.Cursor().Revision, snap.Cursor().Epoch.Proto()
		}
	}
	s, err := a.readEpoch(ctx)
	if err != nil {
		return nil, err
	}
	resp.Epoch, resp.Revision, resp.Entry = s.epoch.Proto(), s.revision, s.entry
	return resp, nil
}

// BeginEpoch begins a new epoch. It needs nothing but the store: also a server that cannot
// follow the store any more can do it.
func (a *Authority) BeginEpoch(ctx context.Context, c Caller, r *controlv1.BeginEpochRequest) (*controlv1.BeginEpochResponse, error) {
	var check checker
	if r.GetExpected() == nil {
		check.add("expected", "is required: the epoch that ends, as 'tidegate epoch show' tells it")
	}
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	requestID := r.GetRequestId()
	if requestID == "" {
		requestID = uuid.NewString()
	}
	expected := snapshot.Epoch{Counter: r.GetExpected().GetCounter(), Random: r.GetExpected().GetRandom()}
	for attempts := 0; ; attempts++ {
		resp, err := a.beginEpoch(ctx, c, r, expected, requestID)
		again := errors.Is(err, errRace) || errors.Is(err, store.ErrUnavailable) && !nothingWritten(err)
		switch {
		case err == nil, !again:
			return resp, err
		case attempts == maxOutages:
			return nil, unavailable(err)
		}
		select {
		case <-time.After(waitOutage/2 + rand.N(waitOutage<<attempts)): //nolint:gosec // jitter
		case <-ctx.Done():
			return nil, unavailable(err)
		}
	}
}

// beginEpoch attempts it once. That an attempt before has succeeded shows in the newest
// audit entry.
func (a *Authority) beginEpoch(ctx context.Context, c Caller, r *controlv1.BeginEpochRequest, expected snapshot.Epoch, requestID string) (*controlv1.BeginEpochResponse, error) {
	s, err := a.readEpoch(ctx)
	if err != nil {
		return nil, err
	}
	if s.epoch != expected {
		if s.entry.GetRequestId() == requestID {
			return &controlv1.BeginEpochResponse{Epoch: s.epoch.Proto(), Revision: s.entry.GetRevision(), Entry: s.entry}, nil
		}
		return nil, otherEpoch(s, expected)
	}
	next := drawEpoch(s.epoch.Counter + 1)
	value, err := encodeEpoch(next)
	if err != nil {
		return nil, err
	}
	entry := &controlv1.AuditEntry{
		Kind: epochResource.kind.control, Key: epochResource.key, Sequence: s.newest.sequence + 1,
		Action: controlv1.Action_ACTION_UPDATED, Actor: c.Actor, Peer: c.Peer,
		Reason: r.GetReason(), RequestId: requestID, Time: timestamppb.New(a.now()),
		PreviousRevision: s.stored, PreviousHash: s.newest.hash,
		Changes:  []*controlv1.FieldChange{{Path: "epoch", Before: plainJSON(s.epoch.String()), After: plainJSON(next.String())}},
		Resource: &controlv1.AuditEntry_Epoch{Epoch: next.Proto()},
	}
	stored, err := marshal(entry)
	if err != nil {
		return nil, err
	}
	auditKey := epochResource.auditKey(entry.GetSequence())
	out, err := a.store.Commit(ctx, store.Txn{
		Compares: []store.Compare{store.Unchanged(epochKey, s.stored), store.Absent(auditKey)},
		Ops:      []store.Op{store.Put(epochKey, value), store.Put(auditKey, stored)},
	})
	switch {
	case err != nil:
		return nil, unavailable(err)
	case !out.Committed:
		return nil, errRace
	}
	entry.Revision = out.Revision
	a.logger.Warn().Stringer("was", s.epoch).Stringer("is", next).Str("actor", c.Actor).Str("reason", r.GetReason()).
		Msg("a new epoch begins: every relay replaces what it has by what the store holds")
	return &controlv1.BeginEpochResponse{Epoch: next.Proto(), Revision: out.Revision, Entry: entry}, nil
}

// otherEpoch says that the epoch is not the one that was to end.
func otherEpoch(s *epochState, expected snapshot.Epoch) error {
	problem := fmt.Sprintf("is %s, but the store's epoch is %s", expected, s.epoch)
	if s.entry != nil {
		problem += fmt.Sprintf(", begun by %s at %s, reason %q", s.entry.GetActor(),
			s.entry.GetTime().AsTime().Format(time.RFC3339), truncate(s.entry.GetReason(), maxConflictReason))
	}
	return &PreconditionError{Fields: eval.Errors{{
		Field: "expected", Problem: problem + ": look again, with 'tidegate epoch show', whether another one is needed",
	}}}
}
