package controlplane

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// state is what one attempt at a write is decided on.
type state struct {
	record   *store.KV       // of the request, if it was carried out before
	guard    int64           // ModRevision of the reference guard
	settings version         // of the environment
	policed  bool            // that the policy in them holds is a condition of the write
	standing *standing       // of those behind the change request that is applied
	backed   []store.Compare // that they still stand, where the write depends on it
	freezes  version         // what is frozen
	thawed   bool            // that this does not change is a condition of the write
	now      time.Time       // when it was read
	drafts   []*draft        // one for each change, in order
	revision int64           // of the store, as read
}

// draft is a change at its current state.
type draft struct {
	*change
	current version
	source  version
	newest  newestEntry
	owned   heldClaims
	ordered *ordered // nil: the environment's order asks nothing of it

	desired  proto.Message // nil: to be deleted
	data     []byte        // desired, encoded
	compiled *compiled     // desired, compiled; nil if unchecked
	differs  bool
	changes  []*controlv1.FieldChange
	entry    *controlv1.AuditEntry
}

// newestEntry is what the next audit entry follows; sequence 0: there is none.
type newestEntry struct {
	kv       store.KV
	sequence int64
	hash     []byte
}

// Each change takes up to four of the ranges that one read may have.
const changesPerRead = (store.MaxTxnOps - 4) / 4

// readState reads what the plan is decided on: what belongs to one change at one
// revision; the request's record, the guard, the environment's settings and what is frozen
// before, or with, all of it.
func (a *Authority) readState(ctx context.Context, p *plan, requestID string) (*state, error) {
	s := &state{now: a.now()}
	ranges := []store.Range{
		store.Key(requestKey(p.environment, requestID)), store.Key(guardKey(p.environment)), store.Key(environmentKey(p.environment)),
		store.Key(freezeKey),
	}
	for first := 0; first == 0 || first < len(p.changes); first += changesPerRead {
		batch := p.changes[first:min(first+changesPerRead, len(p.changes))]
		for _, c := range batch {
			ranges = append(ranges, c.ranges()...)
		}
		results, revision, err := a.store.Read(ctx, ranges...)
		if err != nil {
			return nil, unavailable(err)
		}
		if first == 0 {
			if found := results[0].KVs; len(found) > 0 {
				s.record = &found[0]
			}
			if found := results[1].KVs; len(found) > 0 {
				s.guard = found[0].ModRevision
			}
			s.settings, s.freezes = environmentKind.version(results[2]), freezeKind.version(results[3])
			results = results[4:]
		}
		for _, c := range batch {
			var d *draft
			if d, results, err = newDraft(c, results); err != nil {
				return nil, err
			}
			s.drafts = append(s.drafts, d)
		}
		s.revision, ranges = revision, nil
	}
	if p.applied != nil && p.identified && !p.validateOnly {
		var err error
		if s.standing, err = a.readStanding(ctx, s.requested(), s.now, party(p.caller)); err != nil {
			return nil, err
		}
	}
	return s, a.readOrdered(ctx, p, s)
}

// ranges are what the change is decided on.
func (c *change) ranges() []store.Range {
	ranges := []store.Range{store.Key(c.stateKey()), c.newestEntry()}
	if c.from != nil {
		ranges = append(ranges, store.Key(c.from.stateKey()))
	}
	if key := c.claimsKey(); key != "" {
		ranges = append(ranges, store.Key(key))
	}
	return ranges
}

// newDraft takes what belongs to the change off the results.
func newDraft(c *change, results []store.Result) (*draft, []store.Result, error) {
	d := &draft{change: c, current: c.kind.version(results[0])}
	if found := results[1].KVs; len(found) > 0 {
		sequence, err := sequenceOf(found[0].Key)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		d.newest = newestEntry{kv: found[0], sequence: sequence, hash: entryHash(found[0].Value)}
	}
	results = results[2:]
	if c.from != nil {
		d.source = c.kind.version(results[0])
		results = results[1:]
	}
	if c.claimsKey() != "" {
		var err error
		if d.owned, err = decodeClaims(results[0]); err != nil {
			return nil, nil, err
		}
		results = results[1:]
	}
	return d, results, nil
}

