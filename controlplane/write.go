package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/series"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/fault"
)

const (
	// Limits of one transaction. Each resource takes up to three compares and two puts
	// of the store's limit of operations.
	maxDiffering = 30
	maxTxnBytes  = store.MaxTxnBytes - 64<<10 // the rest is for the store's own encoding

	// A write is tried again when another came in between, and when the store did not
	// say what became of it, which its request record then tells.
	maxRaces    = 50
	maxOutages  = 3
	raceBackoff = 2 * time.Millisecond
	waitOutage  = 50 * time.Millisecond
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

// errRace: another write came in between; deciding again settles it.
var errRace = errors.New("controlplane: another write came in between")

// write carries out a plan.
func (a *Authority) write(ctx context.Context, p *plan) (*written, error) {
	w, err := a.settle(ctx, p)
	if !p.validateOnly {
		a.writes.WithLabelValues(outcome(w, err)).Inc()
	}
	if errors.Is(err, ErrFull) {
		a.logger.Error().Err(err).Str("environment", p.environment).Msg("cannot write")
	}
	fault.Point(fault.BeforeAnswer)
	return w, err
}

// settle attempts a plan until it is clear what becomes of it.
func (a *Authority) settle(ctx context.Context, p *plan) (*written, error) {
	digest, err := fingerprint(p.request)
	if err != nil {
		return nil, err
	}
	requestID := p.request.GetRequestId()
	if requestID == "" {
		requestID = uuid.NewString()
	}
	for _, name := range p.environments() {
		if err := a.checkEnvironment(ctx, name); err != nil {
			return nil, err
		}
	}
	races, outages := 0, 0
	for {
		w, err := a.attempt(ctx, p, requestID, digest)
		var wait time.Duration
		switch {
		case err == nil:
			return w, nil
		case errors.Is(err, errRace) && races < maxRaces:
			races++
			wait = raceBackoff * time.Duration(min(races, 10))
		case errors.Is(err, store.ErrUnavailable) && !nothingWritten(err) && outages < maxOutages:
			outages++
			wait = waitOutage << outages
		case errors.Is(err, errRace):
			return nil, fmt.Errorf("%w: after %d attempts other writes still came in between: nothing was written", ErrUnavailable, races)
		default:
			return nil, err
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)): //nolint:gosec // jitter
		case <-ctx.Done():
			return nil, unavailable(err)
		}
	}
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

// attempt decides on the current state, and commits if that has not changed since.
func (a *Authority) attempt(ctx context.Context, p *plan, requestID, digest string) (*written, error) {
	s, err := a.readState(ctx, p, requestID)
	if err != nil {
		return nil, err
	}
	if s.record != nil && !p.validateOnly && !p.unrecorded && !fault.Planted("retry-twice") {
		return a.replay(ctx, p, requestID, digest, s)
	}
	var differing []*draft
	for _, d := range s.drafts {
		if err := a.decide(ctx, d); err != nil {
			return nil, err
		}
		if d.differs {
			differing = append(differing, d)
		}
	}
	if len(differing) > p.maxDiffering() && !p.validateOnly {
		return nil, invalid("flags", fmt.Sprintf(
			"%d flags and segments differ from what is there; one transaction takes %d: send fewer at a time, those that others need first",
			len(differing), maxDiffering))
	}
	if err := s.admit(p, differing); err != nil {
		return nil, err
	}
	guarded := needGuard(differing) && !p.unseen
	if guarded {
		if err := a.checkReferences(ctx, p.environment, differing, s.revision); err != nil {
			return nil, err
		}
	}
	if p.validateOnly || len(differing) == 0 {
		return s.outcome(0), nil
	}
	lease, err := a.leases.current(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	txn, err := a.transaction(p, s, requestID, digest, lease, guarded)
	if err != nil {
		return nil, err
	}
	fault.Point(fault.BeforeCommit)
	apart := auditApart(&txn)
	out, err := a.store.Commit(ctx, txn)
	fault.Point(fault.AfterCommit)
	if err == nil && out.Committed && len(apart) > 0 {
		_, err = a.store.Commit(ctx, store.Txn{Ops: apart})
	}
	switch {
	case isLeaseLost(err):
		a.leases.drop(lease)
		return nil, errRace
	case errors.Is(err, store.ErrTooLarge):
		return nil, invalid("", "the change and its audit entries are larger than the store takes in one transaction: send less at a time")
	case err != nil:
		return nil, unavailable(err)
	case !out.Committed:
		return nil, errRace
	}
	return s.outcome(out.Revision), nil
}

// auditApart takes the audit entries out of a transaction, if there is the bug that they
// are written by another one.
func auditApart(t *store.Txn) (apart []store.Op) {
	if fault.Planted("audit-apart") {
		t.Ops = slices.DeleteFunc(t.Ops, func(op store.Op) bool {
			audit := strings.HasPrefix(op.Key, auditRoot)
			if audit {
				apart = append(apart, op)
			}
			return audit
		})
	}
	return apart
}

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
