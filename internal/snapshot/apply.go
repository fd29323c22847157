package snapshot

import (
	"bytes"
	"fmt"
	"slices"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/fault"
)

// Apply returns the state after a delta that came from elsewhere, verified: its digest
// is the one promised. On error (ErrBase, ErrDigest, ErrRevision, ErrMalformed) there
// is no new state, and s is what it was. It takes time in proportion to the delta; a
// full one compiles only what differs from s, and so keeps in force the last usable
// version of an item that came broken.
//
// The base's revision need not be that of s, only its state: see [Cursor.SameState].
func (s *Snapshot) Apply(d Delta) (*Snapshot, error) {
	if err := s.admits(d); err != nil {
		return nil, err
	}
	e := s.edit()
	if d.Full {
		e = &editor{base: s, mark: new(mark)}
	}
	if err := e.apply(d); err != nil {
		return nil, err
	}
	if e.digest != d.Target.Digest && !unverified() {
		return nil, fmt.Errorf("%w: %s would have the digest %s", ErrDigest, d.Target, e.digest)
	}
	next := e.finish(d.Target, e.changes())
	if fault.Planted("poison-stops-all") && len(next.rejected) > len(s.rejected) {
		return nil, fmt.Errorf("%w: %s has items that cannot be used", ErrMalformed, d.Target)
	}
	return next, nil
}

// unverified: there is one of the bugs that a digest would find.
func unverified() bool {
	return fault.Planted("skip-digest") || fault.Planted("show-before-commit") ||
		fault.Planted("resume-across-epochs") || fault.Planted("state-unverified")
}

// admits checks what can be checked without looking at the items.
func (s *Snapshot) admits(d Delta) error {
	switch {
	case d.Environment != s.environment:
		return fmt.Errorf("%w: it is of environment %q, not %q", ErrMalformed, d.Environment, s.environment)
	case d.Full && len(d.Deletes) > 0:
		return fmt.Errorf("%w: it replaces everything and yet deletes", ErrMalformed)
	case d.Target.Revision < 0:
		return fmt.Errorf("%w: its target is the negative revision %d", ErrMalformed, d.Target.Revision)
	case !d.Full && !d.Base.SameState(s.cursor) && !fault.Planted("resume-across-epochs"):
		return fmt.Errorf("%w: from %s, but this is %s", ErrBase, d.Base, s.cursor)
	case !d.Full && d.Target.Epoch != d.Base.Epoch:
		return fmt.Errorf("%w: it leads from epoch %s to epoch %s without replacing everything",
			ErrMalformed, d.Base.Epoch, d.Target.Epoch)
	case d.Target.Epoch == s.cursor.Epoch && d.Target.Revision < s.cursor.Revision && !fault.Planted("accept-older"):
		return fmt.Errorf("%w: from %d to %d", ErrRevision, s.cursor.Revision, d.Target.Revision)
	}
	return nil
}

// Next returns the state after changes made here, at the source, and the delta that
// leads to it: deletes first, then puts, of which the last of an id stands. What changes
// nothing (a put of what is there, a delete of what is not) is not part of the delta.
// The revision is the caller's to get right: not below that of s, and no item's above it.
func (s *Snapshot) Next(revision int64, puts []Item, deletes []ID) (*Snapshot, Delta) {
	e := s.edit()
	for _, id := range deletes {
		e.delete(id)
	}
	for _, item := range puts {
		e.put(item)
	}
	d := Delta{
		Environment: s.environment, Base: s.cursor,
		Target: Cursor{Epoch: s.cursor.Epoch, Revision: revision, Digest: e.digest},
	}
	changes := e.changes()
	for _, c := range changes {
		if c.is != nil {
			d.Puts = append(d.Puts, c.is.Item)
		} else {
			d.Deletes = append(d.Deletes, Deletion{ID: c.was.id(), ModRevision: c.was.ModRevision})
		}
	}
	next := e.finish(d.Target, changes)
	d.Urgent = slices.ContainsFunc(changes, func(c change) bool { return c.urgent(s.eval, next.eval) })
	return next, d
}

// editor makes one snapshot out of another. It is used by one goroutine, once.
type editor struct {
	base       *Snapshot
	mark       *mark
	root       *node
	digest     Digest
	len, bytes int
	hasher     *hasher
}

// change is what happened to one id: was is nil for one that was added, is for one that
// was deleted.
type change struct{ was, is *entry }