// version decodes a stored resource. One that cannot be decoded is there, and can be
// replaced or deleted.
func (k *kind) version(r store.Result) version {
	if len(r.KVs) == 0 {
		return version{}
	}
	v := version{revision: r.KVs[0].ModRevision}
	if m, err := k.decode(r.KVs[0].Value); err == nil {
		v.message = m
	}
	return v
}

// decide works out what the change comes to on the current state.
func (a *Authority) decide(ctx context.Context, d *draft) error {
	if err := a.checkPresence(ctx, d); err != nil {
		return err
	}
	if err := a.checkSource(ctx, d); err != nil {
		return err
	}
	var err error
	if d.desired, err = d.content(d.current, d.source); err != nil {
		return err
	}
	// What an earlier program stored without versions means the same with them.
	d.desired = pinned(d.desired)
	current := pinned(d.current.message)
	// What is as it shall be already is so whatever the change was based on.
	if d.desired != nil && current != nil && proto.Equal(d.desired, current) {
		return nil
	}
	if d.base != nil && *d.base != d.current.revision {
		return a.conflict(ctx, d.resource, *d.base)
	}
	d.differs = true
	d.changes = fieldChanges(auditable(current), kept(auditable(d.desired)))
	if d.desired == nil {
		return d.checkClaims(current)
	}
	d.compiled = d.known
	if d.compiled == nil && !d.unchecked {
		c, err := compile(d.field, d.desired)
		if err != nil {
			return err
		}
		d.compiled = &c
	}
	if d.data, err = marshal(kept(d.desired)); err != nil {
		return err
	}
	return d.checkClaims(current)
}

func (a *Authority) checkPresence(ctx context.Context, d *draft) error {
	exists := d.current.revision != 0
	switch {
	case d.absent && exists:
		return &ExistsError{What: fmt.Sprintf("%s, at revision %d", d.resource, d.current.revision)}
	case d.unused && d.newest.sequence != 0:
		return &ExistsError{What: fmt.Sprintf("%s: it was deleted at revision %d, and its history keeps the key; choose another", d.resource, d.newest.kv.ModRevision)}
	case !d.present || exists:
		return nil
	case d.newest.sequence == 0:
		return &NotFoundError{What: d.String()}
	case d.base != nil && d.verb != controlv1.Action_ACTION_DELETED:
		return a.conflict(ctx, d.resource, *d.base)
	}
	return &NotFoundError{What: fmt.Sprintf("%s (it was deleted at revision %d)", d.resource, d.newest.kv.ModRevision)}
}

// checkSource makes sure that what is to be copied is there, and is what was reviewed.
func (a *Authority) checkSource(ctx context.Context, d *draft) error {
	switch {
	case d.from == nil:
		return nil
	case d.fromBase != 0 && d.fromBase != d.source.revision:
		return a.conflict(ctx, *d.from, d.fromBase)
	case d.gone && d.source.revision != 0:
		return a.conflict(ctx, *d.from, 0)
	case d.source.revision == 0 && !d.gone:
		return &NotFoundError{What: d.from.String()}
	}
	return nil
}

// conflict says what happened to a resource since the version that a change was based
// on.
func (a *Authority) conflict(ctx context.Context, r resource, base int64) error {
	results, _, err := a.store.Read(ctx, store.Key(r.stateKey()), r.newestEntry())
	if err != nil {
		return unavailable(err)
	}
	current := r.kind.version(results[0])
	c := &controlv1.Conflict{
		Environment: r.environment, Kind: r.kind.control, Key: r.key,
		BaseRevision: base, CurrentRevision: current.revision,
	}
	of := &ConflictError{Conflict: c}
	if held, ok := current.message.(*rolloutv1.Rollout); ok {
		of.flag = held.GetFlagKey()
	}
	if len(results[1].KVs) == 0 {
		return of
	}
	// What cannot be read only makes the explanation shorter.
	newest := results[1].KVs[0]
	if latest, err := decodeEntry(newest); err == nil {
		c.Latest = latest
		c.Latest.Resource = nil
		c.Latest.Reason = truncate(c.Latest.GetReason(), maxConflictReason)
		c.Latest.Changes = bounded(c.Latest.GetChanges(), maxConflictText)
	}
	sequence, err := sequenceOf(newest.Key)
	if err != nil {
		return of
	}
	if entry, err := a.entryAt(ctx, r, base, sequence); err == nil && entry != nil {
		c.Changes = bounded(fieldChanges(entryResource(entry), auditable(current.message)), maxConflictText)
	}
	return of
}