// changes lists what differs from the base. What was deleted and put again, or put twice,
// is one change.
func (e *editor) changes() []change {
	var list []change
	compare(e.base.root, e.root, 0, func(was, is *entry) { list = append(list, change{was, is}) })
	return list
}

func (s *Snapshot) edit() *editor {
	return &editor{base: s, mark: new(mark), root: s.root, digest: s.cursor.Digest, len: s.len, bytes: s.bytes}
}

// apply puts and deletes what d says, and checks that it makes sense.
func (e *editor) apply(d Delta) error {
	for _, del := range d.Deletes {
		switch old := e.delete(del.ID); {
		case old == nil:
			return fmt.Errorf("%w: it deletes %s, which is not there, or not any more", ErrMalformed, del.ID)
		case old.ModRevision != del.ModRevision:
			return fmt.Errorf("%w: it deletes %s as of revision %d, but here that is of revision %d",
				ErrMalformed, del.ID, del.ModRevision, old.ModRevision)
		}
	}
	for _, item := range d.Puts {
		if err := item.check(d.Target.Revision); err != nil {
			return err
		}
		before, replaced := e.put(item)
		switch {
		case d.Full && replaced != nil, !d.Full && replaced != before:
			return fmt.Errorf("%w: %s occurs twice", ErrMalformed, item.ID())
		case replaced != nil && item.ModRevision <= replaced.ModRevision:
			return fmt.Errorf("%w: it puts %s of revision %d, but here that is of revision %d already",
				ErrMalformed, item.ID(), item.ModRevision, replaced.ModRevision)
		}
	}
	return nil
}

// check tells whether an item may be part of a state at the revision.
func (i Item) check(revision int64) error {
	switch {
	case i.Kind <= syncv1.Kind_KIND_UNSPECIFIED:
		return fmt.Errorf("%w: %s has no kind", ErrMalformed, i.ID())
	case i.Key == "":
		return fmt.Errorf("%w: an item of kind %s has no key", ErrMalformed, i.Kind)
	case i.ModRevision <= 0 || i.ModRevision > revision:
		return fmt.Errorf("%w: %s has the revision %d in a state of revision %d",
			ErrMalformed, i.ID(), i.ModRevision, revision)
	}
	return nil
}

// put sets an item. It returns what the base has in its place, and what it replaced: the
// same, unless the edit came by before. An item that is as the base has it takes the
// base's entry, and with it its compiled form.
func (e *editor) put(item Item) (before, replaced *entry) {
	hash := hashID(item.ID())
	before = e.base.root.lookup(item.ID(), hash)
	next := before
	if next == nil || next.ModRevision != item.ModRevision || !bytes.Equal(next.Data, item.Data) {
		if e.hasher == nil {
			e.hasher = newHasher()
		}
		next = &entry{Item: item, digest: e.hasher.item(item), hash: hash}
	}
	e.root, replaced = e.mark.set(e.root, 0, next)
	if replaced != nil {
		e.forget(replaced)
	}
	e.digest = e.digest.add(next.digest)
	e.len++
	e.bytes += len(item.Data)
	return before, replaced
}

// delete takes an item away and returns its entry, or nil.
func (e *editor) delete(id ID) *entry {
	old := e.root.lookup(id, hashID(id))
	if old == nil {
		return nil
	}
	e.root = e.mark.remove(e.root, 0, old)
	e.forget(old)
	return old
}

func (e *editor) forget(old *entry) {
	e.digest = e.digest.sub(old.digest)
	e.len--
	e.bytes -= len(old.Data)
}

// finish compiles what changed and closes the edit.
func (e *editor) finish(c Cursor, changes []change) *Snapshot {
	env, rejected := compile(e.base.eval, e.base.rejected, changes)
	return &Snapshot{
		environment: e.base.environment, cursor: c,
		root: e.root, len: e.len, bytes: e.bytes,
		eval: env, rejected: rejected, rollouts: rolloutsAfter(e.base.rollouts, changes),
	}
}

// String is such as 'flag "new-checkout"'.
func (id ID) String() string {
	switch id.Kind {
	case syncv1.Kind_KIND_FLAG:
		return fmt.Sprintf("flag %q", id.Key)
	case syncv1.Kind_KIND_SEGMENT:
		return fmt.Sprintf("segment %q", id.Key)
	case syncv1.Kind_KIND_KEY:
		return fmt.Sprintf("key %q", id.Key)
	case syncv1.Kind_KIND_ROLLOUT:
		return fmt.Sprintf("rollout %q", id.Key)
	default:
		return fmt.Sprintf("item %q of kind %d", id.Key, id.Kind)
	}
}