// entryAt returns the audit entry that committed at a revision, or nil. Revisions rise
// with the sequence, so that is a binary search.
func (a *Authority) entryAt(ctx context.Context, r resource, revision, newest int64) (*controlv1.AuditEntry, error) {
	low, high := int64(1), newest
	for low <= high && revision > 0 {
		middle := low + (high-low)/2
		kv, err := a.readEntry(ctx, r, middle)
		switch {
		case err != nil:
			return nil, err
		case kv.ModRevision == revision:
			return decodeEntry(kv)
		case kv.ModRevision < revision:
			low = middle + 1
		default:
			high = middle - 1
		}
	}
	return nil, nil
}

// readEntry reads one audit entry that must be there.
func (a *Authority) readEntry(ctx context.Context, r resource, sequence int64) (store.KV, error) {
	results, _, err := a.store.Read(ctx, store.Key(r.auditKey(sequence)))
	if err != nil {
		return store.KV{}, unavailable(err)
	}
	if len(results[0].KVs) == 0 {
		return store.KV{}, fmt.Errorf("%w: audit entry %d of %s is missing", ErrCorrupt, sequence, r)
	}
	return results[0].KVs[0], nil
}

// newestSequence returns the sequence of the newest audit entry; 0: there is none.
func (a *Authority) newestSequence(ctx context.Context, r resource) (int64, error) {
	results, _, err := a.store.Read(ctx, r.newestEntry())
	if err != nil {
		return 0, unavailable(err)
	}
	if len(results[0].KVs) == 0 {
		return 0, nil
	}
	return sequenceOf(results[0].KVs[0].Key)
}

// action names the change for the audit trail.
func (d *draft) action() controlv1.Action {
	switch {
	case d.verb != controlv1.Action_ACTION_UNSPECIFIED:
		return d.verb
	case d.current.revision == 0:
		return controlv1.Action_ACTION_CREATED
	}
	return controlv1.Action_ACTION_UPDATED
}

// outcome is what became of the plan at the revision of its transaction; 0: none was
// made.
func (s *state) outcome(revision int64) *written {
	w := &written{revision: revision}
	for _, d := range s.drafts {
		r := &result{
			resource: d.resource, version: d.current, before: d.current.revision,
			differs: d.differs, source: d.source.revision, changes: d.changes,
		}
		if d.differs {
			r.message = d.desired
		}
		if d.entry != nil && revision != 0 {
			d.entry.Revision = revision
			r.entry, r.revision = d.entry, revision
		}
		w.results = append(w.results, r)
	}
	return w
}

// replay returns the first result of a request that comes again.
func (a *Authority) replay(ctx context.Context, p *plan, requestID, digest string, s *state) (*written, error) {
	rec, err := decodeRecord(s.record.Value)
	if err != nil {
		return nil, err
	}
	if rec.Fingerprint != digest {
		return nil, usedRequest(requestID, p.environment, s.record.ModRevision)
	}
	w := &written{revision: s.record.ModRevision, repeated: true, counts: rec.Restored}
	for _, stored := range rec.Results {
		r := &result{resource: resource{
			environment: cmp.Or(stored.Environment, p.environment), kind: kindOf(stored.Kind), key: stored.Key,
		}}
		w.results = append(w.results, r)
		if stored.Sequence == 0 {
			r.before, r.revision = stored.Revision, stored.Revision
			continue
		}
		kv, err := a.readEntry(ctx, r.resource, stored.Sequence)
		if err != nil {
			return nil, err
		}
		if r.entry, err = decodeEntry(kv); err != nil {
			return nil, err
		}
		r.differs = true
		r.version = version{revision: r.entry.GetRevision(), message: entryResource(r.entry)}
		r.before, r.source, r.changes = r.entry.GetPreviousRevision(), r.entry.GetSourceRevision(), r.entry.GetChanges()
	}
	return w, nil
}

// usedRequest says that a request's id was used before, for something else.
func usedRequest(requestID, environment string, revision int64) error {
	return &ExistsError{What: fmt.Sprintf(
		"request id %q in environment %q: it was used for another change, at revision %d; give each change an id of its own",
		requestID, environment, revision)}
}
